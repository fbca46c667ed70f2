//! The backups that were read, and those that were pushed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::recorder::Recorder;
use super::store::Ledger;
use crate::adapters::postgres::failed;
use crate::error::Result;
use crate::ids::RunId;
use crate::outcome::millis;

/// The backup that a full stage read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceBackup {
    /// `scalingo`, `s3`, `url`, `path`.
    pub source: &'static str,
    /// What people call it.
    pub name: String,
    /// When it was taken, where that is known.
    pub taken_at: Option<DateTime<Utc>>,
    /// Its bytes at the provider.
    pub bytes: Option<u64>,
    /// Its bytes as pg_restore reads them.
    pub archive_bytes: u64,
    /// Whether an earlier try had downloaded it.
    pub was_kept: bool,
    /// How long it took to get.
    pub duration: Duration,
}

/// A backup that was pushed and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedBackup {
    /// Where it is.
    pub bucket: String,
    /// Its key there.
    pub name: String,
    /// The moment of the source that it holds.
    pub taken_at: DateTime<Utc>,
    /// Its bytes in the bucket.
    pub bytes: u64,
    /// Their SHA-256 in hex.
    pub sha256: String,
    /// Whether a private key is needed to read it.
    pub is_encrypted: bool,
}

/// A number for the ledger, which has no larger ones.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Recorder {
    /// Writes down which backup this attempt reads.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn source_backup(&self, backup: &SourceBackup) -> Result<()> {
        let (run, stage, attempt) = self.key();
        sqlx::query(
            "insert into nightferry.source_backups values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             on conflict (run_id, stage, attempt) do nothing",
        )
        .bind(run.as_str())
        .bind(stage.name())
        .bind(attempt)
        .bind(backup.source)
        .bind(&backup.name)
        .bind(backup.taken_at)
        .bind(backup.bytes.map(whole))
        .bind(whole(backup.archive_bytes))
        .bind(backup.was_kept)
        .bind(whole(millis(backup.duration)))
        .execute(self.ledger().session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write to the ledger which backup is read", error))
    }
}

impl Ledger {
    /// Writes down a backup that was pushed and read back.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn backup_pushed(&self, run: &RunId, backup: &PushedBackup) -> Result<()> {
        sqlx::query(
            "insert into nightferry.pushed_backups (bucket, name, run_id, taken_at, bytes, sha256, is_encrypted)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&backup.bucket)
        .bind(&backup.name)
        .bind(run.as_str())
        .bind(backup.taken_at)
        .bind(whole(backup.bytes))
        .bind(&backup.sha256)
        .bind(backup.is_encrypted)
        .execute(self.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write to the ledger what was pushed", error))
    }

    /// Writes down that a backup was removed.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn backup_removed(&self, bucket: &str, name: &str) -> Result<()> {
        sqlx::query(
            "update nightferry.pushed_backups set removed_at = clock_timestamp() where (bucket, name) = ($1, $2)",
        )
        .bind(bucket)
        .bind(name)
        .execute(self.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write to the ledger what was removed", error))
    }
}
