//! `reconcile`: the warehouse's table made equal to the source's, by copying the key buckets whose hashes differ.

use super::key::Stretch;
use super::merge::{Merge, Merged, has_mark, merge_all, not_marked};
use super::plan::TablePlan;
use super::ranges::{Sides, compare};
use crate::adapters::postgres::copy::pipe;
use crate::adapters::postgres::{Session, columns};
use crate::config::Deletes;
use crate::error::Result;

/// Makes the warehouse's table equal to the source's. Both are in a transaction, that of the source at one moment, that of the
/// warehouse with other writers kept out and the table's triggers switched off.
///
/// # Errors
/// A server fails, or the rows do not fit; then the warehouse's transaction can only be rolled back.
pub(super) async fn reconcile(
    source: &mut Session,
    warehouse: &mut Session,
    plan: &TablePlan,
    deletes: Deletes,
) -> Result<Merged> {
    let everything = Stretch::default();
    let first =
        columns::texts(warehouse, &plan.warehouse_key.least(&everything), "cannot look for rows").await?;
    if first.is_none() && !plan.warehouse_key.may_be_null() {
        let copied = pipe(source, &plan.copy_out(&everything), warehouse, &plan.copy_in()).await?;
        return Ok(Merged { copied, inserted: copied.rows, ..Merged::default() });
    }
    let counts = live_rows(warehouse, plan, deletes).await?;
    let sides = Sides {
        source: &plan.source_key,
        warehouse: &plan.warehouse_key,
        hashed: &plan.columns,
        warehouse_rows: counts.as_deref(),
    };
    let differences = compare(source, warehouse, sides, &everything).await?.differences;
    let keys = (&plan.source_key, &plan.warehouse_key);
    merge_all(source, warehouse, plan, keys, differences, Merge::Mirror(deletes)).await
}

/// Rows that are marked as deleted are not the source's any more. Where none is to be marked, one that is there must go.
pub(super) async fn live_rows(
    warehouse: &mut Session,
    plan: &TablePlan,
    deletes: Deletes,
) -> Result<Option<String>> {
    let marks = deletes == Deletes::Mark && has_mark(warehouse, plan).await?;
    Ok(marks.then(not_marked))
}
