//! An adoption, for `nightferry adopt`.

use super::Jobs;
use super::foreground::holding;
use crate::adapters::ledger::Disposition;
use crate::error::Result;
use crate::ids::TableName;
use crate::replication::adoption;

pub(super) async fn run(jobs: &Jobs, keep: &[String]) -> Result<Vec<(TableName, Disposition)>> {
    holding(jobs, "adopt", async |_, ledger| adoption::accept(&jobs.config, ledger, keep).await).await
}
