//! `nightferry verify --incremental --repair`: the ranges that differ are copied, each table in one transaction.
//!
//! Rows that only the warehouse has stay, but in `reconcile`: the other modes delete nothing.

use serde::Serialize;

use super::merge::{Merge, Merged, merge_all, tells_apart};
use super::ranges::compare;
use super::table::{BEGIN, keep_out_writers, restore, silence};
use super::verify::{Ground, Task, Verification, VerifiedTable};
use crate::adapters::postgres::{Database, Session};
use crate::config::{Config, Way};
use crate::error::Result;
use crate::ids::TableName;
use crate::replication::comparison::{Remark, Verdict};

/// What a repair did.
#[derive(Debug, Clone, Serialize)]
pub struct Repair {
    /// The tables that differed.
    pub repaired: Vec<RepairedTable>,
    /// What was found afterwards.
    #[serde(flatten)]
    pub after: Verification,
}

/// A table that was repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairedTable {
    /// Which one.
    pub table: TableName,
    /// Rows read from the source.
    pub copied: u64,
    /// Rows that were missing.
    pub inserted: u64,
    /// Rows that were not the same.
    pub updated: u64,
    /// Rows that the source does not have any more.
    pub deleted: u64,
}

/// Compares the tables that `asked` names, or all, copies what differs, and compares again. Call it with the warehouse's lock
/// held. Where it fails, the tables that were repaired stay so, and the command can be given again.
///
/// # Errors
/// A side cannot be read, rows do not fit, or a name is none of these tables.
pub async fn repair(config: &Config, warehouse: &Database, asked: &[String]) -> Result<Repair> {
    let ground = Ground::prepare(config, warehouse.clone(), asked).await?;
    let before = ground.verify(config.replication.jobs).await?;
    if before.equal {
        return Ok(Repair { repaired: Vec::new(), after: before });
    }
    let mut repaired = Vec::new();
    for (task, found) in ground.tasks.iter().zip(&before.tables) {
        if found.result != Verdict::Equal {
            let merged = repair_table(&ground.source, &ground.warehouse, task).await;
            let merged = merged.map_err(|error| error.context(&task.plan.table))?;
            repaired.push(RepairedTable {
                table: task.plan.table.clone(),
                copied: merged.copied.rows,
                inserted: merged.inserted,
                updated: merged.updated,
                deleted: merged.deleted,
            });
        }
    }
    let mut after = ground.verify(config.replication.jobs).await?;
    let notes: Vec<Remark> = ground.tasks.iter().zip(&after.tables).filter_map(left_alone).collect();
    after.notes.extend(notes);
    Ok(Repair { repaired, after })
}

/// Why a table may still differ.
fn left_alone((task, found): (&Task, &VerifiedTable)) -> Option<Remark> {
    let deletes = matches!(task.plan.increment.way, Way::Reconcile { .. });
    let has_more = found.differences.iter().any(|range| range.warehouse_rows > range.source_rows);
    let text =
        format!("rows that only the warehouse has were left: {} deletes none (reconcile does)", found.mode);
    (!deletes && has_more).then(|| Remark::new(format!("table {}", found.table), text))
}

async fn repair_table(source: &Database, warehouse: &Database, task: &Task) -> Result<Merged> {
    let (mut from, mut to) = futures::try_join!(source.connect(), warehouse.connect())?;
    from.begin("isolation level repeatable read read only").await?;
    to.execute(BEGIN).await?;
    keep_out_writers(&mut to, &task.plan.table).await?;
    let triggers = silence(&mut to, &task.plan.table).await?;
    // On an error both sessions are dropped, and the servers roll back.
    let merged = merge_differences(&mut from, &mut to, task).await?;
    restore(&mut to, &triggers).await?;
    to.execute("commit").await?;
    futures::join!(from.close(), to.close());
    Ok(merged)
}

async fn merge_differences(source: &mut Session, warehouse: &mut Session, task: &Task) -> Result<Merged> {
    let how = match task.plan.increment.way {
        Way::Reconcile { deletes, .. } => Merge::Mirror(deletes),
        Way::Append { .. } if !tells_apart(warehouse, &task.plan).await? => Merge::InsertMissing,
        Way::Append { .. } | Way::Upsert { .. } => Merge::Upsert,
    };
    // Again, since the rows are other ones by now: nobody else writes them from here on.
    let live = task.live_rows(warehouse).await?;
    let compared = compare(source, warehouse, task.sides(live.as_deref()), &task.within).await?;
    let keys = (&task.keys.0, &task.keys.1);
    let merged = merge_all(source, warehouse, &task.plan, keys, compared.differences, how).await;
    merged.map_err(|error| error.also_hint("nothing was changed in this table"))
}
