//! A repair, for `nightferry verify --incremental --repair`.

use super::Jobs;
use super::foreground::holding;
use crate::error::Result;
use crate::replication::incremental::repair::{self, Repair};

pub(super) async fn run(jobs: &Jobs, tables: &[String]) -> Result<Repair> {
    holding(jobs, "repair", async |database, _| repair::repair(&jobs.config, database, tables).await).await
}
