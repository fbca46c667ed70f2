//! Where a night's time went, read from a log: of nightferry, of the system that it replaces, or of plain `pg_restore --verbose`.
//!
//! A log passes through [`scan`] in constant memory; the lines that may matter become events ([`line`]), events become runs ([`book`], [`run`]),
//! and a run a [`Summary`], which is printed as text, JSON, a page, or beside another one.

mod book;
mod category;
mod compare;
mod html;
mod input;
mod line;
mod moment;
mod names;
mod run;
mod scan;
mod summary;
mod text;
mod words;

use std::io::Read;

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde::Serialize;

use crate::error::Result;
use book::Book;

pub use category::{Category, Timed};
pub use compare::{Compared, Comparison, compare};
pub use html::page;
pub use input::open;
pub use run::{Keep, Status};
pub use summary::{CategorySummary, Durations, NotFinished, Part, StageSummary, StepSummary, Summary};
pub use text::{compared, text};
pub use words::Language;

/// What is asked of a log.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The day on which the runs started; none for all runs.
    pub day: Option<NaiveDate>,
    /// The zone of that day and of what is printed; none for that of the log.
    pub zone: Option<Tz>,
    /// What is kept of each run.
    pub keep: Keep,
}

/// What a log says.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How many lines it has.
    pub lines: u64,
    /// How many bytes, unpacked.
    pub bytes: u64,
    /// Lines that begin like ours and are broken.
    pub unreadable_lines: u64,
    /// Lines that were too long to be looked at.
    pub too_long_lines: u64,
    /// Why the log could not be read up to its end, where that is so.
    pub broke_off: Option<String>,
    /// Runs that were not kept, since there are too many.
    pub dropped_runs: u64,
    /// Runs that started on another day than the one that was asked for.
    pub other_days: Vec<NaiveDate>,
    /// The runs, in the order in which they began.
    pub runs: Vec<Summary>,
}

/// Reads a log to its end.
///
/// # Errors
/// A defect. What is wrong with the log is in the report.
pub fn analyze(input: impl Read, question: &Question) -> Result<Report> {
    let mut book = Book::new(question.day, question.zone, question.keep);
    let seen = scan::scan(input, |line, hit| book.line(line, hit))?;
    let last_line = line::written_at(&seen.last).map(|moment| moment.at);
    let newest = book.runs.iter().map(|run| run.last).max().flatten();
    let (asked, others): (Vec<_>, Vec<_>) = {
        let runs = std::mem::take(&mut book.runs);
        runs.into_iter().partition(|run| book.is_asked_for(run.first))
    };
    let mut other_days: Vec<NaiveDate> = others
        .iter()
        .filter_map(|run| run.first)
        .map(|first| match question.zone {
            Some(zone) => first.at.with_timezone(&zone).date_naive(),
            None => first.local().date_naive(),
        })
        .collect();
    other_days.sort_unstable();
    other_days.dedup();
    let runs = asked.into_iter().map(|run| {
        let last = last_line.filter(|_| run.last == newest && run.ended.is_none());
        Summary::new(run, last, question.zone)
    });
    Ok(Report {
        lines: seen.lines,
        bytes: seen.bytes,
        unreadable_lines: book.unreadable,
        too_long_lines: seen.too_long,
        broke_off: seen.broke.map(|error| error.to_string()),
        dropped_runs: book.dropped,
        other_days,
        runs: runs.collect(),
    })
}

#[cfg(test)]
mod tests;
