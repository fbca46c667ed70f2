//! The schedules: one entry each, so that a changed one leaves nothing behind, and what was missed is known.

use chrono::{DateTime, Utc};

use super::store::Ledger;
use crate::adapters::postgres::failed;
use crate::error::Result;
use crate::ids::Stage;

/// A schedule as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ScheduleEntry {
    /// The cron pattern.
    pub pattern: String,
    /// Where its times are meant.
    pub timezone: String,
    /// When this pattern was kept first.
    pub since: DateTime<Utc>,
    /// The last of its times that was kept, or left out.
    pub last_tick: Option<DateTime<Utc>>,
}

impl ScheduleEntry {
    /// What lies before was kept or left out, or came before the pattern.
    #[must_use]
    pub fn kept_until(&self) -> DateTime<Utc> {
        self.last_tick.map_or(self.since, |tick| tick.max(self.since))
    }
}

impl Ledger {
    /// Keeps a schedule from `now` on, in place of another one of its stage; one that is kept already is left as it is. Gives the entry
    /// and the pattern that was replaced.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn keep_schedule(
        &self,
        stage: Stage,
        (pattern, timezone): (&str, &str),
        now: DateTime<Utc>,
    ) -> Result<(ScheduleEntry, Option<String>)> {
        let doing = |error| failed("cannot write the schedule to the ledger", error);
        let before = self.schedule_of(stage).await?;
        sqlx::query(
            "insert into nightferry.schedules as kept (stage, pattern, timezone, since) values ($1, $2, $3, $4)
             on conflict (stage) do update
             set pattern = excluded.pattern, timezone = excluded.timezone, since = excluded.since, last_tick = null
             where (kept.pattern, kept.timezone) <> (excluded.pattern, excluded.timezone)",
        )
        .bind(stage.name())
        .bind(pattern)
        .bind(timezone)
        .bind(now)
        .execute(self.session().await?.raw())
        .await
        .map_err(doing)?;
        let after = self.schedule_of(stage).await?.ok_or_else(|| doing(sqlx::Error::RowNotFound))?;
        let replaced =
            before.filter(|before| (&before.pattern, &before.timezone) != (&after.pattern, &after.timezone));
        Ok((after, replaced.map(|before| before.pattern)))
    }

    /// The schedule of a stage, where one is kept.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn schedule_of(&self, stage: Stage) -> Result<Option<ScheduleEntry>> {
        sqlx::query_as(
            "select pattern, timezone, since, last_tick from nightferry.schedules where stage = $1",
        )
        .bind(stage.name())
        .fetch_optional(self.session().await?.raw())
        .await
        .map_err(|error| failed("cannot read the schedule in the ledger", error))
    }

    /// Writes down that a time of a schedule was kept, or left out. One that was replaced since is left alone.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn record_tick(
        &self,
        stage: Stage,
        (pattern, timezone): (&str, &str),
        tick: DateTime<Utc>,
    ) -> Result<()> {
        sqlx::query(
            "update nightferry.schedules set last_tick = greatest(last_tick, $4)
             where stage = $1 and pattern = $2 and timezone = $3",
        )
        .bind(stage.name())
        .bind(pattern)
        .bind(timezone)
        .bind(tick)
        .execute(self.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write the schedule to the ledger", error))
    }

    /// Forgets a schedule that is no more.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn forget_schedule(&self, stage: Stage) -> Result<()> {
        sqlx::query("delete from nightferry.schedules where stage = $1")
            .bind(stage.name())
            .execute(self.session().await?.raw())
            .await
            .map(|_| ())
            .map_err(|error| failed("cannot remove the schedule from the ledger", error))
    }
}
