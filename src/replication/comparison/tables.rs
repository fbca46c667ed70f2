//! The tables themselves, `PG_RESTORE_JOBS` at a time: columns and indexes looked at, rows counted and hashed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::future::try_join_all;

use super::{ComparedTable, Remark, Verdict};
use crate::adapters::postgres::catalog;
use crate::adapters::postgres::columns::{Column, columns_of};
use crate::adapters::postgres::comparing::{self, BUCKETS, Bucket};
use crate::error::{ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::moment::{Moment, Reader};

/// The planner cannot know that the buckets of a sample are few, and would sort whole tables on the server's disk. With sorts
/// off, what must sort looks so dear to it that it would compile it first, which takes seconds.
const READER_SETTINGS: &str = "set enable_sort = off; set jit = off";

/// A table to compare.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) table: TableName,
    /// Its oid in the source; none where the source cannot be asked.
    pub(super) source: Option<i64>,
    /// Its oid in the warehouse; none where it is missing.
    pub(super) warehouse: Option<i64>,
    pub(super) rows: Rows,
}

/// What its rows are compared with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows {
    /// Those of the source.
    Counted,
    /// What the ledger says.
    Written(u64),
    /// Its partitions have them.
    InPartitions,
}

/// A compared table, with what is different.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) table: ComparedTable,
    pub(super) differences: Vec<Remark>,
}

impl Answer {
    fn of(table: &TableName) -> Self {
        let table = table.clone();
        let table = ComparedTable { table, source_rows: None, warehouse_rows: None, result: Verdict::Equal };
        Self { table, differences: Vec::new() }
    }

    fn differs(&mut self, text: String) {
        self.differences.push(Remark::new(format!("table {}", self.table.table), text));
    }
}

/// Compares the tables in this order, `jobs` at a time.
///
/// # Errors
/// A side cannot be read. A table that the role may not read is a difference.
pub(super) async fn compare(
    mut source: Option<Moment>,
    mut warehouse: Moment,
    tasks: Vec<Task>,
    sample: Option<u8>,
    jobs: usize,
) -> Result<Vec<Answer>> {
    let mut pairs = Vec::new();
    for _ in 0..jobs.min(tasks.len()) {
        let at_source = match &source {
            Some(source) => Some(source.reader(READER_SETTINGS).await?),
            None => None,
        };
        pairs.push(Pair { source: at_source, warehouse: warehouse.reader(READER_SETTINGS).await?, sample });
    }
    let queue = Mutex::new(tasks.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let workers = pairs.into_iter().map(async |mut pair| {
        let mut answers = Vec::new();
        while let Some(task) = next() {
            answers.push(pair.compare(&task).await.map_err(|error| error.context(&task.table))?);
        }
        pair.close().await;
        Ok(answers)
    });
    let hold_source = async {
        match &mut source {
            Some(source) => source.hold().await,
            None => std::future::pending().await,
        }
    };
    let answers = tokio::select! {
        answers = try_join_all(workers) => answers?,
        lost = hold_source => return Err(lost),
        lost = warehouse.hold() => return Err(lost),
    };
    if let Some(source) = source {
        source.session.close().await;
    }
    warehouse.session.close().await;
    Ok(answers.into_iter().flatten().collect())
}

/// A session on either side, both at their moment.
struct Pair {
    source: Option<Reader>,
    warehouse: Reader,
    sample: Option<u8>,
}

impl Pair {
    async fn close(self) {
        if let Some(source) = self.source {
            source.session.close().await;
        }
        self.warehouse.session.close().await;
    }

    async fn compare(&mut self, task: &Task) -> Result<Answer> {
        if let Some(source) = &mut self.source {
            source.begin().await?;
        }
        self.warehouse.begin().await?;
        let mut answer = Answer::of(&task.table);
        match self.look(task, &mut answer).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Privilege => {
                answer.differs(format!("it cannot be read: {error}"));
            }
            Err(error) => return Err(error),
        }
        if answer.table.result == Verdict::Equal && !answer.differences.is_empty() {
            answer.table.result = Verdict::Different;
        }
        if let Some(source) = &mut self.source {
            source.end().await?;
        }
        self.warehouse.end().await?;
        Ok(answer)
    }

    async fn look(&mut self, task: &Task, answer: &mut Answer) -> Result<()> {
        let Some(oid) = task.warehouse else {
            answer.table.result = Verdict::Missing;
            answer.differs("the warehouse lacks it".to_owned());
            answer.table.source_rows = self.expected_rows(task).await?;
            return Ok(());
        };
        self.indexes(task, oid, answer).await?;
        let hash = self.columns(task, answer).await?;
        self.rows(task, answer).await?;
        if let Some(statement) = hash {
            self.hashes(&task.table, &statement, answer).await?;
        }
        Ok(())
    }

    async fn indexes(&mut self, task: &Task, oid: i64, answer: &mut Answer) -> Result<()> {
        let mut invalid = catalog::invalid_indexes(&mut self.warehouse.session, &[oid]).await?;
        if let (Some(source), Some(source_oid)) = (&mut self.source, task.source) {
            let there = catalog::invalid_indexes(&mut source.session, &[source_oid]).await?;
            invalid.retain(|index| !there.contains(index));
        }
        answer.differences.extend(invalid.into_iter().map(|index| {
            Remark::new(format!("index {index} on {}", task.table), "not valid: queries cannot use it")
        }));
        Ok(())
    }

    /// Compares the columns, and gives the statement that hashes the rows where that is asked for and can be done.
    async fn columns(&mut self, task: &Task, answer: &mut Answer) -> Result<Option<String>> {
        let Some(source) = &mut self.source else { return Ok(None) };
        let expected = columns_of(&mut source.session, &task.table).await?;
        let found = columns_of(&mut self.warehouse.session, &task.table).await?;
        columns(&expected, &found).into_iter().for_each(|text| answer.differs(text));
        let (Some(percent), Rows::Counted) = (self.sample, task.rows) else { return Ok(None) };
        if expected.iter().any(|column| found.iter().all(|other| other.name != column.name)) {
            answer.differs("its rows were not hashed, since columns are missing".to_owned());
            return Ok(None);
        }
        let key = comparing::primary_key(&mut source.session, &task.table).await?;
        let names: Vec<String> = expected.into_iter().map(|column| column.name).collect();
        Ok(Some(comparing::buckets_statement(&task.table, &key, &names, percent)))
    }

    async fn expected_rows(&mut self, task: &Task) -> Result<Option<u64>> {
        match (task.rows, &mut self.source) {
            (Rows::Counted, Some(source)) => catalog::count(&mut source.session, &task.table).await.map(Some),
            (Rows::Written(rows), _) => Ok(Some(rows)),
            _ => Ok(None),
        }
    }

    async fn rows(&mut self, task: &Task, answer: &mut Answer) -> Result<()> {
        if matches!(task.rows, Rows::InPartitions) {
            return Ok(());
        }
        // Both end, whatever the other's end is: a session that is left in mid-answer could not go on.
        let counting = match (task.rows, &mut self.source) {
            (Rows::Counted, Some(source)) => {
                let there = catalog::count(&mut source.session, &task.table);
                let here = catalog::count(&mut self.warehouse.session, &task.table);
                let (there, here) = futures::join!(there, here);
                (Some(there?), here?)
            }
            (Rows::Written(rows), _) => {
                (Some(rows), catalog::count(&mut self.warehouse.session, &task.table).await?)
            }
            _ => return Ok(()),
        };
        (answer.table.source_rows, answer.table.warehouse_rows) = (counting.0, Some(counting.1));
        if let (Some(expected), found) = counting
            && expected != found
        {
            answer.differs(match task.rows {
                Rows::Written(_) => {
                    format!("the night wrote {}, the warehouse has {found}", counted(expected))
                }
                _ => format!("the source has {}, the warehouse {found}", counted(expected)),
            });
        }
        Ok(())
    }

    async fn hashes(&mut self, table: &TableName, statement: &str, answer: &mut Answer) -> Result<()> {
        let Some(source) = &mut self.source else { return Ok(()) };
        let there = comparing::buckets(&mut source.session, table, statement);
        let here = comparing::buckets(&mut self.warehouse.session, table, statement);
        let (there, here) = futures::join!(there, here);
        if let Some(text) = buckets(&there?, &here?) {
            answer.differs(text);
        }
        Ok(())
    }
}

/// What the warehouse's columns lack, each in words; what they have more is no difference.
fn columns(source: &[Column], warehouse: &[Column]) -> Vec<String> {
    let text =
        |column: &Column| format!("{}{}", column.type_name, if column.not_null { " not null" } else { "" });
    let differs = |column: &Column| match warehouse.iter().find(|other| other.name == column.name) {
        None => Some(format!("the warehouse lacks column {}", column.name)),
        Some(other) if text(other) != text(column) => Some(format!(
            "column {} is {} in the source, {} in the warehouse",
            column.name,
            text(column),
            text(other)
        )),
        Some(_) => None,
    };
    source.iter().filter_map(differs).collect()
}

/// How many buckets differ, and how many rows they hold on either side.
fn buckets(source: &[Bucket], warehouse: &[Bucket]) -> Option<String> {
    let by_number = |buckets: &[Bucket]| -> BTreeMap<i64, (i64, String)> {
        buckets.iter().map(|bucket| (bucket.bucket, (bucket.rows, bucket.checksum.clone()))).collect()
    };
    let (there, here) = (by_number(source), by_number(warehouse));
    let numbers: BTreeSet<i64> = there.keys().chain(here.keys()).copied().collect();
    let different: Vec<i64> =
        numbers.into_iter().filter(|number| there.get(number) != here.get(number)).collect();
    if different.is_empty() {
        return None;
    }
    let rows = |side: &BTreeMap<i64, (i64, String)>| -> u64 {
        different.iter().filter_map(|number| side.get(number)).map(|(rows, _)| rows.unsigned_abs()).sum()
    };
    Some(format!(
        "its sampled rows differ in {} of {BUCKETS} buckets, which hold {} in the source and {} in the warehouse",
        different.len(),
        counted(rows(&there)),
        rows(&here)
    ))
}

fn counted(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, type_name: &str, not_null: bool) -> Column {
        Column {
            name: name.into(),
            type_name: type_name.into(),
            cast_type: type_name.into(),
            not_null,
            has_default: false,
            generated: false,
            collatable: false,
        }
    }

    #[test]
    fn a_column_that_is_missing_or_of_another_type_is_named_and_one_more_is_not() {
        let source =
            [column("id", "bigint", true), column("name", "text", false), column("age", "integer", true)];
        let warehouse =
            [column("extra", "text", true), column("age", "integer", false), column("id", "integer", true)];
        assert_eq!(
            columns(&source, &warehouse),
            [
                "column id is bigint not null in the source, integer not null in the warehouse",
                "the warehouse lacks column name",
                "column age is integer not null in the source, integer in the warehouse",
            ]
        );
        assert_eq!(columns(&source, &source), Vec::<String>::new());
    }

    #[test]
    fn buckets_differ_by_rows_by_sum_and_by_being_there() {
        let bucket = |bucket, rows, checksum: &str| Bucket { bucket, rows, checksum: checksum.to_owned() };
        let source = [bucket(0, 5, "50"), bucket(1, 4, "40"), bucket(3, 2, "20"), bucket(7, 1, "1")];
        let warehouse = [bucket(0, 5, "50"), bucket(1, 4, "41"), bucket(3, 1, "20")];
        assert_eq!(
            buckets(&source, &warehouse).unwrap(),
            "its sampled rows differ in 3 of 16 buckets, which hold 7 rows in the source and 5 in the warehouse"
        );
        assert_eq!(buckets(&source, &source), None);
        assert_eq!(buckets(&[], &[]), None);
    }
}
