//! Sentry: what failed is reported with run, stage and kind, and nothing that is a secret; an ingest that hangs keeps nobody.

use std::time::{Duration, Instant};

use nightferry::adapters::reporting;
use nightferry::config::{Log, Variables};
use nightferry::telemetry;
use serde_json::Value;
use tokio::net::TcpListener;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{TestNight, until};

/// Where a project's reports arrive.
struct Ingest(MockServer);

impl Ingest {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let taken = ResponseTemplate::new(200).set_body_json(serde_json::json!({}));
        Mock::given(method("POST")).and(path("/api/42/envelope/")).respond_with(taken).mount(&server).await;
        Self(server)
    }

    fn dsn(&self) -> String {
        self.0.uri().replace("http://", "http://pr0ject-key@") + "/42"
    }

    /// The reports that arrived: of each envelope the item behind the two headers.
    async fn reports(&self) -> Vec<Value> {
        let requests = self.0.received_requests().await.unwrap();
        let report = |body: &[u8]| -> Option<Value> {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let mut lines = text.lines().skip(1);
            lines.next().filter(|header| header.contains(r#""type":"event""#))?;
            Some(serde_json::from_str(lines.next().unwrap()).unwrap())
        };
        requests.iter().filter_map(|request| report(&request.body)).collect()
    }
}

#[tokio::test]
async fn a_stage_that_fails_is_reported_with_run_stage_and_kind_and_without_secrets() {
    let night = TestNight::new().await;
    let ingest = Ingest::start().await;
    let extra = [
        ("SENTRY_DSN", ingest.dsn()),
        ("SENTRY_ENVIRONMENT", "staging".to_owned()),
        ("SENTRY_RELEASE", "2026-11-20".to_owned()),
        ("SENTRY_DEBUG", "true".to_owned()),
        ("SOURCE_DATABASE_URL", "postgres://reader:s3cret-word@127.0.0.1:1/production".to_owned()),
        ("LCMS_API_KEY", "s3cret-key".to_owned()),
    ];
    let extra: Vec<(&str, &str)> = extra.iter().map(|(name, value)| (*name, value.as_str())).collect();

    let output = night.binary(&["run", "full-replication"], &extra).await;

    let log = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("[sentry]"), "SENTRY_DEBUG says what is sent: {log}");
    let reports = ingest.reports().await;
    assert_eq!(reports.len(), 1, "{reports:?}\n{log}");
    let report = &reports[0];
    let tags = &report["tags"];
    assert_eq!((&tags["stage"], &tags["error.kind"]), (&"full-replication".into(), &"connection".into()));
    let run = night.warehouse.one("select run_id from nightferry.runs").await;
    assert_eq!(tags["run"], run);
    assert_eq!((&report["environment"], &report["release"]), (&"staging".into(), &"2026-11-20".into()));
    assert_eq!(report.get("level"), None, "an error, which goes without saying");
    let sentence = report["exception"]["values"][0]["value"].as_str().unwrap();
    assert!(sentence.contains("source") && report["extra"]["hint"].is_string(), "{report}");
    for secret in ["s3cret", "pr0ject-key"] {
        assert!(!report.to_string().contains(secret), "{secret}: {report}");
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn without_a_dsn_or_without_a_failure_nothing_is_reported() {
    let night = TestNight::new().await;
    let ingest = Ingest::start().await;
    let output = night.binary(&["run", "notification"], &[("SENTRY_DSN", &ingest.dsn())]).await;
    assert!(output.status.success());
    assert_eq!(ingest.0.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_ingest_that_hangs_keeps_a_command_for_two_seconds_only() {
    let night = TestNight::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dsn = format!("http://key@127.0.0.1:{}/1", listener.local_addr().unwrap().port());
    let asked = tokio::spawn(async move { (listener.accept().await.unwrap(), Instant::now()) });
    let extra = [("SENTRY_DSN", dsn.as_str()), ("SOURCE_DATABASE_URL", "postgres://r@127.0.0.1:1/p")];

    let output = night.binary(&["run", "full-replication"], &extra).await;

    let (_connection, since) = asked.await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    // A request would be given up after ten.
    assert!(since.elapsed() < Duration::from_secs(7), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_panic_is_reported_with_the_run_and_stage_that_it_happened_in() {
    let ingest = Ingest::start().await;
    let dsn = ingest.dsn();
    let log = Log::load(&Variables::from_pairs([("SENTRY_DSN", dsn.as_str())])).unwrap();
    let layer = reporting::start(log.sentry.as_ref().unwrap()).unwrap();
    let subscriber =
        telemetry::subscriber(&log, telemetry::Screen::None, std::io::sink, Some(Box::new(layer)));

    tracing::subscriber::with_default(subscriber, || {
        let stage = tracing::info_span!(target: "nightferry", "stage", run = "R", stage = "notification");
        let _inside = stage.enter();
        reporting::report_panic("src/x.rs:1:2", "index 7 of postgres://me:hush@h/db");
    });

    let report = until("the report", async || ingest.reports().await.pop()).await;
    assert_eq!((&report["tags"]["run"], &report["tags"]["stage"]), (&"R".into(), &"notification".into()));
    assert_eq!((&report["level"], &report["extra"]["place"]), (&"fatal".into(), &"src/x.rs:1:2".into()));
    assert_eq!(report["exception"]["values"][0]["value"], "index 7 of postgres://***@h/db");
}

#[tokio::test]
async fn a_wrong_setting_is_refused_before_anything_is_done() {
    let night = TestNight::new().await;
    let output = night.binary(&["run", "notification"], &[("SENTRY_DSN", "https://hush@h")]).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("SENTRY_DSN: not a DSN") && !text.contains("hush"), "{text}");
}
