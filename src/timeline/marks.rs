//! From items to bars: what is too narrow to be seen is drawn as one with what lies beside it, so that a picture of twenty thousand
//! indexes is no larger than a page may be.

use chrono::{DateTime, TimeDelta, Utc};

use super::lanes::Lane;
use super::{Item, Kind, Timeline};

/// Where times lie on the page, in units of the picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) left: f64,
    pub(super) width: f64,
}

impl Scale {
    /// The place of a time; what lies outside is drawn at the edge.
    #[expect(clippy::cast_precision_loss, reason = "a tenth of a unit is what is drawn")]
    pub(super) fn x(&self, at: DateTime<Utc>) -> f64 {
        let length = (self.to - self.from).num_microseconds().unwrap_or(i64::MAX).max(1);
        let passed = (at - self.from).num_microseconds().unwrap_or(if at < self.from { 0 } else { i64::MAX });
        self.left + self.width * (passed as f64 / length as f64).clamp(0.0, 1.0)
    }
}

/// A bar: an item, or several that are too narrow to be told apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    pub(super) start: f64,
    pub(super) end: f64,
    /// The longest of its items, or the one that failed.
    pub(super) item: usize,
    /// How many items it stands for.
    pub(super) number: usize,
    /// The time of them all.
    pub(super) busy: TimeDelta,
    /// Whether it can be reached by the keyboard.
    pub(super) is_stop: bool,
}

/// How many bars a picture has at the most: about 150 bytes each, within the 300 kB of a page.
pub(super) const MOST_MARKS: usize = 500;

/// How many bars the keyboard stops at: the longest ones, and what failed. Nobody steps through five hundred.
pub(super) const MOST_STOPS: usize = 100;

const NARROW: f64 = 0.5;

/// The bars of each lane.
pub(super) fn of(timeline: &Timeline, lanes: &[Lane], scale: Scale) -> Vec<Vec<Mark>> {
    let mut narrow = NARROW;
    loop {
        let mut marks: Vec<Vec<Mark>> =
            lanes.iter().map(|lane| merged(timeline, lane, scale, narrow)).collect();
        if marks.iter().map(Vec::len).sum::<usize>() <= MOST_MARKS || narrow > scale.width {
            choose_stops(timeline, &mut marks);
            return marks;
        }
        narrow *= 1.5;
    }
}

/// The bars of a lane: items narrower than `narrow` join the one before them, as long as the whole stays that narrow.
fn merged(timeline: &Timeline, lane: &Lane, scale: Scale, narrow: f64) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    for at in &lane.items {
        let item = &timeline.items[*at];
        let (start, end) = (scale.x(item.start), scale.x(item.end.unwrap_or(timeline.to)));
        let mark = Mark {
            start,
            end: end.max(start),
            item: *at,
            number: 1,
            busy: timeline.duration(item),
            is_stop: false,
        };
        match marks.last_mut() {
            Some(last)
                if last.start + narrow > mark.start.max(last.end) && mark.end - mark.start < narrow =>
            {
                last.join(&mark, timeline);
            }
            _ => marks.push(mark),
        }
    }
    marks
}

impl Mark {
    fn join(&mut self, other: &Self, timeline: &Timeline) {
        let rank = |at: usize| (timeline.items[at].failed, timeline.duration(&timeline.items[at]));
        if rank(other.item) > rank(self.item) {
            self.item = other.item;
        }
        self.end = self.end.max(other.end);
        self.number += 1;
        self.busy += other.busy;
    }
}

fn choose_stops(timeline: &Timeline, marks: &mut [Vec<Mark>]) {
    let mut all: Vec<&mut Mark> = marks.iter_mut().flatten().collect();
    all.sort_by_key(|mark| std::cmp::Reverse((timeline.items[mark.item].failed, mark.busy)));
    all.into_iter().take(MOST_STOPS).for_each(|mark| mark.is_stop = true);
}

impl Timeline {
    /// How long an item took, or has taken so far.
    pub(super) fn duration(&self, item: &Item) -> TimeDelta {
        (item.end.unwrap_or(self.to) - item.start).max(TimeDelta::zero())
    }

    /// The kinds that the picture shows, as the legend has them.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut shown = std::collections::BTreeSet::new();
        shown.extend(self.items.iter().map(|item| item.kind));
        Kind::ALL.into_iter().filter(|kind| shown.contains(kind)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{item, timeline};
    use super::*;

    fn marks(items: Vec<Item>) -> Vec<Vec<Mark>> {
        let timeline = timeline(items);
        let scale = Scale { from: timeline.from, to: timeline.to, left: 0.0, width: 880.0 };
        of(&timeline, &timeline.lanes(), scale)
    }

    #[test]
    fn what_can_be_seen_stays_apart() {
        let all = marks(vec![item(0, 100), item(100, 200), item(300, 1000)]);
        assert_eq!(all.iter().flatten().map(|mark| mark.number).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!((all[0][1].start, all[0][1].end), (88.0, 176.0));
    }

    #[test]
    fn what_is_too_narrow_is_drawn_as_one_that_is_called_after_the_longest() {
        let mut items: Vec<Item> = (0..3600).map(|second| item(second, second + 1)).collect();
        items[3].failed = true;
        items.push(item(40_000, 80_000));
        let all = marks(items);
        assert!(all[0].len() < 200, "{}", all[0].len());
        assert_eq!((all[0][0].item, all[0].last().map(|mark| mark.number)), (3, Some(1)));
    }

    #[test]
    fn twenty_thousand_items_on_eight_lanes_stay_within_the_budget_and_none_is_lost() {
        let items = (0..20_000).map(|nth| item(nth, nth + 8)).collect();
        let all: Vec<Mark> = marks(items).into_iter().flatten().collect();
        assert!((8..=MOST_MARKS).contains(&all.len()), "{}", all.len());
        assert_eq!(all.iter().map(|mark| mark.number).sum::<usize>(), 20_000);
        assert_eq!(all.iter().filter(|mark| mark.is_stop).count(), MOST_STOPS);
    }
}
