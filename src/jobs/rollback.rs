//! A rollback, for `nightferry rollback`: no stage and no run, but it holds the warehouse as a run does.

use super::Jobs;
use super::foreground::{WAIT, close_dead_commands};
use super::run::holder;
use crate::adapters::ledger::Ledger;
use crate::adapters::postgres::WarehouseLock;
use crate::clock;
use crate::error::Result;
use crate::ids::RunId;
use crate::replication::preflight::two_databases;
use crate::replication::rollback::{self, Rollback};

pub(super) async fn run(jobs: &Jobs, is_dry_run: bool) -> Result<Rollback> {
    let database = jobs.warehouse()?;
    if is_dry_run {
        return rollback::foresee(&jobs.config, &database).await;
    }
    two_databases(&jobs.config).await?;
    let holder = holder(&RunId::at(clock::now()), "rollback");
    let mut lock = WarehouseLock::acquire(&database, &holder, Some(WAIT)).await?;
    let work = async {
        let ledger = Ledger::open(&database).await?;
        close_dead_commands(&ledger).await?;
        rollback::run(&jobs.config, &database, &ledger).await
    };
    let result = tokio::select! {
        biased;
        error = lock.lost() => Err(error),
        result = work => result,
    };
    lock.release().await;
    result
}
