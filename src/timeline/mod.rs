//! A picture of what happened when: a lane for each connection, a bar for each table, index, constraint or enrichment file, the
//! stages and steps above them. Plain values in, inline SVG out; no script, and every colour comes from the page's style.
//!
//! The dashboard and `nightferry logs --html` draw the same picture. A page needs [`STYLE`] once.

mod axis;
mod lanes;
mod marks;
mod svg;
mod text;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

pub use lanes::Lane;
pub use svg::svg;
pub use text::escaped;

/// The style that the picture needs. A page may set the custom properties on `.timeline` to its own colours.
pub const STYLE: &str = include_str!("style.css");

/// What a bar stands for; decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The rows of a table.
    Table,
    /// An index.
    Index,
    /// A primary key, a unique or a check constraint.
    Constraint,
    /// A foreign key.
    ForeignKey,
    /// The value of a sequence.
    Sequence,
    /// A file of the enrichment.
    Enrichment,
    /// A step of a stage.
    Step,
    /// Everything else.
    Other,
}

impl Kind {
    /// All kinds, as the legend has them.
    pub const ALL: [Self; 8] = [
        Self::Table,
        Self::Index,
        Self::Constraint,
        Self::ForeignKey,
        Self::Sequence,
        Self::Enrichment,
        Self::Step,
        Self::Other,
    ];

    /// The kind of an entry that pg_restore or the ledger calls so: `TABLE DATA`, `INDEX`, `FK CONSTRAINT`, `ENRICHMENT`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "TABLE" | "TABLE DATA" => Self::Table,
            "INDEX" => Self::Index,
            "CONSTRAINT" => Self::Constraint,
            "FK CONSTRAINT" => Self::ForeignKey,
            "SEQUENCE" | "SEQUENCE SET" => Self::Sequence,
            "ENRICHMENT" => Self::Enrichment,
            "STEP" => Self::Step,
            _ => Self::Other,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Index => "index",
            Self::Constraint => "constraint",
            Self::ForeignKey => "foreign key",
            Self::Sequence => "sequence",
            Self::Enrichment => "enrichment file",
            Self::Step => "step",
            Self::Other => "other",
        }
    }

    /// Its class in the style.
    fn class(self) -> &'static str {
        match self {
            Self::Table => "t",
            Self::Index => "i",
            Self::Constraint => "c",
            Self::ForeignKey => "f",
            Self::Sequence => "s",
            Self::Enrichment => "e",
            Self::Step => "p",
            Self::Other => "o",
        }
    }
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is called: `public.answers`.
    pub label: String,
    /// What it is.
    pub kind: Kind,
    /// The connection that it was done on; none where that is not known.
    pub lane: Option<String>,
    /// When it started.
    pub start: DateTime<Utc>,
    /// When it ended; none while it is under way, or when nobody saw its end.
    pub end: Option<DateTime<Utc>>,
    /// More to be said of it: `1,234 rows, 1.2 MB`. May be empty.
    pub detail: String,
    /// Whether it failed.
    pub failed: bool,
}

/// A stretch of the picture that has a name: a stage or a step. Bands may lie in each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// What it is called.
    pub label: String,
    /// When it started.
    pub start: DateTime<Utc>,
    /// When it ended; none while it is under way, or when nobody saw its end.
    pub end: Option<DateTime<Utc>>,
    /// Whether it failed.
    pub failed: bool,
}

/// All that is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// The left edge.
    pub from: DateTime<Utc>,
    /// The right edge. What has no end is drawn up to here.
    pub to: DateTime<Utc>,
    /// The zone of the times that are shown.
    pub zone: Tz,
    /// The bars.
    pub items: Vec<Item>,
    /// The stages and steps.
    pub bands: Vec<Band>,
}

impl Timeline {
    /// A picture of these, from the first start to the last end; `now` is the right edge while something is under way.
    #[must_use]
    pub fn around(items: Vec<Item>, bands: Vec<Band>, now: DateTime<Utc>, zone: Tz) -> Self {
        let spans = || {
            let bands = bands.iter().map(|band| (band.start, band.end));
            items.iter().map(|item| (item.start, item.end)).chain(bands)
        };
        let from = spans().map(|(start, _)| start).min().unwrap_or(now);
        let to = spans().map(|(_, end)| end.unwrap_or(now)).max().unwrap_or(now).max(from);
        Self { from, to, zone, items, bands }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    /// So many seconds after 05:10 in Paris.
    pub(super) fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_147_800, 0).unwrap() + TimeDelta::seconds(seconds)
    }

    pub(super) fn item(start: i64, end: i64) -> Item {
        Item {
            label: "public.answers".into(),
            kind: Kind::Table,
            lane: None,
            start: at(start),
            end: Some(at(end)),
            detail: String::new(),
            failed: false,
        }
    }

    pub(super) fn timeline(items: Vec<Item>) -> Timeline {
        Timeline::around(items, vec![], at(0), chrono_tz::Europe::Paris)
    }

    #[test]
    fn a_picture_reaches_from_the_first_start_to_the_last_end_or_to_now() {
        let mut items = vec![item(5, 9), item(3, 4)];
        let of = |items: &Vec<Item>| Timeline::around(items.clone(), vec![], at(60), chrono_tz::UTC);
        assert_eq!((of(&items).from, of(&items).to), (at(3), at(9)));
        items[0].end = None;
        assert_eq!(of(&items).to, at(60));
    }

    #[test]
    fn kinds_are_known_by_the_names_that_postgres_gives_them() {
        assert_eq!(
            ["TABLE DATA", "FK CONSTRAINT", "SEQUENCE SET", "ENRICHMENT", "ACL"].map(Kind::named),
            [Kind::Table, Kind::ForeignKey, Kind::Sequence, Kind::Enrichment, Kind::Other]
        );
    }
}
