//! Which learning-content tables nightferry made: the only ones whose rows the content stage replaces.

use super::store::Ledger;
use crate::adapters::postgres::{Session, failed};
use crate::error::Result;
use crate::ids::TableName;

/// A table that the content stage made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentTable {
    /// Which one.
    pub table: TableName,
    /// Its columns as they were made, `name type` each.
    pub columns: Vec<String>,
}

impl Ledger {
    /// The tables that the content stage made.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn content_tables(&self) -> Result<Vec<ContentTable>> {
        let rows: Vec<(String, String, Vec<String>)> = sqlx::query_as(
            "select schema_name, table_name, columns from nightferry.content_tables order by 1, 2",
        )
        .fetch_all(self.session().await?.raw())
        .await
        .map_err(|error| failed("cannot read the content tables of the ledger", error))?;
        let table = |(schema, name, columns)| ContentTable { table: TableName { schema, name }, columns };
        Ok(rows.into_iter().map(table).collect())
    }
}

/// Writes down a table that the content stage made, in the transaction of `session` that made it.
///
/// # Errors
/// The ledger cannot be written.
pub async fn record_content_table(session: &mut Session, made: &ContentTable) -> Result<()> {
    sqlx::query(
        "insert into nightferry.content_tables (schema_name, table_name, columns) values ($1, $2, $3)
         on conflict (schema_name, table_name) do update set columns = excluded.columns",
    )
    .bind(&made.table.schema)
    .bind(&made.table.name)
    .bind(&made.columns)
    .execute(session.raw())
    .await
    .map(|_| ())
    .map_err(|error| failed("cannot write a content table to the ledger", error))
}
