//! Looks at every table of the stage on both sides, before anything is written.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::{Rules, TablePlan, look, looking};
use crate::adapters::ledger::source_columns_of;
use crate::adapters::postgres::columns::relations;
use crate::adapters::postgres::{Database, Session};
use crate::config::{Increment, SchemaDrift};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::several::one_error;
use crate::replication::tables::resolve;

/// Plans all tables.
///
/// # Errors
/// All that does not fit, of all tables at once.
pub(super) async fn plan_all(
    source: &Database,
    warehouse: &Database,
    wanted: &[(&str, &Increment)],
    policy: SchemaDrift,
) -> Result<Vec<TablePlan>> {
    let (mut source, mut warehouse) = futures::try_join!(looking(source), looking(warehouse))?;
    let last_seen = source_columns_of(&mut warehouse).await?;
    let there = tables_of(&mut source).await?;
    let mut plans: Vec<TablePlan> = Vec::new();
    let mut problems = Vec::new();
    for (written, increment) in wanted {
        let planned =
            plan_one(&mut source, &mut warehouse, &there, written, increment, (policy, &last_seen)).await;
        match planned {
            Ok(plan) if plans.iter().any(|other| other.table == plan.table) => problems.push(Error::new(
                ErrorKind::Configuration,
                format!("{} is in BACKUP_MODE twice", plan.table),
            )),
            Ok(plan) => plans.push(plan),
            Err(error) => problems.push(error),
        }
    }
    futures::join!(source.close(), warehouse.close());
    one_error(problems, |count| format!("{count} tables cannot be brought up to date"))?;
    Ok(plans)
}

/// The tables of a side.
///
/// # Errors
/// The server cannot be asked.
pub(super) async fn tables_of(session: &mut Session) -> Result<Vec<TableName>> {
    let relations = relations(session).await?.into_iter();
    Ok(relations.filter(|relation| relation.kind.is_table()).map(|relation| relation.name).collect())
}

async fn plan_one(
    source: &mut Session,
    warehouse: &mut Session,
    there: &[TableName],
    written: &str,
    increment: &Increment,
    (drift, last_seen): (SchemaDrift, &BTreeMap<TableName, Value>),
) -> Result<TablePlan> {
    let table = resolve(written, there)
        .map_err(|problem| Error::new(ErrorKind::Schema, format!("BACKUP_MODE: {problem}")))?;
    let rules = Rules { drift, last_seen: last_seen.get(&table), types_will_come: false };
    look(source, warehouse, &table, increment, rules).await
}
