//! One table, brought up to date in one transaction of the warehouse. On an error the table and its bounds are as they were,
//! and running it again is safe.

use tokio::sync::SemaphorePermit;

use super::key::{Bound, Key, Stretch};
use super::merge::{Merge, Merged, merge_all, taken, upsert};
use super::parallel::{self, Beside, Pairs};
use super::plan::TablePlan;
use super::ranges::differing;
use super::reconcile::reconcile;
use super::settle::Settlement;
use crate::adapters::ledger::{Progress, claim, record_progress};
use crate::adapters::postgres::Session;
use crate::adapters::postgres::columns::{self, InsertTrigger, insert_triggers_of};
use crate::adapters::postgres::copy::{Copied, pipe};
use crate::adapters::postgres::ident::{ident, table as quoted};
use crate::config::{Deletes, Way};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{RunId, TableName};
use crate::outcome::Skipped;

/// What was done to a table.
#[derive(Debug, Default)]
pub(super) struct Updated {
    /// Rows that were added, changed or taken out.
    pub(super) rows: u64,
    /// Bytes that came from the source.
    pub(super) bytes: u64,
    /// What an operator must know.
    pub(super) notes: Vec<Skipped>,
}

impl Updated {
    fn copied(&mut self, copied: Copied) {
        self.rows += copied.rows;
        self.bytes += copied.bytes;
    }

    pub(super) fn merged(&mut self, merged: &Merged) {
        self.rows += merged.inserted + merged.updated + merged.deleted;
        self.bytes += merged.copied.bytes;
    }

    fn note(&mut self, object: String, reason: String) {
        self.notes.push(Skipped { object, reason, definition: None });
    }
}

/// Row security hides nothing then: it fails instead. Amounts of money read the same on both sides.
const SETTINGS: &str = "set row_security = off; set lc_monetary = 'C'";

/// Waiting longer for a lock on the table would keep others waiting behind us.
pub(super) const BEGIN: &str = "begin; set local lock_timeout = '30s'";

/// All that bringing one table up to date takes.
pub(super) struct Update<'a> {
    pub(super) plan: &'a TablePlan,
    pub(super) settlement: &'a Settlement,
    pub(super) run: &'a RunId,
    /// The connections.
    pub(super) pairs: &'a Pairs<'a>,
    /// Whether rows of one range may refer to rows of another.
    pub(super) refers_to_itself: bool,
}

impl Update<'_> {
    /// Brings the table up to date from the moment of the source. It gives its pair of connections back when others can use it.
    ///
    /// # Errors
    /// A server fails, or the rows do not fit; the table is named.
    pub(super) async fn run(&self, pair: Option<SemaphorePermit<'_>>) -> Result<Updated> {
        let work = async {
            let mut source = self.pairs.source.reader("").await?;
            let mut warehouse = self.pairs.warehouse.connect().await?;
            warehouse.execute(SETTINGS).await?;
            source.begin().await?;
            warehouse.execute(BEGIN).await?;
            // On an error the sessions are dropped, and the servers roll back.
            let updated = self.between(&mut source.session, &mut warehouse, pair).await?;
            warehouse.execute("commit").await?;
            source.end().await?;
            futures::join!(source.session.close(), warehouse.close());
            Ok(updated)
        };
        work.await.map_err(|error: Error| error.context(&self.plan.table))
    }

    async fn between(
        &self,
        source: &mut Session,
        warehouse: &mut Session,
        pair: Option<SemaphorePermit<'_>>,
    ) -> Result<Updated> {
        let (plan, settlement) = (self.plan, self.settlement);
        if claim(warehouse, &plan.table).await? != settlement.copied_at {
            return Err(Error::new(ErrorKind::Busy, "another run has copied into the table meanwhile")
                .hint("run the stage again"));
        }
        let triggers = silence(warehouse, &plan.table).await?;
        // To silence a trigger takes a lock that keeps other sessions from writing.
        let pairs = (triggers.is_empty() && !self.refers_to_itself).then_some(self.pairs);
        let updated = Updated::default();
        let (refers_to_itself, beside) = (self.refers_to_itself, Vec::new());
        let mut sides =
            Sides { source, warehouse, plan, settlement, pairs, pair, refers_to_itself, beside, updated };
        match &plan.increment.way {
            Way::Append { .. } => sides.append().await?,
            Way::Upsert { .. } => sides.upsert().await?,
            Way::Reconcile { deletes, .. } => sides.reconcile(*deletes).await?,
        }
        let Sides { warehouse, mut beside, updated, .. } = sides;
        restore(warehouse, &triggers).await?;
        let progress = Progress {
            key_columns: plan.source_key.names().map(str::to_owned).collect(),
            source: settlement.source.clone(),
            warehouse_oid: plan.warehouse_oid,
            settled: settlement.settled.clone(),
            copied_to: settlement.upper.clone(),
            copied_at: None,
            source_columns: Some(plan.source_columns.clone()),
            bounds: settlement.open.clone(),
        };
        record_progress(warehouse, &plan.table, self.run, &progress).await?;
        if !beside.is_empty() {
            warehouse.execute("set constraints all immediate").await?;
            for helper in &mut beside {
                helper.check().await?;
            }
        }
        for helper in beside {
            helper.commit().await?;
        }
        Ok(updated)
    }
}

/// Whether there are rows without this key: they are in no range of it.
///
/// # Errors
/// The server cannot be asked.
pub(super) async fn lack_key(session: &mut Session, key: &Key) -> Result<bool> {
    let doing = "cannot look for rows without a key";
    Ok(key.may_be_null() && columns::text(session, &key.any_without(), doing).await?.is_some())
}

/// Keeps others from writing to a table, as a merge needs it. Readers go on.
///
/// # Errors
/// Somebody goes on writing to it.
pub(super) async fn keep_out_writers(warehouse: &mut Session, table: &TableName) -> Result<()> {
    warehouse.execute(&format!("lock table {} in share row exclusive mode", quoted(table))).await
}

/// Switches off the triggers that writing rows would fire: the rows are as the source's triggers left them, and those of the
/// warehouse must not change them again.
pub(super) async fn silence(warehouse: &mut Session, table: &TableName) -> Result<Vec<InsertTrigger>> {
    let triggers = insert_triggers_of(warehouse, table).await?;
    for trigger in &triggers {
        warehouse.execute(&switched(trigger, "disable")).await?;
    }
    Ok(triggers)
}

/// Switches them on again, each as it was.
pub(super) async fn restore(warehouse: &mut Session, triggers: &[InsertTrigger]) -> Result<()> {
    for trigger in triggers {
        let how = if trigger.always { "enable always" } else { "enable" };
        warehouse.execute(&switched(trigger, how)).await?;
    }
    Ok(())
}

fn switched(trigger: &InsertTrigger, how: &str) -> String {
    format!("alter table {} {how} trigger {}", quoted(&trigger.table), ident(&trigger.name))
}

/// Both sides of a table in their transactions.
struct Sides<'a> {
    source: &'a mut Session,
    warehouse: &'a mut Session,
    plan: &'a TablePlan,
    settlement: &'a Settlement,
    /// Where other sessions may write to the table beside this one.
    pairs: Option<&'a Pairs<'a>>,
    /// This one's.
    pair: Option<SemaphorePermit<'a>>,
    /// Whether a row that was late may refer to one that is newer.
    refers_to_itself: bool,
    /// What others wrote.
    beside: Vec<Beside>,
    updated: Updated,
}

impl Sides<'_> {
    /// The rows that were added. Up to the warehouse's greatest key they may be there or not, where that is not settled; beyond
    /// it they are surely not.
    async fn append(&mut self) -> Result<()> {
        let (plan, settlement) = (self.plan, self.settlement);
        self.name_rows_without_key().await?;
        let top = self.warehouse_top().await?;
        let Some(upper) = &settlement.upper else {
            if let Some(top) = &top {
                self.name_ahead(top, None);
            }
            return Ok(());
        };
        // Rows of one key may be told apart by more than it.
        let others = plan.identity.iter().filter(|name| !plan.source_key.names().any(|key| key == *name));
        let hashed: Vec<String> = plan.source_key.names().map(str::to_owned).chain(others.cloned()).collect();
        let keys = (&plan.source_key, &plan.warehouse_key);
        let Some(top) = top else {
            let all = Stretch { after: None, upto: Some(upper.clone()) };
            // A row that is here without its key may be any of the source's.
            return if self.is_empty().await? {
                self.copy(all).await
            } else {
                self.compare(keys, &all, &hashed, Merge::InsertMissing).await
            };
        };
        let is_ahead = self.is_beyond(&top, upper).await?;
        if is_ahead {
            self.name_ahead(&top, Some(upper));
        }
        let uncertain_to = if is_ahead { upper } else { &top };
        // One statement, at whose end the references are checked.
        let merged_to = if self.refers_to_itself { upper } else { uncertain_to };
        let is_uncertain = match &settlement.settled_before {
            Some(settled) => self.is_beyond(uncertain_to, settled).await?,
            None => true,
        };
        if is_uncertain {
            let uncertain =
                Stretch { after: settlement.settled_before.clone(), upto: Some(merged_to.clone()) };
            self.compare(keys, &uncertain, &hashed, Merge::InsertMissing).await?;
        }
        let is_merged = is_uncertain && merged_to == upper;
        if !is_ahead && !is_merged && self.is_beyond(upper, &top).await? {
            self.copy(Stretch { after: Some(top), upto: Some(upper.clone()) }).await?;
        }
        Ok(())
    }

    /// The rows that were added or changed since the settled cursor.
    async fn upsert(&mut self) -> Result<()> {
        let (plan, settlement) = (self.plan, self.settlement);
        self.name_rows_without_key().await?;
        let Some(upper) = &settlement.upper else { return Ok(()) };
        if self.is_empty().await? && !plan.source_identity.may_be_null() {
            return self.copy(Stretch { after: None, upto: Some(upper.clone()) }).await;
        }
        if let Some(settled) = &settlement.settled_before
            && self.has_come_to(settled).await?
        {
            let stretch = Stretch { after: Some(settled.clone()), upto: Some(upper.clone()) };
            // A row that nothing tells apart would be another one each night.
            let told_apart = plan.source_identity.within(&Stretch::default());
            self.lock().await?;
            let rows = format!("{} and {told_apart}", plan.source_key.within(&stretch));
            let merged = upsert(self.source, self.warehouse, plan, &rows).await?;
            self.updated.merged(&merged);
            return Ok(());
        }
        // Nothing is known of what is there: only what differs is copied.
        let keys = (&plan.source_identity, &plan.warehouse_identity);
        self.compare(keys, &Stretch::default(), &plan.columns, Merge::Upsert).await
    }

    async fn reconcile(&mut self, deletes: Deletes) -> Result<()> {
        self.name_rows_without_key().await?;
        self.lock().await?;
        let merged = reconcile(self.source, self.warehouse, self.plan, deletes).await?;
        self.updated.merged(&merged);
        Ok(())
    }

    /// Copies rows that the warehouse surely does not have.
    async fn copy(&mut self, stretch: Stretch) -> Result<()> {
        let plan = self.plan;
        if self.is_behind(&stretch).await? {
            self.pairs = None;
        }
        let sessions = (&mut *self.source, &mut *self.warehouse);
        let (copied, beside) = match self.pairs {
            Some(pairs) => {
                let begin = format!("{SETTINGS}; {BEGIN}");
                parallel::copy(pairs, sessions, plan, stretch, self.pair.take(), &begin)
                    .await
                    .map_err(taken)?
            }
            None => {
                let (copy_out, copy_in) = (plan.copy_out(&stretch), plan.copy_in());
                let copy = pipe(self.source, &copy_out, self.warehouse, &copy_in).await;
                (copy.map_err(taken)?, Vec::new())
            }
        };
        self.updated.copied(copied);
        beside.iter().for_each(|helper| self.updated.copied(helper.copied()));
        self.beside = beside;
        Ok(())
    }

    /// Compares both sides by buckets of keys, and merges the rows of those that differ.
    async fn compare(
        &mut self,
        keys: (&Key, &Key),
        within: &Stretch,
        hashed: &[String],
        how: Merge,
    ) -> Result<()> {
        let differences = differing(self.source, self.warehouse, keys, within, hashed).await?;
        if !differences.is_empty() {
            self.lock().await?;
        }
        let merged = merge_all(self.source, self.warehouse, self.plan, keys, differences, how).await?;
        self.updated.merged(&merged);
        Ok(())
    }

    /// Keeps others from writing to the table, the other sessions of this copy included.
    async fn lock(&mut self) -> Result<()> {
        self.pairs = None;
        keep_out_writers(self.warehouse, &self.plan.table).await
    }

    async fn warehouse_top(&mut self) -> Result<Option<Bound>> {
        let sql = self.plan.warehouse_key.greatest(&Stretch::default());
        columns::texts(self.warehouse, &sql, "cannot read the greatest key of the warehouse").await
    }

    /// Whether the warehouse has rows up to a bound. Where it has not, somebody took them out, and older ones with them.
    async fn has_come_to(&mut self, bound: &Bound) -> Result<bool> {
        let Some(top) = self.warehouse_top().await? else { return Ok(false) };
        Ok(!self.is_beyond(bound, &top).await?)
    }

    /// Whether a stretch begins below what is settled: rows were taken out. Of ranges that are committed one by one, the first may be
    /// missing in the end, and nobody would look for it again.
    async fn is_behind(&mut self, stretch: &Stretch) -> Result<bool> {
        match (&self.settlement.settled_before, &stretch.after) {
            (None, _) => Ok(false),
            (Some(_), None) => Ok(true),
            (Some(settled), Some(after)) => self.is_beyond(settled, after).await,
        }
    }

    async fn is_empty(&mut self) -> Result<bool> {
        let sql = format!("select '' from {} limit 1", self.plan.warehouse_key.relation());
        Ok(columns::text(self.warehouse, &sql, "cannot look for rows").await?.is_none())
    }

    async fn is_beyond(&mut self, one: &Bound, other: &Bound) -> Result<bool> {
        let sql = self.plan.warehouse_key.is_beyond(one, other);
        Ok(columns::text(self.warehouse, &sql, "cannot compare the keys").await?.is_some())
    }

    async fn name_rows_without_key(&mut self) -> Result<()> {
        let plan = self.plan;
        let mut keys = vec![&plan.source_key];
        keys.extend(Some(&plan.source_identity).filter(|identity| **identity != plan.source_key));
        for key in keys {
            if lack_key(self.source, key).await? {
                let reason =
                    format!("the source has rows whose {} is null: they are not copied", key.label());
                self.updated.note(format!("rows of {}", plan.table), reason);
            }
        }
        Ok(())
    }

    fn name_ahead(&mut self, top: &Bound, upper: Option<&Bound>) {
        let key = self.plan.source_key.label();
        let source = match upper {
            Some(upper) => format!("the source has {}", upper.join(", ")),
            None => "the source has no row".to_owned(),
        };
        self.updated.note(
            format!("table {}", self.plan.table),
            format!(
                "the warehouse is ahead of the source ({key} {}, {source}): its rows beyond are left as they are",
                top.join(", ")
            ),
        );
    }
}
