//! How earlier runs went.

use serde::Serialize;

use super::gather::Overlook;
use super::{AttemptLine, LedgerState, RunLine, StepLine};
use crate::adapters::ledger::{ObjectLine, SkippedLine, TableLine};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// The last runs, the youngest first.
#[derive(Debug, Clone, Serialize)]
pub struct History {
    /// Whether the ledger can be read; where not, there are no runs here.
    pub ledger: LedgerState,
    /// The runs.
    pub runs: Vec<HistoryRun>,
}

/// A run, with what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryRun {
    /// The run.
    #[serde(flatten)]
    pub run: RunLine,
    /// How long it took, in milliseconds; none while it is open.
    pub duration_ms: Option<i64>,
    /// The stages that ended well, in their order.
    pub succeeded_stages: Vec<String>,
    /// The stage at work, or the one that failed.
    pub last_stage: Option<String>,
    /// Tables that were written, by the stages that ended well and the one at work.
    pub tables: i64,
    /// Their rows.
    pub rows: i64,
    /// Their bytes.
    pub bytes: i64,
}

impl HistoryRun {
    pub(super) fn of(run: RunLine, attempts: &[AttemptLine]) -> Self {
        let own: Vec<&AttemptLine> = attempts.iter().filter(|attempt| attempt.run_id == run.run_id).collect();
        let counts = |attempt: &&&AttemptLine| matches!(attempt.status.as_str(), "succeeded" | "running");
        let total = |number: fn(&AttemptLine) -> i64| own.iter().filter(counts).map(|one| number(one)).sum();
        let mut succeeded_stages: Vec<String> = Vec::new();
        for attempt in own.iter().filter(|attempt| attempt.status == "succeeded") {
            if !succeeded_stages.contains(&attempt.stage) {
                succeeded_stages.push(attempt.stage.clone());
            }
        }
        Self {
            duration_ms: run.ended_at.map(|end| (end - run.started_at).num_milliseconds()),
            succeeded_stages,
            last_stage: own.last().map(|attempt| attempt.stage.clone()),
            tables: total(|attempt| attempt.tables),
            rows: total(|attempt| attempt.rows),
            bytes: total(|attempt| attempt.bytes),
            run,
        }
    }
}

/// The last runs.
///
/// # Errors
/// The warehouse cannot be reached.
pub async fn history(config: &Config, limit: u32) -> Result<History> {
    Overlook::new(config)?.history(limit).await
}

/// All that there is to tell of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// The run.
    #[serde(flatten)]
    pub run: HistoryRun,
    /// Its attempts of stages, with their steps.
    pub stages: Vec<StageStory>,
    /// The tables that took longest.
    pub slowest_tables: Vec<TableLine>,
    /// The indexes and constraints that took longest.
    pub slowest_objects: Vec<ObjectLine>,
    /// What was left out.
    pub left_out: Vec<SkippedLine>,
}

/// One attempt of a stage, with its steps.
#[derive(Debug, Clone, Serialize)]
pub struct StageStory {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptLine,
    /// Its steps.
    pub steps: Vec<StepLine>,
}

/// What there is to tell of a run, with the `top` tables and indexes that took longest.
///
/// # Errors
/// There is no such run, or the warehouse cannot be reached.
pub async fn story(config: &Config, run: &str, top: u32) -> Result<Story> {
    Overlook::new(config)?
        .ledger
        .ask(async |view| {
            if let Some(sentences) = view.state().await?.sentences() {
                return Err(Error::new(ErrorKind::Configuration, sentences));
            }
            let line = view.run(run).await?.ok_or_else(|| {
                Error::new(ErrorKind::Configuration, format!("there is no run {run:?} in the ledger"))
                    .hint("nightferry history lists the last ones")
            })?;
            let attempts = view.attempts(&[run]).await?;
            let mut stages = Vec::new();
            for attempt in &attempts {
                stages.push(StageStory { steps: view.steps(attempt).await?, attempt: attempt.clone() });
            }
            Ok(Story {
                run: HistoryRun::of(line, &attempts),
                stages,
                slowest_tables: view.slowest_tables(run, top).await?,
                slowest_objects: view.slowest_objects(run, top).await?,
                left_out: view.left_out(run, None).await?,
            })
        })
        .await
}
