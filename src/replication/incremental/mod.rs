//! The incremental stage: the big append-only tables, copied by a key that grows.
//!
//! Every table is looked at before the first one is written. Then each is appended in one transaction of its own,
//! several at a time; one that fails does not keep the others from being appended.

mod append;
mod key;
mod plan;

use std::time::Instant;

use futures::{FutureExt, StreamExt, stream};

use self::plan::{Side, TablePlan};
use super::several::one_error;
use super::tables::resolve;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::columns::{Relation, columns_of, relations};
use crate::adapters::postgres::{Database, Session};
use crate::config::{Config, Increment};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::TableOutcome;

/// Appends to every table whose mode is `incremental`. Running it again is safe.
///
/// # Errors
/// A table does not fit (then nothing was written), or could not be copied (the others were).
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    let wanted: Vec<(&str, &Increment)> = config.replication.modes.increments().collect();
    if wanted.is_empty() {
        tracing::info!("no table is incremental: nothing to do");
        return Ok(());
    }
    let Some(source) = &config.databases.source else {
        return Err(Error::new(
            ErrorKind::Configuration,
            "BACKUP_MODE has incremental tables, but no source",
        )
        .hint("set SOURCE_DATABASE_URL: an archive cannot be appended from"));
    };
    let source = Database::new(source, "source")?;
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    let plans = recorder.step("plan", plan_all(&source, &warehouse, &wanted)).await?;
    for skipped in plans.iter().flat_map(|plan| plan.drift.clone()) {
        recorder.skipped(skipped).await?;
    }
    let jobs = config.replication.jobs;
    recorder.step("append", append_all(&source, &warehouse, &plans, jobs, recorder)).await
}

/// Plans all tables, or tells of all problems at once.
async fn plan_all(
    source: &Database,
    warehouse: &Database,
    wanted: &[(&str, &Increment)],
) -> Result<Vec<TablePlan>> {
    let (mut source, mut warehouse) = futures::try_join!(source.connect(), warehouse.connect())?;
    let there = tables(relations(&mut source).await?);
    let here = tables(relations(&mut warehouse).await?);
    let mut plans: Vec<TablePlan> = Vec::new();
    let mut problems = Vec::new();
    for (written, increment) in wanted {
        let planned = plan_one(&mut source, &mut warehouse, (&there, &here), written, increment).await;
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
    one_error(problems, |count| format!("{count} tables cannot be appended to"))?;
    Ok(plans)
}

fn tables(relations: Vec<Relation>) -> Vec<Relation> {
    relations.into_iter().filter(|relation| relation.kind.is_table()).collect()
}

async fn plan_one(
    source: &mut Session,
    warehouse: &mut Session,
    (there, here): (&[Relation], &[Relation]),
    written: &str,
    increment: &Increment,
) -> Result<TablePlan> {
    let names: Vec<TableName> = there.iter().map(|relation| relation.name.clone()).collect();
    let table = resolve(written, &names)
        .map_err(|problem| Error::new(ErrorKind::Schema, format!("BACKUP_MODE: {problem}")))?;
    let kind_in = |relations: &[Relation]| {
        relations.iter().find(|relation| relation.name == table).map(|relation| relation.kind)
    };
    let (Some(source_kind), Some(warehouse_kind)) = (kind_in(there), kind_in(here)) else {
        return Err(Error::new(ErrorKind::Schema, format!("the warehouse has no table {table}"))
            .hint("run the full stage: it loads an incremental table whole where the warehouse lacks it"));
    };
    let source_columns = columns_of(source, &table).await?;
    let warehouse_columns = columns_of(warehouse, &table).await?;
    plan::plan(
        &table,
        increment,
        Side { kind: source_kind, columns: &source_columns },
        Side { kind: warehouse_kind, columns: &warehouse_columns },
    )
}

async fn append_all(
    source: &Database,
    warehouse: &Database,
    plans: &[TablePlan],
    jobs: usize,
    recorder: &Recorder,
) -> Result<()> {
    let tables: Vec<_> =
        plans.iter().map(|plan| append_one(source, warehouse, plan, recorder).boxed()).collect();
    let results: Vec<Result<()>> = stream::iter(tables).buffer_unordered(jobs).collect().await;
    let failures = results.into_iter().filter_map(Result::err).collect();
    one_error(failures, |count| format!("{count} of {} tables could not be appended to", plans.len()))
}

async fn append_one(
    source: &Database,
    warehouse: &Database,
    plan: &TablePlan,
    recorder: &Recorder,
) -> Result<()> {
    let start = Instant::now();
    let appended = append::append(source, warehouse, plan).await?;
    for note in appended.notes {
        recorder.skipped(note).await?;
    }
    recorder
        .table(TableOutcome {
            table: plan.table.clone(),
            treatment: "incremental",
            rows: appended.copied.rows,
            bytes: appended.copied.bytes,
            duration: start.elapsed(),
        })
        .await
}
