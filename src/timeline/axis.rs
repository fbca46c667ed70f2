//! The times below the picture: round ones, few enough to be read.

use chrono::{DateTime, Offset, TimeDelta, Utc};
use chrono_tz::Tz;

/// A time on the axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tick {
    /// Where it is.
    pub(super) at: DateTime<Utc>,
    /// What it says: `05:10`.
    pub(super) label: String,
    /// The day, on the first tick and on the first one of each day.
    pub(super) day: Option<String>,
}

const MOST_TICKS: i64 = 10;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The distances between ticks that people find round, in milliseconds.
const STEPS: [i64; 25] = [
    1,
    10,
    100,
    200,
    500,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    7 * DAY,
    30 * DAY,
];

/// The ticks from one time to another.
pub(super) fn ticks(from: DateTime<Utc>, to: DateTime<Utc>, zone: Tz) -> Vec<Tick> {
    let length = (to - from).num_milliseconds().max(1);
    let step = STEPS.into_iter().find(|step| length / step <= MOST_TICKS).unwrap_or(length / MOST_TICKS);
    // Round in the zone's own hours: an offset may have half an hour.
    let offset = i64::from(from.with_timezone(&zone).offset().fix().local_minus_utc()) * SECOND;
    let local = from.timestamp_millis().saturating_add(offset);
    let first = local.saturating_add(step - 1).div_euclid(step).saturating_mul(step).saturating_sub(offset);
    let mut day_before = None;
    (0..=MOST_TICKS)
        .filter_map(|nth| DateTime::from_timestamp_millis(first.checked_add(nth * step)?))
        .take_while(|at| *at <= to)
        .map(|at| {
            let local = at.with_timezone(&zone);
            let day = local.date_naive();
            let is_new = day_before.replace(day) != Some(day);
            let form = if step < SECOND {
                "%H:%M:%S%.3f"
            } else if step < MINUTE {
                "%H:%M:%S"
            } else {
                "%H:%M"
            };
            Tick { at, label: local.format(form).to_string(), day: is_new.then(|| day.to_string()) }
        })
        .collect()
}

/// The edges of a picture that has some width, however little happened.
pub(super) fn widened(from: DateTime<Utc>, to: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let least = TimeDelta::milliseconds(100);
    if to - from >= least { (from, to) } else { (from, from.checked_add_signed(least).unwrap_or(from)) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::at;
    use super::*;
    use chrono_tz::{Asia, Europe};

    fn labels(from: i64, to: i64, zone: Tz) -> Vec<String> {
        ticks(at(from), at(to), zone).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn a_second_and_half_a_day_both_have_round_times() {
        let second = labels(0, 1, Europe::Paris);
        assert_eq!((second.len(), second[0].as_str()), (11, "05:10:00.000"));
        assert_eq!(labels(0, 90, Europe::Paris)[..2], ["05:10:00", "05:10:10"]);
        assert_eq!(
            labels(0, 12 * 3600, Europe::Paris),
            ["06:00", "08:00", "10:00", "12:00", "14:00", "16:00"]
        );
    }

    #[test]
    fn times_are_round_where_an_offset_is_not() {
        assert_eq!(labels(0, 4 * 3600, Asia::Kolkata)[..2], ["10:00", "10:30"]);
    }

    #[test]
    fn the_day_is_said_once_and_again_after_midnight() {
        let days: Vec<Option<String>> =
            ticks(at(0), at(30 * 3600), Europe::Paris).into_iter().map(|tick| tick.day).collect();
        assert_eq!(days.iter().flatten().collect::<Vec<_>>(), ["2026-11-20", "2026-11-21"]);
        assert!(days[0].is_some() && days[1].is_none());
    }

    #[test]
    fn no_span_has_too_many_ticks_or_none_at_all_that_is_wide() {
        for seconds in [1, 7, 59, 3_600, 86_400, 40 * 86_400, 4_000 * 86_400] {
            let number = labels(3, 3 + seconds, Europe::Paris).len();
            assert!((3..=11).contains(&number), "{seconds} s: {number}");
        }
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        assert!(ticks(first, last, Europe::Paris).len() <= 11);
        assert_eq!(widened(last, last), (last, last));
    }
}
