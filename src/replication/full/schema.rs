//! Step **schema**: one transaction that takes the old objects away and makes the new, empty ones.
//!
//! The archive's SQL runs unchanged. Inside a savepoint that is rolled back, what follows the rows (indexes, constraints,
//! triggers) is made on the empty tables too: an entry that does not fit is found now and not after hours of loading, and
//! the catalog then says how to make each of them again. A failure anywhere leaves the warehouse as it was.

use std::collections::BTreeSet;

use super::footprint::{Footprint, footprint};
use super::leaving::{Leaving, attempt};
use crate::adapters::ledger::{ObjectRow, Recorder};
use crate::adapters::postgres::archive::{Archive, Entry};
use crate::adapters::postgres::catalog::{self, CopyTable, Definition, Object};
use crate::adapters::postgres::{Database, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::Skipped;
use crate::replication::plan::{Plan, Space, arrives_as, place, shorten, space};

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
    /// What of others is still to come back, or to be filled again.
    pub leaving: Leaving,
}

impl Built {
    /// The entries with these ids that were not left out, in their order.
    pub(super) fn made_of<'a>(
        &'a self,
        archive: &'a Archive,
        ids: &'a [i32],
    ) -> impl Iterator<Item = &'a Entry> {
        ids.iter().filter(|id| !self.left_out.contains(id)).filter_map(|id| archive.entry(*id))
    }
}

/// Opens a transaction in which an archive's SQL means what it means to pg_restore.
pub(super) async fn begin_script(warehouse: &Database) -> Result<Session> {
    let mut session = warehouse.connect().await?;
    session.execute("begin").await?;
    session.execute(include_str!("../../../sql/catalog/script_settings.sql")).await?;
    Ok(session)
}

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
    let mut session = begin_script(warehouse).await?;
    let before = catalog::objects(&mut session).await?;
    let dependencies = catalog::dependencies(&mut session).await?;
    let footprint = footprint(&before, &dependencies, |object| plan.may_replace(object));
    refuse_conflicts(&footprint)?;

    let leaving = Leaving::read(&mut session, &footprint).await?;
    leaving.name_what_is_lost(recorder).await?;
    drop_objects(&mut session, &footprint).await?;
    let remaining = catalog::objects(&mut session).await?;
    nothing_else_went(&before, &remaining, &footprint)?;

    let mut making = Making { session: &mut session, archive, plan, recorder, left_out: BTreeSet::new() };
    making.entries(&plan.before, &names_of(&footprint.spared)).await?;
    let mut left_out = std::mem::take(&mut making.left_out);
    let arriving = arriving(archive, &plan.before);
    let mut made = made_since(&remaining, catalog::objects(&mut session).await?);
    made.retain(&arriving);
    // Now, so that a night that breaks off later has not lost them; what needs a key comes back in step finish.
    let leaving = leaving.come_back(&mut session).await?;

    session.execute("savepoint probe").await?;
    let mut probing = Making { session: &mut session, archive, plan, recorder, left_out };
    probing.entries(&plan.after, &BTreeSet::new()).await?;
    left_out = std::mem::take(&mut probing.left_out);
    let late = made_since(&remaining, catalog::objects(&mut session).await?);
    let late: Vec<Object> = late
        .into_iter()
        .filter(|object| !made.contains(object))
        .filter(self::arriving(archive, &plan.after))
        .collect();
    made.extend(late);
    let relations: Vec<i64> =
        made.iter().filter(|object| object.is_relation()).map(|object| object.oid).collect();
    let definitions = catalog::definitions(&mut session, &relations).await?;
    let invalid_indexes = catalog::invalid_indexes(&mut session, &relations).await?.into_iter().collect();
    session.execute("rollback to savepoint probe").await?;

    let tables = catalog::copy_tables(&mut session, &relations).await?;
    // A table that stays is the warehouse's own from now on: its history outlives a change of BACKUP_MODE.
    let ours = |object: &&Object| plan.was_brought(object) && !object.is_table();
    let brought: Vec<ObjectRow> =
        made.iter().chain(remaining.iter().filter(ours)).map(ObjectRow::from).collect();
    recorder.ledger().open_generation(&mut session, recorder.run(), &brought).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(Built { tables, definitions, invalid_indexes, left_out, objects: made, leaving })
}

fn refuse_conflicts(footprint: &Footprint) -> Result<()> {
    let Some((kept, replaced)) = footprint.conflicts.first() else { return Ok(()) };
    Err(Error::new(
        ErrorKind::Refused,
        format!("{} stays but is a part of {}, which the night replaces", kept.label(), replaced.label()),
    )
    .hint("detach the one that stays, or give both the same mode in BACKUP_MODE"))
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
    let script: Vec<String> = dropped.into_iter().map(drop_statement).collect();
    session
        .execute(&script.join("\n"))
        .await
        .map_err(|error| error.context("cannot drop last night's objects"))
}

fn drop_statement(object: &Object) -> String {
    // An aggregate without arguments is the one kind whose identity is not what DROP takes.
    let identity = match object.identity.strip_suffix("()") {
        Some(name) if object.kind == "aggregate" => format!("{name}(*)"),
        _ => object.identity.clone(),
    };
    format!("drop {} if exists {identity} cascade;", object.kind)
}

/// Whether an object is one that these entries make: another session may make its own at the same moment.
fn arriving(archive: &Archive, ids: &[i32]) -> impl Fn(&Object) -> bool + use<> {
    let names: BTreeSet<_> = ids.iter().filter_map(|id| archive.entry(*id)).filter_map(arrives_as).collect();
    move |object| space(object) == Space::Other || names.contains(&place(object))
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

fn made_since(before: &[Object], now: Vec<Object>) -> Vec<Object> {
    let old: BTreeSet<_> = before.iter().map(Object::id).collect();
    now.into_iter().filter(|object| !old.contains(&object.id())).collect()
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
                self.bring_up_to_date(entry).await?;
            } else if let Err(error) = attempt(self.session, &entry.definition).await? {
                self.tolerate(entry, error).await?;
            }
        }
        Ok(())
    }

    /// What a staying table uses cannot be made anew, but an enum can get its new values, and a function its new body.
    async fn bring_up_to_date(&mut self, entry: &Entry) -> Result<()> {
        for statement in updates(entry) {
            if let Err(error) = attempt(self.session, &statement).await? {
                let reason = format!(
                    "a table that stays uses the one that is there, and it cannot follow the source: {error}"
                );
                return self.leave_out(entry, &reason).await;
            }
        }
        self.leave_out(entry, "a table that stays uses the one that is there").await
    }

    /// A comment that needs another owner, a policy for a role that is not here, or what leans on a table that is not loaded, does not end a night.
    async fn tolerate(&mut self, entry: &Entry, error: Error) -> Result<()> {
        let leans_on_left_out = entry.dependencies.iter().any(|id| self.left_out.contains(id));
        let tolerable = self.plan.fallible.contains(&entry.id)
            || leans_on_left_out
            || matches!(entry.kind.name(), "COMMENT" | "POLICY")
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

/// The statements that bring an object that is there up to date with an entry of the archive.
fn updates(entry: &Entry) -> Vec<String> {
    let definition = entry.definition.trim_start();
    if let Some(rest) =
        definition.strip_prefix("CREATE FUNCTION ").or_else(|| definition.strip_prefix("CREATE PROCEDURE "))
    {
        let kind = if entry.kind.name() == "PROCEDURE" { "PROCEDURE" } else { "FUNCTION" };
        return vec![format!("CREATE OR REPLACE {kind} {rest}")];
    }
    let Some((head, labels)) = definition.split_once(" AS ENUM (") else { return Vec::new() };
    let Some(name) = head.strip_prefix("CREATE TYPE ") else { return Vec::new() };
    // pg_dump writes one label a line, quoted already.
    let labels: Vec<&str> = labels
        .lines()
        .map(|line| line.trim().trim_end_matches(','))
        .filter(|line| line.starts_with('\''))
        .collect();
    let after = std::iter::once(None).chain(labels.iter().map(Some));
    labels
        .iter()
        .zip(after)
        .map(|(label, before)| {
            let place = before.map(|before| format!(" AFTER {before}")).unwrap_or_default();
            format!("ALTER TYPE {name} ADD VALUE IF NOT EXISTS {label}{place}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aggregate_without_arguments_is_dropped_by_its_star() {
        let object = |kind: &str, identity: &str| Object {
            class: 1,
            oid: 1,
            kind: kind.into(),
            schema_name: "public".into(),
            object_name: "x".into(),
            identity: identity.into(),
        };
        assert_eq!(
            drop_statement(&object("aggregate", "public.n()")),
            "drop aggregate if exists public.n(*) cascade;"
        );
        assert_eq!(
            drop_statement(&object("function", "public.n()")),
            "drop function if exists public.n() cascade;"
        );
    }
}
