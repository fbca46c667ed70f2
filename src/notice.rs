//! What happened to a run, as somebody outside is told: plain values.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::Stage;

/// What somebody can ask to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A run began.
    Started,
    /// A run ended well.
    Succeeded,
    /// A run failed for good.
    Failed,
    /// A run was stopped, died or was cancelled in the middle, and does not go on by itself.
    Interrupted,
    /// No night ended well for longer than `LATE_AFTER`.
    Late,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Started, Self::Succeeded, Self::Failed, Self::Interrupted, Self::Late];

    /// The name in settings, webhooks and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Late => "late",
        }
    }
}

/// An error as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Its kind's name.
    pub kind: String,
    /// The sentence.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind().name().to_owned(),
            message: error.to_string(),
            hint: error.operator_hint().map(str::to_owned),
        }
    }
}

/// One event of one run, with all that can be said of it when the ledger cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// The job that it happened to (`20261120T041000Z.full-replication.1`); with the event it names the notice.
    pub of: String,
    /// The stage, where one is to be named.
    pub stage: Option<Stage>,
    /// What went wrong.
    pub trouble: Option<Trouble>,
    /// Who was told already: hashes of endpoints.
    #[serde(default)]
    pub told: Vec<String>,
}

impl Notice {
    /// Its name, the same however often it is sent: `20261120T041000Z.full-replication.1.failed`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", self.of, self.event.name())
    }
}
