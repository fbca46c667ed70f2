//! The incremental stage: the big tables, copied by what was added or changed since the last night.
//!
//! Every table is looked at before the first one is written. The bounds are read and settled (`settling`), and one snapshot of the
//! source is taken. Then each table is brought up to date in one transaction of its own, several at a time; one that fails does
//! not keep the others from it.

mod drift;
mod key;
mod merge;
mod numbers;
mod parallel;
mod plan;
mod planning;
mod predict;
mod ranges;
mod reconcile;
pub mod repair;
mod settle;
mod settling;
mod table;
mod types;
pub mod verify;

pub(super) use predict::{Prediction, predict};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::Semaphore;

use self::numbers::Numbers;
use self::parallel::Pairs;
use self::plan::TablePlan;
use self::planning::plan_all;
use self::settle::{Settlement, settle};
use self::table::Update;
use super::moment::Moment;
use super::several::one_error;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::{Database, catalog};
use crate::config::{Config, Increment};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::{Skipped, TableOutcome};

/// Brings every table up to date that `BACKUP_MODE` gives to this stage. Running it again is safe.
///
/// # Errors
/// A table does not fit (then nothing was written), or could not be copied (the others were).
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    let settings = &config.replication;
    let wanted: Vec<(&str, &Increment)> = settings.modes.increments().collect();
    if wanted.is_empty() {
        tracing::info!("no table is incremental: nothing to do");
        return Ok(());
    }
    let Some(source) = &config.databases.source else {
        return Err(Error::new(
            ErrorKind::Configuration,
            "BACKUP_MODE has incremental tables, but no source",
        )
        .hint("set SOURCE_DATABASE_URL: an archive cannot be appended from"));
    };
    let source = Database::new(source, "source")?;
    let warehouse = recorder.warehouse();
    let plans = recorder.step("plan", plan_all(&source, &warehouse, &wanted, settings.drift)).await?;
    for skipped in plans.iter().flat_map(|plan| plan.drift.notes.clone()) {
        recorder.skipped(skipped).await?;
    }
    if plans.iter().any(|plan| !plan.drift.statements.is_empty()) {
        recorder.step("drift", follow(&warehouse, &plans)).await?;
    }
    let settling = settle(&source, recorder.ledger(), &plans, settings.settle_timeout);
    let settlements = recorder.step("settle", settling).await?;
    let work = Work { source, warehouse, plans, settlements, numbers: Numbers::default(), recorder };
    recorder.step("append", work.update_all(settings.jobs)).await
}

/// Lets the warehouse's tables follow the source's columns.
async fn follow(warehouse: &Database, plans: &[TablePlan]) -> Result<()> {
    let mut session = warehouse.connect().await?;
    for plan in plans {
        drift::apply(&mut session, plan).await?;
    }
    session.close().await;
    Ok(())
}

/// All that is done in one run.
struct Work<'a> {
    source: Database,
    warehouse: Database,
    plans: Vec<TablePlan>,
    settlements: Vec<Settlement>,
    numbers: Numbers,
    recorder: &'a Recorder,
}

impl Work<'_> {
    /// Brings all tables up to date from one moment of the source: a row and the one that it refers to come together.
    async fn update_all(&self, jobs: usize) -> Result<()> {
        let mut moment = Moment::of(self.source.clone()).await?;
        let shared = moment.shared();
        let work = async {
            let oids: Vec<i64> = self.plans.iter().map(|plan| plan.warehouse_oid).collect();
            let keys = self.foreign_keys(&oids).await?;
            let free = Semaphore::new(jobs);
            let pairs = Pairs { source: &shared, warehouse: &self.warehouse, number: jobs, free: &free };
            let mut failures = Vec::new();
            for wave in in_waves(&oids, &keys) {
                let refers_to_itself =
                    |at: usize| keys.iter().any(|(from, to)| from == to && oids.get(at) == Some(from));
                let tables =
                    wave.into_iter().map(|at| self.update_one(at, &pairs, refers_to_itself(at)).boxed());
                failures.extend(join_all(tables).await.into_iter().filter_map(Result::err));
            }
            one_error(failures, |count| {
                format!("{count} of {} tables could not be brought up to date", self.plans.len())
            })
        };
        let result = tokio::select! {
            result = work => result,
            lost = moment.hold() => return Err(lost),
        };
        moment.session.close().await;
        result
    }

    async fn update_one(&self, at: usize, pairs: &Pairs<'_>, refers_to_itself: bool) -> Result<()> {
        let (Some(plan), Some(settlement)) = (self.plans.get(at), self.settlements.get(at)) else {
            return Ok(());
        };
        let pair = pairs.free.acquire().await.ok();
        let start = Instant::now();
        let number = self.numbers.take();
        let recorder = self.recorder.on(format!("increment {}", number.number));
        let update = Update { plan, settlement, run: recorder.run(), pairs, refers_to_itself };
        let updated = update.run(pair).await?;
        for note in updated.notes {
            recorder.skipped(note).await?;
        }
        if let Some(reason) = &settlement.unsettled {
            let object = format!("bound of {}", plan.table);
            let reason = format!("not settled: {reason}");
            recorder.skipped(Skipped { object, reason, definition: None }).await?;
        }
        recorder
            .table(TableOutcome {
                table: plan.table.clone(),
                treatment: plan.increment.way.name(),
                rows: updated.rows,
                bytes: updated.bytes,
                duration: start.elapsed(),
            })
            .await
    }

    /// The foreign keys among the tables, from the one that refers to the other, which may be itself.
    async fn foreign_keys(&self, oids: &[i64]) -> Result<Vec<(i64, i64)>> {
        let mut session = self.warehouse.connect().await?;
        let keys = catalog::foreign_keys_among(&mut session, oids).await?;
        session.close().await;
        Ok(keys)
    }
}

/// The places of the tables `oids` in waves, by the foreign keys (from, to) among them: each comes after those that it refers to,
/// since they are committed one by one. Those of a circle come together.
fn in_waves(oids: &[i64], keys: &[(i64, i64)]) -> Vec<Vec<usize>> {
    let mut needs: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for (from, to) in keys.iter().filter(|(from, to)| from != to) {
        needs.entry(*from).or_default().insert(*to);
    }
    let mut left: Vec<usize> = (0..oids.len()).collect();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let waits_for = |at: &usize, others: &[usize]| {
            oids.get(*at).and_then(|oid| needs.get(oid)).is_some_and(|needed| {
                others.iter().filter_map(|other| oids.get(*other)).any(|oid| needed.contains(oid))
            })
        };
        let (mut wave, rest): (Vec<usize>, Vec<usize>) = left.iter().partition(|at| !waits_for(at, &left));
        left = rest;
        if wave.is_empty() {
            wave = std::mem::take(&mut left);
        }
        waves.push(wave);
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_after_those_that_it_refers_to() {
        assert_eq!(in_waves(&[30, 10, 20], &[(30, 20), (20, 10)]), [vec![1], vec![2], vec![0]]);
        assert_eq!(in_waves(&[1, 2], &[(1, 1)]), [vec![0, 1]]);
        assert_eq!(in_waves(&[1, 2, 3], &[(1, 2), (2, 1), (1, 3)]), [vec![2], vec![0, 1]], "a circle ends");
    }
}
