//! What a user of the command line sees: help, exit codes, errors, answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::TestNight;

const COMMANDS: [&str; 16] = [
    "run",
    "check",
    "plan",
    "restart",
    "worker",
    "web",
    "adopt",
    "verify",
    "rollback",
    "generations",
    "backup",
    "queue",
    "schema",
    "status",
    "history",
    "logs",
];

/// The command in an empty folder with an empty environment.
fn nightferry(folder: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightferry"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).current_dir(folder.path());
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = TempDir::new().unwrap();
    nightferry(&folder, arguments, variables).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_help_ends_with_examples() {
    for arguments in COMMANDS.map(|command| vec![command, "--help"]).into_iter().chain([vec!["--help"]]) {
        let output = run(&arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let text = stdout(&output);
        let (_, examples) =
            text.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{arguments:?}: {text}"));
        assert!(examples.lines().all(|line| line.contains("nightferry")), "{arguments:?}: {examples}");
    }
}

#[test]
fn a_wrong_use_ends_with_2_and_names_what_is_possible() {
    for arguments in [vec!["run"], vec!["run", "incremental"], vec!["frobnicate"], vec!["restart", "night"]] {
        let output = run(&arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}");
    }
    assert!(stderr(&run(&["run", "incremental"], &[])).contains("incremental-replication"));
}

#[test]
fn a_wrong_configuration_ends_with_2_and_every_problem_at_once() {
    let variables = [
        ("SOURCE_DATABASE_URL", "postgres://app:canary@/"),
        ("TARGET_DATABASE_URL", "mysql://dw:canary@w/dw"),
        ("BACKUP_MODE", r#"{"answers":"incrementale"}"#),
        ("SCHEDULE", "tomorrow"),
        ("LOG_FORMAT", "xml"),
    ];
    for command in
        [vec!["run", "night"], vec!["check"], vec!["plan", "--json"], vec!["worker"], vec!["adopt"]]
    {
        let output = run(&command, &variables);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert_eq!(stdout(&output), "", "{command:?}");
        let text = stderr(&output);
        let named: Vec<&str> = text.lines().map(|line| line.trim_start_matches("error: ").trim()).collect();
        let order =
            ["BACKUP_MODE:", "LOG_FORMAT:", "SCHEDULE:", "SOURCE_DATABASE_URL:", "TARGET_DATABASE_URL:"];
        assert_eq!(named.len(), order.len() + 1, "{text}");
        for (line, variable) in named.iter().zip(order) {
            assert!(line.starts_with(variable), "{text}");
        }
        assert!(text.ends_with("hint: sample.env documents each variable\n"), "{text}");
        assert!(text.contains("did you mean \"incremental\"?") && !text.contains("canary"), "{text}");
    }
}

#[test]
fn a_dot_env_file_is_read_and_never_overrides_the_environment() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join(".env"), "LOG_FORMAT=of-the-file\nPORT=of-the-file\n").unwrap();
    let output = nightferry(&folder, &["web"], &[("LOG_FORMAT", "of-the-environment")]).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("LOG_FORMAT: \"of-the-environment\""), "{text}");
    assert!(text.contains("PORT: \"of-the-file\""), "{text}");
}

/// Two databases on a port where nobody listens.
fn nowhere() -> [(&'static str, String); 2] {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = |role: &str| format!("postgres://{role}:canary@127.0.0.1:{free}/{role}");
    [("SOURCE_DATABASE_URL", url("source")), ("TARGET_DATABASE_URL", url("target"))]
}

#[test]
fn a_server_that_is_not_there_ends_with_1_and_one_sentence_with_a_hint() {
    let urls = nowhere();
    let output = run(&["run", "night"], &urls.each_ref().map(|(name, url)| (*name, url.as_str())));
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error: cannot connect to the warehouse (target@127.0.0.1:"), "{text}");
    assert!(text.contains("\nhint: check that the server runs") && !text.contains("canary"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_check_says_what_is_wrong_with_both_servers_and_ends_with_1() {
    let urls = nowhere();
    let variables = urls.each_ref().map(|(name, url)| (*name, url.as_str()));
    let output = run(&["check"], &variables);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("\n  source: ") && text.contains("\n  warehouse: "), "{text}");
    assert!(text.contains("\n    hint: check that the server runs") && !text.contains("canary"), "{text}");

    let output = run(&["check", "--json"], &variables);
    assert_eq!(output.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["problems"][0]["subject"], "source");
    assert!(!stdout(&output).contains("canary"));
}

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn ask_to_stop(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    fn exit_code(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not stop within {limit:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn the_web_process_answers_and_stops_well_when_asked() {
    for signal in ["TERM", "INT"] {
        let folder = TempDir::new().unwrap();
        let child = nightferry(&folder, &["web"], &[("PORT", "0")]).stdout(Stdio::piped()).spawn().unwrap();
        let mut web = Running(child);
        let mut lines = BufReader::new(web.0.stdout.take().unwrap()).lines();
        let started: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(started["msg"], "web.started");
        let port = u16::try_from(started["port"].as_u64().unwrap()).unwrap();
        for path in ["/", "/health"] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        }
        web.ask_to_stop(signal);
        assert_eq!(web.exit_code(Duration::from_secs(10)), Some(0));
        assert!(lines.all(|line| line.unwrap().starts_with('{')));
    }
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_ends_well_and_soon() {
    let night = TestNight::new().await;
    for signal in ["TERM", "INT"] {
        let child = night.command(&["worker"], &[]).stdout(Stdio::piped()).spawn().unwrap();
        let mut worker = Running(child);
        let mut lines = BufReader::new(worker.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ready = lines.find(|line| line.contains("schedule.next")).unwrap();
        worker.ask_to_stop(signal);
        assert_eq!(worker.exit_code(Duration::from_secs(10)), Some(0), "{ready}");
        let rest: Vec<String> = lines.collect();
        assert!(
            rest.iter().any(|line| line.contains("worker.stopping") && line.contains(signal)),
            "{rest:?}"
        );
        assert!(rest.iter().all(|line| line.starts_with('{')), "{rest:?}");
    }
}

#[tokio::test]
async fn a_check_and_a_plan_answer_and_change_nothing() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table users (id int primary key); insert into users values (1), (2); analyze users",
        )
        .await;
    let check = night.binary(&["check"], &[]).await;
    assert_eq!(check.status.code(), Some(0), "{}", stderr(&check));
    assert!(stdout(&check).starts_with("No problem found: a night can run.\n"), "{}", stdout(&check));
    let plan = night.binary(&["plan"], &[]).await;
    assert!(stdout(&plan).contains("\n  public.users  replaced"), "{}", stdout(&plan));
    let plan = night.binary(&["plan", "--json"], &[]).await;
    let answer: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(answer["tables"][0]["table"]["name"], "users");
    assert_eq!(answer["tables"][0]["rows_estimate"], 2);
    // The warehouse was not even given a ledger.
    night.warehouse_sql("create schema nightferry").await;
}

#[tokio::test]
async fn a_run_ends_with_its_summary_after_a_log_of_json_lines() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key); insert into users values (1), (2)").await;
    let output = night.binary(&["run", "night"], &[]).await;
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    let (log, summary) = text.split_once("\n\n").unwrap();
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    assert!(log.contains("\"msg\":\"Start restore\""), "{log}");
    assert!(summary.starts_with("full-replication: 1 table, 2 rows, "), "{summary}");
    assert!(summary.contains("\n  public.users  ") && summary.contains("\n  users_pkey  "), "{summary}");
    assert!(summary.contains("\nnotification: done"), "{summary}");
    assert_eq!(stderr(&output), "");
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_an_error_unless_nobody_reads_on() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key)").await;
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/replication.log");
    for words in [
        "run night",
        "status",
        "status --watch",
        "status --json",
        "history",
        "plan",
        "check",
        "logs LOG",
        "logs LOG --json",
    ] {
        let words = words.replace("LOG", log);
        let arguments: Vec<&str> = words.split(' ').collect();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = night.command(&arguments, &[]).stdout(full).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{words}: {text}");
        assert!(text.starts_with("error: cannot write the answer to standard output: "), "{words}: {text}");
        assert!(text.contains("\nhint: ") && text.lines().count() == 2, "{words}: {text}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = night.command(&arguments, &[]).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{words}");
    }
    // Where the work fails too, that is what is said.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let nobody = [("LCMS_API_URL", "http://127.0.0.1:1"), ("LCMS_API_KEY", "k")];
    let output = night.command(&["run", "night"], &nobody).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    assert!(!stderr(&output).contains("standard output"), "{}", stderr(&output));
}
