//! `nightferry worker`: the process that runs the nights, until it is asked to stop.

use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Ending, log_to_stdout, settings::Settings, signals::StopSignals};
use crate::adapters::queue::STOP_LIMIT;
use crate::error::Result;
use crate::events;
use crate::jobs;

/// Run the nights at their time, and what is on the queues, until stopped.
///
/// Stops on SIGTERM or SIGINT within 10 seconds. A stage that was at work is then marked interrupted; whether it
/// starts again by itself is ON_INTERRUPTED.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {}

const EXAMPLES: &str = "\
Examples:
  nightferry worker
  SCHEDULE='30 2 * * *' nightferry worker";

/// The queues end within their own limit; this is for what they cannot end. With [`super::GRACE`] it stays under the
/// 10 seconds that a platform gives.
const TIME_TO_STOP: Duration = Duration::from_secs(7);
const _: () = assert!(STOP_LIMIT.as_secs() < TIME_TO_STOP.as_secs());

pub(super) async fn run(_arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stdout(&log);
    let mut signals = StopSignals::listen()?;
    let stop = CancellationToken::new();
    let work = jobs::work(&config, stop.clone());
    tokio::pin!(work);
    let signal = tokio::select! {
        ended = &mut work => return ended.map(|()| Ending::Done),
        signal = signals.next() => signal,
    };
    tracing::info!(signal, "{}", events::WORKER_STOPPING);
    stop.cancel();
    tokio::select! {
        ended = &mut work => ended?,
        () = tokio::time::sleep(TIME_TO_STOP) => stopped_hard("its time to stop was over"),
        signal = signals.next() => stopped_hard(signal),
    }
    Ok(Ending::Done)
}

fn stopped_hard(why: &str) {
    tracing::warn!(why, "{}", events::WORKER_STOPPED_HARD);
}
