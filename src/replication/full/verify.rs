//! Step **verify**: the rows written are counted again, and what the archive lists is there and valid.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::constrain::{KeyFate, fate};
use super::pool;
use super::schema::Built;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::Database;
use crate::adapters::postgres::catalog::{self, Definition, SequenceValue};
use crate::config::ForeignKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::plan::{Plan, shorten};

/// Compares the new copy with what was read and with what the archive lists. Changes nothing.
///
/// # Errors
/// A `Verification` error that names what differs.
pub(super) async fn run(
    warehouse: &Database,
    plan: &Plan,
    built: &Built,
    foreign_keys: ForeignKeys,
    sequences: &[SequenceValue],
    jobs: usize,
    recorder: &Recorder,
) -> Result<()> {
    let mut differences = counts(warehouse, jobs, recorder).await?;
    let mut session = warehouse.connect().await?;
    session.execute("set search_path = ''").await?;
    let there: BTreeSet<(String, String)> = catalog::objects(&mut session)
        .await?
        .into_iter()
        .map(|object| (object.kind, object.identity))
        .collect();
    let missing = built
        .objects
        .iter()
        .filter(|object| !there.contains(&(object.kind.clone(), object.identity.clone())));
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

fn key_of(definition: &Definition) -> (String, TableName, String) {
    (definition.kind.clone(), definition.table(), definition.name.clone())
}

/// Counts every loaded table, `jobs` at a time.
async fn counts(warehouse: &Database, jobs: usize, recorder: &Recorder) -> Result<Vec<String>> {
    let queue = Arc::new(Mutex::new(recorder.outcome().tables));
    let differences = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for _ in 0..jobs {
        let (warehouse, queue, differences) = (warehouse.clone(), queue.clone(), differences.clone());
        pool::spawn(&mut tasks, async move {
            let mut session = warehouse.connect().await?;
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(table) = next else { return Ok(()) };
                let counted = catalog::count(&mut session, &table.table).await?;
                if counted != table.rows {
                    let difference =
                        format!("{} has {counted} rows, {} were written", table.table, table.rows);
                    differences.lock().unwrap_or_else(PoisonError::into_inner).push(difference);
                }
            }
        });
    }
    pool::all(tasks).await?;
    let differences = std::mem::take(&mut *differences.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(differences)
}
