//! The queues in a file: one machine, no Redis.

use std::path::Path;
use std::time::Duration;

use apalis_core::task::Task;
use apalis_sqlite::{Config, SqliteStorage};
use chrono::DateTime;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::job::{JobStatus, QueuedJob, error_in};
use super::store::{HEARTBEAT, MISSED_HEARTBEATS, Store};
use super::understand;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Stage;

const MIGRATION_TRIES: u32 = 10;

/// Opens the file, creating it where it is missing. The library's own set-up turns off fsync; a queue that forgets
/// what it acknowledged is none, so only its migrations are used.
pub(super) async fn open(file: &Path) -> Result<SqlitePool> {
    let doing = || format!("cannot open the queue's file {}", file.display());
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await.map_err(|error| {
        Error::new(ErrorKind::Configuration, doing())
            .hint("QUEUE_FILE must be in a folder that exists and can be written to")
            .because(error)
    })?;
    migrate(&pool).await.map_err(|error| Error::new(ErrorKind::Internal, doing()).because(error))?;
    Ok(pool)
}

/// Nothing keeps two processes from migrating a new file at once: the later one fails, and finds all done when it
/// tries again.
async fn migrate(pool: &SqlitePool) -> std::result::Result<(), sqlx::migrate::MigrateError> {
    let mut tries = 1;
    loop {
        match SqliteStorage::migrations().run(pool).await {
            Err(_) if tries < MIGRATION_TRIES => tries += 1,
            result => return result,
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(super) fn store(pool: &SqlitePool, stage: Stage) -> Store {
    let config = Config::default()
        .queue(stage.queue_name())
        .batch_size(1)
        .heartbeat_interval(HEARTBEAT)
        .missed_heartbeats(MISSED_HEARTBEATS);
    Store::sqlite(SqliteStorage::new(pool).with_config(config))
}

/// Whether it is new.
pub(super) async fn push(pool: &SqlitePool, stage: Stage, task: Task<Vec<u8>>) -> Result<bool> {
    let mut connection = pool.acquire().await.map_err(|error| failed("cannot push a job", error))?;
    match apalis_sqlite::queries::push_tasks(&mut *connection, stage.queue_name(), &[task]).await {
        Ok(()) => Ok(true),
        Err(apalis_sqlite::Error::Database(sqlx::Error::Database(error))) if error.is_unique_violation() => {
            Ok(false)
        }
        Err(error) => Err(Error::new(ErrorKind::Internal, "cannot push a job").because(error)),
    }
}

pub(super) async fn exists(pool: &SqlitePool, id: &str) -> Result<bool> {
    sqlx::query_scalar("select exists (select 1 from Jobs where id = ?)")
        .bind(id)
        .fetch_one(pool)
        .await
        .map_err(|error| failed("cannot look for a job", error))
}

pub(super) async fn jobs(pool: &SqlitePool, stage: Stage) -> Result<Vec<QueuedJob>> {
    let rows: Vec<(Vec<u8>, String, i64, Option<String>)> =
        sqlx::query_as("select job, status, run_at, last_result from Jobs where job_type = ?")
            .bind(stage.queue_name())
            .fetch_all(pool)
            .await
            .map_err(|error| failed("cannot list the jobs", error))?;
    let read = |(job, status, run_at, result): (Vec<u8>, String, i64, Option<String>)| {
        Some(QueuedJob {
            job: serde_json::from_slice(&job).ok().and_then(|value| understand(value).ok())?,
            status: JobStatus::from_store(&status),
            not_before: DateTime::from_timestamp(run_at, 0),
            error: result.as_deref().and_then(error_in),
        })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

fn failed(doing: &str, error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{doing} in the queue's file")).because(error)
}
