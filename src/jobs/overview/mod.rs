//! What runs now, how far it is and when it will be done, and how earlier nights went: for `nightferry status` and `history`, the
//! dashboard and the metrics. It only reads, and each look is short.

mod eta;
mod gather;
mod history;
mod measures;
mod statement;
mod under_way;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use eta::Eta;
pub use gather::{Overlook, now};
pub use history::{History, HistoryRun, StageStory, Story, history, story};
pub use measures::{Measures, WarehouseMeasures, measures};
pub use statement::What;
pub use under_way::UnderWay;

use crate::adapters::ledger::Origin;
pub use crate::adapters::ledger::{AttemptLine, LastSuccess, LedgerState, RunLine, StepLine};
pub use crate::adapters::postgres::activity::Holder;
use crate::ids::Stage;
use crate::jobs::operator::Counts;

/// How things stand at a moment.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// The moment.
    pub at: DateTime<Utc>,
    /// Whether the ledger can be read; where not, there are no runs here ([`LedgerState::sentences`] say why).
    pub ledger: LedgerState,
    /// The night that is open, or the last one.
    pub run: Option<RunNow>,
    /// Other runs that are open: a push beside the night.
    pub beside: Vec<RunNow>,
    /// What the connections to the warehouse are doing.
    pub under_way: Vec<UnderWay>,
    /// Who holds the warehouse.
    pub warehouse_lock: Option<Holder>,
    /// Whose turn it is to push a backup.
    pub push_lock: Option<Holder>,
    /// The queues.
    pub queue: QueueNow,
    /// When the schedules come next.
    pub schedule: Vec<NextTime>,
    /// When each stage, and the `night`, last ended well.
    pub last_success: Vec<LastSuccess>,
}

/// A run, and how far it is.
#[derive(Debug, Clone, Serialize)]
pub struct RunNow {
    /// The run.
    #[serde(flatten)]
    pub run: RunLine,
    /// Whether somebody is at work on it: it holds its lock.
    pub is_at_work: bool,
    /// Since when nobody is: it is open, and waits for its next job. None also where somebody died in the middle of a stage.
    pub idle_since: Option<DateTime<Utc>>,
    /// The stage at work, or the last one.
    pub stage: Option<StageNow>,
    /// The last attempt of each stage, in order of their start.
    pub stages: Vec<AttemptLine>,
    /// When it will be done; none where it is over, nobody is at work on it, or no earlier night can be compared with.
    pub eta: Option<Eta>,
}

/// A stage, and how far it is.
#[derive(Debug, Clone, Serialize)]
pub struct StageNow {
    /// The attempt; its tables, rows and bytes are those that are done.
    #[serde(flatten)]
    pub attempt: AttemptLine,
    /// Its steps.
    pub steps: Vec<StepLine>,
    /// How much of the step at work is done, in per cent.
    pub step_percent: Option<f64>,
    /// Rows so far, with those of tables that are being copied.
    pub rows_so_far: i64,
    /// The same in bytes.
    pub bytes_so_far: i64,
    /// What the last attempt that ended well wrote: tables.
    pub tables_expected: Option<i64>,
    /// And rows.
    pub rows_expected: Option<i64>,
    /// And bytes.
    pub bytes_expected: Option<i64>,
}

impl RunNow {
    /// Why nobody is at work on it though it is open, in words that end a sentence.
    #[must_use]
    pub fn idle(&self) -> Option<&'static str> {
        match self.idle_since {
            _ if self.is_at_work || self.run.status != "running" => None,
            Some(_) => Some("it waits for its next job"),
            None => Some("the process that was at it is gone"),
        }
    }

    /// Whether it is open and nobody will go on with it: a command has no job that a worker could take up.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.idle().is_some() && self.idle_since.is_none() && self.run.origin == Origin::Command.name()
    }
}

impl StageNow {
    /// The step at work, or the last one.
    #[must_use]
    pub fn step(&self) -> Option<&StepLine> {
        self.steps.last()
    }
}

/// The queues, where they answer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct QueueNow {
    /// Why they do not; none where they do, or were not asked.
    pub error: Option<String>,
    /// The jobs of each, and whether it is paused.
    pub counts: Vec<Counts>,
}

impl QueueNow {
    /// The queues whose jobs are kept waiting.
    pub fn paused(&self) -> impl Iterator<Item = Stage> {
        self.counts.iter().filter(|counts| counts.is_paused).map(|counts| counts.stage)
    }

    /// The queues whose jobs nobody takes though they are not paused; all of them where no worker is there at all.
    pub fn forsaken(&self) -> impl Iterator<Item = Stage> {
        self.counts.iter().filter(|counts| counts.is_forsaken()).map(|counts| counts.stage)
    }
}

/// When a schedule comes next, as it is set; a worker keeps it.
#[derive(Debug, Clone, Serialize)]
pub struct NextTime {
    /// `night`, `backup-push`, `schema-export`.
    pub of: &'static str,
    /// The pattern.
    pub pattern: String,
    /// When.
    pub at: DateTime<Utc>,
}
