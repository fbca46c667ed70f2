//! The notification: everybody is told once, whatever becomes of the others, and no secret is told to anybody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nightferry::adapters::ledger::{Ledger, Origin, Recorder, Status};
use nightferry::adapters::postgres::Database;
use nightferry::error::{ErrorKind, Result};
use nightferry::ids::{RunId, Stage, TableName};
use nightferry::outcome::TableOutcome;
use nightferry::replication::notify;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use crate::support::{TestNight, Webhook};

const RUN: &str = "20261120T041000Z";

/// One try of the stage in a run that goes on: `jobs` would begin another run.
async fn notify(night: &TestNight, endpoints: &Value, timeout: &str) -> Result<()> {
    let endpoints = endpoints.to_string();
    let config = night.config(&[("NOTIFICATIONS", &endpoints), ("NOTIFICATION_TIMEOUT", timeout)]);
    let recorder = recorder(night, Stage::Notification).await;
    notify::run(&config, &recorder).await
}

async fn recorder(night: &TestNight, stage: Stage) -> Recorder {
    let config = night.config(&[]);
    let warehouse = Database::new(&config.databases.warehouse, "warehouse").unwrap();
    let ledger = Arc::new(Ledger::open(&warehouse).await.unwrap());
    let run = RunId::from(RUN.to_owned());
    ledger.begin_run(&run, Origin::Command, "test").await.unwrap();
    let attempt = ledger.begin_stage(&run, stage).await.unwrap();
    Recorder::new(ledger, run, stage, attempt)
}

/// A run whose full stage has written 7 rows.
async fn after_a_full_stage() -> TestNight {
    let night = TestNight::new().await;
    let recorder = recorder(&night, Stage::FullReplication).await;
    let table = TableName::new("public", "users");
    let outcome =
        TableOutcome { table, treatment: "full", rows: 7, bytes: 70, duration: Duration::from_millis(3) };
    recorder.table(outcome).await.unwrap();
    recorder
        .ledger()
        .end_stage(recorder.run(), Stage::FullReplication, 1, (Status::Succeeded, None))
        .await
        .unwrap();
    night
}

#[tokio::test]
async fn an_endpoint_is_told_what_the_stages_did() {
    let night = after_a_full_stage().await;
    let hook = Webhook::answering(204).await;

    notify(&night, &json!([{"url": hook.url(), "token": "Bearer t0ken"}]), "10s").await.unwrap();

    let request = &hook.received().await[0];
    assert_eq!(request.headers["authorization"], "Bearer t0ken");
    let body: Value = request.body_json().unwrap();
    assert_eq!((&body["run_id"], &body["status"]), (&json!(RUN), &json!("succeeded")));
    assert_eq!((&body["tables"], &body["rows"]), (&json!(1), &json!(7)));
    let stage = &body["stages"][0];
    assert_eq!(
        (&stage["name"], &stage["status"], &stage["rows"]),
        (&json!("full-replication"), &json!("succeeded"), &json!(7))
    );
    assert!(stage["duration_ms"].is_u64() && body["stages"].as_array().unwrap().len() == 1);
}

#[tokio::test]
async fn a_failing_first_endpoint_keeps_nobody_from_being_told_and_only_it_is_tried_again() {
    let night = after_a_full_stage().await;
    let (first, second, third) =
        (Webhook::answering(500).await, Webhook::answering(200).await, Webhook::answering(200).await);
    let endpoints = json!([{"url": first.url()}, {"url": second.url()}, {"url": third.url()}]);

    for stage_attempt in 1..=2 {
        let error = notify(&night, &endpoints, "10s").await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("500"), "{error}");
        // Three tries within each run of the stage.
        assert_eq!(first.received().await.len(), 3 * stage_attempt);
        assert_eq!((second.received().await.len(), third.received().await.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_hanging_endpoint_is_given_up_and_the_others_do_not_wait_for_it() {
    let night = after_a_full_stage().await;
    let hanging = MockServer::start().await;
    let never = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    Mock::given(matchers::any()).respond_with(never).mount(&hanging).await;
    let hook = Webhook::answering(200).await;
    let start = Instant::now();

    let error =
        notify(&night, &json!([{"url": hanging.uri()}, {"url": hook.url()}]), "300ms").await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(hook.received().await.len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_not_asked_again() {
    let night = after_a_full_stage().await;
    let hook = Webhook::answering(404).await;
    let error = notify(&night, &json!([{"url": hook.url()}]), "10s").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Rejected && !error.kind().is_retryable());
    assert_eq!(hook.received().await.len(), 1);
}

#[tokio::test]
async fn urls_and_tokens_are_in_no_error_and_not_in_the_ledger() {
    let night = after_a_full_stage().await;
    let (good, bad) = (Webhook::answering(200).await, Webhook::answering(403).await);
    let nobody = "http://127.0.0.1:1/s3cret-path".to_owned();
    let with = |url: String| json!({"url": format!("{url}/s3cret-path?key=s3cret"), "token": "s3cret-token"});
    let endpoints = json!([with(good.url()), with(bad.url()), with(nobody)]);

    let error = notify(&night, &endpoints, "10s").await.unwrap_err();

    let recorder = recorder(&night, Stage::Notification).await;
    let attempt = (Status::Failed, Some(&error));
    recorder.ledger().end_stage(recorder.run(), Stage::Notification, 2, attempt).await.unwrap();
    let ledger = night.warehouse.tool("pg_dump", ["--schema=nightferry".as_ref()]);
    assert!(ledger.contains("endpoints were not told"), "the error is in the ledger");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    for text in [ledger, format!("{error} {error:?}")] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn without_endpoints_the_stage_succeeds() {
    let night = TestNight::new().await;
    night.run(Stage::Notification, &[]).await;
}
