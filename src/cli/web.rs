//! `nightferry web`: the web process, until it is asked to stop.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Ending, log_to_stdout, settings::Settings, signals::StopSignals};
use crate::error::Result;
use crate::events;
use crate::web::{House, Site};

/// Answer health checks over HTTP on PORT, until stopped; with WEB_TOKEN set, the dashboard and the metrics too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {}

const EXAMPLES: &str = "\
Examples:
  nightferry web
  PORT=3000 nightferry web
  WEB_TOKEN=$(openssl rand -hex 32) nightferry web";

pub(super) async fn run(_arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (web, config, log) = settings.web()?;
    log_to_stdout(&log);
    let mut signals = StopSignals::listen()?;
    let house = config.zip(web.access).map(|(config, access)| House::new(config, access)).transpose()?;
    let site = Site::bind("0.0.0.0", web.port, house)?;
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
