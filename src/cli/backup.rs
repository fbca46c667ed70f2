//! `nightferry backup`: dumps of the source pushed to a bucket, listed, fetched.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Ending, format, generations, log_to_stderr, run as stages, say, settings::Settings, tell};
use crate::adapters::objects::BackupState;
use crate::clock;
use crate::error::Result;
use crate::ids::Stage;
use crate::vault::fetch::{self, Fetched};
use crate::vault::list::{self, Listed};

/// Push a dump of the source to a bucket; list and fetch backups.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  nightferry backup push                      A dump of the source into S3_BUCKET_NAME
  nightferry backup list                      What was pushed, and what BACKUP_SOURCE has
  nightferry backup fetch --output app.dump   The newest one, as pg_restore reads it";

#[derive(Debug, Subcommand)]
enum Command {
    Push(Push),
    List(List),
    Fetch(Fetch),
}

/// Push a dump of the source to the bucket, now and in the foreground.
///
/// It is streamed: this machine's disk is not touched. Once it was read back it has its name, S3_OBJECT_NAME_PREFIX with the second in UTC, and
/// older ones than BACKUP_KEEP allows are removed. One that fails leaves nothing.
#[derive(Debug, Args)]
#[command(after_help = PUSH_EXAMPLES)]
struct Push {
    #[command(flatten)]
    wait: stages::Wait,
}

const PUSH_EXAMPLES: &str = "\
Examples:
  nightferry backup push
  BACKUP_KEEP=14 nightferry backup push";

/// List the backups: those that were pushed, and those that BACKUP_SOURCE has.
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
struct List {
    /// Answer in JSON: place, name, taken_at, age_seconds, bytes, state of each.
    #[arg(long)]
    json: bool,
}

const LIST_EXAMPLES: &str = "\
Examples:
  nightferry backup list
  nightferry backup list --json | jq -r '.[0].name'";

/// Fetch a backup: downloaded, checked, unpacked and decrypted, it is a plain archive for pg_restore.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
struct Fetch {
    /// Its name as `backup list` shows it, or s3://bucket/key or https://host/file; the newest one unless given.
    name: Option<String>,

    /// The file to write, or the folder for it.
    #[arg(long, short, value_name = "PATH", default_value = ".")]
    output: PathBuf,

    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

const FETCH_EXAMPLES: &str = "\
Examples:
  nightferry backup fetch
  nightferry backup fetch production-20261120-010000 --output /var/tmp/production.dump
  nightferry backup fetch s3://backups/production-20261120-010000 --force";

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    match &arguments.command {
        Command::Push(arguments) => {
            stages::in_foreground(settings, &[Stage::BackupPush], &arguments.wait).await
        }
        Command::List(arguments) => {
            let (config, log) = settings.databases()?;
            log_to_stderr(&log);
            let listed = list::run(&config.backup, clock::now()).await?;
            tell(arguments.json, &listed, |listed| render(listed))?;
            Ok(Ending::Done)
        }
        Command::Fetch(arguments) => {
            let (config, log) = settings.databases()?;
            log_to_stderr(&log);
            let name = arguments.name.as_deref();
            let fetched = fetch::run(&config.backup, name, &arguments.output, arguments.force).await?;
            say(&told(&fetched))?;
            Ok(Ending::Done)
        }
    }
}

fn render(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "There is no backup.\n".to_owned();
    }
    let rows = listed.iter().map(|one| {
        let state = match one.state {
            BackupState::Done => "done",
            BackupState::Pending => "pending",
            BackupState::Failed => "failed",
        };
        [
            one.name.clone(),
            state.to_owned(),
            one.taken_at.format("%Y-%m-%d %H:%M UTC").to_string(),
            generations::age(one.age_seconds.max(0).unsigned_abs()),
            one.bytes.map_or_else(|| "-".to_owned(), format::bytes),
            one.place.clone(),
        ]
    });
    format::table(["backup", "state", "taken", "age", "size", "place"], &[3, 4], rows)
}

fn told(fetched: &Fetched) -> String {
    format!(
        "{} at {} is now {}, {}.\n",
        fetched.name,
        fetched.place,
        fetched.path.display(),
        format::bytes(fetched.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::examples_that_parse;
    use chrono::DateTime;

    #[test]
    fn each_backup_is_a_line() {
        let taken_at = DateTime::from_timestamp(1_795_147_800, 0).unwrap();
        let pushed = Listed {
            place: "s3://backups/app".into(),
            name: "app-20261120-041000".into(),
            taken_at,
            age_seconds: 5_400,
            bytes: Some(1_070_000_000),
            state: BackupState::Done,
        };
        let pending = Listed {
            place: "application app".into(),
            name: "5b".into(),
            age_seconds: 3 * 86_400,
            bytes: None,
            state: BackupState::Pending,
            ..pushed.clone()
        };
        assert_eq!(
            render(&[pushed, pending]),
            "  backup               state    taken                        age    size  place\n\
             \x20 app-20261120-041000  done     2026-11-20 04:10 UTC  1 h 30 min  1.1 GB  s3://backups/app\n\
             \x20 5b                   pending  2026-11-20 04:10 UTC      3 days       -  application app\n"
        );
        assert_eq!(render(&[]), "There is no backup.\n");
    }

    #[test]
    fn what_was_fetched_is_said_in_a_sentence() {
        let fetched = Fetched {
            name: "app-1".into(),
            place: "s3://backups/app".into(),
            path: "./app-1.dump".into(),
            bytes: 812,
        };
        assert_eq!(told(&fetched), "app-1 at s3://backups/app is now ./app-1.dump, 812 B.\n");
    }

    #[test]
    fn the_examples_of_each_command_parse() {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Only {
            #[command(flatten)]
            _arguments: Arguments,
        }
        let helps = [PUSH_EXAMPLES, LIST_EXAMPLES, FETCH_EXAMPLES];
        assert_eq!(examples_that_parse::<Only>(&helps, "backup"), 7);
    }
}
