//! What belongs to the tables, compared by kind and name (pure): indexes, constraints, foreign keys, triggers; and the views
//! and sequences beside them. What only the warehouse has is never a difference.

use std::collections::{BTreeMap, BTreeSet};

use super::Remark;
use crate::adapters::ledger::ObjectRow;
use crate::adapters::postgres::catalog::{Definition, Object};
use crate::config::ForeignKeys;
use crate::ids::TableName;
use crate::outcome::Skipped;
use crate::replication::full::constrain::{KeyFate, fate};
use crate::replication::plan::Treatment;

/// What is different, each with the table that it belongs to, where there is one; and what is worth knowing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) differences: Vec<(Option<TableName>, Remark)>,
    pub(super) notes: Vec<Remark>,
}

/// What the night said that it left out: the object as it named it, and why.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<String, String>);

impl LeftOut {
    pub(super) fn new(skipped: &[Skipped]) -> Self {
        let pair = |skipped: &Skipped| (skipped.object.clone(), skipped.reason.clone());
        Self(skipped.iter().map(pair).collect())
    }

    fn reason(&self, names: &[String]) -> Option<&str> {
        names.iter().find_map(|name| self.0.get(name)).map(String::as_str)
    }
}

/// What decides whether a missing or changed object is a difference.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) foreign_keys: ForeignKeys,
    pub(super) treatments: &'a BTreeMap<TableName, Treatment>,
    pub(super) left_out: &'a LeftOut,
}

/// Compares the indexes, constraints, foreign keys and triggers of tables that both sides have.
pub(super) fn definitions(source: &[Definition], warehouse: &[Definition], rules: &Rules<'_>) -> Found {
    let there: BTreeMap<_, _> = warehouse.iter().map(|definition| (key_of(definition), definition)).collect();
    let mut found = Found::default();
    let mut omitted = 0_usize;
    for definition in source {
        let here = there.get(&key_of(definition)).copied();
        let key = (definition.kind == "FK CONSTRAINT")
            .then(|| fate(definition, rules.foreign_keys, rules.treatments));
        match (&key, here) {
            (Some(KeyFate::LeftOut(_)), _) if rules.foreign_keys == ForeignKeys::Omitted => omitted += 1,
            (Some(KeyFate::LeftOut(reason)), None) => {
                found.notes.push(Remark::new(label(definition), format!("left out: {reason}")));
            }
            (_, None) => match rules.left_out.reason(&names_in_the_ledger(definition)) {
                Some(reason) => {
                    found
                        .notes
                        .push(Remark::new(label(definition), format!("left out by the night: {reason}")));
                }
                None => found.add(definition, "the warehouse lacks it".to_owned()),
            },
            (key, Some(here)) => {
                if let Some(text) = change(definition, here) {
                    found.add(definition, text);
                } else if here.declared_not_valid {
                    match key {
                        Some(KeyFate::Validated | KeyFate::Whole) => {
                            found.add(definition, "declared in the warehouse, but not checked".to_owned());
                        }
                        Some(KeyFate::NotValid(Some(reason))) => found
                            .notes
                            .push(Remark::new(label(definition), format!("declared, not checked: {reason}"))),
                        _ => {}
                    }
                }
            }
        }
    }
    if omitted > 0 {
        let subject =
            if omitted == 1 { "1 foreign key".to_owned() } else { format!("{omitted} foreign keys") };
        found.notes.push(Remark::new(subject, "not compared: RESTORE_FK_CONSTRAINTS is false"));
    }
    found
}

/// How the two definitions differ, with the first statement that does.
fn change(source: &Definition, warehouse: &Definition) -> Option<String> {
    let statements = |definition: &Definition| -> Vec<String> {
        definition.statements.iter().chain(&definition.attach).cloned().collect()
    };
    let (left, right) = (statements(source), statements(warehouse));
    let at = (0..left.len().max(right.len())).find(|at| left.get(*at) != right.get(*at))?;
    let words = |statements: &[String]| statements.get(at).map_or("nothing", String::as_str).to_owned();
    Some(format!("the source has {}; the warehouse has {}", words(&left), words(&right)))
}

/// Names the views, materialized views and sequences of these schemas that are expected and that the warehouse lacks.
pub(super) fn relations(
    expected: impl IntoIterator<Item = ObjectRow>,
    warehouse: &[Object],
    schemas: &BTreeSet<&str>,
    left_out: &LeftOut,
) -> Found {
    let there: BTreeSet<(&str, &str)> =
        warehouse.iter().map(|object| (object.kind.as_str(), object.identity.as_str())).collect();
    let mut found = Found::default();
    let missing = expected.into_iter().filter(|object| {
        matches!(object.kind.as_str(), "view" | "materialized view" | "sequence")
            && schemas.contains(object.schema_name.as_str())
            && !there.contains(&(object.kind.as_str(), object.identity.as_str()))
    });
    for ObjectRow { kind, schema_name, object_name, identity } in missing {
        let name = TableName::new(schema_name, object_name);
        let subject = format!("{kind} {name}");
        // The catalog's name for it, and the archive's.
        match left_out.reason(&[format!("{kind} {identity}"), format!("{} {name}", kind.to_uppercase())]) {
            Some(reason) => {
                found.notes.push(Remark::new(subject, format!("left out by the night: {reason}")));
            }
            None => found.differences.push((None, Remark::new(subject, "the warehouse lacks it"))),
        }
    }
    found
}

impl Found {
    fn add(&mut self, definition: &Definition, text: String) {
        self.differences.push((Some(definition.table()), Remark::new(label(definition), text)));
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.notes.extend(other.notes);
    }
}

fn key_of(definition: &Definition) -> (String, TableName, String) {
    (definition.kind.clone(), definition.table(), definition.name.clone())
}

/// How people name it: `index users_email_idx on public.users`.
fn label(definition: &Definition) -> String {
    let kind = match definition.kind.as_str() {
        "FK CONSTRAINT" => "foreign key".to_owned(),
        "TRIGGER STATE" => "switched trigger".to_owned(),
        kind => kind.to_lowercase(),
    };
    format!("{kind} {} on {}", definition.name, definition.table())
}

/// The names under which the night may have left it out: the catalog's, and the archive's.
fn names_in_the_ledger(definition: &Definition) -> [String; 3] {
    let Definition { kind, schema_name, name, .. } = definition;
    [
        definition.label(),
        format!("{kind} {} {name}", definition.table()),
        format!("{kind} {schema_name}.{name}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(kind: &str, table: &str, name: &str, statement: &str) -> Definition {
        Definition {
            kind: kind.into(),
            relation: 1,
            schema_name: "public".into(),
            table_name: table.into(),
            name: name.into(),
            statements: vec![statement.into()],
            attach: None,
            referenced_schema: None,
            referenced_table: None,
            declared_not_valid: false,
            is_partitioned: false,
            home_statements: Vec::new(),
            stored_as: None,
        }
    }

    fn key(to: &str) -> Definition {
        Definition {
            referenced_schema: Some("public".into()),
            referenced_table: Some(to.into()),
            ..definition("FK CONSTRAINT", "users", "fk", "ADD fk")
        }
    }

    fn compare(
        source: &[Definition],
        warehouse: &[Definition],
        foreign_keys: ForeignKeys,
        skipped: &[(&str, &str)],
    ) -> (Vec<String>, Vec<String>) {
        let treatments = [("users", Treatment::Replaced), ("answers", Treatment::Incremental)]
            .map(|(table, treatment)| (TableName::new("public", table), treatment))
            .into();
        let left_out = left_out(skipped);
        let rules = Rules { foreign_keys, treatments: &treatments, left_out: &left_out };
        said(&definitions(source, warehouse, &rules))
    }

    fn left_out(skipped: &[(&str, &str)]) -> LeftOut {
        let skipped = skipped.iter().map(|(object, reason)| Skipped {
            object: (*object).to_owned(),
            reason: (*reason).to_owned(),
            definition: None,
        });
        LeftOut::new(&skipped.collect::<Vec<_>>())
    }

    fn said(found: &Found) -> (Vec<String>, Vec<String>) {
        let text = |remark: &Remark| format!("{}: {}", remark.subject, remark.text);
        (
            found.differences.iter().map(|(_, remark)| text(remark)).collect(),
            found.notes.iter().map(text).collect(),
        )
    }

    #[test]
    fn what_is_missing_or_changed_is_a_difference_and_what_is_more_is_none() {
        let source = [
            definition("INDEX", "users", "same", "CREATE INDEX same"),
            definition("INDEX", "users", "gone", "CREATE INDEX gone"),
            definition("TRIGGER", "users", "same", "CREATE TRIGGER same"),
        ];
        let warehouse = [
            definition("INDEX", "users", "same", "CREATE INDEX same"),
            definition("TRIGGER", "users", "same", "CREATE TRIGGER other"),
            definition("INDEX", "users", "enrichment", "CREATE INDEX enrichment"),
        ];
        let (differences, notes) = compare(&source, &warehouse, ForeignKeys::Validated, &[]);
        assert_eq!(
            differences,
            [
                "index gone on public.users: the warehouse lacks it",
                "trigger same on public.users: the source has CREATE TRIGGER same; the warehouse has CREATE TRIGGER other",
            ]
        );
        assert_eq!(notes, Vec::<String>::new());
    }

    #[test]
    fn a_statement_that_only_one_side_has_is_a_change() {
        let mut clustered = definition("INDEX", "users", "i", "CREATE INDEX i");
        let plain = clustered.clone();
        clustered.statements.push("CLUSTER ON i".into());
        assert_eq!(
            compare(&[clustered], &[plain], ForeignKeys::Validated, &[]).0,
            ["index i on public.users: the source has CLUSTER ON i; the warehouse has nothing"]
        );
    }

    #[test]
    fn a_foreign_key_is_compared_as_the_setting_says() {
        let of = |to: &str, not_valid: Option<bool>, mode| {
            let here = not_valid.map(|declared_not_valid| Definition { declared_not_valid, ..key(to) });
            let (differences, notes) = compare(&[key(to)], here.as_slice(), mode, &[]);
            (differences.len(), notes.len())
        };
        assert_eq!(of("users", None, ForeignKeys::Validated), (1, 0));
        assert_eq!(of("users", Some(true), ForeignKeys::Validated), (1, 0));
        assert_eq!(of("users", Some(true), ForeignKeys::NotValid), (0, 0));
        assert_eq!(of("users", Some(false), ForeignKeys::NotValid), (0, 0));
        assert_eq!(of("users", None, ForeignKeys::NotValid), (1, 0));
        assert_eq!(of("users", None, ForeignKeys::Omitted), (0, 1));
        assert_eq!(
            of("answers", Some(true), ForeignKeys::Validated),
            (0, 1),
            "a kept table's rows may be older"
        );
    }

    #[test]
    fn what_the_night_left_out_is_a_note_under_each_name_that_it_may_have() {
        let key = key("logs");
        for name in ["FK CONSTRAINT fk on public.users", "FK CONSTRAINT public.users fk"] {
            let (differences, notes) =
                compare(std::slice::from_ref(&key), &[], ForeignKeys::Validated, &[(name, "needs logs")]);
            assert_eq!(differences, Vec::<String>::new(), "{name}");
            assert_eq!(
                notes,
                ["foreign key fk on public.users: left out by the night: needs logs"],
                "{name}"
            );
        }
        assert_eq!(compare(&[key], &[], ForeignKeys::Validated, &[]).0.len(), 1);
    }

    #[test]
    fn a_missing_view_is_a_difference_unless_the_night_left_it_out() {
        let object = |kind: &str, schema: &str, name: &str, oid| Object {
            class: 1,
            oid,
            kind: kind.into(),
            schema_name: schema.into(),
            object_name: name.into(),
            identity: format!("{schema}.{name}"),
        };
        let source = [
            object("view", "public", "gone", 1),
            object("view", "public", "left_out", 2),
            object("materialized view", "public", "there", 3),
            object("sequence", "public", "of_users", 5),
            object("view", "elsewhere", "gone", 6),
            object("function", "public", "gone()", 7),
        ];
        let found = relations(
            source.iter().map(ObjectRow::from),
            &[object("materialized view", "public", "there", 30)],
            &BTreeSet::from(["public"]),
            &left_out(&[("VIEW public.left_out", "needs logs")]),
        );
        let (differences, notes) = said(&found);
        assert_eq!(
            differences,
            ["view public.gone: the warehouse lacks it", "sequence public.of_users: the warehouse lacks it"]
        );
        assert_eq!(notes, ["view public.left_out: left out by the night: needs logs"]);
    }
}
