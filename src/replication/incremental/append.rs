//! One table: the rows that the warehouse does not have yet, appended in one transaction.

use super::key::{Bound, Stretch};
use super::plan::TablePlan;
use crate::adapters::postgres::columns::{self, InsertTrigger, insert_triggers_of};
use crate::adapters::postgres::copy::{Copied, pipe};
use crate::adapters::postgres::ident::{ident, table as quoted};
use crate::adapters::postgres::{Database, Session};
use crate::error::Result;
use crate::outcome::Skipped;

/// What appending did.
#[derive(Debug, Default)]
pub(super) struct Appended {
    /// What was copied.
    pub(super) copied: Copied,
    /// What an operator must know.
    pub(super) notes: Vec<Skipped>,
}

/// Waiting longer for a lock on the table would keep others waiting behind us.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '30s'";

/// Appends to one table. On an error the warehouse's table is as it was, and running it again is safe.
///
/// # Errors
/// A server fails, or the rows do not fit; the table is named.
pub(super) async fn append(source: &Database, warehouse: &Database, plan: &TablePlan) -> Result<Appended> {
    let work = async {
        let mut from = reader(source).await?;
        let mut to = reader(warehouse).await?;
        to.execute(&format!("begin; {LOCK_TIMEOUT}")).await?;
        // On an error both sessions are dropped here, and the server rolls back.
        let appended = append_between(&mut from, &mut to, plan).await?;
        to.execute("commit").await?;
        futures::join!(from.close(), to.close());
        Ok(appended)
    };
    work.await.map_err(|error: crate::error::Error| error.context(&plan.table))
}

/// A session to which row security hides nothing: it fails instead.
async fn reader(database: &Database) -> Result<Session> {
    let mut session = database.connect().await?;
    session.execute("set row_security = off").await?;
    Ok(session)
}

async fn append_between(source: &mut Session, warehouse: &mut Session, plan: &TablePlan) -> Result<Appended> {
    let mut appended = Appended::default();
    if plan.source_key.may_be_null() {
        appended.notes.extend(rows_without_key(source, plan).await?);
    }
    let everything = Stretch::default();
    let settled = greatest(warehouse, &plan.warehouse_key.greatest(&everything)).await?;
    let Some(upper) = greatest(source, &plan.source_key.greatest(&everything)).await? else {
        return Ok(appended);
    };
    if let Some(settled) = &settled
        && columns::text(source, &plan.source_key.is_beyond(settled, &upper), "cannot compare the keys")
            .await?
            .is_some()
    {
        appended.notes.push(is_ahead(plan, settled, &upper));
        return Ok(appended);
    }
    // The rows are as the source's triggers left them: those of the warehouse must not change them again.
    let triggers = insert_triggers_of(warehouse, &plan.table).await?;
    for trigger in &triggers {
        warehouse.execute(&switched(plan, trigger, "disable")).await?;
    }
    let copy_out = plan.copy_out(&Stretch { after: settled, upto: Some(upper) });
    appended.copied = pipe(source, &copy_out, warehouse, &plan.copy_in()).await?;
    for trigger in &triggers {
        let back = if trigger.always { "enable always" } else { "enable" };
        warehouse.execute(&switched(plan, trigger, back)).await?;
    }
    Ok(appended)
}

async fn greatest(session: &mut Session, sql: &str) -> Result<Option<Bound>> {
    columns::texts(session, sql, "cannot read the greatest key").await
}

async fn rows_without_key(source: &mut Session, plan: &TablePlan) -> Result<Option<Skipped>> {
    let sql = plan.source_key.any_without();
    let found = columns::text(source, &sql, "cannot look for rows without a key").await?;
    Ok(found.map(|_| Skipped {
        object: format!("rows of {}", plan.table),
        reason: format!("the source has rows whose {} is null: they are not copied", plan.source_key.label()),
        definition: None,
    }))
}

fn is_ahead(plan: &TablePlan, settled: &Bound, upper: &Bound) -> Skipped {
    let (settled, upper) = (settled.join(", "), upper.join(", "));
    Skipped {
        object: format!("table {}", plan.table),
        reason: format!(
            "the warehouse is ahead of the source ({} {settled}, the source has {upper}): nothing was appended",
            plan.source_key.label()
        ),
        definition: None,
    }
}

fn switched(plan: &TablePlan, trigger: &InsertTrigger, how: &str) -> String {
    format!("alter table {} {how} trigger {}", quoted(&plan.table), ident(&trigger.name))
}
