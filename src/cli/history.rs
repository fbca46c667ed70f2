//! `nightferry history`: how earlier runs went.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Args;

use super::format::{bytes, count, duration, item, table};
use super::status::local;
use super::{Ending, log_to_stderr, settings::Settings, tell};
use crate::error::Result;
use crate::jobs::overview::{self, History, HistoryRun, Story};

/// Show how the last runs went; or all of one run: its stages and steps, what took longest, what was left out.
///
/// Rows and size are those of the stages that ended well. Times are those of SCHEDULE_TIMEZONE.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The run, as the list names it.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// How many runs are listed.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How many of the slowest tables, and of the slowest indexes, a run is shown with.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    top: u32,
    /// Answer in JSON: run_id, status, started_at, ended_at, duration_ms, rows, bytes, error and more of each run.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry history
  nightferry history --limit 400 --json | jq '.runs[] | select(.status == \"failed\")'
  nightferry history 20261120T041000Z --top 20";

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    let zone = config.queue.timezone;
    if let Some(run) = &arguments.run {
        let story = overview::story(&config, run.trim(), arguments.top).await?;
        tell(arguments.json, &story, |story| one(story, zone))?;
    } else {
        let history = overview::history(&config, arguments.limit).await?;
        tell(arguments.json, &history, |history| list(history, zone))?;
    }
    Ok(Ending::Done)
}

fn list(history: &History, zone: Tz) -> String {
    if let Some(sentences) = history.ledger.sentences() {
        return format!("{sentences}\n");
    }
    if history.runs.is_empty() {
        return "No run was here yet.\n".to_owned();
    }
    let rows = history.runs.iter().map(|run| {
        [
            run.run.run_id.clone(),
            run.run.status.clone(),
            local(run.run.started_at, zone),
            took(run.duration_ms),
            count(run.tables.unsigned_abs()),
            count(run.rows.unsigned_abs()),
            bytes(run.bytes.unsigned_abs()),
            trouble(run),
        ]
    });
    table(["run", "status", "started", "time", "tables", "rows", "size", "error"], &[3, 4, 5, 6], rows)
}

/// Where it failed, and of what kind that was: the sentence is in `history RUN`.
fn trouble(run: &HistoryRun) -> String {
    match (&run.run.error_kind, &run.last_stage) {
        (Some(kind), Some(stage)) => format!("{kind} in {stage}"),
        (Some(kind), None) => kind.clone(),
        _ => String::new(),
    }
}

fn one(story: &Story, zone: Tz) -> String {
    let run = &story.run.run;
    let mut text = format!("Run {}: {}\n", run.run_id, run.status);
    text.push_str(&item(
        "started",
        &format!("{}, by {} on {}", local(run.started_at, zone), run.origin, run.host),
    ));
    if let Some(end) = run.ended_at {
        text.push_str(&item(
            "ended",
            &format!("{}, after {}", local(end, zone), took(story.run.duration_ms)),
        ));
    }
    text.push_str(&item("version", &run.version));
    if let Some(error) = &run.error {
        text.push_str(&item(run.error_kind.as_deref().unwrap_or("error"), error));
    }
    if let Some(hint) = &run.hint {
        text.push_str(&item("hint", hint));
    }
    text.push_str(&stages(story));
    text.push_str(&slowest(story));
    if !story.left_out.is_empty() {
        text.push_str("\nLeft out:\n");
        for skipped in &story.left_out {
            text.push_str(&item(&skipped.object, &skipped.reason));
        }
    }
    text
}

fn stages(story: &Story) -> String {
    let mut rows = Vec::new();
    for stage in &story.stages {
        let attempt = &stage.attempt;
        rows.push([
            attempt.stage.clone(),
            if attempt.attempt > 1 {
                format!("{}, attempt {}", attempt.status, attempt.attempt)
            } else {
                attempt.status.clone()
            },
            span(attempt.started_at, attempt.ended_at),
            count(attempt.tables.unsigned_abs()),
            count(attempt.rows.unsigned_abs()),
            bytes(attempt.bytes.unsigned_abs()),
        ]);
        rows.extend(stage.steps.iter().map(|step| {
            let moved = step.bytes_done.map(|done| bytes(done.unsigned_abs())).unwrap_or_default();
            let nothing = String::new;
            [
                format!("  {}", step.step),
                step.status.clone(),
                span(step.started_at, step.ended_at),
                nothing(),
                nothing(),
                moved,
            ]
        }));
    }
    let heading = ["stage", "status", "time", "tables", "rows", "size"];
    format!("\n{}", table(heading, &[2, 3, 4, 5], rows))
}

fn slowest(story: &Story) -> String {
    let mut text = String::new();
    if !story.slowest_tables.is_empty() {
        let rows = story.slowest_tables.iter().map(|one| {
            [
                format!("{}.{}", one.schema_name, one.table_name),
                one.treatment.clone(),
                count(one.rows.unsigned_abs()),
                bytes(one.bytes.unsigned_abs()),
                took(Some(one.duration_ms)),
            ]
        });
        let _ = write!(
            text,
            "\nSlowest tables:\n{}",
            table(["table", "treatment", "rows", "size", "time"], &[2, 3, 4], rows)
        );
    }
    if !story.slowest_objects.is_empty() {
        let rows = story.slowest_objects.iter().map(|one| {
            [
                one.kind.clone(),
                match one.table_name.as_str() {
                    "" => String::new(),
                    name => format!("{}.{name}", one.schema_name),
                },
                one.object_name.clone(),
                took(Some(one.duration_ms)),
            ]
        });
        let _ = write!(
            text,
            "\nSlowest indexes, constraints and enrichment files:\n{}",
            table(["kind", "table", "name", "time"], &[3], rows)
        );
    }
    text
}

fn took(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| duration(Duration::from_millis(ms.unsigned_abs())))
}

fn span(from: DateTime<Utc>, to: Option<DateTime<Utc>>) -> String {
    took(to.map(|to| (to - from).num_milliseconds()))
}
