//! `nightferry logs` on real logs: of a real pg_restore, and of a real night, whose ledger must say the same.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{TestNight, default_tools};

const OLD: &str = "tests/it/fixtures/replication.log";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn logs(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightferry"));
    command.arg("logs").args(arguments).env_clear().current_dir(repository());
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&text(&logs(&[path.to_str().unwrap(), "--top", "1000", "--json"]))).unwrap()
}

/// The items of a category, by name, in milliseconds.
fn items(run: &Value, category: &str) -> BTreeMap<String, i64> {
    let all = run["categories"].as_array().unwrap();
    let found = all.iter().find(|one| one["category"] == category).unwrap();
    let items = found["slowest"].as_array().unwrap().iter();
    items
        .map(|item| (item["name"].as_str().unwrap().to_owned(), item["duration_ms"].as_i64().unwrap()))
        .collect()
}

/// Runs pg_restore with several jobs, and writes what it says as the platform's collector does: with the time and the container.
fn restore(night: &TestNight) -> (PathBuf, Vec<(DateTime<Utc>, String)>) {
    let archive = night.archive("custom");
    let mut command = Command::new(default_tools().join("pg_restore"));
    command.args([
        "--verbose",
        "--jobs=3",
        "--no-owner",
        "--no-acl",
        "--dbname",
        night.warehouse_seen_by_superuser().url(),
        &archive,
    ]);
    let mut child = command.env("LC_ALL", "C").stderr(Stdio::piped()).spawn().unwrap();
    let said: Vec<(DateTime<Utc>, String)> = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(|line| (Utc::now(), line.unwrap()))
        .collect();
    child.wait().unwrap();
    let path = night.path("restore.log");
    let mut log = std::fs::File::create(&path).unwrap();
    for (at, line) in &said {
        let paris = at.with_timezone(&chrono_tz::Europe::Paris);
        writeln!(log, "{} [background-1] {line}", paris.format("%Y-%m-%d %H:%M:%S.%9f %z %Z")).unwrap();
    }
    (path, said)
}

/// Lines that pg_restore's processes may have written into each other.
const TORN: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_real_pg_restore_gives_each_item_the_time_between_its_two_lines() {
    let night = TestNight::of_shapes().await;
    let (path, said) = restore(&night);
    // Read once more by another way than the product's: by the number of the item. Its processes share one stderr and write a line in
    // pieces, so that another one's words may stand before it.
    let (mut launched, mut expected) = (BTreeMap::new(), BTreeMap::<String, i64>::new());
    for (at, line) in &said {
        if let Some((_, item)) = line.split_once("launching item ") {
            launched.insert(item.split(' ').next().unwrap().to_owned(), *at);
        } else if let Some((_, item)) = line.split_once("finished item ") {
            let (number, name) = item.split_once(' ').unwrap();
            let Some(start) = launched.get(number) else { continue };
            let took = *at - *start;
            *expected.entry(name.to_owned()).or_default() += (took.num_microseconds().unwrap() + 500) / 1000;
        }
    }
    let report = json(&path);
    assert_eq!((&report["lines"], report["runs"].as_array().unwrap().len()), (&Value::from(said.len()), 1));
    let run = &report["runs"][0];
    assert_eq!(run["status"], "unknown");
    assert!(run["items_without_start"].as_u64().unwrap() <= TORN);
    let mut found = BTreeMap::new();
    for category in ["FK CONSTRAINT", "CONSTRAINT", "INDEX", "SEQUENCE", "TABLE DATA", "OTHER"] {
        found.extend(items(run, category));
    }
    for kind in ["FK CONSTRAINT ", "CONSTRAINT ", "INDEX ", "SEQUENCE SET ", "TABLE DATA "] {
        assert!(found.keys().any(|name| name.starts_with(kind)), "no {kind} in {found:?}");
    }
    let in_one_only = found.keys().filter(|name| !expected.contains_key(*name)).count()
        + expected.keys().filter(|name| !found.contains_key(*name)).count();
    assert!(in_one_only as u64 <= TORN && expected.len() > 30, "{found:?}\n{expected:?}");
    // Items of one name, of two schemas, have one entry in both maps but not the same one.
    let differs =
        |(name, took): &(&String, &i64)| expected.get(*name).is_some_and(|other| (other - **took).abs() > 1);
    assert!(found.iter().filter(differs).count() as u64 <= 2 + TORN, "{found:?}\n{expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_real_night_has_the_times_of_the_ledger() {
    let night = TestNight::of_shapes().await;
    std::fs::write(night.path("enrichment/10_seen.sql"), "-- needs:\nselect 1;").unwrap();
    let output =
        night.binary(&["run", "full-replication"], &[("LOG_FORMAT", "json"), ("LOG_LEVEL", "debug")]).await;
    let path = night.path("night.log");
    let log = [text(&output).as_str(), &String::from_utf8_lossy(&output.stderr)].concat();
    std::fs::write(&path, &log).unwrap();
    let report = json(&path);
    let run = &report["runs"][0];
    let ledger = night.warehouse_seen_by_superuser();
    assert_eq!(run["run"].as_str().unwrap(), ledger.one("select run_id from nightferry.runs").await);
    assert_eq!((&run["status"], &report["unreadable_lines"]), (&Value::from("succeeded"), &Value::from(0)));

    let tables = "select 'TABLE DATA ' || case schema_name when 'public' then '' else schema_name || '.' end || table_name,
        duration_ms from nightferry.tables";
    let expected = pairs(&ledger.rows(tables).await);
    assert!(expected.len() > 5, "{expected:?}");
    assert_eq!(items(run, "TABLE DATA"), expected);
    let keys = "select kind || ' ' || case schema_name when 'public' then '' else schema_name || '.' end || table_name || ' ' || object_name,
        duration_ms from nightferry.objects where kind = 'FK CONSTRAINT'";
    let expected = pairs(&ledger.rows(keys).await);
    assert!(!expected.is_empty());
    assert_eq!(items(run, "FK CONSTRAINT"), expected);
    let sums = "select sum(rows_written), sum(bytes) from nightferry.tables";
    assert_eq!(format!("{}|{}", run["rows"], run["bytes"]), ledger.one(sums).await);

    // The ledger's connections too; one of the stage itself has no name there.
    let mut told: Vec<String> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["msg"] == "object.built" || line["msg"] == "table.copied")
        .map(|line| {
            let name = line["object"]
                .as_str()
                .map_or_else(|| line["table"].as_str().unwrap().to_owned(), str::to_owned);
            format!("{name}|{}", line["connection"].as_str().unwrap_or_default())
        })
        .collect();
    told.sort();
    let connections =
        "select schema_name || '.' || table_name, coalesce(connection, '') from nightferry.tables
        union all select object_name, coalesce(connection, '') from nightferry.objects";
    let mut written = ledger.rows(connections).await;
    written.sort();
    assert!(written.contains(&"10_seen.sql|enrichment 1".to_owned()), "{written:?}");
    assert_eq!(told, written);

    // And so has the picture: the stage's own connection goes by the name of the stage.
    let html = night.path("night.html");
    text(&logs(&[path.to_str().unwrap(), "--html", html.to_str().unwrap()]));
    let picture = std::fs::read_to_string(html).unwrap();
    for part in [
        "<title>load 1</title>",
        "<title>full-replication</title>",
        "<title>enrichment 1</title>",
        "<title>ENRICHMENT 10_seen.sql, ",
        ">enrichment file</text>",
    ] {
        assert!(picture.contains(part), "{part}: {picture}");
    }

    // The ledger writes the start before, and the end after, what the log has measured.
    let steps = "select step, round(extract(epoch from ended_at - started_at) * 1000) from nightferry.steps order by step_id";
    let told: Vec<(String, i64)> = run["stages"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["step"].as_str().unwrap().to_owned(), step["duration_ms"].as_i64().unwrap()))
        .collect();
    let written = ledger.rows(steps).await;
    assert_eq!(told.len(), written.len());
    for ((step, took), line) in told.iter().zip(&written) {
        let (name, millis) = line.rsplit_once('|').unwrap();
        let millis: i64 = millis.parse().unwrap();
        assert_eq!(step, name);
        assert!(
            *took <= millis + 1 && *took >= millis - 2_000,
            "{step}: {took} ms, in the ledger {millis} ms"
        );
    }
    for part in ["backup", "replication", "enrichment", "total"] {
        assert_eq!(run["durations"][part]["finished"], true, "{part}: {run}");
    }
}

fn pairs(rows: &[String]) -> BTreeMap<String, i64> {
    rows.iter()
        .map(|row| row.rsplit_once('|').unwrap())
        .map(|(name, millis)| (name.to_owned(), millis.parse().unwrap()))
        .collect()
}

#[test]
fn the_wrapper_standard_input_and_gzip_say_the_same() {
    let direct = text(&logs(&[OLD, "2020-10-22", "--lang", "fr"]));
    assert!(direct.starts_with("Durée de récupération du backup: 1h 27min 42s\n"), "{direct}");
    let wrapper = Command::new(repository().join("utils/parse-replication-logs"))
        .args([OLD, "2020-10-22", "--lang", "fr"])
        .env("NIGHTFERRY", env!("CARGO_BIN_EXE_nightferry"))
        .current_dir(repository())
        .output()
        .unwrap();
    assert_eq!(text(&wrapper), direct);
    let piped = Command::new("sh")
        .args([
            "-c",
            r#"gzip -c "$0" | "$1" logs - 2020-10-22 --lang fr"#,
            OLD,
            env!("CARGO_BIN_EXE_nightferry"),
        ])
        .current_dir(repository())
        .output()
        .unwrap();
    assert_eq!(text(&piped), direct);
}

#[test]
fn what_cannot_be_shown_is_said_with_what_to_do() {
    let code = |output: &Output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    let (missing, said) = code(&logs(&["no/such.log"]));
    assert_eq!(missing, Some(2));
    assert!(said.contains("cannot read the log no/such.log") && said.contains("hint: "), "{said}");
    let (folder, said) = code(&logs(&["."]));
    assert_eq!(folder, Some(2), "{said}");
    let other_day = logs(&[OLD, "2020-12-24"]);
    assert_eq!(other_day.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other_day.stdout).contains("2020-10-21, 2020-10-22"));
    let (two, said) = code(&logs(&[OLD, "--compare", "2020-10-22", "2020-12-24"]));
    assert_eq!(two, Some(2));
    assert!(said.contains("has no run that started on 2020-12-24") && said.contains("2020-10-21"), "{said}");
}

#[test]
fn a_page_is_written_beside_the_text_and_two_days_are_compared() {
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("night.html");
    let told = text(&logs(&[OLD, "2020-10-22", "--html", page.to_str().unwrap()]));
    assert!(told.starts_with("Backup duration: 1h 27min 42s\n"), "{told}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("<svg class=\"timeline\"")
            && page.contains("INDEX answers_assessmentid_index, 2 h 07 min from 07:24:40"),
        "{page}"
    );
    let compared = text(&logs(&[OLD, "--compare", "2020-10-21", "2020-10-22"]));
    assert!(compared.contains("  Backup duration") && compared.contains("+0h 27min 42s\n"), "{compared}");
}

#[test]
fn a_page_never_takes_the_place_of_its_log() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("x.log");
    let whole = std::fs::read(repository().join(OLD)).unwrap();
    std::fs::write(&log, &whole).unwrap();
    std::os::unix::fs::symlink("x.log", folder.path().join("link")).unwrap();
    std::fs::hard_link(&log, folder.path().join("second-name")).unwrap();
    let from = |input: &str, page: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightferry"));
        command.args(["logs", input, "--html", page]).env_clear().current_dir(&folder);
        command.stdin(std::fs::File::open(&log).unwrap()).output().unwrap()
    };
    for (input, page) in [
        ("x.log", "x.log"),
        ("x.log", "./../x.log"),
        ("x.log", "link"),
        ("link", "second-name"),
        ("-", "x.log"),
    ] {
        let page =
            page.replace("..", &format!("../{}", folder.path().file_name().unwrap().to_str().unwrap()));
        let output = from(input, &page);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{input} {page}: {said}");
        assert!(said.starts_with(&format!("error: --html {page} is the log itself")), "{said}");
        assert!(said.lines().count() == 2 && said.contains("hint: name another file for the page"), "{said}");
        assert_eq!(std::fs::read(&log).unwrap(), whole);
    }
    let two = logs(&["--compare", log.to_str().unwrap(), OLD, "--html", OLD]);
    assert_eq!(two.status.code(), Some(2));
    for page in ["night.html", "/dev/null"] {
        assert_eq!(from("x.log", page).status.code(), Some(0), "{page}");
    }
    assert!(std::fs::read_to_string(folder.path().join("night.html")).unwrap().contains("</html>"));
}
