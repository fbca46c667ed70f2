//! Rows of the source merged into the warehouse's table: staged in a temporary table, then inserted, updated and deleted where
//! they are not there yet, differ, or are gone.
//!
//! No `ON CONFLICT`: whoever merges holds a lock on the table that keeps other writers out, so that a plain `NOT EXISTS` is
//! exact, needs no unique index, and works beside deferrable constraints.

use super::key::Key;
use super::plan::TablePlan;
use super::ranges::{Difference, any_of, batches};
use crate::adapters::postgres::copy::{Copied, pipe};
use crate::adapters::postgres::ident::{columns as quoted_columns, ident, literal, table as quoted};
use crate::adapters::postgres::merging::{MergeFacts, merge_facts};
use crate::adapters::postgres::{Session, columns};
use crate::config::Deletes;
use crate::error::{Error, ErrorKind, Result};

/// When a row was marked as deleted in the source. Null for all others.
pub(super) const MARK: &str = "nightferry_deleted_at";

/// Rows on their way. In the session's own schema, so that its name is nobody else's.
const STAGED: &str = "pg_temp.nightferry_rows";

/// Rows of the warehouse's table that were taken out for a moment.
const CHANGED: &str = "pg_temp.nightferry_changed";

/// What becomes of the staged rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    /// Those that the warehouse lacks are inserted.
    InsertMissing,
    /// Those too, and those that differ are updated.
    Upsert,
    /// Those too, and what only the warehouse has goes.
    Mirror(Deletes),
}

/// What a merge moved and changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Merged {
    /// What was copied from the source.
    pub(super) copied: Copied,
    /// Rows inserted.
    pub(super) inserted: u64,
    /// Rows updated, those that came back included.
    pub(super) updated: u64,
    /// Rows deleted or marked.
    pub(super) deleted: u64,
}

impl Merged {
    /// Adds what another merge did.
    fn add(&mut self, other: Self) {
        self.copied.add(other.copied);
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
    }
}

/// Rows that are staged at a time: enough for one plan, and no second copy of a large table.
const STAGED_ROWS: i64 = 1_000_000;

/// Merges the stretches that differ, those of `keys` on either side. Where they are mirrored, rows of them that the source does not
/// have go.
///
/// The warehouse is in a transaction that keeps other writers out, with the table's triggers switched off. Several merges may
/// follow each other in it. After an error it can only be rolled back.
///
/// # Errors
/// A server fails, the rows do not fit, or the key does not tell the source's rows apart.
pub(super) async fn merge_all(
    source: &mut Session,
    warehouse: &mut Session,
    plan: &TablePlan,
    keys: (&Key, &Key),
    differences: Vec<Difference>,
    how: Merge,
) -> Result<Merged> {
    let mut merged = Merged::default();
    if differences.is_empty() {
        return Ok(merged);
    }
    let facts = merge_facts(warehouse, &plan.table, &plan.identity, MARK).await?;
    let marks = how == Merge::Mirror(Deletes::Mark);
    if marks && !facts.has_mark {
        warehouse.execute(&add_mark(plan)).await?;
    }
    // A row may take a value that one of another batch gives up: then there is one batch only.
    let most_rows = if facts.has_other_unique { i64::MAX } else { STAGED_ROWS };
    let statements = Statements { plan, marks, facts };
    for batch in batches(differences, most_rows) {
        let of = |key| any_of(key, batch.iter().map(|difference| &difference.stretch));
        merged.add(merge(source, warehouse, &statements, &of(keys.0), &of(keys.1), how).await?);
    }
    Ok(merged)
}

/// Inserts or updates the rows of the source for which `rows` holds (a condition on `t`), in a transaction as for [`merge_all`].
///
/// # Errors
/// Those of [`merge_all`].
pub(super) async fn upsert(
    source: &mut Session,
    warehouse: &mut Session,
    plan: &TablePlan,
    rows: &str,
) -> Result<Merged> {
    let facts = merge_facts(warehouse, &plan.table, &plan.identity, MARK).await?;
    let statements = Statements { plan, marks: false, facts };
    merge(source, warehouse, &statements, rows, "false", Merge::Upsert).await
}

/// Merges the rows of the source for which `source_rows` holds. Where they are mirrored, `warehouse_rows` is the same for the
/// warehouse: what it selects and the source does not have goes.
async fn merge(
    source: &mut Session,
    warehouse: &mut Session,
    statements: &Statements<'_>,
    source_rows: &str,
    warehouse_rows: &str,
    how: Merge,
) -> Result<Merged> {
    let copied = stage(source, warehouse, statements.plan, source_rows).await?;
    let mut merged = Merged { copied, ..Merged::default() };
    // Deleted first: what takes their place may need their unique values.
    if let Merge::Mirror(_) = how {
        merged.deleted = warehouse.affected(&statements.delete(warehouse_rows)).await?;
    }
    if how != Merge::InsertMissing {
        if !statements.facts.is_unique {
            statements.refuse_doubles(warehouse).await?;
            if let Merge::Mirror(_) = how {
                merged.deleted += warehouse.affected(&statements.delete_doubles(warehouse_rows)).await?;
            }
        }
        merged.updated = statements.update_differing(warehouse).await.map_err(taken)?;
    }
    let insert = if how == Merge::InsertMissing && !statements.facts.is_unique {
        statements.insert_as_many()
    } else {
        statements.insert()
    };
    merged.inserted = warehouse.affected(&insert).await.map_err(taken)?;
    warehouse.execute(&format!("drop table {STAGED}")).await?;
    Ok(merged)
}

/// The condition for rows that are not marked as deleted.
pub(super) fn not_marked() -> String {
    format!("t.{} is null", ident(MARK))
}

/// Whether the warehouse's table has the column that marks deleted rows.
///
/// # Errors
/// The warehouse cannot be asked.
pub(super) async fn has_mark(warehouse: &mut Session, plan: &TablePlan) -> Result<bool> {
    Ok(merge_facts(warehouse, &plan.table, &plan.identity, MARK).await?.has_mark)
}

/// Whether a unique index of the warehouse's table tells its rows apart by the identity.
///
/// # Errors
/// The warehouse cannot be asked.
pub(super) async fn tells_apart(warehouse: &mut Session, plan: &TablePlan) -> Result<bool> {
    Ok(merge_facts(warehouse, &plan.table, &plan.identity, MARK).await?.is_unique)
}

async fn stage(
    source: &mut Session,
    warehouse: &mut Session,
    plan: &TablePlan,
    source_rows: &str,
) -> Result<Copied> {
    let (columns, relation) = (quoted_columns(&plan.columns), plan.warehouse_key.relation());
    // With the types of the warehouse: what is compared later is what would be stored.
    warehouse
        .execute(&format!(
            "create temporary table nightferry_rows on commit drop as select {columns} from {relation} with no data"
        ))
        .await?;
    let format = if plan.binary { " (format binary)" } else { "" };
    let copy_out = format!(
        "copy (select {columns} from {} where {source_rows}) to stdout{format}",
        plan.source_key.relation()
    );
    let copy_in = format!("copy {STAGED} ({columns}) from stdin{format}");
    let copied = pipe(source, &copy_out, warehouse, &copy_in).await?;
    warehouse.execute(&format!("analyze {STAGED} ({})", quoted_columns(&plan.identity))).await?;
    Ok(copied)
}

fn add_mark(plan: &TablePlan) -> String {
    format!("alter table {} add column {} timestamptz", quoted(&plan.table), ident(MARK))
}

/// Says what to do about rows that the warehouse's table refuses.
pub(super) fn taken(error: Error) -> Error {
    if error.kind() == ErrorKind::Data {
        return error.hint(
            "the warehouse's table has a constraint that the source's rows do not fit: compare the constraints of both, or drop it \
             in the warehouse",
        );
    }
    error
}

/// The statements of one merge. The table is `t`, the staged rows are `s`.
struct Statements<'a> {
    plan: &'a TablePlan,
    facts: MergeFacts,
    marks: bool,
}

impl Statements<'_> {
    fn relation(&self) -> &str {
        self.plan.warehouse_key.relation()
    }

    fn identity(&self) -> String {
        let columns = self.plan.identity.iter().map(|name| ident(name));
        columns.map(|name| format!("t.{name} = s.{name}")).collect::<Vec<_>>().join(" and ")
    }

    /// The columns that an update may write.
    fn written(&self) -> Vec<String> {
        let fixed =
            |name: &&String| !self.plan.identity.contains(name) && !self.facts.always_given.contains(name);
        self.plan.columns.iter().filter(fixed).map(|name| ident(name)).collect()
    }

    fn insert(&self) -> String {
        format!(
            "insert into {table} ({columns}) overriding system value select {columns} from {STAGED} s \
             where not exists (select from {relation} where {identity})",
            table = quoted(&self.plan.table),
            columns = quoted_columns(&self.plan.columns),
            relation = self.relation(),
            identity = self.identity(),
        )
    }

    /// Where several rows may share an identity: as many as the source has more, those first that are not there as they are.
    fn insert_as_many(&self) -> String {
        let of = |alias: &str, names: &[String]| {
            names.iter().map(|name| format!("{alias}.{}", ident(name))).collect::<Vec<_>>().join(", ")
        };
        let (columns, relation, identity) = (&self.plan.columns, self.relation(), self.identity());
        format!(
            "with s as materialized (select s.*, row({staged})::text as nightferry_text from {STAGED} s), \
             t as materialized (select {keys}, row({stored})::text as nightferry_text from {relation} \
             where exists (select from {STAGED} s where {identity})), \
             counted as (select {keys}, count(*) as nightferry_count from t group by {keys}), \
             same as (select distinct on ({keys}, t.nightferry_text) t.* from t), \
             numbered as (select s.*, row_number() over (partition by {staged_keys} order by t.nightferry_text is null) \
             as nightferry_number from s left join same t on {identity} and t.nightferry_text = s.nightferry_text) \
             insert into {table} ({names}) overriding system value select {staged} from numbered s \
             left join counted t on {identity} where s.nightferry_number > coalesce(t.nightferry_count, 0)",
            staged = of("s", columns),
            stored = of("t", columns),
            keys = of("t", &self.plan.identity),
            staged_keys = of("s", &self.plan.identity),
            table = quoted(&self.plan.table),
            names = quoted_columns(columns),
        )
    }

    /// Gives the rows that differ their new values.
    async fn update_differing(&self, warehouse: &mut Session) -> Result<u64> {
        if self.written().is_empty() && !self.marks {
            return Ok(0);
        }
        // One by one, a row could not take the value that another one gives up a moment later. But a row that others refer to
        // must not go, not even for a moment.
        if !self.facts.has_other_unique || self.facts.is_referred_to {
            return warehouse.affected(&self.update()).await;
        }
        let columns = columns::columns_of(warehouse, &self.plan.table).await?;
        let columns: Vec<String> =
            columns.into_iter().filter(|column| !column.generated).map(|column| column.name).collect();
        warehouse.execute(&self.make_changed(&columns)).await?;
        warehouse.execute(&self.take_out(&columns)).await?;
        let updated = warehouse.affected(&self.put_back(&columns)).await?;
        warehouse.execute(&format!("drop table {CHANGED}")).await?;
        Ok(updated)
    }

    fn update(&self) -> String {
        let mut set: Vec<String> = self.written().iter().map(|name| format!("{name} = s.{name}")).collect();
        if self.marks {
            set.push(format!("{} = null", ident(MARK)));
        }
        let (relation, set, identity) = (self.relation(), set.join(", "), self.identity());
        format!("update {relation} set {set} from {STAGED} s where {identity} and {}", self.differs())
    }

    /// As text: not every type knows equality.
    fn differs(&self) -> String {
        let written = self.written();
        let values = |alias: &str| {
            let values: Vec<String> = written.iter().map(|name| format!("{alias}.{name}")).collect();
            format!("row({})::text", values.join(", "))
        };
        let differs = format!("{} <> {}", values("t"), values("s"));
        if self.marks { format!("({differs} or t.{} is not null)", ident(MARK)) } else { differs }
    }

    fn make_changed(&self, columns: &[String]) -> String {
        let (columns, relation) = (quoted_columns(columns), self.relation());
        format!(
            "create temporary table nightferry_changed on commit drop as select {columns} from {relation} with no data"
        )
    }

    /// Moves the rows that differ aside.
    fn take_out(&self, columns: &[String]) -> String {
        let (relation, identity, differs) = (self.relation(), self.identity(), self.differs());
        let taken: Vec<String> = columns.iter().map(|name| format!("t.{}", ident(name))).collect();
        format!(
            "with taken as (delete from {relation} using {STAGED} s where {identity} and {differs} returning {}) \
             insert into {CHANGED} select * from taken",
            taken.join(", ")
        )
    }

    /// Puts them back with their new values, and what only the warehouse has as it was.
    fn put_back(&self, columns: &[String]) -> String {
        let written = self.written();
        let value = |name: &String| match ident(name) {
            name if written.contains(&name) => format!("s.{name}"),
            _ if self.marks && name == MARK => "null".to_owned(),
            name => format!("t.{name}"),
        };
        format!(
            "insert into {} ({}) overriding system value select {} from {CHANGED} t join {STAGED} s on {}",
            quoted(&self.plan.table),
            quoted_columns(columns),
            columns.iter().map(value).collect::<Vec<_>>().join(", "),
            self.identity()
        )
    }

    fn delete(&self, warehouse_rows: &str) -> String {
        let is_gone = format!("not exists (select from {STAGED} s where {})", self.identity());
        let relation = self.relation();
        if self.marks {
            let mark = ident(MARK);
            return format!(
                "update {relation} set {mark} = now() where {warehouse_rows} and t.{mark} is null and {is_gone}"
            );
        }
        format!("delete from {relation} where {warehouse_rows} and {is_gone}")
    }

    /// Of rows that share an identity, all but one.
    fn delete_doubles(&self, warehouse_rows: &str) -> String {
        let relation = self.relation();
        let keys: Vec<String> = self.plan.identity.iter().map(|name| format!("t.{}", ident(name))).collect();
        format!(
            "delete from {relation} using (select t.tableoid as part, t.ctid as place, \
             row_number() over (partition by {}) as number from {relation} where {warehouse_rows}) d \
             where d.number > 1 and t.tableoid = d.part and t.ctid = d.place",
            keys.join(", ")
        )
    }

    /// A key that does not tell the source's rows apart cannot say which of them a row of the warehouse is.
    async fn refuse_doubles(&self, warehouse: &mut Session) -> Result<()> {
        let keys = quoted_columns(&self.plan.identity);
        let sql = format!(
            "select {} from {STAGED} s group by {keys} having count(*) > 1 limit 1",
            literal("double")
        );
        if columns::text(warehouse, &sql, "cannot look for rows of the same key").await?.is_none() {
            return Ok(());
        }
        let names = self.plan.identity.join(", ");
        let text = format!("the source has several rows of the same {names}, which is to tell them apart");
        Err(Error::new(ErrorKind::Data, text)
            .hint("name the columns of a unique key as \"key\" in BACKUP_MODE, or let the full stage replace the table"))
    }
}
