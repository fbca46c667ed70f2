//! What a night will do with each entry of the archive and each object of the warehouse (pure).

mod carriage;
mod entries;
mod lines;
mod objects;
mod schemas;

pub(super) use carriage::{Carriage, carriage};
pub(super) use objects::{Space, arrives_as, place, space};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::adapters::ledger::Disposition;
use crate::adapters::postgres::archive::Entry;
use crate::adapters::postgres::catalog::Object;
use crate::config::BackupModes;
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
    /// Of these, the ones that hold a generation which readers do not see; what is in them is not among the objects.
    pub stored_schemas: BTreeSet<String>,
    /// The extensions it has.
    pub extensions: BTreeSet<String>,
    /// The extensions that its server could have.
    pub available_extensions: BTreeSet<String>,
    /// What an operator accepted; none where the warehouse is not known yet.
    pub adopted: Option<Vec<(TableName, Disposition)>>,
    /// The schemas in which the role may not create anything.
    pub closed_schemas: BTreeSet<String>,
    /// Its server's version, `150020` for 15.20.
    pub server_version: i32,
    /// The learning-content tables, which their own stage looks after.
    pub content_tables: BTreeSet<TableName>,
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

/// Plans the night: the archive's entries against the modes and the warehouse.
#[must_use]
pub fn plan(entries: &[Entry], modes: &BackupModes, world: &World) -> Plan {
    let mut plan = Plan { brought: world.brought.clone(), ..Plan::default() };
    plan.treat_tables(entries, modes, world);
    let lines = lines::Lines::draw(entries, &plan.treatments, world);
    plan.sort_entries(entries, world, &lines);
    plan.name_what_is_not_carried(entries, &lines, world);
    plan.find_replaceable(entries, world);
    plan.refuse_what_is_not_ours(entries, world);
    plan.problems.sort();
    plan.problems.dedup();
    plan
}

pub(super) fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests;
