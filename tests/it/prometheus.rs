//! A real Prometheus scrapes a real web process: the alarms load and are raised, and every picture of the dashboard has data.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, Utc};
use nightferry::error::ErrorKind;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::web::{READER, WebProcess};
use crate::support::{TestNight, WorkerProcess, until};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// A warehouse that one night has filled, and a job that waits.
async fn with_history() -> (TestNight, Vec<(&'static str, String)>) {
    let night = TestNight::new().await;
    night
        .source_sql("create table t (id int primary key); insert into t select generate_series(1, 100)")
        .await;
    let queue = night.path("queue.sqlite").to_str().unwrap().to_owned();
    let settings = vec![("QUEUE_FILE", queue), ("LOG_FORMAT", "json".to_owned())];
    for arguments in [["run", "night"], ["restart", "notification"]] {
        ended(&night, &arguments, &borrowed(&settings), 0).await;
    }
    (night, settings)
}

/// Runs the binary to its end, which must be this one.
async fn ended(night: &TestNight, arguments: &[&str], extra: &[(&str, &str)], code: i32) {
    let output = night.binary(arguments, extra).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A Prometheus that scrapes each second: with the token, and as a stranger without.
struct Prometheus {
    _process: WorkerProcess,
    port: u16,
}

impl Prometheus {
    fn start(night: &TestNight, web: u16) -> Self {
        // Free a moment ago; nobody else on this machine asks for ports of its own so quickly.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let configuration = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ['{}']
scrape_configs:
  - job_name: nightferry
    authorization: {{credentials: {READER}}}
    static_configs: [{{targets: ['127.0.0.1:{web}']}}]
  - job_name: stranger
    authorization: {{credentials: a-token-of-another-one}}
    static_configs: [{{targets: ['127.0.0.1:{web}']}}]
",
            docs("alerts.yml").display()
        );
        let file = night.path("prometheus.yml");
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", night.path("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        Self { _process: WorkerProcess::start(&command, night.path("prometheus.log")), port }
    }

    /// The answer of its API; none while it does not answer.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let base = format!("http://127.0.0.1:{}{path}", self.port);
        let url = url::Url::parse_with_params(&base, parameters).unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?;
        let query = url.query().unwrap_or_default();
        stream.write_all(format!("GET {path}?{query} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// What an expression gives, once it gives anything.
    async fn values(&self, expression: &str) -> Vec<Value> {
        until(&format!("data for {expression}"), async || {
            let answer = self.ask("/api/v1/query", &[("query", expression)]).await?;
            assert_ne!(answer["status"], "error", "{expression}: {answer}");
            Some(answer["data"]["result"].as_array()?.clone()).filter(|values| !values.is_empty())
        })
        .await
    }

    async fn value(&self, expression: &str) -> f64 {
        let values = self.values(expression).await;
        assert_eq!(values.len(), 1, "{expression}: {values:?}");
        values[0]["value"][1].as_str().unwrap().parse().unwrap()
    }
}

/// The expressions of the dashboard, with what Grafana puts in place of its variables.
fn expressions() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_slice(&std::fs::read(docs("grafana-dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let text = |target: &Value| target["expr"].as_str().unwrap().to_owned();
    targets.map(|target| text(target).replace("$job", ".+").replace("$__rate_interval", "1m")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_it_and_the_dashboard_and_the_alarms_have_what_they_need() {
    let (night, settings) = with_history().await;
    let web = WebProcess::of(&night, &borrowed(&settings)).await;
    let prometheus = Prometheus::start(&night, web.port);
    assert!((prometheus.value("up{job=\"nightferry\"}").await - 1.0).abs() < f64::EPSILON);
    assert!(
        prometheus.value("up{job=\"stranger\"}").await.abs() < f64::EPSILON,
        "a wrong token gets nothing"
    );

    // A night fails while it is looked at: that is what is seen to have become more.
    let kinds = "nightferry_failures_total{stage=\"full-replication\"}";
    assert_eq!(prometheus.values(kinds).await.len(), ErrorKind::ALL.len());
    assert!(prometheus.value(&format!("sum({kinds})")).await.abs() < f64::EPSILON, "none yet");
    let mut broken = borrowed(&settings);
    broken.push(("PG_BIN_DIR", "/nowhere"));
    ended(&night, &["run", "night"], &broken, 1).await;
    prometheus.values(&format!("sum(increase({kinds}[1m])) > 0")).await;

    let all = expressions();
    assert!(all.len() > 10, "{all:?}");
    for expression in all {
        assert!(!expression.contains('$'), "{expression}");
        prometheus.values(&expression).await;
    }
    // They are of what happened.
    for (expression, expected) in [
        ("nightferry_stage_rows{stage=\"full-replication\"}", 100.0),
        ("sum(nightferry_failures_total{stage=\"full-replication\"})", 1.0),
        ("nightferry_queue_jobs{queue=\"notification\",state=\"waiting\"}", 1.0),
        ("nightferry_run_last_succeeded", 0.0),
        ("nightferry_warehouse_lock_held", 0.0),
        ("time() - nightferry_last_success_timestamp_seconds{stage=\"night\"} < bool 600", 1.0),
    ] {
        assert!((prometheus.value(expression).await - expected).abs() < f64::EPSILON, "{expression}");
    }

    // Once more: they may have been evaluated before the first scrape.
    let scraped = Utc::now();
    let rules = until("the rules to be evaluated", async || {
        let answer = prometheus.ask("/api/v1/rules", &[]).await?;
        let rules = answer["data"]["groups"][0]["rules"].as_array()?.clone();
        let is_done = |rule: &Value| {
            rule["lastEvaluation"].as_str()?.parse().ok().filter(|at: &DateTime<Utc>| *at > scraped)
        };
        rules.iter().all(|rule| is_done(rule).is_some()).then_some(rules)
    })
    .await;
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let is_raised = rule["state"] == "firing";
        assert_eq!(is_raised, rule["name"] == "NightferryNightFailed", "{rule}");
    }
}

#[test]
fn the_alarms_are_raised_when_they_are_due_and_not_before() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(docs("")).output();
        let output =
            output.expect("promtool (Debian's package prometheus) is needed: utils/test.sh installs it");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && text.contains("SUCCESS"), "{arguments:?}: {text}");
    }
    // None goes untested.
    let (rules, tests) = (docs("alerts.yml"), docs("alerts.test.yml"));
    let tests = std::fs::read_to_string(tests).unwrap();
    for line in std::fs::read_to_string(rules).unwrap().lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
        }
    }
}
