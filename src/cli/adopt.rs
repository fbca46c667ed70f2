//! `nightferry adopt`: lists what a warehouse had before nightferry came, and accepts it.

use clap::Args;

use super::{Ending, format, log_to_stderr, say, settings::Settings};
use crate::adapters::ledger::Disposition;
use crate::error::Result;
use crate::ids::TableName;
use crate::jobs;
use crate::replication::adoption;

/// Accept a warehouse that has tables already, once, before its first night.
///
/// Lists its tables, and says which are kept and which are replaced. A table that the source has too is replaced every
/// night from then on, unless it is named with --keep; every other table is kept and never touched.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Keep this table although the source has it (schema.table, or table in schema public). May be repeated.
    #[arg(long, value_name = "TABLE")]
    keep: Vec<String>,
    /// Only list what would become of each table.
    #[arg(long, conflicts_with = "keep")]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry adopt --list
  nightferry adopt
  nightferry adopt --keep answers --keep reporting.sessions";

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    if arguments.list {
        let found = adoption::list(&config).await?;
        say(&render(&found, "Nothing is changed. `nightferry adopt` accepts this.\n"))?;
    } else {
        let accepted = jobs::adopt(&config, &arguments.keep).await?;
        say(&render(&accepted, "Accepted: nights may run.\n"))?;
    }
    Ok(Ending::Done)
}

fn render(tables: &[(TableName, Disposition)], last: &str) -> String {
    if tables.is_empty() {
        return format!("The warehouse has no table of its own.\n{last}");
    }
    let rows = tables.iter().map(|(table, disposition)| {
        let meaning = match disposition {
            Disposition::Kept => "never touched",
            Disposition::Replaced => "replaced every night: the source has it",
        };
        [table.to_string(), disposition.name().to_owned(), meaning.to_owned()]
    });
    format!("{}\n{last}", format::table(["table", "", ""], &[], rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_each_table_is_said_in_words() {
        let tables = [
            (TableName::new("public", "users"), Disposition::Replaced),
            (TableName::new("bi", "targets"), Disposition::Kept),
        ];
        assert_eq!(
            render(&tables, "Done.\n"),
            "  table\n\
             \x20 public.users  replaced  replaced every night: the source has it\n\
             \x20 bi.targets    kept      never touched\n\
             \n\
             Done.\n"
        );
        assert_eq!(render(&[], "Done.\n"), "The warehouse has no table of its own.\nDone.\n");
    }
}
