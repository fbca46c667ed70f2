//! What the catalog says of relations, their columns, triggers and indexes, for stages that write single tables.

use sqlx::AssertSqlSafe;

use super::{Session, failed};
use crate::error::Result;
use crate::ids::TableName;

/// Something with a name in `pg_class`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its schema and name.
    pub name: TableName,
    /// What it is.
    pub kind: RelationKind,
}

/// What a relation is (`pg_class.relkind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// An ordinary table, partitions included.
    Table,
    /// The parent of partitions.
    PartitionedTable,
    /// A foreign table.
    ForeignTable,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// An index, a sequence, a composite type: nothing that can be read from as a table.
    Other,
}

impl RelationKind {
    pub(super) fn of(relkind: &str) -> Self {
        match relkind {
            "r" => Self::Table,
            "p" => Self::PartitionedTable,
            "f" => Self::ForeignTable,
            "v" => Self::View,
            "m" => Self::MaterializedView,
            _ => Self::Other,
        }
    }

    /// Whether rows are stored under this name.
    #[must_use]
    pub fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::PartitionedTable)
    }

    /// Whether a query can read from it.
    #[must_use]
    pub fn is_readable(self) -> bool {
        self != Self::Other
    }
}

/// A column as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as declared: `numeric(6,5)`.
    #[sqlx(rename = "type")]
    pub type_name: String,
    /// Its type without length, for a cast that cuts nothing: `numeric`.
    pub cast_type: String,
    /// Whether null is refused.
    pub not_null: bool,
    /// Whether a row without it gets a value.
    pub has_default: bool,
    /// Whether it is computed and cannot be written.
    pub generated: bool,
    /// Whether its order depends on a collation.
    pub collatable: bool,
}

/// A trigger that writing rows of its table would fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertTrigger {
    /// Whose it is: the table's, or that of one of its partitions.
    pub table: TableName,
    /// Its name.
    pub name: String,
    /// Whether it fires in replica sessions too (`ENABLE ALWAYS`).
    pub always: bool,
}

/// All relations outside the system's schemas and the ledger, ordered by name.
///
/// # Errors
/// The server cannot be asked.
pub async fn relations(session: &mut Session) -> Result<Vec<Relation>> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(include_str!("../../../sql/catalog/relations.sql"))
            .persistent(false)
            .fetch_all(session.raw())
            .await
            .map_err(|error| failed("cannot read the catalog's relations", error))?;
    let relation = |(schema, name, kind): (String, String, String)| Relation {
        name: TableName { schema, name },
        kind: RelationKind::of(&kind),
    };
    Ok(rows.into_iter().map(relation).collect())
}

/// The columns of a relation in their order; none where there is no such relation.
///
/// # Errors
/// The server cannot be asked.
pub async fn columns_of(session: &mut Session, table: &TableName) -> Result<Vec<Column>> {
    sqlx::query_as(include_str!("../../../sql/catalog/columns.sql"))
        .bind(&table.schema)
        .bind(&table.name)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed(format!("cannot read the columns of {table}"), error))
}

/// The enabled triggers that inserting, updating or deleting rows of the table would fire, those of its partitions too.
///
/// # Errors
/// The server cannot be asked.
pub async fn insert_triggers_of(session: &mut Session, table: &TableName) -> Result<Vec<InsertTrigger>> {
    let rows: Vec<(String, String, String, bool)> =
        sqlx::query_as(include_str!("../../../sql/catalog/insert_triggers.sql"))
            .bind(&table.schema)
            .bind(&table.name)
            .persistent(false)
            .fetch_all(session.raw())
            .await
            .map_err(|error| failed(format!("cannot read the triggers of {table}"), error))?;
    let trigger = |(schema, table, name, always)| InsertTrigger {
        table: TableName { schema, name: table },
        name,
        always,
    };
    Ok(rows.into_iter().map(trigger).collect())
}

/// The names of the valid indexes of a table.
///
/// # Errors
/// The server cannot be asked.
pub async fn indexes_of(session: &mut Session, table: &TableName) -> Result<Vec<String>> {
    sqlx::query_scalar(include_str!("../../../sql/catalog/indexes_of_table.sql"))
        .bind(&table.schema)
        .bind(&table.name)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed(format!("cannot read the indexes of {table}"), error))
}

/// The single value of a query whose one column is an array of text: none for no row.
///
/// # Errors
/// The server refuses the query; `doing` says what it was for.
pub async fn texts(
    session: &mut Session,
    sql: &str,
    doing: impl Into<String>,
) -> Result<Option<Vec<String>>> {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_optional(session.raw())
        .await
        .map_err(|error| failed(doing, error))
}

/// The single value of a query whose one column is text: none for no row and for null.
///
/// # Errors
/// The server refuses the query; `doing` says what it was for.
pub async fn text(session: &mut Session, sql: &str, doing: impl Into<String>) -> Result<Option<String>> {
    sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_optional(session.raw())
        .await
        .map(Option::flatten)
        .map_err(|error| failed(doing, error))
}
