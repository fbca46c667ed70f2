//! Step **schema**: one transaction that makes the new, empty objects.
//!
//! The archive's SQL runs unchanged. In place, the old objects are taken away first. Aside, the replicated schemas change names
//! with new, empty ones inside the transaction, which no reader sees, and get them back before its end; what the archive's
//! SQL needs of the warehouse (an extension, a type that a kept table uses) is lent to the new schemas meanwhile.
//!
//! Inside a savepoint that is rolled back, what follows the rows (indexes, constraints, triggers) is made on the empty
//! tables too: an entry that does not fit is found now and not after hours of loading, and the catalog then says how to
//! make each of them again. A failure anywhere leaves the warehouse as it was.

use std::collections::{BTreeMap, BTreeSet};

use super::aside::{Aside, begin_script};
use super::footprint::{Footprint, footprint};
use super::leaving::{Leaving, attempt};
use super::making::{Making, enum_of, updates};
use super::publish::Patience;
use crate::adapters::ledger::{Birth, ObjectRow, Recorder};
use crate::adapters::postgres::archive::{Archive, Entry};
use crate::adapters::postgres::catalog::{self, CopyTable, Definition, Object, ObjectId};
use crate::adapters::postgres::generation::{self, Entered, aside_of};
use crate::adapters::postgres::ident::ident;
use crate::adapters::postgres::{Database, Session};
use crate::config::Publishing;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::dropping::{drop_objects, gone_unnamed};
use crate::replication::plan::{Plan, Space, arrives_as, place, shorten, space};

/// The new, empty objects and what is still to be made.
#[derive(Debug)]
pub struct Built {
    /// The number of their generation in the ledger.
    pub generation: i64,
    /// Where they are until the publish.
    pub aside: Aside,
    /// The tables to load.
    pub tables: Vec<CopyTable>,
    /// The indexes, constraints, foreign keys and triggers to make.
    pub definitions: Vec<Definition>,
    /// Indexes that the source itself cannot use: a partitioned table's that was never attached everywhere.
    pub invalid_indexes: BTreeSet<String>,
    /// Entries that are not made in their turn: they failed and were left out, or are held back.
    pub left_out: BTreeSet<i32>,
    /// Entries that need a table that stays, which is not beside the new ones yet; in the archive's order.
    pub held_back: Vec<i32>,
    /// Functions that stay since a kept table uses them, and get the source's body at the publish.
    pub updates: Vec<(String, String)>,
    /// All that the night made.
    pub objects: Vec<Object>,
    /// Types that it shares with what it replaces.
    pub shared: BTreeSet<ObjectId>,
    /// What it replaces, and what is there until the publish where the copy is built aside.
    pub replaced: BTreeSet<ObjectId>,
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

/// Makes the empty objects, in place or in the next generation of these schemas. Leaves nothing behind when it fails; running
/// it again is safe. Where objects move, their readers are waited for.
///
/// # Errors
/// An entry of the archive cannot be made, a lock cannot be had, or an object would go that nobody named.
pub(super) async fn run(
    warehouse: &Database,
    archive: &Archive,
    plan: &Plan,
    aside: Aside,
    settings: &Publishing,
    recorder: &Recorder,
) -> Result<Built> {
    grow_enums(warehouse, archive, plan).await?;
    let mut patience = Patience::new(settings);
    loop {
        match build(warehouse, archive, plan, aside.clone(), recorder).await {
            Err(error) if aside.moves_objects() => {
                let held: Vec<i64> = replaced_relations(warehouse, plan).await?;
                patience.wait(error, warehouse, &held).await?;
            }
            built => return built,
        }
    }
}

/// Gives the enums that stay, since a kept table uses them, the source's new values: by themselves, since a value cannot be used
/// in the transaction that adds it. What cannot be added is named when the archive's entry is reached.
async fn grow_enums(warehouse: &Database, archive: &Archive, plan: &Plan) -> Result<()> {
    let enums =
        plan.before.iter().filter_map(|id| archive.entry(*id)).filter(|entry| enum_of(entry).is_some());
    let enums: Vec<&Entry> = enums.collect();
    if enums.is_empty() {
        return Ok(());
    }
    let mut session = warehouse.connect().await?;
    session.execute("set search_path = ''").await?;
    let objects = catalog::objects(&mut session).await?;
    let dependencies = catalog::dependencies(&mut session).await?;
    let spared = names_of(&footprint(&objects, &dependencies, |object| plan.may_replace(object)).spared);
    let stays = |entry: &&Entry| entry.table_name().is_some_and(|name| spared.contains(&name));
    for entry in enums.into_iter().filter(stays) {
        for statement in updates(entry) {
            if let Err(error) = session.execute(&statement).await {
                tracing::info!(object = %entry.label(), error.message = %error, "an enum that stays cannot grow");
            }
        }
    }
    session.close().await;
    Ok(())
}

async fn replaced_relations(warehouse: &Database, plan: &Plan) -> Result<Vec<i64>> {
    let mut session = begin_script(warehouse).await?;
    let objects = catalog::objects(&mut session).await?;
    session.close().await;
    let replaced = objects.iter().filter(|object| object.is_relation() && plan.may_replace(object));
    Ok(replaced.map(|object| object.oid).collect())
}

async fn build(
    warehouse: &Database,
    archive: &Archive,
    plan: &Plan,
    aside: Aside,
    recorder: &Recorder,
) -> Result<Built> {
    let mut session = begin_script(warehouse).await?;
    let before = catalog::objects(&mut session).await?;
    let mut dependencies = catalog::dependencies(&mut session).await?;
    // The publish of a swap makes the policies of kept tables again; a drop would take them away.
    dependencies.retain(|dependency| aside.is_in_place() || !dependency.is_policy);
    let mut footprint = footprint(&before, &dependencies, |object| plan.may_replace(object));
    refuse_conflicts(&footprint)?;
    let mut unchanged = Vec::new();
    if !aside.is_in_place() {
        unchanged = unchanged_enums(&mut session, archive, plan, &footprint).await?;
        footprint.dropped.retain(|object| !unchanged.contains(object));
        footprint.spared.extend(unchanged.iter().cloned());
    }
    let mut leaving = Leaving::default();
    let mut remaining = before.clone();
    // Only where readers would wait for it does it matter whether a function changed.
    let mut functions_before = BTreeMap::new();
    if aside.moves_objects() {
        functions_before = function_texts(&mut session, &before).await?;
    }
    let (mut aside, entered) = if aside.is_in_place() {
        leaving = Leaving::read(&mut session, &footprint).await?;
        leaving.name_what_is_lost(recorder).await?;
        drop_objects(&mut session, &footprint.dropped)
            .await
            .map_err(|error| error.context("cannot drop last night's objects"))?;
        remaining = catalog::objects(&mut session).await?;
        nothing_else_went(&before, &remaining, &footprint)?;
        (aside, Entered::default())
    } else {
        let homes = aside.homes();
        let statistics = generation::statistics_of(&mut session, &homes, footprint.dropped.iter()).await?;
        let aside = aside
            .with_staying(footprint.staying(&before).map(Object::name).collect())
            .with_outgoing(&footprint.dropped, statistics);
        step_aside(&mut session, aside, &footprint).await?
    };

    let mut making = Making::new(&mut session, archive, plan, recorder, &aside);
    making.unchanged = names_of(&unchanged);
    making.entries(&plan.before, &names_of(&footprint.spared)).await?;
    let mut progress = making.progress;
    let arriving = arriving(archive, &plan.before);
    let mut made = made_since(&remaining, catalog::objects(&mut session).await?);
    made.retain(&arriving);
    // Now, so that a night that breaks off later has not lost them; what needs a key comes back in step finish.
    let leaving = leaving.come_back(&mut session).await?;

    session.execute("savepoint probe").await?;
    let mut probing = Making::new(&mut session, archive, plan, recorder, &aside);
    probing.progress = progress;
    probing.entries(&plan.after, &BTreeSet::new()).await?;
    progress = probing.progress;
    let late = made_since(&remaining, catalog::objects(&mut session).await?);
    let late: Vec<Object> = late
        .into_iter()
        .filter(|object| !made.contains(object))
        .filter(self::arriving(archive, &plan.after))
        .collect();
    if aside.moves_objects() {
        let functions = function_texts(&mut session, &made).await?;
        let is_changed = |(identity, text): (&String, &Option<String>)| {
            functions_before.get(identity).is_some_and(|before| before != text)
        };
        aside.note_changed_functions(functions.iter().any(is_changed));
    }
    let early = made.clone();
    made.extend(late);
    aside.enter_for(&made, &before, &catalog::dependencies(&mut session).await?);
    let relations: Vec<i64> =
        made.iter().filter(|object| object.is_relation()).map(|object| object.oid).collect();
    let invalid_indexes = catalog::invalid_indexes(&mut session, &relations).await?.into_iter().collect();
    let mut definitions = catalog::definitions(&mut session, &relations).await?;
    if !aside.is_in_place() {
        // Read again under the names that they have while they are built.
        aside.leave(&mut session, entered.clone(), &made).await?;
        let at_home = definitions;
        definitions = catalog::definitions(&mut session, &relations).await?;
        aside.call_definitions_home(&mut definitions, at_home);
    }
    session.execute("rollback to savepoint probe").await?;
    aside.leave(&mut session, entered, &early).await?;

    let mut tables = catalog::copy_tables(&mut session, &relations).await?;
    aside.call_home(&mut tables);
    // A table that stays is the warehouse's own from now on: its history outlives a change of BACKUP_MODE.
    let ours = |object: &&Object| plan.was_brought(object) && !object.is_table();
    let others = if aside.is_in_place() { &remaining } else { &footprint.spared };
    let brought: Vec<ObjectRow> =
        made.iter().chain(others.iter().filter(ours)).map(ObjectRow::from).collect();
    let birth = if aside.is_in_place() {
        Birth::InPlace
    } else {
        Birth::Aside { stored: aside.stored(), moves_objects: aside.moves_objects() }
    };
    let generation = recorder.ledger().open_generation(&mut session, recorder.run(), birth, &brought).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(Built {
        generation,
        aside,
        tables,
        definitions,
        invalid_indexes,
        left_out: progress.left_out,
        held_back: progress.held_back,
        updates: progress.updates,
        objects: made,
        shared: unchanged.iter().map(Object::id).collect(),
        replaced: footprint.dropped.iter().map(Object::id).collect(),
        leaving,
    })
}

/// The enums that the source has as the warehouse has them. They go on from generation to generation: a new type of the same name
/// would be another one to a reader's prepared statement.
async fn unchanged_enums(
    session: &mut Session,
    archive: &Archive,
    plan: &Plan,
    footprint: &Footprint,
) -> Result<Vec<Object>> {
    let types: Vec<&Object> = footprint.dropped.iter().filter(|object| object.kind == "type").collect();
    let oids: Vec<i64> = types.iter().map(|object| object.oid).collect();
    let labels: BTreeMap<i64, Vec<String>> =
        catalog::enum_labels(session, &oids).await?.into_iter().collect();
    let entries = plan.before.iter().filter_map(|id| archive.entry(*id));
    let arriving: BTreeMap<TableName, Vec<&str>> =
        entries.filter_map(|entry| Some((entry.table_name()?, enum_of(entry)?.1))).collect();
    let is_unchanged = |object: &&Object| match (labels.get(&object.oid), arriving.get(&object.name())) {
        (Some(here), Some(there)) => here == there,
        _ => false,
    };
    Ok(types.into_iter().filter(is_unchanged).cloned().collect())
}

/// The texts of the routines among these objects.
async fn function_texts(
    session: &mut Session,
    objects: &[Object],
) -> Result<BTreeMap<String, Option<String>>> {
    let is_routine = |object: &&Object| matches!(object.kind.as_str(), "function" | "procedure");
    let routines: Vec<Object> = objects.iter().filter(is_routine).cloned().collect();
    let recreations = catalog::recreations_of(session, &routines).await?;
    let mut texts: BTreeMap<ObjectId, Option<String>> =
        recreations.into_iter().map(|again| (again.id(), again.definition)).collect();
    let text = |object: Object| (object.identity.clone(), texts.remove(&object.id()).flatten());
    Ok(routines.into_iter().map(text).collect())
}

/// Gives new, empty schemas the names that readers use, and lends them what the archive's SQL needs. Where objects move, that is
/// there already.
async fn step_aside(session: &mut Session, aside: Aside, footprint: &Footprint) -> Result<(Aside, Entered)> {
    for one in aside.stored() {
        session.execute(&format!("create schema {}", ident(&one.stored_as))).await?;
    }
    if aside.moves_objects() {
        let entered = aside.enter(session).await?;
        return Ok((aside, entered));
    }
    let homes = aside.homes();
    let mut lent = generation::extensions_in(session, &homes).await?;
    let spared = footprint.spared.iter().filter(|object| homes.contains(&object.schema_name));
    lent.extend(spared.map(|object| (object.id(), object.schema_name.clone())));
    let aside = aside.lending(lent);
    let entered = aside.enter(session).await?;
    session.execute("set local lock_timeout = '30s'").await?;
    for home in &homes {
        // What our role makes from now on is for those who have default privileges in the schema.
        for carried in catalog::carry_over(session, &aside_of(home), home).await? {
            if carried.statement.starts_with("ALTER DEFAULT PRIVILEGES") {
                let _ = attempt(session, &carried.statement).await?;
            }
        }
    }
    Ok((aside, entered))
}

fn refuse_conflicts(footprint: &Footprint) -> Result<()> {
    let Some((kept, replaced)) = footprint.conflicts.first() else { return Ok(()) };
    Err(Error::new(
        ErrorKind::Refused,
        format!("{} stays but is a part of {}, which the night replaces", kept.label(), replaced.label()),
    )
    .hint("detach the one that stays, or give both the same mode in BACKUP_MODE"))
}

/// Whether an object is one that these entries make: another session may make its own at the same moment.
fn arriving(archive: &Archive, ids: &[i32]) -> impl Fn(&Object) -> bool + use<> {
    let names: BTreeSet<_> = ids.iter().filter_map(|id| archive.entry(*id)).filter_map(arrives_as).collect();
    move |object| space(object) == Space::Other || names.contains(&place(object))
}

/// A cascade may only have taken what was named.
fn nothing_else_went(before: &[Object], remaining: &[Object], footprint: &Footprint) -> Result<()> {
    let named = footprint.dropped.iter().chain(&footprint.rebuilt).chain(&footprint.lost);
    let unnamed = gone_unnamed(before, remaining, named);
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
