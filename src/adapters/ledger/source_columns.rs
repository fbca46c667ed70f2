//! The source's columns as the incremental stage saw them last.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::adapters::postgres::{Session, failed};
use crate::error::Result;
use crate::ids::TableName;

/// What the last increment of each table wrote down of the source's columns. Nothing where the ledger is not there, or is of an
/// older version: a check changes nothing.
///
/// # Errors
/// The warehouse cannot be reached.
pub async fn source_columns_of(warehouse: &mut Session) -> Result<BTreeMap<TableName, Value>> {
    let doing = |error| failed("cannot read in the ledger what the last increment saw", error);
    let there: bool = sqlx::query_scalar("select to_regclass('nightferry.increments') is not null")
        .fetch_one(warehouse.raw())
        .await
        .map_err(doing)?;
    if !there {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, String, Value)> = sqlx::query_as(
        "select schema_name, table_name, source_columns from nightferry.increments where source_columns is not null",
    )
    .fetch_all(warehouse.raw())
    .await
    .map_err(doing)?;
    Ok(rows.into_iter().map(|(schema, name, columns)| (TableName { schema, name }, columns)).collect())
}
