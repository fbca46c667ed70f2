//! The nights, and what the warehouse holds.

use chrono::{DateTime, Utc};

use super::{LedgerReader, unread};
use crate::error::Result;

/// A run, as a line among others.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct NightRow {
    /// Its name.
    pub run_id: String,
    /// `schedule`, `command`, `restart`.
    pub origin: String,
    /// `running`, `succeeded`, `failed`, `interrupted`.
    pub status: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How many tables its stages wrote that ended well.
    pub tables_written: i64,
    /// How many rows.
    pub rows_written: i64,
    /// How many bytes.
    pub bytes_written: i64,
    /// The error's kind.
    pub error_kind: Option<String>,
    /// What ended it.
    pub error: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where it ran.
    pub host: String,
    /// The version that ran it.
    pub version: String,
    /// Whether it is a night; else one stage that was done by hand, or a job beside the night.
    pub is_night: bool,
}

/// The copy that readers see.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LiveCopy {
    /// The run that made it; none for what was there before nightferry.
    pub run_id: Option<String>,
    /// `whole`, `filling`, `unfinished` or `foreign`, as docs/ledger.md has it.
    pub state: String,
    /// When its building began.
    pub begun_at: DateTime<Utc>,
    /// When it became live.
    pub published_at: Option<DateTime<Utc>>,
    /// When the backup was taken that it comes from, or when the source began to be read; none where it is not whole.
    pub fresh_as_of: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "run_id, origin, status, started_at, ended_at, tables_written, rows_written, bytes_written, error_kind, error, hint, host, version, is_night";

impl LedgerReader {
    /// The runs, the latest first, and how many there are.
    ///
    /// # Errors
    /// The warehouse cannot be reached, or has no ledger of this version.
    pub async fn nights(&self, limit: i64, skip: i64) -> Result<(Vec<NightRow>, i64)> {
        self.ask(async |session| {
            let sql = format!(
                "select {COLUMNS} from nightferry.run_history order by started_at desc, run_id desc limit $1 offset $2"
            );
            let nights = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .bind(limit)
                .bind(skip)
                .fetch_all(session.raw())
                .await
                .map_err(unread)?;
            let all = sqlx::query_scalar("select count(*) from nightferry.runs")
                .fetch_one(session.raw())
                .await
                .map_err(unread)?;
            Ok((nights, all))
        })
        .await
    }

    /// One run; none where the ledger has no such one.
    ///
    /// # Errors
    /// Those of [`LedgerReader::nights`].
    pub async fn night(&self, run: &str) -> Result<Option<NightRow>> {
        self.ask(async |session| {
            let sql = format!("select {COLUMNS} from nightferry.run_history where run_id = $1");
            sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .bind(run)
                .fetch_optional(session.raw())
                .await
                .map_err(unread)
        })
        .await
    }

    /// The copy that readers see; none where no night has published one, or begun one in place.
    ///
    /// # Errors
    /// Those of [`LedgerReader::nights`].
    pub async fn live_copy(&self) -> Result<Option<LiveCopy>> {
        self.ask(async |session| {
            sqlx::query_as(
                "select run_id, state, begun_at, published_at, fresh_as_of from nightferry.live_copy",
            )
            .fetch_optional(session.raw())
            .await
            .map_err(unread)
        })
        .await
    }
}
