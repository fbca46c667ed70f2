//! What orders the rows of a table: the columns of a key or a cursor, bounds on them, and the SQL of both.
//!
//! Bounds are text and are cast back by the server: ids beyond 2^53, uuids and words are all the same here. Columns whose
//! order depends on a collation are compared byte by byte, since the two servers may have different collations.

use crate::adapters::postgres::columns::{Column, RelationKind};
use crate::adapters::postgres::ident::{ident, literal, table as quoted};
use crate::ids::TableName;

/// The values of a key's columns, as text.
pub(super) type Bound = Vec<String>;

/// A stretch of keys. Without an end it has none on that side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    /// It begins after this one.
    pub(super) after: Option<Bound>,
    /// It ends with this one.
    pub(super) upto: Option<Bound>,
}

/// The columns that order a table's rows, on one of the two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    table: TableName,
    relation: String,
    columns: Vec<KeyColumn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyColumn {
    name: String,
    cast_type: String,
    collation: &'static str,
    may_be_null: bool,
}

impl From<&Column> for KeyColumn {
    fn from(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            cast_type: column.cast_type.clone(),
            collation: if column.collatable { " collate \"C\"" } else { "" },
            may_be_null: !column.not_null,
        }
    }
}

impl KeyColumn {
    /// Qualified: a bare name in ORDER BY is the output column, which may be text.
    fn ordered(&self) -> String {
        format!("t.{}{}", ident(&self.name), self.collation)
    }
}

impl Key {
    /// The key of `table` with these columns, the deciding one first. Rows of tables that inherit from an ordinary table are
    /// not its own; those of partitions are.
    pub(super) fn new(table: &TableName, kind: RelationKind, columns: &[&Column]) -> Self {
        let only = if kind == RelationKind::PartitionedTable { "" } else { "only " };
        let relation = format!("{only}{} t", quoted(table));
        let columns = columns.iter().copied().map(KeyColumn::from).collect();
        Self { table: table.clone(), relation, columns }
    }

    /// Whose key it is.
    pub(super) fn table(&self) -> &TableName {
        &self.table
    }

    /// What to select from; the table is `t`.
    pub(super) fn relation(&self) -> &str {
        &self.relation
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The columns as people write them: `id`, `createdAt, id`.
    pub(super) fn label(&self) -> String {
        self.names().collect::<Vec<_>>().join(", ")
    }

    /// Whether there may be rows without a key.
    pub(super) fn may_be_null(&self) -> bool {
        self.columns.iter().any(|column| column.may_be_null)
    }

    /// The key of a row, to be compared: one column, or a row of them.
    pub(super) fn of_row(&self) -> String {
        tuple(self.columns.iter().map(KeyColumn::ordered))
    }

    /// The key of a row as an array of text: a [`Bound`].
    pub(super) fn as_bound(&self) -> String {
        let texts: Vec<String> =
            self.columns.iter().map(|column| format!("t.{}::text", ident(&column.name))).collect();
        format!("array[{}]", texts.join(", "))
    }

    /// The list for ORDER BY.
    pub(super) fn order(&self) -> String {
        self.columns.iter().map(KeyColumn::ordered).collect::<Vec<_>>().join(", ")
    }

    /// A bound as a value that compares with the key of a row.
    pub(super) fn value(&self, bound: &Bound) -> String {
        tuple(self.values(bound))
    }

    fn values(&self, bound: &Bound) -> impl Iterator<Item = String> {
        self.columns.iter().zip(bound).map(|(column, text)| {
            format!("cast({} as {}){}", literal(text), column.cast_type, column.collation)
        })
    }

    /// How many of these ascending bounds a row's key is beyond: 0 up to the first of them, itself included.
    pub(super) fn bounds_below(&self, bounds: &[Bound]) -> String {
        if bounds.is_empty() {
            return "0".to_owned();
        }
        if let [column] = self.columns.as_slice() {
            // width_bucket counts a bound that the key is equal to. An array in a query of its own is made once.
            let values: Vec<String> = bounds.iter().map(|bound| self.value(bound)).collect();
            let (key, bounds) = (column.ordered(), format!("(select array[{}])", values.join(", ")));
            let place = format!("width_bucket({key}, {bounds})");
            return format!("{place} - coalesce(({key} = ({bounds})[{place}])::int, 0)");
        }
        // With one more column no row is equal to a bound.
        let values =
            bounds.iter().map(|bound| tuple(self.values(bound).chain(std::iter::once("1".to_owned()))));
        let key = self.columns.iter().map(KeyColumn::ordered).chain(std::iter::once("0".to_owned()));
        format!("width_bucket({}, (select array[{}]))", tuple(key), values.collect::<Vec<_>>().join(", "))
    }

    /// The condition for the rows of a stretch. Rows without a key are in none.
    pub(super) fn within(&self, stretch: &Stretch) -> String {
        let mut conditions: Vec<String> = Vec::new();
        if let Some(after) = &stretch.after {
            conditions.push(format!("{} > {}", self.of_row(), self.value(after)));
        }
        if let Some(upto) = &stretch.upto {
            conditions.push(format!("{} <= {}", self.of_row(), self.value(upto)));
        }
        // A comparison of rows is decided before it comes to a null in a later column.
        if conditions.is_empty() || self.columns.len() > 1 {
            conditions.extend(self.columns.iter().filter(|column| column.may_be_null).map(is_there));
        }
        if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") }
    }

    /// The query for the greatest key of a stretch. Not `max()`, which not every type has.
    pub(super) fn greatest(&self, stretch: &Stretch) -> String {
        self.greatest_where(&self.within(stretch))
    }

    /// The query for the greatest key of the rows that meet a condition.
    pub(super) fn greatest_where(&self, condition: &str) -> String {
        self.edge(condition, " desc")
    }

    /// The query for the least key of a stretch.
    pub(super) fn least(&self, stretch: &Stretch) -> String {
        self.edge(&self.within(stretch), "")
    }

    fn edge(&self, condition: &str, direction: &str) -> String {
        let mut conditions = vec![condition.to_owned()];
        conditions.extend(self.columns.iter().map(is_there));
        let order: Vec<String> =
            self.columns.iter().map(|column| format!("{}{direction}", column.ordered())).collect();
        format!(
            "select {} from {} where {} order by {} limit 1",
            self.as_bound(),
            self.relation,
            conditions.join(" and "),
            order.join(", ")
        )
    }

    /// The deciding column of a row, and its type.
    pub(super) fn deciding(&self) -> Option<(String, &str)> {
        self.columns.first().map(|column| (column.ordered(), column.cast_type.as_str()))
    }

    /// Bounds that cut a stretch of whole numbers into equal parts of at least `least`, `most` of them at most. None for other keys.
    pub(super) fn spaced(&self, stretch: &Stretch, least: usize, most: usize) -> Option<Vec<Bound>> {
        let [column] = self.columns.as_slice() else { return None };
        if !["smallint", "integer", "bigint"].contains(&column.cast_type.as_str()) {
            return None;
        }
        let number = |bound: &Option<Bound>| bound.as_ref()?.first()?.parse::<i128>().ok();
        let (after, upto) = (number(&stretch.after)?, number(&stretch.upto)?);
        let width = (upto - after).max(0);
        let parts = (width / i128::try_from(least).ok()?).min(i128::try_from(most).ok()?);
        Some((1..parts).map(|at| vec![(after + width * at / parts).to_string()]).collect())
    }

    /// The query that answers a text where there are rows without a key.
    pub(super) fn any_without(&self) -> String {
        let missing: Vec<String> =
            self.columns.iter().map(|column| format!("t.{} is null", ident(&column.name))).collect();
        format!("select '' from {} where {} limit 1", self.relation, missing.join(" or "))
    }

    /// The query that answers a text where `one` is beyond `other`.
    pub(super) fn is_beyond(&self, one: &Bound, other: &Bound) -> String {
        format!("select '' where {} > {}", self.value(one), self.value(other))
    }
}

fn is_there(column: &KeyColumn) -> String {
    format!("t.{} is not null", ident(&column.name))
}

fn tuple(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    match parts.as_slice() {
        [one] => one.clone(),
        several => format!("row({})", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, cast_type: &str) -> Column {
        Column {
            name: name.into(),
            type_name: cast_type.into(),
            cast_type: cast_type.into(),
            not_null: true,
            has_default: false,
            generated: false,
            collatable: cast_type == "text",
        }
    }

    fn key(kind: RelationKind, columns: &[Column]) -> Key {
        let columns: Vec<&Column> = columns.iter().collect();
        Key::new(&TableName::new("public", "knowledge-elements"), kind, &columns)
    }

    fn stretch(after: &[&str], upto: &[&str]) -> Stretch {
        let bound = |texts: &[&str]| {
            (!texts.is_empty()).then(|| texts.iter().map(ToString::to_string).collect::<Bound>())
        };
        Stretch { after: bound(after), upto: bound(upto) }
    }

    #[test]
    fn a_number_is_never_read_as_one() {
        let key = key(RelationKind::Table, &[column("Id", "bigint")]);
        assert_eq!(key.relation(), "only \"public\".\"knowledge-elements\" t");
        assert_eq!(
            key.within(&stretch(&["9007199254740993"], &["9007199254740995"])),
            "t.\"Id\" > cast('9007199254740993' as bigint) and t.\"Id\" <= cast('9007199254740995' as bigint)"
        );
        assert_eq!(key.within(&Stretch::default()), "true");
    }

    #[test]
    fn words_are_compared_byte_by_byte_and_partitions_belong_to_their_parent() {
        let key = key(RelationKind::PartitionedTable, &[column("Id", "text")]);
        assert_eq!(
            key.within(&stretch(&[], &["l'b"])),
            "t.\"Id\" collate \"C\" <= cast('l''b' as text) collate \"C\""
        );
        assert_eq!(
            key.greatest(&Stretch::default()),
            "select array[t.\"Id\"::text] from \"public\".\"knowledge-elements\" t where true and t.\"Id\" is not null \
             order by t.\"Id\" collate \"C\" desc limit 1"
        );
    }

    #[test]
    fn whole_numbers_are_cut_without_a_look_at_the_rows() {
        let key = key(RelationKind::Table, &[column("id", "bigint")]);
        let spaced = |after: &[&str], upto: &[&str]| {
            key.spaced(&stretch(after, upto), 10, 4).map(|bounds| bounds.concat().join(" "))
        };
        assert_eq!(
            spaced(&["9007199254740993"], &["9007199254741033"]).unwrap(),
            "9007199254741003 9007199254741013 9007199254741023"
        );
        assert_eq!(spaced(&["-5"], &["14"]).unwrap(), "", "one part");
        assert_eq!(spaced(&["14"], &["-5"]).unwrap(), "");
        assert_eq!(spaced(&[], &["14"]), None);
    }

    #[test]
    fn several_columns_are_compared_as_rows() {
        let key = key(
            RelationKind::Table,
            &[column("createdAt", "timestamp with time zone"), column("id", "text")],
        );
        assert_eq!(
            key.within(&stretch(&["2026-01-01 00:00:00+00", "a"], &[])),
            "row(t.\"createdAt\", t.\"id\" collate \"C\") > \
             row(cast('2026-01-01 00:00:00+00' as timestamp with time zone), cast('a' as text) collate \"C\")"
        );
        assert_eq!(key.order(), "t.\"createdAt\", t.\"id\" collate \"C\"");
        assert_eq!(key.label(), "createdAt, id");
    }

    #[test]
    fn a_row_of_several_columns_is_never_decided_by_a_null() {
        let may_be_null = Column { not_null: false, ..column("b", "integer") };
        let key = key(RelationKind::Table, &[column("a", "integer"), may_be_null]);
        assert_eq!(
            key.within(&stretch(&["1", "2"], &[])),
            "row(t.\"a\", t.\"b\") > row(cast('1' as integer), cast('2' as integer)) and t.\"b\" is not null"
        );
    }

    #[test]
    fn a_bound_belongs_to_the_stretch_that_it_ends() {
        let bounds = |texts: &[&str]| texts.iter().map(|text| vec![(*text).to_owned()]).collect::<Vec<_>>();
        let one = key(RelationKind::Table, &[column("a", "integer")]);
        assert_eq!(one.bounds_below(&[]), "0");
        let array = "(select array[cast('1' as integer), cast('5' as integer)])";
        assert_eq!(
            one.bounds_below(&bounds(&["1", "5"])),
            format!(
                "width_bucket(t.\"a\", {array}) - coalesce((t.\"a\" = ({array})[width_bucket(t.\"a\", {array})])::int, 0)"
            )
        );
        let two = key(RelationKind::Table, &[column("a", "integer"), column("b", "text")]);
        assert_eq!(
            two.bounds_below(&[vec!["1".to_owned(), "x".to_owned()]]),
            "width_bucket(row(t.\"a\", t.\"b\" collate \"C\", 0), \
             (select array[row(cast('1' as integer), cast('x' as text) collate \"C\", 1)]))"
        );
    }
}
