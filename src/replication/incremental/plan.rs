//! What is copied of one table, decided from the columns of both sides before anything is written.

use super::key::{Key, Stretch};
use crate::adapters::postgres::columns::{Column, RelationKind};
use crate::adapters::postgres::ident::{columns as quoted_columns, table as quoted};
use crate::config::{Increment, Way, nearest};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::Skipped;

/// One side of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    /// Ordinary or partitioned.
    pub(super) kind: RelationKind,
    /// Its columns, in their order.
    pub(super) columns: &'a [Column],
}

impl Side<'_> {
    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// How one table is appended to.
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
    /// The columns that both sides have, quoted, in the warehouse's order.
    pub(super) columns: String,
    /// The columns that only one side has.
    pub(super) drift: Vec<Skipped>,
}

impl TablePlan {
    /// The COPY that reads the rows of a stretch, in the order of the key.
    pub(super) fn copy_out(&self, stretch: &Stretch) -> String {
        let key = &self.source_key;
        let (relation, within, order) = (key.relation(), key.within(stretch), key.order());
        format!("copy (select {} from {relation} where {within} order by {order}) to stdout", self.columns)
    }

    /// The COPY that writes.
    pub(super) fn copy_in(&self) -> String {
        format!("copy {} ({}) from stdin", quoted(&self.table), self.columns)
    }
}

/// Plans one table.
///
/// # Errors
/// The key is missing on a side, or the warehouse wants a column that the source does not have.
pub(super) fn plan(
    table: &TableName,
    increment: &Increment,
    source: Side<'_>,
    warehouse: Side<'_>,
) -> Result<TablePlan> {
    let names = match &increment.way {
        Way::Append { key } | Way::Reconcile { key, .. } => key.as_slice(),
        Way::Upsert { cursor, .. } => std::slice::from_ref(cursor),
    };
    let key_of = |side: Side<'_>, role| {
        let column = |name: &String| side.column(name).ok_or_else(|| no_key(table, name, side.columns, role));
        let columns = names.iter().map(column).collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>(Key::new(table, side.kind, &columns))
    };
    let source_key = key_of(source, "source")?;
    let warehouse_key = key_of(warehouse, "warehouse")?;
    let written = warehouse.columns.iter().filter(|column| !column.generated);
    let (both, warehouse_only): (Vec<_>, Vec<_>) =
        written.partition(|column| source.column(&column.name).is_some());
    if let Some(column) = warehouse_only.iter().find(|column| column.not_null && !column.has_default) {
        return Err(Error::new(
            ErrorKind::Schema,
            format!(
                "{table}: the source has no column {:?}, which the warehouse must have in each row",
                column.name
            ),
        )
        .hint("drop the column in the warehouse, or let it be null"));
    }
    let source_only = source.columns.iter().filter(|column| warehouse.column(&column.name).is_none());
    let note = |column: &Column, reason: &str| Skipped {
        object: format!("column {table}.{}", column.name),
        reason: reason.to_owned(),
        definition: None,
    };
    let drift = source_only
        .map(|column| note(column, "only the source has it: not copied"))
        .chain(
            warehouse_only
                .iter()
                .map(|column| note(column, "only the warehouse has it: new rows get its default, or null")),
        )
        .collect();
    let names: Vec<&str> = both.iter().map(|column| column.name.as_str()).collect();
    Ok(TablePlan {
        table: table.clone(),
        increment: increment.clone(),
        source_key,
        warehouse_key,
        columns: quoted_columns(&names),
        drift,
    })
}

fn no_key(table: &TableName, key: &str, columns: &[Column], role: &str) -> Error {
    let error =
        Error::new(ErrorKind::Schema, format!("{table} of the {role} has no column {key:?} to append by"));
    match nearest(key, columns.iter().map(|column| column.name.as_str())) {
        Some(near) => error.hint(format!("did you mean {near:?}? write it as \"key\" in BACKUP_MODE")),
        None => {
            error.hint(r#"name the column that grows in BACKUP_MODE: {"mode":"incremental","key":"..."}"#)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Column {
        Column {
            name: name.into(),
            type_name: "bigint".into(),
            cast_type: "bigint".into(),
            not_null: false,
            has_default: false,
            generated: false,
            collatable: false,
        }
    }

    fn planned(key: &str, source: &[Column], warehouse: &[Column]) -> Result<TablePlan> {
        let side = |columns| Side { kind: RelationKind::Table, columns };
        let way = Way::Append { key: vec![key.to_owned()] };
        let increment = Increment { way, drift: None, overlap: None };
        plan(&TableName::new("public", "answers"), &increment, side(source), side(warehouse))
    }

    #[test]
    fn columns_go_by_name_in_the_warehouses_order() {
        let source = [column("id"), column("email"), column("name")];
        let warehouse = [column("name"), column("id"), column("email")];
        let plan = planned("id", &source, &warehouse).unwrap();
        assert_eq!(plan.columns, r#""name", "id", "email""#);
        assert_eq!(plan.copy_in(), r#"copy "public"."answers" ("name", "id", "email") from stdin"#);
        assert_eq!(plan.drift, []);
    }

    #[test]
    fn a_generated_column_of_the_warehouse_is_not_written_and_one_of_the_source_is_read() {
        let computed = |name: &str| Column { generated: true, has_default: true, ..column(name) };
        let plan = planned(
            "id",
            &[column("id"), computed("both"), computed("plain")],
            &[column("id"), computed("both"), column("plain")],
        )
        .unwrap();
        assert_eq!(plan.columns, r#""id", "plain""#);
        assert_eq!(plan.drift, []);
    }

    #[test]
    fn a_column_of_one_side_is_named() {
        let plan = planned("id", &[column("id"), column("new")], &[column("id"), column("old")]).unwrap();
        assert_eq!(plan.columns, r#""id""#);
        let named: Vec<&str> = plan.drift.iter().map(|skipped| skipped.object.as_str()).collect();
        assert_eq!(named, ["column public.answers.new", "column public.answers.old"]);
    }

    #[test]
    fn a_column_that_the_warehouse_must_have_stops_the_table() {
        let must = Column { not_null: true, ..column("must") };
        let error = planned("id", &[column("id")], &[column("id"), must.clone()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        let with_default = Column { has_default: true, ..must };
        assert!(planned("id", &[column("id")], &[column("id"), with_default]).is_ok());
    }

    #[test]
    fn a_missing_key_names_the_nearest_column() {
        let error = planned("uid", &[column("uuid")], &[column("uuid")]).unwrap_err();
        assert!(error.operator_hint().unwrap().contains("\"uuid\""), "{error}");
    }
}
