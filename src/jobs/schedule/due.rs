//! What is due, from a pattern, the time up to which it was kept, and now. Pure.
//!
//! The rule for the two odd days of a time zone: a time that does not exist (spring) runs at the first minute after
//! the gap, a time that exists twice (autumn) runs once, the first time.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;

use crate::config::{OnMissed, Queue};
use crate::error::{Error, ErrorKind, Result};

/// A time that is noticed later than this was missed: a restart or a short outage passes.
const TOO_LATE: TimeDelta = TimeDelta::minutes(15);

/// How far to look back for the last time of a pattern: a little more of the past each time, so that a pattern with a time
/// every minute is not walked through for a year. The last one is longer than from one 29 February to the next (1896 to 1904).
const LOOK_BACK: [TimeDelta; 5] = [
    TimeDelta::hours(2),
    TimeDelta::days(2),
    TimeDelta::days(40),
    TimeDelta::days(400),
    TimeDelta::days(3000),
];

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing until then.
    Nothing {
        /// The next time.
        next: DateTime<Utc>,
    },
    /// The job of this time is pushed; earlier ones are not.
    Run(DateTime<Utc>),
    /// This time and those before were missed, and are left out.
    Missed(DateTime<Utc>),
}

/// The operator's settings about what was missed.
#[derive(Debug, Clone, Copy)]
pub struct Missed {
    /// Whether it is made up for.
    pub policy: OnMissed,
    /// For how long that is worth it.
    pub grace: Duration,
}

impl Missed {
    pub(in crate::jobs) fn of(config: &Queue) -> Self {
        Self { policy: config.on_missed, grace: config.missed_grace }
    }

    /// Whether what was due then, and could begin only now, is left out.
    #[must_use]
    pub fn leaves_out(&self, due: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let late = now - due;
        let grace = TimeDelta::from_std(self.grace).unwrap_or(TimeDelta::MAX);
        let is_made_up_for = self.policy == OnMissed::Run && late <= grace;
        late >= TOO_LATE && !is_made_up_for
    }
}

/// What is due of a pattern that was kept until `kept_until`. Of several times that were missed, the latest counts.
///
/// # Errors
/// The pattern names no time any more.
pub fn due(
    pattern: &Cron,
    timezone: Tz,
    kept_until: DateTime<Utc>,
    now: DateTime<Utc>,
    missed: &Missed,
) -> Result<Due> {
    let Some(tick) = latest_tick(pattern, timezone, kept_until, now)? else {
        return Ok(Due::Nothing { next: next_tick(pattern, timezone, now.max(kept_until))? });
    };
    Ok(if missed.leaves_out(tick, now) { Due::Missed(tick) } else { Due::Run(tick) })
}

/// The last time after `after` that the pattern names, up to `now`.
fn latest_tick(
    pattern: &Cron,
    timezone: Tz,
    after: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let mut latest = None;
    for back in LOOK_BACK {
        let mut from = after.max(now - back);
        while from < now {
            match next_tick(pattern, timezone, from)? {
                tick if tick <= now => (from, latest) = (tick, Some(tick)),
                _ => break,
            }
        }
        if latest.is_some() || after >= now - back {
            break;
        }
    }
    Ok(latest)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_cron;

    const HOUR: u64 = 3600;
    const SKIP: Missed = Missed { policy: OnMissed::Skip, grace: Duration::from_secs(6 * HOUR) };
    const RUN: Missed = Missed { policy: OnMissed::Run, ..SKIP };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// What is due of a pattern in Paris, as a word and a time.
    fn is_due(pattern: &str, kept_until: &str, now: &str, missed: &Missed) -> String {
        let pattern = parse_cron(pattern).unwrap();
        let shown = |time: DateTime<Utc>| time.format("%F %H:%MZ").to_string();
        match due(&pattern, chrono_tz::Europe::Paris, at(kept_until), at(now), missed).unwrap() {
            Due::Nothing { next } => format!("next {}", shown(next)),
            Due::Run(tick) => format!("run {}", shown(tick)),
            Due::Missed(tick) => format!("missed {}", shown(tick)),
        }
    }

    #[test]
    fn a_time_is_run_when_it_has_come_and_not_again() {
        let day = |kept, now| is_due("10 5 * * *", kept, now, &SKIP);
        assert_eq!(day("2026-11-19T04:10:00Z", "2026-11-20T04:09:59Z"), "next 2026-11-20 04:10Z");
        assert_eq!(day("2026-11-19T04:10:00Z", "2026-11-20T04:10:00Z"), "run 2026-11-20 04:10Z");
        assert_eq!(day("2026-11-20T04:10:00Z", "2026-11-20T04:10:00Z"), "next 2026-11-21 04:10Z");
        // A clock that was set back does not bring a time back.
        assert_eq!(day("2026-11-20T04:10:00Z", "2026-11-20T03:10:00Z"), "next 2026-11-21 04:10Z");
    }

    #[test]
    fn what_is_a_little_late_runs_and_what_is_later_was_missed() {
        let day = |now, missed| is_due("10 5 * * *", "2026-11-19T04:10:00Z", now, missed);
        assert_eq!(day("2026-11-20T04:24:59Z", &SKIP), "run 2026-11-20 04:10Z");
        assert_eq!(day("2026-11-20T04:25:00Z", &SKIP), "missed 2026-11-20 04:10Z");
        assert_eq!(day("2026-11-20T04:25:00Z", &RUN), "run 2026-11-20 04:10Z");
        assert_eq!(day("2026-11-20T10:10:00Z", &RUN), "run 2026-11-20 04:10Z");
        assert_eq!(day("2026-11-20T10:10:01Z", &RUN), "missed 2026-11-20 04:10Z");
    }

    #[test]
    fn of_several_that_were_missed_the_latest_counts() {
        let kept = "2026-11-10T00:00:00Z";
        assert_eq!(is_due("10 5 * * *", kept, "2026-11-20T05:00:00Z", &RUN), "run 2026-11-20 04:10Z");
        assert_eq!(is_due("0 * * * *", kept, "2026-11-20T05:30:00Z", &RUN), "run 2026-11-20 05:00Z");
        assert_eq!(is_due("* * * * *", kept, "2026-11-20T05:30:10Z", &SKIP), "run 2026-11-20 05:30Z");
        let years = ("2019-01-01T00:00:00Z", "2026-11-20T05:00:00Z");
        assert_eq!(is_due("0 5 29 2 *", years.0, years.1, &RUN), "missed 2024-02-29 04:00Z");
    }

    #[test]
    fn a_missed_time_is_looked_for_no_further_back_than_the_pattern_was_kept() {
        // The pattern was changed at 09:00: its time of the same morning is none of its own.
        assert_eq!(
            is_due("10 5 * * *", "2026-11-20T08:00:00Z", "2026-11-20T09:00:00Z", &RUN),
            "next 2026-11-21 04:10Z"
        );
    }

    #[test]
    fn a_time_that_comes_twice_in_autumn_is_made_up_for_once() {
        // 02:30 exists at 00:30Z and 01:30Z on 2026-10-25.
        let night = |kept, now| is_due("30 2 * * *", kept, now, &RUN);
        assert_eq!(night("2026-10-24T12:00:00Z", "2026-10-25T01:40:00Z"), "run 2026-10-25 00:30Z");
        assert_eq!(night("2026-10-25T00:30:00Z", "2026-10-25T01:40:00Z"), "next 2026-10-26 01:30Z");
        // And one of the gap in spring, at its first minute after.
        assert_eq!(night("2027-03-27T12:00:00Z", "2027-03-28T01:20:00Z"), "run 2027-03-28 01:00Z");
        assert_eq!(night("2027-03-28T01:00:00Z", "2027-03-28T02:40:00Z"), "next 2027-03-29 00:30Z");
    }

    #[test]
    fn patterns_mean_what_cron_makes_of_them() {
        let next = |pattern, now| ticks(pattern, now, 1).remove(0);
        let (friday, sunday) = ("2026-11-20T12:00:00Z", "2026-11-22 03:00Z");
        for pattern in ["0 4 * * 0", "0 4 * * 7", "0 4 * * sun", "0 4 * * SUN"] {
            assert_eq!(next(pattern, friday), sunday, "{pattern}");
        }
        assert_eq!(next("0 4 * * 1", friday), "2026-11-23 03:00Z", "1 is Monday");
        assert_eq!(next("0 4 * * 1-5", "2026-11-20T12:00:00Z"), "2026-11-23 03:00Z");
        assert_eq!(next("0 4 * * 5-7", "2026-11-21T12:00:00Z"), sunday);
        assert_eq!(next("0 4 1 jan *", friday), "2027-01-01 03:00Z");
        assert_eq!(
            ticks("*/20 4-5 * * *", friday, 7),
            ["03:00", "03:20", "03:40", "04:00", "04:20", "04:40"]
                .map(|time| format!("2026-11-21 {time}Z"))
                .into_iter()
                .chain(["2026-11-22 03:00Z".to_owned()])
                .collect::<Vec<_>>()
        );
        // Day of the month or day of the week, where both are given (crontab(5)).
        assert_eq!(
            ticks("0 4 25 * 0", friday, 3),
            ["2026-11-22 03:00Z", "2026-11-25 03:00Z", "2026-11-29 03:00Z"]
        );
    }

    #[test]
    fn the_29_february_comes_in_leap_years_only() {
        assert_eq!(
            ticks("0 4 29 2 *", "2026-11-20T12:00:00Z", 2),
            ["2028-02-29 03:00Z", "2032-02-29 03:00Z"]
        );
        assert_eq!(
            ticks("10 5 * * *", "2028-02-28T00:00:00Z", 3),
            ["2028-02-28 04:10Z", "2028-02-29 04:10Z", "2028-03-01 04:10Z"]
        );
    }

    #[test]
    fn an_hourly_time_runs_once_in_the_hour_that_comes_twice_and_in_none_that_does_not_exist() {
        assert_eq!(
            ticks("0 * * * *", "2026-10-24T23:30:00Z", 3),
            ["2026-10-25 00:00Z", "2026-10-25 02:00Z", "2026-10-25 03:00Z"]
        );
        assert_eq!(
            ticks("0 * * * *", "2027-03-27T23:30:00Z", 3),
            ["2027-03-28 00:00Z", "2027-03-28 01:00Z", "2027-03-28 02:00Z"]
        );
    }

    /// The ticks after an instant, in UTC.
    fn ticks(pattern: &str, from: &str, count: usize) -> Vec<String> {
        let pattern = parse_cron(pattern).unwrap();
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
        let pattern = parse_cron("10 5 * * *").unwrap();
        let now: DateTime<Utc> = "2026-11-20T04:09:59.900Z".parse().unwrap();
        let tick = next_tick(&pattern, chrono_tz::Europe::Paris, now).unwrap();
        assert_eq!(tick.to_rfc3339(), "2026-11-20T04:10:00+00:00");
    }

    #[test]
    fn a_tick_is_never_the_present_instant_again() {
        assert_eq!(ticks("10 5 * * *", "2026-11-20T04:10:00Z", 1), ["2026-11-21 04:10Z"]);
    }
}
