//! What is copied of one table, decided from the shapes of both sides before anything is written.

use std::collections::BTreeSet;

use serde_json::Value;

use super::drift::{Circumstances, Drift, judge, seen};
use super::key::{Key, Stretch};
use crate::adapters::postgres::columns::Column;
use crate::adapters::postgres::ident::{columns as quoted_columns, table as quoted};
use crate::adapters::postgres::shape::{Shape, ShapeColumn, holders_of, local_types, shape_of};
use crate::adapters::postgres::{Database, Session};
use crate::config::{Increment, SchemaDrift, Way, nearest};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::several::one_error;

/// How one table is brought up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TablePlan {
    /// The table, of the same name on both sides.
    pub(super) table: TableName,
    /// How it is brought up to date.
    pub(super) increment: Increment,
    /// What orders the rows of the source: the key of `incremental` and `reconcile`, the cursor of `upsert`.
    pub(super) source_key: Key,
    /// The same on the warehouse.
    pub(super) warehouse_key: Key,
    /// The columns that tell rows apart, as far as anything does.
    pub(super) identity: Vec<String>,
    /// The same as what orders the rows of the source.
    pub(super) source_identity: Key,
    /// The same on the warehouse.
    pub(super) warehouse_identity: Key,
    /// The columns that are copied, in the warehouse's order: those that both sides have once the drift is followed.
    pub(super) columns: Vec<String>,
    /// Whether the binary format carries all of their values.
    pub(super) binary: bool,
    /// The table's oid in the source.
    pub(super) source_oid: i64,
    /// The table's oid in the warehouse.
    pub(super) warehouse_oid: i64,
    /// How the source's columns changed, and what is done about it.
    pub(super) drift: Drift,
    /// The source's columns, for the ledger: the next run tells a renamed column from a dropped and an added one by them.
    pub(super) source_columns: Value,
}

impl TablePlan {
    /// The COPY that reads the rows of a stretch, in the order of the key.
    pub(super) fn copy_out(&self, stretch: &Stretch) -> String {
        let key = &self.source_key;
        let (columns, relation, within) = (self.column_list(), key.relation(), key.within(stretch));
        let (order, format) = (key.order(), self.format());
        format!("copy (select {columns} from {relation} where {within} order by {order}) to stdout{format}")
    }

    /// The COPY that writes.
    pub(super) fn copy_in(&self) -> String {
        format!("copy {} ({}) from stdin{}", quoted(&self.table), self.column_list(), self.format())
    }

    fn column_list(&self) -> String {
        quoted_columns(&self.columns)
    }

    fn format(&self) -> &'static str {
        if self.binary { " (format binary)" } else { "" }
    }
}

/// What is not asked of the two sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// `SCHEMA_DRIFT`, for tables that say nothing else.
    pub(super) drift: SchemaDrift,
    /// What the ledger has as the source's columns of the last run.
    pub(super) last_seen: Option<&'a Value>,
    /// Whether the full stage will run first and make the missing types.
    pub(super) types_will_come: bool,
}

/// A session that looks: types come with their schemas.
///
/// # Errors
/// The server cannot be reached.
pub(super) async fn looking(database: &Database) -> Result<Session> {
    let mut session = database.connect().await?;
    session.set("set search_path = ''").await?;
    Ok(session)
}

/// Looks at a table on both sides, with sessions that are [`looking`], and plans it.
///
/// # Errors
/// A side lacks the table or its key, or what the source has does not fit.
pub(super) async fn look(
    source: &mut Session,
    warehouse: &mut Session,
    table: &TableName,
    increment: &Increment,
    rules: Rules<'_>,
) -> Result<TablePlan> {
    let (there, here) = futures::try_join!(shape_of(source, table), shape_of(warehouse, table))?;
    let there =
        there.ok_or_else(|| Error::new(ErrorKind::Schema, format!("the source has no table {table}")))?;
    let here = here.ok_or_else(|| {
        Error::new(ErrorKind::Schema, format!("the warehouse has no table {table}"))
            .hint("run the full stage: it loads an incremental table whole where the warehouse lacks it")
    })?;
    let holders = holders_of(warehouse, here.oid).await?;
    let columns: Vec<&ShapeColumn> = there.columns.iter().collect();
    let local_types = local_types(warehouse, &columns).await?;
    let circumstances = Circumstances {
        policy: increment.drift.unwrap_or(rules.drift),
        last_seen: rules.last_seen,
        holders: &holders,
        local_types: &local_types,
        types_will_come: rules.types_will_come,
    };
    plan(table, increment, &there, &here, circumstances)
}

/// Plans one table.
///
/// # Errors
/// All that does not fit, at once.
pub(super) fn plan(
    table: &TableName,
    increment: &Increment,
    source: &Shape,
    warehouse: &Shape,
    circumstances: Circumstances<'_>,
) -> Result<TablePlan> {
    let named = named_identity(table, &increment.way, source)?;
    let key = match (&increment.way, &named) {
        (Way::Append { key }, _) => key,
        (Way::Upsert { cursor, .. }, _) => std::slice::from_ref(cursor),
        (Way::Reconcile { .. }, named) => named.as_slice(),
    };
    let way = &increment.way;
    let there: Vec<Column> = source.columns.iter().map(|one| one.column.clone()).collect();
    let source_key = Key::new(table, source.kind, &columns_named(table, way, key, &there, "source")?);
    columns_named(table, way, &named, &there, "source")?;
    let others: Vec<String> = named.iter().filter(|name| !key.contains(name)).cloned().collect();
    let ordering = [key, others.as_slice()].concat();
    let mut judged = judge(table, &ordering, source, warehouse, circumstances);
    judged.columns.truncate(judged.standing);
    let here = judged.columns;
    let mut problems = judged.problems;
    // All at once: what is missing here, and what does not fit.
    let found = columns_named(table, way, key, &here, "warehouse").map_err(|problem| problems.push(problem));
    let warehouse_key = Key::new(table, warehouse.kind, &found.unwrap_or_default());
    problems.extend(columns_named(table, way, &others, &here, "warehouse").err());
    if matches!(increment.way, Way::Upsert { .. }) && !is_unique(warehouse, &judged.renames, &named) {
        problems.push(not_unique(table, &named));
    }
    one_error(problems, |count| format!("{table} has {count} problems"))?;
    let identity = if named.is_empty() { found_identity(source, &here, key) } else { named.clone() };
    let source_identity =
        Key::new(table, source.kind, &columns_named(table, way, &identity, &there, "source")?);
    let warehouse_identity =
        Key::new(table, warehouse.kind, &columns_named(table, way, &identity, &here, "warehouse")?);
    Ok(TablePlan {
        source_identity,
        warehouse_identity,
        table: table.clone(),
        increment: increment.clone(),
        source_key,
        warehouse_key,
        identity,
        columns: judged.copied,
        binary: judged.binary,
        source_oid: source.oid,
        warehouse_oid: warehouse.oid,
        drift: judged.drift,
        source_columns: seen(source),
    })
}

/// The columns that tell rows apart where they must: as written, or the source's primary key. None for `incremental`.
fn named_identity(table: &TableName, way: &Way, source: &Shape) -> Result<Vec<String>> {
    let key = match way {
        Way::Append { .. } => return Ok(Vec::new()),
        Way::Upsert { key, .. } | Way::Reconcile { key, .. } => key,
    };
    let primary = source.unique_keys.iter().find(|unique| unique.is_primary).map(|unique| &unique.columns);
    Some(key).filter(|key| !key.is_empty()).or(primary).cloned().ok_or_else(|| {
        Error::new(ErrorKind::Schema, format!("{table} has no primary key in the source to tell its rows apart"))
            .hint("name the columns that do as \"key\" in BACKUP_MODE: \"key\":\"...\" or \"key\":[\"...\",\"...\"]")
    })
}

/// The columns that tell rows apart: those of the key where they do, else of the first unique key of the source whose columns are
/// here too. Where nothing does, the key.
fn found_identity(source: &Shape, here: &[Column], key: &[String]) -> Vec<String> {
    let is_here = |name: &String| here.iter().any(|column| column.name == *name);
    let of_key =
        |columns: &[String]| columns.len() == key.len() && columns.iter().all(|name| key.contains(name));
    let unique = || source.unique_keys.iter().filter(|unique| unique.not_null);
    if unique().any(|unique| of_key(&unique.columns)) {
        return key.to_vec();
    }
    let found = unique().find(|unique| unique.columns.iter().all(is_here));
    found.map_or(key, |unique| &unique.columns).to_vec()
}

/// Whether the warehouse has a unique index on exactly these columns, under the names that they will have.
fn is_unique(warehouse: &Shape, renames: &[(String, String)], identity: &[String]) -> bool {
    let name_then =
        |name: &String| renames.iter().find(|(old, _)| old == name).map_or(name, |(_, new)| new).clone();
    let wanted: BTreeSet<String> = identity.iter().cloned().collect();
    let mut unique = warehouse.unique_keys.iter();
    unique.any(|unique| unique.columns.iter().map(name_then).collect::<BTreeSet<_>>() == wanted)
}

fn not_unique(table: &TableName, identity: &[String]) -> Error {
    let error = format!("{table} has no unique index on {} in the warehouse", identity.join(", "));
    Error::new(ErrorKind::Schema, error).hint(format!(
        "a changed row finds the one that it replaces by it: create unique index on {} ({})",
        quoted(table),
        quoted_columns(identity)
    ))
}

fn columns_named<'a>(
    table: &TableName,
    way: &Way,
    names: &[String],
    columns: &'a [Column],
    side: &str,
) -> Result<Vec<&'a Column>> {
    let column = |name: &String| {
        let found = columns.iter().find(|column| column.name == *name);
        found.ok_or_else(|| no_key(table, way, name, columns, side))
    };
    names.iter().map(column).collect()
}

fn no_key(table: &TableName, way: &Way, key: &str, columns: &[Column], side: &str) -> Error {
    let (purpose, word) = match way {
        Way::Append { .. } => ("to append by", "\"key\""),
        Way::Upsert { .. } => ("to find changed rows by", "\"cursor\" or \"key\""),
        Way::Reconcile { .. } => ("to compare by", "\"key\""),
    };
    let error =
        Error::new(ErrorKind::Schema, format!("{table} of the {side} has no column {key:?} {purpose}"));
    match nearest(key, columns.iter().map(|column| column.name.as_str())) {
        Some(near) => error.hint(format!("did you mean {near:?}? write it as {word} in BACKUP_MODE")),
        None => error
            .hint(format!("name the column as {word} in BACKUP_MODE: {{\"mode\":\"{}\",...}}", way.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::postgres::columns::RelationKind;
    use crate::adapters::postgres::shape::UniqueKey;

    fn column(name: &str) -> ShapeColumn {
        let column = Column {
            name: name.into(),
            type_name: "bigint".into(),
            cast_type: "bigint".into(),
            not_null: false,
            has_default: false,
            generated: false,
            collatable: false,
        };
        ShapeColumn {
            column,
            number: 1,
            missing: None,
            of_not_null_domain: false,
            base_type: "bigint".into(),
            extension: None,
            binary: true,
            enum_type: None,
            labels: None,
        }
    }

    fn shape(columns: &[&str], unique_keys: &[&[&str]]) -> Shape {
        let unique = |(place, columns): (usize, &&[&str])| UniqueKey {
            is_primary: place == 0,
            not_null: true,
            columns: columns.iter().map(ToString::to_string).collect(),
        };
        Shape {
            oid: 7,
            kind: RelationKind::Table,
            may_alter: true,
            columns: columns.iter().map(|name| column(name)).collect(),
            unique_keys: unique_keys.iter().enumerate().map(unique).collect(),
        }
    }

    fn planned(way: Way, source: &Shape, warehouse: &Shape) -> Result<TablePlan> {
        let increment = Increment { way, drift: None, overlap: None };
        let circumstances = Circumstances {
            policy: SchemaDrift::Ignore,
            last_seen: None,
            holders: &[],
            local_types: &[],
            types_will_come: false,
        };
        plan(&TableName::new("public", "answers"), &increment, source, warehouse, circumstances)
    }

    fn append(key: &str) -> Way {
        Way::Append { key: vec![key.to_owned()] }
    }

    #[test]
    fn columns_go_by_name_in_the_warehouses_order_and_in_binary_where_they_can() {
        let (source, mut warehouse) =
            (shape(&["id", "email", "name"], &[]), shape(&["name", "id", "email"], &[]));
        let plan = planned(append("id"), &source, &warehouse).unwrap();
        assert_eq!(plan.columns, ["name", "id", "email"]);
        assert_eq!(
            plan.copy_in(),
            r#"copy "public"."answers" ("name", "id", "email") from stdin (format binary)"#
        );
        warehouse.columns[0].binary = false;
        let plan = planned(append("id"), &source, &warehouse).unwrap();
        assert_eq!(plan.copy_in(), r#"copy "public"."answers" ("name", "id", "email") from stdin"#);
    }

    #[test]
    fn a_generated_column_of_the_warehouse_is_not_written_and_one_of_the_source_is_read() {
        let mut source = shape(&["id", "both", "plain"], &[]);
        let mut warehouse = source.clone();
        source.columns[1].column.generated = true;
        source.columns[2].column.generated = true;
        warehouse.columns[1].column.generated = true;
        let plan = planned(append("id"), &source, &warehouse).unwrap();
        assert_eq!(plan.columns, ["id", "plain"]);
        assert_eq!(plan.drift.notes, []);
    }

    #[test]
    fn rows_are_told_apart_by_a_unique_key_that_both_sides_have_else_by_the_key() {
        let source = shape(&["id", "a", "b"], &[&["b"], &["a", "id"]]);
        let identity =
            |warehouse: &[&str]| planned(append("id"), &source, &shape(warehouse, &[])).unwrap().identity;
        assert_eq!(identity(&["id", "a", "b"]), ["b"]);
        assert_eq!(identity(&["id", "a"]), ["a", "id"]);
        assert_eq!(identity(&["id"]), ["id"]);
    }

    #[test]
    fn changed_rows_need_a_primary_key_or_a_named_one_and_a_unique_index_on_just_that() {
        let upsert = |key: &[&str]| Way::Upsert {
            cursor: "at".into(),
            key: key.iter().map(ToString::to_string).collect(),
        };
        let columns = ["a", "b", "at"];
        let source = shape(&columns, &[&["a", "b"]]);
        let plan = planned(upsert(&[]), &source, &shape(&columns, &[&["b", "a"]])).unwrap();
        assert_eq!(
            (plan.identity, plan.source_key.label()),
            (vec!["a".to_owned(), "b".to_owned()], "at".to_owned())
        );
        let error = planned(upsert(&[]), &source, &shape(&columns, &[&["a"]])).unwrap_err();
        assert!(
            error
                .operator_hint()
                .unwrap()
                .ends_with(r#"create unique index on "public"."answers" ("a", "b")"#)
        );
        let error = planned(upsert(&[]), &shape(&columns, &[]), &source).unwrap_err();
        assert!(error.to_string().contains("no primary key in the source"), "{error}");
        assert!(planned(upsert(&["b"]), &shape(&columns, &[]), &shape(&columns, &[&["b"]])).is_ok());
    }

    #[test]
    fn what_is_reconciled_is_ordered_by_what_tells_it_apart() {
        let way = Way::Reconcile { key: Vec::new(), deletes: crate::config::Deletes::Delete };
        let both = shape(&["id", "x"], &[&["x", "id"]]);
        let plan = planned(way, &both, &both).unwrap();
        assert_eq!((plan.source_key.label().as_str(), plan.identity.join(", ").as_str()), ("x, id", "x, id"));
    }

    #[test]
    fn a_missing_key_names_the_nearest_column() {
        let both = shape(&["uuid"], &[]);
        let error = planned(append("uid"), &both, &both).unwrap_err();
        assert!(error.operator_hint().unwrap().contains("\"uuid\""), "{error}");
    }
}
