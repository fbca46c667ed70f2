//! `nightferry logs`: where a night's time went, read from its log.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::{Args, ValueEnum};

use super::{Ending, tell};
use crate::error::{Error, ErrorKind, Result};
use crate::report::{self, Keep, Language, Question, Report, Status, Summary};

/// Show where a night's time went, read from its log: the parts of the night, and by category what was slowest.
///
/// Reads nightferry's JSON lines, the same behind a platform's time and container, the lines of the system that nightferry
/// replaces, and those of pg_restore --verbose --jobs; packed with gzip or not, of any size. Needs no settings and no database.
///
/// Exits with 1 when there is no run in it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The log; - is standard input.
    #[arg(required_unless_present = "compare")]
    file: Option<PathBuf>,
    /// Only the runs that started on this day (2026-11-20), in the log's own zone unless --timezone says another one.
    #[arg(value_name = "DATE")]
    day: Option<NaiveDate>,
    /// How many of the slowest are named in each category.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(..=1000))]
    top: u16,
    /// The language of the text.
    #[arg(long, value_enum, default_value_t = Words::En)]
    lang: Words,
    /// The zone of DATE and of the times that are shown: Europe/Paris.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Tz>,
    /// Answer in JSON: lines, runs with durations, categories, stages, not_finished; with --compare parts, slower, faster.
    #[arg(long)]
    json: bool,
    /// Also draw the night, as a page of its own.
    #[arg(long, value_name = "PAGE", conflicts_with = "compare")]
    html: Option<PathBuf>,
    /// Put two nights side by side: two days of FILE, or without FILE the last nights of two logs.
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "day")]
    compare: Option<Vec<String>>,
}

const EXAMPLES: &str = "\
Examples:
  nightferry logs worker.log
  nightferry logs logs.txt 2020-10-22 --lang fr
  nightferry logs worker.log.gz 2026-11-20 --top 10 --html night.html
  nightferry logs worker.log --compare 2026-11-19 2026-11-20
  nightferry logs --compare monday.log tuesday.log
  nightferry logs - --json | jq '.runs[].durations'";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Words {
    En,
    Fr,
}

impl From<Words> for Language {
    fn from(words: Words) -> Self {
        match words {
            Words::En => Self::English,
            Words::Fr => Self::French,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Ending> {
    match (&arguments.compare, &arguments.file) {
        (Some(two), file) => compare(arguments, file.as_deref(), two),
        (None, Some(file)) => show(arguments, file),
        // clap asks for one of them.
        (None, None) => Err(Error::new(ErrorKind::Configuration, "no log was named")
            .hint("name a file, or - for standard input")),
    }
}

fn show(arguments: &Arguments, file: &Path) -> Result<Ending> {
    if let Some(page) = arguments.html.as_deref().filter(|page| is_same_file(file, page)) {
        let problem = format!("--html {} is the log itself, which the page would replace", page.display());
        return Err(Error::new(ErrorKind::Configuration, problem)
            .hint("name another file for the page, such as night.html"));
    }
    let report = read(arguments, file, arguments.day, arguments.html.is_some())?;
    let language = arguments.lang.into();
    if let Some(path) = &arguments.html {
        let page = report::page(&report, &name_of(file), language);
        std::fs::write(path, page).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("cannot write {}", path.display()))
                .hint("name a file in a folder that is there and may be written")
                .because(error)
        })?;
    }
    tell(arguments.json, &report, |report| report::text(report, language))?;
    Ok(if report.runs.is_empty() { Ending::NotInOrder } else { Ending::Done })
}

fn read(arguments: &Arguments, file: &Path, day: Option<NaiveDate>, items: bool) -> Result<Report> {
    let keep = Keep { top: arguments.top.into(), items };
    report::analyze(report::open(file)?, &Question { day, zone: arguments.timezone, keep })
}

/// Whether a page would be written over its log, under whatever names the two go. A device holds nothing that could be lost.
fn is_same_file(log: &Path, page: &Path) -> bool {
    let log = if log == Path::new("-") { rustix::fs::fstat(std::io::stdin()) } else { rustix::fs::stat(log) };
    // What is wrong with either of them is said by whoever opens it.
    let (Ok(log), Ok(page)) = (log, rustix::fs::stat(page)) else { return false };
    let is_file = rustix::fs::FileType::from_raw_mode(log.st_mode).is_file();
    is_file && (log.st_dev, log.st_ino) == (page.st_dev, page.st_ino)
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn compare(arguments: &Arguments, file: Option<&Path>, two: &[String]) -> Result<Ending> {
    let nights = match file {
        Some(file) => {
            let days = two.iter().map(|day| {
                day.parse::<NaiveDate>().map_err(|error| {
                    Error::new(ErrorKind::Configuration, format!("--compare: {day:?} is no day"))
                        .hint("with FILE, name two of its days such as 2026-11-20; without FILE, two logs")
                        .because(error)
                })
            });
            let days = days.collect::<Result<Vec<_>>>()?;
            if file == Path::new("-") {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "--compare cannot read standard input twice",
                )
                .hint("put the log into a file"));
            }
            days.into_iter().map(|day| night(arguments, file, Some(day))).collect::<Result<Vec<_>>>()?
        }
        None => two.iter().map(|file| night(arguments, Path::new(file), None)).collect::<Result<Vec<_>>>()?,
    };
    let [before, after] = nights.as_slice() else {
        return Err(Error::new(ErrorKind::Internal, "two nights were asked for"));
    };
    let language: Language = arguments.lang.into();
    let names = [0, 1].map(|at| two[at].clone());
    let comparison = report::compare(names, before, after, language.headings());
    tell(arguments.json, &comparison, |comparison| {
        report::compared(comparison, arguments.top.into(), language)
    })?;
    Ok(Ending::Done)
}

/// The last night of a log that has the most to be compared: one that ended well, or else whichever timed something.
fn night(arguments: &Arguments, file: &Path, day: Option<NaiveDate>) -> Result<Summary> {
    let report = read(arguments, file, day, true)?;
    let days: Vec<String> = report.other_days.iter().map(ToString::to_string).collect();
    let last = report
        .runs
        .into_iter()
        .enumerate()
        .max_by_key(|(at, run)| (run.timed() > 0, run.status == Status::Succeeded, *at));
    last.map(|(_, run)| run).ok_or_else(|| {
        let when = day.map(|day| format!(" that started on {day}")).unwrap_or_default();
        let hint = if days.is_empty() {
            "is it the log of a night?".to_owned()
        } else {
            format!("it has runs that started on {}", days.join(", "))
        };
        Error::new(ErrorKind::Configuration, format!("{} has no run{when}", file.display())).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(words: &str) -> Result<Arguments, clap::Error> {
        Only::try_parse_from(words.split(' ')).map(|only| only.arguments)
    }

    #[test]
    fn a_log_is_named_unless_two_are_compared() {
        assert!(parsed("logs").is_err());
        assert!(parsed("logs --compare a").is_err());
        let two = parsed("logs --compare a.log b.log").unwrap();
        assert_eq!((two.file, two.compare), (None, Some(vec!["a.log".to_owned(), "b.log".to_owned()])));
        assert!(parsed("logs a.log 2026-02-30").is_err());
        assert!(parsed("logs a.log 2026-11-20 --compare 2026-11-19 2026-11-20").is_err());
    }
}
