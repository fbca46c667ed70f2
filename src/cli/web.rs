//! `nightferry web`: the web process, until it is asked to stop.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Ending, log_to_stdout, settings::Settings, signals::StopSignals};
use crate::error::Result;
use crate::events;
use crate::web::Site;

/// Answer health checks over HTTP on PORT, until stopped. Needs no database.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {}

const EXAMPLES: &str = "\
Examples:
  nightferry web
  PORT=3000 nightferry web";

pub(super) async fn run(_arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (web, log) = settings.web()?;
    log_to_stdout(&log);
    let mut signals = StopSignals::listen()?;
    let site = Site::bind("0.0.0.0", web.port)?;
    tracing::info!(port = site.port(), "{}", events::WEB_STARTED);
    let stop = CancellationToken::new();
    let serving = site.run_until(stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended?,
        signal = signals.next() => {
            tracing::info!(signal, "{}", events::WEB_STOPPING);
            stop.cancel();
            serving.await?;
        }
    }
    Ok(Ending::Done)
}
