//! The schedule: loops that push the first job of a night, and the jobs beside it, when their time has come.
//!
//! The job's name is the tick's UTC second: of several workers that see the same tick, one starts the night. The ledger keeps one
//! entry per schedule, with the pattern and the last tick: a changed pattern takes the place of the old one, also in a worker that
//! still has that, and what was missed while nobody kept it is known. Decisions are [`due`]'s.

mod book;
mod due;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use tokio_util::sync::CancellationToken;

pub use due::{Due, Missed, due, next_tick};

use crate::adapters::ledger::Origin;
use crate::adapters::postgres::Database;
use crate::adapters::queue::{Job, Queues};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::{RunId, Stage};
use book::Book;

/// The clock is looked at this often, so that one that was set, or a machine that slept, is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A tick that could not be pushed is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// A queue that does not answer for so long is away: whether the tick is still worth it is asked anew.
const PUSH_LIMIT: Duration = Duration::from_secs(20);

/// Keeps the schedules that are set, until `stop`.
///
/// # Errors
/// A pattern names no time any more.
pub(super) async fn keep_all(config: &Config, queues: &Queues, stop: &CancellationToken) -> Result<()> {
    let push = config.backup.push.as_ref().and_then(|push| push.schedule.as_ref());
    let schedules = [
        (Stage::FullReplication, Some(&config.queue.schedule)),
        (Stage::BackupPush, push),
        (Stage::SchemaExport, config.schema_export.schedule.as_ref()),
    ];
    let database = Database::new(&config.databases.warehouse, "warehouse")?.named("nightferry schedule");
    let missed = Missed::of(&config.queue);
    let unset: Vec<Stage> =
        schedules.iter().filter(|(_, pattern)| pattern.is_none()).map(|(stage, _)| *stage).collect();
    let kept = schedules.into_iter().filter_map(|(stage, pattern)| {
        let (pattern, timezone) = (pattern?, config.queue.timezone);
        let book = Book::of(stage, pattern, timezone, &database);
        Some(Keeper { stage, pattern, timezone, missed, queues, book }.keep())
    });
    let keeping = async {
        let (kept, ()) =
            futures::future::join(futures::future::try_join_all(kept), book::forget(&database, &unset)).await;
        kept.map(|_| ())
    };
    stop.run_until_cancelled(keeping).await.unwrap_or(Ok(()))
}

/// One schedule, and what it is kept with.
struct Keeper<'a> {
    stage: Stage,
    pattern: &'a Cron,
    timezone: Tz,
    missed: Missed,
    queues: &'a Queues,
    book: Book<'a>,
}

impl Keeper<'_> {
    /// Pushes the stage's first job at each time that the pattern names. Comes back when it names none any more.
    async fn keep(self) -> Result<()> {
        let (mut kept_until, mut kept_here): (_, Option<DateTime<Utc>>) = (clock::now(), None);
        let (mut is_open, mut said) = (false, None);
        // The last tick that was pushed, until its run has begun.
        let mut pushed: Option<DateTime<Utc>> = None;
        loop {
            if !is_open && let Some(written) = self.book.open().await {
                // What was kept from here before the ledger could be asked is not kept again.
                kept_until = kept_here.map_or(written, |tick| written.max(tick));
                is_open = true;
            }
            match due(self.pattern, self.timezone, kept_until, clock::now(), &self.missed)? {
                Due::Nothing { next } => {
                    if let Some(tick) = pushed
                        && !self.is_still_to_begin(tick).await
                    {
                        pushed = None;
                    }
                    if said.replace(next) != Some(next) {
                        let at = next.with_timezone(&self.timezone);
                        tracing::info!(stage = %self.stage, %at, "{}", events::SCHEDULE_NEXT);
                    }
                    let left = (next - clock::now()).to_std().unwrap_or_default();
                    tokio::time::sleep(left.min(LOOK_EVERY)).await;
                    continue;
                }
                Due::Run(tick) if self.start(tick).await => {
                    kept_until = tick;
                    pushed = Some(tick);
                }
                Due::Run(_) => {
                    tokio::time::sleep(TRY_AGAIN).await;
                    continue;
                }
                Due::Missed(tick) => {
                    self.leave_out(tick).await;
                    kept_until = tick;
                }
            }
            kept_here = Some(kept_until);
            self.book.record(kept_until).await;
        }
    }

    /// Pushes the job of a tick; says whether that is done. A schedule that was replaced has none to push.
    async fn start(&self, tick: DateTime<Utc>) -> bool {
        let job = self.job(tick);
        if self.book.is_replaced().await {
            tracing::warn!(run = %job.run, pattern = self.pattern.as_str(), "{}", events::SCHEDULE_SUPERSEDED);
            return true;
        }
        let pushed = tokio::time::timeout(PUSH_LIMIT, self.queues.push(&job, Duration::ZERO)).await;
        match pushed.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "the queue does not answer"))) {
            Ok(new) => {
                let late_ms = (clock::now() - tick).num_milliseconds();
                tracing::info!(run = %job.run, new, late_ms, "{}", events::SCHEDULE_TICK);
                true
            }
            Err(error) => {
                tracing::error!(
                    run = %job.run,
                    error.kind = error.kind().name(),
                    error.message = %error,
                    "a scheduled job could not be put on its queue, trying again"
                );
                false
            }
        }
    }

    /// Whether a tick's run is still to begin. Its job is pushed again where the queue has lost it: a Redis that came back without its data.
    async fn is_still_to_begin(&self, tick: DateTime<Utc>) -> bool {
        let job = self.job(tick);
        let is_worth_it = matches!(
            due(self.pattern, self.timezone, tick - TimeDelta::seconds(1), clock::now(), &self.missed),
            Ok(Due::Run(due)) if due == tick
        );
        if !is_worth_it || self.book.has_begun(&job.run).await == Some(true) || self.book.is_replaced().await
        {
            return false;
        }
        if matches!(tokio::time::timeout(PUSH_LIMIT, self.queues.exists(&job)).await, Ok(Ok(false))) {
            self.start(tick).await;
        }
        true
    }

    /// Leaves out a tick that nobody kept; the ledger may only not know that somebody did.
    async fn leave_out(&self, tick: DateTime<Utc>) {
        let job = self.job(tick);
        let known = tokio::time::timeout(PUSH_LIMIT, self.queues.exists(&job)).await;
        if !matches!(known, Ok(Ok(true))) {
            tracing::warn!(run = %job.run, "{}", events::SCHEDULE_MISSED);
        }
    }

    fn job(&self, tick: DateTime<Utc>) -> Job {
        Job::first(RunId::of(self.stage, tick), self.stage, Origin::Schedule)
    }
}
