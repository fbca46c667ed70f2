//! `nightferry verify --incremental`: does the warehouse hold what the source has, row by row, in the tables that the incremental
//! stage brings up to date? Changes nothing.
//!
//! Whole rows are compared by ranges of the key. Of a table that only grows, what lies beyond the settled bound may come tonight:
//! it is not compared. The others are compared whole: what changed in the source since the night is a difference.

use std::sync::{Mutex, PoisonError};

use futures::future::try_join_all;
use serde::Serialize;

use super::key::{Bound, Key, Stretch};
use super::plan::TablePlan;
use super::ranges::{Difference, Sides, compare, joined};
use super::reconcile::live_rows;
use super::settle::{source_of, speaks_of};
use super::table::lack_key;
use crate::adapters::ledger::Ledger;
use crate::adapters::postgres::columns::{self, Column, columns_of};
use crate::adapters::postgres::{Database, Session, catalog};
use crate::config::{Config, Increment, Way};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::comparison::{Remark, Verdict};
use crate::replication::moment::{Moment, Reader};
use crate::replication::preflight::two_databases;
use crate::replication::tables::resolve;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Whether there is no difference.
    pub equal: bool,
    /// The tables, in the order of `BACKUP_MODE`.
    pub tables: Vec<VerifiedTable>,
    /// Worth knowing.
    pub notes: Vec<Remark>,
}

/// A compared table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedTable {
    /// Which one.
    pub table: TableName,
    /// Its mode in `BACKUP_MODE`.
    pub mode: &'static str,
    /// The columns whose ranges were compared.
    pub key: Vec<String>,
    /// The key up to which rows were compared; none for all.
    pub upto: Option<Vec<String>>,
    /// The rows of the source up to there.
    pub source_rows: u64,
    /// Those of the warehouse.
    pub warehouse_rows: u64,
    /// How they compare.
    pub result: Verdict,
    /// Where they differ, in the order of the key.
    pub differences: Vec<DifferentRange>,
}

/// A range of keys whose rows differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferentRange {
    /// The least key that a side has in it.
    pub from: Option<Vec<String>>,
    /// The greatest.
    pub upto: Option<Vec<String>>,
    /// The rows of the source.
    pub source_rows: u64,
    /// The rows of the warehouse.
    pub warehouse_rows: u64,
}

/// Compares the tables that `asked` names, or all that the incremental stage brings up to date; changes nothing.
///
/// # Errors
/// A side cannot be read, or a name is none of these tables.
pub async fn verify(config: &Config, asked: &[String]) -> Result<Verification> {
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    let ground = Ground::prepare(config, warehouse, asked).await?;
    ground.verify(config.replication.jobs).await
}

/// The databases, and the tables with the stretch of each that is compared.
pub(super) struct Ground {
    pub(super) source: Database,
    pub(super) warehouse: Database,
    pub(super) tasks: Vec<Task>,
    notes: Vec<Remark>,
}

/// A table to compare.
pub(super) struct Task {
    pub(super) plan: TablePlan,
    /// The rows of `incremental` are compared in the order of their key; the others by what tells them apart.
    pub(super) keys: (Key, Key),
    pub(super) within: Stretch,
}

impl Ground {
    pub(super) async fn prepare(config: &Config, warehouse: Database, asked: &[String]) -> Result<Self> {
        let Some(source) = &config.databases.source else {
            return Err(Error::new(
                ErrorKind::Configuration,
                "SOURCE_DATABASE_URL: not set, there is nothing to compare with",
            ));
        };
        two_databases(config).await?;
        let source = Database::new(source, "source")?;
        let wanted: Vec<(&str, &Increment)> = config.replication.modes.increments().collect();
        let mut plans = super::plan_all(&source, &warehouse, &wanted, config.replication.drift).await?;
        let names: Vec<TableName> = plans.iter().map(|plan| plan.table.clone()).collect();
        if !asked.is_empty() {
            let asked = asked.iter().map(|written| find(written, &names)).collect::<Result<Vec<_>>>()?;
            plans.retain(|plan| asked.contains(&plan.table));
        }
        let mut ground = Self { source, warehouse, tasks: Vec::new(), notes: Vec::new() };
        let ledger = Ledger::open_existing(&ground.warehouse).await?;
        let mut sessions = futures::try_join!(ground.source.connect(), ground.warehouse.connect())?;
        for plan in plans {
            let task = ground.task(&mut sessions, ledger.as_ref(), plan).await?;
            ground.tasks.push(task);
        }
        futures::join!(sessions.0.close(), sessions.1.close());
        Ok(ground)
    }

    async fn task(
        &mut self,
        (source, warehouse): &mut (Session, Session),
        ledger: Option<&Ledger>,
        mut plan: TablePlan,
    ) -> Result<Task> {
        let there = columns_of(source, &plan.table).await?;
        let here = columns_of(warehouse, &plan.table).await?;
        let has = |columns: &[Column], name: &String| columns.iter().any(|column| column.name == *name);
        // What the next night will add, rename or drop is not there yet.
        let (both, one): (Vec<_>, Vec<_>) =
            plan.columns.drain(..).partition(|name| has(&there, name) && has(&here, name));
        plan.columns = both;
        self.notes.extend(one.iter().map(|name| {
            Remark::new(
                format!("column {}.{name}", plan.table),
                "not compared: the warehouse's table does not follow the source's yet, the next night sees to it",
            )
        }));
        if let Way::Append { .. } = plan.increment.way {
            let upto = self.compared_upto(source, warehouse, ledger, &plan).await?;
            let keys = (plan.source_key.clone(), plan.warehouse_key.clone());
            self.notes.extend(rows_without(&keys.0, source).await?);
            return Ok(Task { plan, keys, within: Stretch { after: None, upto } });
        }
        let keys = (plan.source_identity.clone(), plan.warehouse_identity.clone());
        self.notes.extend(rows_without(&keys.0, source).await?);
        Ok(Task { plan, keys, within: Stretch::default() })
    }

    /// The settled bound, where the ledger has one of these very tables and this key; else the warehouse's greatest key.
    async fn compared_upto(
        &self,
        source: &mut Session,
        warehouse: &mut Session,
        ledger: Option<&Ledger>,
        plan: &TablePlan,
    ) -> Result<Option<Bound>> {
        let has_bounds = "select to_regclass('nightferry.increments')::text";
        let has_bounds = columns::text(warehouse, has_bounds, "cannot look for the ledger").await?.is_some();
        if let Some(ledger) = ledger.filter(|_| has_bounds)
            && let Some(progress) = ledger.progress(&plan.table).await?
            && speaks_of(&progress, plan, &source_of(&catalog::identity(source).await?, plan))
            && progress.settled.is_some()
        {
            return Ok(progress.settled);
        }
        let sql = plan.warehouse_key.greatest(&Stretch::default());
        columns::texts(warehouse, &sql, "cannot read the greatest key").await
    }

    /// Compares all tables, each side at one moment, `jobs` tables at a time.
    pub(super) async fn verify(&self, jobs: usize) -> Result<Verification> {
        let mut source = Moment::of(self.source.clone()).await?;
        let mut warehouse = Moment::of(self.warehouse.clone()).await?;
        let mut pairs = Vec::new();
        for _ in 0..jobs.min(self.tasks.len()) {
            pairs.push((source.reader(READER).await?, warehouse.reader(READER).await?));
        }
        let queue = Mutex::new(self.tasks.iter().enumerate());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let workers = pairs.into_iter().map(async |mut pair| {
            let mut answers = Vec::new();
            while let Some((at, task)) = next() {
                let answer = task.verify(&mut pair).await;
                answers.push((at, answer.map_err(|error| error.context(&task.plan.table))?));
            }
            futures::join!(pair.0.session.close(), pair.1.session.close());
            Ok(answers)
        });
        let answers: Vec<Vec<(usize, VerifiedTable)>> = tokio::select! {
            answers = try_join_all(workers) => answers?,
            lost = source.hold() => return Err(lost),
            lost = warehouse.hold() => return Err(lost),
        };
        futures::join!(source.session.close(), warehouse.session.close());
        let mut tables: Vec<(usize, VerifiedTable)> = answers.into_iter().flatten().collect();
        tables.sort_by_key(|(at, _)| *at);
        let tables: Vec<VerifiedTable> = tables.into_iter().map(|(_, table)| table).collect();
        let equal = tables.iter().all(|table| table.result == Verdict::Equal);
        Ok(Verification { equal, tables, notes: self.notes.clone() })
    }
}

/// Rows without a key are in no range.
async fn rows_without(key: &Key, source: &mut Session) -> Result<Option<Remark>> {
    let text = format!("the source has rows whose {} is null: they are not compared", key.label());
    let remark = Remark::new(format!("table {}", key.table()), text);
    Ok(lack_key(source, key).await?.then_some(remark))
}

/// Row security hides nothing: it fails instead.
const READER: &str = "set row_security = off";

/// Ranges whose first and last key are looked up; of the others, the bounds of the comparison are told.
const MOST_NAMED: usize = 100;

impl Task {
    /// What this task compares on either side.
    pub(super) fn sides<'a>(&'a self, warehouse_rows: Option<&'a str>) -> Sides<'a> {
        Sides { source: &self.keys.0, warehouse: &self.keys.1, hashed: &self.plan.columns, warehouse_rows }
    }

    /// The rows of the warehouse that count; none for all.
    pub(super) async fn live_rows(&self, warehouse: &mut Session) -> Result<Option<String>> {
        match self.plan.increment.way {
            Way::Reconcile { deletes, .. } => live_rows(warehouse, &self.plan, deletes).await,
            _ => Ok(None),
        }
    }

    async fn verify(&self, (source, warehouse): &mut (Reader, Reader)) -> Result<VerifiedTable> {
        source.begin().await?;
        warehouse.begin().await?;
        let (there, here) = (&mut source.session, &mut warehouse.session);
        let live = self.live_rows(here).await?;
        let compared = compare(there, here, self.sides(live.as_deref()), &self.within).await?;
        let mut differences = Vec::new();
        for (at, difference) in joined(compared.differences).into_iter().enumerate() {
            differences.push(if at < MOST_NAMED {
                self.named(there, here, difference).await?
            } else {
                different(difference)
            });
        }
        source.end().await?;
        warehouse.end().await?;
        Ok(VerifiedTable {
            table: self.plan.table.clone(),
            mode: self.plan.increment.way.name(),
            key: self.keys.0.names().map(str::to_owned).collect(),
            upto: self.within.upto.clone(),
            source_rows: compared.source_rows.unsigned_abs(),
            warehouse_rows: compared.warehouse_rows.unsigned_abs(),
            result: if differences.is_empty() { Verdict::Equal } else { Verdict::Different },
            differences,
        })
    }

    /// A difference from the least to the greatest key that a side has in it.
    async fn named(
        &self,
        source: &mut Session,
        warehouse: &mut Session,
        difference: Difference,
    ) -> Result<DifferentRange> {
        let (key, other) = (&self.keys.0, &self.keys.1);
        let doing = "cannot read the keys of a range";
        let stretch = &difference.stretch;
        let least = columns::texts(source, &key.least(stretch), doing).await?;
        let greatest = columns::texts(source, &key.greatest(stretch), doing).await?;
        let others_least = columns::texts(warehouse, &other.least(stretch), doing).await?;
        let others_greatest = columns::texts(warehouse, &other.greatest(stretch), doing).await?;
        let from = if is_beyond(source, key, &least, &others_least).await? { others_least } else { least };
        let upto = if is_beyond(source, key, &others_greatest, &greatest).await? {
            others_greatest
        } else {
            greatest
        };
        Ok(DifferentRange { from, upto, ..different(difference) })
    }
}

/// Whether `one` is beyond `other`; what is not there is on the far side of everything.
async fn is_beyond(
    session: &mut Session,
    key: &Key,
    one: &Option<Bound>,
    other: &Option<Bound>,
) -> Result<bool> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let sql = key.is_beyond(one, other);
            Ok(columns::text(session, &sql, "cannot compare the keys").await?.is_some())
        }
        _ => Ok(false),
    }
}

fn different(difference: Difference) -> DifferentRange {
    DifferentRange {
        from: difference.stretch.after,
        upto: difference.stretch.upto,
        source_rows: difference.source_rows.unsigned_abs(),
        warehouse_rows: difference.warehouse_rows.unsigned_abs(),
    }
}

fn find(written: &str, tables: &[TableName]) -> Result<TableName> {
    resolve(written, tables).map_err(|problem| {
        let problem = problem.replace("the source has no table", "BACKUP_MODE has no incremental table");
        Error::new(ErrorKind::Configuration, problem)
            .hint("without --incremental, verify compares the tables that the full stage replaces")
    })
}
