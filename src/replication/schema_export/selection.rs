//! Which entries of the warehouse's archive are exported (pure).

use std::collections::{BTreeMap, BTreeSet};

use crate::adapters::postgres::archive::{Archive, Entry};
use crate::outcome::Skipped;
use crate::replication::plan::{Carriage, carriage};

/// What is exported.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    /// The schemas that must be there.
    pub(super) schemas: BTreeSet<&'a str>,
    /// The extensions.
    pub(super) extensions: Vec<&'a Entry>,
    /// Of these, those that an object leans on.
    pub(super) needed_extensions: BTreeSet<&'a str>,
    /// All other objects, in the order in which they can be made.
    pub(super) objects: Vec<&'a Entry>,
    /// Comments on schemas, each with the schema.
    pub(super) schema_comments: Vec<(&'a str, &'a Entry)>,
    /// What is left out, and why.
    pub(super) left_out: Vec<Skipped>,
}

/// Takes what readers of the warehouse see; not what is in schemas that stay, nor what leans on it.
pub(super) fn select<'a>(
    archive: &'a Archive,
    staying: &BTreeSet<String>,
    extensions: &BTreeMap<String, String>,
) -> Selection<'a> {
    let stays = |entry: &&Entry| match entry.kind.name() {
        "SCHEMA" => staying.contains(&entry.name),
        "EXTENSION" => extensions.get(&entry.name).is_some_and(|schema| staying.contains(schema)),
        _ => entry.schema.as_ref().is_some_and(|schema| staying.contains(schema)),
    };
    let ids = |entries: &mut dyn Iterator<Item = &'a Entry>| -> BTreeSet<i32> {
        entries.map(|entry| entry.id).collect()
    };
    let staying_ids = ids(&mut archive.entries.iter().filter(stays));
    let not_carried =
        ids(&mut archive.entries.iter().filter(|entry| carriage(entry) == Carriage::NotCarried));
    let out: BTreeSet<i32> = staying_ids.union(&not_carried).copied().collect();
    let leaning = archive.dependents_of(&out);

    let mut selection = Selection::default();
    let by_id: BTreeMap<i32, &Entry> = archive.entries.iter().map(|entry| (entry.id, entry)).collect();
    for entry in archive.entries.iter().filter(|entry| !staying_ids.contains(&entry.id)) {
        let kind = carriage(entry);
        if matches!(kind, Carriage::Data | Carriage::Ignored) {
            continue;
        }
        if not_carried.contains(&entry.id) || leaning.contains(&entry.id) {
            let needed = entry.dependencies.iter().filter(|id| out.contains(id) || leaning.contains(id));
            let needed = needed.filter_map(|id| by_id.get(id)).next();
            let reason = match needed {
                Some(needed) if !not_carried.contains(&entry.id) => {
                    format!("it leans on {}, which is not exported", needed.label())
                }
                _ => "not carried by nightferry".to_owned(),
            };
            if kind != Carriage::Comment {
                selection.left_out.push(Skipped { object: entry.label(), reason, definition: None });
            }
            continue;
        }
        selection.take(entry, &by_id);
    }
    selection.find_needed_extensions(&by_id);
    selection
}

impl<'a> Selection<'a> {
    fn take(&mut self, entry: &'a Entry, by_id: &BTreeMap<i32, &'a Entry>) {
        let described = |kind: &str| {
            let described = entry.dependencies.iter().filter_map(|id| by_id.get(id));
            described.copied().find(|described| described.kind.name() == kind && entry.schema.is_none())
        };
        match entry.kind.name() {
            "SCHEMA" => {
                self.schemas.insert(&entry.name);
            }
            "EXTENSION" => self.extensions.push(entry),
            // An extension brings its own.
            "COMMENT" if described("EXTENSION").is_some() => {}
            "COMMENT" if described("SCHEMA").is_some() => {
                self.schema_comments.extend(described("SCHEMA").map(|schema| (schema.name.as_str(), entry)));
            }
            _ => {
                self.schemas.extend(entry.schema.as_deref());
                self.objects.push(entry);
            }
        }
    }

    /// Those that objects lean on, and those that these lean on.
    fn find_needed_extensions(&mut self, by_id: &BTreeMap<i32, &'a Entry>) {
        let mut open: Vec<&Entry> = self.objects.clone();
        while let Some(entry) = open.pop() {
            let needed = entry.dependencies.iter().filter_map(|id| by_id.get(id).copied());
            let needed = needed.filter(|needed| needed.kind.name() == "EXTENSION");
            open.extend(needed.filter(|needed| self.needed_extensions.insert(&needed.name)));
        }
    }
}
