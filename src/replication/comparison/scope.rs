//! Which tables are compared, and why the others are not (pure).

use std::collections::{BTreeMap, BTreeSet};

use super::Remark;
use crate::adapters::ledger::Disposition;
use crate::config::{BackupModes, TableMode};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::plan::Treatment;
use crate::replication::tables::{add_partitions, resolve};

/// The tables of the source, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// What the night does with each.
    pub(super) treatments: BTreeMap<TableName, Treatment>,
    /// Those that are compared.
    pub(super) compared: BTreeSet<TableName>,
    /// Those that are not, each with the reason.
    pub(super) not_compared: Vec<Remark>,
}

/// What is known of the source's tables.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    /// All of them.
    pub(super) tables: Vec<TableName>,
    /// Each partition with its parent.
    pub(super) partitions: Vec<(TableName, TableName)>,
    /// What an operator said of the warehouse's tables.
    pub(super) adopted: &'a [(TableName, Disposition)],
    /// How errors begin that name a table which is none of them: `the source has`.
    pub(super) who_has: &'static str,
}

/// The reason for the tables of the incremental stage.
const INCREMENTAL: &str = "incremental in BACKUP_MODE (see --incremental)";

/// The tables that `asked` names, or all; of them, those that the full stage replaces.
///
/// # Errors
/// A name in `asked` or in `BACKUP_MODE` is none of the tables, or `asked` names one that is not replaced.
pub(super) fn scope(known: &Known<'_>, modes: &BackupModes, asked: &[String]) -> Result<Scope> {
    let find = |written: &str, where_from: &str| {
        resolve(written, &known.tables).map_err(|text| {
            let text = text.replace("the source has", known.who_has);
            Error::new(ErrorKind::Configuration, format!("{where_from}{text}"))
        })
    };
    let mut reasons: BTreeMap<TableName, (Treatment, &str)> = BTreeMap::new();
    for (table, _) in known.adopted.iter().filter(|(_, disposition)| *disposition == Disposition::Kept) {
        reasons.insert(table.clone(), (Treatment::Untouched, "kept, as `nightferry adopt` was told"));
    }
    for (written, mode) in modes.iter() {
        let reason = match mode {
            TableMode::None => (Treatment::Untouched, "none in BACKUP_MODE"),
            TableMode::Incremental(_) => (Treatment::Incremental, INCREMENTAL),
        };
        reasons.insert(find(written, "BACKUP_MODE: ")?, reason);
    }
    inherit(&mut reasons, &known.partitions);
    let mut wanted = BTreeSet::new();
    for written in asked {
        let table = find(written, "")?;
        if let Some((_, reason)) = reasons.get(&table) {
            let text = format!("{table} cannot be compared: {reason}");
            return Err(Error::new(ErrorKind::Configuration, text)
                .hint("only tables that the full stage replaces every night are compared"));
        }
        wanted.insert(table);
    }
    // A partitioned table has its rows in its partitions.
    add_partitions(&mut wanted, &known.partitions);
    let mut scope = Scope::default();
    for table in known.tables.iter().collect::<BTreeSet<_>>() {
        let kept = reasons.get(table);
        scope.treatments.insert(table.clone(), kept.map_or(Treatment::Replaced, |(treatment, _)| *treatment));
        match kept {
            Some((_, reason)) if asked.is_empty() => {
                scope.not_compared.push(Remark::new(format!("table {table}"), *reason));
            }
            None if asked.is_empty() || wanted.contains(table) => {
                scope.compared.insert(table.clone());
            }
            _ => {}
        }
    }
    Ok(scope)
}

/// What is done with a partitioned table is done with its partitions.
fn inherit(reasons: &mut BTreeMap<TableName, (Treatment, &str)>, partitions: &[(TableName, TableName)]) {
    let kept: Vec<TableName> = reasons.keys().cloned().collect();
    for parent in kept {
        let Some(reason) = reasons.get(&parent).copied() else { continue };
        let mut family = BTreeSet::from([parent]);
        add_partitions(&mut family, partitions);
        for table in family {
            reasons.entry(table).or_insert(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Variables};

    fn table(name: &str) -> TableName {
        TableName::new("public", name)
    }

    fn modes(text: &str) -> BackupModes {
        let variables = Variables::from_pairs([
            ("SOURCE_DATABASE_URL", "postgres://s/s"),
            ("TARGET_DATABASE_URL", "postgres://w/w"),
            ("BACKUP_MODE", text),
        ]);
        Config::load(&variables).unwrap().replication.modes
    }

    fn known(adopted: &[(TableName, Disposition)]) -> Known<'_> {
        Known {
            tables: ["users", "answers", "events", "events_1", "events_1_a", "logs"].map(table).into(),
            partitions: vec![(table("events_1_a"), table("events_1")), (table("events_1"), table("events"))],
            adopted,
            who_has: "the source has",
        }
    }

    fn names(tables: &BTreeSet<TableName>) -> Vec<&str> {
        tables.iter().map(|table| table.name.as_str()).collect()
    }

    #[test]
    fn what_the_full_stage_does_not_replace_is_named_with_its_partitions() {
        let adopted = [(table("logs"), Disposition::Kept), (table("users"), Disposition::Replaced)];
        let scope =
            scope(&known(&adopted), &modes(r#"{"events":"incremental","answers":"none"}"#), &[]).unwrap();
        assert_eq!(names(&scope.compared), ["users"]);
        let said: Vec<String> =
            scope.not_compared.iter().map(|remark| format!("{}: {}", remark.subject, remark.text)).collect();
        assert_eq!(
            said,
            [
                "table public.answers: none in BACKUP_MODE",
                "table public.events: incremental in BACKUP_MODE (see --incremental)",
                "table public.events_1: incremental in BACKUP_MODE (see --incremental)",
                "table public.events_1_a: incremental in BACKUP_MODE (see --incremental)",
                "table public.logs: kept, as `nightferry adopt` was told",
            ]
        );
        assert_eq!(scope.treatments[&table("events_1_a")], Treatment::Incremental);
        assert_eq!(scope.treatments[&table("users")], Treatment::Replaced);
    }

    #[test]
    fn a_partitioned_table_is_asked_for_with_its_partitions_and_without_the_others() {
        let scope = scope(&known(&[]), &modes(r#"{"logs":"none"}"#), &["public.events".to_owned()]).unwrap();
        assert_eq!(names(&scope.compared), ["events", "events_1", "events_1_a"]);
        assert_eq!(scope.not_compared, []);
    }

    #[test]
    fn a_name_that_cannot_be_compared_is_an_error() {
        let fails = |asked: &str, written: &str| {
            scope(&known(&[]), &modes(written), &[asked.to_owned()]).unwrap_err()
        };
        let unknown = fails("user", "{}");
        assert_eq!(unknown.to_string(), "the source has no table \"user\": did you mean \"users\"?");
        assert_eq!(unknown.kind(), ErrorKind::Configuration);
        let kept = fails("logs", r#"{"logs":"none"}"#);
        assert_eq!(kept.to_string(), "public.logs cannot be compared: none in BACKUP_MODE");
        assert!(
            fails("users", r#"{"log":"none"}"#)
                .to_string()
                .starts_with("BACKUP_MODE: the source has no table")
        );
    }
}
