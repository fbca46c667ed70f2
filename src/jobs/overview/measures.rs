//! How things stand, in numbers: what `/metrics` gives to Prometheus.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::gather::{queues, schedule};
use super::{Holder, LastSuccess, LedgerState, NextTime, QueueNow};
use crate::adapters::ledger::{
    FailureMeasure, LedgerReader, NightMeasure, StageMeasure, StepMeasure, in_time,
};
use crate::clock;
use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::ids::Stage;

/// Prometheus gives a scrape up after ten seconds, and would never be told that the warehouse is silent.
const WAREHOUSE_LIMIT: Duration = Duration::from_secs(5);

/// How things stand. What cannot be asked is not there.
#[derive(Debug, Clone)]
pub struct Measures {
    /// The moment.
    pub at: DateTime<Utc>,
    /// What the warehouse says; none where it is away.
    pub warehouse: Option<WarehouseMeasures>,
    /// The queues.
    pub queue: QueueNow,
    /// When the schedules come next.
    pub schedule: Vec<NextTime>,
}

/// What the warehouse and its ledger say.
#[derive(Debug, Clone, Default)]
pub struct WarehouseMeasures {
    /// Who holds the warehouse.
    pub lock: Option<Holder>,
    /// When each stage, and the `night`, last ended well.
    pub last_success: Vec<LastSuccess>,
    /// The nights as a whole.
    pub night: NightMeasure,
    /// The last attempt of each stage that ended well.
    pub stages: Vec<StageMeasure>,
    /// Its steps.
    pub steps: Vec<StepMeasure>,
    /// How often each stage failed.
    pub failures: Vec<FailureMeasure>,
}

/// How things stand now, in numbers. What is away does not make it fail: that is what it tells.
pub async fn measures(config: &Config, ledger: &LedgerReader) -> Measures {
    let at = clock::now();
    let (warehouse, queue) = futures::future::join(of_warehouse(ledger), queues(&config.queue)).await;
    let warehouse = warehouse
        .inspect_err(|error| tracing::warn!(error.message = %error, "the warehouse cannot be measured"))
        .ok();
    Measures { at, warehouse, queue, schedule: schedule(config, at) }
}

async fn of_warehouse(ledger: &LedgerReader) -> Result<WarehouseMeasures> {
    let asking = ledger.ask(async |view| {
        let (lock, _) = view.lock_holders().await?;
        match view.state().await? {
            LedgerState::Ready => {}
            LedgerState::Missing => {
                let failures = of_each_kind(Vec::new());
                return Ok(WarehouseMeasures { lock, failures, ..WarehouseMeasures::default() });
            }
            // What it has counted cannot be read, and is not nothing.
            LedgerState::Older => return Ok(WarehouseMeasures { lock, ..WarehouseMeasures::default() }),
        }
        Ok(WarehouseMeasures {
            lock,
            last_success: view.last_success().await?,
            night: view.night_measure().await?,
            stages: view.stage_measures().await?,
            steps: view.step_measures().await?,
            failures: of_each_kind(view.failure_measures().await?),
        })
    });
    in_time(WAREHOUSE_LIMIT, asking).await
}

/// Also those that never came, with nought: of a count that appears with its first failure, `increase` would not see that one.
fn of_each_kind(mut failures: Vec<FailureMeasure>) -> Vec<FailureMeasure> {
    for (stage, kind) in
        Stage::STARTED.iter().flat_map(|stage| ErrorKind::ALL.map(|kind| (stage.name(), kind.name())))
    {
        if !failures.iter().any(|one| one.stage == stage && one.kind == kind) {
            failures.push(FailureMeasure { stage: stage.to_owned(), kind: kind.to_owned(), number: 0 });
        }
    }
    failures
}
