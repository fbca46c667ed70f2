//! The words of `nightferry queue`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use crate::ids::Stage;

/// Look at the jobs on the queues; retry, cancel, remove them; pause and resume the queues.
///
/// A job is named as the worker logs it, in "Starting job in": 20261120T041000Z.full-replication.1 is the first job of that stage of
/// the run of 04:10:00 UTC.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  nightferry queue stats
  nightferry queue failed
  nightferry queue show 20261120T041000Z.full-replication.1
  nightferry queue retry 20261120T041000Z.full-replication.1
  nightferry queue pause backup-push";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Stats(Stats),
    Failed(Failed),
    /// Show all that is known of a job: its error and what to do, its attempts, when and where it ran.
    #[command(after_help = SHOW)]
    Show(One),
    /// Put a failed job on its queue again; the stages after it follow.
    ///
    /// It goes on in the same run, which must have ended. `restart` begins a new one.
    #[command(after_help = RETRY)]
    Retry(One),
    /// Cancel a job that has not ended, and its run.
    ///
    /// One that waits does not begin. One that is at work is stopped, on the servers too; the command waits until it has. Either
    /// counts as interrupted, and can be tried again with `queue retry`.
    #[command(after_help = CANCEL)]
    Cancel(One),
    /// Remove a job that has ended or waits, with all that its queue knows of it.
    ///
    /// The run of one that waits is closed as interrupted. One that is at work must be cancelled first.
    #[command(after_help = REMOVE)]
    Remove(One),
    /// Let the jobs of queues wait: all queues, or those of the stages named. A job that is at work goes on.
    ///
    /// It stays so until `queue resume`, over restarts of the workers too. The schedule goes on putting its jobs on their queues.
    #[command(after_help = PAUSE)]
    Pause(Several),
    /// Let the jobs of paused queues be taken again: of all queues, or those of the stages named.
    #[command(after_help = RESUME)]
    Resume(Several),
}

/// Count the jobs of each queue: waiting, active, completed, failed, delayed, paused.
///
/// Those that wait count as paused while their queue is.
#[derive(Debug, Args)]
#[command(after_help = STATS)]
pub(super) struct Stats {
    /// Answer in JSON: stage, queue, is_paused and the numbers, for each queue.
    #[arg(long)]
    pub(super) json: bool,
}

/// List the jobs that failed, the last one first.
#[derive(Debug, Args)]
#[command(after_help = FAILED)]
pub(super) struct Failed {
    /// Answer in JSON: id, run, stage, attempt, ended_at, error_kind, error, hint and more of each.
    #[arg(long)]
    pub(super) json: bool,
}

/// A job.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The job, as logs and `queue failed` name it.
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) form: Form,
}

/// Queues.
#[derive(Debug, Args)]
pub(super) struct Several {
    /// The stages whose queues are meant; all of them unless named.
    #[arg(value_name = "QUEUE", value_parser = stage())]
    pub(super) queues: Vec<Stage>,
    #[command(flatten)]
    pub(super) form: Form,
}

/// How the answer is written.
#[derive(Debug, Args)]
pub(super) struct Form {
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

fn stage() -> impl TypedValueParser<Value = Stage> {
    let of_name = |name: String| Stage::ALL.into_iter().find(|stage| stage.name() == name);
    PossibleValuesParser::new(Stage::ALL.map(Stage::name))
        .try_map(move |name| of_name(name).ok_or("no such queue"))
}

const STATS: &str = "\
Examples:
  nightferry queue stats
  nightferry queue stats --json | jq '.[] | select(.failed > 0).stage'";
const FAILED: &str = "\
Examples:
  nightferry queue failed
  nightferry queue failed --json | jq -r '.[0].error'";
const SHOW: &str = "\
Examples:
  nightferry queue show 20261120T041000Z.full-replication.1
  nightferry queue show 20261120T041000Z.full-replication.1 --json | jq .attempts";
const RETRY: &str = "\
Examples:
  nightferry queue retry 20261120T041000Z.incremental-replication.1";
const CANCEL: &str = "\
Examples:
  nightferry queue cancel 20261120T041000Z.full-replication.1";
const REMOVE: &str = "\
Examples:
  nightferry queue remove 20261120T041000Z.full-replication.1";
const PAUSE: &str = "\
Examples:
  nightferry queue pause
  nightferry queue pause full-replication backup-push";
const RESUME: &str = "\
Examples:
  nightferry queue resume
  nightferry queue resume full-replication";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::examples_that_parse;

    #[test]
    fn the_examples_of_each_command_parse() {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Only {
            #[command(flatten)]
            _arguments: Arguments,
        }
        let helps = [STATS, FAILED, SHOW, RETRY, CANCEL, REMOVE, PAUSE, RESUME];
        assert_eq!(examples_that_parse::<Only>(&helps, "queue"), 13);
        assert!(Only::try_parse_from(["queue", "pause", "event"]).is_ok(), "events have a queue, too");
        assert!(Only::try_parse_from(["queue", "pause", "night"]).is_err());
    }
}
