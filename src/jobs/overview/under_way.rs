//! What a session of the warehouse is at, told in the names that people know. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::statement::{Subject, What, subject};
use crate::adapters::ledger::Expected;
use crate::adapters::postgres::activity::Activity;
use crate::ids::TableName;

/// How much of an unknown statement is shown.
const LONGEST: usize = 80;

/// What one connection is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnderWay {
    /// The server's process.
    pub connection: i32,
    /// The run that it is of.
    pub run_id: String,
    /// The stage.
    pub stage: String,
    /// What is done.
    pub what: What,
    /// To which table, under the name that it will have.
    pub table: Option<TableName>,
    /// Which index or constraint; of another statement, its beginning.
    pub object: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// For how long, in milliseconds.
    pub elapsed_ms: i64,
    /// What the server calls the phase of an index or an ANALYZE.
    pub phase: Option<String>,
    /// How much of it is done, in per cent: of the rows that an earlier night had, or of the phase.
    pub percent: Option<f64>,
    /// Rows of a copy so far.
    pub rows: Option<i64>,
    /// Bytes of a copy so far.
    pub bytes: Option<i64>,
    /// How many rows an earlier night had.
    pub rows_expected: Option<i64>,
    /// How long an earlier night took for it, in milliseconds.
    pub duration_expected_ms: Option<i64>,
    /// Whether it waits for a lock of another session.
    pub waits_for_lock: bool,
}

impl UnderWay {
    /// None where the session is not one that writes for a stage.
    pub(super) fn of(
        activity: &Activity,
        homes: &BTreeMap<String, String>,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let mut words = activity.application_name.strip_prefix("nightferry ")?.split(' ');
        let (run_id, stage) = (words.next()?, words.next()?);
        words.next()?.parse::<i32>().ok()?;
        let Subject { what, table, object } = subject(&activity.query);
        let told = activity.schema_name.clone().zip(activity.relation_name.clone());
        let told = told.filter(|_| !activity.is_temporary).map(|(schema, name)| TableName { schema, name });
        let table = told.or(table).map(|table| at_home(table, homes));
        let object = if what == What::Statement { Some(beginning(&activity.query)) } else { object };
        Some(Self {
            connection: activity.pid,
            run_id: run_id.to_owned(),
            stage: stage.to_owned(),
            what,
            table,
            object,
            since: activity.since,
            elapsed_ms: (now - activity.since).num_milliseconds().max(0),
            phase: activity.phase.clone(),
            percent: percent_of_phase(activity),
            rows: activity.copied_rows,
            bytes: activity.copied_bytes,
            rows_expected: None,
            duration_expected_ms: None,
            waits_for_lock: activity.waits_for_lock == Some(true),
        })
    }

    /// The name that an earlier night is asked for: schema, table, and index or constraint, empty for the table itself.
    pub(super) fn name(&self) -> Option<(String, String, String)> {
        let table = self.table.as_ref()?;
        let object = match self.what {
            What::Copy => String::new(),
            What::Index | What::Constraint | What::Validation => self.object.clone()?,
            What::Analyze | What::Refresh | What::Statement => return None,
        };
        Some((table.schema.clone(), table.name.clone(), object))
    }

    /// Adds what an earlier night tells.
    pub(super) fn compare(&mut self, expected: &[Expected]) {
        let Some((schema, table, object)) = self.name() else { return };
        let Some(found) = expected
            .iter()
            .find(|one| (&one.schema_name, &one.table_name, &one.object_name) == (&schema, &table, &object))
        else {
            return;
        };
        self.duration_expected_ms = Some(found.duration_ms);
        if self.what == What::Copy {
            self.rows_expected = Some(found.rows);
            self.percent = self.percent.or_else(|| part(self.rows?, found.rows));
        }
    }

    /// How much of what it took in an earlier night is done, in milliseconds of that night.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "milliseconds of hours")]
    pub(super) fn work_done_ms(&self) -> i64 {
        /// By the clock alone, nothing is quite done.
        const ALMOST: f64 = 0.95;
        let Some(expected) = self.duration_expected_ms else { return 0 };
        match (self.what, self.percent) {
            (What::Copy, Some(percent)) => (expected as f64 * percent / 100.0) as i64,
            _ => self.elapsed_ms.min((expected as f64 * ALMOST) as i64),
        }
    }
}

fn at_home(mut table: TableName, homes: &BTreeMap<String, String>) -> TableName {
    if let Some(home) = homes.get(&table.schema) {
        table.schema.clone_from(home);
    }
    table
}

fn percent_of_phase(activity: &Activity) -> Option<f64> {
    let of = |done: Option<i64>, total: Option<i64>| part(done?, total?);
    of(activity.copied_bytes, activity.copy_bytes_total)
        .or_else(|| of(activity.tuples_done, activity.tuples_total))
        .or_else(|| of(activity.blocks_done, activity.blocks_total))
}

/// In per cent, with one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
pub(super) fn part(done: i64, total: i64) -> Option<f64> {
    (total > 0).then(|| ((done as f64 / total as f64).clamp(0.0, 1.0) * 1000.0).round() / 10.0)
}

/// The first words of a statement, on one line.
fn beginning(sql: &str) -> String {
    let lines = sql.lines().map(str::trim).filter(|line| !line.starts_with("--"));
    let text = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T05:00:00Z".parse().unwrap()
    }

    fn activity(query: &str) -> Activity {
        Activity {
            pid: 42,
            application_name: "nightferry 20261120T041000Z full-replication 1".to_owned(),
            since: now() - chrono::TimeDelta::seconds(9),
            query: query.to_owned(),
            ..Activity::default()
        }
    }

    fn under_way(activity: &Activity) -> Option<UnderWay> {
        let homes = BTreeMap::from([("public__next".to_owned(), "public".to_owned())]);
        UnderWay::of(activity, &homes, now())
    }

    #[test]
    fn a_copy_is_told_under_its_home_name_with_its_rows() {
        let mut copy = activity("COPY \"public__next\".\"users\" FROM STDIN");
        copy.schema_name = Some("public__next".to_owned());
        copy.relation_name = Some("users".to_owned());
        copy.copied_rows = Some(250);
        copy.copied_bytes = Some(9_000);
        let mut told = under_way(&copy).unwrap();
        assert_eq!((told.run_id.as_str(), told.stage.as_str()), ("20261120T041000Z", "full-replication"));
        assert_eq!(told.table, Some(TableName::new("public", "users")));
        assert_eq!(
            (told.what, told.rows, told.bytes, told.elapsed_ms),
            (What::Copy, Some(250), Some(9_000), 9_000)
        );
        assert_eq!(told.percent, None, "nobody knows how many will come");
        let expected = Expected {
            schema_name: "public".to_owned(),
            table_name: "users".to_owned(),
            object_name: String::new(),
            rows: 1_000,
            duration_ms: 40_000,
        };
        told.compare(&[expected]);
        assert_eq!(
            (told.percent, told.rows_expected, told.work_done_ms()),
            (Some(25.0), Some(1_000), 10_000)
        );
    }

    #[test]
    fn an_index_has_its_phase_and_how_much_of_it_is_done() {
        let mut index = activity("CREATE INDEX users_email ON public__next.users USING btree (email)");
        index.schema_name = Some("public__next".to_owned());
        index.relation_name = Some("users".to_owned());
        index.phase = Some("building index: loading tuples in tree".to_owned());
        index.blocks_done = Some(10);
        index.blocks_total = Some(10);
        index.tuples_done = Some(1);
        index.tuples_total = Some(3);
        let told = under_way(&index).unwrap();
        assert_eq!((told.object.as_deref(), told.percent), (Some("users_email"), Some(33.3)));
        assert_eq!(told.name(), Some(("public".to_owned(), "users".to_owned(), "users_email".to_owned())));
    }

    #[test]
    fn a_validation_is_told_with_its_time_and_a_statement_by_its_beginning() {
        let told =
            under_way(&activity("alter table \"public__next\".\"a\" validate constraint \"a_b\"")).unwrap();
        assert_eq!(
            (told.what, told.object.as_deref(), told.elapsed_ms),
            (What::Validation, Some("a_b"), 9_000)
        );
        let told = under_way(&activity("-- why\nselect  pg_sleep(1),\n  2")).unwrap();
        assert_eq!((told.what, told.object.as_deref()), (What::Statement, Some("select pg_sleep(1), 2")));
        let told = under_way(&activity(&"é ".repeat(200))).unwrap();
        assert_eq!(told.object.unwrap().chars().count(), LONGEST + 1);
    }

    #[test]
    fn who_does_not_write_for_a_stage_is_left_out() {
        for name in [
            "nightferry 20261120T041000Z",
            "nightferry 04:10Z 20261120T041000Z full on host-1",
            "nightferry status",
            "psql",
        ] {
            assert_eq!(
                under_way(&Activity { application_name: name.to_owned(), ..activity("select 1") }),
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn by_the_clock_alone_nothing_is_quite_done() {
        let mut told = under_way(&activity("alter table a validate constraint b")).unwrap();
        told.duration_expected_ms = Some(4_000);
        assert_eq!(told.work_done_ms(), 3_800);
        told.duration_expected_ms = Some(90_000);
        assert_eq!(told.work_done_ms(), 9_000);
    }
}
