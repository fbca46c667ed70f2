//! The full stage: the whole database, from whichever source, through one engine.

pub mod aside;
pub mod constrain;
mod finish;
mod footprint;
mod leaving;
mod load;
mod making;
mod pool;
pub mod publish;
mod rows;
mod schema;
pub mod source;
mod verify;

use std::collections::HashMap;

pub(super) use self::leaving::attempt;

use self::aside::Aside;
use self::publish::{Ground, Incoming};
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::archive::Entry;
use crate::adapters::postgres::catalog::{CopyTable, Object, TableSize};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::events;
use crate::outcome::{Skipped, millis};
use crate::replication::backup::Purpose;
use crate::replication::publishing::Publish;
use crate::replication::{enrich, preflight};

/// The steps of the stage in their order, as the log and the ledger name them.
pub const STEPS: [&str; 10] =
    ["fetch", "guard", "schema", "load", "constrain", "finish", "enrich", "dependents", "verify", "publish"];

/// The step between `guard` and `schema` of a night that reads a backup: it is fetched, and read through up to its end.
pub const BACKUP_STEP: &str = "backup";

/// Runs the stage. A failure before the schema step leaves the warehouse as it was.
///
/// # Errors
/// A guard refuses, a side fails, or the copy differs from what was read.
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    let settings = &config.replication;
    tracing::info!("{}", events::START_CREATE_BACKUP);
    let examined = recorder.step("fetch", preflight::examine(config, Purpose::Night)).await?;
    let (mut source, plan, choice) = recorder.step("guard", async { examined.admit() }).await?;
    for note in choice.notes(settings.publishing.mode) {
        let hint = (!note.hint.is_empty()).then_some(note.hint.as_str());
        tracing::info!(hint, "PUBLISH_MODE: {}", note.text);
    }
    for skipped in &plan.left_out {
        recorder.skipped(skipped.clone()).await?;
    }
    for (object, number) in &source.not_carried {
        let reason = "not carried by nightferry".to_owned();
        recorder.skipped(Skipped { object: format!("{object}: {number}"), reason, definition: None }).await?;
    }

    if !source.is_live() {
        // Before the warehouse is touched.
        recorder.step(BACKUP_STEP, source.fetch(recorder)).await?;
    }

    tracing::info!("{}", events::START_RESTORE);
    let warehouse = recorder.warehouse();
    let schema = async {
        for lost in publish::leftovers::clear(&warehouse, recorder.ledger(), None).await? {
            recorder.skipped(lost).await?;
        }
        let mut aside = Aside::next(choice.publish.schemas());
        if choice.publish.moves_objects() {
            aside = aside.moving(&settings.publishing);
        }
        schema::run(&warehouse, &source.archive, &plan, aside, &settings.publishing, recorder).await
    };
    let is_aside = choice.publish != Publish::InPlace;
    let unpublished =
        |error: Error| if is_aside { error.also_hint("what readers see is as it was") } else { error };
    let built = recorder.step("schema", schema).await.map_err(unpublished)?;
    // From here on the warehouse is known: what is in it is either ours or was not in the way.
    recorder.ledger().adopt(&[]).await?;
    let load = async {
        let readers = source.readers(settings.jobs).await?;
        let tables = largest_first(built.tables.clone(), &source.sizes);
        load::run(readers, &warehouse, &built.aside, tables, &built.definitions, recorder).await
    };
    recorder.step("load", load).await.map_err(unpublished)?;
    let constrain = constrain::run(&warehouse, &built, &plan, settings.foreign_keys, settings.jobs, recorder);
    recorder.step("constrain", constrain).await.map_err(unpublished)?;
    let last = finish::row_security(&source.archive, &plan, &built);
    let may_replace = |object: &Object| plan.may_replace(object) && !built.shared.contains(&object.id());
    let incoming = Incoming {
        generation: built.generation,
        aside: &built.aside,
        may_replace: &may_replace,
        last,
        updates: built.updates.clone(),
    };
    let ground = Ground {
        warehouse: &warehouse,
        ledger: recorder.ledger(),
        settings: &settings.publishing,
        foreign_keys: settings.foreign_keys,
    };
    let finish = async {
        finish::run(&warehouse, &source.archive, &plan, &built, &source.facts, recorder).await?;
        let held_back = built.held_back.iter().filter_map(|id| source.archive.entry(*id));
        let held_back: Vec<&Entry> = held_back.collect();
        for skipped in publish::held_back::make(&ground, &incoming, &held_back).await? {
            recorder.skipped(skipped).await?;
        }
        finish::refresh(&warehouse, &source.archive, &built, &source.facts, recorder).await
    };
    recorder.step("finish", finish).await.map_err(unpublished)?;
    tracing::info!("{}", events::RESTORE_DONE);

    recorder.step("enrich", enrich::run(config, &built.aside, recorder)).await.map_err(unpublished)?;
    let ready = recorder
        .step("dependents", prepare(&ground, &incoming, &built, recorder))
        .await
        .map_err(unpublished)?;
    let verify = verify::run(
        (&warehouse, ready.as_ref().map_or(&built.aside, publish::Ready::aside)),
        &plan,
        &built,
        settings.foreign_keys,
        &source.facts.sequences,
        settings.jobs,
        recorder,
    );
    recorder.step("verify", verify).await.map_err(unpublished)?;
    recorder.step("publish", publish(&ground, &incoming, ready, recorder)).await?;
    source.discard();
    tracing::info!("{}", events::IMPORT_AND_ENRICHMENT_DONE);
    Ok(())
}

/// Makes ready what leans on the copy; in place, most of it came back already.
async fn prepare(
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
    built: &schema::Built,
    recorder: &Recorder,
) -> Result<Option<publish::Ready>> {
    if incoming.aside.is_in_place() {
        finish::others_come_back(ground.warehouse, built, recorder).await?;
        return Ok(None);
    }
    let ready = publish::prepare(ground, incoming).await?;
    for broken in ready.broken() {
        recorder.skipped(broken.clone()).await?;
    }
    Ok(Some(ready))
}

/// Makes the new copy the one that readers see.
async fn publish(
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
    ready: Option<publish::Ready>,
    recorder: &Recorder,
) -> Result<()> {
    let Some(ready) = ready else {
        finish::secure(ground.warehouse, &incoming.last).await?;
        return ground.ledger.publish_in_place(recorder.run()).await;
    };
    let published = publish::publish(ground, incoming, ready).await?;
    tracing::info!(
        generation = incoming.generation,
        locked_ms = millis(published.locked),
        "{}",
        events::PUBLISH_DONE
    );
    for note in published.notes {
        recorder.skipped(note).await?;
    }
    if ground.settings.keep_previous {
        return Ok(());
    }
    // The new copy is live, whatever becomes of the old one: the next night drops what is left.
    match publish::leftovers::clear(ground.warehouse, ground.ledger, Some("previous")).await {
        Ok(lost) => {
            for lost in lost {
                recorder.skipped(lost).await?;
            }
        }
        Err(error) => tracing::warn!(error.message = %error, "yesterday's copy could not be dropped yet"),
    }
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
