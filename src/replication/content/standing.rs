//! Whose a table is that has a content table's name, and what must be done to it before its rows are replaced. Pure.

use super::catalog::{Kind, Table};
use crate::adapters::postgres::columns::{Column, RelationKind};
use crate::adapters::postgres::ident::{ident, table as quoted};
use crate::ids::TableName;

/// What the warehouse and the ledger say of a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// What has this name in the warehouse.
    pub(super) kind: Option<RelationKind>,
    /// Its columns.
    pub(super) columns: &'a [Column],
    /// Whether the replication from the source brought it.
    pub(super) replicated: bool,
    /// Its columns as this stage made them, where it did.
    pub(super) made: Option<&'a [String]>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not there: make it.
    Create(String),
    /// It is ours; run these statements first, if any, to give it the columns of today's mapping.
    Ours(Vec<String>),
    /// It is somebody else's, for this reason.
    Foreign(String),
}

/// The columns of a table with `id` in front, `name` and type.
pub(super) fn columns(table: &Table) -> impl Iterator<Item = (&'static str, Kind)> {
    std::iter::once(("id", Kind::Text)).chain(table.columns.iter().map(|column| (column.name, column.kind)))
}

/// The columns as the ledger keeps them.
pub(super) fn recorded(table: &Table) -> Vec<String> {
    columns(table).map(|(name, kind)| format!("{name} {}", kind.type_name())).collect()
}

/// The statement's part that defines a column. Booleans are never null: a missing one is false.
pub(super) fn definition((name, kind): (&str, Kind)) -> String {
    let rest = match kind {
        Kind::Boolean => " not null default false",
        _ => "",
    };
    format!("{} {}{rest}", ident(name), kind.type_name())
}

/// Decides.
pub(super) fn standing(name: &TableName, table: &Table, found: Found<'_>) -> Standing {
    if found.replicated {
        return Standing::Foreign(
            "the source has a table of this name, which the full stage brings".to_owned(),
        );
    }
    let Some(kind) = found.kind else { return Standing::Create(create(name, table)) };
    let Some(made) = found.made.filter(|_| kind == RelationKind::Table) else {
        return Standing::Foreign("it was there before, and nightferry did not make it".to_owned());
    };
    let actual: Vec<String> =
        found.columns.iter().map(|column| format!("{} {}", column.name, column.type_name)).collect();
    if let Some(changed) = made.iter().find(|column| !actual.contains(column)) {
        return Standing::Foreign(format!("somebody changed or replaced it: column {changed} is not there"));
    }
    let wanted = recorded(table);
    let dropped = made.iter().filter(|column| !wanted.contains(column)).map(|column| {
        // The name may hold spaces, the column is found by the whole text.
        let at = actual.iter().position(|actual| actual == column).unwrap_or_default();
        format!("alter table {} drop column {}", quoted(name), ident(&found.columns[at].name))
    });
    let added = columns(table)
        .filter(|(column, kind)| !made.contains(&format!("{column} {}", kind.type_name())))
        .map(|column| format!("alter table {} add column {}", quoted(name), definition(column)));
    Standing::Ours(dropped.chain(added).collect())
}

fn create(name: &TableName, table: &Table) -> String {
    let definitions: Vec<String> = columns(table).map(definition).collect();
    format!("create table {} ({}, primary key (\"id\"))", quoted(name), definitions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{Column as ContentColumn, From};
    use super::*;

    const TABLE: Table = Table {
        name: "areas",
        columns: &[ContentColumn { name: "ok", kind: Kind::Boolean, from: From::Member("ok") }],
        indexed: &[],
    };

    fn decide(
        kind: Option<RelationKind>,
        actual: &[(&str, &str)],
        made: Option<&[&str]>,
        replicated: bool,
    ) -> Standing {
        let columns: Vec<Column> = actual
            .iter()
            .map(|(name, type_name)| Column {
                name: (*name).into(),
                type_name: (*type_name).into(),
                cast_type: (*type_name).into(),
                not_null: false,
                has_default: false,
                generated: false,
                collatable: false,
            })
            .collect();
        let made = made.map(|made| made.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
        let found = Found { kind, columns: &columns, replicated, made: made.as_deref() };
        standing(&TableName::new("public", "areas"), &TABLE, found)
    }

    #[test]
    fn a_table_that_is_not_there_is_made() {
        let sql = r#"create table "public"."areas" ("id" text, "ok" boolean not null default false, primary key ("id"))"#;
        assert_eq!(decide(None, &[], None, false), Standing::Create(sql.into()));
        assert_eq!(decide(None, &[], Some(&["id text"]), false), Standing::Create(sql.into()));
    }

    #[test]
    fn a_table_of_somebody_else_is_never_ours() {
        let table = Some(RelationKind::Table);
        let columns = [("id", "text"), ("ok", "boolean")];
        let made: &[&str] = &["id text", "ok boolean"];
        assert!(matches!(decide(table, &columns, None, false), Standing::Foreign(_)));
        assert!(matches!(decide(table, &columns, Some(made), true), Standing::Foreign(_)));
        assert!(matches!(
            decide(Some(RelationKind::View), &columns, Some(made), false),
            Standing::Foreign(_)
        ));
        assert!(matches!(decide(table, &[("id", "bigint")], Some(made), false), Standing::Foreign(_)));
    }

    #[test]
    fn a_mapping_that_changed_changes_only_those_columns_and_an_analysts_own_column_stays() {
        let table = Some(RelationKind::Table);
        let columns = [("id", "text"), ("old one", "text"), ("mine", "integer")];
        assert_eq!(
            decide(table, &columns, Some(&["id text", "old one text"]), false),
            Standing::Ours(vec![
                r#"alter table "public"."areas" drop column "old one""#.into(),
                r#"alter table "public"."areas" add column "ok" boolean not null default false"#.into(),
            ])
        );
        let columns = [("id", "text"), ("ok", "boolean"), ("mine", "integer")];
        assert_eq!(decide(table, &columns, Some(&["id text", "ok boolean"]), false), Standing::Ours(vec![]));
    }
}
