//! Steps **load** and **index**: tables in parallel, largest first; as soon as a table's rows are in, its keys and then its
//! indexes are built beside the tables that still load, and then it is analyzed.
//!
//! Each table is one transaction (TRUNCATE and COPY FREEZE): a table is either empty or whole.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::aside::Aside;
use super::pool;
use super::rows::RowReader;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::catalog::{CopyTable, Definition};
use crate::adapters::postgres::copy::Copied;
use crate::adapters::postgres::{Database, Session, ident};
use crate::error::{ErrorKind, Result};
use crate::outcome::{ObjectOutcome, TableOutcome};

/// A table to load, and what is built on it once its rows are in.
#[derive(Debug)]
struct Pending {
    table: CopyTable,
    definitions: Vec<Definition>,
}

/// What a builder does next. Each piece of work holds a sender: the builders end when the last piece is done.
#[derive(Debug)]
enum Work {
    /// The keys of a table, which exclude each other; its indexes follow.
    Keys(Pending, Builders),
    /// One index of a table, beside the others; the last one is followed by ANALYZE.
    Index(Definition, Arc<Last>, Builders),
}

/// What follows the last index of a table.
#[derive(Debug)]
struct Last {
    table: CopyTable,
    /// Whether an index calls functions of the copy.
    calls: bool,
    left: AtomicUsize,
}

type Builders = mpsc::UnboundedSender<Work>;

/// Loads the tables, in the order given, with one task for each reader, and builds their `definitions` with as many.
///
/// # Errors
/// The first table or index that fails; the tables that were done stay.
pub(super) async fn run(
    readers: Vec<RowReader>,
    warehouse: &Database,
    aside: &Aside,
    tables: Vec<CopyTable>,
    definitions: &[Definition],
    recorder: &Recorder,
) -> Result<()> {
    let builders = readers.len();
    let (build, work) = mpsc::unbounded_channel();
    let mut by_table = by_relation(definitions);
    let queue: VecDeque<Pending> = tables
        .into_iter()
        .map(|table| Pending { definitions: by_table.remove(&table.oid).unwrap_or_default(), table })
        .collect();
    let queue = Arc::new(Mutex::new(queue));
    let work = Arc::new(tokio::sync::Mutex::new(work));
    let mut tasks = JoinSet::new();
    for (reader, number) in readers.into_iter().zip(1..) {
        pool::spawn(
            &mut tasks,
            load_tables(
                reader,
                warehouse.clone(),
                aside.clone(),
                queue.clone(),
                build.clone(),
                recorder.on(format!("load {number}")),
            ),
        );
    }
    drop(build);
    for number in 1..=builders {
        pool::spawn(
            &mut tasks,
            build_indexes(
                warehouse.clone(),
                aside.clone(),
                work.clone(),
                recorder.on(format!("index {number}")),
            ),
        );
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
    aside: Aside,
    queue: Arc<Mutex<VecDeque<Pending>>>,
    builders: Builders,
    recorder: Recorder,
) -> Result<()> {
    let mut session = warehouse.connect().await?;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(next) = next else { break };
        let start = Instant::now();
        let table = next.table.name();
        let copied = load(&mut reader, &mut session, &warehouse, &aside, &next.table)
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
        let _ = builders.send(Work::Keys(next, builders.clone()));
    }
    session.close().await;
    Ok(())
}

async fn load(
    reader: &mut RowReader,
    session: &mut Session,
    warehouse: &Database,
    aside: &Aside,
    table: &CopyTable,
) -> Result<Copied> {
    if !(table.calls_functions && aside.must_find_the_new_functions()) {
        empty(session, &table.address()).await?;
        let copied = reader.copy(table, session).await?;
        session.execute("commit").await?;
        return Ok(copied);
    }
    let at_home = CopyTable { stored_as: None, ..table.clone() };
    let entered = aside.begin_on(session, warehouse).await?;
    session.execute(&format!("truncate only {}", at_home.address())).await?;
    let copied = reader.copy(&at_home, session).await?;
    aside.leave(session, entered, &[]).await?;
    session.execute("commit").await?;
    Ok(copied)
}

/// Opens the transaction and empties the table. A reader that holds it is waited for in short turns, so that other readers do
/// not queue behind us for long.
async fn empty(session: &mut Session, table: &str) -> Result<()> {
    const TURNS: u32 = 60;
    for turn in 1.. {
        let emptied =
            session.execute(&format!("begin; set local lock_timeout = '10s'; truncate only {table}")).await;
        match emptied {
            Err(error) if error.kind() == ErrorKind::Timeout && turn < TURNS => {
                session.execute("rollback").await?;
                tracing::warn!(table, turn, "another session holds the table, trying again");
            }
            result => return result,
        }
    }
    Ok(())
}

async fn build_indexes(
    warehouse: Database,
    aside: Aside,
    work: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Work>>>,
    recorder: Recorder,
) -> Result<()> {
    let mut session = warehouse.connect().await?;
    loop {
        let next = work.lock().await.recv().await;
        match next {
            None => break,
            Some(Work::Keys(pending, builders)) => {
                let table = pending.table;
                let (keys, indexes): (Vec<_>, Vec<_>) =
                    pending.definitions.into_iter().partition(|definition| definition.kind == "CONSTRAINT");
                for key in &keys {
                    build(&mut session, (&warehouse, &aside), key, &recorder).await?;
                }
                if indexes.is_empty() {
                    analyze(&mut session, (&warehouse, &aside), &table, false).await?;
                }
                let calls = indexes.iter().any(|index| calls_functions(&aside, index));
                let last = Arc::new(Last { table, calls, left: AtomicUsize::new(indexes.len()) });
                for index in indexes {
                    // The receiver is only gone when another task failed; that failure ends this one.
                    let _ = builders.send(Work::Index(index, last.clone(), builders.clone()));
                }
            }
            Some(Work::Index(index, last, _builders)) => {
                build(&mut session, (&warehouse, &aside), &index, &recorder).await?;
                if last.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    analyze(&mut session, (&warehouse, &aside), &last.table, last.calls).await?;
                }
            }
        }
    }
    session.close().await;
    Ok(())
}

/// Analyzes a table, which computes the values of its indexes' expressions too.
async fn analyze(
    session: &mut Session,
    (warehouse, aside): (&Database, &Aside),
    table: &CopyTable,
    calls: bool,
) -> Result<()> {
    if !calls {
        return session.execute(&format!("analyze {}", table.address())).await;
    }
    let entered = aside.begin_on(session, warehouse).await?;
    session.execute(&format!("analyze {}", ident::table(&table.name()))).await?;
    aside.leave(session, entered, &[]).await?;
    session.execute("commit").await
}

fn calls_functions(aside: &Aside, definition: &Definition) -> bool {
    definition.statements.iter().any(|statement| aside.calls_functions(statement))
}

/// Makes one index, constraint, key or trigger, outside of any transaction.
pub(super) async fn build(
    session: &mut Session,
    (warehouse, aside): (&Database, &Aside),
    definition: &Definition,
    recorder: &Recorder,
) -> Result<()> {
    let start = Instant::now();
    if calls_functions(aside, definition) {
        let entered = aside.begin_on(session, warehouse).await?;
        make(session, definition, &definition.home_statements).await?;
        aside.leave(session, entered, &[]).await?;
        session.execute("commit").await?;
    } else {
        make(session, definition, &definition.statements).await?;
    }
    record(definition, start, recorder).await
}

async fn make(session: &mut Session, definition: &Definition, statements: &[String]) -> Result<()> {
    for statement in statements {
        session.execute(statement).await.map_err(|error| error.context(definition.label()))?;
    }
    Ok(())
}

/// Makes one in the open transaction: nothing in it is called yet.
pub(super) async fn build_within(
    session: &mut Session,
    definition: &Definition,
    recorder: &Recorder,
) -> Result<()> {
    let start = Instant::now();
    make(session, definition, &definition.statements).await?;
    record(definition, start, recorder).await
}

/// Records an index, constraint, key or trigger that was made or checked since `start`.
pub(super) async fn record(definition: &Definition, start: Instant, recorder: &Recorder) -> Result<()> {
    recorder
        .object(ObjectOutcome {
            kind: definition.kind.clone(),
            table: definition.table(),
            name: definition.name.clone(),
            duration: start.elapsed(),
        })
        .await
}
