//! Steps **load** and **index**: tables in parallel, largest first; as soon as a table's rows are in, its indexes and keys
//! are built beside the tables that still load, and then it is analyzed.
//!
//! Each table is one transaction (TRUNCATE and COPY FREEZE): a table is either empty or whole.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::pool;
use super::rows::RowReader;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::catalog::{CopyTable, Definition};
use crate::adapters::postgres::{Database, Session, ident};
use crate::error::Result;
use crate::outcome::{ObjectOutcome, TableOutcome};

/// What is built on one table once its rows are in.
#[derive(Debug)]
struct Ready {
    table: CopyTable,
    definitions: Vec<Definition>,
}

/// Loads the tables, in the order given, with one task for each reader, and builds their `definitions` with as many.
///
/// # Errors
/// The first table or index that fails; the tables that were done stay.
pub(super) async fn run(
    readers: Vec<RowReader>,
    warehouse: &Database,
    tables: Vec<CopyTable>,
    definitions: &[Definition],
    recorder: &Recorder,
) -> Result<()> {
    let builders = readers.len();
    let (done, ready) = mpsc::unbounded_channel();
    let mut by_table = by_relation(definitions);
    let queue: VecDeque<Ready> = tables
        .into_iter()
        .map(|table| Ready { definitions: by_table.remove(&table.oid).unwrap_or_default(), table })
        .collect();
    let queue = Arc::new(Mutex::new(queue));
    let ready = Arc::new(tokio::sync::Mutex::new(ready));
    let mut tasks = JoinSet::new();
    for reader in readers {
        tasks.spawn(load_tables(reader, warehouse.clone(), queue.clone(), done.clone(), recorder.clone()));
    }
    // Only the loaders hold senders: the builders end when the last loader has.
    drop(done);
    for _ in 0..builders {
        tasks.spawn(build_tables(warehouse.clone(), ready.clone(), recorder.clone()));
    }
    pool::all(tasks).await
}

fn by_relation(definitions: &[Definition]) -> HashMap<i64, Vec<Definition>> {
    let mut by_table: HashMap<i64, Vec<Definition>> = HashMap::new();
    for definition in
        definitions.iter().filter(|definition| is_index(definition) && !definition.is_partitioned)
    {
        by_table.entry(definition.relation).or_default().push(definition.clone());
    }
    by_table
}

/// Whether a definition makes an index, by itself or for a constraint.
pub(super) fn is_index(definition: &Definition) -> bool {
    matches!(definition.kind.as_str(), "INDEX" | "CONSTRAINT")
}

async fn load_tables(
    mut reader: RowReader,
    warehouse: Database,
    queue: Arc<Mutex<VecDeque<Ready>>>,
    done: mpsc::UnboundedSender<Ready>,
    recorder: Recorder,
) -> Result<()> {
    let mut session = warehouse.connect().await?;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(next) = next else { break };
        let start = Instant::now();
        let table = next.table.name();
        let copied = load(&mut reader, &mut session, &next.table)
            .await
            .map_err(|error| error.context(format!("table {table}")))?;
        recorder
            .table(TableOutcome {
                table,
                treatment: "full",
                rows: copied.rows,
                bytes: copied.bytes,
                duration: start.elapsed(),
            })
            .await?;
        // The receiver is only gone when a builder failed; that failure ends this task.
        let _ = done.send(next);
    }
    session.close().await;
    Ok(())
}

async fn load(
    reader: &mut RowReader,
    session: &mut Session,
    table: &CopyTable,
) -> Result<crate::adapters::postgres::copy::Copied> {
    let name = ident::table(&table.name());
    session.execute(&format!("begin; truncate only {name}")).await?;
    let copied = reader.copy(table, session).await?;
    session.execute("commit").await?;
    Ok(copied)
}

async fn build_tables(
    warehouse: Database,
    ready: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Ready>>>,
    recorder: Recorder,
) -> Result<()> {
    let mut session = warehouse.connect().await?;
    loop {
        let next = ready.lock().await.recv().await;
        let Some(next) = next else { break };
        for definition in &next.definitions {
            build(&mut session, definition, &recorder).await?;
        }
        session.execute(&format!("analyze {}", ident::table(&next.table.name()))).await?;
    }
    session.close().await;
    Ok(())
}

/// Makes one index, constraint, key or trigger.
pub(super) async fn build(session: &mut Session, definition: &Definition, recorder: &Recorder) -> Result<()> {
    let start = Instant::now();
    for statement in &definition.statements {
        session.execute(statement).await.map_err(|error| error.context(definition.label()))?;
    }
    record(definition, start, recorder);
    Ok(())
}

/// Records an index, constraint, key or trigger that was made or checked since `start`.
pub(super) fn record(definition: &Definition, start: Instant, recorder: &Recorder) {
    recorder.object(ObjectOutcome {
        kind: definition.kind.clone(),
        table: definition.table(),
        name: definition.name.clone(),
        duration: start.elapsed(),
    });
}
