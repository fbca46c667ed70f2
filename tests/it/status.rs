//! `nightferry status` and `history`, beside real nights: what the server does, told in the names that people know.

use std::process::Output;
use std::time::{Duration, Instant};

use nightferry::jobs::overview::Overlook;
use serde_json::{Value, json};

use crate::support::{Gate, RedisServer, TestNight, WorkerProcess, until};

const RUN: &[&str] = &["run", "full-replication"];

/// A night with one table of 1,000 rows. The copy of row 500 and the building of an index wait while somebody holds their lock on the warehouse.
pub(crate) async fn night() -> TestNight {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create function held_row(id bigint) returns boolean immutable language plpgsql as
                $$begin if id = 500 then perform pg_advisory_xact_lock_shared(77); end if; return true; end$$;
             create function held_index(id bigint) returns bigint immutable language plpgsql as
                $$begin if id = 500 then perform pg_advisory_xact_lock_shared(78); end if; return id; end$$;
             create table big (id bigint primary key, note text, check (held_row(id)));
             create index big_held on big (held_index(id));
             insert into big select g, 'note ' || g from generate_series(1, 1000) g",
        )
        .await;
    night
}

pub(crate) async fn closed(night: &TestNight, lock: u32) -> Gate {
    Gate::of(&night.warehouse, &format!("select pg_advisory_lock({lock})"), &format!("lock {lock}")).await
}

fn start(night: &TestNight, arguments: &[&str], log: &str) -> WorkerProcess {
    WorkerProcess::start(&night.command(arguments, &[("LOG_FORMAT", "json")]), night.path(log))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn ask(night: &TestNight, arguments: &[&str], extra: &[(&str, &str)]) -> String {
    let output = night.binary(arguments, extra).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn status(night: &TestNight) -> Value {
    serde_json::from_str(&ask(night, &["status", "--json"], &[]).await).unwrap()
}

/// Waits until a session does this, and gives the whole status.
async fn doing(night: &TestNight, what: &str) -> (Value, Value) {
    until(&format!("somebody to do {what}"), async || {
        let status = status(night).await;
        let one = status["under_way"].as_array().unwrap().iter().find(|one| one["what"] == what)?.clone();
        Some((status, one))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_at_work_is_told_down_to_the_rows_of_a_copy_and_the_phase_of_an_index() {
    let night = night().await;
    night.full(&[]).await;
    let (mut copying, mut building) = (closed(&night, 77).await, closed(&night, 78).await);
    let mut work = start(&night, RUN, "run.log");
    copying.reached().await;
    let mut watch = start(&night, &["status", "--watch"], "watch.log");

    let (status, copy) = doing(&night, "copy").await;
    assert_eq!(copy["table"], json!({"schema": "public", "name": "big"}), "as it will be named: {copy}");
    assert_eq!(
        (&copy["rows"], &copy["rows_expected"], &copy["percent"]),
        (&json!(499), &json!(1000), &json!(49.9))
    );
    assert_eq!(copy["waits_for_lock"], true);
    let run = &status["run"];
    assert_eq!(
        (&run["status"], &run["is_at_work"], &run["origin"]),
        (&json!("running"), &json!(true), &json!("command"))
    );
    let stage = &run["stage"];
    assert_eq!((&stage["stage"], &stage["attempt"]), (&json!("full-replication"), &json!(1)));
    assert_eq!(stage["steps"].as_array().unwrap().last().unwrap()["step"], "load");
    assert_eq!(
        (&stage["rows_so_far"], &stage["rows_expected"], &stage["tables_expected"]),
        (&json!(499), &json!(1000), &json!(1))
    );
    let percent = stage["step_percent"].as_f64().unwrap();
    assert!(percent > 0.0 && percent < 100.0, "{percent}: half of the rows, and no index");
    assert_eq!(run["eta"]["nights"], 1);
    let id = run["run_id"].as_str().unwrap();
    assert!(status["warehouse_lock"]["who"].as_str().unwrap().starts_with(id), "{status}");
    let told = ask(&night, &["status"], &[]).await;
    for line in [
        "  stage: full-replication, attempt 1",
        "  step: load since",
        "0 of about 1 table, 499 of about 1,000 rows",
        "from the last good night",
        "49.9 %",
        "waits for a lock",
        &format!("held by {id}"),
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }

    drop(copying);
    building.reached().await;
    let (status, index) = doing(&night, "index").await;
    assert_eq!((&index["table"]["schema"], &index["object"]), (&json!("public"), &json!("big_held")));
    assert!(index["phase"].as_str().unwrap().starts_with("building index"), "{index}");
    assert_eq!(status["run"]["stage"]["tables"], 1);
    assert!(status["run"]["stage"]["step_percent"].as_f64().unwrap() >= percent);

    drop(building);
    assert!(work.ends().await.success());
    assert!(watch.ends().await.success());
    let watched = watch.log();
    let lines: Vec<&str> = watched.lines().collect();
    assert!(lines[0].contains(&format!("{id} running: full-replication load")), "{watched}");
    assert!(
        lines.last().unwrap().contains(&format!("{id} succeeded: full-replication succeeded, 1")),
        "{watched}"
    );
    assert!(lines.len() < 20, "a line a change: {watched}");
    let after = self::status(&night).await;
    assert_eq!(
        (&after["run"]["status"], &after["run"]["eta"], &after["warehouse_lock"]),
        (&json!("succeeded"), &Value::Null, &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_a_foreign_key_is_told_as_that() {
    let night = night().await;
    night.source_sql("create table child (parent bigint references big); insert into child values (1)").await;
    let mut building = closed(&night, 78).await;
    let mut work = start(&night, RUN, "run.log");
    building.reached().await;
    let both_are_loaded = async || (status(&night).await["run"]["stage"]["tables"] == 2).then_some(());
    until("both tables to be loaded", both_are_loaded).await;
    // The key's declaration waits for the first of these, and its check, which comes later, for the second.
    let lock = |mode: &str| format!("begin; lock table public__next.child in {mode} mode");
    let mut declaring = Gate::of(&night.warehouse, &lock("row exclusive"), "the declaration").await;
    drop(building);
    declaring.reached().await;
    assert_eq!(doing(&night, "constraint").await.1["object"], "child_parent_fkey");
    let checking = tokio::spawn({
        let (warehouse, closing) = (night.warehouse.clone(), lock("share update exclusive"));
        async move { Gate::of(&warehouse, &closing, "the check").await }
    });
    let queued = "select count(*) from pg_locks where mode = 'ShareUpdateExclusiveLock' and not granted";
    until("the second to wait behind the declaration", async || {
        (night.warehouse.one(queued).await == "1").then_some(())
    })
    .await;
    drop(declaring);
    let mut checking = checking.await.unwrap();
    checking.reached().await;
    let (status, check) = doing(&night, "validation").await;
    assert_eq!(
        (&check["table"], &check["object"]),
        (&json!({"schema": "public", "name": "child"}), &json!("child_parent_fkey"))
    );
    assert_eq!(status["run"]["stage"]["steps"].as_array().unwrap().last().unwrap()["step"], "constrain");
    assert_eq!(status["run"]["eta"], Value::Null, "there is no earlier night");
    let told = ask(&night, &["status"], &[]).await;
    assert!(told.contains("there is no earlier night to compare with"), "{told}");
    drop(checking);
    assert!(work.ends().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_without_a_ledger_and_without_a_queue() {
    let night = TestNight::new().await;
    let away = [("REDIS_URL", "redis://127.0.0.1:1/")];
    let told = ask(&night, &["status"], &away).await;
    assert!(
        told.contains("The warehouse has no ledger yet") && told.contains("The queue does not answer"),
        "{told}"
    );
    assert!(told.contains("Next night: 2"), "{told}");
    assert!(ask(&night, &["history"], &away).await.contains("The warehouse has no ledger yet"));
    let output = night.binary(&["history", "20261120T041000Z"], &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(
        night.warehouse.one("select count(*) from pg_namespace where nspname = 'nightferry'").await,
        "0",
        "it only looks"
    );
    assert!(!night.path("nightferry-queue.sqlite").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_ledger_is_answered_with_one_sentence() {
    let night = night().await;
    night.full(&[]).await;
    // As a version before this one left it.
    night
        .warehouse_sql(
            "delete from nightferry._sqlx_migrations where version = (select max(version) from nightferry._sqlx_migrations);
             drop table nightferry.objects",
        )
        .await;
    for command in ["status", "history"] {
        let told = ask(&night, &[command], &[]).await;
        assert!(told.starts_with("The ledger was written by an older version of nightferry"), "{told}");
    }
    assert_eq!(status(&night).await["ledger"], "older");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_paused_is_named() {
    let (night, redis) = (TestNight::new().await, RedisServer::start());
    let url = redis.url();
    let queue = [("REDIS_URL", url.as_str())];
    ask(&night, &["queue", "pause", "full-replication"], &queue).await;
    assert!(ask(&night, &["status"], &queue).await.contains("Paused: full-replication."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_is_listed_and_told_with_its_error() {
    let night = night().await;
    night.full(&[]).await;
    night.source_sql("alter table big add column odd point, add exclude using gist (odd with ~=)").await;
    night.warehouse_sql("create view leans as select note from big").await;
    let failed = night.binary(&["run", "full-replication"], &[("PG_BIN_DIR", "/nowhere")]).await;
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));

    let history: Value = serde_json::from_str(&ask(&night, &["history", "--json"], &[]).await).unwrap();
    let runs = history["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(
        (&runs[0]["status"], &runs[0]["last_stage"], &runs[0]["rows"]),
        (&json!("failed"), &json!("full-replication"), &json!(0))
    );
    assert_eq!(
        (&runs[1]["status"], &runs[1]["rows"], &runs[1]["tables"]),
        (&json!("succeeded"), &json!(1000), &json!(1))
    );
    assert!(runs[1]["duration_ms"].as_i64().unwrap() > 0);
    let told = ask(&night, &["history", "--limit", "1"], &[]).await;
    assert!(told.lines().count() == 2 && told.contains(" in full-replication"), "{told}");

    let Output { status, stdout, .. } = night.binary(&["status", "--watch"], &[]).await;
    assert_eq!(status.code(), Some(1), "the last run has failed: {}", text(&stdout));

    let good = runs[1]["run_id"].as_str().unwrap();
    let told = ask(&night, &["history", good], &[]).await;
    for line in [
        &format!("Run {good}: succeeded"),
        "  load",
        "Slowest tables:\n",
        "public.big",
        "Slowest indexes, constraints and enrichment files:\n",
        "big_held",
        "big_pkey",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let bad = runs[0]["run_id"].as_str().unwrap();
    let told = ask(&night, &["history", bad], &[]).await;
    assert!(told.contains("/nowhere") && told.contains("  hint: "), "{told}");
    let unknown = night.binary(&["history", "20010101T000000Z"], &[]).await;
    assert!(
        text(&unknown.stderr).contains("there is no run \"20010101T000000Z\""),
        "{}",
        text(&unknown.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_whose_process_was_killed_has_no_end_and_is_not_watched_for_ever() {
    let night = night().await;
    night.full(&[]).await;
    let mut copying = closed(&night, 77).await;
    let mut work = start(&night, RUN, "run.log");
    copying.reached().await;
    let mut watch = start(&night, &["status", "--watch"], "watch.log");
    until("it to be watched", async || watch.log().contains(" running: ").then_some(())).await;
    work.kill();
    drop(copying);
    until("the warehouse to let go of it", async || {
        (status(&night).await["run"]["is_at_work"] == false).then_some(())
    })
    .await;
    let told = ask(&night, &["status"], &[]).await;
    for line in
        ["at work: nobody: the process that was at it is gone", "done: unknown: nobody is at work on it"]
    {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(watch.ends().await.code(), Some(1), "{}", watch.log());
    assert!(watch.log().contains("nobody is at work on it"), "{}", watch.log());
}

/// So many nights of 2,000 tables, the last with 6,000 indexes, and one at work that has done half.
const LONG_HISTORY: &str = "
    insert into nightferry.runs (run_id, origin, host, version, status, started_at, ended_at)
    select to_char(at, 'YYYYMMDD\"T\"HH24MISS\"Z\"'), 'schedule', 'h', '1', case when n = 0 then 'running' else 'succeeded' end, at,
        case when n > 0 then at + interval '3 hours' end
    from generate_series(0, NIGHTS) n, lateral (select now() - make_interval(days => n, hours => 1) as at) t;
    insert into nightferry.stages (run_id, stage, attempt, status, started_at, ended_at, tables_written, rows_written, bytes_written)
    select run_id, 'full-replication', 1, status, started_at, ended_at, 2000 * n, 2000000 * n, 200000000 * n
    from nightferry.runs, lateral (select (status <> 'running')::int) as ended (n);
    insert into nightferry.steps (run_id, stage, attempt, step, status, started_at, ended_at)
    select run_id, stage, 1, step, status, started_at + make_interval(mins => n::int * 10),
        case when status = 'succeeded' then started_at + make_interval(mins => n::int * 10 + 10) end
    from nightferry.stages, unnest(array['fetch', 'guard', 'schema', 'load', 'constrain', 'finish', 'enrich', 'verify', 'publish']) with ordinality as s (step, n)
    where status = 'succeeded' or n <= 4;
    update nightferry.steps set status = 'succeeded', ended_at = now() where status = 'running' and step <> 'load';
    insert into nightferry.tables
    select run_id, stage, 1, 'public', 'table_' || t, 'full', 1000, 100000, 500, 'load 1', started_at + interval '41 minutes'
    from nightferry.stages, generate_series(1, 2000) t where status = 'succeeded' or t <= 1000;
    insert into nightferry.objects
    select run_id, stage, 1, 'INDEX', 'public', 'table_' || i % 2000, 'index_' || i, 'index 1', started_at + interval '42 minutes', 250
    from nightferry.stages, generate_series(1, 6000) i
    where started_at > now() - interval '36 hours' and (status = 'succeeded' or i <= 3000);
    analyze nightferry.runs, nightferry.stages, nightferry.steps, nightferry.tables, nightferry.objects";

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_short_however_long_the_history_is() {
    let night = TestNight::new().await;
    night.full(&[]).await;
    let mut overlook = Overlook::new(&night.config(&[])).unwrap();
    let mut fastest_look = async |nights: u32| {
        night.warehouse_sql("truncate nightferry.runs cascade").await;
        night.warehouse_sql(&LONG_HISTORY.replace("NIGHTS", &nights.to_string())).await;
        let mut fastest = Duration::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            let overview = overlook.look().await.unwrap();
            fastest = fastest.min(start.elapsed());
            let stage = overview.run.unwrap().stage.unwrap();
            assert_eq!((stage.attempt.tables, stage.step_percent), (1000, Some(50.0)));
        }
        fastest
    };
    let (of_a_week, of_400_nights) = (fastest_look(7).await, fastest_look(400).await);
    assert!(of_400_nights < of_a_week * 3, "{of_400_nights:?} against {of_a_week:?}");
}
