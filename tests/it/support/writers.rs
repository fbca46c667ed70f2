//! Writers at a source, as applications are: they draw numbers and take their time, take back what they wrote, prepare what
//! somebody else commits later, and end in another order than they began.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;

use super::TestDatabase;
use super::database::{execute_on, rows_on};

/// Where the keys of a table come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// `nextval` of this sequence, in the transaction that inserts.
    Sequence(&'static str),
    /// A uuid v7 that the application makes before its transaction begins.
    Application,
}

/// What the writers did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Transactions that were committed by their own session.
    pub(crate) committed: u64,
    /// Transactions that were rolled back by their own session.
    pub(crate) rolled_back: u64,
    /// Prepared transactions that another session committed.
    pub(crate) committed_later: u64,
    /// Prepared transactions that another session rolled back.
    pub(crate) rolled_back_later: u64,
    /// Keys that a savepoint took back, and that were inserted later in the same transaction.
    pub(crate) inserted_again: u64,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self {
            committed: self.committed + other.committed,
            rolled_back: self.rolled_back + other.rolled_back,
            committed_later: self.committed_later + other.committed_later,
            rolled_back_later: self.rolled_back_later + other.rolled_back_later,
            inserted_again: self.inserted_again + other.inserted_again,
        }
    }
}

/// A prepared transaction, and from when on somebody ends it.
#[derive(Debug)]
struct Prepared {
    name: String,
    due: Instant,
}

type Waiting = Arc<Mutex<Vec<Prepared>>>;

/// Writers at work.
#[derive(Debug)]
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Writer>>,
}

impl Writers {
    /// Starts them on these tables, each of which has a column `id` and a column `note`. Every writer has a seed of its own.
    pub(crate) async fn start(
        source: &TestDatabase,
        tables: &'static [(&'static str, Fed)],
        how_many: u64,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let waiting = Waiting::default();
        let mut tasks = Vec::new();
        for number in 1..=how_many {
            let mut writer = Writer {
                session: source.connect().await,
                source: source.clone(),
                tables,
                random: Rng::with_seed(number),
                name: format!("{} {number}", source.name()),
                begun: 0,
                waiting: waiting.clone(),
                tally: Tally::default(),
            };
            let stop = stop.clone();
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    writer.transaction().await;
                }
                writer
            }));
        }
        Self { stop, tasks }
    }

    /// Lets each end its transaction, ends those that are prepared, and closes all sessions.
    pub(crate) async fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        let mut writers = Vec::new();
        for task in self.tasks {
            writers.push(task.await.unwrap());
        }
        for mut writer in writers {
            while writer.end_one_prepared(Instant::now() + Duration::from_secs(3600)).await {}
            tally = tally.plus(writer.tally);
            writer.session.close().await.unwrap();
        }
        tally
    }
}

#[derive(Debug)]
struct Writer {
    session: PgConnection,
    source: TestDatabase,
    tables: &'static [(&'static str, Fed)],
    random: Rng,
    name: String,
    begun: u64,
    waiting: Waiting,
    tally: Tally,
}

impl Writer {
    async fn transaction(&mut self) {
        self.end_one_prepared(Instant::now()).await;
        // Often enough that the bound of a cached sequence, settled once every session of its moment has ended, moves on a
        // slow machine too.
        if self.one_in(4) {
            let fresh = self.source.connect().await;
            std::mem::replace(&mut self.session, fresh).close().await.unwrap();
        }
        let (table, fed) = self.tables[self.random.usize(..self.tables.len())];
        let rows = self.random.usize(1..=4);
        let made_before: Vec<String> = (0..rows).map(|_| uuid_v7(&mut self.random)).collect();
        self.pause().await;
        self.run("begin").await;
        for made in made_before {
            self.row(table, fed, made).await;
        }
        self.pause().await;
        self.begun += 1;
        match self.random.u8(..20) {
            0..3 => {
                self.run("rollback").await;
                self.tally.rolled_back += 1;
            }
            3..6 => self.prepare().await,
            _ => {
                self.run("commit").await;
                self.tally.committed += 1;
            }
        }
        self.sleep_up_to(1200).await;
    }

    /// One row: as it is, after a pause, or after a savepoint took it back.
    async fn row(&mut self, table: &str, fed: Fed, made: String) {
        match self.random.u8(..10) {
            0 | 1 => {
                self.run("savepoint attempt").await;
                let key = self.draw(fed, made).await;
                self.insert(table, &key).await;
                self.run("rollback to attempt").await;
                self.pause().await;
                self.insert(table, &key).await;
                self.tally.inserted_again += 1;
            }
            2 => {
                self.run("savepoint attempt").await;
                let key = self.draw(fed, made).await;
                self.insert(table, &key).await;
                self.run("rollback to attempt").await;
            }
            3 => {
                self.run("savepoint attempt").await;
                let key = self.draw(fed, made).await;
                self.insert(table, &key).await;
                self.run("release attempt").await;
            }
            _ => {
                let key = self.draw(fed, made).await;
                self.pause().await;
                self.insert(table, &key).await;
            }
        }
    }

    async fn draw(&mut self, fed: Fed, made: String) -> String {
        match fed {
            Fed::Sequence(name) => {
                rows_on(&mut self.session, &format!("select nextval('{name}')")).await.remove(0)
            }
            Fed::Application => made,
        }
    }

    async fn insert(&mut self, table: &str, key: &str) {
        let note = format!("{} {}", self.name, self.begun);
        self.run(&format!("insert into {table} (id, note) values ('{key}', '{note}')")).await;
    }

    /// Leaves the transaction to whoever comes by in a while.
    async fn prepare(&mut self) {
        let name = format!("{} {}", self.name, self.begun);
        self.run(&format!("prepare transaction '{name}'")).await;
        let due = Instant::now() + Duration::from_millis(self.random.u64(..200));
        self.waiting.lock().unwrap().push(Prepared { name, due });
    }

    /// Ends a prepared transaction, most likely another session's, where one is due by then.
    async fn end_one_prepared(&mut self, by: Instant) -> bool {
        let found = {
            let mut waiting = self.waiting.lock().unwrap();
            waiting.iter().position(|prepared| prepared.due <= by).map(|index| waiting.swap_remove(index))
        };
        let Some(Prepared { name, .. }) = found else { return false };
        if self.one_in(4) {
            self.run(&format!("rollback prepared '{name}'")).await;
            self.tally.rolled_back_later += 1;
        } else {
            self.run(&format!("commit prepared '{name}'")).await;
            self.tally.committed_later += 1;
        }
        true
    }

    async fn run(&mut self, sql: &str) {
        execute_on(&mut self.session, sql).await;
    }

    /// Mostly short or none, sometimes long.
    async fn pause(&mut self) {
        match self.random.u8(..100) {
            0..40 => {}
            40..97 => self.sleep_up_to(50).await,
            _ => self.sleep_up_to(300).await,
        }
    }

    async fn sleep_up_to(&mut self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.u64(..=milliseconds))).await;
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.random.u32(..times) == 0
    }
}

/// A uuid that begins with the time of now (RFC 9562, 5.7).
fn uuid_v7(random: &mut Rng) -> String {
    let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() & 0xffff_ffff_ffff;
    let version = 0x7_u128 << 76 | u128::from(random.u16(..0x1000)) << 64;
    let variant = 0b10_u128 << 62 | u128::from(random.u64(..) >> 2);
    let digits = format!("{:032x}", milliseconds << 80 | version | variant);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}
