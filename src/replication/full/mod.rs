//! The full stage: the whole database, from whichever source, through one engine.

pub mod constrain;
mod finish;
mod footprint;
mod leaving;
mod load;
mod pool;
mod rows;
mod schema;
pub mod source;
mod verify;

use std::collections::HashMap;

use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::Database;
use crate::adapters::postgres::catalog::{CopyTable, TableSize};
use crate::config::Config;
use crate::error::Result;
use crate::events;
use crate::outcome::Skipped;
use crate::replication::{enrich, preflight};

/// Runs the stage. A failure before the schema step leaves the warehouse as it was.
///
/// # Errors
/// A guard refuses, a side fails, or the copy differs from what was read.
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    let settings = &config.replication;
    tracing::info!("{}", events::START_CREATE_BACKUP);
    let examined = recorder.step("fetch", preflight::examine(config)).await?;
    let (source, plan) = recorder.step("guard", async { examined.admit() }).await?;
    for skipped in &plan.left_out {
        recorder.skipped(skipped.clone()).await?;
    }
    for (object, number) in &source.not_carried {
        let reason = "not carried by nightferry".to_owned();
        recorder.skipped(Skipped { object: format!("{object}: {number}"), reason, definition: None }).await?;
    }

    tracing::info!("{}", events::START_RESTORE);
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    let built = recorder.step("schema", schema::run(&warehouse, &source.archive, &plan, recorder)).await?;
    // From here on the warehouse is known: what is in it is either ours or was not in the way.
    recorder.ledger().adopt(&[]).await?;
    let load = async {
        let readers = source.readers(settings.jobs).await?;
        let tables = largest_first(built.tables.clone(), &source.sizes);
        load::run(readers, &warehouse, tables, &built.definitions, recorder).await
    };
    recorder.step("load", load).await?;
    let constrain = constrain::run(&warehouse, &built, &plan, settings.foreign_keys, settings.jobs, recorder);
    recorder.step("constrain", constrain).await?;
    recorder
        .step("finish", finish::run(&warehouse, &source.archive, &plan, &built, &source.facts, recorder))
        .await?;
    tracing::info!("{}", events::RESTORE_DONE);

    recorder.step("enrich", enrich::run(config, recorder)).await?;
    let verify = verify::run(
        &warehouse,
        &plan,
        &built,
        settings.foreign_keys,
        &source.facts.sequences,
        settings.jobs,
        recorder,
    );
    recorder.step("verify", verify).await?;
    let publish = async {
        finish::secure(&warehouse, &source.archive, &plan, &built).await?;
        recorder.ledger().publish_generation(recorder.run()).await
    };
    recorder.step("publish", publish).await?;
    tracing::info!("{}", events::IMPORT_AND_ENRICHMENT_DONE);
    Ok(())
}

/// The largest tables first: the last to end is then a small one.
fn largest_first(mut tables: Vec<CopyTable>, sizes: &[TableSize]) -> Vec<CopyTable> {
    let bytes: HashMap<(&str, &str), i64> = sizes
        .iter()
        .map(|size| ((size.schema_name.as_str(), size.table_name.as_str()), size.bytes))
        .collect();
    let size = |table: &CopyTable| {
        bytes.get(&(table.schema_name.as_str(), table.table_name.as_str())).copied().unwrap_or(0)
    };
    tables.sort_by_key(|table| {
        (std::cmp::Reverse(size(table)), table.schema_name.clone(), table.table_name.clone())
    });
    tables
}
