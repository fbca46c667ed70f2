//! Stand-in: the queue's branch has the real one.
#![allow(missing_docs, clippy::unused_async, clippy::missing_errors_doc, reason = "stand-in")]

use tokio_util::sync::CancellationToken;

use crate::adapters::ledger::Origin;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{RunId, Stage};
use crate::outcome::StageOutcome;

pub async fn run_now(_: &Config, stages: &[Stage], _: Origin) -> Result<Vec<(Stage, StageOutcome)>> {
    Ok(stages.iter().map(|stage| (*stage, StageOutcome::default())).collect())
}

pub async fn restart(_: &Config, _: Stage) -> Result<RunId> {
    Err(Error::new(ErrorKind::Internal, "stand-in"))
}

pub async fn work(_: &Config, stop: CancellationToken) -> Result<()> {
    stop.cancelled().await;
    Ok(())
}
