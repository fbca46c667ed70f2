//! Names that everything above shares: the run of a night, its four stages, and the jobs beside it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One run: the UTC second it belongs to, `20261120T041000Z`. A schedule tick always gives the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The run of this instant.
    #[must_use]
    pub fn at(instant: DateTime<Utc>) -> Self {
        Self(instant.format("%Y%m%dT%H%M%SZ").to_string())
    }

    /// The run of this stage at this instant. A job beside the night has a run of its own, also where both begin in one second.
    #[must_use]
    pub fn of(stage: Stage, instant: DateTime<Utc>) -> Self {
        let Self(night) = Self::at(instant);
        if stage.is_of_night() { Self(night) } else { Self(format!("{night}-{stage}")) }
    }

    /// The instant that it is named after.
    #[must_use]
    pub fn instant(&self) -> Option<DateTime<Utc>> {
        let second = self.0.split('-').next()?;
        chrono::NaiveDateTime::parse_from_str(second, "%Y%m%dT%H%M%SZ").ok().map(|instant| instant.and_utc())
    }

    /// The job beside the night that this run is of; none where it is a night.
    #[must_use]
    pub fn beside(&self) -> Option<Stage> {
        self.0.split_once('-').and_then(|(_, stage)| stage.parse().ok())
    }

    /// The stage that it begins with, where nobody asked for a later one.
    #[must_use]
    pub fn first_stage(&self) -> Stage {
        self.beside().unwrap_or(Stage::FullReplication)
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for RunId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A stage of the night, in the order in which they run, or a job beside it, which is a run of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The whole database, enrichment included.
    FullReplication,
    /// The big append-only tables.
    IncrementalReplication,
    /// The JSON API.
    LearningContentReplication,
    /// The webhooks.
    Notification,
    /// A dump of the source into the bucket; beside the night.
    BackupPush,
    /// The warehouse's schema into another database; beside the night.
    SchemaExport,
    /// Somebody is told that something happened to a run: its own queue, no lock, no row in the ledger.
    Event,
}

impl Stage {
    /// The stages of the night in their order.
    pub const NIGHT: [Self; 4] = [
        Self::FullReplication,
        Self::IncrementalReplication,
        Self::LearningContentReplication,
        Self::Notification,
    ];

    /// What an operator may start: the night from each of its stages on, and the jobs beside it.
    pub const STARTED: [Self; 6] = [
        Self::FullReplication,
        Self::IncrementalReplication,
        Self::LearningContentReplication,
        Self::Notification,
        Self::BackupPush,
        Self::SchemaExport,
    ];

    /// All that has a queue.
    pub const ALL: [Self; 7] = [
        Self::FullReplication,
        Self::IncrementalReplication,
        Self::LearningContentReplication,
        Self::Notification,
        Self::BackupPush,
        Self::SchemaExport,
        Self::Event,
    ];

    /// Whether it is a part of the night, and not a job beside it.
    #[must_use]
    pub fn is_of_night(self) -> bool {
        Self::NIGHT.contains(&self)
    }

    /// Whether nothing else may be at work on the warehouse meanwhile. A push only reads the source: no night waits for it, and it waits for none.
    #[must_use]
    pub fn needs_warehouse(self) -> bool {
        !matches!(self, Self::BackupPush | Self::Event)
    }

    /// The name on the command line, in the ledger and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullReplication => "full-replication",
            Self::IncrementalReplication => "incremental-replication",
            Self::LearningContentReplication => "learning-content-replication",
            Self::Notification => "notification",
            Self::BackupPush => "backup-push",
            Self::SchemaExport => "schema-export",
            Self::Event => "event",
        }
    }

    /// The name of its queue, as operators have known it for years.
    #[must_use]
    pub fn queue_name(self) -> &'static str {
        match self {
            Self::FullReplication => "Replication queue",
            Self::IncrementalReplication => "Incremental replication queue",
            Self::LearningContentReplication => "Learning Content replication queue",
            Self::Notification => "Notification queue",
            Self::BackupPush => "Dump and push queue",
            Self::SchemaExport => "Schema export queue",
            Self::Event => "Event queue",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::STARTED.into_iter().find(|stage| stage.name() == text).ok_or_else(|| {
            format!("unknown stage {text:?}: one of {}", Self::STARTED.map(Self::name).join(", "))
        })
    }
}

/// A relation's schema and name, compared whole, exactly as the catalog spells them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The relation's name.
    pub name: String,
}

impl TableName {
    /// A table name from its two parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    /// For people: `public.users`. SQL goes through `adapters::postgres::ident`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn a_run_is_named_after_its_utc_second() {
        let tick = Utc.with_ymd_and_hms(2026, 11, 20, 4, 10, 0).unwrap();
        assert_eq!(RunId::at(tick).as_str(), "20261120T041000Z");
    }

    #[test]
    fn what_begins_in_the_second_of_a_night_is_another_run() {
        let tick = Utc.with_ymd_and_hms(2026, 11, 20, 4, 10, 0).unwrap();
        assert_eq!(RunId::of(Stage::Notification, tick), RunId::at(tick));
        let push = RunId::of(Stage::BackupPush, tick);
        assert_eq!(push.as_str(), "20261120T041000Z-backup-push");
        assert_eq!((push.beside(), RunId::at(tick).beside()), (Some(Stage::BackupPush), None));
        assert_eq!((push.instant(), RunId::at(tick).instant()), (Some(tick), Some(tick)));
    }

    #[test]
    fn a_stage_is_found_by_its_command_line_name_only() {
        assert_eq!("notification".parse::<Stage>(), Ok(Stage::Notification));
        assert!("Notification queue".parse::<Stage>().unwrap_err().contains("full-replication"));
    }
}
