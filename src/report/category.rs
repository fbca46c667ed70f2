//! What took how long, by category: the total, the number, and the slowest few.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::timeline::Kind;

/// The categories that operators know, in the order in which they are printed, and one for all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Category {
    /// Foreign keys.
    #[serde(rename = "FK CONSTRAINT")]
    ForeignKey,
    /// Primary keys, unique and check constraints.
    #[serde(rename = "CONSTRAINT")]
    Constraint,
    /// Indexes.
    #[serde(rename = "INDEX")]
    Index,
    /// Sequences and their values.
    #[serde(rename = "SEQUENCE")]
    Sequence,
    /// The rows of tables.
    #[serde(rename = "TABLE DATA")]
    TableData,
    /// Everything else: materialized views, triggers, enrichment.
    #[serde(rename = "OTHER")]
    Other,
}

impl Category {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::ForeignKey, Self::Constraint, Self::Index, Self::Sequence, Self::TableData, Self::Other];

    /// The name that is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ForeignKey => "FK CONSTRAINT",
            Self::Constraint => "CONSTRAINT",
            Self::Index => "INDEX",
            Self::Sequence => "SEQUENCE",
            Self::TableData => "TABLE DATA",
            Self::Other => "OTHER",
        }
    }

    /// The category of an item by what it is called: `SEQUENCE SET answers_id_seq`.
    pub(super) fn of(what: &[u8]) -> Self {
        let named = |name: &str| {
            what.strip_prefix(name.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b' ')))
        };
        if named("CHECK CONSTRAINT") {
            return Self::Constraint;
        }
        Self::ALL.into_iter().find(|category| named(category.name())).unwrap_or(Self::Other)
    }

    pub(super) fn place(self) -> usize {
        Self::ALL.iter().position(|category| *category == self).unwrap_or(0)
    }
}

/// How an item is drawn: as its category. Those of the enrichment have none of their own: operators know five.
pub(super) fn kind_of(what: &[u8]) -> Kind {
    match Category::of(what) {
        Category::Other if what.starts_with(b"ENRICHMENT ") => Kind::Enrichment,
        category => Kind::named(category.name()),
    }
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timed {
    /// What it is called: `FK CONSTRAINT answers answers_userid_foreign`.
    pub name: String,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: TimeDelta,
    /// When it started.
    pub started_at: DateTime<Utc>,
}

/// The items of one category, without the items.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub(super) count: u64,
    pub(super) total: TimeDelta,
    /// The slowest first.
    pub(super) slowest: Vec<Timed>,
}

impl Totals {
    /// Adds an item; `name` is only asked for when it is among the `top` slowest.
    pub(super) fn add(
        &mut self,
        duration: TimeDelta,
        started_at: DateTime<Utc>,
        top: usize,
        name: impl FnOnce() -> String,
    ) {
        self.count += 1;
        self.total = self.total.checked_add(&duration).unwrap_or(self.total);
        // Of equal ones the first stays in front.
        if self.slowest.len() == top && self.slowest.last().is_none_or(|last| last.duration >= duration) {
            return;
        }
        self.slowest.truncate(top.saturating_sub(1));
        let place = self.slowest.partition_point(|other| other.duration >= duration);
        self.slowest.insert(place, Timed { name: name(), duration, started_at });
    }
}

/// Milliseconds, rounded.
#[must_use]
pub(super) fn millis(duration: TimeDelta) -> i64 {
    let micros = duration.num_microseconds().unwrap_or(i64::MAX / 2);
    micros.saturating_add(500).div_euclid(1000)
}

/// How a duration is written in JSON.
///
/// # Errors
/// Those of the serializer.
pub(super) fn as_millis<S: serde::Serializer>(
    duration: &TimeDelta,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(millis(*duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_belongs_to_the_category_that_its_name_begins_with() {
        let of = |what: &str| Category::of(what.as_bytes()).name();
        assert_eq!(
            ["FK CONSTRAINT a b", "CONSTRAINT a b", "CHECK CONSTRAINT a b", "INDEX i", "INDEX ATTACH i"]
                .map(of),
            ["FK CONSTRAINT", "CONSTRAINT", "CONSTRAINT", "INDEX", "INDEX"]
        );
        assert_eq!(
            ["SEQUENCE SET s", "SEQUENCE s", "TABLE DATA t", "TABLE t", "INDEXED x", ""].map(of),
            ["SEQUENCE", "SEQUENCE", "TABLE DATA", "OTHER", "OTHER", "OTHER"]
        );
    }

    #[test]
    fn an_item_is_drawn_as_its_category_and_an_enrichment_file_as_itself() {
        let of = |what: &str| (Category::of(what.as_bytes()), kind_of(what.as_bytes()));
        assert_eq!(of("ENRICHMENT 10_users.sql"), (Category::Other, Kind::Enrichment));
        assert_eq!(of("INDEX ENRICHMENT x"), (Category::Index, Kind::Index));
        assert_eq!(of("ENRICHMENTS"), (Category::Other, Kind::Other));
    }

    #[test]
    fn the_slowest_are_kept_in_order_and_all_are_counted() {
        let mut totals = Totals::default();
        for (name, seconds) in [("a", 3), ("b", 1), ("c", 7), ("d", 3), ("e", 5)] {
            let start = DateTime::UNIX_EPOCH;
            totals.add(TimeDelta::seconds(seconds), start, 3, || name.to_owned());
        }
        let names: Vec<&str> = totals.slowest.iter().map(|item| item.name.as_str()).collect();
        assert_eq!((names, totals.count, totals.total.num_seconds()), (vec!["c", "e", "a"], 5, 19));
        let mut none = Totals::default();
        none.add(TimeDelta::seconds(9), DateTime::UNIX_EPOCH, 0, || panic!("not asked for"));
        assert_eq!((none.count, none.slowest.len()), (1, 0));
    }
}
