//! `nightferry check`: is everything ready for tonight? Changes nothing.

use clap::Args;
use serde::Serialize;

use super::{Ending, format, generations, log_to_stderr, say, say_json, settings::Settings};
use crate::adapters::mail;
use crate::adapters::queue::Queues;
use crate::clock;
use crate::config::Config;
use crate::error::Result;
use crate::jobs;
use crate::notice::Event;
use crate::replication::notify;
use crate::replication::plan::Finding;
use crate::replication::preflight::{self, Inspection};
use crate::replication::schema_export;
use crate::vault::{self, list::Listed};

/// Say every problem that would stop a night, without changing anything.
///
/// Looks at both servers, the backup that is read, the tools, the rights, the room and the settings, the queue and the schedule, and at what is done
/// beside the night: pushed backups, the export of the schema, mail. Exits with 1 when there is a problem.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Answer in JSON: {"problems": [...], "beside": [...], "notes": [...]}; `beside` is what would fail beside the night.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry check
  nightferry check --json | jq -r '.problems[].text'";

#[derive(Serialize)]
struct Answer<'a> {
    problems: &'a [Finding],
    beside: &'a [Finding],
    notes: &'a [Finding],
}

/// What is done for the night or beside it, looked at.
#[derive(Debug, Default)]
struct Beside {
    problems: Vec<Finding>,
    notes: Vec<Finding>,
}

impl Beside {
    async fn look(config: &Config) -> Self {
        let mut beside = Self::default();
        beside.keep("S3_BUCKET_NAME", look_at_pushes(config).await);
        beside.keep("DB_SCHEMA_EXPORTER_DATABASE_TARGET", schema_export::check(config).await);
        beside.keep("SMTP_HOST", look_at_mail(config).await);
        beside
    }

    fn keep(&mut self, subject: &str, result: Result<Option<Finding>>) {
        match result {
            Ok(note) => self.notes.extend(note),
            Err(error) => {
                let hint = error.operator_hint().unwrap_or_default().to_owned();
                self.problems.push(Finding::new(subject, error.to_string(), hint));
            }
        }
    }
}

/// What a night needs that comes by its schedule: looked at as the worker will.
async fn look_at_the_worker(config: &Config) -> Beside {
    let mut worker = Beside::default();
    let queue = if config.queue.redis_url.is_some() { "REDIS_URL" } else { "QUEUE_FILE" };
    worker.keep(queue, Queues::look(&config.queue).await.map(|()| None));
    worker.keep("SCHEDULE", next_night(config).map(Some));
    if !notify::is_wanted(config, Event::Failed) {
        let hint = "write \"events\":[\"failed\"] in an entry of NOTIFICATIONS, or set MAIL_TO";
        worker.notes.push(Finding::new("NOTIFICATIONS", "nobody is told of a night that fails", hint));
    }
    worker
}

fn next_night(config: &Config) -> Result<Finding> {
    let queue = &config.queue;
    let next = jobs::next_tick(&queue.schedule, queue.timezone, clock::now())?;
    let there = next.with_timezone(&queue.timezone).format("%Y-%m-%d %H:%M");
    Ok(Finding::new("SCHEDULE", format!("the next night starts at {there} {}", queue.timezone), ""))
}

async fn look_at_mail(config: &Config) -> Result<Option<Finding>> {
    let Some(settings) = &config.notifications.mail else { return Ok(None) };
    mail::check(settings).await?;
    let text = format!("{} takes mail for {}", settings.host, settings.to.join(", "));
    Ok(Some(Finding::new("SMTP_HOST", text, "")))
}

async fn look_at_pushes(config: &Config) -> Result<Option<Finding>> {
    let Some(looked) = vault::look::run(&config.backup, clock::now()).await? else { return Ok(None) };
    let newest = match &looked.newest {
        Some(newest) => format!("the newest is {}", describe(newest)),
        None => "none was pushed yet".to_owned(),
    };
    Ok(Some(Finding::new("S3_BUCKET_NAME", format!("backups are pushed to {}; {newest}", looked.place), "")))
}

fn describe(backup: &Listed) -> String {
    let age = generations::age(backup.age_seconds.max(0).unsigned_abs());
    let size = backup.bytes.map_or_else(String::new, |bytes| format!(", {}", format::bytes(bytes)));
    format!("{}, {age} old{size}", backup.name)
}

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    let mut inspection = preflight::inspect(&config).await?;
    let (worker, beside) = (look_at_the_worker(&config).await, Beside::look(&config).await);
    inspection.problems.extend(worker.problems);
    inspection.notes.extend(worker.notes);
    inspection.notes.extend(beside.notes);
    let is_in_order = inspection.problems.is_empty() && beside.problems.is_empty();
    if arguments.json {
        let answer =
            Answer { problems: &inspection.problems, beside: &beside.problems, notes: &inspection.notes };
        say_json(&answer)?;
    } else {
        say(&render(&inspection, &beside.problems))?;
    }
    Ok(if is_in_order { Ending::Done } else { Ending::NotInOrder })
}

/// The problems, those beside the night and the notes, for people.
pub(super) fn render(inspection: &Inspection, beside: &[Finding]) -> String {
    let problems = &inspection.problems;
    let heading = match problems.len() {
        0 => "No problem found: a night can run.\n".to_owned(),
        1 => "1 problem: a night would be refused.\n".to_owned(),
        many => format!("{many} problems: a night would be refused.\n"),
    };
    let mut text = heading;
    text.push_str(&list(problems));
    if !beside.is_empty() {
        text.push_str("\nBeside the night, this would fail:\n");
        text.push_str(&list(beside));
    }
    if !inspection.notes.is_empty() {
        text.push_str("\nNotes:\n");
        text.push_str(&list(&inspection.notes));
    }
    text
}

fn list(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format::item(&finding.subject, &finding.text));
        if !finding.hint.is_empty() {
            text.push_str(&format!("    hint: {}\n", finding.hint));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(problems: Vec<Finding>, notes: Vec<Finding>) -> Inspection {
        Inspection {
            problems,
            notes,
            tables: Vec::new(),
            publish: None,
            would_drop: Vec::new(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn problems_come_first_each_with_what_to_do() {
        let inspection = found(
            vec![
                Finding::new("extension postgis", "missing in the warehouse", "create extension postgis"),
                Finding::new("BACKUP_MODE", "no table public.answer", ""),
            ],
            vec![Finding::new("large objects", "3 are not carried", "")],
        );
        assert_eq!(
            render(&inspection, &[Finding::new("S3_BUCKET_NAME", "no such bucket", "make it")]),
            "2 problems: a night would be refused.\n\
             \x20 extension postgis: missing in the warehouse\n\
             \x20   hint: create extension postgis\n\
             \x20 BACKUP_MODE: no table public.answer\n\
             \n\
             Beside the night, this would fail:\n\
             \x20 S3_BUCKET_NAME: no such bucket\n\
             \x20   hint: make it\n\
             \n\
             Notes:\n\
             \x20 large objects: 3 are not carried\n"
        );
    }

    #[test]
    fn nothing_found_is_said_too() {
        assert_eq!(render(&found(Vec::new(), Vec::new()), &[]), "No problem found: a night can run.\n");
    }
}
