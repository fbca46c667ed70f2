//! Which entries lean on a table that is not loaded, or on something that is not carried (pure).

use std::collections::{BTreeMap, BTreeSet};

use super::carriage::{Carriage, PARTS, carriage};
use super::{Treatment, World};
use crate::adapters::postgres::archive::Entry;
use crate::ids::TableName;

/// The sets of entries that decide: parts of tables that are not loaded, what is not carried, and what leans on either.
pub(super) struct Lines {
    pub(super) parts_of_kept: BTreeSet<i32>,
    pub(super) leaning_on_kept: BTreeSet<i32>,
    pub(super) not_carried: BTreeSet<i32>,
    pub(super) leaning_on_not_carried: BTreeSet<i32>,
}

impl Lines {
    pub(super) fn draw(
        entries: &[Entry],
        treatments: &BTreeMap<TableName, Treatment>,
        world: &World,
    ) -> Self {
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
    let owners = entry.dependencies.iter().filter(|id| by_id.get(id).is_some_and(owns));
    // Of tables `a` and `a b`, the key `a b fk` is the second one's.
    owners.max_by_key(|id| by_id[id].name.len()).copied().into_iter().collect()
}
