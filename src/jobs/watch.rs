//! What a worker looks after beside its jobs: runs that nobody is at work on.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::queued::Worker;
use super::recovery;
use crate::adapters::ledger::Ledger;
use crate::error::Result;

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks now and then, until `stop`.
pub(super) async fn keep(worker: &Worker, stop: &CancellationToken) {
    let mut ledger = None;
    let looking = async {
        loop {
            if let Err(error) = look(worker, &mut ledger).await {
                // The warehouse may be away for a while; its jobs say so louder.
                tracing::debug!(error.message = %error, "cannot look for runs that were left open");
                ledger = None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = looking => {}
        () = stop.cancelled() => {}
    }
}

async fn look(worker: &Worker, seen: &mut Option<Ledger>) -> Result<()> {
    if seen.is_none() {
        *seen = Ledger::open_existing(&worker.database).await?;
    }
    let Some(ledger) = seen else { return Ok(()) };
    recovery::look(worker, ledger).await
}
