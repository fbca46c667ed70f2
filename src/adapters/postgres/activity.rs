//! What nightferry's sessions on a server are doing at this moment, and who holds the locks.

use chrono::{DateTime, Utc};

use super::Session;
use super::failure::failed;
use super::lock::{PUSHES, WAREHOUSE, holder_of};
use crate::error::Result;

/// A session at work, as the server tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Activity {
    /// The server's process.
    pub pid: i32,
    /// What the session calls itself: `nightferry <run> <stage> <attempt>` where it writes for a stage.
    pub application_name: String,
    /// When its statement began.
    pub since: DateTime<Utc>,
    /// The beginning of its statement.
    pub query: String,
    /// Whether it waits for a lock of another session.
    pub waits_for_lock: Option<bool>,
    /// Where the relation is that it works on, where the server tells.
    pub schema_name: Option<String>,
    /// That relation.
    pub relation_name: Option<String>,
    /// Whether that is a staging table.
    pub is_temporary: bool,
    /// Rows of a COPY.
    pub copied_rows: Option<i64>,
    /// Bytes of a COPY.
    pub copied_bytes: Option<i64>,
    /// Of so many, where the server knows.
    pub copy_bytes_total: Option<i64>,
    /// What a CREATE INDEX or an ANALYZE is at (PostgreSQL manual, 28.4).
    pub phase: Option<String>,
    /// Blocks that were read in this phase.
    pub blocks_done: Option<i64>,
    /// Of so many.
    pub blocks_total: Option<i64>,
    /// Tuples that were put into the index in this phase.
    pub tuples_done: Option<i64>,
    /// Of so many.
    pub tuples_total: Option<i64>,
}

/// Asks what is being done now.
///
/// # Errors
/// The server cannot be asked.
pub async fn activity(session: &mut Session) -> Result<Vec<Activity>> {
    sqlx::query_as(include_str!("../../../sql/catalog/activity.sql"))
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read what the warehouse is doing", error))
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Holder {
    /// The run, what it does and on which machine, as it wrote itself down (the server keeps 63 bytes of that).
    pub who: String,
    /// Since when, `04:10Z`, where that is written there.
    pub since: Option<String>,
}

impl Holder {
    fn of(application_name: &str) -> Self {
        let name = application_name.strip_prefix("nightferry ").unwrap_or(application_name);
        match name.split_once(' ').filter(|(since, _)| since.len() == 6 && since.ends_with('Z')) {
            Some((since, who)) => Self { who: who.to_owned(), since: Some(since.to_owned()) },
            None => Self { who: name.to_owned(), since: None },
        }
    }
}

/// Who holds the warehouse, and whose turn it is to push a backup.
///
/// # Errors
/// The server cannot be asked.
pub async fn lock_holders(session: &mut Session) -> Result<(Option<Holder>, Option<Holder>)> {
    let warehouse = holder_of(session, WAREHOUSE).await?;
    let pushes = holder_of(session, PUSHES).await?;
    let holder = |name: Option<String>| name.as_deref().map(Holder::of);
    Ok((holder(warehouse), holder(pushes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_told_by_what_it_wrote_down() {
        let holder = Holder::of("nightferry 04:10Z 20261120T041000Z full on host-1");
        assert_eq!(
            (holder.who.as_str(), holder.since.as_deref()),
            ("20261120T041000Z full on host-1", Some("04:10Z"))
        );
        let odd = Holder::of("psql by hand");
        assert_eq!((odd.who.as_str(), odd.since), ("psql by hand", None));
    }
}
