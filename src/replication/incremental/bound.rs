//! How far a table is copied already, and how far it is copied tonight: the query that asks for it, and the condition
//! that comes of it.
//!
//! Bounds are text and are cast back by the server: ids beyond 2^53, uuids and words are all the same here. Keys whose
//! order depends on a collation are compared byte by byte, since the two servers may have different collations.
//!
//! Rows of transactions that were open while the bound was read are a later matter: the bound from which a night
//! starts then comes from the ledger, and not from the warehouse's greatest key.

use crate::adapters::postgres::columns::{Column, RelationKind};
use crate::adapters::postgres::ident::{ident, literal, table as quoted};
use crate::ids::TableName;

/// The column that grows, in its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    relation: String,
    column: String,
    cast_type: String,
    collation: &'static str,
}

impl Key {
    /// The key `column` of `table`. Rows of tables that inherit from an ordinary table are not its own; those of
    /// partitions are.
    pub(super) fn new(table: &TableName, kind: RelationKind, column: &Column) -> Self {
        let only = if kind == RelationKind::PartitionedTable { "" } else { "only " };
        Self {
            relation: format!("{only}{} t", quoted(table)),
            // Qualified: a bare name in ORDER BY is the output column, which is text where the greatest key is asked.
            column: format!("t.{}", ident(&column.name)),
            cast_type: column.cast_type.clone(),
            collation: if column.collatable { " collate \"C\"" } else { "" },
        }
    }

    /// The query for the greatest key. Not `max()`, which not every type has.
    pub(super) fn greatest(&self) -> String {
        let Self { relation, column, collation, .. } = self;
        format!(
            "select {column}::text from {relation} where {column} is not null order by {column}{collation} desc limit 1"
        )
    }

    /// The query that answers a text where there are rows without a key.
    pub(super) fn any_without(&self) -> String {
        format!("select '' from {} where {} is null limit 1", self.relation, self.column)
    }

    /// The query that answers a text where `settled` is beyond `upper`.
    pub(super) fn is_ahead(&self, settled: &str, upper: &str) -> String {
        format!("select '' where {}{} > {}", self.value(settled), self.collation, self.value(upper))
    }

    /// The COPY of the rows after `settled` up to `upper`, in the order of the key.
    pub(super) fn copy_out(&self, columns: &str, settled: Option<&str>, upper: &str) -> String {
        let Self { relation, column, collation, .. } = self;
        let after = settled.map_or_else(String::new, |settled| {
            format!("{column}{collation} > {} and ", self.value(settled))
        });
        let upper = self.value(upper);
        format!(
            "copy (select {columns} from {relation} where {after}{column}{collation} <= {upper} order by {column}{collation}) to stdout"
        )
    }

    fn value(&self, text: &str) -> String {
        format!("cast({} as {})", literal(text), self.cast_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: RelationKind, cast_type: &str, collatable: bool) -> Key {
        let column = Column {
            name: "Id".into(),
            type_name: cast_type.into(),
            cast_type: cast_type.into(),
            not_null: true,
            has_default: false,
            generated: false,
            collatable,
        };
        Key::new(&TableName::new("public", "knowledge-elements"), kind, &column)
    }

    #[test]
    fn a_number_is_never_read_as_one() {
        let sql = key(RelationKind::Table, "bigint", false).copy_out(
            "\"Id\", \"v\"",
            Some("9007199254740993"),
            "9007199254740995",
        );
        assert_eq!(
            sql,
            "copy (select \"Id\", \"v\" from only \"public\".\"knowledge-elements\" t \
             where t.\"Id\" > cast('9007199254740993' as bigint) and t.\"Id\" <= cast('9007199254740995' as bigint) \
             order by t.\"Id\") to stdout"
        );
    }

    #[test]
    fn words_are_compared_byte_by_byte_and_partitions_belong_to_their_parent() {
        let key = key(RelationKind::PartitionedTable, "text", true);
        assert_eq!(
            key.copy_out("\"Id\"", None, "l'b"),
            "copy (select \"Id\" from \"public\".\"knowledge-elements\" t \
             where t.\"Id\" collate \"C\" <= cast('l''b' as text) order by t.\"Id\" collate \"C\") to stdout"
        );
        assert_eq!(
            key.greatest(),
            "select t.\"Id\"::text from \"public\".\"knowledge-elements\" t where t.\"Id\" is not null \
             order by t.\"Id\" collate \"C\" desc limit 1"
        );
        assert_eq!(
            key.is_ahead("b", "a"),
            "select '' where cast('b' as text) collate \"C\" > cast('a' as text)"
        );
    }
}
