//! The command line: parse, load the configuration, run one command, map its end to an exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or configuration. Whatever a command answers goes to standard output; an
//! error is said once, on standard error.

mod adopt;
mod backup;
mod check;
mod generations;
mod history;
mod logs;
mod plan;
mod progress;
mod queue;
mod restart;
mod rollback;
mod run;
mod schema;
mod settings;
mod signals;
mod status;
mod summary;
mod trouble;
mod verify;
mod verify_incremental;
mod web;
mod worker;

use std::io::{IsTerminal, Write};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use indicatif::ProgressDrawTarget;

use crate::adapters::reporting;
use crate::error::{Error, ErrorKind, Result};
use crate::format;
use crate::telemetry::{self, Screen};
use settings::Settings;

/// Carries a production PostgreSQL database into a data warehouse every night.
#[derive(Debug, Parser)]
#[command(name = "nightferry", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Settings are read from the environment and from a .env file; sample.env documents each of them.

Examples:
  nightferry check                        Is everything ready for tonight?
  nightferry plan                         What would a night do?
  nightferry run night                    A whole night now, in the foreground
  nightferry status --watch               How far is it, and when will it be done?
  nightferry history                      How did the last nights go?
  nightferry verify                       Does the warehouse still hold what the source has?
  nightferry backup push                  A dump of the source into the bucket
  nightferry rollback                     Yesterday's copy live again
  nightferry worker                       The process that runs the nights at their time
  nightferry restart full-replication     Put a stage on its queue again
  nightferry queue failed                 Which jobs failed, and why?
  nightferry logs worker.log              Where did the night's time go?";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Plan(plan::Arguments),
    Restart(restart::Arguments),
    Worker(worker::Arguments),
    Web(web::Arguments),
    Adopt(adopt::Arguments),
    Verify(verify::Arguments),
    Rollback(rollback::Arguments),
    Generations(generations::Arguments),
    Backup(backup::Arguments),
    Queue(queue::Arguments),
    Schema(schema::Arguments),
    Status(status::Arguments),
    History(history::Arguments),
    Logs(logs::Arguments),
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Done,
    /// It did its work, and what it found is not in order.
    NotInOrder,
}

/// How long tasks may take to let go of what they hold, once the command has ended.
const GRACE: Duration = Duration::from_millis(500);

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(trouble::report_defect));
    let cli = Cli::parse();
    // The hook has said what there is to say of a panic.
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| start(&cli.command)));
    let code = match ended.unwrap_or(Ok(Ending::NotInOrder)) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::NotInOrder) => ExitCode::FAILURE,
        Err(error) => {
            trouble::report(&error, cli.command.is_service());
            ExitCode::from(trouble::exit_code(&error))
        }
    };
    reporting::finish();
    code
}

fn start(command: &Command) -> Result<Ending> {
    let settings = Settings::from_process()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the runtime").because(error))?;
    let ended = runtime.block_on(command.run(&settings));
    runtime.block_on(crate::vault::settled(GRACE * 4));
    runtime.shutdown_timeout(GRACE);
    ended
}

impl Command {
    async fn run(&self, settings: &Settings) -> Result<Ending> {
        match self {
            Self::Run(arguments) => run::run(arguments, settings).await,
            Self::Check(arguments) => check::run(arguments, settings).await,
            Self::Plan(arguments) => plan::run(arguments, settings).await,
            Self::Restart(arguments) => restart::run(arguments, settings).await,
            Self::Worker(arguments) => worker::run(arguments, settings).await,
            Self::Web(arguments) => web::run(arguments, settings).await,
            Self::Adopt(arguments) => adopt::run(arguments, settings).await,
            Self::Verify(arguments) => verify::run(arguments, settings).await,
            Self::Rollback(arguments) => rollback::run(arguments, settings).await,
            Self::Generations(arguments) => generations::run(arguments, settings).await,
            Self::Backup(arguments) => backup::run(arguments, settings).await,
            Self::Queue(arguments) => queue::run(arguments, settings).await,
            Self::Schema(arguments) => schema::run(arguments, settings).await,
            Self::Status(arguments) => status::run(arguments, settings).await,
            Self::History(arguments) => history::run(arguments, settings).await,
            Self::Logs(arguments) => logs::run(arguments),
        }
    }

    /// Whether it runs until it is stopped, so that its log is where an error belongs.
    fn is_service(&self) -> bool {
        matches!(self, Self::Worker(_) | Self::Web(_))
    }
}

/// Logs to standard output: for the commands whose log is what they are watched by.
fn log_to_stdout(log: &crate::config::Log) {
    let screen = screen(std::io::stdout().is_terminal(), &ProgressDrawTarget::stdout());
    install(|beside| telemetry::subscriber(log, screen, std::io::stdout, beside), log);
}

/// Logs to standard output, above the bars of a command that a person watches.
fn log_above(bars: &progress::Bars, log: &crate::config::Log) {
    let above = bars.log();
    install(|beside| telemetry::subscriber(log, Screen::Full, above, beside), log);
}

/// Logs to standard error: for the commands whose standard output is their answer.
fn log_to_stderr(log: &crate::config::Log) {
    let screen = screen(std::io::stderr().is_terminal(), &ProgressDrawTarget::stderr());
    install(|beside| telemetry::subscriber(log, screen, std::io::stderr, beside), log);
}

/// What a stream goes to. Where bars could not be drawn (`TERM=dumb`, or none), there are no colours either.
fn screen(is_terminal: bool, bars: &ProgressDrawTarget) -> Screen {
    match (is_terminal, bars.is_hidden()) {
        (false, _) => Screen::None,
        (true, true) => Screen::Plain,
        (true, false) => Screen::Full,
    }
}

/// Begins to log, and to report where that is asked for. What cannot be reported is logged all the same.
fn install(
    subscriber: impl FnOnce(Option<telemetry::Beside>) -> Box<dyn tracing::Subscriber + Send + Sync>,
    log: &crate::config::Log,
) {
    let reporter = log.sentry.as_ref().map(reporting::start).transpose();
    let (reporter, failure) = match reporter {
        Ok(reporter) => (reporter, None),
        Err(error) => (None, Some(error)),
    };
    telemetry::install(subscriber(reporter.map(|reporter| -> telemetry::Beside { Box::new(reporter) })));
    if let Some(error) = failure {
        tracing::warn!(error.kind = error.kind().name(), error.message = %error, "nothing is reported to Sentry");
    }
}

/// Writes a command's answer. A reader that has gone away (`| head`) is no failure.
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Internal, "cannot write the answer to standard output")
                .hint("see whether its disk is full; what the command had to do is done")
                .because(error))
        }
        _ => Ok(()),
    }
}

/// Writes a command's answer: as JSON where that was asked for, else as text.
fn tell<T: serde::Serialize>(json: bool, answer: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
    if json {
        return say_json(answer);
    }
    say(&text(answer))
}

/// Writes a command's answer as JSON.
fn say_json(answer: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(answer)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot write the answer as JSON").because(error))?;
    say(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Counts the lines of these texts that call `nightferry <command>`; each must parse as `P`.
    pub(super) fn examples_that_parse<P: Parser>(helps: &[&str], command: &str) -> usize {
        let call = format!("nightferry {command}");
        let lines = helps.iter().flat_map(|help| help.lines()).filter(|line| line.contains(&call));
        lines
            .inspect(|line| {
                let words = line.split("nightferry ").nth(1).unwrap().split('|').next().unwrap();
                assert!(P::try_parse_from(words.split_whitespace()).is_ok(), "{line}");
            })
            .count()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_ends_with_examples_that_parse() {
        let mut examples = 0;
        let mut commands = vec![Cli::command()];
        commands.extend(Cli::command().get_subcommands().cloned());
        for command in commands {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n"), "{} has no examples", command.get_name());
            let lines = help.lines().filter(|line| line.starts_with("  nightferry "));
            for line in lines {
                let words = line.trim().split("  ").next().unwrap().split('|').next().unwrap();
                let words: Vec<&str> = words.split_whitespace().take_while(|word| *word != ">").collect();
                assert!(Cli::try_parse_from(&words).is_ok(), "{line}");
                examples += 1;
            }
        }
        assert!(examples > 8, "{examples}");
    }
}
