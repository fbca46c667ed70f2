//! What a publish has to bring back: what was said of the replaced objects, and what of others refers to them.
//!
//! The answers are statements in the names that the objects have when the question is asked. Ask with an empty search_path, so
//! that every name is qualified.

use sqlx::FromRow;

use super::question;
use crate::adapters::postgres::Session;
use crate::adapters::postgres::failure::failed;
use crate::error::Result;

/// A statement that gives a new object what the old one of its name has.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct CarryOver {
    /// The new object, as people name it: `table public__next.users`.
    pub object: String,
    /// The statement.
    pub statement: String,
}

/// A foreign key of a table that stays, onto one that is replaced.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct KeyOnto {
    /// The oid of the table that stays.
    pub relation: i64,
    /// How people name it: `foreign key answers_user of public.answers`.
    pub label: String,
    /// Takes it away.
    pub drop: String,
    /// Declares it again; unchecked, where the server can have it so.
    pub add: String,
    /// Checks it, where it was checked and `add` does not do it.
    pub validate: Option<String>,
    /// Gives it its comment again.
    pub comment: Option<String>,
}

/// A row policy of a relation that stays, which asks a relation that is replaced.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PolicyOnto {
    /// The oid of the relation that stays.
    pub relation: i64,
    /// How people name it: `policy own_rows of public.answers`.
    pub label: String,
    /// Whether it takes rows away rather than showing some: without it readers would see too much.
    pub is_restrictive: bool,
    /// Takes it away.
    pub drop: String,
    /// Makes it again.
    pub create: String,
    /// Gives it its comment again.
    pub comment: Option<String>,
}

/// A publication that names replaced tables or their schema.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PublicationOnto {
    /// How people name it: `publication changes`.
    pub label: String,
    /// Whether the role that asked may run the statement: one of whole schemas needs a superuser.
    pub may_alter: bool,
    /// Names all that it names today once more, so that it holds what has these names when the statement runs.
    pub statement: String,
}

question!(
    /// The foreign keys of tables that are not among `replaced` (oids of relations) onto tables that are.
    foreign_keys_onto(replaced: &[i64]) -> KeyOnto, "foreign_keys_onto.sql", include_str!("../../../../sql/catalog/foreign_keys_onto.sql"));
question!(
    /// The row policies of relations that are not among `replaced` (oids of relations), and that ask one that is.
    policies_onto(replaced: &[i64]) -> PolicyOnto, "policies_onto.sql", include_str!("../../../../sql/catalog/policies_onto.sql"));
question!(
    /// The foreign keys among these tables, from the one that refers to the other.
    foreign_keys_among(tables: &[i64]) -> (i64, i64), "foreign_keys_among.sql", include_str!("../../../../sql/catalog/foreign_keys_among.sql"));

/// What makes `new_schema`, and each object in it that `old_schema` has too, stand as the old ones do, in an order that works.
/// Nothing where nothing differs. Ask in a transaction.
///
/// # Errors
/// The server cannot be asked.
pub async fn carry_over(session: &mut Session, old_schema: &str, new_schema: &str) -> Result<Vec<CarryOver>> {
    let doing = |error| failed("cannot read the catalog (carry_over.sql)", error);
    // The server would compile the question for seconds, only to answer it in a tenth of one.
    sqlx::query("select set_config('jit', 'off', true)").execute(session.raw()).await.map_err(doing)?;
    sqlx::query_as(include_str!("../../../../sql/catalog/carry_over.sql"))
        .bind(old_schema)
        .bind(new_schema)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(doing)
}

/// The publications that name one of the `replaced` relations (oids), or one of these schemas as a whole.
///
/// # Errors
/// The server cannot be asked.
pub async fn publications_onto(
    session: &mut Session,
    replaced: &[i64],
    schemas: &[String],
) -> Result<Vec<PublicationOnto>> {
    // Publications of schemas, of columns and of rows came with PostgreSQL 15.
    let has_schemas = session.raw().server_version_num().is_none_or(|version| version >= 150_000);
    let sql = if has_schemas {
        include_str!("../../../../sql/catalog/publications_onto.sql")
    } else {
        include_str!("../../../../sql/catalog/publications_onto_14.sql")
    };
    sqlx::query_as(sql)
        .bind(replaced)
        .bind(schemas)
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read the catalog (publications_onto.sql)", error))
}
