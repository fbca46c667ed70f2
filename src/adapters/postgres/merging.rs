//! What merging rows into a table asks of the catalog.

use super::{Session, failed};
use crate::error::Result;
use crate::ids::TableName;

/// What merging rows into a table must know of it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct MergeFacts {
    /// Whether no two rows can have the same identity.
    pub is_unique: bool,
    /// The columns that an UPDATE cannot write: `generated always as identity`.
    pub always_given: Vec<String>,
    /// Whether a row may take a value from another one that no two rows can have at the same time.
    pub has_other_unique: bool,
    /// Whether foreign keys refer to the table.
    pub is_referred_to: bool,
    /// Whether the column is there that marks deleted rows.
    pub has_mark: bool,
}

/// The facts for a table whose rows these columns tell apart, and whose deleted rows the column `mark` marks.
///
/// # Errors
/// The server cannot be asked.
pub async fn merge_facts(
    session: &mut Session,
    table: &TableName,
    identity: &[String],
    mark: &str,
) -> Result<MergeFacts> {
    sqlx::query_as(include_str!("../../../sql/catalog/merge_facts.sql"))
        .bind(&table.schema)
        .bind(&table.name)
        .bind(identity)
        .bind(mark)
        .persistent(false)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed(format!("cannot read the keys of {table}"), error))
}
