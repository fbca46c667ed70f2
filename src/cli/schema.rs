//! `nightferry schema export`: the warehouse's schema into another database, now and in the foreground.

use clap::{Args, Subcommand};

use super::{Ending, run, settings::Settings};
use crate::error::Result;
use crate::ids::Stage;

/// What others need of the warehouse's schema.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the warehouse's schema anew in DB_SCHEMA_EXPORTER_DATABASE_TARGET: no rows, no owners, no privileges.
    ///
    /// One transaction replaces what the last export brought, and nothing else. It takes the warehouse's lock, so that it never
    /// sees a stage's work half done.
    #[command(after_help = EXAMPLES)]
    Export(run::Wait),
}

const EXAMPLES: &str = "\
Examples:
  nightferry schema export
  nightferry schema export > export.log";

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let Command::Export(wait) = &arguments.command;
    run::in_foreground(settings, &[Stage::SchemaExport], wait).await
}
