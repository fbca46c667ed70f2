//! What is said of a run: computed from what was gathered, printed as text, JSON or a page.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::category::{Category, Timed, as_millis, kind_of};
use super::moment::Moment;
use super::run::{Run, Span, Status};
use crate::timeline::{Band, Item, Timeline};

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Its id, where the log names one.
    pub run: Option<String>,
    /// The container that wrote it, where the log names one.
    pub container: Option<String>,
    /// Its first line, by the clock that wrote it or in the zone that was asked for.
    pub started_at: Option<DateTime<FixedOffset>>,
    /// Its end; none while it is not in the log.
    pub ended_at: Option<DateTime<FixedOffset>>,
    /// How it ended.
    pub status: Status,
    /// What the run itself says of its failure; that of the try before, where another one is at work.
    pub error: Option<String>,
    /// The try that is at work, from the second one on.
    pub retry: Option<u64>,
    /// How often its stage was tried; 0 where the log does not say.
    pub tries: u64,
    /// Its parts.
    pub durations: Durations,
    /// Rows that were copied, where the log says.
    pub rows: u64,
    /// Bytes that were copied, where the log says.
    pub bytes: u64,
    /// What took how long, by category.
    pub categories: Vec<CategorySummary>,
    /// The stages with their steps, where the log names them.
    pub stages: Vec<StageSummary>,
    /// What was begun and not ended.
    pub not_finished: Vec<NotFinished>,
    /// Ends whose beginning is not in the log: it was cut in front.
    pub items_without_start: u64,
    /// Items whose lines have no time.
    pub items_without_time: u64,
    /// Items that began twice, or were more than are followed: without an end, and not counted.
    pub items_forgotten: u64,
    /// The longest items, where a picture or a comparison was asked for.
    #[serde(skip)]
    pub items: Vec<Item>,
    /// Items that were too many to be kept, the shortest ones.
    #[serde(skip)]
    pub items_left_out: u64,
    #[serde(skip)]
    pub(super) last: Option<DateTime<Utc>>,
    #[serde(skip)]
    pub(super) zone: Tz,
}

/// The parts of a night; none where the log does not have its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Durations {
    /// From the start to the first row of the copy.
    pub backup: Option<Part>,
    /// The copy.
    pub replication: Option<Part>,
    /// The enrichment.
    pub enrichment: Option<Part>,
    /// All of it.
    pub total: Option<Part>,
}

/// How long a part took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Up to its end, or up to the last line of the log.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: TimeDelta,
    /// Whether its end is in the log.
    pub finished: bool,
}

/// A category.
#[derive(Debug, Clone, Serialize)]
pub struct CategorySummary {
    /// Which one.
    pub category: Category,
    /// How many items.
    pub count: u64,
    /// Their times added up: longer than the night where several were at work at once.
    #[serde(rename = "total_duration_ms", serialize_with = "as_millis")]
    pub total: TimeDelta,
    /// The slowest ones.
    pub slowest: Vec<Timed>,
}

/// A stage, or a try of one.
#[derive(Debug, Clone, Serialize)]
pub struct StageSummary {
    /// Its name.
    pub stage: String,
    /// When it started, and how long it took.
    #[serde(flatten)]
    pub part: Part,
    /// Whether it failed.
    pub failed: bool,
    /// Its steps.
    pub steps: Vec<StepSummary>,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
pub struct StepSummary {
    /// Its name.
    pub step: String,
    /// When it started, and how long it took.
    #[serde(flatten)]
    pub part: Part,
    /// Whether it failed.
    pub failed: bool,
}

/// Something that was begun and whose end is not in the log.
#[derive(Debug, Clone, Serialize)]
pub struct NotFinished {
    /// What it is called.
    pub name: String,
    /// When it started.
    pub started_at: Option<DateTime<FixedOffset>>,
}

impl Summary {
    /// What is said of a run. `last` is the last line of the log, where it is of this run; `zone` replaces that of the log.
    pub(super) fn new(mut run: Run, last: Option<DateTime<Utc>>, zone: Option<Tz>) -> Self {
        run.keep_longest();
        let offset = run.first.map_or(0, |first| first.offset);
        let fixed = |at: DateTime<Utc>| match zone {
            Some(zone) => at.with_timezone(&zone).fixed_offset(),
            None => Moment { at, offset }.local(),
        };
        let last = run.last.max(last);
        let status = run.status();
        Self {
            run: Some(run.id.clone()).filter(|id| !id.is_empty()),
            container: container(&run.source),
            started_at: run.first.map(|first| fixed(first.at)),
            ended_at: run.ended.map(|(at, _)| fixed(at)),
            status,
            error: run.error.clone().filter(|_| status != Status::Succeeded),
            retry: run.retry,
            tries: run.tries,
            durations: durations(&run, last),
            rows: run.rows,
            bytes: run.bytes,
            categories: categories(&mut run),
            stages: stages(&run.spans, run.ended.map(|(at, _)| at).or(last)),
            not_finished: run
                .unfinished()
                .into_iter()
                .map(|(name, at)| NotFinished { name, started_at: at.map(fixed) })
                .collect(),
            items_without_start: run.without_start,
            items_without_time: run.without_time,
            items_forgotten: run.forgotten,
            items: std::mem::take(&mut run.items),
            items_left_out: run.items_left_out,
            last,
            zone: zone.unwrap_or_else(|| of_offset(offset)),
        }
    }

    /// How many items were timed.
    #[must_use]
    pub fn timed(&self) -> u64 {
        self.categories.iter().map(|category| category.count).sum()
    }

    /// The run as a picture.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        let band = |label: &str, part: Part, failed| Band {
            label: label.to_owned(),
            start: part.started_at,
            end: part.finished.then(|| part.started_at + part.duration),
            failed,
        };
        let mut bands = Vec::new();
        for stage in &self.stages {
            bands.push(band(&stage.stage, stage.part, stage.failed));
            bands.extend(stage.steps.iter().map(|step| band(&step.step, step.part, step.failed)));
        }
        if bands.is_empty() {
            let parts = &self.durations;
            let parts = [
                ("backup", parts.backup),
                ("replication", parts.replication),
                ("enrichment", parts.enrichment),
            ];
            bands.extend(parts.into_iter().filter_map(|(name, part)| Some(band(name, part?, false))));
        }
        let mut items = self.items.clone();
        items.extend(self.not_finished.iter().filter_map(|item| {
            Some(Item {
                label: item.name.clone(),
                kind: kind_of(item.name.as_bytes()),
                lane: None,
                start: item.started_at?.to_utc(),
                end: None,
                detail: String::new(),
                failed: false,
            })
        }));
        let now = self.last.unwrap_or(DateTime::UNIX_EPOCH);
        Timeline::around(items, bands, now, self.zone)
    }
}

fn container(source: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(source);
    let name: String = text.trim_matches(['[', ']']).chars().take(80).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// The zone of a clock that is so many seconds from UTC, for the picture. Whole hours have one without a summer time; the others are
/// drawn by the hour below.
fn of_offset(seconds: i32) -> Tz {
    let hours = seconds / 3600;
    match hours {
        0 => Tz::UTC,
        // The sign of these names is the other way round.
        _ => format!("Etc/GMT{:+}", -hours).parse().unwrap_or(Tz::UTC),
    }
}

fn durations(run: &Run, last: Option<DateTime<Utc>>) -> Durations {
    let marks = &run.marks;
    let over = run.ended.map(|(at, _)| at);
    let part = |start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>| {
        let (started_at, until) = (start?, end.or(over).or(last)?);
        let duration = (until - started_at).max(TimeDelta::zero());
        Some(Part { started_at, duration, finished: end.is_some() })
    };
    Durations {
        backup: part(marks.backup, marks.restore),
        replication: part(marks.restore, marks.restored),
        enrichment: part(marks.restored.or(marks.enrichment), marks.enriched.or(marks.done)),
        total: part(
            run.first.map(|first| first.at),
            over.or(last.filter(|_| run.status() == Status::Unknown)),
        ),
    }
}

fn categories(run: &mut Run) -> Vec<CategorySummary> {
    Category::ALL
        .into_iter()
        .map(|category| {
            let totals = std::mem::take(&mut run.totals[category.place()]);
            CategorySummary { category, count: totals.count, total: totals.total, slowest: totals.slowest }
        })
        .collect()
}

/// The stages, each with the steps that began while it was the last one of its name.
fn stages(spans: &[Span], last: Option<DateTime<Utc>>) -> Vec<StageSummary> {
    let part = |span: &Span| {
        let so_far = || last.map_or(TimeDelta::zero(), |last| (last - span.start).max(TimeDelta::zero()));
        let duration = span.duration.unwrap_or_else(so_far);
        Part { started_at: span.start, duration, finished: span.duration.is_some() }
    };
    let mut stages: Vec<StageSummary> = Vec::new();
    for span in spans {
        let (part, failed) = (part(span), span.failed);
        match &span.of {
            None => stages.push(StageSummary { stage: span.name.clone(), part, failed, steps: Vec::new() }),
            Some(of) => {
                if let Some(stage) = stages.iter_mut().rev().find(|stage| stage.stage == *of) {
                    stage.steps.push(StepSummary { step: span.name.clone(), part, failed });
                }
            }
        }
    }
    stages
}
