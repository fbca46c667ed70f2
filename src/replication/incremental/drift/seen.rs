//! The source's columns as the ledger keeps them from one run to the next: the numbers tell a renamed column from a dropped and
//! an added one.

use serde_json::{Map, Value, json};

use crate::adapters::postgres::shape::{Shape, ShapeColumn};

/// The columns of the source, for the ledger: by number, each with its name and type.
pub(in crate::replication::incremental) fn seen(source: &Shape) -> Value {
    let column = |column: &ShapeColumn| {
        (column.number.to_string(), json!({"name": column.name(), "type": column.column.type_name}))
    };
    json!({"relation": source.oid, "columns": source.columns.iter().map(column).collect::<Map<_, _>>()})
}

/// The source's columns at the last run.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastSeen<'a> {
    pub(super) value: &'a Value,
}

impl<'a> LastSeen<'a> {
    fn columns(self) -> impl Iterator<Item = (i32, &'a str, &'a str)> {
        let columns = self.value.get("columns").and_then(Value::as_object).into_iter().flatten();
        columns.filter_map(|(number, column)| {
            let text = |field| column.get(field).and_then(Value::as_str);
            Some((number.parse().ok()?, text("name")?, text("type")?))
        })
    }

    /// The name that a column of this table had then: numbers mean nothing in another table.
    pub(super) fn name_of(self, number: i32, source: &Shape) -> Option<&'a str> {
        let is_this = self.value.get("relation").and_then(Value::as_i64) == Some(source.oid);
        self.columns().find(|column| is_this && column.0 == number).map(|column| column.1)
    }

    pub(super) fn type_of(self, name: &str) -> Option<&'a str> {
        self.columns().find(|column| column.1 == name).map(|column| column.2)
    }

    pub(super) fn order(self) -> Vec<&'a str> {
        let mut columns: Vec<_> = self.columns().collect();
        columns.sort_unstable();
        columns.into_iter().map(|column| column.1).collect()
    }
}
