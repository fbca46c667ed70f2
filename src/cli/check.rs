//! `nightferry check`: is everything ready for tonight? Changes nothing.

use clap::Args;
use serde::Serialize;

use super::{Ending, format, log_to_stderr, say, say_json, settings::Settings};
use crate::error::Result;
use crate::replication::plan::Finding;
use crate::replication::preflight::{self, Inspection};

/// Say every problem that would stop a night, without changing anything.
///
/// Looks at both servers, the tools, the rights, the room and the settings. Exits with 1 when there is a problem.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Answer in JSON: {"problems": [...], "notes": [...]}.
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
    notes: &'a [Finding],
}

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    let inspection = preflight::inspect(&config).await?;
    if arguments.json {
        say_json(&Answer { problems: &inspection.problems, notes: &inspection.notes })?;
    } else {
        say(&render(&inspection));
    }
    Ok(if inspection.problems.is_empty() { Ending::Done } else { Ending::NotInOrder })
}

/// The problems and the notes, for people.
pub(super) fn render(inspection: &Inspection) -> String {
    let problems = &inspection.problems;
    let heading = match problems.len() {
        0 => "No problem found: a night can run.\n".to_owned(),
        1 => "1 problem: a night would be refused.\n".to_owned(),
        many => format!("{many} problems: a night would be refused.\n"),
    };
    let mut text = heading;
    text.push_str(&list(problems));
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
            render(&inspection),
            "2 problems: a night would be refused.\n\
             \x20 extension postgis: missing in the warehouse\n\
             \x20   hint: create extension postgis\n\
             \x20 BACKUP_MODE: no table public.answer\n\
             \n\
             Notes:\n\
             \x20 large objects: 3 are not carried\n"
        );
    }

    #[test]
    fn nothing_found_is_said_too() {
        assert_eq!(render(&found(Vec::new(), Vec::new())), "No problem found: a night can run.\n");
    }
}
