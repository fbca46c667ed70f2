//! The runs of a log: whose line is whose, when several nights, days and containers stand in one file.

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::line::{self, Hit, Line, Reading};
use super::moment::Moment;
use super::run::{Keep, Run};

/// How many runs are kept; of more, the last ones. Fewer while their items are kept too.
const MOST_RUNS: usize = 400;
const MOST_RUNS_WITH_ITEMS: usize = 20;

#[derive(Debug)]
pub(super) struct Book {
    pub(super) runs: Vec<Run>,
    /// Runs that are no longer kept.
    pub(super) dropped: u64,
    pub(super) unreadable: u64,
    day: Option<NaiveDate>,
    zone: Option<Tz>,
    keep: Keep,
}

impl Book {
    pub(super) fn new(day: Option<NaiveDate>, zone: Option<Tz>, keep: Keep) -> Self {
        Self { runs: Vec::new(), dropped: 0, unreadable: 0, day, zone, keep }
    }

    /// Takes a line that may say something.
    pub(super) fn line(&mut self, bytes: &[u8], hit: Hit) {
        match line::read(bytes, hit) {
            Reading::Event(line) => self.event(&line),
            Reading::Said(said) => said.lines().for_each(|line| self.event(&line)),
            Reading::Nothing => {}
            Reading::Unreadable => self.unreadable += 1,
        }
    }

    fn event(&mut self, line: &Line<'_>) {
        // The last one first: nearly every line is of the run that is at work.
        match self.runs.iter_mut().rev().find(|run| run.is_of(line)) {
            Some(run) if !run.is_over_at(&line.event) => run.add(line),
            _ => self.begin(line),
        }
    }

    fn begin(&mut self, line: &Line<'_>) {
        // A run of another day is followed, so that its lines are not taken for those of the next one; nothing of it is printed.
        let keep = if self.is_asked_for(line.moment) { self.keep } else { Keep { top: 0, items: false } };
        let mut run = Run::new(line, keep);
        run.add(line);
        self.runs.push(run);
        let most = if self.keep.items { MOST_RUNS_WITH_ITEMS } else { MOST_RUNS };
        if self.runs.len() > most {
            let of_another_day = self.runs.iter().position(|run| !self.is_asked_for(run.first));
            if of_another_day.is_none() {
                self.dropped += 1;
            }
            self.runs.remove(of_another_day.unwrap_or(0));
        }
    }

    /// Whether this is the start of a run of the day that is asked for, by the clock that wrote the log unless another zone was named.
    pub(super) fn is_asked_for(&self, start: Option<Moment>) -> bool {
        let Some(day) = self.day else { return true };
        start.is_some_and(|start| match self.zone {
            Some(zone) => start.at.with_timezone(&zone).date_naive() == day,
            None => start.local().date_naive() == day,
        })
    }
}
