//! The report as text, in the form that the operators of the replaced system know; what they did not have stands below.

use std::fmt::Write;

use chrono::{DateTime, FixedOffset};

use super::category::Category;
use super::compare::{Change, Comparison};
use super::words::{Language, duration};
use super::{Part, Report, Status, Summary};
pub(super) use crate::format::printable;
use crate::format::{count, item, table};

/// How many of the items without an end are named.
const NAMED: usize = 20;

/// All that a log says.
#[must_use]
pub fn text(report: &Report, language: Language) -> String {
    let mut text = String::new();
    let is_alone = report.runs.len() == 1;
    for run in &report.runs {
        if !text.is_empty() {
            text.push('\n');
        }
        if !is_alone || !matches!(run.status, Status::Succeeded | Status::Unknown) {
            let name = run.run.as_ref().or(run.container.as_ref());
            let _ = writeln!(text, "{}", heading(name, run.started_at, run.status, language));
        }
        text.push_str(&of_run(run, language));
    }
    if report.runs.is_empty() {
        text.push_str(&language.nothing(&count(report.lines)));
        text.push('\n');
        if !report.other_days.is_empty() {
            let days: Vec<String> = report.other_days.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "{}", language.other_days(&days.join(", ")));
        }
    }
    text.push_str(&notes(&of_report(report, language)));
    text
}

fn heading(
    name: Option<&String>,
    started_at: Option<DateTime<FixedOffset>>,
    status: Status,
    language: Language,
) -> String {
    let name = name.map(|name| format!(" {}", printable(name))).unwrap_or_default();
    let start = started_at.map(|at| format!(", {}", moment(at))).unwrap_or_default();
    format!("{}{name}{start}, {}", language.run(), language.status(status))
}

fn moment(at: DateTime<FixedOffset>) -> String {
    at.format("%Y-%m-%d %H:%M:%S %z").to_string()
}

fn of_run(run: &Summary, language: Language) -> String {
    let mut text = String::new();
    let parts =
        [run.durations.backup, run.durations.replication, run.durations.enrichment, run.durations.total];
    for (name, part) in language.headings().into_iter().zip(parts) {
        let value =
            part.map_or_else(|| language.not_in_the_log().to_owned(), |part| taken(part, false, language));
        let _ = writeln!(text, "{name}: {value}");
    }
    for category in &run.categories {
        // Only where there is something to be said that the five others do not say.
        if category.category == Category::Other && category.total.num_seconds() == 0 {
            continue;
        }
        let _ = writeln!(text, "{} total duration : {}", category.category.name(), duration(category.total));
        for item in &category.slowest {
            let _ = writeln!(text, "\t{} : {}", printable(&item.name), duration(item.duration));
        }
    }
    let mut line = |what: &str, name: &str, part, failed| {
        let _ = writeln!(text, "{what} {} : {}", printable(name), taken(part, failed, language));
    };
    for stage in &run.stages {
        line("STAGE", &stage.stage, stage.part, stage.failed);
        for step in &stage.steps {
            line("\tSTEP", &step.step, step.part, step.failed);
        }
    }
    text.push_str(&unfinished(run, language));
    text.push_str(&notes(&of_a_run(run, language)));
    text
}

fn taken(part: Part, failed: bool, language: Language) -> String {
    let time = duration(part.duration);
    match (part.finished, failed) {
        (true, false) => time,
        (_, true) => format!("{time}, {}", language.failed()),
        (false, false) => format!("{time}, {}", language.not_finished()),
    }
}

fn unfinished(run: &Summary, language: Language) -> String {
    let mut text = String::new();
    for item in run.not_finished.iter().take(NAMED) {
        let _ = write!(text, "\t{}", printable(&item.name));
        if let Some(at) = item.started_at {
            let _ = write!(text, ", {} {}", language.since(), moment(at));
        }
        text.push('\n');
    }
    if run.not_finished.len() > NAMED {
        let _ = writeln!(text, "\t{}", language.more(run.not_finished.len() - NAMED));
    }
    if text.is_empty() { text } else { format!("{} :\n{text}", language.not_finished().to_uppercase()) }
}

/// What an operator should know of a run besides.
pub(super) fn of_a_run(run: &Summary, language: Language) -> Vec<String> {
    let mut notes = Vec::new();
    let error = run.error.as_deref().map(printable);
    notes.extend(match run.retry {
        Some(attempt) => Some(language.retry(attempt, error.as_deref())),
        None => error.map(|error| language.error(&error)),
    });
    if run.tries > 1 {
        notes.push(language.tries(run.tries));
    }
    notes.extend(counted([
        (run.items_without_start, language.without_start(run.items_without_start)),
        (run.items_without_time, language.without_time(run.items_without_time)),
        (run.items_forgotten, language.forgotten(run.items_forgotten)),
    ]));
    notes
}

/// The notes on what there is any of.
fn counted(notes: [(u64, String); 3]) -> impl Iterator<Item = String> {
    notes.into_iter().filter(|(number, _)| *number > 0).map(|(_, note)| note)
}

/// What an operator should know of a log besides.
pub(super) fn of_report(report: &Report, language: Language) -> Vec<String> {
    let mut notes: Vec<String> = counted([
        (report.unreadable_lines, language.unreadable(report.unreadable_lines)),
        (report.too_long_lines, language.too_long(report.too_long_lines)),
        (report.dropped_runs, language.dropped(report.dropped_runs)),
    ])
    .collect();
    notes.extend(report.broke_off.as_ref().map(|why| language.broke_off(why, &count(report.lines))));
    notes
}

fn notes(notes: &[String]) -> String {
    if notes.is_empty() { String::new() } else { format!("\n{}\n", notes.join("\n")) }
}

/// Two runs side by side, what got slower first.
#[must_use]
pub fn compared(comparison: &Comparison, top: usize, language: Language) -> String {
    let line = |change: &Change| {
        let time = |part: Option<chrono::TimeDelta>| part.map_or_else(|| "-".to_owned(), duration);
        let difference = match (change.before, change.after) {
            (Some(_), Some(_)) => {
                let sign = if change.difference < chrono::TimeDelta::zero() { '-' } else { '+' };
                format!("{sign}{}", duration(change.difference.abs()))
            }
            _ => String::new(),
        };
        [printable(&change.name), time(change.before), time(change.after), difference]
    };
    let nights = comparison.nights.each_ref().map(|night| {
        let which = heading(night.run.as_ref(), night.started_at, night.status, language);
        item(&night.name, &which)
    });
    let [before, after] = comparison.nights.each_ref().map(|night| printable(&night.name));
    let show = |title: &str, changes: &[Change], most: usize| {
        let rows: Vec<_> = changes.iter().take(most).map(line).collect();
        if rows.is_empty() {
            return String::new();
        }
        let shown = table([title, &before, &after, language.difference()], &[1, 2, 3], rows);
        let more = changes.len().saturating_sub(most);
        let more = if more > 0 { format!("  {}\n", language.more(more)) } else { String::new() };
        format!("{shown}{more}")
    };
    [
        nights.concat(),
        show(language.parts_title(), &comparison.parts, usize::MAX),
        show(language.slower(), &comparison.slower, top),
        show(language.faster(), &comparison.faster, top),
        show(language.only_in_one(), &comparison.only_in_one, top),
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join("\n")
}
