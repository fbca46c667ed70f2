//! Locks that other readers queue behind: all of them or none, within a short time.

use std::time::{Duration, Instant};

use crate::adapters::postgres::failure::failed;
use crate::adapters::postgres::ident::literal;
use crate::adapters::postgres::session::Session;
use crate::error::Result;

/// A session that holds relations.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Holder {
    /// Its process.
    pub pid: i32,
    /// Whether it is a VACUUM or the like.
    pub is_maintenance: bool,
    /// How people name it.
    pub label: String,
}

/// Locks relations against everybody, in the open transaction, within `limit` for all of them together.
///
/// Gives the moment from which others may wait.
///
/// # Errors
/// Somebody holds one of them (`Timeout`): roll back, so that those who queue behind us can go on.
pub async fn lock_relations(session: &mut Session, relations: &[i64], limit: Duration) -> Result<Instant> {
    let locks: Vec<String> = sqlx::query_scalar(include_str!("../../../../sql/catalog/lock_relations.sql"))
        .bind(relations)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read the relations to lock", error))?;
    if locks.is_empty() {
        return Ok(Instant::now());
    }
    sqlx::query(include_str!("../../../../sql/catalog/warm_views.sql"))
        .bind(relations)
        .execute(session.raw())
        .await
        .map_err(|error| failed("cannot read the views to lock", error))?;
    // One statement, so that the limit is one for all.
    let all = literal(&format!("begin {}; end", locks.join("; ")));
    let limit = limit.as_millis().max(1);
    let start = Instant::now();
    session
        .execute(&format!(
            "set local statement_timeout = {limit}; set local lock_timeout = {limit}; do {all}; set local statement_timeout = 0"
        ))
        .await?;
    Ok(start)
}

/// Who holds these relations now.
///
/// # Errors
/// The server cannot be asked.
pub async fn holders(session: &mut Session, relations: &[i64]) -> Result<Vec<Holder>> {
    sqlx::query_as(include_str!("../../../../sql/catalog/lock_holders.sql"))
        .bind(relations)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read who holds the relations", error))
}
