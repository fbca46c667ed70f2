//! The two stores behind one type, so that nothing else is generic: the queue library has no boxed backend.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::backend::ext::poll_strategy::{IntervalStrategy, PollWith};
use apalis_core::backend::finalize::Durable;
use apalis_core::backend::persistence::TaskPersistLayer;
use apalis_core::backend::{Backend, BackendConfig, WireFormatBackend};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use apalis_redis::RedisStorage;
use apalis_sqlite::{JsonCodec, SqliteStorage};
use serde_json::Value;
use ulid::Ulid;

use super::patient::Patient;

/// How often a queue is looked at: nothing wakes a worker when a job is pushed. Each look at a file locks it for those who write.
const POLL_EVERY: Duration = Duration::from_millis(500);
const POLL_FILE_EVERY: Duration = Duration::from_secs(1);
/// How often a worker says that it is alive, and after how many silences its job is given to another one: 20 s, 25 at most.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
pub(super) const MISSED_HEARTBEATS: usize = 4;
pub(super) const DEAD_AFTER: Duration = HEARTBEAT.saturating_mul(MISSED_HEARTBEATS as u32);

type Polled<S> = PollWith<S, IntervalStrategy>;

/// One queue, as a worker sees it. Jobs travel as JSON values, so that one that cannot be understood is refused by
/// the handler instead of killing the worker again and again.
pub(super) enum Store {
    Redis(Box<Polled<RedisStorage<Value, Patient>>>),
    Sqlite(Box<Polled<SqliteStorage<Value>>>),
}

impl Store {
    pub(super) fn redis(storage: RedisStorage<Value, Patient>) -> Self {
        Self::Redis(Box::new(PollWith::new(storage, IntervalStrategy::new(POLL_EVERY))))
    }

    pub(super) fn sqlite(storage: SqliteStorage<Value>) -> Self {
        Self::Sqlite(Box::new(PollWith::new(storage, IntervalStrategy::new(POLL_FILE_EVERY))))
    }
}

/// An error of either store.
#[derive(Debug)]
pub(super) enum StoreError {
    Redis(apalis_redis::Error),
    Sqlite(apalis_sqlite::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(error) => error.fmt(f),
            Self::Sqlite(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl Backend for Store {
    type Task = Task<Vec<u8>>;
    type Error = StoreError;

    fn poll_ready(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Redis(store) => store.poll_ready(cx, worker).map_err(StoreError::Redis),
            Self::Sqlite(store) => store.poll_ready(cx, worker).map_err(StoreError::Sqlite),
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        match self {
            Self::Redis(store) => store.poll_next(cx, worker).map_err(StoreError::Redis),
            Self::Sqlite(store) => store.poll_next(cx, worker).map_err(StoreError::Sqlite),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Redis(store) => store.poll_close(cx, worker).map_err(StoreError::Redis),
            Self::Sqlite(store) => store.poll_close(cx, worker).map_err(StoreError::Sqlite),
        }
    }
}

impl BackendConfig for Store {
    type Args = Value;
    type Id = Ulid;
    type Kind = Durable;
    type Config = ();
    type Layer = TaskPersistLayer<JsonCodec<Value>, Value>;

    fn config(&self) -> &Self::Config {
        &()
    }

    fn middleware(&mut self, worker: &mut WorkerContext) -> Self::Layer {
        match self {
            Self::Redis(store) => store.middleware(worker),
            Self::Sqlite(store) => store.middleware(worker),
        }
    }
}

impl WireFormatBackend for Store {
    type Codec = JsonCodec;
    type Compact = Vec<u8>;

    fn codec(&self) -> &Self::Codec {
        match self {
            Self::Redis(store) => store.codec(),
            Self::Sqlite(store) => store.codec(),
        }
    }
}
