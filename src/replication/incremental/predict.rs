//! What the incremental stage would find tonight: each drift of a column, and what does not fit. Changes nothing.

use super::drift::Drift;
use super::plan::{Rules, look, looking};
use super::planning::tables_of;
use crate::adapters::ledger::source_columns_of;
use crate::adapters::postgres::Database;
use crate::config::{Config, Increment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::Skipped;
use crate::replication::plan::Finding;
use crate::replication::tables::resolve;

/// What would be found.
#[derive(Debug, Default)]
pub(in crate::replication) struct Prediction {
    /// What forbids the stage.
    pub(in crate::replication) problems: Vec<(ErrorKind, Finding)>,
    /// Each drift, and what would be done about it.
    pub(in crate::replication) notes: Vec<Finding>,
}

/// Looks at every table that the incremental stage brings up to date, as it will be once the full stage has run: a table that
/// the warehouse lacks is loaded whole by that one, and a name that the source does not have is its problem.
///
/// # Errors
/// A side cannot be reached.
pub(in crate::replication) async fn predict(config: &Config) -> Result<Prediction> {
    let mut prediction = Prediction::default();
    let wanted: Vec<(&str, &Increment)> = config.replication.modes.increments().collect();
    let Some(source) = config.databases.source.as_ref().filter(|_| !wanted.is_empty()) else {
        return Ok(prediction);
    };
    let source = Database::new(source, "source")?;
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    let (mut source, mut warehouse) = futures::try_join!(looking(&source), looking(&warehouse))?;
    let there = tables_of(&mut source).await?;
    let here = tables_of(&mut warehouse).await?;
    let last_seen = source_columns_of(&mut warehouse).await?;
    for (written, increment) in wanted {
        let Some(table) = resolve(written, &there).ok().filter(|table| here.contains(table)) else {
            continue;
        };
        let rules = Rules {
            drift: config.replication.drift,
            last_seen: last_seen.get(&table),
            types_will_come: true,
        };
        match look(&mut source, &mut warehouse, &table, increment, rules).await {
            Ok(plan) => prediction.expect(plan.drift),
            Err(error) => prediction.refuse(&table, &error),
        }
    }
    futures::join!(source.close(), warehouse.close());
    Ok(prediction)
}

impl Prediction {
    fn expect(&mut self, drift: Drift) {
        let finding = |note: Skipped| Finding::new(note.object, format!("tonight: {}", note.reason), "");
        self.notes.extend(drift.notes.into_iter().map(finding));
    }

    fn refuse(&mut self, table: &TableName, error: &Error) {
        let hint = error.operator_hint().unwrap_or_default();
        let finding = Finding::new(format!("table {table}"), error.to_string(), hint);
        self.problems.push((error.kind(), finding));
    }
}
