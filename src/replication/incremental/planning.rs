//! Looks at every table of the stage on both sides, before anything is written.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::{Rules, TablePlan, look, looking};
use crate::adapters::ledger::source_columns_of;
use crate::adapters::postgres::columns::{Relation, relations};
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
    let there = tables(relations(&mut source).await?);
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

fn tables(relations: Vec<Relation>) -> Vec<Relation> {
    relations.into_iter().filter(|relation| relation.kind.is_table()).collect()
}

async fn plan_one(
    source: &mut Session,
    warehouse: &mut Session,
    there: &[Relation],
    written: &str,
    increment: &Increment,
    (drift, last_seen): (SchemaDrift, &BTreeMap<TableName, Value>),
) -> Result<TablePlan> {
    let names: Vec<TableName> = there.iter().map(|relation| relation.name.clone()).collect();
    let table = resolve(written, &names)
        .map_err(|problem| Error::new(ErrorKind::Schema, format!("BACKUP_MODE: {problem}")))?;
    let rules = Rules { drift, last_seen: last_seen.get(&table), types_will_come: false };
    look(source, warehouse, &table, increment, rules).await
}
