//! The enrichment: files of SQL, run over the copy in the order of their numbers, each in one transaction.
//!
//! Names without a schema mean the new copy, wherever it is built, and the tables that the night keeps. A file that names a
//! replicated schema, or one of its functions, runs, where the copy is built aside, in a transaction in which the copy has that
//! name; it keeps other such files waiting. A file is only run where the tables are that its header names, and every file can be run over its own result.
//! Files of the same number are independent of each other and run at the same time, on as many connections as there are jobs: a new
//! one for each file, since what a file sets must not reach the next.

mod files;
mod header;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::try_join_all;

use self::files::File;
use self::header::Header;
use super::full::aside::Aside;
use super::tables::resolve;
use crate::adapters::ledger::{Disposition, ObjectRow, Recorder};
use crate::adapters::postgres::catalog::{Object, ObjectId};
use crate::adapters::postgres::columns::{Relation, relations};
use crate::adapters::postgres::generation::aside_of;
use crate::adapters::postgres::ident::ident;
use crate::adapters::postgres::{Database, Session, catalog, run_script};
use crate::config::{BackupModes, Config};
use crate::error::{Error, Result};
use crate::events;
use crate::ids::TableName;
use crate::outcome::{ObjectOutcome, Skipped};

const KEPT_UNQUALIFIED: &str =
    "a table that the night keeps is only found here without its schema: write its name alone, or all names";

/// Unqualified names in the files are of this schema.
const SCHEMA: &str = "public";

/// Runs the files of the enrichment folder. What they do is repeatable: running it again is safe.
///
/// # Errors
/// The folder is missing, a header cannot be understood (then nothing was run), or a statement fails: its file is named.
pub async fn run(config: &Config, aside: &Aside, recorder: &Recorder) -> Result<()> {
    let files = files::read(&config.replication.enrichment_dir, SCHEMA).await?;
    tracing::info!(files = files.len(), "{}", events::ENRICHMENT_STARTED);
    let warehouse = recorder.warehouse();
    let adopted = recorder.ledger().adopted().await?.unwrap_or_default();
    let adopted: Vec<TableName> = adopted
        .into_iter()
        .filter(|(_, disposition)| *disposition == Disposition::Kept)
        .map(|(table, _)| table)
        .collect();
    for group in files.chunk_by(|left, right| left.number == right.number) {
        // Asked again for each number: an earlier file may have made what a later one needs.
        let mut session = warehouse.connect().await?;
        let there = called_home(relations(&mut session).await?, aside);
        session.close().await;
        let mut kept = kept_tables(&config.replication.modes, &there);
        kept.extend(adopted.iter().cloned());
        let mut runnable = VecDeque::new();
        for file in group {
            match reason_to_skip(&file.header, &there, &kept) {
                None => runnable.push_back(file),
                Some(reason) => recorder.skipped(skipped(file, reason)).await?,
            }
        }
        let left = Mutex::new(runnable);
        let workers = (1..=config.replication.jobs).map(|number| {
            let recorder = recorder.on(format!("enrichment {number}"));
            run_files(&warehouse, &left, aside, recorder).boxed()
        });
        try_join_all(workers).await?;
    }
    tracing::info!("{}", events::ENRICHMENT_ENDED);
    Ok(())
}

/// Reads the files without running them.
///
/// # Errors
/// The folder is missing, or a header cannot be understood.
pub async fn check(config: &Config) -> Result<()> {
    files::read(&config.replication.enrichment_dir, SCHEMA).await.map(|_| ())
}

/// The relations of the copy and those that stay, by the names that readers use.
fn called_home(relations: Vec<Relation>, aside: &Aside) -> Vec<Relation> {
    let home =
        |relation: Relation| aside.home(relation.name).map(|name| Relation { name, kind: relation.kind });
    relations.into_iter().filter_map(home).collect()
}

fn skipped(file: &File, reason: String) -> Skipped {
    Skipped { object: format!("enrichment {}", file.name), reason, definition: None }
}

/// The tables that `BACKUP_MODE` keeps from being replaced; a name that is not in the warehouse keeps nothing here.
fn kept_tables(modes: &BackupModes, there: &[Relation]) -> Vec<TableName> {
    let tables: Vec<TableName> = there
        .iter()
        .filter(|relation| relation.kind.is_table())
        .map(|relation| relation.name.clone())
        .collect();
    modes.iter().filter_map(|(written, _)| resolve(written, &tables).ok()).collect()
}

fn reason_to_skip(header: &Header, there: &[Relation], kept: &[TableName]) -> Option<String> {
    let has = |name: &TableName, tables_only: bool| {
        let fits = |relation: &Relation| {
            if tables_only { relation.kind.is_table() } else { relation.kind.is_readable() }
        };
        there.iter().any(|relation| relation.name == *name && fits(relation))
    };
    if let Some(missing) = header.needs.iter().find(|name| !has(name, false)) {
        return Some(format!("it needs {missing}, which is not there"));
    }
    if let Some(present) = header.unless.iter().find(|name| has(name, true)) {
        return Some(format!("there is a table {present}"));
    }
    let kept = header.needs.iter().find(|name| header.not_for_kept && kept.contains(name))?;
    Some(format!("it is not for kept tables, and {kept} is kept (BACKUP_MODE, or adopted so)"))
}

/// Runs files that nobody has taken yet, one after the other.
async fn run_files(
    warehouse: &Database,
    left: &Mutex<VecDeque<&File>>,
    aside: &Aside,
    recorder: Recorder,
) -> Result<()> {
    loop {
        let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(file) = next else { return Ok(()) };
        run_file(warehouse, file, aside, &recorder).await?;
    }
}

/// Runs one file in one transaction; what it did before an error is undone. What it makes is written to the ledger: the next
/// night replaces it like everything that this one brings.
async fn run_file(warehouse: &Database, file: &File, aside: &Aside, recorder: &Recorder) -> Result<()> {
    let start = Instant::now();
    let work = async {
        if aside.is_in_place() {
            return run_in_place(warehouse, file, recorder).await;
        }
        let made = if aside.must_be_entered_for(&file.sql) {
            run_inside(warehouse, file, aside).await?
        } else {
            run_aside(warehouse, file, aside).await?
        };
        // Under the names that readers use, as the ledger has them.
        let mut inside = aside.begin(warehouse).await?;
        let mut objects = catalog::objects(&mut inside.session).await?;
        objects.retain(|object| made.contains(&object.id()));
        let rows: Vec<ObjectRow> = objects.iter().map(ObjectRow::from).collect();
        recorder.ledger().extend_generation(&mut inside.session, &rows).await?;
        aside.commit(inside).await
    };
    work.await.map_err(|error: Error| error.context("enrichment"))?;
    let table = file.header.needs.first().cloned().unwrap_or_else(|| TableName::new(SCHEMA, ""));
    recorder
        .object(ObjectOutcome {
            kind: "ENRICHMENT".to_owned(),
            table,
            name: file.name.clone(),
            duration: start.elapsed(),
        })
        .await
}

async fn run_in_place(warehouse: &Database, file: &File, recorder: &Recorder) -> Result<()> {
    let mut session = warehouse.connect().await?;
    session
        .execute(&format!(
            "begin; set local lock_timeout = '5min'; set local search_path to {}",
            ident(SCHEMA)
        ))
        .await?;
    let made = run_statements(&mut session, file).await?;
    let rows: Vec<ObjectRow> = made.iter().map(ObjectRow::from).collect();
    recorder.ledger().extend_generation(&mut session, &rows).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(())
}

/// Runs the file in the open transaction; gives what it made.
async fn run_statements(session: &mut Session, file: &File) -> Result<Vec<Object>> {
    let before = catalog::objects(session).await?;
    run_script(session, &file.name, &file.sql).await?;
    catalog::made_here(session, &before).await
}

/// Names without a schema are looked up in the copy, and then among what stays in the schema of readers.
async fn run_aside(warehouse: &Database, file: &File, aside: &Aside) -> Result<Vec<ObjectId>> {
    let mut session = warehouse.connect().await?;
    let path = [aside.place_of(SCHEMA), SCHEMA].map(ident).join(", ");
    session
        .execute(&format!("begin; set local lock_timeout = '5min'; set local search_path to {path}"))
        .await?;
    let made = run_statements(&mut session, file).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(made.iter().map(Object::id).collect())
}

/// The copy has the names that readers use meanwhile. Files that need this wait for each other, however long they take.
async fn run_inside(warehouse: &Database, file: &File, aside: &Aside) -> Result<Vec<ObjectId>> {
    let mut inside = aside.begin(warehouse).await?;
    let session = &mut inside.session;
    let path = [SCHEMA, &aside_of(SCHEMA)].map(ident).join(", ");
    let settings = "set local lock_timeout = '5min'; set local check_function_bodies = on;";
    session.execute(&format!("{settings} set local search_path to {path}")).await?;
    let made = run_statements(session, file).await.map_err(|error| error.hint(KEPT_UNQUALIFIED))?;
    session.execute("set local search_path = ''").await?;
    aside.commit_with(inside, &made).await?;
    Ok(made.iter().map(Object::id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::postgres::columns::RelationKind;

    fn reason(header: &str, there: &[(&str, RelationKind)], kept: &[&str]) -> Option<String> {
        let there: Vec<Relation> = there
            .iter()
            .map(|(name, kind)| Relation { name: TableName::new("public", *name), kind: *kind })
            .collect();
        let kept: Vec<TableName> = kept.iter().map(|name| TableName::new("public", *name)).collect();
        reason_to_skip(&header::parse(header, "public").unwrap(), &there, &kept)
    }

    #[test]
    fn a_file_is_run_where_all_that_it_needs_is_there() {
        let header = "-- needs: a, v";
        let there = [("a", RelationKind::Table), ("v", RelationKind::View)];
        assert_eq!(reason(header, &there, &["a"]), None);
        assert!(reason(header, &there[..1], &[]).unwrap().contains("public.v"));
    }

    #[test]
    fn the_view_that_a_file_made_does_not_keep_it_from_being_run_again() {
        let header = "-- needs: new\n-- unless: old";
        assert_eq!(reason(header, &[("new", RelationKind::Table), ("old", RelationKind::View)], &[]), None);
        let both = [("new", RelationKind::Table), ("old", RelationKind::Table)];
        assert!(reason(header, &both, &[]).unwrap().contains("there is a table public.old"));
    }

    #[test]
    fn a_kept_table_keeps_a_file_away_that_says_so() {
        let header = "-- needs: a, b\n-- not for kept tables";
        let there = [("a", RelationKind::Table), ("b", RelationKind::Table)];
        assert_eq!(reason(header, &there, &["c"]), None);
        assert!(reason(header, &there, &["b"]).unwrap().contains("public.b is kept"));
    }
}
