//! The nights, and what the warehouse holds.

use chrono::{DateTime, Utc};

use super::READING;
use crate::adapters::ledger::reader::{LedgerView, composed};
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

impl LedgerView {
    /// The runs, the latest first, and how many there are.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn nights(&mut self, limit: i64, skip: i64) -> Result<(Vec<NightRow>, i64)> {
        let sql = format!(
            "select {COLUMNS} from nightferry.run_history order by started_at desc, run_id desc limit $1 offset $2"
        );
        let query = composed(sql).bind(limit).bind(skip);
        let nights = self.all(READING, query).await?;
        let (all,) = self.one(READING, sqlx::query_as("select count(*) from nightferry.runs")).await?;
        Ok((nights, all))
    }

    /// One run; none where the ledger has no such one.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn night(&mut self, run: &str) -> Result<Option<NightRow>> {
        let sql = format!("select {COLUMNS} from nightferry.run_history where run_id = $1");
        self.first(READING, composed(sql).bind(run)).await
    }

    /// The copy that readers see; none where no night has published one, or begun one in place.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn live_copy(&mut self) -> Result<Option<LiveCopy>> {
        let sql = "select run_id, state, begun_at, published_at, fresh_as_of from nightferry.live_copy";
        self.first(READING, sqlx::query_as(sql)).await
    }
}
