//! What somebody is told of a run, as JSON: the event, what went wrong, and what the ledger knows. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::adapters::ledger::{Failure, RunAccount, StageAccount};
use crate::config::without_credentials;
use crate::ids::{RunId, Stage};
use crate::notice::{Event, Notice};

/// The document. What is not known is left out.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    pub(super) event: Event,
    delivery_id: String,
    pub(super) run_id: String,
    /// `night`, or the job beside it.
    pub(super) job: &'static str,
    /// `running`, `succeeded`, `failed`, `interrupted`, `late`.
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended_at: Option<DateTime<Utc>>,
    /// The sum of the stages'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<i64>,
    pub(super) error: Option<ToldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tables: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stages: Option<Vec<ToldStage>>,
    /// Where the run was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    pub(super) version: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct ToldError {
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Where it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ToldStage {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) attempt: i32,
    pub(super) duration_ms: Option<i64>,
    pub(super) tables: i64,
    pub(super) rows: i64,
    pub(super) error: Option<ToldError>,
}

/// What a run is of, as it is told.
pub(super) fn job(run: &RunId) -> &'static str {
    run.beside().map_or("night", Stage::name)
}

impl Account {
    pub(super) fn new(run: &RunId, notice: &Notice, delivery_id: &str, known: Option<RunAccount>) -> Self {
        let known = known.map(|known| RunAccount {
            // Itself is still at work.
            stages: known.stages.into_iter().filter(|stage| !is_telling(stage)).collect(),
            ..known
        });
        let stages = || known.iter().flat_map(|known| &known.stages);
        let counted = |number: fn(&StageAccount) -> i64| known.as_ref().map(|_| stages().map(number).sum());
        Self {
            event: notice.event,
            delivery_id: delivery_id.to_owned(),
            run_id: run.to_string(),
            job: job(run),
            status: status(notice.event, stages().all(|stage| stage.status == "succeeded")),
            started_at: known.as_ref().map(|known| known.started_at),
            ended_at: ended_at(notice.event, known.as_ref()),
            duration_ms: counted(|stage| stage.duration_ms.unwrap_or_default()),
            error: error(notice, known.as_ref()),
            tables: counted(|stage| stage.tables),
            rows: counted(|stage| stage.rows),
            stages: known.as_ref().map(|known| known.stages.iter().map(told).collect()),
            host: known.as_ref().map(|known| known.host.clone()),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn is_telling(stage: &StageAccount) -> bool {
    stage.stage == Stage::Notification.name() && stage.status == "running"
}

/// What has become of the run. A stage that was asked for alone may say that all is well in a run where all is not.
fn status(event: Event, stages_succeeded: bool) -> &'static str {
    match event {
        Event::Started => "running",
        Event::Succeeded if stages_succeeded => "succeeded",
        Event::Succeeded | Event::Failed => "failed",
        Event::Interrupted => "interrupted",
        Event::Late => "late",
    }
}

/// The stage that tells is within its run: what came before it has ended.
fn ended_at(event: Event, known: Option<&RunAccount>) -> Option<DateTime<Utc>> {
    let known = known.filter(|_| !matches!(event, Event::Started | Event::Late))?;
    known.ended_at.or_else(|| known.stages.iter().filter_map(|stage| stage.ended_at).max())
}

/// What went wrong, as the notice has it, or else the ledger.
fn error(notice: &Notice, known: Option<&RunAccount>) -> Option<ToldError> {
    let stage = || notice.stage.map(|stage| stage.name().to_owned());
    if let Some(trouble) = &notice.trouble {
        return Some(ToldError {
            kind: trouble.kind.clone(),
            message: without_credentials(&trouble.message),
            hint: trouble.hint.as_deref().map(without_credentials),
            stage: stage(),
        });
    }
    let known = known.filter(|_| matches!(notice.event, Event::Failed | Event::Interrupted))?;
    let last = known.stages.iter().rev().find(|stage| stage.status == notice.event.name());
    let of_run = of_ledger(&known.failure);
    let told = of_run.or_else(|| last.and_then(|stage| of_ledger(&stage.failure)))?;
    Some(ToldError { stage: stage().or_else(|| last.map(|stage| stage.stage.clone())), ..told })
}

fn of_ledger(failure: &Failure) -> Option<ToldError> {
    Some(ToldError {
        kind: failure.error_kind.clone()?,
        message: without_credentials(failure.error.as_deref().unwrap_or_default()),
        hint: failure.hint.as_deref().map(without_credentials),
        stage: None,
    })
}

fn told(stage: &StageAccount) -> ToldStage {
    ToldStage {
        name: stage.stage.clone(),
        status: stage.status.clone(),
        attempt: stage.attempt,
        duration_ms: stage.duration_ms,
        tables: stage.tables,
        rows: stage.rows,
        error: of_ledger(&stage.failure),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::notice::Trouble;
    use serde_json::json;

    fn stage(stage: Stage, status: &str) -> StageAccount {
        StageAccount {
            stage: stage.name().into(),
            attempt: 1,
            status: status.into(),
            ended_at: DateTime::from_timestamp(1_795_147_800, 0),
            duration_ms: Some(1500),
            tables: 2,
            rows: 10,
            failure: Failure::default(),
        }
    }

    fn run() -> RunId {
        RunId::from("20261120T041000Z".to_owned())
    }

    fn known(stages: Vec<StageAccount>) -> Option<RunAccount> {
        Some(RunAccount {
            host: "worker-1".into(),
            started_at: DateTime::from_timestamp(1_795_147_700, 0).unwrap(),
            ended_at: None,
            failure: Failure::default(),
            stages,
        })
    }

    fn notice(event: Event, trouble: Option<Trouble>) -> Notice {
        let stage = trouble.is_some().then_some(Stage::FullReplication);
        Notice { event, of: run().to_string(), stage, trouble, told: Vec::new() }
    }

    pub(in super::super) fn failed() -> Account {
        let trouble = Trouble {
            kind: "connection".into(),
            message: "cannot reach postgres://me:hush@h/db".into(),
            hint: Some("is it up?".into()),
        };
        let stages = vec![stage(Stage::FullReplication, "failed")];
        Account::new(&run(), &notice(Event::Failed, Some(trouble)), "id", known(stages))
    }

    #[test]
    fn the_account_sums_up_the_stages_before() {
        let stages = vec![
            stage(Stage::FullReplication, "succeeded"),
            stage(Stage::IncrementalReplication, "succeeded"),
            StageAccount { ended_at: None, ..stage(Stage::Notification, "running") },
        ];
        let account = Account::new(&run(), &notice(Event::Succeeded, None), "id", known(stages));
        let told = serde_json::to_value(account).unwrap();
        assert_eq!((&told["run_id"], &told["job"]), (&json!("20261120T041000Z"), &json!("night")));
        assert_eq!((&told["event"], &told["status"]), (&json!("succeeded"), &json!("succeeded")));
        assert_eq!((&told["rows"], &told["tables"]), (&json!(20), &json!(4)));
        assert_eq!((&told["duration_ms"], &told["error"]), (&json!(3000), &json!(null)));
        assert_eq!(told["started_at"], "2026-11-20T04:08:20Z");
        assert_eq!(told["ended_at"], "2026-11-20T04:10:00Z");
        assert_eq!(told["stages"].as_array().unwrap().len(), 2);
        assert_eq!(told["stages"][0]["name"], "full-replication");
        assert_eq!(
            (&told["host"], &told["version"]),
            (&json!("worker-1"), &json!(env!("CARGO_PKG_VERSION")))
        );
    }

    #[test]
    fn a_stage_that_did_not_succeed_makes_the_run_a_failed_one() {
        for status in ["failed", "interrupted", "running"] {
            let stages = vec![stage(Stage::FullReplication, status)];
            let account = Account::new(&run(), &notice(Event::Succeeded, None), "id", known(stages));
            assert_eq!(account.status, "failed", "{status}");
        }
    }

    #[test]
    fn a_failure_says_what_where_and_what_to_do_and_loses_credentials() {
        let told = serde_json::to_value(failed()).unwrap();
        assert_eq!(
            told["error"],
            json!({"kind": "connection", "message": "cannot reach postgres://***@h/db", "hint": "is it up?", "stage": "full-replication"})
        );
        assert_eq!(told["status"], "failed");
    }

    #[test]
    fn what_the_notice_does_not_say_the_ledger_may() {
        let failure = Failure { error_kind: Some("timeout".into()), error: Some("late".into()), hint: None };
        let stages = vec![
            StageAccount { failure: failure.clone(), ..stage(Stage::FullReplication, "interrupted") },
            stage(Stage::IncrementalReplication, "succeeded"),
        ];
        let account = Account::new(&run(), &notice(Event::Interrupted, None), "id", known(stages.clone()));
        let error = account.error.unwrap();
        assert_eq!((error.kind.as_str(), error.stage.as_deref()), ("timeout", Some("full-replication")));
        let account = Account::new(&run(), &notice(Event::Started, None), "id", known(stages));
        assert!(account.error.is_none() && account.ended_at.is_none() && account.status == "running");
        assert_eq!(account.stages.unwrap()[0].error.as_ref().unwrap().message, "late");
    }

    #[test]
    fn without_the_ledger_the_rest_is_told() {
        let push = RunId::from("20261120T041000Z-backup-push".to_owned());
        let trouble = Trouble { kind: "connection".into(), message: "away".into(), hint: None };
        let told =
            serde_json::to_value(Account::new(&push, &notice(Event::Failed, Some(trouble)), "id", None))
                .unwrap();
        assert_eq!((&told["job"], &told["error"]["message"]), (&json!("backup-push"), &json!("away")));
        for unknown in ["stages", "tables", "rows", "started_at", "ended_at", "duration_ms", "host"] {
            assert!(told.get(unknown).is_none(), "{unknown}: {told}");
        }
    }
}
