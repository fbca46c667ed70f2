//! What a night will do with each entry of the archive and each object of the warehouse (pure).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::tables::resolve;
use crate::adapters::ledger::Disposition;
use crate::adapters::postgres::archive::{Entry, Section};
use crate::adapters::postgres::catalog::Object;
use crate::config::{BackupModes, TableMode};
use crate::ids::TableName;
use crate::outcome::Skipped;

/// What becomes of a table of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// Dropped, made again and loaded.
    Replaced,
    /// Incremental, but the warehouse lacks it: loaded whole this once.
    FirstLoad,
    /// Incremental: the next stage appends to it.
    Incremental,
    /// Mode `none`, or adopted as kept: not touched.
    Untouched,
}

impl Treatment {
    /// Whether the full stage makes and loads it.
    #[must_use]
    pub fn is_loaded(self) -> bool {
        matches!(self, Self::Replaced | Self::FirstLoad)
    }

    /// The word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::FirstLoad => "first load",
            Self::Incremental => "incremental",
            Self::Untouched => "untouched",
        }
    }
}

/// Something to tell the operator: about what, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// A table, a variable, a server.
    pub subject: String,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    /// A finding.
    pub fn new(subject: impl Into<String>, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { subject: subject.into(), text: text.into(), hint: hint.into() }
    }
}

/// What the warehouse holds before the night.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Its objects.
    pub objects: Vec<Object>,
    /// Its schemas.
    pub schemas: BTreeSet<String>,
    /// The extensions it has.
    pub extensions: BTreeSet<String>,
    /// The extensions that its server could have.
    pub available_extensions: BTreeSet<String>,
    /// What an operator accepted; none where the warehouse is not known yet.
    pub adopted: Option<Vec<(TableName, Disposition)>>,
    /// What the last night brought: kind and identity.
    pub brought: BTreeSet<(String, String)>,
}

impl World {
    fn has_table(&self, name: &TableName) -> bool {
        self.objects.iter().any(|object| object.is_table() && object.name() == *name)
    }

    fn disposition(&self, name: &TableName) -> Option<Disposition> {
        self.adopted.iter().flatten().find(|(table, _)| table == name).map(|(_, disposition)| *disposition)
    }
}

/// What the full stage will do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Each table of the source.
    pub treatments: BTreeMap<TableName, Treatment>,
    /// The entries that make the empty objects, in the archive's order.
    pub before: Vec<i32>,
    /// The entries that follow the rows: indexes, constraints, triggers, ..., in the archive's order.
    pub after: Vec<i32>,
    /// Of both, those that lean on a table that is not loaded: they are tried, and named when they fail.
    pub fallible: BTreeSet<i32>,
    /// What is left out, and why.
    pub left_out: Vec<Skipped>,
    /// What forbids the night.
    pub problems: Vec<Finding>,
    replaceable: BTreeSet<(String, String)>,
    brought: BTreeSet<(String, String)>,
}

impl Plan {
    /// Whether the night may drop this object of the warehouse.
    #[must_use]
    pub fn may_replace(&self, object: &Object) -> bool {
        self.replaceable.contains(&(object.kind.clone(), object.identity.clone()))
    }

    /// Whether an earlier night brought this object of the warehouse.
    #[must_use]
    pub fn was_brought(&self, object: &Object) -> bool {
        self.brought.contains(&(object.kind.clone(), object.identity.clone()))
    }

    /// The tables that this stage loads.
    pub fn loaded(&self) -> impl Iterator<Item = &TableName> {
        self.treatments.iter().filter(|(_, treatment)| treatment.is_loaded()).map(|(table, _)| table)
    }
}

/// How an entry of an archive travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carriage {
    /// With the empty objects.
    Before,
    /// After the rows.
    After,
    /// With what it describes.
    Comment,
    /// By COPY, `setval` or REFRESH, not as SQL.
    Data,
    /// Not at all, silently: settings of the dump, grants to the source's roles.
    Ignored,
    /// Not at all, and the report says so.
    NotCarried,
}

fn carriage(entry: &Entry) -> Carriage {
    match entry.kind.name() {
        "SCHEMA"
        | "EXTENSION"
        | "TYPE"
        | "SHELL TYPE"
        | "DOMAIN"
        | "FUNCTION"
        | "PROCEDURE"
        | "AGGREGATE"
        | "OPERATOR"
        | "OPERATOR CLASS"
        | "OPERATOR FAMILY"
        | "COLLATION"
        | "CONVERSION"
        | "CAST"
        | "TRANSFORM"
        | "TEXT SEARCH PARSER"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH TEMPLATE"
        | "TEXT SEARCH CONFIGURATION"
        | "TABLE"
        | "TABLE ATTACH"
        | "SEQUENCE"
        | "SEQUENCE OWNED BY"
        | "DEFAULT"
        | "STATISTICS" => Carriage::Before,
        "VIEW" | "MATERIALIZED VIEW" if entry.section != Section::PostData => Carriage::Before,
        "VIEW" | "MATERIALIZED VIEW" | "INDEX" | "INDEX ATTACH" | "CONSTRAINT" | "CHECK CONSTRAINT"
        | "FK CONSTRAINT" | "TRIGGER" | "RULE" | "POLICY" | "ROW SECURITY" => Carriage::After,
        "COMMENT" => Carriage::Comment,
        "TABLE DATA" | "SEQUENCE SET" | "MATERIALIZED VIEW DATA" => Carriage::Data,
        "ENCODING"
        | "STDSTRINGS"
        | "SEARCHPATH"
        | "DATABASE"
        | "DATABASE PROPERTIES"
        | "ACL"
        | "DEFAULT ACL"
        | "SECURITY LABEL"
        | "PROCEDURAL LANGUAGE"
        | "STATISTICS DATA"
        | "BLOB COMMENTS"
        | "BLOB METADATA" => Carriage::Ignored,
        _ => Carriage::NotCarried,
    }
}

/// Kinds that are a part of the table they lean on, and stay away with it.
const PARTS: [&str; 18] = [
    "DEFAULT",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "SEQUENCE SET",
    "TABLE ATTACH",
    "TABLE DATA",
    "INDEX",
    "INDEX ATTACH",
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "STATISTICS",
    "COMMENT",
    "ACL",
];

/// Plans the night: the archive's entries against the modes and the warehouse.
#[must_use]
pub fn plan(entries: &[Entry], modes: &BackupModes, world: &World) -> Plan {
    let mut plan = Plan { brought: world.brought.clone(), ..Plan::default() };
    plan.treat_tables(entries, modes, world);
    let lines = Lines::draw(entries, &plan.treatments, world);
    plan.sort_entries(entries, world, &lines);
    plan.name_what_is_not_carried(entries, &lines, world);
    plan.find_replaceable(entries, world);
    plan.refuse_what_is_not_ours(entries, world);
    plan.problems.sort();
    plan.problems.dedup();
    plan
}

/// The sets of entries that decide: parts of tables that are not loaded, what is not carried, and what leans on either.
struct Lines {
    parts_of_kept: BTreeSet<i32>,
    leaning_on_kept: BTreeSet<i32>,
    not_carried: BTreeSet<i32>,
    leaning_on_not_carried: BTreeSet<i32>,
}

impl Lines {
    fn draw(entries: &[Entry], treatments: &BTreeMap<TableName, Treatment>, world: &World) -> Self {
        let by_id: BTreeMap<i32, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
        let is_kept = |entry: &Entry| {
            entry.kind.name() == "TABLE"
                && entry
                    .table_name()
                    .is_some_and(|table| treatments.get(&table).is_some_and(|t| !t.is_loaded()))
        };
        let mut parts: BTreeSet<i32> =
            entries.iter().filter(|entry| is_kept(entry)).map(|entry| entry.id).collect();
        grow(entries, &mut parts, |entry, found| {
            PARTS.contains(&entry.kind.name())
                && owners(entry, &by_id).iter().any(|owner| found.contains(owner))
        });
        let missing_extension = |entry: &Entry| {
            entry.kind.name() == "EXTENSION"
                && !world.extensions.contains(&entry.name)
                && !world.available_extensions.contains(&entry.name)
        };
        let not_carried: BTreeSet<i32> = entries
            .iter()
            .filter(|entry| carriage(entry) == Carriage::NotCarried || missing_extension(entry))
            .map(|entry| entry.id)
            .collect();
        let mut leaning_on_kept = parts.clone();
        grow(entries, &mut leaning_on_kept, leans);
        let mut leaning_on_not_carried = not_carried.clone();
        grow(entries, &mut leaning_on_not_carried, leans);
        Self { parts_of_kept: parts, leaning_on_kept, not_carried, leaning_on_not_carried }
    }
}

fn leans(entry: &Entry, found: &BTreeSet<i32>) -> bool {
    entry.dependencies.iter().any(|id| found.contains(id))
}

/// Adds entries to the set until none is left that belongs to it. Archives are sorted by dependency: mostly one pass.
fn grow(entries: &[Entry], found: &mut BTreeSet<i32>, belongs: impl Fn(&Entry, &BTreeSet<i32>) -> bool) {
    loop {
        let before = found.len();
        for entry in entries {
            if !found.contains(&entry.id) && belongs(entry, found) {
                found.insert(entry.id);
            }
        }
        if found.len() == before {
            return;
        }
    }
}

/// The entries that this one is a part of. A foreign key leans on two tables, but only the one in its tag owns it.
fn owners(entry: &Entry, by_id: &BTreeMap<i32, &Entry>) -> Vec<i32> {
    if entry.kind.name() != "FK CONSTRAINT" {
        return entry.dependencies.clone();
    }
    let owns = |owner: &&Entry| {
        owner.kind.name() == "TABLE"
            && owner.schema == entry.schema
            && entry.name.strip_prefix(&owner.name).is_some_and(|rest| rest.starts_with(' '))
    };
    entry.dependencies.iter().filter(|id| by_id.get(id).is_some_and(owns)).copied().collect()
}

/// The ledger's schema never travels: an archive of a warehouse holds that warehouse's own ledger.
fn is_ledger(entry: &Entry) -> bool {
    entry.schema.as_deref() == Some("nightferry")
        || (entry.kind.name() == "SCHEMA" && entry.name == "nightferry")
}

impl Plan {
    fn treat_tables(&mut self, entries: &[Entry], modes: &BackupModes, world: &World) {
        let tables: Vec<TableName> = entries
            .iter()
            .filter(|entry| entry.kind.name() == "TABLE" && !is_ledger(entry))
            .filter_map(Entry::table_name)
            .collect();
        let mut asked = BTreeMap::new();
        for (written, mode) in modes.iter() {
            match resolve(written, &tables) {
                Ok(table) => {
                    asked.insert(table, mode);
                }
                Err(text) => self.problems.push(Finding::new(
                    "BACKUP_MODE",
                    text,
                    "correct the name in BACKUP_MODE, or take it out",
                )),
            }
        }
        for table in tables {
            let treatment = match asked.get(&table) {
                Some(TableMode::None) => Treatment::Untouched,
                Some(TableMode::Incremental { .. }) if world.has_table(&table) => Treatment::Incremental,
                Some(TableMode::Incremental { .. }) => Treatment::FirstLoad,
                None if world.disposition(&table) == Some(Disposition::Kept) => Treatment::Untouched,
                None => Treatment::Replaced,
            };
            self.treatments.insert(table, treatment);
        }
    }

    fn sort_entries(&mut self, entries: &[Entry], world: &World, lines: &Lines) {
        let mut after: BTreeSet<i32> = BTreeSet::new();
        for entry in entries.iter().filter(|entry| !is_ledger(entry)) {
            let id = entry.id;
            if lines.parts_of_kept.contains(&id)
                || lines.leaning_on_not_carried.contains(&id)
                || is_there(entry, world)
            {
                continue;
            }
            let follows = match carriage(entry) {
                Carriage::Before => false,
                Carriage::After => true,
                // A comment goes with what it is about.
                Carriage::Comment => entry.dependencies.iter().any(|id| after.contains(id)),
                Carriage::Data | Carriage::Ignored | Carriage::NotCarried => continue,
            };
            if follows {
                after.insert(id);
                self.after.push(id);
            } else {
                self.before.push(id);
            }
            if lines.leaning_on_kept.contains(&id) {
                self.fallible.insert(id);
            }
        }
    }

    fn name_what_is_not_carried(&mut self, entries: &[Entry], lines: &Lines, world: &World) {
        for entry in entries.iter().filter(|entry| lines.leaning_on_not_carried.contains(&entry.id)) {
            let is_first = lines.not_carried.contains(&entry.id);
            if entry.kind.name() == "TABLE" && !is_first {
                let text = "needs something that the warehouse cannot have";
                self.problems.push(Finding::new(
                    entry.label(),
                    text,
                    format!("see what it leans on: {}", needs(entry, entries, lines)),
                ));
            } else if carriage(entry) != Carriage::Ignored
                && carriage(entry) != Carriage::Comment
                && !is_there(entry, world)
            {
                let reason = match entry.kind.name() {
                    "EXTENSION" if is_first => {
                        "the warehouse's server does not have this extension".to_owned()
                    }
                    _ if is_first => "not carried by nightferry".to_owned(),
                    _ => format!("needs {}", needs(entry, entries, lines)),
                };
                self.left_out.push(Skipped { object: entry.label(), reason, definition: None });
            }
        }
    }

    /// Last night's objects, and at first contact what the operator accepted; never a table that is kept now.
    fn find_replaceable(&mut self, entries: &[Entry], world: &World) {
        let arriving: BTreeSet<(Space, String, String)> = entries.iter().filter_map(arrives_as).collect();
        for object in &world.objects {
            let key = (object.kind.clone(), object.identity.clone());
            let name = object.name();
            let kept = object.is_table()
                && self.treatments.get(&name).is_some_and(|treatment| !treatment.is_loaded());
            let accepted = world.adopted.is_some()
                && arriving.contains(&(
                    space(object),
                    object.schema_name.clone(),
                    object.object_name.clone(),
                ))
                && match world.disposition(&name) {
                    Some(disposition) => disposition == Disposition::Replaced,
                    // Views, types and functions that came with accepted tables.
                    None => world.brought.is_empty() && !object.is_table(),
                };
            if !kept && (world.brought.contains(&key) || accepted) {
                self.replaceable.insert(key);
            }
        }
    }

    fn refuse_what_is_not_ours(&mut self, entries: &[Entry], world: &World) {
        let schemas: BTreeSet<&str> = self.treatments.keys().map(|table| table.schema.as_str()).collect();
        let foreign: Vec<String> = world
            .objects
            .iter()
            .filter(|object| object.is_table() && schemas.contains(object.schema_name.as_str()))
            .map(|object| object.identity.clone())
            .collect();
        if world.adopted.is_none() {
            if !foreign.is_empty() {
                let text = format!(
                    "it already has {} tables in the schemas that the night replaces: {}",
                    foreign.len(),
                    shorten(&foreign)
                );
                self.problems.push(Finding::new(
                    "warehouse",
                    text,
                    "if this is the right database, list and accept them: nightferry adopt",
                ));
            }
            return;
        }
        let arriving: BTreeSet<(Space, String, String)> =
            entries.iter().filter(|entry| self.before.contains(&entry.id)).filter_map(arrives_as).collect();
        let collides = |object: &&Object| {
            // A type or function that stays because a kept table uses it is found later; only relations collide for sure.
            let key = (space(object), object.schema_name.clone(), object.object_name.clone());
            object.is_relation() && !self.may_replace(object) && arriving.contains(&key)
        };
        let collisions = world.objects.iter().filter(collides).map(|object| {
            Finding::new(
                object.label(),
                "the source brings an object of this name, but this one is the warehouse's own",
                "rename it, or accept that it is replaced: nightferry adopt",
            )
        });
        let collisions: Vec<Finding> = collisions.collect();
        self.problems.extend(collisions);
    }
}

/// Names collide within a space: relations with relations, types with types, functions with functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Relation,
    Type,
    Function,
    Other,
}

fn space(object: &Object) -> Space {
    match object.kind.as_str() {
        "type" => Space::Type,
        "function" | "procedure" | "aggregate" => Space::Function,
        _ if object.is_relation() => Space::Relation,
        _ => Space::Other,
    }
}

fn arrives_as(entry: &Entry) -> Option<(Space, String, String)> {
    let space = match entry.kind.name() {
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" => Space::Relation,
        "TYPE" | "SHELL TYPE" | "DOMAIN" => Space::Type,
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => Space::Function,
        _ => return None,
    };
    Some((space, entry.schema.clone()?, entry.name.clone()))
}

fn is_there(entry: &Entry, world: &World) -> bool {
    match entry.kind.name() {
        "SCHEMA" => world.schemas.contains(&entry.name),
        "EXTENSION" => world.extensions.contains(&entry.name),
        _ => false,
    }
}

fn needs(entry: &Entry, entries: &[Entry], lines: &Lines) -> String {
    let needed = entries.iter().find(|other| {
        entry.dependencies.contains(&other.id) && lines.leaning_on_not_carried.contains(&other.id)
    });
    needed.map_or_else(|| "an object that is not carried".to_owned(), Entry::label)
}

pub(super) fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
