//! The shape of one table, with all that tells how it differs from the table of the same name on another server.

use sqlx::FromRow;

use super::columns::{Column, RelationKind};
use super::{Session, failed};
use crate::error::Result;
use crate::ids::TableName;

/// A table as the catalogs have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its oid.
    pub oid: i64,
    /// Ordinary or partitioned.
    pub kind: RelationKind,
    /// Whether the role that asked may alter it.
    pub may_alter: bool,
    /// Its columns in their order.
    pub columns: Vec<ShapeColumn>,
    /// Its unique indexes that hold for every row, the primary key's first.
    pub unique_keys: Vec<UniqueKey>,
}

impl Shape {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ShapeColumn> {
        self.columns.iter().find(|column| column.name() == name)
    }
}

/// The question for the columns of a table.
const COLUMNS: &str = concat!(
    include_str!("../../../sql/catalog/text_only.sql"),
    include_str!("../../../sql/catalog/shape_columns.sql")
);

/// A column, and what its type is made of.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ShapeColumn {
    /// The column as others know it.
    #[sqlx(flatten)]
    pub column: Column,
    /// Its number, which a new name does not change.
    pub number: i32,
    /// What the rows have in it that are older than the column, as text.
    pub missing: Option<String>,
    /// Whether it refuses null because of its domain.
    pub of_not_null_domain: bool,
    /// Its type as declared, or the one that its domain stands for. Without the schema where an extension brings it.
    pub base_type: String,
    /// The extension that brings its type.
    pub extension: Option<String>,
    /// Whether the binary format carries every value.
    pub binary: bool,
    /// The enum that it is of, or an array of.
    pub enum_type: Option<String>,
    /// The labels of that enum, quoted, in their order.
    pub labels: Option<Vec<String>>,
}

impl ShapeColumn {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.column.name
    }
}

/// A unique index without condition or expression.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct UniqueKey {
    /// Whether it is the primary key's.
    pub is_primary: bool,
    /// Whether all its columns refuse null.
    pub not_null: bool,
    /// Its columns in its order.
    pub columns: Vec<String>,
}

/// The shape of a table; none where there is no such table. Ask with an empty search_path.
///
/// # Errors
/// The server cannot be asked.
pub async fn shape_of(session: &mut Session, table: &TableName) -> Result<Option<Shape>> {
    let doing = |error| failed(format!("cannot read the shape of {table}"), error);
    let found: Option<(i64, String, bool)> =
        sqlx::query_as(include_str!("../../../sql/catalog/table_shape.sql"))
            .bind(&table.schema)
            .bind(&table.name)
            .persistent(false)
            .fetch_optional(session.raw())
            .await
            .map_err(doing)?;
    let Some((oid, kind, may_alter)) = found else { return Ok(None) };
    let columns = sqlx::query_as(COLUMNS)
        .bind([oid])
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(doing)?;
    let unique_keys = sqlx::query_as(include_str!("../../../sql/catalog/unique_keys.sql"))
        .bind(oid)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(doing)?;
    Ok(Some(Shape { oid, kind: RelationKind::of(&kind), may_alter, columns, unique_keys }))
}

/// What forbids another type for a column.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Holder {
    /// The column.
    pub name: String,
    /// A view or whatever else was made for the type that it has.
    pub holder: String,
    /// Whether it forbids only types to which the values are cast.
    pub of_casts: bool,
}

/// What forbids another type for columns of a table: the column, and a view or whatever else was made for the type it has.
///
/// # Errors
/// The server cannot be asked.
pub async fn holders_of(session: &mut Session, table_oid: i64) -> Result<Vec<Holder>> {
    sqlx::query_as(include_str!("../../../sql/catalog/column_holders.sql"))
        .bind(table_oid)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read what uses a table's columns", error))
}

/// What this server calls the types of these columns of another one, by the other's word; those that it does not have are
/// missing. Ask with an empty search_path.
///
/// # Errors
/// The server cannot be asked.
pub async fn local_types(session: &mut Session, columns: &[&ShapeColumn]) -> Result<Vec<(String, String)>> {
    let there: Vec<&str> = columns.iter().map(|one| one.column.type_name.as_str()).collect();
    let bare: Vec<&str> = columns.iter().map(|one| one.base_type.as_str()).collect();
    let extensions: Vec<Option<&str>> = columns.iter().map(|one| one.extension.as_deref()).collect();
    sqlx::query_as(include_str!("../../../sql/catalog/local_types.sql"))
        .bind(there)
        .bind(bare)
        .bind(extensions)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot look for the types of another server", error))
}
