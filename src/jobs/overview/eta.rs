//! When a run will be done, from how long earlier nights took. Pure.
//!
//! The rest of the step at work, as far as it can be told; then the steps that follow, then the stages that follow, each by the median of
//! the last nights that ended well.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// How many earlier nights are looked at.
pub(super) const NIGHTS: usize = 7;

/// Below this much of a step, its pace says nothing yet.
const TOO_LITTLE: f64 = 0.02;

/// When a run will be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Eta {
    /// When, if it goes on as it does.
    pub ends_at: DateTime<Utc>,
    /// How long that is, in milliseconds.
    pub remaining_ms: i64,
    /// Of these, the step at work.
    pub step_remaining_ms: i64,
    /// Of these, the stage at work, its step included.
    pub stage_remaining_ms: i64,
    /// How many earlier nights were looked at.
    pub nights: usize,
}

/// How long a stage took in an earlier night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Took {
    /// In all.
    pub(super) stage_ms: i64,
    /// Its steps, in their order.
    pub(super) steps: Vec<(String, i64)>,
}

/// Earlier nights, the youngest first, by stage.
pub(super) type Earlier<'a> = BTreeMap<&'a str, Vec<Took>>;

/// Where a run is.
#[derive(Debug, Clone)]
pub(super) struct Position<'a> {
    /// The stage at work, or the one that comes next.
    pub(super) stage: &'a str,
    /// The steps that this attempt has begun, the last one at work.
    pub(super) begun: Vec<&'a str>,
    /// How long the last of these has been at work, in milliseconds; none where none is.
    pub(super) elapsed_ms: Option<i64>,
    /// How much of it is done, from 0 to 1, where that is known.
    pub(super) fraction: Option<f64>,
    /// The stages that follow.
    pub(super) following: &'a [&'a str],
}

/// When a run that is here will be done; none where no earlier night has this stage.
pub(super) fn eta(position: &Position<'_>, earlier: &Earlier<'_>, now: DateTime<Utc>) -> Option<Eta> {
    let of_stage = earlier.get(position.stage).filter(|nights| !nights.is_empty())?;
    let step = position.elapsed_ms.zip(position.begun.last());
    let step_remaining_ms =
        step.map_or(0, |(elapsed, step)| rest(elapsed, median_of_step(of_stage, step), position.fraction));
    // The order is the last night's; a step that this attempt has begun does not come again.
    let later = of_stage[0].steps.iter().filter(|(step, _)| !position.begun.contains(&step.as_str()));
    let later_ms: i64 = later.filter_map(|(step, _)| median_of_step(of_stage, step)).sum();
    let stage_remaining_ms = step_remaining_ms + later_ms;
    let medians = position
        .following
        .iter()
        .filter_map(|stage| median(earlier.get(stage)?.iter().map(|night| night.stage_ms).collect()));
    let remaining_ms = stage_remaining_ms + medians.sum::<i64>();
    Some(Eta {
        ends_at: now + TimeDelta::milliseconds(remaining_ms),
        remaining_ms,
        step_remaining_ms,
        stage_remaining_ms,
        nights: of_stage.len(),
    })
}

/// What is left of a step: by its own pace where enough of it is done, else by what it usually takes.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "milliseconds of hours")]
fn rest(elapsed_ms: i64, usual_ms: Option<i64>, fraction: Option<f64>) -> i64 {
    let elapsed = elapsed_ms as f64;
    let Some(fraction) = fraction.filter(|fraction| *fraction >= TOO_LITTLE) else {
        return usual_ms.map_or(0, |usual| (usual - elapsed_ms).max(0));
    };
    let left = 1.0 - fraction.min(1.0);
    let by_pace = elapsed * left / fraction;
    let by_usual = usual_ms.map_or(by_pace, |usual| usual as f64 * left);
    // At the beginning a few tables say little of the others: the pace counts for as much as it has seen.
    (fraction * by_pace + left * by_usual).round() as i64
}

fn median_of_step(nights: &[Took], step: &str) -> Option<i64> {
    let of_night = |night: &Took| {
        let mut times = night.steps.iter().filter(|(name, _)| name == step).map(|(_, ms)| *ms).peekable();
        times.peek().is_some().then(|| times.sum())
    };
    median(nights.iter().filter_map(of_night).collect())
}

/// The middle one; of two, what is between them.
pub(super) fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(i64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T05:00:00Z".parse().unwrap()
    }

    fn took(steps: &[(&str, i64)]) -> Took {
        let steps: Vec<(String, i64)> = steps.iter().map(|(step, ms)| ((*step).to_owned(), *ms)).collect();
        Took { stage_ms: steps.iter().map(|(_, ms)| ms).sum(), steps }
    }

    fn earlier() -> Earlier<'static> {
        let full = |load| took(&[("schema", 1_000), ("load", load), ("publish", 2_000)]);
        // One night took far longer than the others: the median does not mind.
        BTreeMap::from([
            ("full-replication", vec![full(60_000), full(900_000), full(64_000)]),
            ("notification", vec![took(&[("notify", 500)])]),
        ])
    }

    fn in_load(elapsed_ms: i64, fraction: Option<f64>) -> Position<'static> {
        Position {
            stage: "full-replication",
            begun: vec!["schema", "load"],
            elapsed_ms: Some(elapsed_ms),
            fraction,
            following: &["incremental-replication", "notification"],
        }
    }

    #[test]
    fn what_is_left_is_the_rest_of_the_step_the_later_steps_and_the_later_stages() {
        let eta = eta(&in_load(24_000, None), &earlier(), now()).unwrap();
        assert_eq!(
            (eta.step_remaining_ms, eta.stage_remaining_ms, eta.remaining_ms),
            (40_000, 42_000, 42_500)
        );
        assert_eq!((eta.nights, eta.ends_at), (3, now() + TimeDelta::milliseconds(42_500)));
    }

    #[test]
    fn a_step_is_told_by_its_own_pace_the_more_of_it_is_done() {
        let rest =
            |fraction| eta(&in_load(100_000, Some(fraction)), &earlier(), now()).unwrap().step_remaining_ms;
        // Half of what is usual is 32 s, and by its pace 100 s are left.
        assert_eq!(rest(0.5), 66_000);
        assert_eq!(rest(0.8), 22_560);
        assert_eq!(rest(1.0), 0);
        assert_eq!(rest(0.01), 0, "what is usual, and that is over");
    }

    #[test]
    fn the_pace_alone_counts_where_no_earlier_night_has_the_step() {
        let position = Position { begun: vec!["schema", "backup"], ..in_load(30_000, Some(0.25)) };
        let eta = eta(&position, &earlier(), now()).unwrap();
        assert_eq!(eta.step_remaining_ms, 90_000);
        assert_eq!(eta.stage_remaining_ms, 90_000 + 64_000 + 2_000, "load is still to come");
    }

    #[test]
    fn without_an_earlier_night_nothing_is_said() {
        let position = Position { stage: "schema-export", ..in_load(1, None) };
        assert_eq!(eta(&position, &earlier(), now()), None);
        assert_eq!(eta(&in_load(1, None), &BTreeMap::new(), now()), None);
    }

    #[test]
    fn between_two_stages_the_next_one_is_still_whole() {
        let position = Position { begun: vec![], elapsed_ms: None, ..in_load(0, None) };
        assert_eq!(eta(&position, &earlier(), now()).unwrap().remaining_ms, 67_500);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(
            [median(vec![]), median(vec![3]), median(vec![9, 1]), median(vec![5, 900, 1])],
            [None, Some(3), Some(5), Some(5)]
        );
    }
}
