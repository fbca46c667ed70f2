//! The times below the picture: round ones, few enough to be read.

use chrono::{DateTime, MappedLocalTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A time on the axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tick {
    /// Where it is.
    pub(super) at: DateTime<Utc>,
    /// What it says: `05:10`; `02:30 CEST` where clocks show it twice.
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
    // Longer labels need more room.
    let most =
        if is_shown_twice(from, zone) || is_shown_twice(to, zone) { MOST_TICKS / 2 } else { MOST_TICKS };
    let step = STEPS.into_iter().find(|step| length / step <= most).unwrap_or(length / most);
    // Round in the zone's own hours: an offset may have half an hour.
    let offset = i64::from(from.with_timezone(&zone).offset().fix().local_minus_utc()) * SECOND;
    let local = from.timestamp_millis().saturating_add(offset);
    let first = local.saturating_add(step - 1).div_euclid(step).saturating_mul(step).saturating_sub(offset);
    let mut day_before = None;
    (0..=most)
        .filter_map(|nth| DateTime::from_timestamp_millis(first.checked_add(nth * step)?))
        .take_while(|at| *at <= to)
        .map(|at| {
            let day = at.with_timezone(&zone).date_naive();
            let is_new = day_before.replace(day) != Some(day);
            let form = if step < SECOND {
                "%H:%M:%S%.3f"
            } else if step < MINUTE {
                "%H:%M:%S"
            } else {
                "%H:%M"
            };
            Tick { at, label: shown(at, zone, form), day: is_new.then(|| day.to_string()) }
        })
        .collect()
}

/// A time as the zone's clocks show it; with the name that the zone has then where they show it twice, as on the night on which they are
/// set back.
pub(super) fn shown(at: DateTime<Utc>, zone: Tz, form: &str) -> String {
    let time = at.with_timezone(&zone);
    let name = if is_shown_twice(at, zone) { time.format(" %Z").to_string() } else { String::new() };
    format!("{}{name}", time.format(form))
}

fn is_shown_twice(at: DateTime<Utc>, zone: Tz) -> bool {
    let offset = at.with_timezone(&zone).offset().fix();
    at.naive_utc().checked_add_offset(offset).is_some_and(|local| {
        matches!(zone.offset_from_local_datetime(&local), MappedLocalTime::Ambiguous(..))
    })
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

    /// 02:00 in Paris on the night of the 25th of October 2026, for the first time: an hour later it is 02:00 again.
    const TWO_O_CLOCK: i64 = 1_792_886_400 - 1_795_147_800;

    #[test]
    fn a_time_that_comes_twice_in_a_night_says_which_it_is() {
        let night = labels(TWO_O_CLOCK - 1800, TWO_O_CLOCK + 9000, Europe::Paris);
        assert_eq!(
            night[..],
            ["01:30", "02:00 CEST", "02:30 CEST", "02:00 CET", "02:30 CET", "03:00", "03:30"]
        );
        assert_eq!(labels(TWO_O_CLOCK - 1800, TWO_O_CLOCK + 1800, Tz::UTC)[..2], ["23:30", "23:40"]);
        let minute = labels(TWO_O_CLOCK + 60, TWO_O_CLOCK + 110, Europe::Paris);
        assert!(minute.len() <= 6 && minute[0] == "02:01:00 CEST", "{minute:?}");
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        assert!(ticks(first, last, Europe::Paris).len() <= 11);
        assert_eq!(widened(last, last), (last, last));
    }
}
