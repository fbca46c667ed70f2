//! One run as it is put together from its lines: phases, stages, steps, and the totals of what was built. Its size has a bound,
//! however long its log is.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::category::{Category, Totals, kind_of};
use super::line::{Event, Line, Mark, Took};
use super::moment::Moment;
use super::names::{built_name, detail, short};
use crate::timeline::Item;

/// What is kept of each run, and how much.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// How many of the slowest of each category.
    pub top: usize,
    /// Whether the items themselves are kept, for a picture or a comparison: the longest ones.
    pub items: bool,
}

/// The longest items of a run that are kept.
const MOST_ITEMS: usize = 20_000;
/// Items that were begun and have not ended: as many as pg_restore has jobs, in a log that is whole.
const MOST_OPEN: usize = 10_000;
const MOST_STEPS: usize = 1_000;
const LONGEST_NAME: usize = 300;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its last line is there.
    Succeeded,
    /// It says that it failed.
    Failed,
    /// Its end is not in the log.
    Unfinished,
    /// The log has no line that would say so: one of pg_restore alone.
    Unknown,
}

/// The moments of the old lines; each is the first of its kind in the last try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) backup: Option<DateTime<Utc>>,
    pub(super) restore: Option<DateTime<Utc>>,
    pub(super) restored: Option<DateTime<Utc>>,
    pub(super) enrichment: Option<DateTime<Utc>>,
    pub(super) enriched: Option<DateTime<Utc>>,
    pub(super) done: Option<DateTime<Utc>>,
}

/// A stage or a step.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) name: String,
    /// The stage of a step; none of a stage.
    pub(super) of: Option<String>,
    pub(super) start: DateTime<Utc>,
    /// None while no end was seen.
    pub(super) duration: Option<TimeDelta>,
    pub(super) failed: bool,
}

#[derive(Debug)]
struct Launched {
    at: Option<DateTime<Utc>>,
    name: Box<[u8]>,
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) source: Vec<u8>,
    pub(super) first: Option<Moment>,
    pub(super) last: Option<DateTime<Utc>>,
    pub(super) marks: Marks,
    pub(super) tries: u64,
    /// The try that is at work, where one has failed before it.
    pub(super) retry: Option<u64>,
    pub(super) spans: Vec<Span>,
    pub(super) totals: [Totals; Category::ALL.len()],
    pub(super) ended: Option<(DateTime<Utc>, Status)>,
    pub(super) error: Option<String>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Ends of items whose beginning is not in the log.
    pub(super) without_start: u64,
    /// Items whose lines have no time.
    pub(super) without_time: u64,
    open: BTreeMap<u64, Launched>,
    /// More items were open than are kept.
    pub(super) forgotten: u64,
    pub(super) items: Vec<Item>,
    pub(super) items_left_out: u64,
    keep: Keep,
}

impl Run {
    pub(super) fn new(line: &Line<'_>, keep: Keep) -> Self {
        Self {
            id: cut(line.run.to_string()),
            source: line.source.to_vec(),
            first: line.moment,
            last: None,
            marks: Marks::default(),
            tries: 0,
            retry: None,
            spans: Vec::new(),
            totals: Default::default(),
            ended: None,
            error: None,
            rows: 0,
            bytes: 0,
            without_start: 0,
            without_time: 0,
            open: BTreeMap::new(),
            forgotten: 0,
            items: Vec::new(),
            items_left_out: 0,
            keep,
        }
    }

    /// Whether a line speaks of this run; one that names no run belongs to the last one of its container.
    pub(super) fn is_of(&self, line: &Line<'_>) -> bool {
        if line.run.is_empty() && self.id.is_empty() {
            self.source == line.source
        } else {
            !line.run.is_empty() && self.id == line.run
        }
    }

    /// Whether a line without a run's name begins another run: what has been comes only once in a night.
    pub(super) fn is_over_at(&self, event: &Event<'_>) -> bool {
        if !self.id.is_empty() {
            return false;
        }
        let has_items = || !self.open.is_empty() || self.totals.iter().any(|totals| totals.count > 0);
        match event {
            Event::Mark(Mark::BackupStarted) => true,
            Event::Mark(Mark::BackupNamed) => self.marks.restore.is_some() || has_items(),
            Event::Mark(Mark::RestoreStarted) => {
                self.marks.restore.is_some() || (has_items() && !self.awaits_its_restore())
            }
            Event::Mark(Mark::RestoreDone) => self.marks.restored.is_some(),
            Event::Mark(Mark::EnrichmentStarted) => self.marks.enrichment.is_some(),
            Event::Launched { .. } => self.marks.restored.is_some(),
            // One of pg_restore alone has no other beginning.
            Event::Began => self.marks == Marks::default() && has_items(),
            _ => false,
        }
    }

    /// Whether a backup has begun and nothing came of it yet. Items may stand before the line that starts their restore: in the replaced
    /// system the two come through two pipes.
    fn awaits_its_restore(&self) -> bool {
        self.marks.backup.is_some() && self.marks == Marks { backup: self.marks.backup, ..Marks::default() }
    }

    /// Adds what a line says.
    pub(super) fn add(&mut self, line: &Line<'_>) {
        let at = line.moment.map(|moment| moment.at);
        if self.first.is_none() {
            self.first = line.moment;
        }
        self.last = self.last.max(at);
        match &line.event {
            Event::Launched { id, what } => self.launched(*id, what, at),
            Event::Finished { id, what } => self.finished(*id, what, at),
            Event::Copied { table, rows, bytes, took, connection } => {
                self.rows = self.rows.saturating_add(rows.unwrap_or(0));
                self.bytes = self.bytes.saturating_add(bytes.unwrap_or(0));
                let name = format!("TABLE DATA {}", short(table));
                let detail = || detail(*rows, *bytes);
                self.ended_item(name.as_bytes(), at, *took, lane(connection, line), detail);
            }
            Event::Built { kind, object, table, took, connection } => {
                let name = built_name(kind, object, table);
                self.ended_item(name.as_bytes(), at, *took, lane(connection, line), String::new);
            }
            Event::Mark(mark) => self.mark(*mark, at),
            event => self.span(event, &line.stage, at),
        }
    }

    fn mark(&mut self, mark: Mark, at: Option<DateTime<Utc>>) {
        let Some(at) = at else { return };
        if mark == Mark::BackupStarted && self.marks.backup.is_some() {
            // The next try of a run that names itself: its phases count, and the time of both.
            self.marks = Marks::default();
        }
        let place = match mark {
            Mark::BackupStarted | Mark::BackupNamed => &mut self.marks.backup,
            Mark::RestoreStarted => &mut self.marks.restore,
            Mark::RestoreDone => &mut self.marks.restored,
            Mark::EnrichmentStarted => &mut self.marks.enrichment,
            Mark::EnrichmentEnded => &mut self.marks.enriched,
            Mark::AllDone => &mut self.marks.done,
        };
        place.get_or_insert(at);
        // A run that names itself says when it ends.
        if self.id.is_empty() && matches!(mark, Mark::EnrichmentEnded | Mark::AllDone) {
            self.ended = Some((at, Status::Succeeded));
        }
    }

    fn span(&mut self, event: &Event<'_>, stage: &str, at: Option<DateTime<Utc>>) {
        let Some(at) = at else { return };
        let stage = cut(stage.to_owned());
        match event {
            Event::StageStarted { attempt } => {
                self.tries = self.tries.max(*attempt);
                self.retry = Some(*attempt).filter(|attempt| *attempt > 1);
                self.begin(stage, None, at);
            }
            Event::StepStarted { step } => self.begin(cut(step.to_string()), Some(stage), at),
            Event::StageEnded { millis, error } => {
                let failed = error.is_some();
                self.retry = None;
                self.error = error.as_ref().map(|error| cut(error.to_string()));
                self.end(stage, None, at, *millis, failed);
            }
            Event::StepEnded { step, millis, failed } => {
                self.end(cut(step.to_string()), Some(stage), at, *millis, *failed);
            }
            Event::RunEnded { status } => {
                self.retry = None;
                let status = if status.as_ref() == "succeeded" { Status::Succeeded } else { Status::Failed };
                self.ended = Some((at, status));
            }
            _ => {}
        }
    }

    fn begin(&mut self, name: String, of: Option<String>, start: DateTime<Utc>) {
        // What is at work again has not ended.
        self.ended = None;
        if self.spans.len() < MOST_STEPS {
            self.spans.push(Span { name, of, start, duration: None, failed: false });
        }
    }

    fn end(
        &mut self,
        name: String,
        of: Option<String>,
        at: DateTime<Utc>,
        millis: Option<u64>,
        failed: bool,
    ) {
        let taken = millis.map(duration_of);
        let open = |span: &Span| span.duration.is_none() && span.name == name && span.of == of;
        match self.spans.iter().rposition(open) {
            Some(place) => {
                let span = &mut self.spans[place];
                span.duration = Some(taken.unwrap_or(at - span.start));
                span.failed = failed;
            }
            // Its beginning is not in the log.
            None if self.spans.len() < MOST_STEPS => {
                let duration = taken.unwrap_or_default();
                let start = at.checked_sub_signed(duration).unwrap_or(at);
                self.spans.push(Span { name, of, start, duration: Some(duration), failed });
            }
            None => {}
        }
    }

    fn launched(&mut self, id: u64, what: &[u8], at: Option<DateTime<Utc>>) {
        if self.open.len() >= MOST_OPEN && !self.open.contains_key(&id) {
            self.forgotten += 1;
            return;
        }
        let name = what[..what.len().min(LONGEST_NAME)].into();
        if self.open.insert(id, Launched { at, name }).is_some() {
            self.forgotten += 1;
        }
    }

    fn finished(&mut self, id: u64, what: &[u8], at: Option<DateTime<Utc>>) {
        let Some(launched) = self.open.remove(&id) else {
            self.without_start += 1;
            return;
        };
        let (Some(start), Some(end)) = (launched.at, at) else {
            self.without_time += 1;
            return;
        };
        self.item(what, start, end, "", String::new);
    }

    /// An item whose line says how long it took.
    fn ended_item(
        &mut self,
        name: &[u8],
        at: Option<DateTime<Utc>>,
        took: Took,
        lane: &str,
        detail: impl FnOnce() -> String,
    ) {
        let Some(end) = at else {
            self.without_time += 1;
            return;
        };
        let duration = duration_of(took.millis);
        let start = took.start.or_else(|| end.checked_sub_signed(duration)).unwrap_or(end);
        self.item(name, start, start.checked_add_signed(duration).unwrap_or(end), lane, detail);
    }

    fn item(
        &mut self,
        what: &[u8],
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        lane: &str,
        detail: impl FnOnce() -> String,
    ) {
        // A clock that was set back in between says nothing.
        let duration = (end - start).max(TimeDelta::zero());
        let category = Category::of(what);
        let name = || cut(String::from_utf8_lossy(what).into_owned());
        self.totals[category.place()].add(duration, start, self.keep.top, name);
        if self.keep.items {
            self.items.push(Item {
                label: name(),
                kind: kind_of(what),
                lane: (!lane.is_empty()).then(|| cut(lane.to_owned())),
                start,
                end: Some(start + duration),
                detail: detail(),
                failed: false,
            });
            if self.items.len() >= 2 * MOST_ITEMS {
                self.keep_longest();
            }
        }
    }

    /// How it ended.
    pub(super) fn status(&self) -> Status {
        match self.ended {
            Some((_, status)) => status,
            None if self.id.is_empty() && self.marks == Marks::default() => Status::Unknown,
            None => Status::Unfinished,
        }
    }

    /// Leaves the longest items only.
    pub(super) fn keep_longest(&mut self) {
        if self.items.len() > MOST_ITEMS {
            self.items.select_nth_unstable_by_key(MOST_ITEMS, |item| {
                std::cmp::Reverse(item.end.map(|end| end - item.start))
            });
            self.items_left_out += (self.items.len() - MOST_ITEMS) as u64;
            self.items.truncate(MOST_ITEMS);
        }
    }

    /// The items that were begun and not ended, in the order of their beginning.
    pub(super) fn unfinished(&self) -> Vec<(String, Option<DateTime<Utc>>)> {
        let mut open: Vec<_> = self
            .open
            .values()
            .map(|item| (String::from_utf8_lossy(&item.name).into_owned(), item.at))
            .collect();
        open.sort_by(|left, right| (left.1, &left.0).cmp(&(right.1, &right.0)));
        open
    }
}

/// Milliseconds of a log; a thousand years are enough for whatever it says.
fn duration_of(millis: u64) -> TimeDelta {
    TimeDelta::milliseconds(i64::try_from(millis).unwrap_or(i64::MAX).min(31_557_600_000_000))
}

/// What has no connection of its own was done on the stage's.
fn lane<'a>(connection: &'a str, line: &'a Line<'_>) -> &'a str {
    if connection.is_empty() { &line.stage } else { connection }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST_NAME {
        text.truncate(text.floor_char_boundary(LONGEST_NAME));
    }
    text
}
