//! What an export of the schema left in its target: which warehouse's it is, and which objects it brought.
//!
//! An object is known by its oid together with its name: one of the same name that somebody made since is not ours, and neither is one of
//! ours that somebody gave another name.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::catalog::Object;
use super::session::Session;
use super::{failed, ident};
use crate::error::Result;

/// The schema that holds the marks.
pub const SCHEMA: &str = "nightferry_export";

const CREATE: &str = "
create schema if not exists nightferry_export;
comment on schema nightferry_export is 'what nightferry exported into this database, and replaces at the next export';
create table if not exists nightferry_export.warehouse (
    only_row boolean primary key default true check (only_row),
    warehouse_id text not null,
    run_id text not null,
    exported_at timestamptz not null default now()
);
create table if not exists nightferry_export.objects (
    kind text not null,
    identity text not null,
    oid oid not null,
    primary key (kind, identity)
);";

/// What the last export brought.
#[derive(Debug, Default)]
pub struct Export {
    /// The mark of the warehouse whose schema it is; none where there was no export.
    pub warehouse: Option<String>,
    /// When it was made.
    pub exported_at: Option<DateTime<Utc>>,
    /// Oid, kind and identity of each object.
    objects: BTreeSet<(i64, String, String)>,
}

impl Export {
    /// Whether it brought this object.
    #[must_use]
    pub fn brought(&self, object: &Object) -> bool {
        self.has(object.oid, &object.kind, &object.identity)
    }

    /// Whether it made this schema.
    #[must_use]
    pub fn made_schema(&self, schema: &Schema) -> bool {
        self.has(schema.oid, "schema", &schema.name)
    }

    fn has(&self, oid: i64, kind: &str, identity: &str) -> bool {
        self.objects.contains(&(oid, kind.to_owned(), identity.to_owned()))
    }

    /// How many objects it brought, schemas included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.objects.len()
    }
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Schema {
    /// Its oid.
    pub oid: i64,
    /// Its name.
    pub name: String,
    /// Whether the role may make objects in it.
    pub is_open: bool,
}

/// Reads what the last export brought.
///
/// # Errors
/// The target cannot be asked, or its marks are not for this role.
pub async fn read(session: &mut Session) -> Result<Export> {
    let doing = |error| failed("cannot read what the last export brought", error);
    let there: bool = sqlx::query_scalar("select to_regclass('nightferry_export.objects') is not null")
        .fetch_one(session.raw())
        .await
        .map_err(doing)?;
    if !there {
        return Ok(Export::default());
    }
    let mark: Option<(String, DateTime<Utc>)> =
        sqlx::query_as("select warehouse_id, exported_at from nightferry_export.warehouse")
            .fetch_optional(session.raw())
            .await
            .map_err(doing)?;
    let objects: Vec<(i64, String, String)> =
        sqlx::query_as("select oid::bigint, kind, identity from nightferry_export.objects")
            .fetch_all(session.raw())
            .await
            .map_err(doing)?;
    let (warehouse, exported_at) = mark.unzip();
    Ok(Export { warehouse, exported_at, objects: objects.into_iter().collect() })
}

/// Makes room for the marks, where there is none.
///
/// # Errors
/// The role may not create a schema.
pub async fn prepare(session: &mut Session) -> Result<()> {
    session.execute(CREATE).await.map_err(|error| {
        error
            .context("cannot mark what is exported")
            .hint("as the database's owner: GRANT CREATE ON DATABASE ... TO the role")
    })
}

/// Writes down what this export brought, in its own transaction.
///
/// # Errors
/// The target cannot be written.
pub async fn write(
    session: &mut Session,
    warehouse: &str,
    run: &str,
    objects: &[Object],
    schemas: &[Schema],
) -> Result<()> {
    let doing = |error| failed("cannot write what was exported", error);
    sqlx::query(
        "with gone as (delete from nightferry_export.objects)
         insert into nightferry_export.warehouse (warehouse_id, run_id) values ($1, $2)
         on conflict (only_row) do update set warehouse_id = excluded.warehouse_id, run_id = excluded.run_id, exported_at = now()",
    )
    .bind(warehouse)
    .bind(run)
    .execute(session.raw())
    .await
    .map_err(doing)?;
    let kinds = objects.iter().map(|one| one.kind.as_str()).chain(schemas.iter().map(|_| "schema"));
    let identities = objects.iter().map(|one| &one.identity).chain(schemas.iter().map(|one| &one.name));
    let oids = objects.iter().map(|one| one.oid).chain(schemas.iter().map(|one| one.oid));
    sqlx::query(
        "insert into nightferry_export.objects
         select o.kind, o.identity, o.oid::oid from unnest($1::text[], $2::text[], $3::bigint[]) as o (kind, identity, oid)",
    )
    .bind(kinds.collect::<Vec<_>>())
    .bind(identities.collect::<Vec<_>>())
    .bind(oids.collect::<Vec<_>>())
    .execute(session.raw())
    .await
    .map(|_| ())
    .map_err(doing)
}

/// The schemas of a database.
///
/// # Errors
/// The server cannot be asked.
pub async fn schemas(session: &mut Session) -> Result<Vec<Schema>> {
    sqlx::query_as(
        "select oid::bigint as oid, nspname::text as name, has_schema_privilege(oid, 'CREATE') as is_open
         from pg_namespace where nspname !~ '^pg_' order by nspname",
    )
    .fetch_all(session.raw())
    .await
    .map_err(|error| failed("cannot read the schemas", error))
}

/// The extensions of a database, each with its schema.
///
/// # Errors
/// The server cannot be asked.
pub async fn extensions(session: &mut Session) -> Result<Vec<(String, String)>> {
    sqlx::query_as(
        "select e.extname::text, n.nspname::text from pg_extension e join pg_namespace n on n.oid = e.extnamespace",
    )
    .fetch_all(session.raw())
    .await
    .map_err(|error| failed("cannot read the extensions", error))
}

/// The statement that makes a schema.
#[must_use]
pub fn create_schema(name: &str) -> String {
    format!("create schema {}", ident::ident(name))
}
