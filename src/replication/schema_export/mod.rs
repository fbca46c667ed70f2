//! The warehouse's schema, into another database: what a data catalogue reads, without rows, owners and privileges.
//!
//! One transaction on the target takes away what the last export brought, and nothing else, and makes the new objects: who reads the
//! target sees the last schema or the new one, never a part of either. What other people have there is never touched; where it
//! stands in the way it is named, before anything is changed. An exported table belongs to the export: who may read it goes on reading the
//! next one, but an index or a trigger that others gave it goes with it.

mod guard;
mod selection;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::archive::Archive;
use crate::adapters::postgres::catalog;
use crate::adapters::postgres::exported;
use crate::adapters::postgres::tools::{Tools, Version};
use crate::adapters::postgres::{Database, Session};
use crate::adapters::process;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::outcome::millis;
use crate::replication::plan::Finding;

/// The steps of the job in their order, as the log and the ledger name them.
pub const STEPS: [&str; 3] = ["dump", "guard", "write"];

/// How long a lock on a table of the warehouse is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long pg_dump may take for a schema.
const DUMP_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// How long the target may take. One that has gone silent would else keep the warehouse from its nights.
const TARGET_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Exports the schema. Whoever calls it holds the warehouse: no stage changes the schema meanwhile. When it fails, the target is as it was;
/// running it twice is safe.
///
/// # Errors
/// There is no target, it is one of our own databases, something of others stands in the way, or an object cannot be made there.
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    let target = target(config)?.ok_or_else(|| {
        Error::new(ErrorKind::Configuration, "DB_SCHEMA_EXPORTER_DATABASE_TARGET is not set")
            .hint("name the database that gets the warehouse's schema")
    })?;
    let dumped = recorder.step("dump", Box::pin(dump(config, recorder))).await?;
    let selection = selection::select(&dumped.archive, &dumped.staying, &dumped.extensions);
    recorder.step("guard", in_time(guard::run(config, &target, &dumped, &selection))).await?;
    for skipped in &selection.left_out {
        recorder.skipped(skipped.clone()).await?;
    }
    let start = Instant::now();
    let writing = write::run(&target, &dumped, &selection, recorder);
    let written = recorder
        .step("write", in_time(Box::pin(writing)))
        .await
        .map_err(|error| error.also_hint("the export target still has the last whole export"))?;
    tracing::info!(
        tables = written.tables,
        views = written.views,
        other_objects = written.others,
        replaced_objects = written.replaced,
        duration_ms = millis(start.elapsed()),
        "{}",
        events::SCHEMA_EXPORTED
    );
    Ok(())
}

/// Looks whether the target can be reached and written, and says when the last export was; nothing where there is no target.
///
/// # Errors
/// It cannot be reached, is one of our own databases, or nothing may be made in it.
pub async fn check(config: &Config) -> Result<Option<Finding>> {
    match target(config)? {
        Some(target) => guard::look(config, &target).await.map(Some),
        None => Ok(None),
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(TARGET_DEADLINE, work).await.unwrap_or_else(|_| {
        let waited = humantime::format_duration(TARGET_DEADLINE);
        Err(Error::new(ErrorKind::Timeout, format!("the export target has not answered for {waited}"))
            .hint("look whether its server can be reached, and what it waits for"))
    })
}

fn target(config: &Config) -> Result<Option<Database>> {
    config.schema_export.target.as_ref().map(|url| Database::new(url, "export target")).transpose()
}

/// The schema of the warehouse at one moment.
struct Dumped {
    archive: Archive,
    /// The mark of the warehouse.
    warehouse: String,
    /// Schemas that are not for others: the ledger, and generations that nobody reads.
    staying: BTreeSet<String>,
    /// The extensions, each with its schema.
    extensions: BTreeMap<String, String>,
}

async fn dump(config: &Config, recorder: &Recorder) -> Result<Dumped> {
    let ledger = recorder.ledger();
    if ledger.generations().await?.iter().any(|one| one.state == "next" && one.mode == "in_place") {
        return Err(Error::new(
            ErrorKind::Refused,
            "the last full stage worked in place and did not end well: the warehouse's schema is half of one",
        )
        .hint("run the full stage to its end, then export again"));
    }
    let mut staying: BTreeSet<String> = ledger.stored_schemas().await?.into_iter().collect();
    staying.extend(["nightferry".to_owned(), exported::SCHEMA.to_owned()]);

    let tools = Tools::find(config.replication.pg_bin_dir.as_deref()).await?;
    let mut session = Database::new(&config.databases.warehouse, "warehouse")?.connect().await?;
    check_tools(&mut session, &tools).await?;
    session.begin("isolation level repeatable read read only").await?;
    let warehouse = mark(&mut session).await?;
    let extensions = exported::extensions(&mut session).await?.into_iter().collect();
    let snapshot = catalog::text(&mut session, "select pg_export_snapshot()").await?;
    let command = tools.dump_schema(&config.databases.warehouse, &snapshot, LOCK_WAIT);
    let bytes = process::run(&command, DUMP_DEADLINE).await.map_err(|error| {
        error.also_hint(
            "pg_dump reads every definition: the role needs USAGE on the warehouse's schemas and SELECT on their tables",
        )
    })?;
    session.close().await;
    Ok(Dumped { archive: Archive::read(bytes).await?, warehouse, staying, extensions })
}

async fn check_tools(session: &mut Session, tools: &Tools) -> Result<()> {
    let server = Version::from_number(catalog::identity(session).await?.server_version.unsigned_abs());
    if server.major <= tools.version().major {
        return Ok(());
    }
    let text = format!("the warehouse is PostgreSQL {server}, but pg_dump is {}", tools.version());
    Err(Error::new(ErrorKind::Tool, text).hint(format!(
        "install postgresql-client-{} or newer, or name the folder of its tools in PG_BIN_DIR",
        server.major
    )))
}

/// What tells this warehouse from another that exports into the same database.
async fn mark(session: &mut Session) -> Result<String> {
    let marks = catalog::names(session, "select warehouse_id::text from nightferry.warehouse").await?;
    marks.into_iter().next().ok_or_else(|| {
        Error::new(ErrorKind::Refused, "the warehouse has no schema to export: no night was here")
            .hint("run the full stage first; is TARGET_DATABASE_URL the warehouse?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_target_that_says_nothing_any_more_is_not_waited_for_until_the_next_night() {
        let error = in_time(std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.to_string(), "the export target has not answered for 30m");
    }
}
