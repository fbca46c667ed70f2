//! What the ledger says of nights and tables is true also where a night failed, was restarted, was done in place or by hand.

use nightferry::adapters::ledger::{Ledger, Origin};
use nightferry::error::ErrorKind;
use nightferry::ids::Stage;
use tokio_util::sync::CancellationToken;

use crate::queue_chain::{Act, Chain};
use crate::support::web::{READER, WebProcess};
use crate::support::{TestNight, until};

const SOURCE: &str = "
    create table users (id int primary key, name text);
    create table events (id bigserial primary key, value text);
    create table logs (id bigserial primary key, value text);
    insert into users select g, 'name ' || g from generate_series(1, 100) g;
    insert into events (value) select 'old' from generate_series(1, 500);
    insert into logs (value) select 'old' from generate_series(1, 5)";

const FRESHNESS: &str =
    "select table_name, treatment, rows_written, run_id from nightferry.table_freshness order by 1";
const LAST_COPY: &str =
    "select run_id from nightferry.stages where stage = 'full-replication' order by started_at desc limit 1";

/// A measure of the nights.
async fn measured(night: &TestNight, column: &str) -> String {
    let measure = include_str!("../../sql/catalog/night_measure.sql");
    night.warehouse.one(&format!("select {column} from ({measure}) as measure")).await
}

/// The run of the last good night; empty where there is none.
async fn good_night(night: &TestNight) -> String {
    night.warehouse.one("select max(run_id) from nightferry.last_success where stage = 'night'").await
}

/// The one after which a night is late.
async fn watched(night: &TestNight) -> String {
    let ledger = Ledger::open(&night.warehouse.seen_by_the_product()).await.unwrap();
    ledger.last_good_night().await.unwrap().unwrap().0.to_string()
}

fn enrichment(night: &TestNight, sql: &str) {
    std::fs::write(night.path("enrichment/01_step.sql"), format!("-- needs: users\n{sql};\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_restarted_over_a_failed_copy_makes_no_night_good() {
    let chain = Chain::on_a_file().await;
    let worker = chain.worker();
    let good = chain.restart(Stage::FullReplication).await;
    chain.ended(&good, Stage::Notification).await;
    until("the good night", async || (good_night(&chain.night).await == good.as_str()).then_some(())).await;
    assert_eq!(measured(&chain.night, "last_succeeded").await, "t");

    let chain = chain.act(Stage::FullReplication, &[Act::Fail(ErrorKind::Privilege)]);
    let failed = chain.restart(Stage::FullReplication).await;
    chain.ended(&failed, Stage::FullReplication).await;
    for stage in [Stage::Notification, Stage::IncrementalReplication] {
        let over_it = chain.restart(stage).await;
        chain.ended(&over_it, Stage::Notification).await;
        until("its run to be closed", async || {
            (chain.ledger_of(&over_it).await.starts_with("succeeded")).then_some(())
        })
        .await;
        assert_eq!(measured(&chain.night, "last_succeeded").await, "f", "{stage}");
        assert_eq!(good_night(&chain.night).await, good.as_str(), "{stage}");
        assert_eq!(watched(&chain.night).await, good.as_str(), "{stage}");
    }

    // One whose copy was there, and which failed later, is taken up from there.
    let chain = chain.act(Stage::LearningContentReplication, &[Act::Fail(ErrorKind::Privilege)]);
    let failed = chain.restart(Stage::FullReplication).await;
    chain.ended(&failed, Stage::LearningContentReplication).await;
    let taken_up = chain.restart(Stage::LearningContentReplication).await;
    chain.ended(&taken_up, Stage::Notification).await;
    until("the night to be good", async || {
        (good_night(&chain.night).await == taken_up.as_str()).then_some(())
    })
    .await;
    assert_eq!(measured(&chain.night, "last_succeeded").await, "t");
    assert_eq!(watched(&chain.night).await, taken_up.as_str());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_by_hand_says_nothing_of_the_nights_but_for_a_copy_that_failed() {
    let chain = Chain::on_a_file().await;
    let by_hand = async |chain: &Chain, stages: &[Stage]| {
        chain.jobs().run_now(stages, Origin::Command, &CancellationToken::new()).await.1.is_ok()
    };
    assert!(by_hand(&chain, &[Stage::FullReplication]).await);
    assert_eq!(measured(&chain.night, "last_succeeded").await, "", "no night yet");
    assert!(by_hand(&chain, &Stage::NIGHT).await);
    let good = good_night(&chain.night).await;
    assert_eq!(measured(&chain.night, "last_succeeded").await, "t");

    let failing = Act::Fail(ErrorKind::Privilege);
    let chain = chain.act(Stage::IncrementalReplication, std::slice::from_ref(&failing));
    for is_well in [false, true] {
        assert_eq!(by_hand(&chain, &[Stage::IncrementalReplication]).await, is_well);
        assert_eq!(measured(&chain.night, "last_succeeded").await, "t", "{is_well}");
    }
    let chain = chain.act(Stage::FullReplication, std::slice::from_ref(&failing));
    for (is_well, measure) in [(false, "f"), (true, "t")] {
        assert_eq!(by_hand(&chain, &[Stage::FullReplication]).await, is_well);
        assert_eq!(
            measured(&chain.night, "last_succeeded").await,
            measure,
            "a copy that fails counts until one ends well"
        );
    }
    // A whole night that failed is not mended by its first stage alone.
    let chain = chain.act(Stage::FullReplication, &[failing]);
    assert!(!by_hand(&chain, &Stage::NIGHT).await);
    assert!(by_hand(&chain, &[Stage::FullReplication]).await);
    assert_eq!(measured(&chain.night, "last_succeeded").await, "f");
    assert_eq!((good_night(&chain.night).await, watched(&chain.night).await), (good.clone(), good));
    let nights = "select count(*) from nightferry.run_history where is_night";
    assert_eq!(chain.night.warehouse.one(nights).await, "2");

    let page = WebProcess::of(&chain.night, &[]).await.page("/nights").await;
    assert_eq!(page.matches("<span class=\"tag\">one stage</span>").count(), 6, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_told_of_a_copy_that_is_replaced_in_place_and_of_one_that_was_left_unfinished() {
    let night = TestNight::new().await;
    let in_place = [("PUBLISH_MODE", "in_place")];
    night.source_sql(SOURCE).await;
    let web = WebProcess::of(&night, &[]).await;
    night.full(&in_place).await;
    assert!(web.page("/nights").await.contains("The warehouse holds the copy of"));

    // Held up after its tables were loaded, and before it is published.
    let mut gate = night.warehouse.connect().await;
    crate::support::execute_on(&mut gate, "select pg_advisory_lock(42)").await;
    enrichment(&night, "select pg_advisory_xact_lock(42); select 1 / 0");
    let settings = night.config(&in_place);
    let running = tokio::spawn(async move {
        let stages = [Stage::FullReplication];
        nightferry::jobs::run_now(&settings, &stages, Origin::Command, &CancellationToken::new()).await.1
    });
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and objid = 42 and not granted";
    until("the night to be at its enrichment", async || {
        (night.warehouse.one(waits).await == "1").then_some(())
    })
    .await;
    let run = night.warehouse.one(LAST_COPY).await;
    let brought =
        [format!("events|full|500|{run}"), format!("logs|full|5|{run}"), format!("users|full|100|{run}")];
    assert_eq!(night.warehouse.rows(FRESHNESS).await, brought, "what is loaded by now is there");
    let sentence = web.page("/nights").await;
    assert!(
        sentence.contains(&format!("Run {run} has been replacing the copy in place since")),
        "{sentence}"
    );
    let live =
        "select run_id, mode, state, published_at is null, fresh_as_of is null from nightferry.live_copy";
    assert_eq!(night.warehouse.rows(live).await, [format!("{run}|in_place|filling|t|t")]);

    crate::support::execute_on(&mut gate, "select pg_advisory_unlock(42)").await;
    running.await.unwrap().unwrap_err();
    let left = [format!("{run}|in_place|unfinished|t|t")];
    let told = format!("Run {run} began to replace the copy in place on");
    let reached = "select distinct run_id, stage_status, reached_readers from nightferry.table_history order by 1 desc limit 1";
    // A night that publishes by swap, and fails before that, changes nothing of it.
    for mode in ["in_place", "swap"] {
        if mode == "swap" {
            night.try_run(Stage::FullReplication, &[("PUBLISH_MODE", mode)]).await.unwrap_err();
            assert!(night.warehouse.one(reached).await.ends_with("|failed|f"), "nobody has seen these");
        } else {
            assert_eq!(night.warehouse.one(reached).await, format!("{run}|failed|t"));
        }
        assert_eq!(night.warehouse.rows(live).await, left, "{mode}");
        assert_eq!(night.warehouse.rows(FRESHNESS).await, brought, "{mode}");
        let page = web.page("/nights").await;
        assert!(page.contains(&told), "{mode}: {page}");
    }
    enrichment(&night, "select 1");
    night.full(&[("PUBLISH_MODE", "swap")]).await;
    assert!(web.page("/nights").await.contains("The warehouse holds the copy of"));
    assert!(night.warehouse.one(live).await.ends_with("|swap|whole|f|f"));
}

#[tokio::test]
async fn freshness_follows_what_was_written_last_and_forgets_what_is_gone() {
    let night = TestNight::new().await;
    let modes = [("BACKUP_MODE", r#"{"events":"incremental","logs":"incremental"}"#)];
    night.source_sql(SOURCE).await;
    night.full(&modes).await;
    night.run(Stage::IncrementalReplication, &modes).await;
    let stage = "select table_name, stage from nightferry.table_freshness join nightferry.stages using (run_id) order by 1";
    let increments =
        ["events|incremental-replication", "logs|incremental-replication", "users|full-replication"];
    assert_eq!(night.warehouse.rows(stage).await, increments);

    night.source_sql("drop table logs; insert into events (value) values ('new')").await;
    night.warehouse_sql("drop table logs").await;
    let adopted = night.binary(&["adopt"], &[]).await;
    assert!(adopted.status.success(), "{}", String::from_utf8_lossy(&adopted.stderr));
    night.full(&[]).await;
    night.run(Stage::IncrementalReplication, &[]).await;
    let run = night.warehouse.one(LAST_COPY).await;
    assert_eq!(
        night.warehouse.rows(FRESHNESS).await,
        [format!("events|full|501|{run}"), format!("users|full|100|{run}")]
    );
    let page = WebProcess::of(&night, &[]).await.page("/tables?q=events").await;
    assert!(page.contains(">full<") && page.contains("<td class=\"number\">501</td>"), "{page}");
}

#[tokio::test]
async fn what_an_increment_brought_counts_though_its_stage_failed() {
    let night = TestNight::new().await;
    let modes = [("BACKUP_MODE", r#"{"eva":"incremental","evb":"incremental"}"#)];
    // The one that refers to the other comes after it.
    night
        .source_sql(
            "create table eva (id int primary key);
             create table evb (id int primary key, eva_id int references eva);
             insert into eva select generate_series(1, 10)",
        )
        .await;
    night.full(&modes).await;
    night.run(Stage::IncrementalReplication, &modes).await;
    night.source_sql("insert into eva select generate_series(11, 15); insert into evb values (1, 11)").await;
    night.warehouse_sql("alter table evb add constraint none_at_all check (id > 1)").await;
    night.try_run(Stage::IncrementalReplication, &modes).await.unwrap_err();
    assert_eq!(night.warehouse.one("select count(*) from eva").await, "15");
    let history =
        "select table_name, stage_status, rows_written, reached_readers from nightferry.table_history
        where stage = 'incremental-replication' and rows_written > 0";
    assert_eq!(night.warehouse.rows(history).await, ["eva|failed|5|t"]);
    let web = WebProcess::of(&night, &[]).await;
    let page = web.page("/tables?q=eva").await;
    assert!(page.contains("<td class=\"number\">+5</td>"), "{page}");
    let page = web.page("/table?schema=public&name=eva").await;
    assert!(page.contains("Rows added, night after night") && page.contains("between 0 and 5"), "{page}");
}

#[tokio::test]
async fn rows_that_are_written_again_are_no_growth() {
    let night = with_ledger().await;
    for (day, table, treatment) in [
        (1, "accounts", "upsert"),
        (2, "accounts", "upsert"),
        (3, "accounts", "upsert"),
        (2, "visits", "reconcile"),
    ] {
        let run = format!("2026110{day}T041000Z");
        night
            .warehouse_sql(&format!(
                "insert into nightferry.runs (run_id, origin, host, version, status, started_at, ended_at)
                    values ('{run}', 'schedule', 'h', '0', 'succeeded', '2026-11-0{day}', '2026-11-0{day} 01:00') on conflict do nothing;
                 insert into nightferry.stages (run_id, stage, attempt, status, started_at, ended_at)
                    values ('{run}', 'incremental-replication', 1, 'succeeded', '2026-11-0{day}', '2026-11-0{day} 01:00') on conflict do nothing;
                 insert into nightferry.tables (run_id, stage, attempt, schema_name, table_name, treatment, rows_written, bytes, duration_ms)
                    values ('{run}', 'incremental-replication', 1, 'public', '{table}', '{treatment}', 1000, 9, 1)",
            ))
            .await;
    }
    let web = WebProcess::of(&night, &[]).await;
    let page = web.page("/tables?q=accounts").await;
    assert!(page.contains(">upsert<") && !page.contains("+3,000") && !page.contains("only adds"), "{page}");
    let page = web.page("/table?schema=public&name=accounts").await;
    assert!(page.contains("Rows written, night after night") && !page.contains("Rows added"), "{page}");
}

/// A night with an empty ledger.
async fn with_ledger() -> TestNight {
    let night = TestNight::new().await;
    Ledger::open(&night.warehouse.seen_by_the_product()).await.unwrap();
    night
}

#[tokio::test]
async fn a_pause_between_two_tries_is_no_part_of_how_long_a_night_takes() {
    let night = with_ledger().await;
    // Failed after half an hour, and tried again eight hours later: by now for ten minutes.
    night
        .warehouse_sql(
            "insert into nightferry.runs (run_id, origin, host, version, started_at)
                values ('20261120T041000Z', 'schedule', 'h', '0', now() - interval '9 hours');
             insert into nightferry.stages (run_id, stage, attempt, status, started_at, ended_at) values
                ('20261120T041000Z', 'full-replication', 1, 'failed', now() - interval '9 hours', now() - interval '510 minutes'),
                ('20261120T041000Z', 'full-replication', 2, 'running', now() - interval '10 minutes', null)",
        )
        .await;
    let since = "extract(epoch from now() - open_since)::int / 60";
    assert_eq!(measured(&night, since).await, "10");
    // It went on, and is at its second stage.
    night
        .warehouse_sql(
            "update nightferry.stages set status = 'succeeded', ended_at = now() - interval '3 minutes' where attempt = 2;
             insert into nightferry.stages (run_id, stage, attempt, started_at)
                values ('20261120T041000Z', 'incremental-replication', 1, now() - interval '2 minutes')",
        )
        .await;
    assert_eq!(measured(&night, since).await, "9", "seven minutes of the one, two of the other");
    night
        .warehouse_sql(
            "update nightferry.stages set status = 'succeeded', ended_at = now() where status = 'running';
             insert into nightferry.stages (run_id, stage, attempt, status, started_at, ended_at)
                select run_id, stage, 1, 'succeeded', now(), now()
                from nightferry.runs, unnest(array['learning-content-replication', 'notification']) as stage;
             update nightferry.runs set status = 'succeeded', ended_at = now() + interval '1 s'",
        )
        .await;
    assert_eq!(measured(&night, "round(last_seconds), round(usual_seconds), open_since").await, "540|540|");
    assert_eq!(
        night
            .warehouse
            .one("select worked between '9 min' and '9 min 1 s' from nightferry.run_history")
            .await,
        "t"
    );
}

#[tokio::test]
async fn a_failure_is_counted_from_nothing_so_that_the_first_one_is_seen_to_come() {
    let night = TestNight::new().await;
    let web = WebProcess::of(&night, &[]).await;
    let count = |number: u32| {
        format!("nightferry_failures_total{{stage=\"full-replication\",kind=\"refused\"}} {number}")
    };
    let measures = web.get("/metrics", READER).await.body;
    assert!(measures.contains(&count(0)), "no ledger yet: {measures}");
    night.source_sql(SOURCE).await;
    night.warehouse_sql("create table users (id int)").await;
    let error = night.try_run(Stage::FullReplication, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let measures = web.get("/metrics", READER).await.body;
    assert!(measures.contains(&count(1)), "{measures}");
    assert!(measures.contains("kind=\"timeout\"} 0"), "{measures}");
}
