//! Which bar lies on which lane: those with a connection on that connection's, the others where there is room.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Band, Item, Timeline};

/// A line of the picture; the items on it do not overlap, save on the last lane of a picture that has too many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The connection, on its first lane; the lanes of what overlaps there have no name, nor have those of items without one.
    pub name: Option<String>,
    /// The items, by their place in the timeline, in the order in which they started.
    pub items: Vec<usize>,
}

/// How many lanes are drawn; what finds no room lies on the last one.
pub(super) const MOST_LANES: usize = 48;

type Span = (DateTime<Utc>, DateTime<Utc>);

impl Timeline {
    /// The lanes: one for each connection, `load 1` before `load 2`, the kind that began to work first at the top; then those of the
    /// items that name none. Items of one connection that overlap by more than clocks differ lie on lanes below each other.
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|at| (self.items[*at].start, *at));
        let mut groups: Vec<(Option<&str>, Vec<usize>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for at in order {
            let name = self.items[at].lane.as_deref();
            let place = *places.entry(name).or_insert_with(|| {
                groups.push((name, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(at);
        }
        let mut kinds: Vec<&str> = Vec::new();
        for (kind, _) in groups.iter().filter_map(|(name, _)| name.map(kind_and_number)) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        groups.sort_by_key(|(name, _)| {
            let (kind, number) = name.map_or(("", 0), kind_and_number);
            (name.is_none(), kinds.iter().position(|known| *known == kind), number)
        });
        let mut lanes: Vec<Lane> = Vec::new();
        for (name, items) in groups {
            let spans = items.iter().map(|at| self.span_of(&self.items[*at]));
            let room = MOST_LANES.saturating_sub(lanes.len()).max(1);
            let overlap = if name.is_some() { INEXACT } else { TimeDelta::zero() };
            for (nth, row) in packed(spans, room, overlap).into_iter().enumerate() {
                let items = row.into_iter().map(|nth| items[nth]).collect();
                lanes.push(Lane { name: name.filter(|_| nth == 0).map(str::to_owned), items });
            }
        }
        merge_beyond(&mut lanes);
        lanes
    }

    /// The bands, packed in the same way: a stage above its steps.
    pub(super) fn band_rows(&self) -> Vec<Vec<&Band>> {
        let mut bands: Vec<&Band> = self.bands.iter().collect();
        let span = |band: &Band| (band.start, band.end.unwrap_or(self.to).max(band.start));
        bands.sort_by_key(|band| (band.start, std::cmp::Reverse(span(band).1)));
        let rows = packed(bands.iter().map(|band| span(band)), MOST_BAND_ROWS, TimeDelta::zero());
        rows.into_iter().map(|row| row.into_iter().map(|at| bands[at]).collect()).collect()
    }

    fn span_of(&self, item: &Item) -> Span {
        (item.start, item.end.unwrap_or(self.to).max(item.start))
    }
}

/// `load 12` is the twelfth of its kind.
fn kind_and_number(name: &str) -> (&str, u64) {
    let (kind, number) = name.rsplit_once(' ').unwrap_or((name, ""));
    number.parse().map_or((name, 0), |number| (kind, number))
}

const MOST_BAND_ROWS: usize = 4;

/// What was done on one connection was done one after the other. Its times are not that exact: the ledger takes those of the server
/// when it is told, a moment after the work has ended, and durations are whole milliseconds.
const INEXACT: TimeDelta = TimeDelta::milliseconds(50);

/// Interval colouring: each span, in order of its start, goes on the first row that is free, or will be within `overlap`.
fn packed(spans: impl Iterator<Item = Span>, most: usize, overlap: TimeDelta) -> Vec<Vec<usize>> {
    let mut rows: Vec<(DateTime<Utc>, Vec<usize>)> = Vec::new();
    for (at, (start, end)) in spans.enumerate() {
        let free = rows.iter().position(|(until, _)| *until - start <= overlap);
        match free.or((rows.len() == most).then(|| most - 1)) {
            Some(row) => {
                rows[row].0 = rows[row].0.max(end);
                rows[row].1.push(at);
            }
            None => rows.push((end, vec![at])),
        }
    }
    rows.into_iter().map(|(_, items)| items).collect()
}

/// More connections than lanes: the last ones share a lane.
fn merge_beyond(lanes: &mut Vec<Lane>) {
    let beyond = lanes.split_off(lanes.len().min(MOST_LANES));
    if let Some(last) = lanes.last_mut().filter(|_| !beyond.is_empty()) {
        last.name = None;
        last.items.extend(beyond.into_iter().flat_map(|lane| lane.items));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, item, timeline};
    use super::*;

    fn names_and_items(timeline: &Timeline) -> Vec<(Option<String>, Vec<usize>)> {
        timeline.lanes().into_iter().map(|lane| (lane.name, lane.items)).collect()
    }

    #[test]
    fn an_item_stays_on_its_connection_and_others_go_where_there_is_room() {
        let mut items = vec![item(0, 10), item(5, 20), item(10, 12), item(0, 30), item(31, 32)];
        items[3].lane = Some("b".into());
        items[4].lane = Some("b".into());
        assert_eq!(
            names_and_items(&timeline(items)),
            [(Some("b".into()), vec![3, 4]), (None, vec![0, 2]), (None, vec![1])]
        );
    }

    #[test]
    fn connections_of_a_kind_lie_together_in_the_order_of_their_numbers() {
        let mut items: Vec<Item> = (0..5_i64).map(|nth| item(nth, 60)).collect();
        for (item, name) in items.iter_mut().zip(["load 10", "index 1", "load 2", "check", "load"]) {
            item.lane = Some(name.into());
        }
        let names: Vec<_> = timeline(items).lanes().into_iter().filter_map(|lane| lane.name).collect();
        assert_eq!(names, ["load", "load 2", "load 10", "index 1", "check"]);
    }

    #[test]
    fn what_overlaps_on_one_connection_lies_below() {
        let mut items = vec![item(0, 10), item(2, 4)];
        items.iter_mut().for_each(|item| item.lane = Some("a".into()));
        assert_eq!(names_and_items(&timeline(items)), [(Some("a".into()), vec![0]), (None, vec![1])]);
    }

    #[test]
    fn what_overlaps_on_one_connection_by_less_than_clocks_differ_lies_on_its_lane() {
        let mut items = vec![item(0, 10), item(10, 12), item(20, 22)];
        items[1].start -= TimeDelta::milliseconds(49);
        items[2].start = at(12) - TimeDelta::milliseconds(51);
        assert_eq!(names_and_items(&timeline(items.clone())), [(None, vec![0, 2]), (None, vec![1])]);
        items.iter_mut().for_each(|item| item.lane = Some("load 1".into()));
        assert_eq!(names_and_items(&timeline(items)), [(Some("load 1".into()), vec![0, 1]), (None, vec![2])]);
    }

    #[test]
    fn an_item_without_an_end_keeps_its_lane_to_the_right_edge() {
        let mut items = vec![item(0, 10), item(20, 30)];
        items[0].end = None;
        assert_eq!(timeline(items).lanes().len(), 2);
    }

    #[test]
    fn no_picture_has_more_lanes_than_fit_and_no_item_is_lost() {
        let crowd: Vec<Item> = (0..500).map(|_| item(0, 10)).collect();
        let mut named = crowd.clone();
        named.iter_mut().enumerate().for_each(|(nth, item)| item.lane = Some(nth.to_string()));
        for items in [crowd, named] {
            let lanes = timeline(items).lanes();
            assert_eq!(lanes.len(), MOST_LANES);
            assert_eq!(lanes.iter().map(|lane| lane.items.len()).sum::<usize>(), 500);
        }
    }

    #[test]
    fn a_stage_lies_above_its_steps_even_when_they_start_together() {
        let mut timeline = timeline(vec![]);
        let band = |label: &str, start, end| Band {
            label: label.into(),
            start: at(start),
            end: Some(at(end)),
            failed: false,
        };
        timeline.bands = vec![band("fetch", 0, 5), band("stage", 0, 60), band("load", 5, 60)];
        let rows: Vec<Vec<&str>> = timeline
            .band_rows()
            .iter()
            .map(|row| row.iter().map(|band| band.label.as_str()).collect())
            .collect();
        assert_eq!(rows, [vec!["stage"], vec!["fetch", "load"]]);
    }
}
