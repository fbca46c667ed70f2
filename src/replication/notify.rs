//! The notification stage: every endpoint is told once how the run went, whatever becomes of the others.

use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::several::one_error;
use crate::adapters::http::webhook::Webhooks;
use crate::adapters::ledger::{Recorder, StageRow};
use crate::config::{Config, Endpoint, Secret};
use crate::error::Result;
use crate::events;
use crate::ids::{RunId, Stage};

/// Tries of one endpoint within the stage; the queue tries the stage again, later and with longer pauses.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Tells every endpoint that was not told about this run yet, all at the same time.
///
/// # Errors
/// Some could not be told: their hosts are named. Running the stage again tells only those.
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    let endpoints = &config.notifications.endpoints;
    if endpoints.is_empty() {
        tracing::info!("no NOTIFICATIONS: nobody is to be told");
        return Ok(());
    }
    let webhooks = Webhooks::new(config.notifications.timeout)?;
    recorder.step("notify", tell_all(&webhooks, endpoints, recorder)).await
}

/// STUB
pub fn is_wanted(_config: &Config, _event: crate::notice::Event) -> bool {
    false
}
/// STUB
pub async fn tell(
    _config: &Config,
    _run: &RunId,
    _notice: &crate::notice::Notice,
    _ledger: Option<&crate::adapters::ledger::Ledger>,
) -> (Vec<String>, Result<()>) {
    (Vec::new(), Ok(()))
}

async fn tell_all(webhooks: &Webhooks, endpoints: &[Endpoint], recorder: &Recorder) -> Result<()> {
    let (ledger, run) = (recorder.ledger(), recorder.run());
    let report = Report::new(run, ledger.stages_of(run).await?);
    let told = ledger.deliveries(run).await?;
    let untold: Vec<(String, &Endpoint)> = endpoints
        .iter()
        .map(|endpoint| (hash(run, endpoint), endpoint))
        .filter(|(hash, _)| !told.contains(hash))
        .collect();
    let report = &report;
    let results = join_all(untold.iter().map(|(hash, endpoint)| async move {
        tell_one(webhooks, endpoint, report).await?;
        ledger.record_delivery(run, hash).await
    }));
    let failures = results.await.into_iter().filter_map(Result::err).collect();
    one_error(failures, |count| format!("{count} of {} endpoints were not told", endpoints.len()))
}

/// Tells one endpoint, trying again where that may help.
async fn tell_one(webhooks: &Webhooks, endpoint: &Endpoint, report: &Report) -> Result<()> {
    let mut attempt = 1;
    loop {
        let error = match webhooks.post(endpoint, report).await {
            Ok(status) => {
                tracing::info!(host = endpoint.host(), status, "{}", events::NOTIFICATION_SENT);
                return Ok(());
            }
            Err(error) => error,
        };
        tracing::warn!(
            host = endpoint.host(),
            attempt,
            error.kind = error.kind().name(),
            error.message = %error,
            "{}",
            events::NOTIFICATION_FAILED
        );
        if attempt == TRIES || !error.kind().is_retryable() {
            return Err(error);
        }
        tokio::time::sleep(pause(attempt)).await;
        attempt += 1;
    }
}

/// Twice as long each time, and a little more or less, so that many senders do not come back at the same moment.
fn pause(attempt: u32) -> Duration {
    FIRST_PAUSE * 2_u32.pow(attempt - 1) + Duration::from_millis(fastrand::u64(0..250))
}

/// What tells an endpoint apart in the ledger: neither URL nor token can be read from it, and it is another in each run.
fn hash(run: &RunId, endpoint: &Endpoint) -> String {
    let token = endpoint.token.as_ref().map_or("", Secret::expose);
    let digest = Sha256::digest(format!("{run}\n{}\n{token}", endpoint.url()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an endpoint is told.
#[derive(Debug, Serialize)]
struct Report {
    run_id: String,
    /// `succeeded`, or `failed` where a stage did not succeed.
    status: &'static str,
    duration_ms: i64,
    tables: i64,
    rows: i64,
    stages: Vec<StageReport>,
}

#[derive(Debug, Serialize)]
struct StageReport {
    name: String,
    status: String,
    attempt: i32,
    duration_ms: Option<i64>,
    tables: i64,
    rows: i64,
}

impl Report {
    fn new(run: &RunId, stages: Vec<StageRow>) -> Self {
        let stages: Vec<StageReport> = stages
            .into_iter()
            // Itself is still at work.
            .filter(|stage| stage.stage != Stage::Notification.name())
            .map(|row| StageReport {
                name: row.stage,
                status: row.status,
                attempt: row.attempt,
                duration_ms: row.duration_ms,
                tables: row.tables,
                rows: row.rows,
            })
            .collect();
        let succeeded = stages.iter().all(|stage| stage.status == "succeeded");
        Self {
            run_id: run.to_string(),
            status: if succeeded { "succeeded" } else { "failed" },
            duration_ms: stages.iter().filter_map(|stage| stage.duration_ms).sum(),
            tables: stages.iter().map(|stage| stage.tables).sum(),
            rows: stages.iter().map(|stage| stage.rows).sum(),
            stages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(stage: Stage, status: &str) -> StageRow {
        StageRow {
            stage: stage.name().into(),
            attempt: 1,
            status: status.into(),
            duration_ms: Some(1500),
            tables: 2,
            rows: 10,
        }
    }

    fn run_id() -> RunId {
        RunId::from("20261120T041000Z".to_owned())
    }

    #[test]
    fn the_report_sums_up_the_stages_before() {
        let stages = vec![
            stage(Stage::FullReplication, "succeeded"),
            stage(Stage::IncrementalReplication, "succeeded"),
            stage(Stage::Notification, "running"),
        ];
        let report = serde_json::to_value(Report::new(&run_id(), stages)).unwrap();
        assert_eq!(report["run_id"], "20261120T041000Z");
        assert_eq!(report["status"], "succeeded");
        assert_eq!((&report["rows"], &report["tables"]), (&20.into(), &4.into()));
        assert_eq!(report["duration_ms"], 3000);
        assert_eq!(report["stages"].as_array().unwrap().len(), 2);
        assert_eq!(report["stages"][0]["name"], "full-replication");
    }

    #[test]
    fn a_stage_that_did_not_succeed_makes_the_run_a_failed_one() {
        for status in ["failed", "interrupted", "running"] {
            assert_eq!(Report::new(&run_id(), vec![stage(Stage::FullReplication, status)]).status, "failed");
        }
    }

    #[test]
    fn pauses_grow() {
        assert!(pause(1) < pause(2) && pause(2) < Duration::from_secs(2));
    }
}
