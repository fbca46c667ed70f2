//! What the ledger tells afterwards: what was built and where, and the views for analysts.

use std::time::Duration;

use nightferry::adapters::ledger::{Ledger, LedgerReader};
use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;
use sqlx::{Executor, Row};

use crate::support::{Gate, TestNight, until};

const SETTINGS: [(&str, &str); 3] =
    [("BACKUP_MODE", r#"{"answers":"incremental"}"#), ("PUBLISH_MODE", "swap"), ("PG_RESTORE_JOBS", "2")];

const SOURCE: &str = "
    create table users (id int primary key, name text);
    create index users_by_name on users (name);
    create index users_by_length on users (length(name));
    create table orders (id int primary key, user_id int references users);
    create table answers (id bigserial primary key, value text);
    insert into users select g, 'name ' || g from generate_series(1, 1000) g;
    insert into orders select g, g from generate_series(1, 500) g;
    insert into answers (value) select 'old' from generate_series(1, 5)";

async fn two_nights() -> (TestNight, StageOutcome) {
    let night = TestNight::new().await;
    night.source_sql(SOURCE).await;
    night.full(&SETTINGS).await;
    night.run(Stage::IncrementalReplication, &SETTINGS).await;
    night.source_sql("delete from orders where id > 100; insert into answers (value) values ('new')").await;
    let outcome = night.full(&SETTINGS).await;
    night.run(Stage::IncrementalReplication, &SETTINGS).await;
    night.run(Stage::Notification, &SETTINGS).await;
    (night, outcome)
}

#[tokio::test]
async fn what_was_built_is_in_the_ledger_with_its_time_and_its_connection() {
    let (night, outcome) = two_nights().await;
    let last = "run_id = (select run_id from nightferry.stages where stage = 'full-replication' order by started_at desc limit 1)";
    let mut told: Vec<String> = outcome
        .objects
        .iter()
        .map(|object| {
            format!("{}|{}|{}|{}", object.kind, object.table, object.name, object.duration.as_millis())
        })
        .collect();
    told.sort();
    assert!(told.len() >= 5, "{told:?}");
    let objects =
        "select kind, schema_name || '.' || table_name, object_name, duration_ms from nightferry.objects";
    let mut written = night.warehouse.rows(&format!("{objects} where {last}")).await;
    written.sort();
    assert_eq!(written, told);
    // Each within the steps of its stage: those clocks are the server's.
    let outside = "select count(*) from nightferry.objects o join nightferry.stages s using (run_id, stage, attempt)
        where o.started_at < s.started_at - interval '50 ms' or o.started_at + make_interval(secs => o.duration_ms / 1000.0) > s.ended_at + interval '50 ms'";
    assert_eq!(night.warehouse.one(outside).await, "0");
    let connections = |of: &str| {
        format!("select distinct connection from nightferry.{of} where {last} and connection is not null")
    };
    for (of, names) in
        [("tables", vec!["load 1", "load 2"]), ("objects", vec!["check 1", "check 2", "index 1", "index 2"])]
    {
        let found = night.warehouse.rows(&connections(of)).await;
        assert!(!found.is_empty() && found.iter().all(|name| names.contains(&name.as_str())), "{found:?}");
    }
    let totals = "select tables_written, rows_written, bytes_written > 0, tables_written = (select count(*) from nightferry.tables t where (t.run_id, t.stage, t.attempt) = (s.run_id, s.stage, s.attempt))
        from nightferry.stages s where stage = 'full-replication' order by started_at desc limit 1";
    assert_eq!(night.warehouse.one(totals).await, "2|1100|t|t");
}

/// Items of one connection that were done at the same time, beyond what clocks tell apart.
const AT_ONCE: &str = "
    with items as (
        select run_id, connection, table_name as name, started_at, duration_ms from nightferry.tables
        union all
        select run_id, connection, object_name, started_at, duration_ms from nightferry.objects),
    spans as (select *, started_at + make_interval(secs => duration_ms / 1000.0) as ended_at from items)
    select a.connection, a.name, b.name
    from spans a join spans b on (a.run_id, a.connection) = (b.run_id, b.connection) and a.name < b.name
    where least(a.ended_at, b.ended_at) - greatest(a.started_at, b.started_at) > interval '50 ms'";

#[tokio::test]
async fn what_is_done_side_by_side_has_its_connection_which_does_one_thing_at_a_time() {
    let night = TestNight::new().await;
    night.source_sql(SOURCE).await;
    night
        .source_sql(
            "create table clicks as select g as id from generate_series(1, 9) g; alter table clicks add primary key (id);
             create table events as select g as id from generate_series(1, 9) g; alter table events add primary key (id)",
        )
        .await;
    // Long enough for two that are on one lane to be seen.
    for name in ["10_a.sql", "10_b.sql", "10_c.sql"] {
        std::fs::write(night.path("enrichment").join(name), "-- needs: users\nselect pg_sleep(0.2);")
            .unwrap();
    }
    let settings = [
        ("BACKUP_MODE", r#"{"answers":"incremental","clicks":"incremental","events":"incremental"}"#),
        ("PUBLISH_MODE", "swap"),
        ("PG_RESTORE_JOBS", "2"),
    ];
    night.full(&settings).await;
    night.run(Stage::IncrementalReplication, &settings).await;
    let files = "select distinct connection from nightferry.objects where kind = 'ENRICHMENT' order by 1";
    assert_eq!(night.warehouse.rows(files).await, ["enrichment 1", "enrichment 2"]);
    let tables = "select table_name, connection from nightferry.tables where stage = 'incremental-replication' order by 2, 1";
    let tables = night.warehouse.rows(tables).await;
    assert_eq!(tables.len(), 3);
    for number in [1, 2] {
        let connection = format!("|increment {number}");
        assert!(tables.iter().any(|table| table.ends_with(&connection)), "{tables:?}");
    }
    assert_eq!(night.warehouse.rows(AT_ONCE).await, [""; 0]);
}

#[tokio::test]
async fn what_was_built_is_forgotten_after_a_quarter_and_the_tables_are_not() {
    let (night, _) = two_nights().await;
    let first = "(select run_id from nightferry.runs order by started_at limit 1)";
    let aged =
        format!("update nightferry.runs set started_at = now() - interval '91 days' where run_id = {first}");
    let left = format!(
        "select (select count(*) > 0 from nightferry.objects where run_id = {first}), (select count(*) from nightferry.tables where run_id = {first})"
    );
    assert_eq!(night.warehouse.one(&left).await, "t|3");
    night.warehouse.execute(&aged).await;
    night.run(Stage::Notification, &SETTINGS).await;
    assert_eq!(night.warehouse.one(&left).await, "f|3");
    assert_eq!(night.warehouse.one("select count(distinct run_id) from nightferry.objects").await, "1");
}

#[tokio::test]
async fn analysts_read_the_views_and_see_how_old_each_table_is() {
    let (night, _) = two_nights().await;
    night.warehouse.execute("grant usage on schema nightferry to pg_monitor").await;
    let mut analyst = night.warehouse_seen_by_superuser().connect().await;
    analyst.execute("set role pg_monitor").await.unwrap();
    let mut seen = Vec::new();
    for view in ["last_success", "table_freshness", "live_copy", "run_history", "table_history"] {
        let sql = format!("select * from nightferry.{view}");
        let rows = analyst.fetch_all(sqlx::AssertSqlSafe(sql)).await.unwrap();
        seen.push((view, rows.len()));
    }
    // Two nights of two stages and the notification, all of them run one by one: no night as a whole.
    assert_eq!(
        seen,
        [
            ("last_success", 3),
            ("table_freshness", 3),
            ("live_copy", 1),
            ("run_history", 5),
            ("table_history", 7)
        ]
    );
    assert!(
        analyst.execute("select * from nightferry.warehouse").await.is_err(),
        "the tables are not theirs"
    );

    let stages = "select stage from nightferry.last_success order by 1";
    assert_eq!(
        night.warehouse.rows(stages).await,
        ["full-replication", "incremental-replication", "notification"]
    );
    let freshness = "select table_name, treatment, f.rows_written, stage, age between '0' and '1 h' from nightferry.table_freshness f join nightferry.stages using (run_id) order by 1";
    assert_eq!(
        night.warehouse.rows(freshness).await,
        [
            "answers|incremental|1|incremental-replication|t",
            "orders|full|100|full-replication|t",
            "users|full|1000|full-replication|t"
        ]
    );
    let history = "select status, succeeded_stages[1], tables_written, rows_written, error is null, duration < '1 h' from nightferry.run_history order by started_at desc limit 2";
    assert_eq!(
        night.warehouse.rows(history).await,
        ["succeeded|notification|0|0|t|t", "succeeded|incremental-replication|1|1|t|t"]
    );
}

#[tokio::test]
async fn freshness_is_that_of_the_copy_that_is_live_after_a_rollback_too() {
    let (night, _) = two_nights().await;
    let fresh = "select rows_written from nightferry.table_freshness where table_name = 'orders'";
    assert_eq!(night.warehouse.one(fresh).await, "100");
    let output = night.binary(&["rollback"], &SETTINGS).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(night.warehouse.one(fresh).await, "500", "yesterday's copy is live, and yesterday is its age");
}

#[tokio::test]
async fn a_stage_that_fails_leaves_its_story_and_makes_nothing_fresher() {
    let (night, _) = two_nights().await;
    let fresh =
        "select string_agg(table_name || run_id, ' ' order by table_name) from nightferry.table_freshness";
    let before = night.warehouse.one(fresh).await;
    std::fs::create_dir_all(night.path("enrichment")).unwrap();
    std::fs::write(night.path("enrichment/01_broken.sql"), "-- needs: users\nselect 1 / 0").unwrap();
    let error = night.try_run(Stage::FullReplication, &SETTINGS).await.unwrap_err();
    assert!(error.to_string().contains("division by zero"), "{error}");
    assert_eq!(night.warehouse.one(fresh).await, before);
    let mut session = night.warehouse.connect().await;
    let row = session
        .fetch_one("select status, error, tables_written, hint is not null from nightferry.run_history order by started_at desc limit 1")
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), "failed");
    assert!(row.get::<String, _>(1).contains("01_broken"), "{}", row.get::<String, _>(1));
    assert_eq!(row.get::<i64, _>(2), 0, "nothing of it counts");
    let story = "select count(*) from nightferry.table_history where stage_status = 'failed'";
    assert_eq!(night.warehouse.one(story).await, "2", "what it had loaded by then");
}

#[tokio::test]
async fn the_page_of_the_views_names_their_columns_and_its_queries_run() {
    let night = TestNight::new().await;
    night.source_sql(SOURCE).await;
    night.full(&SETTINGS).await;
    let page = include_str!("../../docs/ledger.md");
    let mut views = 0;
    for section in page.split("\n## `nightferry.").skip(1) {
        let view = section.split('`').next().unwrap();
        let told: Vec<&str> = section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .flat_map(|line| line.split(" | ").next().unwrap().split('`').skip(1).step_by(2))
            .collect();
        let columns = format!(
            "select attname from pg_attribute where attrelid = 'nightferry.{view}'::regclass and attnum > 0 order by attnum"
        );
        assert_eq!(night.warehouse.rows(&columns).await, told, "{view}");
        views += 1;
    }
    let there = "select count(*) from pg_views where schemaname = 'nightferry'";
    assert_eq!(night.warehouse.one(there).await, views.to_string(), "every view is described");
    let queries: Vec<&str> =
        page.split("```sql\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    assert_eq!(queries.len(), 5);
    for query in queries.iter().filter(|query| query.starts_with("select")) {
        night.warehouse.rows(query.trim().trim_end_matches(';')).await;
    }
}

#[tokio::test]
async fn a_question_that_was_given_up_is_heard_by_nobody_and_the_next_one_is_answered() {
    let night = TestNight::new().await;
    Ledger::open(&night.warehouse.seen_by_the_product()).await.unwrap();
    let reader = LedgerReader::new(night.warehouse.seen_by_the_product(), "nightferry test");
    let sessions = async || {
        let pids = "select pid from pg_stat_activity
            where datname = current_database() and application_name = 'nightferry test' order by pid";
        night.warehouse.rows(pids).await
    };
    let is_asked = || reader.read(async |ledger| ledger.stage_measures().await);
    is_asked().await.unwrap();
    let first = sessions().await;
    is_asked().await.unwrap();
    assert_eq!((first.len(), &sessions().await), (1, &first), "a session is kept for the next question");

    let closing = "begin; lock table nightferry.stages in access exclusive mode";
    let mut gate = Gate::of(&night.warehouse, closing, "the stages").await;
    let (one, other) = (is_asked(), is_asked());
    let both = futures::future::join(one, other);
    tokio::select! {
        answers = both => panic!("{answers:?}"),
        () = gate.reached() => {}
    }
    until("the server to notice", async || sessions().await.is_empty().then_some(())).await;
    drop(gate);
    assert!(is_asked().await.unwrap().is_empty());
    assert_ne!(sessions().await, first);
}

#[tokio::test]
async fn that_its_sessions_are_busy_does_not_mean_that_the_warehouse_is_away() {
    let night = TestNight::new().await;
    Ledger::open(&night.warehouse.seen_by_the_product()).await.unwrap();
    let reader = LedgerReader::new(night.warehouse.seen_by_the_product(), "nightferry test");
    let forever = || reader.ask(async |_| std::future::pending::<nightferry::error::Result<()>>().await);
    let busy = futures::future::join(forever(), forever());
    tokio::pin!(busy);
    // Polled once, it has both.
    assert!(futures::poll!(&mut busy).is_pending());
    tokio::select! {
        answers = &mut busy => panic!("{answers:?}"),
        looked = reader.look() => looked.unwrap(),
    }
    let third = reader.read(async |ledger| ledger.stage_measures().await);
    let third = tokio::time::timeout(Duration::from_secs(1), third);
    tokio::select! {
        answers = &mut busy => panic!("{answers:?}"),
        waited = third => assert!(waited.is_err(), "a third question waits for its turn"),
    }
}
