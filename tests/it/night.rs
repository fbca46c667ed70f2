//! A whole night, seen from the outside: the real binary, the queue on a real Redis, the peers at their sockets.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{ContentApi, RedisServer, TestNight, Webhook, until};

/// In the URL of the webhook: such URLs are often secrets themselves.
const HOOK_PATH_SECRET: &str = "h00k-p4th-canary";
const HOOK_TOKEN: &str = "h00k-t0ken-canary";

struct Outside {
    night: TestNight,
    redis: RedisServer,
    api: ContentApi,
    webhook: Webhook,
}

impl Outside {
    async fn new() -> Self {
        let night = TestNight::of_shapes().await;
        night.source_sql("create table public.growing (id bigint primary key, note text)").await;
        night
            .source_sql("insert into public.growing select g, 'note ' || g from generate_series(1, 1000) g")
            .await;
        let content = json!({
            "areas": [{"id": "a1", "name": "Area"}], "attachments": [], "competences": [], "tubes": [],
            "skills": [], "challenges": [], "courses": [], "tutorials": []
        });
        Self {
            night,
            redis: RedisServer::start(),
            api: ContentApi::answering(content).await,
            webhook: Webhook::answering(204).await,
        }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("REDIS_URL", self.redis.url()),
            ("LCMS_API_URL", self.api.url()),
            ("LCMS_API_KEY", ContentApi::KEY.to_owned()),
            (
                "NOTIFICATIONS",
                json!([{"url": format!("{}/{HOOK_PATH_SECRET}", self.webhook.url()), "token": HOOK_TOKEN}])
                    .to_string(),
            ),
            ("BACKUP_MODE", r#"{"growing":"incremental"}"#.to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            ("LOG_LEVEL", "debug".to_owned()),
            // Never in the time of a test.
            ("SCHEDULE", "0 0 29 2 *".to_owned()),
        ]
    }

    fn worker(&self, extra: &[(&str, &str)]) -> Worker {
        let settings = self.settings();
        let mut all: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.extend(extra);
        let log = self.night.path("worker.log");
        let file = File::create(&log).unwrap();
        let mut command = self.night.command(&["worker"], &all);
        command.stdout(Stdio::from(file.try_clone().unwrap())).stderr(Stdio::from(file));
        Worker { child: command.spawn().unwrap(), log }
    }

    async fn restart(&self, stage: &str) -> String {
        let settings = self.settings();
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let output = self.night.binary(&["restart", stage], &settings).await;
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}");
        text
    }

    /// Waits until the run with this number, counted from 1, has ended, and says how.
    async fn run_ends(&self, number: usize) -> String {
        until("the run to end", async || {
            if self.night.warehouse.one("select to_regclass('nightferry.runs') is not null").await != "t" {
                return None;
            }
            let ended = "select status from nightferry.runs order by started_at";
            self.night
                .warehouse
                .rows(ended)
                .await
                .into_iter()
                .nth(number - 1)
                .filter(|status| status != "running")
        })
        .await
    }

    /// Everything that Redis holds, keys and values, as one string of bytes.
    fn redis_contents(&self) -> Vec<u8> {
        let mut connection = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        let mut all = Vec::new();
        for key in keys {
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut connection).unwrap();
            let parts: Vec<Vec<u8>> = match kind.as_str() {
                "hash" => redis::cmd("HGETALL").arg(&key).query(&mut connection).unwrap(),
                "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).query(&mut connection).unwrap(),
                "set" => redis::cmd("SMEMBERS").arg(&key).query(&mut connection).unwrap(),
                "list" => redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).query(&mut connection).unwrap(),
                _ => vec![redis::cmd("GET").arg(&key).query(&mut connection).unwrap()],
            };
            all.extend(key);
            all.extend(parts.into_iter().flatten());
        }
        all
    }
}

struct Worker {
    child: Child,
    log: std::path::PathBuf,
}

impl Worker {
    /// Asks it to stop as a platform does, and gives its log.
    fn stop(&mut self) -> String {
        let asked = std::process::Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(asked.success());
        let status = self.child.wait().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert!(status.success(), "{status}\n{log}");
        log
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn messages(log: &str) -> Vec<String> {
    log.lines()
        .map(|line| {
            let line: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"));
            line["msg"].as_str().unwrap_or_default().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_night_through_redis_is_four_jobs_in_order_and_one_webhook() {
    let outside = Outside::new().await;
    let mut worker = outside.worker(&[]);
    outside.restart("full-replication").await;
    assert_eq!(outside.run_ends(1).await, "succeeded");
    let log = worker.stop();

    let stages = outside
        .night
        .warehouse
        .rows("select stage, attempt, status from nightferry.stages order by started_at")
        .await;
    assert_eq!(
        stages,
        [
            "full-replication|1|succeeded",
            "incremental-replication|1|succeeded",
            "learning-content-replication|1|succeeded",
            "notification|1|succeeded"
        ]
    );
    let queues: Vec<String> = messages(&log)
        .into_iter()
        .filter_map(|message| Some(message.strip_prefix("Starting job in ")?.split_once(": ")?.0.to_owned()))
        .collect();
    assert_eq!(
        queues,
        [
            "Replication queue",
            "Incremental replication queue",
            "Learning Content replication queue",
            "Notification queue"
        ]
    );

    let received = outside.webhook.received().await;
    assert_eq!(received.len(), 1, "one webhook");
    let body: Value = received[0].body_json().unwrap();
    assert_eq!(body["status"], "succeeded", "{body}");
    assert_eq!(received[0].headers["authorization"], HOOK_TOKEN);
}

#[tokio::test]
async fn the_lines_that_operators_grep_for_are_there_in_their_order() {
    let outside = Outside::new().await;
    let mut worker = outside.worker(&[]);
    outside.restart("full-replication").await;
    assert_eq!(outside.run_ends(1).await, "succeeded");
    let log = worker.stop();
    let known = [
        "Start create Backup",
        "Start restore",
        "Restore done",
        "enrichment.add - Ended",
        "Import and enrichment done",
    ];
    let seen: Vec<String> =
        messages(&log).into_iter().filter(|message| known.contains(&message.as_str())).collect();
    assert_eq!(seen, known);
}

#[tokio::test]
async fn a_stage_restarted_by_itself_chains_from_there() {
    let outside = Outside::new().await;
    let mut worker = outside.worker(&[]);
    outside.restart("learning-content-replication").await;
    assert_eq!(outside.run_ends(1).await, "succeeded");
    worker.stop();
    let stages =
        outside.night.warehouse.rows("select stage from nightferry.stages order by started_at").await;
    assert_eq!(stages, ["learning-content-replication", "notification"]);
    assert_eq!(outside.webhook.received().await.len(), 1);
}

/// The argument lists of all processes, looked at until told to stop.
fn watch_processes(stop: Arc<AtomicBool>) -> std::thread::JoinHandle<BTreeSet<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                seen.extend(std::fs::read(process.path().join("cmdline")).ok());
            }
        }
        seen
    })
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[tokio::test]
async fn a_secret_of_the_urls_is_in_no_process_list_log_queue_ledger_or_webhook_even_of_a_failed_night() {
    let outside = Outside::new().await;
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch_processes(stop.clone());

    // The first attempt of the full stage fails in its enrichment, and is not tried again.
    let broken = outside.night.path("enrichment/01_broken.sql");
    std::fs::write(&broken, "-- needs: growing\nselect nonsense from nowhere;\n").unwrap();
    let mut worker = outside.worker(&[]);
    let mut said = outside.restart("full-replication").await;
    assert_eq!(outside.run_ends(1).await, "failed");
    said.push_str(&worker.stop());
    std::fs::remove_file(broken).unwrap();

    let mut worker = outside.worker(&[]);
    said.push_str(&outside.restart("full-replication").await);
    let ended = outside.run_ends(2).await;
    assert_eq!(
        ended,
        "succeeded",
        "{:?}",
        outside.night.warehouse.rows("select stage, error from nightferry.stages").await
    );
    said.push_str(&worker.stop());
    // What a wrong password makes the programs say.
    let wrong = outside.night.source.url().replace("s3cr", "wr0ng");
    let output = outside.night.binary(&["check"], &[("SOURCE_DATABASE_URL", &wrong)]).await;
    assert!(!output.status.success());
    said.push_str(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    stop.store(true, Ordering::Relaxed);
    let arguments = watcher.join().unwrap();
    assert!(arguments.iter().any(|list| contains(list, "pg_dump")), "pg_dump was not seen at work");

    let mut places = vec![("output", said.into_bytes()), ("Redis", outside.redis_contents())];
    places.push(("the ledger", outside.night.warehouse.dump_text("nightferry").into_bytes()));
    places.extend(outside.webhook.received().await.into_iter().map(|request| ("a webhook", request.body)));
    places.extend(arguments.into_iter().map(|list| ("an argument list", list)));
    // Passwords as they are and as they stand in a URL.
    let secrets = [
        "s3cr&t+é%",
        "s3cr&t+%C3%A9%25",
        "wr0ng&t+",
        outside.redis.password(),
        ContentApi::KEY,
        HOOK_TOKEN,
        HOOK_PATH_SECRET,
    ];
    for (place, bytes) in &places {
        for secret in secrets {
            assert!(!contains(bytes, secret), "{secret} is in {place}: {}", String::from_utf8_lossy(bytes));
        }
    }
}
