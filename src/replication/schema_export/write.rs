//! Step **write**: the one transaction on the target.
//!
//! It sees the catalogs as they were when it began, and its own changes: what it made is what is there at its end and was not before.

use std::collections::BTreeSet;

use super::Dumped;
use super::guard::Held;
use super::selection::Selection;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::archive::Entry;
use crate::adapters::postgres::catalog::{self, Object, ObjectId};
use crate::adapters::postgres::exported::{self, Schema};
use crate::adapters::postgres::{Database, SCRIPT_SETTINGS, Session, ident};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Skipped;
use crate::replication::dropping::{drop_objects, gone_unnamed};
use crate::replication::full::attempt;
use crate::replication::plan::{Space, arrives_as, place, space};

/// What was done, counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) tables: usize,
    pub(super) views: usize,
    pub(super) others: usize,
    pub(super) replaced: usize,
}

pub(super) async fn run(
    target: &Database,
    dumped: &Dumped,
    selection: &Selection<'_>,
    recorder: &Recorder,
) -> Result<Written> {
    let mut session = target.connect().await?;
    session.execute(&format!("begin isolation level repeatable read;\n{SCRIPT_SETTINGS}")).await?;
    exported::prepare(&mut session).await?;
    let held = Held::read(&mut session).await?;
    let ours = held.ours();
    let relations: Vec<i64> =
        ours.iter().filter(|object| object.is_relation()).map(|object| object.oid).collect();
    let grants = catalog::grants(&mut session, &relations).await?;
    let remaining = take_away(&mut session, &held, &ours).await?;

    for schema in selection.schemas.iter().filter(|schema| !held.has_schema(schema)) {
        session.execute(&exported::create_schema(schema)).await?;
    }
    let mut left_out = make_extensions(&mut session, selection).await?;
    left_out.extend(make_objects(&mut session, selection).await?);
    let schemas = our_schemas(&mut session, &held, selection).await?;
    left_out.extend(describe_schemas(&mut session, selection, &schemas).await?);
    give_back(&mut session, &grants).await?;

    let mut made = Held::read(&mut session).await?.objects;
    let old: BTreeSet<ObjectId> = remaining.iter().map(Object::id).collect();
    made.retain(|object| !old.contains(&object.id()));
    // What a trigger of theirs made beside ours is theirs, and outlives the next export.
    let arriving: BTreeSet<_> = selection.objects.iter().filter_map(|entry| arrives_as(entry)).collect();
    made.retain(|object| space(object) == Space::Other || arriving.contains(&place(object)));
    let run = recorder.run().as_str();
    exported::write(&mut session, &dumped.warehouse, run, &made, &schemas).await?;
    session.execute("commit").await?;
    session.close().await;
    for skipped in left_out {
        recorder.skipped(skipped).await?;
    }
    Ok(count(&made, ours.len()))
}

fn count(made: &[Object], replaced: usize) -> Written {
    let tables = made.iter().filter(|object| object.is_table()).count();
    let views = made.iter().filter(|object| object.kind.ends_with("view")).count();
    Written { tables, views, others: made.len() - tables - views, replaced }
}

/// Drops what the last export brought; gives what is there without it.
async fn take_away(session: &mut Session, held: &Held, ours: &[Object]) -> Result<Vec<Object>> {
    if ours.is_empty() {
        return Ok(held.objects.clone());
    }
    drop_objects(session, ours)
        .await
        .map_err(|error| error.context("cannot drop the last export's objects"))?;
    let remaining = Held::read(session).await?.objects;
    let unnamed = gone_unnamed(&held.objects, &remaining, ours.iter());
    if unnamed.is_empty() {
        return Ok(remaining);
    }
    let text = format!("replacing the last export would also take away {}", unnamed.join(", "));
    Err(Error::new(ErrorKind::Refused, text)
        .hint("drop these objects, or keep them in another database than the export's"))
}

/// All that cannot be made are named at once, where objects lean on them; the others are left out.
async fn make_extensions(session: &mut Session, selection: &Selection<'_>) -> Result<Vec<Skipped>> {
    let there = exported::extensions(session).await?;
    let (mut left_out, mut missing) = (Vec::new(), Vec::new());
    let is_there = |entry: &&&Entry| !there.iter().any(|(there, _)| *there == entry.name);
    for entry in selection.extensions.iter().filter(is_there) {
        if let Err(error) = attempt(session, &entry.definition).await? {
            if selection.needed_extensions.contains(entry.name.as_str()) {
                missing.push(format!("extension {}: {error}", entry.name));
            } else {
                left_out.push(skipped(entry, &error));
            }
        }
    }
    if missing.is_empty() {
        return Ok(left_out);
    }
    Err(Error::new(
        ErrorKind::Refused,
        format!("the target cannot have what objects lean on: {}", missing.join("; ")),
    )
    .hint("make these extensions in the export's target as its superuser, once"))
}

/// Makes the objects in their order. A comment or a policy may need somebody who is not there: it is left out; all else must be made.
async fn make_objects(session: &mut Session, selection: &Selection<'_>) -> Result<Vec<Skipped>> {
    let mut left_out = Vec::new();
    for entry in &selection.objects {
        if matches!(entry.kind.name(), "COMMENT" | "POLICY") {
            if let Err(error) = attempt(session, &entry.definition).await? {
                left_out.push(skipped(entry, &error));
            }
            continue;
        }
        session.execute(&entry.definition).await.map_err(|error| {
            let error = error.context(format!("cannot make {}", entry.label()));
            if error.operator_hint().is_some() {
                return error;
            }
            error.hint("mend it in the warehouse, or in the export's target what the message names")
        })?;
    }
    Ok(left_out)
}

/// The schemas that an export made, this one or an earlier one, without those that nothing is in any more.
async fn our_schemas(session: &mut Session, held: &Held, selection: &Selection<'_>) -> Result<Vec<Schema>> {
    let mut ours = Vec::new();
    for schema in exported::schemas(session).await? {
        let is_exported = selection.schemas.contains(schema.name.as_str());
        let is_made_now = !held.has_schema(&schema.name) && is_exported;
        if !is_made_now && !held.export.made_schema(&schema) {
            continue;
        }
        // What others put into it keeps it.
        let drop = format!("drop schema {}", ident::ident(&schema.name));
        if is_exported || attempt(session, &drop).await?.is_err() {
            ours.push(schema);
        }
    }
    Ok(ours)
}

async fn describe_schemas(
    session: &mut Session,
    selection: &Selection<'_>,
    ours: &[Schema],
) -> Result<Vec<Skipped>> {
    let mut left_out = Vec::new();
    for (schema, entry) in &selection.schema_comments {
        // The schemas of others are described by them.
        if ours.iter().any(|one| one.name == *schema)
            && let Err(error) = attempt(session, &entry.definition).await?
        {
            left_out.push(skipped(entry, &error));
        }
    }
    Ok(left_out)
}

/// Whoever may read an exported table may go on reading it. What is gone from the warehouse takes its grants along.
async fn give_back(session: &mut Session, grants: &[String]) -> Result<()> {
    for grant in grants {
        if let Err(error) = attempt(session, grant).await? {
            tracing::debug!(grant, error.message = %error, "a grant has nothing to be given on");
        }
    }
    Ok(())
}

fn skipped(entry: &Entry, error: &Error) -> Skipped {
    Skipped { object: entry.label(), reason: error.to_string(), definition: None }
}
