//! A rollback, for `nightferry rollback`.

use super::Jobs;
use super::foreground::holding;
use crate::error::Result;
use crate::replication::rollback::{self, Rollback};

pub(super) async fn run(jobs: &Jobs, is_dry_run: bool) -> Result<Rollback> {
    if is_dry_run {
        return rollback::foresee(&jobs.config, &jobs.warehouse()?).await;
    }
    let roll_back = async |database: &_, ledger: &_| rollback::run(&jobs.config, database, ledger).await;
    holding(jobs, "rollback", roll_back).await
}
