//! What the full stage wrote that made the live generation: what a later comparison holds the warehouse against.

use chrono::{DateTime, Utc};

use super::generations::ObjectRow;
use super::store::Ledger;
use crate::adapters::postgres::failed;
use crate::error::Result;
use crate::ids::{Stage, TableName};
use crate::outcome::Skipped;

/// What the full stage of the live generation wrote and left out.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its run.
    pub run_id: String,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// The tables with their rows.
    pub tables: Vec<(TableName, u64)>,
    /// The objects that it brought.
    pub objects: Vec<ObjectRow>,
    /// What it left out.
    pub skipped: Vec<Skipped>,
}

/// The last attempt that ended well, of the full stage that made the live generation.
const STAGE: &str = "select g.generation_id, s.run_id, s.attempt, s.ended_at
    from nightferry.generations g join nightferry.stages s using (run_id)
    where g.state = 'live' and s.stage = $1 and s.status = 'succeeded'
    order by s.attempt desc limit 1";

impl Ledger {
    /// What the full stage of the live generation wrote; none where no generation is live, or where no night made it.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn written(&self) -> Result<Option<Written>> {
        let doing = |error| failed("cannot read in the ledger what the last night wrote", error);
        let mut session = self.session().await?;
        let stage = Stage::FullReplication.name();
        let found: Option<(i64, String, i32, DateTime<Utc>)> =
            sqlx::query_as(STAGE).bind(stage).fetch_optional(session.raw()).await.map_err(doing)?;
        let Some((generation, run_id, attempt, ended_at)) = found else { return Ok(None) };
        let tables: Vec<(String, String, i64)> = sqlx::query_as(
            "select schema_name, table_name, rows_written from nightferry.tables
             where run_id = $1 and stage = $2 and attempt = $3 order by 1, 2",
        )
        .bind(&run_id)
        .bind(stage)
        .bind(attempt)
        .fetch_all(session.raw())
        .await
        .map_err(doing)?;
        let skipped: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "select object, reason, definition from nightferry.skipped
             where run_id = $1 and stage = $2 and attempt = $3 order by skipped_id",
        )
        .bind(&run_id)
        .bind(stage)
        .bind(attempt)
        .fetch_all(session.raw())
        .await
        .map_err(doing)?;
        // One statement at a time has the session.
        drop(session);
        let objects = self.objects_of(generation).await?;
        let table =
            |(schema, name, rows): (String, String, i64)| (TableName { schema, name }, rows.unsigned_abs());
        let left_out = |(object, reason, definition)| Skipped { object, reason, definition };
        Ok(Some(Written {
            run_id,
            ended_at,
            tables: tables.into_iter().map(table).collect(),
            objects,
            skipped: skipped.into_iter().map(left_out).collect(),
        }))
    }
}
