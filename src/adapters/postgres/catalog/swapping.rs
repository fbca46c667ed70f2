//! What decides whether the schemas of a warehouse can be swapped by this role.

use sqlx::FromRow;

use super::{Dependency, ObjectId, dependencies};
use crate::adapters::postgres::Session;
use crate::adapters::postgres::failed;
use crate::error::Result;
use crate::ids::TableName;

/// A schema that the role may not rename.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ForeignSchema {
    /// Its name.
    pub name: String,
    /// Whom it belongs to.
    pub owner: String,
}

/// An extension, and whether it can be moved to another schema.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// The schema that it was made in.
    pub schema_name: String,
    /// That schema, and those of its members.
    pub reaches_into: Vec<String>,
    /// Whether its author lets it move at all.
    pub is_relocatable: bool,
    /// Whether this role may move it: the extension and every member belong to the role.
    pub is_owned: bool,
}

/// An object that belongs to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ForeignObject {
    /// Its catalog.
    pub class: i64,
    /// Its oid.
    pub oid: i64,
    /// Whom it belongs to.
    pub owner: String,
    /// Whether that is a superuser.
    pub is_superusers: bool,
}

impl ForeignObject {
    /// Its address.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        ObjectId { class: self.class, oid: self.oid }
    }
}

/// What decides whether schemas can be swapped.
#[derive(Debug, Clone, Default)]
pub struct SwapFacts {
    /// The role that asks.
    pub role: String,
    /// The schemas that it may not rename.
    pub foreign_schemas: Vec<ForeignSchema>,
    /// Whether it is a superuser.
    pub is_superuser: bool,
    /// The range types that it cannot move with all that belongs to them.
    pub stuck_types: Vec<ObjectId>,
    /// The extensions of the database.
    pub extensions: Vec<Extension>,
    /// The objects that belong to others.
    pub foreign_objects: Vec<ForeignObject>,
    /// Who leans on whom.
    pub dependencies: Vec<Dependency>,
}

/// Asks for what decides whether schemas can be swapped. Ask with an empty search_path.
///
/// # Errors
/// The server cannot be asked.
pub async fn swap_facts(session: &mut Session) -> Result<SwapFacts> {
    let doing = |error| failed("cannot find out whether schemas can be swapped", error);
    let (role, is_superuser) =
        sqlx::query_as("select rolname::text, rolsuper from pg_roles where rolname = current_user")
            .persistent(false)
            .fetch_one(session.raw())
            .await
            .map_err(doing)?;
    let stuck_types: Vec<(i64, i64)> =
        sqlx::query_as(include_str!("../../../../sql/catalog/stuck_types.sql"))
            .persistent(false)
            .fetch_all(session.raw())
            .await
            .map_err(doing)?;
    let stuck_types = stuck_types.into_iter().map(|(class, oid)| ObjectId { class, oid }).collect();
    let foreign_schemas = sqlx::query_as(include_str!("../../../../sql/catalog/swap_schemas.sql"))
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(doing)?;
    let extensions = sqlx::query_as(include_str!("../../../../sql/catalog/swap_extensions.sql"))
        .persistent(false)
        .fetch_all(session.raw())
        .await
        .map_err(doing)?;
    let foreign_objects: Vec<ForeignObject> =
        sqlx::query_as(include_str!("../../../../sql/catalog/swap_owners.sql"))
            .persistent(false)
            .fetch_all(session.raw())
            .await
            .map_err(doing)?;
    let dependencies = dependencies(session).await?;
    Ok(SwapFacts {
        role,
        is_superuser,
        stuck_types,
        foreign_schemas,
        extensions,
        foreign_objects,
        dependencies,
    })
}

/// The bytes that this database takes on its server's disk.
///
/// # Errors
/// The server cannot be asked.
pub async fn database_size(session: &mut Session) -> Result<i64> {
    sqlx::query_scalar("select pg_database_size(current_database())")
        .persistent(false)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed("cannot ask for the size of the database", error))
}

/// The bytes on disk of the tables and materialized views in these schemas, and of these besides.
///
/// # Errors
/// The server cannot be asked.
pub async fn relations_size(
    session: &mut Session,
    schemas: &[String],
    relations: &[TableName],
) -> Result<i64> {
    sqlx::query_scalar(include_str!("../../../../sql/catalog/relations_size.sql"))
        .bind(schemas)
        .bind(relations.iter().map(|relation| relation.schema.as_str()).collect::<Vec<_>>())
        .bind(relations.iter().map(|relation| relation.name.as_str()).collect::<Vec<_>>())
        .persistent(false)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed("cannot read the catalog (relations_size.sql)", error))
}
