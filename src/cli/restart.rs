//! `nightferry restart`: puts a stage on its queue; a worker runs it, and the chain goes on from there.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{Ending, log_to_stderr, say, settings::Settings};
use crate::error::Result;
use crate::ids::{RunId, Stage};
use crate::jobs;

/// Put a stage on its queue; a worker runs it, then those that follow it.
///
/// For a night that failed, once its cause is gone. A push and an export of the schema are followed by nothing. The worker does the work; this
/// command only asks for it, and refuses while a night is under way: a push alone may go beside one.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The stage to begin with.
    #[arg(value_parser = stage())]
    stage: Stage,
    /// Put it on its queue also while a night is under way: it begins once that has ended.
    #[arg(long)]
    after: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry restart full-replication            The whole night
  nightferry restart incremental-replication     What comes after a full stage that ended well
  nightferry restart notification                Only the webhooks
  nightferry restart full-replication --after    Another night once the one under way has ended
  nightferry restart backup-push                 A dump of the source into the bucket";

fn stage() -> impl TypedValueParser<Value = Stage> {
    PossibleValuesParser::new(Stage::STARTED.map(Stage::name)).try_map(|name| name.parse::<Stage>())
}

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    let run = jobs::restart(&config, arguments.stage, arguments.after).await?;
    say(&queued(arguments.stage, &run))?;
    Ok(Ending::Done)
}

fn queued(stage: Stage, run: &RunId) -> String {
    format!("Run {run}: {stage} is on the {:?}. A worker takes it from there.\n", stage.queue_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_the_run_and_the_queue() {
        let run = RunId::from("20261120T041000Z".to_owned());
        assert_eq!(
            queued(Stage::FullReplication, &run),
            "Run 20261120T041000Z: full-replication is on the \"Replication queue\". A worker takes it from there.\n"
        );
    }
}
