//! Two generations of the same schemas side by side: the moves, and the locks that they need.
//!
//! A generation that nobody reads lives in schemas of other names (`public__next`). Whoever works on it with SQL that says
//! `public.users` opens a transaction, [`enter`]s, and [`leave`]s before the end: inside, the schemas have each other's names,
//! and nobody else ever sees it. Renaming a schema locks nothing that a reader needs, and PostgreSQL binds views, defaults and
//! foreign keys by oid, so that they follow (PostgreSQL manual, ALTER SCHEMA, and 13.3 on locks).

mod locks;

pub use locks::{Holder, holders, lock_relations};

use super::catalog::{Object, ObjectId};
use super::failure::failed;
use super::ident::ident;
use super::session::Session;
use crate::error::Result;

/// What the name of a schema ends in while the next generation is built in it.
pub const NEXT: &str = "__next";
/// What it ends in while the previous generation is kept in it.
pub const PREVIOUS: &str = "__previous";
/// What it ends in while another has its name, inside one transaction; nobody ever sees it.
pub const ASIDE: &str = "__nightferry";

/// A schema, and the name under which a generation of it is kept while nobody reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// The name that readers use: `public`.
    pub home: String,
    /// The name that it has now: `public__next`.
    pub stored_as: String,
}

impl Stored {
    /// The next generation of a schema.
    #[must_use]
    pub fn next(home: &str) -> Self {
        Self { home: home.to_owned(), stored_as: format!("{home}{NEXT}") }
    }

    /// The previous generation of a schema.
    #[must_use]
    pub fn previous(home: &str) -> Self {
        Self { home: home.to_owned(), stored_as: previous_of(home) }
    }
}

/// The name of a schema's previous generation.
#[must_use]
pub fn previous_of(home: &str) -> String {
    format!("{home}{PREVIOUS}")
}

/// The name of a live schema while another has its name, inside one transaction; nobody ever sees it.
#[must_use]
pub fn aside_of(home: &str) -> String {
    format!("{home}{ASIDE}")
}

/// How two generations of a schema change places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Way {
    /// The schemas get each other's names: nobody waits for that. What stays in the schema must move over.
    #[default]
    Rename,
    /// The schema stays, with all that cannot move (an extension, objects of others), and the objects change schemas. Whoever
    /// reads them waits meanwhile.
    Move {
        /// The objects that go, each with its schema.
        outgoing: Vec<(ObjectId, String)>,
    },
}

/// What has the names that readers use, for the time of a transaction.
#[derive(Debug, Clone, Default)]
#[must_use = "leave gives the names back"]
pub struct Entered {
    incoming: Vec<(ObjectId, String)>,
    /// Schemas that readers do not know yet.
    made_schemas: Vec<String>,
}

/// Only one session at a time can change places: the catalog does not wait for another's change, it fails. "nightfes" in ASCII.
const TURN: i64 = 0x6e69_6768_7466_6573;

/// Waits until no other session of ours has entered. Taken before any lock on a relation.
///
/// # Errors
/// The server fails.
pub async fn take_turn(session: &mut Session) -> Result<()> {
    session.execute(&format!("set local lock_timeout = 0; select pg_advisory_xact_lock({TURN})")).await
}

/// Gives the stored schemas the names that readers use, in the open transaction whose turn it is. What moves is locked already.
///
/// # Errors
/// A schema is not there, or the role may not rename it.
pub async fn enter(session: &mut Session, stored: &[Stored], way: &Way) -> Result<Entered> {
    let Way::Move { outgoing } = way else {
        rename_in(session, stored).await?;
        return Ok(Entered::default());
    };
    let there = there(session, &stored.iter().map(|one| one.home.clone()).collect::<Vec<_>>()).await?;
    let mut made_schemas = Vec::new();
    for one in stored {
        session.execute(&format!("create schema {}", ident(&aside_of(&one.home)))).await?;
        if !there.contains(&one.home) {
            session.execute(&format!("create schema {}", ident(&one.home))).await?;
            made_schemas.push(one.home.clone());
        }
    }
    let places: Vec<String> = stored.iter().map(|one| one.stored_as.clone()).collect();
    let homes = |schema: &str| stored.iter().find(|one| one.stored_as == schema).map(|one| one.home.clone());
    let mut incoming = Vec::new();
    let objects = super::catalog::objects(session).await?;
    let inside: Vec<&Object> = objects.iter().filter(|object| places.contains(&object.schema_name)).collect();
    for (id, schema) in statistics_of(session, &places, inside.iter().copied()).await? {
        incoming.extend(homes(&schema).map(|home| (id, home)));
    }
    incoming.extend(inside.iter().filter_map(|object| Some((object.id(), homes(&object.schema_name)?))));
    move_objects(session, &away(outgoing)).await?;
    move_objects(session, &incoming).await?;
    Ok(Entered { incoming, made_schemas })
}

/// Takes the names back that [`enter`] gave; what was made meanwhile goes along.
///
/// # Errors
/// The server fails.
pub async fn leave(
    session: &mut Session,
    stored: &[Stored],
    way: &Way,
    entered: Entered,
    made: &[(ObjectId, String)],
) -> Result<()> {
    let Way::Move { outgoing } = way else {
        return rename_back(session, stored).await;
    };
    let place = |home: &String| stored.iter().find(|one| one.home == *home).map(|one| one.stored_as.clone());
    let back = entered.incoming.iter().chain(made);
    let back: Vec<(ObjectId, String)> = back.filter_map(|(id, home)| Some((*id, place(home)?))).collect();
    // Statistics that were made meanwhile on these tables; those that came in with them are among them already.
    let homes: Vec<String> = stored.iter().map(|one| one.home.clone()).collect();
    let oids: Vec<i64> = back.iter().map(|(id, _)| id.oid).collect();
    let statistics = statistics_on(session, &homes, oids).await?;
    let late = statistics.iter().filter(|(id, _)| back.iter().all(|(other, _)| other != id));
    let late: Vec<(ObjectId, String)> = late.filter_map(|(id, home)| Some((*id, place(home)?))).collect();
    move_objects(session, &late).await?;
    move_objects(session, &back).await?;
    move_objects(session, outgoing).await?;
    for one in stored {
        session.execute(&format!("drop schema {}", ident(&aside_of(&one.home)))).await?;
    }
    for home in &entered.made_schemas {
        session.execute(&format!("drop schema {}", ident(home))).await?;
    }
    Ok(())
}

/// The same objects, out of the way.
fn away(objects: &[(ObjectId, String)]) -> Vec<(ObjectId, String)> {
    objects.iter().map(|(id, home)| (*id, aside_of(home))).collect()
}

async fn rename_in(session: &mut Session, stored: &[Stored]) -> Result<()> {
    let homes: Vec<String> = stored.iter().map(|one| one.home.clone()).collect();
    let there = there(session, &homes).await?;
    let mut renames = Vec::new();
    for one in stored {
        if there.contains(&one.home) {
            renames.push(rename(&one.home, &aside_of(&one.home)));
        }
        renames.push(rename(&one.stored_as, &one.home));
    }
    session.execute(&renames.join(";\n")).await
}

async fn rename_back(session: &mut Session, stored: &[Stored]) -> Result<()> {
    let asides: Vec<String> = stored.iter().map(|one| aside_of(&one.home)).collect();
    let there = there(session, &asides).await?;
    let mut renames = Vec::new();
    for (one, aside) in stored.iter().zip(asides) {
        renames.push(rename(&one.home, &one.stored_as));
        if there.contains(&aside) {
            renames.push(rename(&aside, &one.home));
        }
    }
    session.execute(&renames.join(";\n")).await
}

/// The statement that renames a schema.
#[must_use]
pub fn rename(from: &str, to: &str) -> String {
    format!("alter schema {} rename to {}", ident(from), ident(to))
}

/// Which of these schemas are there.
///
/// # Errors
/// The server cannot be asked.
pub async fn there(session: &mut Session, schemas: &[String]) -> Result<Vec<String>> {
    sqlx::query_scalar(include_str!("../../../../sql/catalog/there_schemas.sql"))
        .bind(schemas)
        .fetch_all(session.raw())
        .await
        .map_err(|error| failed("cannot read the schemas", error))
}

/// Moves objects to other schemas. Each must be locked already, or be of a kind that nobody waits for.
///
/// # Errors
/// An object of the same name is there, or the role does not own one of them.
pub async fn move_objects(session: &mut Session, moves: &[(ObjectId, String)]) -> Result<()> {
    for are_routines in [false, true] {
        let statements: Vec<String> =
            sqlx::query_scalar(include_str!("../../../../sql/catalog/move_objects.sql"))
                .bind(moves.iter().map(|(id, _)| id.class).collect::<Vec<_>>())
                .bind(moves.iter().map(|(id, _)| id.oid).collect::<Vec<_>>())
                .bind(moves.iter().map(|(_, target)| target.as_str()).collect::<Vec<_>>())
                .bind(are_routines)
                .fetch_all(session.raw())
                .await
                .map_err(|error| failed("cannot read what is to be moved", error))?;
        if !statements.is_empty() {
            session.execute(&statements.join(";\n")).await?;
        }
    }
    Ok(())
}

/// The extensions that were made in these schemas, each with its schema.
///
/// # Errors
/// The server cannot be asked.
pub async fn extensions_in(session: &mut Session, schemas: &[String]) -> Result<Vec<(ObjectId, String)>> {
    let rows = sqlx::query_as(include_str!("../../../../sql/catalog/extensions_in.sql")).bind(schemas);
    addresses(rows.fetch_all(session.raw()).await)
}

/// The extended statistics in these schemas of relations among these objects, each with its schema.
///
/// # Errors
/// The server cannot be asked.
pub async fn statistics_of(
    session: &mut Session,
    schemas: &[String],
    objects: impl Iterator<Item = &Object>,
) -> Result<Vec<(ObjectId, String)>> {
    let relations = objects.filter(|object| object.is_relation()).map(|object| object.oid).collect();
    statistics_on(session, schemas, relations).await
}

async fn statistics_on(
    session: &mut Session,
    schemas: &[String],
    relations: Vec<i64>,
) -> Result<Vec<(ObjectId, String)>> {
    let rows = sqlx::query_as(include_str!("../../../../sql/catalog/statistics_of.sql"))
        .bind(schemas)
        .bind(relations);
    addresses(rows.fetch_all(session.raw()).await)
}

fn addresses(rows: Result<Vec<(i64, i64, String)>, sqlx::Error>) -> Result<Vec<(ObjectId, String)>> {
    let rows = rows.map_err(|error| failed("cannot read what moves along", error))?;
    Ok(rows.into_iter().map(|(class, oid, schema)| (ObjectId { class, oid }, schema)).collect())
}

/// Changes whenever somebody changes a definition, an owner or a grant outside these schemas.
///
/// # Errors
/// The server cannot be asked.
pub async fn fingerprint(session: &mut Session, without: &[String]) -> Result<String> {
    sqlx::query_scalar(include_str!("../../../../sql/catalog/fingerprint.sql"))
        .bind(without)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed("cannot read the catalog (fingerprint.sql)", error))
}
