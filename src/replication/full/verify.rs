//! Step **verify**: the rows written are counted again, and what the archive lists is there and valid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::aside::Aside;
use super::constrain::{KeyFate, fate};
use super::pool;
use super::schema::Built;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::catalog::{self, Definition, Object, ObjectId, SequenceValue};
use crate::adapters::postgres::{Database, Session};
use crate::config::ForeignKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::TableOutcome;
use crate::replication::plan::{Plan, shorten};

/// Compares the new copy with what was read and with what the archive lists. Changes nothing.
///
/// # Errors
/// A `Verification` error that names what differs.
pub(super) async fn run(
    (warehouse, aside): (&Database, &Aside),
    plan: &Plan,
    built: &Built,
    foreign_keys: ForeignKeys,
    sequences: &[SequenceValue],
    jobs: usize,
    recorder: &Recorder,
) -> Result<()> {
    let mut differences = counts(warehouse, aside, jobs, recorder).await?;
    // Rolled back: the names are only for the questions.
    differences.extend(leaning_on_yesterday(warehouse, built).await?);
    let mut session = aside.begin(warehouse).await?.session;
    let objects = catalog::objects(&mut session).await?;
    let ids: BTreeSet<ObjectId> = objects.iter().map(Object::id).collect();
    let there: BTreeSet<(String, String)> =
        objects.into_iter().map(|object| (object.kind, object.identity)).collect();
    // A signature may name a type that stays (a kept table's, an extension's), which is not beside the copy yet.
    let is_there = |object: &&Object| {
        there.contains(&(object.kind.clone(), object.identity.clone()))
            || !object.is_relation() && ids.contains(&object.id())
    };
    let missing = built.objects.iter().filter(|object| !is_there(object));
    differences.extend(missing.map(|object| format!("{} is missing", object.label())));

    let relations: Vec<i64> = built
        .definitions
        .iter()
        .map(|definition| definition.relation)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let now: BTreeSet<(String, TableName, String)> =
        catalog::definitions(&mut session, &relations).await?.iter().map(key_of).collect();
    let expected = |definition: &&Definition| {
        definition.kind != "FK CONSTRAINT"
            || !matches!(fate(definition, foreign_keys, &plan.treatments), KeyFate::LeftOut(_))
    };
    let absent =
        built.definitions.iter().filter(expected).filter(|definition| !now.contains(&key_of(definition)));
    // A late materialized view got another oid when it was made for good.
    let late: BTreeSet<TableName> = built.objects.iter().map(|object| object.name()).collect();
    differences.extend(
        absent
            .filter(|definition| late.contains(&definition.table()))
            .map(|definition| format!("{} is missing", definition.label())),
    );
    let invalid = catalog::invalid_indexes(&mut session, &relations).await?;
    let unexpected = invalid.iter().filter(|index| !built.invalid_indexes.contains(*index));
    differences.extend(unexpected.map(|index| format!("index {index} is not valid")));
    for expected in sequences {
        let made = built
            .objects
            .iter()
            .any(|object| object.kind == "sequence" && object.name() == expected.sequence);
        if made && catalog::sequence_value(&mut session, expected.sequence.clone()).await? != *expected {
            differences.push(format!("sequence {} has another value", expected.sequence));
        }
    }
    session.close().await;
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Verification,
        format!("the copy differs from what was read: {}", shorten(&differences)),
    )
    .hint("run the stage again; if it happens twice, report it with the log of the night"))
}

/// What is in the copy and reads what it replaces: an enrichment file that found a table of yesterday, say.
async fn leaning_on_yesterday(warehouse: &Database, built: &Built) -> Result<Vec<String>> {
    let mut session = warehouse.connect().await?;
    let objects: BTreeMap<ObjectId, Object> =
        catalog::objects(&mut session).await?.into_iter().map(|object| (object.id(), object)).collect();
    let dependencies = catalog::dependencies(&mut session).await?;
    session.close().await;
    let in_the_copy =
        |object: &&Object| built.aside.stored().iter().any(|one| one.stored_as == object.schema_name);
    let mut found = Vec::new();
    for leaning in dependencies.iter().filter(|leaning| built.replaced.contains(&leaning.to)) {
        let from = objects.get(&leaning.from).filter(in_the_copy);
        if let (Some(from), Some(to)) = (from, objects.get(&leaning.to)) {
            found.push(format!("{} {} reads yesterday's {}", from.kind, from.object_name, to.object_name));
        }
    }
    Ok(found)
}

fn key_of(definition: &Definition) -> (String, TableName, String) {
    (definition.kind.clone(), definition.table(), definition.name.clone())
}

/// Counts every loaded table, `jobs` at a time.
async fn counts(
    warehouse: &Database,
    aside: &Aside,
    jobs: usize,
    recorder: &Recorder,
) -> Result<Vec<String>> {
    let tables = recorder.outcome().tables;
    if aside.must_always_be_entered() {
        let mut inside = aside.begin(warehouse).await?;
        let mut differences = Vec::new();
        for table in tables {
            differences.extend(count(&mut inside.session, &table.table, &table).await?);
        }
        aside.commit(inside).await?;
        return Ok(differences);
    }
    let queue = Arc::new(Mutex::new(tables));
    let differences = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for _ in 0..jobs {
        let (warehouse, aside) = (warehouse.clone(), aside.clone());
        let (queue, differences) = (queue.clone(), differences.clone());
        pool::spawn(&mut tasks, async move {
            let mut session = warehouse.connect().await?;
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(table) = next else { return Ok(()) };
                let difference = count(&mut session, &aside.place(&table.table), &table).await?;
                differences.lock().unwrap_or_else(PoisonError::into_inner).extend(difference);
            }
        });
    }
    pool::all(tasks).await?;
    let differences = std::mem::take(&mut *differences.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(differences)
}

/// How the rows of a table differ from those that were written, if they do.
async fn count(session: &mut Session, place: &TableName, table: &TableOutcome) -> Result<Option<String>> {
    let counted = catalog::count(session, place).await?;
    Ok((counted != table.rows)
        .then(|| format!("{} has {counted} rows, {} were written", table.table, table.rows)))
}
