//! The generations that the warehouse holds, with what they take.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::adapters::ledger::{Generation, Ledger};
use crate::adapters::postgres::catalog;
use crate::adapters::postgres::{Database, Session};
use crate::config::Config;
use crate::error::Result;
use crate::ids::TableName;

/// A generation, with what it takes.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its number.
    pub generation: i64,
    /// `next`: of a night that is at work or did not end well; `live`; `previous`.
    pub state: String,
    /// The run that made it; none for what was there before nightferry.
    pub run: Option<String>,
    /// `swap` or `in_place`.
    pub mode: String,
    /// When its building began.
    pub created_at: DateTime<Utc>,
    /// When it last became live.
    pub published_at: Option<DateTime<Utc>>,
    /// How long ago its building began.
    pub age_seconds: i64,
    /// The bytes of its tables and materialized views on disk, indexes included.
    pub bytes: i64,
    /// The schemas that it is in now.
    pub schemas: Vec<String>,
}

/// Lists them, the newest first; none where no night was here.
///
/// # Errors
/// The warehouse cannot be reached.
pub async fn list(config: &Config, now: DateTime<Utc>) -> Result<Vec<Listed>> {
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    let Some(ledger) = Ledger::open_existing(&warehouse).await? else { return Ok(Vec::new()) };
    let stored = ledger.stored().await?;
    let mut session = warehouse.connect().await?;
    let mut listed = Vec::new();
    for generation in ledger.generations().await? {
        let stored = stored.iter().filter(|schema| schema.generation_id == generation.generation_id);
        let schemas: Vec<String> = stored.map(|schema| schema.stored_as.clone()).collect();
        let one = if schemas.is_empty() {
            in_its_own_names(&mut session, &ledger, generation, now).await?
        } else {
            let bytes = catalog::relations_size(&mut session, &schemas, &[]).await?;
            of(generation, bytes, schemas, now)
        };
        listed.push(one);
    }
    session.close().await;
    Ok(listed)
}

/// A generation whose objects share their schemas with tables that are not of it.
async fn in_its_own_names(
    session: &mut Session,
    ledger: &Ledger,
    generation: Generation,
    now: DateTime<Utc>,
) -> Result<Listed> {
    let objects = ledger.objects_of(generation.generation_id).await?;
    let is_relation = |kind: &str| matches!(kind, "table" | "materialized view");
    let relations: Vec<TableName> = objects
        .iter()
        .filter(|object| is_relation(&object.kind))
        .map(|object| TableName::new(&object.schema_name, &object.object_name))
        .collect();
    let schemas: BTreeSet<String> = objects.into_iter().map(|object| object.schema_name).collect();
    let schemas = schemas.into_iter().filter(|schema| !schema.is_empty()).collect();
    let bytes = catalog::relations_size(session, &[], &relations).await?;
    Ok(of(generation, bytes, schemas, now))
}

fn of(generation: Generation, bytes: i64, schemas: Vec<String>, now: DateTime<Utc>) -> Listed {
    Listed {
        generation: generation.generation_id,
        state: generation.state,
        run: generation.run_id,
        mode: generation.mode,
        age_seconds: (now - generation.created_at).num_seconds().max(0),
        created_at: generation.created_at,
        published_at: generation.published_at,
        bytes,
        schemas,
    }
}
