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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::postgres::archive::{EntryKind, Format, FormatVersion, Header, Section};

    fn entry(id: i32, kind: &str, schema: Option<&str>, name: &str, dependencies: &[i32]) -> Entry {
        Entry {
            id,
            kind: EntryKind::from_archive(kind),
            section: Section::PreData,
            schema: schema.map(str::to_owned),
            name: name.into(),
            owner: "somebody".into(),
            definition: format!("-- {kind} {name}"),
            copy_statement: None,
            dependencies: dependencies.to_vec(),
            table_access_method: None,
            tablespace: None,
            has_data: false,
        }
    }

    fn archive(entries: Vec<Entry>) -> Archive {
        let header = Header {
            version: FormatVersion { major: 1, minor: 14 },
            format: Format::Custom,
            dbname: "dw".into(),
            server_version: "15.4".into(),
            dump_version: "15.4".into(),
            created: None,
        };
        Archive { path: "".into(), header, encoding: "UTF8".into(), entries }
    }

    fn labels(entries: &[&Entry]) -> Vec<String> {
        entries.iter().map(|entry| entry.label()).collect()
    }

    #[test]
    fn readers_schemas_travel_and_what_leans_on_the_others_is_named() {
        let archive = archive(vec![
            entry(1, "SCHEMA", None, "nightferry", &[]),
            entry(2, "SCHEMA", None, "bi", &[]),
            entry(3, "COMMENT", None, "SCHEMA bi", &[2]),
            entry(4, "TABLE", Some("nightferry"), "runs", &[1]),
            entry(5, "TABLE", Some("bi"), "targets", &[2]),
            entry(6, "VIEW", Some("bi"), "runs", &[2, 4]),
            entry(7, "COMMENT", Some("bi"), "VIEW runs", &[6]),
            entry(8, "ACL", Some("bi"), "TABLE targets", &[5]),
            entry(9, "TABLE DATA", Some("bi"), "targets", &[5]),
        ]);
        let selection = select(&archive, &BTreeSet::from(["nightferry".to_owned()]), &BTreeMap::new());
        assert_eq!(selection.schemas, BTreeSet::from(["bi"]));
        assert_eq!(labels(&selection.objects), ["TABLE bi.targets"]);
        assert_eq!(selection.schema_comments.len(), 1);
        let left_out: Vec<&str> = selection.left_out.iter().map(|skipped| skipped.object.as_str()).collect();
        assert_eq!(left_out, ["VIEW bi.runs"]);
    }

    #[test]
    fn foreign_tables_stay_at_home_with_all_that_leans_on_them() {
        let archive = archive(vec![
            entry(1, "SERVER", None, "elsewhere", &[]),
            entry(2, "FOREIGN TABLE", Some("bi"), "far", &[1]),
            entry(3, "VIEW", Some("bi"), "near", &[2]),
            entry(4, "TABLE", Some("bi"), "here", &[]),
        ]);
        let selection = select(&archive, &BTreeSet::new(), &BTreeMap::new());
        assert_eq!(labels(&selection.objects), ["TABLE bi.here"]);
        let reasons: Vec<String> = selection
            .left_out
            .iter()
            .map(|skipped| format!("{}: {}", skipped.object, skipped.reason))
            .collect();
        assert_eq!(
            reasons,
            [
                "SERVER elsewhere: not carried by nightferry",
                "FOREIGN TABLE bi.far: not carried by nightferry",
                "VIEW bi.near: it leans on FOREIGN TABLE bi.far, which is not exported",
            ]
        );
    }

    #[test]
    fn an_extension_is_needed_by_what_leans_on_it_and_by_another_that_is_needed() {
        let archive = archive(vec![
            entry(1, "EXTENSION", None, "cube", &[]),
            entry(2, "EXTENSION", None, "earthdistance", &[1]),
            entry(3, "EXTENSION", None, "pg_stat_statements", &[]),
            entry(4, "EXTENSION", None, "left_behind", &[]),
            entry(5, "COMMENT", None, "EXTENSION cube", &[1]),
            entry(6, "TABLE", Some("bi"), "places", &[2]),
        ]);
        let extensions = BTreeMap::from([("left_behind".to_owned(), "public__next".to_owned())]);
        let selection = select(&archive, &BTreeSet::from(["public__next".to_owned()]), &extensions);
        assert_eq!(selection.needed_extensions, BTreeSet::from(["cube", "earthdistance"]));
        assert_eq!(selection.extensions.len(), 3);
        assert_eq!(labels(&selection.objects), ["TABLE bi.places"]);
    }
}
