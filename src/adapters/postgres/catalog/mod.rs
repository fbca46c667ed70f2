//! Questions to the catalogs, as plain values. The SQL is in `sql/catalog/`.

mod leaning;
mod rows;
mod swapping;

pub use leaning::{
    CarryOver, KeyOnto, PolicyOnto, PublicationOnto, carry_over, foreign_keys_among, foreign_keys_onto,
    policies_onto, publications_onto,
};
pub use rows::{
    CopyTable, Definition, Dependency, Identity, Object, ObjectId, Recreation, SequenceValue, TableSize,
    leaning_on,
};
pub use swapping::{
    Extension, ForeignObject, ForeignSchema, SwapFacts, database_size, relations_size, swap_facts,
};

use super::failure::failed;
use super::ident;
use super::session::Session;
use crate::error::Result;
use crate::ids::TableName;

macro_rules! question {
    ($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $row:ty, $file:literal, $sql:expr) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// The server cannot be asked.
        pub async fn $name(session: &mut Session $(, $argument: $type)*) -> Result<Vec<$row>> {
            sqlx::query_as($sql)
                $(.bind($argument))*
                .persistent(false)
                .fetch_all(session.raw())
                .await
                .map_err(|error| failed(concat!("cannot read the catalog (", $file, ")"), error))
        }
    };
}
use question;

question!(
    /// Every object that a night may bring or replace.
    objects() -> Object, "objects.sql", include_str!("../../../../sql/catalog/objects.sql"));
const COPY_TABLES: &str = concat!(
    include_str!("../../../../sql/catalog/text_only.sql"),
    include_str!("../../../../sql/catalog/copy_tables.sql")
);

question!(
    /// How to copy the rows of these tables.
    copy_tables(oids: &[i64]) -> CopyTable, "copy_tables.sql", COPY_TABLES);
question!(
    /// The indexes, constraints, foreign keys and triggers of these tables. Ask with an empty search_path.
    definitions(oids: &[i64]) -> Definition, "definitions.sql", include_str!("../../../../sql/catalog/definitions.sql"));
question!(
    /// The same by their addresses.
    recreations(classes: &[i64], oids: &[i64]) -> Recreation, "dependents.sql", include_str!("../../../../sql/catalog/dependents.sql"));
question!(
    /// Every ordinary table and materialized view, largest first.
    sizes() -> TableSize, "sizes.sql", include_str!("../../../../sql/catalog/sizes.sql"));

/// How to make these views and functions again. Ask with an empty search_path.
///
/// # Errors
/// The server cannot be asked.
pub async fn recreations_of(session: &mut Session, objects: &[Object]) -> Result<Vec<Recreation>> {
    let (classes, oids): (Vec<i64>, Vec<i64>) =
        objects.iter().map(|object| (object.class, object.oid)).unzip();
    recreations(session, &classes, &oids).await
}

/// What this transaction made and that was not there `before`; what others make at the same moment is not among it.
///
/// # Errors
/// The server cannot be asked.
pub async fn made_here(session: &mut Session, before: &[Object]) -> Result<Vec<Object>> {
    let written: Vec<(i64, i64)> = sqlx::query_as(include_str!("../../../../sql/catalog/made_here.sql"))
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read the catalog (made_here.sql)", error))?;
    let mut made = objects(session).await?;
    made.retain(|object| {
        written.contains(&(object.class, object.oid)) && !before.iter().any(|old| old.id() == object.id())
    });
    Ok(made)
}

/// The labels of these enums, quoted, in their order.
///
/// # Errors
/// The server cannot be asked.
pub async fn enum_labels(session: &mut Session, oids: &[i64]) -> Result<Vec<(i64, Vec<String>)>> {
    sqlx::query_as(include_str!("../../../../sql/catalog/enum_labels.sql"))
        .bind(oids)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read the catalog (enum_labels.sql)", error))
}

/// Who leans on whom.
///
/// # Errors
/// The server cannot be asked.
pub async fn dependencies(session: &mut Session) -> Result<Vec<Dependency>> {
    let rows: Vec<(i64, i64, i64, i64, bool, bool)> =
        sqlx::query_as(include_str!("../../../../sql/catalog/dependencies.sql"))
            .persistent(false)
            .fetch_all(session.raw())
            .await
            .map_err(|error| failed("cannot read the catalog (dependencies.sql)", error))?;
    let dependency = |(from_class, from_oid, to_class, to_oid, is_foreign_key, is_policy)| Dependency {
        from: ObjectId { class: from_class, oid: from_oid },
        to: ObjectId { class: to_class, oid: to_oid },
        is_foreign_key,
        is_policy,
    };
    Ok(rows.into_iter().map(dependency).collect())
}

/// The grants that others have on these relations, as statements.
///
/// # Errors
/// The server cannot be asked.
pub async fn grants(session: &mut Session, oids: &[i64]) -> Result<Vec<String>> {
    sqlx::query_scalar(include_str!("../../../../sql/catalog/grants.sql"))
        .bind(oids)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read the catalog (grants.sql)", error))
}

/// The indexes of these relations that queries cannot use.
///
/// # Errors
/// The server cannot be asked.
pub async fn invalid_indexes(session: &mut Session, oids: &[i64]) -> Result<Vec<String>> {
    sqlx::query_scalar(include_str!("../../../../sql/catalog/invalid_indexes.sql"))
        .bind(oids)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read the catalog (invalid_indexes.sql)", error))
}

/// What tells this database from another.
///
/// # Errors
/// The server cannot be asked.
pub async fn identity(session: &mut Session) -> Result<Identity> {
    sqlx::query_as(include_str!("../../../../sql/catalog/identity.sql"))
        .persistent(false)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed("cannot read what identifies the database", error))
}

/// What this database has that a night does not carry, each with its number.
///
/// # Errors
/// The server cannot be asked.
pub async fn not_carried(session: &mut Session) -> Result<Vec<(String, i64)>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(include_str!("../../../../sql/catalog/not_carried.sql"))
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read the catalog (not_carried.sql)", error))?;
    Ok(rows.into_iter().filter(|(_, number)| *number > 0).collect())
}

/// The populated materialized views, and the value of each sequence.
///
/// # Errors
/// The server cannot be asked, or the role may not read a sequence.
pub async fn carried_facts(session: &mut Session) -> Result<(Vec<TableName>, Vec<SequenceValue>)> {
    let rows: Vec<(bool, String, String)> =
        sqlx::query_as(include_str!("../../../../sql/catalog/carried_facts.sql"))
            .persistent(false)
            .fetch_all(session.raw())
            .await
            .map_err(|error| failed("cannot read the catalog (carried_facts.sql)", error))?;
    let (mut populated, mut sequences) = (Vec::new(), Vec::new());
    for (is_sequence, schema, name) in rows {
        let name = TableName::new(schema, name);
        if is_sequence { sequences.push(sequence_value(session, name).await?) } else { populated.push(name) }
    }
    Ok((populated, sequences))
}

/// The value of one sequence: the catalog view hides it where it was not handed out yet.
///
/// # Errors
/// The role may not read the sequence.
pub async fn sequence_value(session: &mut Session, sequence: TableName) -> Result<SequenceValue> {
    let sql = format!("select last_value, is_called from {}", ident::table(&sequence));
    let (value, is_called) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed(format!("cannot read sequence {sequence}"), error))?;
    Ok(SequenceValue { sequence, value, is_called })
}

/// The rows of a table, counted.
///
/// # Errors
/// The table cannot be read.
pub async fn count(session: &mut Session, table: &TableName) -> Result<u64> {
    let sql = format!("select count(*) from only {}", ident::table(table));
    let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed(format!("cannot count {table}"), error))?;
    Ok(rows.unsigned_abs())
}

/// Whether a lock taken on one session is seen by the other as one of its own database: then both are in one database,
/// whatever their URLs say.
///
/// # Errors
/// A server cannot be asked.
pub async fn sees_lock_of(one: &mut Session, other: &mut Session) -> Result<bool> {
    // A key of 31 random bits, so that two checks at the same time do not see each other's.
    let key = i64::from(fastrand::u32(..) >> 1);
    let doing = |error| failed("cannot tell the two databases apart", error);
    sqlx::query("select pg_advisory_lock($1)")
        .bind(key)
        .persistent(false)
        .execute(one.raw())
        .await
        .map_err(doing)?;
    let seen = sqlx::query_scalar(
        "select exists (select from pg_locks where locktype = 'advisory' and objid::bigint = $1 and classid::bigint = 0
             and database = (select oid from pg_database where datname = current_database()))",
    )
    .bind(key)
    .persistent(false)
    .fetch_one(other.raw())
    .await
    .map_err(doing);
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(key)
        .persistent(false)
        .execute(one.raw())
        .await
        .map_err(doing)?;
    seen
}

/// One text value of a statement without parameters.
///
/// # Errors
/// The server refuses it.
pub async fn text(session: &mut Session, sql: &'static str) -> Result<String> {
    sqlx::query_scalar(sql)
        .persistent(false)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed(super::session::summary(sql), error))
}

/// The names of a list query without parameters.
///
/// # Errors
/// The server refuses it.
pub async fn names(session: &mut Session, sql: &'static str) -> Result<Vec<String>> {
    sqlx::query_scalar(sql)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed(super::session::summary(sql), error))
}
