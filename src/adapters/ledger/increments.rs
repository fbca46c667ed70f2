//! How far each table of the incremental stage is copied.

use chrono::{DateTime, Utc};

use super::store::Ledger;
use crate::adapters::postgres::{Session, failed};
use crate::error::Result;
use crate::ids::{RunId, TableName};

/// How far a table is copied, and of which tables that is said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The columns of the key, or the cursor.
    pub key_columns: Vec<String>,
    /// Which table of which source.
    pub source: String,
    /// The table of the warehouse.
    pub warehouse_oid: i64,
    /// Every row up to here that the source will ever commit is in the warehouse.
    pub settled: Option<Vec<String>>,
    /// The greatest key that was copied.
    pub copied_to: Option<Vec<String>>,
    /// When it was copied last.
    pub copied_at: Option<DateTime<Utc>>,
    /// The source's columns, by number.
    pub source_columns: Option<serde_json::Value>,
    /// The bounds that are copied and not settled, oldest first.
    pub bounds: Vec<OpenBound>,
}

/// A bound that is copied but not settled.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OpenBound {
    /// The greatest key that was seen.
    pub bound: Vec<String>,
    /// When it was read.
    pub read_at: DateTime<Utc>,
    /// The source's transactions that were under way then and may still be.
    pub transactions: Vec<String>,
    /// The same of its sessions.
    pub sessions: Vec<i32>,
    /// When the source's server had been started.
    pub server_started: String,
    /// Whether transactions that were prepared in the meantime are among them.
    pub prepared_listed: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    key_columns: Vec<String>,
    source: String,
    warehouse_oid: i64,
    settled: Option<Vec<String>>,
    copied_to: Option<Vec<String>>,
    copied_at: Option<DateTime<Utc>>,
    source_columns: Option<serde_json::Value>,
}

impl Ledger {
    /// How far a table is copied; none where it never was.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn progress(&self, table: &TableName) -> Result<Option<Progress>> {
        let doing = |error| failed("cannot read the bounds of the ledger", error);
        let mut session = self.session().await?;
        let row: Option<Row> = sqlx::query_as(
            "select key_columns, source, warehouse_oid, settled, copied_to, copied_at, source_columns
             from nightferry.increments where schema_name = $1 and table_name = $2",
        )
        .bind(&table.schema)
        .bind(&table.name)
        .fetch_optional(session.raw())
        .await
        .map_err(doing)?;
        let Some(row) = row else { return Ok(None) };
        let bounds: Vec<OpenBound> = sqlx::query_as(
            "select bound, read_at, transactions, sessions, server_started, prepared_listed
             from nightferry.bounds where schema_name = $1 and table_name = $2 order by read_at",
        )
        .bind(&table.schema)
        .bind(&table.name)
        .fetch_all(session.raw())
        .await
        .map_err(doing)?;
        Ok(Some(Progress {
            key_columns: row.key_columns,
            source: row.source,
            warehouse_oid: row.warehouse_oid,
            settled: row.settled,
            copied_to: row.copied_to,
            copied_at: row.copied_at,
            source_columns: row.source_columns,
            bounds,
        }))
    }
}

/// Claims the table for the transaction of `session`: whoever else copies into it has ended, or waits for us. Says when it was
/// copied last.
///
/// # Errors
/// The ledger cannot be written, or another session holds the table for longer than its lock is waited for.
pub async fn claim(session: &mut Session, table: &TableName) -> Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar(
        "insert into nightferry.increments (schema_name, table_name, key_columns, source, warehouse_oid)
         values ($1, $2, '{}', '', 0)
         on conflict (schema_name, table_name) do update set table_name = excluded.table_name
         returning copied_at",
    )
    .bind(&table.schema)
    .bind(&table.name)
    .fetch_one(session.raw())
    .await
    .map_err(|error| failed("cannot claim the table in the ledger", error))
}

/// Writes down how far a claimed table is copied, in the transaction of `session` that copied it.
///
/// # Errors
/// The ledger cannot be written.
pub async fn record_progress(
    session: &mut Session,
    table: &TableName,
    run: &RunId,
    progress: &Progress,
) -> Result<()> {
    let doing = |error| failed("cannot write the bounds to the ledger", error);
    sqlx::query(
        "update nightferry.increments set key_columns = $3, source = $4, warehouse_oid = $5,
             settled_at = case when settled is distinct from $6 then clock_timestamp() else settled_at end, settled = $6,
             copied_to = $7, copied_at = clock_timestamp(), run_id = $8, source_columns = $9
         where schema_name = $1 and table_name = $2",
    )
    .bind(&table.schema)
    .bind(&table.name)
    .bind(&progress.key_columns)
    .bind(&progress.source)
    .bind(progress.warehouse_oid)
    .bind(&progress.settled)
    .bind(&progress.copied_to)
    .bind(run.as_str())
    .bind(&progress.source_columns)
    .execute(session.raw())
    .await
    .map_err(doing)?;
    sqlx::query("delete from nightferry.bounds where schema_name = $1 and table_name = $2")
        .bind(&table.schema)
        .bind(&table.name)
        .execute(session.raw())
        .await
        .map_err(doing)?;
    for open in &progress.bounds {
        sqlx::query(
            "insert into nightferry.bounds
                 (schema_name, table_name, bound, read_at, transactions, sessions, server_started, prepared_listed)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&table.schema)
        .bind(&table.name)
        .bind(&open.bound)
        .bind(open.read_at)
        .bind(&open.transactions)
        .bind(&open.sessions)
        .bind(&open.server_started)
        .bind(open.prepared_listed)
        .execute(session.raw())
        .await
        .map_err(doing)?;
    }
    Ok(())
}
