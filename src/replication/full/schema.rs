//! Step **schema**: one transaction that takes the old objects away and makes the new, empty ones.
//!
//! The archive's SQL runs unchanged. Inside a savepoint that is rolled back, what follows the rows (indexes, constraints,
//! triggers) is made on the empty tables too: an entry that does not fit is found now and not after hours of loading, and
//! the catalog then says how to make each of them again. A failure anywhere leaves the warehouse as it was.

use std::collections::BTreeSet;

use super::footprint::{Footprint, footprint};
use crate::adapters::ledger::{ObjectRow, Recorder};
use crate::adapters::postgres::archive::{Archive, Entry};
use crate::adapters::postgres::catalog::{self, CopyTable, Definition, Object, Recreation};
use crate::adapters::postgres::{Database, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::Skipped;
use crate::replication::plan::{Plan, shorten};

/// The new, empty objects and what is still to be made.
#[derive(Debug)]
pub struct Built {
    /// The tables to load.
    pub tables: Vec<CopyTable>,
    /// The indexes, constraints, foreign keys and triggers to make.
    pub definitions: Vec<Definition>,
    /// Indexes that the source itself cannot use: a partitioned table's that was never attached everywhere.
    pub invalid_indexes: BTreeSet<String>,
    /// Entries that failed and were left out.
    pub left_out: BTreeSet<i32>,
    /// All that the night made.
    pub objects: Vec<Object>,
    /// Materialized views of others, to be filled again.
    pub refresh_others: Vec<String>,
}

const SCRIPT_SETTINGS: &str = include_str!("../../../sql/catalog/script_settings.sql");

/// Makes the empty objects. Leaves nothing behind when it fails; running it again is safe.
///
/// # Errors
/// An entry of the archive cannot be made, a lock cannot be had, or an object would go that nobody named.
pub(super) async fn run(
    warehouse: &Database,
    archive: &Archive,
    plan: &Plan,
    recorder: &Recorder,
) -> Result<Built> {
    let mut session = warehouse.connect().await?;
    session.execute("begin").await?;
    session.execute(SCRIPT_SETTINGS).await?;
    let before = catalog::objects(&mut session).await?;
    let dependencies = catalog::dependencies(&mut session).await?;
    let footprint = footprint(&before, &dependencies, |object| plan.may_replace(object));
    refuse_conflicts(&footprint)?;

    let leaving = Leaving::read(&mut session, &footprint).await?;
    drop_objects(&mut session, &footprint).await?;
    let remaining = catalog::objects(&mut session).await?;
    nothing_else_went(&before, &remaining, &footprint)?;

    let mut making = Making { session: &mut session, archive, plan, recorder, left_out: BTreeSet::new() };
    making.entries(&plan.before, &names_of(&footprint.spared)).await?;
    let mut left_out = std::mem::take(&mut making.left_out);
    let refresh_others = leaving.come_back(&mut session, &footprint, recorder).await?;
    let made = made_since(&remaining, catalog::objects(&mut session).await?);

    session.execute("savepoint probe").await?;
    let mut probing = Making { session: &mut session, archive, plan, recorder, left_out };
    probing.entries(&plan.after, &BTreeSet::new()).await?;
    left_out = std::mem::take(&mut probing.left_out);
    let relations: Vec<i64> = made_since(&remaining, catalog::objects(&mut session).await?)
        .iter()
        .filter(|object| object.is_relation())
        .map(|object| object.oid)
        .collect();
    let definitions = catalog::definitions(&mut session, &relations).await?;
    let invalid_indexes = catalog::invalid_indexes(&mut session, &relations).await?.into_iter().collect();
    session.execute("rollback to savepoint probe").await?;

    let tables = catalog::copy_tables(&mut session, &relations).await?;
    let brought: Vec<ObjectRow> =
        made.iter().chain(remaining.iter().filter(|object| plan.was_brought(object))).map(row_of).collect();
    recorder.ledger().open_generation(&mut session, recorder.run(), &brought).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(Built { tables, definitions, invalid_indexes, left_out, objects: made, refresh_others })
}

fn refuse_conflicts(footprint: &Footprint) -> Result<()> {
    let Some((kept, replaced)) = footprint.conflicts.first() else { return Ok(()) };
    Err(Error::new(
        ErrorKind::Refused,
        format!("{} stays but is a part of {}, which the night replaces", kept.label(), replaced.label()),
    )
    .hint("detach the one that stays, or give both the same mode in BACKUP_MODE"))
}

/// What goes with the dropped objects and has to come back: read before the drop.
struct Leaving {
    recreations: Vec<Recreation>,
    grants: Vec<String>,
}

impl Leaving {
    async fn read(session: &mut Session, footprint: &Footprint) -> Result<Self> {
        let (classes, oids): (Vec<i64>, Vec<i64>) =
            footprint.rebuilt.iter().map(|object| (object.class, object.oid)).unzip();
        let relations: Vec<i64> =
            footprint.dropped.iter().filter(|object| object.is_relation()).map(|object| object.oid).collect();
        Ok(Self {
            recreations: catalog::recreations(session, &classes, &oids).await?,
            grants: catalog::grants(session, &relations).await?,
        })
    }

    /// Makes the views and functions of others again, and gives the grants back. What cannot come back is named, with
    /// its definition. Gives the materialized views that are to be filled.
    async fn come_back(
        &self,
        session: &mut Session,
        footprint: &Footprint,
        recorder: &Recorder,
    ) -> Result<Vec<String>> {
        let mut refresh = Vec::new();
        for object in &footprint.rebuilt {
            let Some(again) =
                self.recreations.iter().find(|again| (again.class, again.oid) == (object.class, object.oid))
            else {
                continue;
            };
            let Some(definition) = &again.definition else {
                recorder
                    .skipped(lost(
                        object,
                        "it leaned on a replaced object and its kind cannot be made again",
                        None,
                    ))
                    .await?;
                continue;
            };
            match attempt(session, definition).await? {
                Err(error) => {
                    recorder
                        .skipped(lost(
                            object,
                            &format!("it leans on a replaced object and cannot come back: {error}"),
                            Some(definition),
                        ))
                        .await?;
                    continue;
                }
                Ok(()) if again.is_populated => refresh.push(object.identity.clone()),
                Ok(()) => {}
            }
            for statement in &again.statements {
                if let Err(error) = attempt(session, statement).await? {
                    recorder
                        .skipped(lost(
                            object,
                            &format!("a part of it cannot come back: {error}"),
                            Some(statement),
                        ))
                        .await?;
                }
            }
        }
        for object in &footprint.lost {
            recorder
                .skipped(lost(
                    object,
                    "it leaned on a replaced object and its kind cannot be made again",
                    None,
                ))
                .await?;
        }
        for (kept, replaced) in &footprint.cut_foreign_keys {
            let reason = format!(
                "{} is replaced, and rows of an increment may refer to rows younger than its copy",
                replaced.label()
            );
            recorder
                .skipped(Skipped {
                    object: format!("foreign key of {}", kept.label()),
                    reason,
                    definition: None,
                })
                .await?;
        }
        for grant in &self.grants {
            // The object may be gone from the source, or the role from the server.
            if let Err(error) = attempt(session, grant).await? {
                recorder
                    .skipped(Skipped {
                        object: "grant".into(),
                        reason: error.to_string(),
                        definition: Some(grant.clone()),
                    })
                    .await?;
            }
        }
        Ok(refresh)
    }
}

fn lost(object: &Object, reason: &str, definition: Option<&String>) -> Skipped {
    Skipped { object: object.label(), reason: reason.to_owned(), definition: definition.cloned() }
}

/// Runs a statement that may fail, without ending the transaction.
async fn attempt(session: &mut Session, statement: &str) -> Result<Result<()>> {
    match session.execute(&format!("savepoint attempt;\n{statement}\n;release savepoint attempt")).await {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.kind() == ErrorKind::Connection => Err(error),
        Err(error) => {
            session.execute("rollback to savepoint attempt").await?;
            Ok(Err(error))
        }
    }
}

async fn drop_objects(session: &mut Session, footprint: &Footprint) -> Result<()> {
    // Views first: less is left for each cascade to find.
    let rank = |object: &Object| match object.kind.as_str() {
        "view" => 0,
        "materialized view" => 1,
        "table" => 2,
        "sequence" => 3,
        _ => 4,
    };
    let mut dropped: Vec<&Object> = footprint.dropped.iter().collect();
    dropped.sort_by_key(|object| (rank(object), object.identity.clone()));
    let script: Vec<String> = dropped
        .iter()
        .map(|object| format!("drop {} if exists {} cascade;", object.kind, object.identity))
        .collect();
    session
        .execute(&script.join("\n"))
        .await
        .map_err(|error| error.context("cannot drop last night's objects"))
}

/// A cascade may only have taken what was named.
fn nothing_else_went(before: &[Object], remaining: &[Object], footprint: &Footprint) -> Result<()> {
    let there: BTreeSet<_> = remaining.iter().map(Object::id).collect();
    let named: BTreeSet<_> =
        footprint.dropped.iter().chain(&footprint.rebuilt).chain(&footprint.lost).map(Object::id).collect();
    let unnamed: Vec<String> = before
        .iter()
        .filter(|object| !there.contains(&object.id()) && !named.contains(&object.id()))
        .map(Object::label)
        .collect();
    if unnamed.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Refused,
        format!("replacing the objects would also take away {}", shorten(&unnamed)),
    )
    .hint("nothing was changed; drop or move these objects, or report this as a bug"))
}

fn names_of(spared: &[Object]) -> BTreeSet<TableName> {
    spared.iter().map(Object::name).collect()
}

pub(super) fn made_since(before: &[Object], now: Vec<Object>) -> Vec<Object> {
    let old: BTreeSet<_> = before.iter().map(Object::id).collect();
    now.into_iter().filter(|object| !old.contains(&object.id())).collect()
}

pub(super) fn row_of(object: &Object) -> ObjectRow {
    ObjectRow {
        kind: object.kind.clone(),
        schema_name: object.schema_name.clone(),
        object_name: object.object_name.clone(),
        identity: object.identity.clone(),
    }
}

/// Runs entries of the archive; those that may fail are named when they do.
struct Making<'a> {
    session: &'a mut Session,
    archive: &'a Archive,
    plan: &'a Plan,
    recorder: &'a Recorder,
    left_out: BTreeSet<i32>,
}

impl Making<'_> {
    async fn entries(&mut self, ids: &[i32], spared: &BTreeSet<TableName>) -> Result<()> {
        for id in ids {
            let Some(entry) = self.archive.entry(*id) else { continue };
            let stays =
                entry.table_name().is_some_and(|name| spared.contains(&name)) && entry.kind.name() != "TABLE";
            if stays {
                self.leave_out(entry, "a table that stays uses the one that is there").await?;
            } else if let Err(error) = attempt(self.session, &entry.definition).await? {
                self.tolerate(entry, error).await?;
            }
        }
        Ok(())
    }

    /// A comment that needs another owner, or what leans on a table that is not loaded, does not end a night.
    async fn tolerate(&mut self, entry: &Entry, error: Error) -> Result<()> {
        let leans_on_left_out = entry.dependencies.iter().any(|id| self.left_out.contains(id));
        let tolerable = self.plan.fallible.contains(&entry.id)
            || leans_on_left_out
            || entry.kind.name() == "COMMENT"
            || error.kind() == ErrorKind::Privilege;
        if tolerable && entry.kind.name() != "TABLE" {
            return self.leave_out(entry, &error.to_string()).await;
        }
        Err(error.context(format!("cannot make {}", entry.label())))
    }

    async fn leave_out(&mut self, entry: &Entry, reason: &str) -> Result<()> {
        self.left_out.insert(entry.id);
        self.recorder
            .skipped(Skipped { object: entry.label(), reason: reason.to_owned(), definition: None })
            .await
    }
}
