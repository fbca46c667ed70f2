//! A repair, for `nightferry verify --incremental --repair`: no stage and no run, but it holds the warehouse as a run does.

use super::Jobs;
use super::foreground::{WAIT, close_dead_commands};
use super::run::holder;
use crate::adapters::ledger::Ledger;
use crate::adapters::postgres::WarehouseLock;
use crate::clock;
use crate::error::Result;
use crate::ids::RunId;
use crate::replication::incremental::repair::{self, Repair};
use crate::replication::preflight::two_databases;

pub(super) async fn run(jobs: &Jobs, tables: &[String]) -> Result<Repair> {
    let database = jobs.warehouse()?;
    two_databases(&jobs.config).await?;
    let holder = holder(&RunId::at(clock::now()), "repair");
    let mut lock = WarehouseLock::acquire(&database, &holder, Some(WAIT)).await?;
    let work = async {
        let ledger = Ledger::open(&database).await?;
        close_dead_commands(&ledger).await?;
        repair::repair(&jobs.config, tables).await
    };
    let result = tokio::select! {
        biased;
        error = lock.lost() => Err(error),
        result = work => result,
    };
    lock.release().await;
    result
}
