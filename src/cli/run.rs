//! `nightferry run`: a stage, or the whole night, now and in the foreground, without a queue.

use std::convert::Infallible;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio_util::sync::CancellationToken;

use super::progress::Bars;
use super::{Ending, log_above, log_to_stdout, say, settings::Settings, signals::StopSignals, summary};
use crate::adapters::ledger::Origin;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Stage;
use crate::jobs::{self, Jobs};

/// Run a stage, or the whole night, now and in the foreground.
///
/// No queue is needed. It takes the warehouse's lock, so that it never works beside a worker, writes its log to
/// standard output and ends with a summary, also of a stage that fails. It stops at the first that does. On a terminal, bars below the
/// log show how far it is.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// `night` for the four stages in their order, or one of them.
    #[arg(value_name = "STAGE", value_parser = what())]
    what: What,
    #[command(flatten)]
    wait: Wait,
}

/// For how long a command waits for its turn.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Wait so long (90s, 2h) for a job that holds the warehouse, and for a night that is open. Without it the command gives up at
    /// once, and says who holds it.
    #[arg(long, value_name = "DURATION")]
    wait: Option<humantime::Duration>,
}

const EXAMPLES: &str = "\
Examples:
  nightferry run night
  nightferry run full-replication
  nightferry run night --wait 2h
  nightferry run learning-content-replication > stage.log";

/// The ledger is told of the end in this time, or by the next run.
const TIME_TO_STOP: Duration = Duration::from_secs(9);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Night,
    One(Stage),
}

impl What {
    fn stages(self) -> Vec<Stage> {
        match self {
            Self::Night => Stage::NIGHT.to_vec(),
            Self::One(stage) => vec![stage],
        }
    }
}

fn what() -> impl TypedValueParser<Value = What> {
    let names = std::iter::once("night").chain(Stage::NIGHT.map(Stage::name));
    PossibleValuesParser::new(names).try_map(|name| match name.as_str() {
        "night" => Ok(What::Night),
        name => name.parse().map(What::One),
    })
}

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    in_foreground(settings, &arguments.what.stages(), &arguments.wait).await
}

/// Does stages in their order until one fails or a signal comes, then prints what was done.
pub(super) async fn in_foreground(settings: &Settings, stages: &[Stage], wait: &Wait) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    let mut bars = Bars::for_terminal(&log);
    match &bars {
        Some(bars) => log_above(bars, &log),
        None => log_to_stdout(&log),
    }
    let mut signals = StopSignals::listen()?;
    let stop = CancellationToken::new();
    let jobs = Jobs::new(config.clone()).waiting(wait.wait.map(Into::into));
    let work = jobs.run_now(stages, Origin::Command, &stop);
    tokio::pin!(work);
    let signal = tokio::select! {
        (outcomes, result) = &mut work => {
            drop(bars);
            return ended(&outcomes, result);
        }
        signal = signals.next() => signal,
        never = show(bars.as_mut(), &config) => match never {},
    };
    drop(bars);
    // The work is dropped: connections close, the servers roll back, pg_dump and pg_restore are ended.
    stop.cancel();
    tokio::select! {
        (outcomes, _) = &mut work => ended(&outcomes, Err(stopped(signal, stages))),
        () = tokio::time::sleep(TIME_TO_STOP) => Err(stopped(signal, stages)),
        again = signals.next() => Err(stopped(again, stages)),
    }
}

/// Shows bars where there are any, and never comes back.
async fn show(bars: Option<&mut Bars>, config: &Config) -> Infallible {
    match bars {
        Some(bars) => bars.follow(config).await,
        None => std::future::pending().await,
    }
}

fn ended(outcomes: &jobs::Outcomes, result: Result<()>) -> Result<Ending> {
    let said = if outcomes.is_empty() { Ok(()) } else { say(&summary::render(outcomes, result.is_err())) };
    // Where both failed, the stage is what is told.
    result.and(said).map(|()| Ending::Done)
}

fn stopped(signal: &str, stages: &[Stage]) -> Error {
    let hint = if stages.iter().all(|stage| stage.is_of_night()) {
        "run it again; a stage that works in place may have left tables empty until then"
    } else {
        "run it again; nothing of this one is left"
    };
    Error::new(ErrorKind::Interrupted, format!("stopped by {signal} before the end")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Result<What, clap::Error> {
        #[derive(Debug, clap::Parser)]
        struct Only {
            #[command(flatten)]
            arguments: Arguments,
        }
        <Only as clap::Parser>::try_parse_from(["run", word]).map(|only| only.arguments.what)
    }

    #[test]
    fn a_night_is_the_four_stages_in_order() {
        assert_eq!(parse("night").unwrap().stages(), Stage::NIGHT);
        assert_eq!(parse("notification").unwrap().stages(), [Stage::Notification]);
    }

    #[test]
    fn an_unknown_stage_is_answered_with_those_there_are() {
        let text = parse("incremental").unwrap_err().to_string();
        assert!(text.contains("incremental-replication") && text.contains("night"), "{text}");
    }
}
