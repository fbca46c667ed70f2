//! The schedule: loops that push the first job of a night, and the jobs beside it, when their time has come.
//!
//! Nothing of it is stored, so a changed `SCHEDULE` leaves nothing behind. The job's name is the tick's UTC second:
//! of several workers that see the same tick, one starts the night.
//!
//! The rule for the two odd days of a time zone: a time that does not exist (spring) runs at the first minute after
//! the gap, a time that exists twice (autumn) runs once, the first time.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use tokio_util::sync::CancellationToken;

use crate::adapters::ledger::Origin;
use crate::adapters::queue::{Job, Queues};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::{RunId, Stage};

/// The clock is looked at this often, so that one that was set, or a machine that slept, is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A tick that could not be pushed is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// A tick noticed later than this is left out: nobody wants a dump of production at eleven because a machine slept.
const TOO_LATE: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// The first time after `now` that the pattern names.
///
/// # Errors
/// The pattern names none.
pub fn next_tick(pattern: &Cron, timezone: Tz, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    // The library carries parts of a second over to what it finds.
    let mut from = now.with_timezone(&timezone).trunc_subsecs(0);
    loop {
        let tick = pattern.find_next_occurrence(&from, false).map_err(|error| {
            Error::new(
                ErrorKind::Configuration,
                format!("the schedule {:?} has no next time", pattern.as_str()),
            )
            .because(error)
        })?;
        if tick > now {
            return Ok(tick.with_timezone(&Utc));
        }
        // `now` is in the second round of the hour that exists twice: what is found there has run in the first.
        from = timezone.from_local_datetime(&tick.naive_local()).latest().unwrap_or(tick);
    }
}

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
    let kept = schedules.into_iter().filter_map(|(stage, pattern)| {
        pattern.map(|pattern| keep(stage, pattern, config.queue.timezone, queues, stop))
    });
    futures::future::try_join_all(kept).await.map(|_| ())
}

/// Pushes the stage's first job at each time that the pattern names.
async fn keep(
    stage: Stage,
    pattern: &Cron,
    timezone: Tz,
    queues: &Queues,
    stop: &CancellationToken,
) -> Result<()> {
    let mut after = clock::now();
    loop {
        let tick = next_tick(pattern, timezone, after)?;
        tracing::info!(%stage, at = %tick.with_timezone(&timezone), "{}", events::SCHEDULE_NEXT);
        tokio::select! {
            () = reach(tick) => {}
            () = stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = start(stage, queues, tick) => {}
            () = stop.cancelled() => return Ok(()),
        }
        after = tick.max(clock::now() - TOO_LATE);
    }
}

async fn reach(tick: DateTime<Utc>) {
    while let Ok(left) = (tick - clock::now()).to_std() {
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
        if left.is_zero() {
            return;
        }
    }
}

async fn start(stage: Stage, queues: &Queues, tick: DateTime<Utc>) {
    let job = Job::first(RunId::of(stage, tick), stage, Origin::Schedule);
    loop {
        if clock::now() - tick > TOO_LATE {
            tracing::warn!(run = %job.run, "{}", events::SCHEDULE_MISSED);
            return;
        }
        match queues.push(&job, Duration::ZERO).await {
            Ok(new) => {
                tracing::info!(run = %job.run, new, "{}", events::SCHEDULE_TICK);
                return;
            }
            Err(error) => tracing::error!(
                error.kind = error.kind().name(),
                error.message = %error,
                "a scheduled job could not be put on its queue, trying again"
            ),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use croner::parser::{CronParser, Seconds, Year};

    use super::*;

    /// The ticks after an instant, in UTC.
    fn ticks(pattern: &str, from: &str, count: usize) -> Vec<String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(pattern).unwrap();
        let mut now: DateTime<Utc> = from.parse().unwrap();
        let mut ticks = Vec::new();
        for _ in 0..count {
            now = next_tick(&pattern, chrono_tz::Europe::Paris, now).unwrap();
            ticks.push(now.format("%F %H:%MZ").to_string());
        }
        ticks
    }

    #[test]
    fn the_default_hour_stays_the_same_on_the_wall_when_the_clocks_change() {
        assert_eq!(
            ticks("10 5 * * *", "2027-03-26T12:00:00Z", 3),
            ["2027-03-27 04:10Z", "2027-03-28 03:10Z", "2027-03-29 03:10Z"]
        );
        assert_eq!(
            ticks("10 5 * * *", "2026-10-23T12:00:00Z", 3),
            ["2026-10-24 03:10Z", "2026-10-25 04:10Z", "2026-10-26 04:10Z"]
        );
    }

    #[test]
    fn a_time_in_the_spring_gap_runs_once_at_the_first_minute_after_it() {
        // 02:30 does not exist on 2027-03-28 in Paris: after 01:59 comes 03:00, which is 01:00 UTC.
        assert_eq!(
            ticks("30 2 * * *", "2027-03-27T00:00:00Z", 3),
            ["2027-03-27 01:30Z", "2027-03-28 01:00Z", "2027-03-29 00:30Z"]
        );
    }

    #[test]
    fn a_time_in_the_autumn_repeat_runs_once_the_first_time() {
        // 02:30 exists twice on 2026-10-25 in Paris: at 00:30 and at 01:30 UTC.
        assert_eq!(
            ticks("30 2 * * *", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25 00:30Z", "2026-10-26 01:30Z"]
        );
    }

    #[test]
    fn a_worker_that_starts_in_the_second_round_does_not_run_it_again() {
        assert_eq!(ticks("30 2 * * *", "2026-10-25T01:05:00Z", 1), ["2026-10-26 01:30Z"]);
        assert_eq!(ticks("30 2 * * *", "2026-10-25T01:45:00Z", 1), ["2026-10-26 01:30Z"]);
    }

    #[test]
    fn a_tick_is_a_whole_second_whenever_it_was_asked_for() {
        let pattern = CronParser::new().parse("10 5 * * *").unwrap();
        let now: DateTime<Utc> = "2026-11-20T04:09:59.900Z".parse().unwrap();
        let tick = next_tick(&pattern, chrono_tz::Europe::Paris, now).unwrap();
        assert_eq!(tick.to_rfc3339(), "2026-11-20T04:10:00+00:00");
    }

    #[test]
    fn a_tick_is_never_the_present_instant_again() {
        assert_eq!(ticks("10 5 * * *", "2026-11-20T04:10:00Z", 1), ["2026-11-21 04:10Z"]);
    }
}
