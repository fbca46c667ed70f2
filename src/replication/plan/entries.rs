//! What becomes of each table and each entry of the archive (pure).

use std::collections::{BTreeMap, BTreeSet};

use super::carriage::{Carriage, carriage};
use super::lines::Lines;
use super::{Finding, Plan, Treatment, World};
use crate::adapters::ledger::Disposition;
use crate::adapters::postgres::archive::Entry;
use crate::config::{BackupModes, TableMode};
use crate::ids::TableName;
use crate::outcome::Skipped;
use crate::replication::tables::resolve;

/// The ledger's schema never travels: an archive of a warehouse holds that warehouse's own ledger.
fn is_ledger(entry: &Entry) -> bool {
    entry.schema.as_deref() == Some("nightferry")
        || (entry.kind.name() == "SCHEMA" && entry.name == "nightferry")
}

impl Plan {
    pub(super) fn treat_tables(&mut self, entries: &[Entry], modes: &BackupModes, world: &World) {
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
                Some(TableMode::Incremental(_)) if world.has_table(&table) => Treatment::Incremental,
                Some(TableMode::Incremental(_)) => Treatment::FirstLoad,
                None if world.disposition(&table) == Some(Disposition::Kept) => Treatment::Untouched,
                None => Treatment::Replaced,
            };
            self.treatments.insert(table, treatment);
        }
        self.keep_partitions_with_their_parents(entries);
    }

    /// The rows of a partitioned table are its partitions': what is done with it is done with them.
    fn keep_partitions_with_their_parents(&mut self, entries: &[Entry]) {
        let by_id: BTreeMap<i32, &Entry> = entries
            .iter()
            .filter(|entry| entry.kind.name() == "TABLE")
            .map(|entry| (entry.id, entry))
            .collect();
        // The archive attaches parents before their children's children, but says so nowhere: go on until nothing changes.
        loop {
            let before = self.treatments.clone();
            for attach in entries.iter().filter(|entry| entry.kind.name() == "TABLE ATTACH") {
                let Some(child) = attach.table_name() else { continue };
                let parent = attach
                    .dependencies
                    .iter()
                    .filter_map(|id| by_id.get(id)?.table_name())
                    .find(|table| *table != child);
                let treatment = parent.and_then(|parent| self.treatments.get(&parent)).copied();
                if let Some(treatment) = treatment.filter(|treatment| *treatment != Treatment::Replaced) {
                    self.treatments.insert(child, treatment);
                }
            }
            if self.treatments == before {
                return;
            }
        }
    }

    pub(super) fn sort_entries(&mut self, entries: &[Entry], world: &World, lines: &Lines) {
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

    pub(super) fn name_what_is_not_carried(&mut self, entries: &[Entry], lines: &Lines, world: &World) {
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
