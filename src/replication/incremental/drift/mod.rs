//! Schema drift: how the columns of a table changed in the source, and what becomes of it in the warehouse.
//!
//! What is decided here is pure. A column is known by its name; by its number only where the last run saw another name under
//! it. Nothing of the warehouse is ever dropped or narrowed, and what the warehouse cannot follow without losing something is
//! an error that names both definitions, before anything is written.

mod differences;
mod seen;

use serde_json::Value;

use self::seen::LastSeen;
pub(super) use self::seen::seen;
use super::plan::TablePlan;
use crate::adapters::postgres::Session;
use crate::adapters::postgres::columns::Column;
use crate::adapters::postgres::ident::table as quoted;
use crate::adapters::postgres::shape::{Holder, Shape, ShapeColumn};
use crate::config::SchemaDrift;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::Skipped;

/// Others wait behind a statement that waits for a lock on the table.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '30s'";

/// What is done about the drift of a table, and what an operator must know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Drift {
    /// What the warehouse runs before the copy, each by itself.
    pub(super) statements: Vec<String>,
    /// What changed, and what was done about it.
    pub(super) notes: Vec<Skipped>,
}

/// Lets the warehouse's table follow. What was done stays done when a later statement fails, and running it again is safe.
///
/// # Errors
/// The server refuses a statement, or a lock cannot be had.
pub(super) async fn apply(session: &mut Session, plan: &TablePlan) -> Result<()> {
    for statement in &plan.drift.statements {
        let script = format!("begin; {LOCK_TIMEOUT}; {statement}; commit");
        if let Err(error) = session.execute(&script).await {
            // What the refused script has begun. The error to tell is the first one.
            let _ = session.execute("rollback").await;
            let hint = "make the table follow by hand, or give it \"drift\":\"ignore\" in BACKUP_MODE";
            let error = if error.kind().is_retryable() { error } else { error.hint(hint) };
            return Err(error.context(format!("{} cannot follow the source ({statement})", plan.table)));
        }
    }
    Ok(())
}

/// What decides, apart from the two shapes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// What is to become of drift.
    pub(super) policy: SchemaDrift,
    /// The source's columns at the last run: what [`seen`] made then.
    pub(super) last_seen: Option<&'a Value>,
    /// Columns of the warehouse whose type cannot change, each with what was made for it.
    pub(super) holders: &'a [Holder],
    /// What the warehouse calls the source's types; those that it lacks are missing.
    pub(super) local_types: &'a [(String, String)],
    /// Whether the full stage will run first and make the missing types.
    pub(super) types_will_come: bool,
}

/// What was decided.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) drift: Drift,
    /// What forbids the copy.
    pub(super) problems: Vec<Error>,
    /// The warehouse's columns as they will be; those that are added come last.
    pub(super) columns: Vec<Column>,
    /// How many of them are there already.
    pub(super) standing: usize,
    /// Which of them have another name now: the old and the new one.
    pub(super) renames: Vec<(String, String)>,
    /// The names of those that are copied.
    pub(super) copied: Vec<String>,
    /// Whether the binary format carries all of these.
    pub(super) binary: bool,
}

/// Decides what becomes of each difference. The columns of `key` order the rows or tell them apart: both sides must have
/// them, in one order.
pub(super) fn judge(
    table: &TableName,
    key: &[String],
    source: &Shape,
    warehouse: &Shape,
    circumstances: Circumstances<'_>,
) -> Judgement {
    let last_seen = circumstances.last_seen.map(|value| LastSeen { value });
    let mut judge = Judge {
        table,
        key,
        source,
        warehouse,
        circumstances,
        last_seen,
        made: Judgement { binary: true, ..Judgement::default() },
        refused: Vec::new(),
        incompatible: Vec::new(),
    };
    judge.all();
    judge.ended()
}

/// One difference: what is so, what is done about it, and what is said of it where that is done, and where it is not.
struct Difference {
    what: String,
    statements: Vec<String>,
    done: String,
    left: String,
}

struct Judge<'a> {
    table: &'a TableName,
    key: &'a [String],
    source: &'a Shape,
    warehouse: &'a Shape,
    circumstances: Circumstances<'a>,
    last_seen: Option<LastSeen<'a>>,
    made: Judgement,
    /// Differences, where they are to fail.
    refused: Vec<String>,
    incompatible: Vec<String>,
}

impl<'a> Judge<'a> {
    fn all(&mut self) {
        let follows = self.circumstances.policy == SchemaDrift::Add;
        let (source, warehouse) = (self.source, self.warehouse);
        let renames = self.renames();
        for (old, new) in &renames {
            self.rename(old, new);
        }
        let mut met: Vec<&str> = Vec::new();
        for here in &warehouse.columns {
            let mut column = here.column.clone();
            let renamed = renames.iter().find(|rename| follows && rename.0 == here.name());
            column.name = renamed.map_or(column.name, |rename| rename.1.to_owned());
            let there = source.column(&column.name);
            met.extend(there.map(ShapeColumn::name));
            match there.filter(|_| !here.column.generated) {
                Some(there) => {
                    self.compare(there, here, &mut column);
                    self.made.copied.push(column.name.clone());
                }
                None if !here.column.generated => self.only_here(here, &mut column),
                None => {}
            }
            self.made.columns.push(column);
        }
        self.made.standing = self.made.columns.len();
        for there in source.columns.iter().filter(|there| !met.contains(&there.name())) {
            let is_named = renames.iter().any(|rename| rename.1 == there.name());
            self.only_there(there, is_named);
        }
        self.reordered();
        let owned = |(old, new): (&str, &str)| (old.to_owned(), new.to_owned());
        self.made.renames = renames.into_iter().map(owned).filter(|_| follows).collect();
    }

    fn ended(self) -> Judgement {
        let Self { table, warehouse, mut made, refused, incompatible, .. } = self;
        if !refused.is_empty() {
            let error = Error::new(
                ErrorKind::Schema,
                format!("{table} differs from the source: {}", refused.join("; ")),
            );
            made.problems.push(error.hint(
                r#"SCHEMA_DRIFT or "drift" in BACKUP_MODE is fail: alter the warehouse's table, or write add or ignore"#,
            ));
        }
        if !incompatible.is_empty() {
            let error = Error::new(ErrorKind::Schema, incompatible.join("; "));
            made.problems.push(
                error.hint(
                    "alter the warehouse's column, or drop the table: the full stage then loads it whole",
                ),
            );
        }
        if let Some(first) = made.drift.statements.first().filter(|_| !warehouse.may_alter) {
            let error = Error::new(
                ErrorKind::Privilege,
                format!(
                    "the role does not own {table} in the warehouse, which must follow the source ({first})"
                ),
            );
            made.problems
                .push(error.hint("give it to the role, or write \"drift\":\"ignore\" in BACKUP_MODE"));
        }
        made
    }

    fn found(&mut self, column: &str, difference: Difference) {
        match self.circumstances.policy {
            SchemaDrift::Add => {
                for statement in difference.statements {
                    if !self.made.drift.statements.contains(&statement) {
                        self.made.drift.statements.push(statement);
                    }
                }
                self.note(column, difference.done);
            }
            SchemaDrift::Ignore => self.note(column, difference.left),
            SchemaDrift::Fail => self.refused.push(format!("column {column} {}", difference.what)),
        }
    }

    fn note(&mut self, column: &str, reason: String) {
        let object = format!("column {}.{column}", self.table);
        self.made.drift.notes.push(Skipped { object, reason, definition: None });
    }

    fn alter(&self, action: &str) -> String {
        format!("alter table {} {action}", quoted(self.table))
    }

    /// The columns that had another name at the last run, which the warehouse still calls them by: old and new name. One name
    /// may have become free by another's change.
    fn renames(&mut self) -> Vec<(&'a str, &'a str)> {
        let Some(last_seen) = self.last_seen else { return Vec::new() };
        let (source, warehouse) = (self.source, self.warehouse);
        let name_then =
            |there: &'a ShapeColumn| Some((last_seen.name_of(there.number, source)?, there.name()));
        let mut open: Vec<_> =
            source.columns.iter().filter_map(name_then).filter(|(old, new)| old != new).collect();
        let mut names: Vec<&str> = warehouse.columns.iter().map(ShapeColumn::name).collect();
        let mut renames = Vec::new();
        while let Some(found) = open.iter().position(|(old, new)| names.contains(old) && !names.contains(new))
        {
            let (old, new) = open.remove(found);
            names.retain(|name| *name != old);
            names.push(new);
            renames.push((old, new));
        }
        // An old name that is gone here was given up by a run that broke off later.
        open.retain(|(old, new)| names.contains(old) && names.contains(new));
        for (old, new) in open {
            self.mixed(old, new);
        }
        renames
    }

    /// Columns in another order are no drift where they were so at the last run.
    fn reordered(&mut self) {
        let here = self.made.columns.iter().take(self.made.standing).map(|column| column.name.as_str());
        let here: Vec<&str> = here.filter(|name| self.source.column(name).is_some()).collect();
        let there = self.source.columns.iter().map(ShapeColumn::name);
        let there: Vec<&str> = there.filter(|name| here.contains(name)).collect();
        let mut before = self.last_seen.map(LastSeen::order).unwrap_or_default();
        before.retain(|name| here.contains(name));
        if here == there || before == there {
            return;
        }
        let object = format!("columns of {}", self.table);
        let reason = "in another order than in the source: copied by name".to_owned();
        self.made.drift.notes.push(Skipped { object, reason, definition: None });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::adapters::postgres::columns::RelationKind;

    fn column((number, name): (i32, &str), type_name: &str) -> ShapeColumn {
        let column = Column {
            name: name.into(),
            type_name: type_name.into(),
            cast_type: type_name.into(),
            not_null: false,
            has_default: false,
            generated: false,
            collatable: false,
        };
        ShapeColumn {
            column,
            number,
            missing: None,
            of_not_null_domain: false,
            base_type: type_name.into(),
            extension: None,
            binary: true,
            enum_type: None,
            labels: None,
        }
    }

    fn shape(names: &[(i32, &str)]) -> Shape {
        let columns = names.iter().map(|name| column(*name, "text")).collect();
        Shape { oid: 7, kind: RelationKind::Table, may_alter: true, columns, unique_keys: Vec::new() }
    }

    fn judged(source: &Shape, warehouse: &Shape, last_seen: Option<&Value>) -> Judgement {
        let local_types = [("text".to_owned(), "text".to_owned())];
        let circumstances = Circumstances {
            policy: SchemaDrift::Add,
            last_seen,
            holders: &[],
            local_types: &local_types,
            types_will_come: false,
        };
        judge(&TableName::new("public", "t"), &[], source, warehouse, circumstances)
    }

    #[test]
    fn renames_go_on_where_a_run_broke_off_between_them() {
        let then = seen(&shape(&[(1, "id"), (2, "a"), (3, "b")]));
        let source = shape(&[(1, "id"), (2, "b"), (3, "c")]);
        let statements = |here: &[(i32, &str)]| judged(&source, &shape(here), Some(&then)).drift.statements;
        let (b, a) = (
            r#"alter table "public"."t" rename column "b" to "c""#,
            r#"alter table "public"."t" rename column "a" to "b""#,
        );
        assert_eq!(statements(&[(1, "id"), (2, "a"), (3, "b")]), [b, a]);
        assert_eq!(statements(&[(1, "id"), (2, "a"), (3, "c")]), [a]);
        assert_eq!(statements(&[(1, "id"), (2, "b"), (3, "c")]), [""; 0]);
    }

    #[test]
    fn numbers_mean_nothing_in_another_table_or_where_the_ledger_says_nothing() {
        let (source, warehouse) = (shape(&[(1, "new")]), shape(&[(1, "old")]));
        let mut elsewhere = seen(&shape(&[(1, "old")]));
        elsewhere["relation"] = json!(8);
        for last_seen in [None, Some(&elsewhere), Some(&json!(["odd"])), Some(&Value::Null)] {
            let judged = judged(&source, &warehouse, last_seen);
            assert_eq!(
                judged.drift.statements,
                [r#"alter table "public"."t" add column if not exists "new" text"#]
            );
            assert_eq!(judged.copied, ["new"]);
        }
    }

    #[test]
    fn what_the_older_rows_have_is_the_default_of_one_statement_only() {
        let (mut source, warehouse) = (shape(&[(1, "a"), (2, "b")]), shape(&[(1, "a")]));
        source.columns[1].missing = Some("it's".into());
        assert_eq!(
            judged(&source, &warehouse, None).drift.statements,
            [
                r#"alter table "public"."t" add column if not exists "b" text default 'it''s'; alter table "public"."t" alter column "b" drop default"#
            ]
        );
    }

    #[test]
    fn a_widened_column_is_cast_where_nothing_else_leads_there_and_travels_in_binary() {
        let (source, mut warehouse) = (shape(&[(1, "a")]), shape(&[(1, "a")]));
        warehouse.columns[0] = column((1, "a"), "uuid");
        let judgement = judged(&source, &warehouse, None);
        assert_eq!(
            judgement.drift.statements,
            [r#"alter table "public"."t" alter column "a" type text using "a"::text"#]
        );
        assert!(judgement.binary);
        assert!(!judged(&warehouse, &source, None).binary, "a uuid is not text in the binary format");
    }
}
