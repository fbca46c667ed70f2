//! `nightferry generations`: the copies that the warehouse holds.

use std::time::Duration;

use clap::Args;

use super::{Ending, format, log_to_stderr, settings::Settings, tell};
use crate::clock;
use crate::error::Result;
use crate::replication::generations::{self, Listed};

/// List the copies that the warehouse holds: the live one, the previous one, one that is being built.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Answer in JSON: generation, state, run, mode, created_at, published_at, age_seconds, bytes, schemas of each.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry generations
  nightferry generations --json | jq -r '.[] | select(.state == \"live\").run'";

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    let listed = generations::list(&config, clock::now()).await?;
    tell(arguments.json, &listed, |listed| render(listed))?;
    Ok(Ending::Done)
}

fn render(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "The warehouse holds no generation: no night was here.\n".to_owned();
    }
    let minute = "%Y-%m-%d %H:%M UTC";
    let rows = listed.iter().map(|one| {
        [
            one.generation.to_string(),
            one.state.clone(),
            one.run.clone().unwrap_or_else(|| "-".to_owned()),
            one.mode.clone(),
            one.created_at.format(minute).to_string(),
            one.published_at.map_or_else(|| "-".to_owned(), |at| at.format(minute).to_string()),
            age(one.age_seconds.unsigned_abs()),
            format::bytes(one.bytes.unsigned_abs()),
            one.schemas.join(", "),
        ]
    });
    let heading = ["generation", "state", "run", "mode", "created", "published", "age", "size", "schemas"];
    format::table(heading, &[0, 6, 7], rows)
}

/// Days from two days on: hours say little then.
pub(super) fn age(seconds: u64) -> String {
    let days = seconds / 86_400;
    if days > 1 { format!("{days} days") } else { format::duration(Duration::from_secs(seconds)) }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn each_generation_is_a_line() {
        let at = |seconds: i64| DateTime::from_timestamp(1_795_147_800 + seconds, 0).unwrap();
        let live = Listed {
            generation: 12,
            state: "live".into(),
            run: Some("20261120T041000Z".into()),
            mode: "swap".into(),
            created_at: at(0),
            published_at: Some(at(3_600)),
            age_seconds: 5_400,
            bytes: 1_070_000_000,
            schemas: vec!["audit".into(), "public".into()],
        };
        let before = Listed {
            generation: 1,
            state: "previous".into(),
            run: None,
            mode: "in_place".into(),
            published_at: None,
            age_seconds: 3 * 86_400,
            bytes: 0,
            schemas: vec!["public__previous".into()],
            ..live.clone()
        };
        assert_eq!(
            render(&[live, before]),
            "  generation  state     run               mode      created               published                    age    size  schemas\n\
             \x20         12  live      20261120T041000Z  swap      2026-11-20 04:10 UTC  2026-11-20 05:10 UTC  1 h 30 min  1.1 GB  audit, public\n\
             \x20          1  previous  -                 in_place  2026-11-20 04:10 UTC  -                         3 days     0 B  public__previous\n"
        );
        assert!(render(&[]).contains("no night was here"));
    }
}
