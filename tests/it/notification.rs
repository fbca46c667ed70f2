//! The notification: everybody is told once, whatever becomes of the others, and no secret is told to anybody else.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use nightferry::adapters::ledger::{Ledger, Origin, Recorder, Status};
use nightferry::adapters::postgres::Database;
use nightferry::error::{ErrorKind, Result};
use nightferry::ids::{RunId, Stage, TableName};
use nightferry::notice::{Event, Notice, Trouble};
use nightferry::outcome::TableOutcome;
use nightferry::replication::notify;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

use crate::support::{RedisServer, TestNight, Webhook};

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
    assert_eq!((&body["event"], &body["job"]), (&json!("succeeded"), &json!("night")));
    assert_eq!((&body["error"], &body["host"]), (&json!(null), &json!("test")));
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    let times = ["started_at", "ended_at"].map(|name| body[name].as_str().unwrap().parse::<DateTime<Utc>>());
    assert!(times[0].as_ref().unwrap() <= times[1].as_ref().unwrap());
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

/// The job that failed names its notice.
fn failure(run: &str) -> Notice {
    let trouble = Trouble {
        kind: "connection".to_owned(),
        message: "cannot connect to postgres://reader:s3cret@db/production".to_owned(),
        hint: Some("is it up?".to_owned()),
    };
    Notice {
        event: Event::Failed,
        of: format!("{run}.full-replication.2"),
        stage: Some(Stage::FullReplication),
        trouble: Some(trouble),
        told: Vec::new(),
    }
}

async fn tell(night: &TestNight, endpoints: &Value, notice: &Notice) -> (Vec<String>, Result<()>) {
    let recorder = recorder(night, Stage::Notification).await;
    let config = night.config(&[("NOTIFICATIONS", &endpoints.to_string())]);
    notify::tell(&config, recorder.run(), notice, Some(recorder.ledger())).await
}

#[tokio::test]
async fn a_failure_goes_to_those_only_who_asked_for_failures() {
    let night = after_a_full_stage().await;
    let (silent, asked) = (Webhook::answering(200).await, Webhook::answering(200).await);
    let endpoints = json!([{"url": silent.url()}, {"url": asked.url(), "events": ["failed", "late"]}]);
    let config = night.config(&[("NOTIFICATIONS", &endpoints.to_string())]);
    let wanted = Event::ALL.map(|event| notify::is_wanted(&config, event));
    assert_eq!(wanted, [false, true, true, false, true], "started, succeeded, failed, interrupted, late");

    tell(&night, &endpoints, &failure(RUN)).await.1.unwrap();

    assert_eq!(silent.received().await.len(), 0);
    let request = &asked.received().await[0];
    let body: Value = request.body_json().unwrap();
    assert_eq!((&body["event"], &body["status"]), (&json!("failed"), &json!("failed")));
    assert_eq!(
        body["error"],
        json!({"kind": "connection", "message": "cannot connect to postgres://***@db/production",
               "hint": "is it up?", "stage": "full-replication"})
    );
    let id = format!("{RUN}_full-replication_2_failed");
    assert_eq!((&body["delivery_id"], request.headers["webhook-id"].to_str().unwrap()), (&json!(id), &*id));
    assert_eq!(body["stages"][0]["rows"], 7);
    assert!(!request.headers.contains_key("webhook-signature"), "no secret, no signature");
}

#[tokio::test]
async fn a_pushed_backup_starts_nothing_that_a_night_would_start() {
    let night = TestNight::new().await;
    let (older, both) = (Webhook::answering(200).await, Webhook::answering(200).await);
    let endpoints = json!([
        {"url": older.url()},
        {"url": both.url(), "events": ["succeeded"], "jobs": ["night", "backup-push"]},
    ])
    .to_string();
    let config = night.config(&[("NOTIFICATIONS", &endpoints)]);
    let push = RunId::from(format!("{RUN}-backup-push"));
    let of = format!("{push}.backup-push.1");
    let pushed = Notice { event: Event::Succeeded, of, stage: None, trouble: None, told: Vec::new() };

    notify::tell(&config, &push, &pushed, None).await.1.unwrap();

    assert_eq!(older.received().await.len(), 0);
    let body: Value = both.received().await[0].body_json().unwrap();
    assert_eq!((&body["event"], &body["job"]), (&json!("succeeded"), &json!("backup-push")));
}

#[tokio::test]
async fn each_event_is_told_once_to_each() {
    let night = after_a_full_stage().await;
    let hook = Webhook::answering(200).await;
    let endpoints = json!([{"url": hook.url(), "events": ["failed", "succeeded"]}]);
    let again = Notice { of: format!("{RUN}.full-replication.3"), ..failure(RUN) };

    // The same twice; another failure of the same run; then its success.
    for notice in [&failure(RUN), &failure(RUN), &again] {
        let (told, result) = tell(&night, &endpoints, notice).await;
        result.unwrap();
        assert_eq!(told.len(), 1, "{notice:?}");
    }
    for _ in 0..2 {
        notify(&night, &endpoints, "10s").await.unwrap();
    }

    let ids: Vec<String> = hook
        .received()
        .await
        .iter()
        .map(|request| request.headers["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        ids,
        [".full-replication.2.failed", ".full-replication.3.failed", ".succeeded"]
            .map(|of| { format!("{RUN}{of}").replace('.', "_") })
    );
}

#[tokio::test]
async fn without_the_ledger_everybody_is_told_what_is_known_and_nobody_twice() {
    let night = TestNight::new().await;
    let (good, bad) = (Webhook::answering(200).await, Webhook::answering(503).await);
    let endpoint = |hook: &Webhook| json!({"url": hook.url(), "events": ["failed"], "retries": 0});
    let endpoints = json!([endpoint(&good), endpoint(&bad)]).to_string();
    let config = night.config(&[("NOTIFICATIONS", &endpoints)]);
    let run = RunId::from(RUN.to_owned());
    let mut notice = failure(RUN);

    for tried in 1..=2 {
        let (told, result) = notify::tell(&config, &run, &notice, None).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!((told.len(), good.received().await.len(), bad.received().await.len()), (1, 1, tried));
        notice.told = told;
    }
    let body: Value = good.received().await[0].body_json().unwrap();
    assert!(body.get("stages").is_none() && body["error"]["kind"] == "connection", "{body}");
}

#[tokio::test]
async fn a_ledger_that_is_gone_is_no_reason_to_be_silent() {
    let night = after_a_full_stage().await;
    let hook = Webhook::answering(200).await;
    let recorder = recorder(&night, Stage::Notification).await;
    let endpoints = json!([{"url": hook.url(), "events": ["failed"]}]).to_string();
    let config = night.config(&[("NOTIFICATIONS", &endpoints)]);
    night.warehouse_sql("drop schema nightferry cascade").await;

    let (told, result) = notify::tell(&config, recorder.run(), &failure(RUN), Some(recorder.ledger())).await;

    result.unwrap();
    assert_eq!((told.len(), hook.received().await.len()), (1, 1));
}

/// openssl's answer, which has nothing of ours.
fn hmac_sha256(key: &[u8], text: &str) -> String {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("hexkey:{hex}"), "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = openssl.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_posted_is_signed_and_a_retry_has_the_same_id() {
    let night = after_a_full_stage().await;
    let hook = Webhook::answering(503).await;
    let key = b"0123456789abcdef01234567";
    let secrets = [format!("whsec_{}", STANDARD.encode(key)), "plain words".to_owned()];
    let keys = [key.to_vec(), b"plain words".to_vec()];

    for (secret, key) in secrets.iter().zip(keys) {
        let before = hook.received().await.len();
        let endpoints = json!([{"url": hook.url(), "events": ["failed"], "secret": secret, "retries": 1}]);
        tell(&night, &endpoints, &failure(RUN)).await.1.unwrap_err();

        let received = hook.received().await.split_off(before);
        assert_eq!(received.len(), 2, "once again");
        let header = |request: &Request, name: &str| request.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header(&received[0], "webhook-id"), header(&received[1], "webhook-id"));
        for request in &received {
            let timestamp = header(request, "webhook-timestamp");
            let age = Utc::now().timestamp() - timestamp.parse::<i64>().unwrap();
            assert!((0..120).contains(&age), "{timestamp}");
            let body = std::str::from_utf8(&request.body).unwrap();
            let expected =
                hmac_sha256(&key, &format!("{}.{timestamp}.{body}", header(request, "webhook-id")));
            let signature = header(request, "webhook-signature");
            let signed = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            let signed: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(signed, expected);
        }
    }
}

#[tokio::test]
async fn each_endpoint_has_its_own_time_limit_and_retries() {
    let night = after_a_full_stage().await;
    let (hanging, patient) = (MockServer::start().await, MockServer::start().await);
    for (server, delay) in [(&hanging, 600_000), (&patient, 400)] {
        let slow = ResponseTemplate::new(200).set_delay(Duration::from_millis(delay));
        Mock::given(matchers::any()).respond_with(slow).mount(server).await;
    }
    let failing = Webhook::answering(500).await;
    let endpoints = json!([
        {"url": hanging.uri(), "events": ["failed"], "timeout": "100ms", "retries": 1},
        {"url": patient.uri(), "events": ["failed"], "timeout": "60s"},
        {"url": failing.url(), "events": ["failed"], "retries": 0},
    ]);

    let (told, result) = tell(&night, &endpoints, &failure(RUN)).await;

    let asked = async |server: &MockServer| server.received_requests().await.unwrap().len();
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("2 of 3 endpoints were not told"), "{error}");
    assert_eq!((told.len(), failing.received().await.len()), (1, 1));
    assert_eq!((asked(&hanging).await, asked(&patient).await), (2, 1));
}

#[tokio::test]
async fn a_check_looks_at_the_queue_and_the_schedule_and_says_when_nobody_is_told() {
    let night = TestNight::new().await;
    let mut redis = RedisServer::start();
    let url = redis.url();
    let endpoints = json!([{"url": "http://127.0.0.1:1/", "events": ["failed"]}]).to_string();
    let extra = [("REDIS_URL", url.as_str()), ("SCHEDULE", "0 3 29 2 *"), ("NOTIFICATIONS", &endpoints)];
    let check = async |extra: &[(&str, &str)]| {
        let output = night.binary(&["check"], extra).await;
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };

    let (code, text) = check(&extra).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("\n  SCHEDULE: the next night starts at 20")
            && text.contains("-02-29 03:00 Europe/Paris\n"),
        "{text}"
    );
    assert!(!text.contains("nobody is told"), "{text}");
    let (_, text) = check(&[]).await;
    assert!(text.contains("\n  NOTIFICATIONS: nobody is told of a night that fails\n"), "{text}");

    redis.kill();
    let (code, text) = check(&extra).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with("1 problem: ") && text.contains("\n  REDIS_URL: cannot connect to Redis"),
        "{text}"
    );
    assert!(text.contains("\n    hint: check REDIS_URL") && !text.contains(redis.password()), "{text}");

    let (code, text) = check(&[("QUEUE_FILE", "nowhere/queue.sqlite")]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("\n  QUEUE_FILE: cannot make the queue's file nowhere/queue.sqlite\n"), "{text}");
    assert!(!night.path("nightferry-queue.sqlite").exists(), "a check makes none");
}
