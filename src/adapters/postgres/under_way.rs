//! What is under way on a server: who may still commit a row that nobody sees yet.

use std::collections::{BTreeMap, BTreeSet};

use super::{Session, failed};
use crate::error::Result;

/// The transactions and sessions of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Every transaction in progress on the server, by its virtual id; prepared ones are `-1/xid`.
    pub transactions: BTreeSet<String>,
    /// Of these, the ones of this database.
    pub here: BTreeSet<String>,
    /// The ones that may write to a relation, by its oid.
    pub writers: BTreeMap<i64, BTreeSet<String>>,
    /// The sessions of this database, by process id.
    pub sessions: BTreeSet<i32>,
    /// When the server was started: earlier transactions and sessions are gone, prepared ones are not.
    pub server_started: String,
}

/// The name that a prepared transaction has among the others begins so.
pub const PREPARED: &str = "-1/";

/// Asks what is under way now, with the writers of these relations. The session itself is left out.
///
/// # Errors
/// The server cannot be asked.
pub async fn under_way(session: &mut Session, relations: &[i64]) -> Result<UnderWay> {
    let doing = |error| failed("cannot read which transactions are under way", error);
    let mut found = UnderWay {
        server_started: sqlx::query_scalar("select pg_postmaster_start_time()::text")
            .persistent(false)
            .fetch_one(session.raw())
            .await
            .map_err(doing)?,
        ..UnderWay::default()
    };
    // Within a transaction the server would go on showing what it showed first.
    session.execute("select pg_stat_clear_snapshot()").await?;
    let rows: Vec<(String, String, Option<i64>, bool)> =
        sqlx::query_as(include_str!("../../../sql/catalog/under_way.sql"))
            .bind(relations)
            .persistent(false)
            .fetch_all(session.raw())
            .await
            .map_err(doing)?;
    for (what, id, relation, is_here) in rows {
        match (what.as_str(), relation) {
            ("session", _) => found.sessions.extend(id.parse::<i32>().ok()),
            ("writer", Some(relation)) => {
                found.writers.entry(relation).or_default().insert(id);
            }
            _ => {
                if is_here {
                    found.here.insert(id.clone());
                }
                found.transactions.insert(id);
            }
        }
    }
    Ok(found)
}

/// Where the rows of a table are, and what its key is fed by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySource {
    /// The table and its partitions.
    pub relations: Vec<i64>,
    /// The one sequence that every default takes its values from, growing.
    pub sequence: Option<KeySequence>,
}

/// The sequence behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySequence {
    /// Its oid.
    pub oid: i64,
    /// How many values a session takes at a time.
    pub cache: i64,
}

/// What feeds this column of a table.
///
/// # Errors
/// The server cannot be asked.
pub async fn key_source(session: &mut Session, table: i64, column: &str) -> Result<KeySource> {
    let parts: Vec<Part> = sqlx::query_as(include_str!("../../../sql/catalog/key_sequences.sql"))
        .bind(table)
        .bind(column)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read what feeds the key", error))?;
    let of_table = parts.iter().find(|part| part.is_root).and_then(Part::sequence);
    // A partition without a default takes its rows from the table.
    let is_same = |part: &Part| part.sequence() == of_table || (part.sequence.is_none() && !part.has_other);
    Ok(KeySource {
        relations: parts.iter().map(|part| part.relation).collect(),
        sequence: of_table.filter(|_| parts.iter().all(is_same)),
    })
}

#[derive(sqlx::FromRow)]
struct Part {
    relation: i64,
    sequence: Option<i64>,
    cache: Option<i64>,
    grows: Option<bool>,
    has_other: bool,
    is_root: bool,
}

impl Part {
    fn sequence(&self) -> Option<KeySequence> {
        let (oid, cache) = self.sequence.zip(self.cache)?;
        (self.grows == Some(true)).then_some(KeySequence { oid, cache })
    }
}

/// The value that was drawn last from a sequence, none before the first; and whether the role may see it.
///
/// # Errors
/// The server cannot be asked.
pub async fn last_drawn(session: &mut Session, sequence: i64) -> Result<(Option<String>, bool)> {
    // Not evaluated where it would be refused.
    sqlx::query_as(
        "select case when may_see then pg_sequence_last_value($1::bigint::oid)::text end, may_see
         from (select has_sequence_privilege($1::bigint::oid, 'USAGE') or has_sequence_privilege($1::bigint::oid, 'SELECT')) s (may_see)",
    )
    .bind(sequence)
    .persistent(false)
    .fetch_one(session.raw())
    .await
    .map_err(|error| failed("cannot read how far a sequence has come", error))
}
