//! What a comparison of two databases asks of each beyond the catalogs' usual answers: keys, partitions, and hashes of rows.

use futures::TryStreamExt;
use sqlx::AssertSqlSafe;

use super::{Session, failed, ident};
use crate::error::Result;
use crate::ids::TableName;

/// Into how many buckets the rows of a sample are put.
pub const BUCKETS: usize = 16;

/// The rows of one bucket of a sample.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Bucket {
    /// Which one, from 0.
    pub bucket: i64,
    /// How many rows.
    pub rows: i64,
    /// The sum of the rows' hashes, whatever their order.
    pub checksum: String,
}

/// Each partition with the table that it is a partition of.
///
/// # Errors
/// The server cannot be asked.
pub async fn partitions(session: &mut Session) -> Result<Vec<(TableName, TableName)>> {
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as(include_str!("../../../sql/catalog/partitions.sql"))
            .persistent(false)
            .fetch_all(session.raw())
            .await
            .map_err(|error| failed("cannot read the catalog (partitions.sql)", error))?;
    let pair = |(schema, name, parent_schema, parent)| {
        (TableName { schema, name }, TableName { schema: parent_schema, name: parent })
    };
    Ok(rows.into_iter().map(pair).collect())
}

/// The columns of a table's primary key; none where it has none.
///
/// # Errors
/// The server cannot be asked.
pub async fn primary_key(session: &mut Session, table: &TableName) -> Result<Vec<String>> {
    sqlx::query_scalar(include_str!("../../../sql/catalog/primary_key.sql"))
        .bind(&table.schema)
        .bind(&table.name)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed(format!("cannot read the primary key of {table}"), error))
}

/// The buckets of a statement that names them as [`Bucket`] does, in any order; those without a row may be missing.
///
/// # Errors
/// The table cannot be read.
pub async fn buckets(session: &mut Session, table: &TableName, statement: &str) -> Result<Vec<Bucket>> {
    sqlx::query_as(AssertSqlSafe(statement))
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed(format!("cannot hash the rows of {table}"), error))
}

/// The texts of a query of one column, an array of text, in its order. Of more than `most` only each second is kept, then each
/// fourth and so on: the answer is of bounded size, and evenly spread.
///
/// # Errors
/// The server refuses the query; `doing` says what it was for.
pub async fn spread(session: &mut Session, sql: &str, most: usize, doing: &str) -> Result<Vec<Vec<String>>> {
    let mut rows =
        sqlx::query_scalar::<_, Vec<String>>(AssertSqlSafe(sql)).persistent(false).fetch(session.raw());
    let (mut kept, mut every, mut seen) = (Vec::new(), 1_usize, 0_usize);
    while let Some(row) = rows.try_next().await.map_err(|error| failed(doing, error))? {
        seen += 1;
        if seen.is_multiple_of(every) {
            kept.push(row);
        }
        if kept.len() > most {
            let mut at = 0_usize;
            kept.retain(|_| {
                at += 1;
                at.is_multiple_of(2)
            });
            every *= 2;
        }
    }
    Ok(kept)
}

/// The statement that hashes the rows whose key falls into the first `percent` of 100 classes (pure). Without a `key` the
/// whole row decides. Both servers are asked the same, so a row that is equal in both falls into the same class and bucket.
#[must_use]
pub fn buckets_statement(table: &TableName, key: &[String], columns: &[String], percent: u8) -> String {
    let of = |names: &[String]| {
        hash(&names.iter().map(|name| format!("r.{}", ident::ident(name))).collect::<Vec<_>>())
    };
    let row = of(columns);
    let deciding = if key.is_empty() { row.clone() } else { of(key) };
    format!(
        "select k.hash / 100 % {BUCKETS} as bucket, count(*) as rows, sum({row})::text as checksum \
         from only {table} as r cross join lateral (select {deciding} as hash) as k \
         where k.hash % 100 < {percent} group by 1",
        table = ident::table(table)
    )
}

/// 60 bits of the hash of these values' text, in an encoding that both servers can write (pure). Each value is SQL.
#[must_use]
pub fn hash(values: &[String]) -> String {
    format!("('x' || left(md5(convert_to(row({})::text, 'UTF8')), 15))::bit(60)::bigint", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_key_decides_which_rows_are_hashed_and_every_column_is_named() {
        let table = TableName::new("public", "Odd \"one\"");
        assert_eq!(
            buckets_statement(&table, &names(&["id"]), &names(&["id", "userId"]), 10),
            "select k.hash / 100 % 16 as bucket, count(*) as rows, \
             sum(('x' || left(md5(convert_to(row(r.\"id\", r.\"userId\")::text, 'UTF8')), 15))::bit(60)::bigint)::text as checksum \
             from only \"public\".\"Odd \"\"one\"\"\" as r cross join lateral \
             (select ('x' || left(md5(convert_to(row(r.\"id\")::text, 'UTF8')), 15))::bit(60)::bigint as hash) as k \
             where k.hash % 100 < 10 group by 1"
        );
    }

    #[test]
    fn without_a_key_the_whole_row_decides_and_a_table_may_have_no_column() {
        let of = |columns: &[&str]| buckets_statement(&TableName::new("a", "b"), &[], &names(columns), 100);
        assert_eq!(of(&["x", "y"]).matches("row(r.\"x\", r.\"y\")::text").count(), 2);
        assert_eq!(of(&[]).matches("row()::text").count(), 2);
    }
}
