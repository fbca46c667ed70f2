//! Two nights side by side: what got slower, what got faster, what only one of them has.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, TimeDelta};
use serde::{Serialize, Serializer};

use super::category::millis;
use super::{Part, Status, Summary};

/// Two nights.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Which two.
    pub nights: [Compared; 2],
    /// Backup, replication, enrichment, all, the categories and the stages.
    pub parts: Vec<Change>,
    /// What took longer in the second one, the largest difference first.
    pub slower: Vec<Change>,
    /// What took less time in the second one, the largest difference first.
    pub faster: Vec<Change>,
    /// What only one of them has, the longest first.
    pub only_in_one: Vec<Change>,
}

/// One of the two. One that broke off is not to be held against a whole one, so it is said.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// What it is called: its day, or its log.
    pub name: String,
    /// Its run, where the log names one.
    pub run: Option<String>,
    /// Its first line.
    pub started_at: Option<DateTime<FixedOffset>>,
    /// How it ended.
    pub status: Status,
}

impl Compared {
    fn new(name: String, night: &Summary) -> Self {
        Self { name, run: night.run.clone(), started_at: night.started_at, status: night.status }
    }
}

/// How long the same thing took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is called.
    pub name: String,
    /// In the first night.
    #[serde(rename = "before_ms", serialize_with = "as_millis")]
    pub before: Option<TimeDelta>,
    /// In the second night.
    #[serde(rename = "after_ms", serialize_with = "as_millis")]
    pub after: Option<TimeDelta>,
    /// How much longer in the second night.
    #[serde(rename = "difference_ms", serialize_with = "super::category::as_millis")]
    pub difference: TimeDelta,
}

fn as_millis<S: Serializer>(duration: &Option<TimeDelta>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(millis).serialize(serializer)
}

impl Change {
    fn new(name: &str, before: Option<TimeDelta>, after: Option<TimeDelta>) -> Self {
        let difference = after.unwrap_or_default() - before.unwrap_or_default();
        Self { name: name.to_owned(), before, after, difference }
    }
}

/// Compares two nights; `parts` are the headings of backup, replication, enrichment and of all.
#[must_use]
pub fn compare(names: [String; 2], before: &Summary, after: &Summary, parts: [&str; 4]) -> Comparison {
    let (mut slower, mut faster, mut only_in_one) = (Vec::new(), Vec::new(), Vec::new());
    for change in both(items(before), items(after)) {
        match (change.before, change.after) {
            (Some(before), Some(after)) if after > before => slower.push(change),
            (Some(before), Some(after)) if after < before => faster.push(change),
            (Some(_), Some(_)) => {}
            _ => only_in_one.push(change),
        }
    }
    slower.sort_by_key(|change| Reverse(change.difference));
    faster.sort_by_key(|change| change.difference);
    only_in_one.sort_by_key(|change| Reverse(change.difference.abs()));
    let [first, second] = names;
    let nights = [Compared::new(first, before), Compared::new(second, after)];
    Comparison { nights, parts: of_parts(before, after, parts), slower, faster, only_in_one }
}

fn of_parts(before: &Summary, after: &Summary, names: [&str; 4]) -> Vec<Change> {
    let four = |run: &Summary| {
        let all = &run.durations;
        [all.backup, all.replication, all.enrichment, all.total]
            .map(|part: Option<Part>| part.map(|part| part.duration))
    };
    let mut parts: Vec<Change> = names
        .into_iter()
        .zip(four(before).into_iter().zip(four(after)))
        .map(|(name, (before, after))| Change::new(name, before, after))
        .collect();
    for (left, right) in before.categories.iter().zip(&after.categories) {
        if left.count + right.count > 0 {
            let time = |category: &super::CategorySummary| (category.count > 0).then_some(category.total);
            parts.push(Change::new(left.category.name(), time(left), time(right)));
        }
    }
    let stages = |run: &Summary| {
        let mut times = BTreeMap::new();
        for stage in &run.stages {
            *times.entry(stage.stage.clone()).or_insert_with(TimeDelta::zero) += stage.part.duration;
        }
        times
    };
    parts.extend(both(stages(before), stages(after)));
    parts
}

/// The items by name; those of one name, of several tries, together.
fn items(run: &Summary) -> BTreeMap<String, TimeDelta> {
    let mut times = BTreeMap::new();
    for item in &run.items {
        let took = item.end.map_or(TimeDelta::zero(), |end| end - item.start);
        *times.entry(item.label.clone()).or_insert_with(TimeDelta::zero) += took;
    }
    times
}

fn both(before: BTreeMap<String, TimeDelta>, mut after: BTreeMap<String, TimeDelta>) -> Vec<Change> {
    let mut changes: Vec<Change> =
        before.into_iter().map(|(name, time)| Change::new(&name, Some(time), after.remove(&name))).collect();
    changes.extend(after.into_iter().map(|(name, time)| Change::new(&name, None, Some(time))));
    changes
}
