//! The ledger's page on a schedule. A tick never waits for it: a warehouse that cannot be reached is asked again later.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;

use crate::adapters::ledger::{Ledger, ScheduleEntry, in_time};
use crate::adapters::postgres::Database;
use crate::clock;
use crate::error::Result;
use crate::events;
use crate::ids::{RunId, Stage};

/// For how long the warehouse is asked.
const LIMIT: Duration = Duration::from_secs(5);

/// What is written there of one schedule.
pub(super) struct Book<'a> {
    stage: Stage,
    pattern: &'a str,
    timezone: &'static str,
    database: &'a Database,
}

impl<'a> Book<'a> {
    pub(super) fn of(stage: Stage, pattern: &'a Cron, timezone: Tz, database: &'a Database) -> Self {
        Self { stage, pattern: pattern.as_str(), timezone: timezone.name(), database }
    }

    /// Makes this the one schedule of its stage, and says up to when it was kept; nothing where the ledger cannot be asked, or
    /// there is none yet.
    pub(super) async fn open(&self) -> Option<DateTime<Utc>> {
        let (stage, page) = (self.stage, (self.pattern, self.timezone));
        let (entry, replaced) =
            self.ask(async |ledger| ledger.keep_schedule(stage, page, clock::now()).await).await?;
        if let Some(before) = replaced {
            tracing::info!(%stage, before, pattern = page.0, "{}", events::SCHEDULE_REPLACED);
        }
        Some(entry.kept_until())
    }

    /// Whether another schedule has taken the place of this one.
    pub(super) async fn is_replaced(&self) -> bool {
        let (stage, page) = (self.stage, (self.pattern, self.timezone));
        let entry: Option<Option<ScheduleEntry>> =
            self.ask(async |ledger| ledger.schedule_of(stage).await).await;
        entry.flatten().is_some_and(|entry| (entry.pattern.as_str(), entry.timezone.as_str()) != page)
    }

    /// Whether the ledger knows this run, however it ended; nothing where the ledger cannot be asked, or there is none yet.
    pub(super) async fn has_begun(&self, run: &RunId) -> Option<bool> {
        self.ask(async |ledger| ledger.run_status(run).await).await.map(|status| status.is_some())
    }

    /// Writes down that a tick was kept, or left out.
    pub(super) async fn record(&self, tick: DateTime<Utc>) {
        let (stage, page) = (self.stage, (self.pattern, self.timezone));
        self.ask(async |ledger| ledger.record_tick(stage, page, tick).await).await;
    }

    /// Asks over a session of its own: between two ticks is a day.
    async fn ask<T>(&self, question: impl AsyncFnOnce(&Ledger) -> Result<T>) -> Option<T> {
        in_time(LIMIT, async {
            match Ledger::open_existing(self.database).await? {
                Some(ledger) => question(&ledger).await.map(Some),
                // The first night makes it.
                None => Ok(None),
            }
        })
        .await
        .unwrap_or_else(|error| {
            tracing::debug!(stage = %self.stage, error.message = %error, "the ledger cannot be asked about the schedule");
            None
        })
    }
}

/// Forgets the schedules of these stages, which are no more set: should one come back, it makes up for nothing.
pub(super) async fn forget(database: &Database, stages: &[Stage]) {
    let forgetting = async {
        let Some(ledger) = Ledger::open_existing(database).await? else { return Ok(()) };
        for stage in stages {
            ledger.forget_schedule(*stage).await?;
        }
        Ok(())
    };
    if let Err(error) = in_time(LIMIT, forgetting).await {
        tracing::debug!(error.message = %error, "schedules that are no more set stay in the ledger");
    }
}
