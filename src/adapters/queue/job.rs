//! A job and its name: plain values, nothing of the queue library.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::adapters::ledger::Origin;
use crate::ids::{RunId, Stage};
use crate::notice::Notice;

/// One try of one stage of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The run.
    pub run: RunId,
    /// The stage.
    pub stage: Stage,
    /// Which job of this run and stage it is, from 1. A job that follows another on the same stage has the next one.
    pub seq: u32,
    /// Which try it is, from 1: what was interrupted or had to wait does not count.
    pub attempt: u32,
    /// Who started the run.
    pub origin: Origin,
    /// An earlier delivery of this try may have died in the middle of its work.
    #[serde(default)]
    pub interrupted: bool,
    /// How often a worker died over this stage of this run.
    #[serde(default)]
    pub deaths: u32,
    /// When an operator had its stage tried again: how the run had ended before says nothing of this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_at: Option<DateTime<Utc>>,
    /// When one that was put off is due. The first of a scheduled run is due in its run's second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DateTime<Utc>>,
    /// What is to be told, where that is the job: of [`Stage::Event`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
}

impl Job {
    /// The first job of a stage.
    #[must_use]
    pub fn first(run: RunId, stage: Stage, origin: Origin) -> Self {
        Self {
            run,
            stage,
            seq: 1,
            attempt: 1,
            origin,
            interrupted: false,
            deaths: 0,
            retried_at: None,
            due: None,
            notice: None,
        }
    }

    /// The job that tells of something that happened.
    #[must_use]
    pub fn telling(run: RunId, origin: Origin, notice: Notice) -> Self {
        Self { notice: Some(notice), ..Self::first(run, Stage::Event, origin) }
    }

    /// The job that follows on the same stage.
    #[must_use]
    pub fn again(&self, attempt: u32) -> Self {
        Self { seq: self.seq + 1, attempt, interrupted: false, ..self.clone() }
    }

    /// The first job of another stage of the same run.
    #[must_use]
    pub fn of_stage(&self, stage: Stage) -> Self {
        Self::first(self.run.clone(), stage, self.origin)
    }

    /// Its fixed name: `20261120T041000Z.full-replication.1`. Whoever pushes the same job pushes the same name, so a
    /// job exists once however often it is pushed.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.notice {
            Some(notice) => format!("{}.{}", notice.id(), self.seq),
            None => format!("{}.{}.{}", self.run, self.stage, self.seq),
        }
    }

    /// The name in the form that both stores take.
    pub(super) fn ulid(&self) -> Ulid {
        let digest = Sha256::digest(self.id());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Ulid::from_bytes(bytes)
    }
}

/// A job as it is handed to a worker.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The job.
    pub job: Job,
    /// It was handed out before, to a worker that is no more.
    pub redelivered: bool,
}

/// How a job stands in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// Not taken yet.
    Waiting,
    /// In the hands of a worker, or of one that died and was not missed yet.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error; what follows from it is another job.
    Failed,
}

impl JobStatus {
    /// Whether something of it is still to come.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
    }

    pub(super) fn from_store(word: &str) -> Self {
        match word {
            "Done" => Self::Done,
            "Failed" | "Killed" => Self::Failed,
            "Pending" => Self::Waiting,
            _ => Self::Running,
        }
    }
}

/// A job as its queue has it.
#[derive(Debug, Clone)]
pub struct QueuedJob {
    /// The job.
    pub job: Job,
    /// How it stands.
    pub status: JobStatus,
    /// When it may start, where that is known.
    pub not_before: Option<DateTime<Utc>>,
    /// What went wrong.
    pub error: Option<String>,
    /// The worker that has it in hand, or had it last.
    pub held_by: Option<String>,
    /// When that worker took it.
    pub taken_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub done_at: Option<DateTime<Utc>>,
}

/// The error text in a stored result, `{"Err": "AbortError: ..."}`.
pub(super) fn error_in(result: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(result).ok()?;
    let text = value.get("Err")?.as_str()?;
    Some(text.strip_prefix("AbortError: ").unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job::first(RunId::from("20261120T041000Z".to_owned()), Stage::FullReplication, Origin::Schedule)
    }

    #[test]
    fn a_job_has_one_name_whoever_makes_it() {
        assert_eq!(job().id(), "20261120T041000Z.full-replication.1");
        assert_eq!(job().ulid(), Job { interrupted: true, attempt: 3, ..job() }.ulid());
        assert_ne!(job().ulid(), job().again(1).ulid());
        assert_ne!(job().ulid(), job().of_stage(Stage::Notification).ulid());
    }

    #[test]
    fn a_job_of_an_older_version_is_still_read() {
        let text = r#"{"run":"20261120T041000Z","stage":"full-replication","seq":1,"attempt":1,"origin":"schedule"}"#;
        assert_eq!(serde_json::from_str::<Job>(text).unwrap(), job());
    }

    #[test]
    fn a_stored_error_is_shown_without_the_librarys_word_for_it() {
        assert_eq!(error_in(r#"{"Err":"AbortError: disk full"}"#).as_deref(), Some("disk full"));
        assert_eq!(error_in(r#"{"Ok":"ok"}"#), None);
    }
}
