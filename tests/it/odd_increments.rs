//! Increments where a table, its key or its rows are not as on an ordinary night.

use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;

use crate::support::{TestNight, execute_on};

const STAGE: Stage = Stage::IncrementalReplication;
const ANSWERS: &str = r#"{"answers":"incremental"}"#;
const UPSERT: &str = r#"{"items":{"mode":"upsert","cursor":"at"}}"#;

async fn run(night: &TestNight, modes: &str) -> StageOutcome {
    night.run(STAGE, &[("BACKUP_MODE", modes), ("INCREMENTAL_SETTLE_TIMEOUT", "1s")]).await
}

async fn on_both(night: &TestNight, sql: &str) {
    night.source_sql(sql).await;
    night.warehouse_sql(sql).await;
}

/// Lets what is open settle tonight.
async fn hours_later(night: &TestNight) {
    night.warehouse_sql("update nightferry.bounds set read_at = read_at - interval '3 hours'").await;
}

async fn settled(night: &TestNight) -> String {
    night.warehouse.one("select array_to_string(settled, '|') from nightferry.increments").await
}

const ITEMS: &str = "create table items (id int primary key, at timestamptz, note text)";

#[tokio::test]
async fn an_emptied_table_of_upsert_is_loaded_whole() {
    let night = TestNight::new().await;
    on_both(&night, ITEMS).await;
    night
        .source_sql("insert into items select n, now() - interval '1 day', 'a' from generate_series(1, 5) n")
        .await;
    run(&night, UPSERT).await;
    hours_later(&night).await;
    run(&night, UPSERT).await;
    assert_ne!(settled(&night).await, "");
    night.warehouse_sql("truncate items").await;
    night.source_sql("insert into items values (6, now() - interval '1 hour', 'new')").await;

    run(&night, UPSERT).await;

    assert_eq!(night.warehouse.one("select count(*) from items").await, "6");
}

#[tokio::test]
async fn rows_whose_cursor_is_null_here_are_no_empty_table() {
    let night = TestNight::new().await;
    on_both(&night, ITEMS).await;
    on_both(&night, "insert into items values (1, null, 'old'), (2, null, 'old')").await;
    night.source_sql("update items set at = now() - interval '1 day', note = 'new' where id = 1").await;

    run(&night, UPSERT).await;

    assert_eq!(night.warehouse.rows("select id, note from items order by id").await, ["1|new", "2|old"]);
}

#[tokio::test]
async fn rows_whose_time_key_is_null_here_are_no_empty_table() {
    let night = TestNight::new().await;
    on_both(&night, ITEMS).await;
    on_both(&night, "insert into items values (1, null, 'old'), (2, null, 'old')").await;
    night.source_sql("update items set at = now() - interval '1 day' where id = 1").await;
    night.source_sql("insert into items values (3, now() - interval '1 day', 'new')").await;

    run(&night, r#"{"items":{"mode":"incremental","key":"at"}}"#).await;

    assert_eq!(
        night.warehouse.rows("select id, note from items order by id").await,
        ["1|old", "2|old", "3|new"]
    );
}

#[tokio::test]
async fn rows_without_the_key_that_tells_them_apart_are_not_doubled() {
    let night = TestNight::new().await;
    on_both(&night, "create table items (code text unique, at timestamptz not null, note text)").await;
    night.source_sql("insert into items values (null, now() - interval '1 hour', 'n'), ('a', now() - interval '1 day', 'a')").await;
    let modes = r#"{"items":{"mode":"upsert","cursor":"at","key":"code"}}"#;
    let outcome = run(&night, modes).await;
    assert!(outcome.skipped.iter().any(|skipped| skipped.reason.contains("null")), "{:?}", outcome.skipped);
    hours_later(&night).await;
    night.source_sql("insert into items values ('b', now() - interval '30 minutes', 'b'), (null, now() - interval '20 minutes', 'c')").await;
    for _ in 0..3 {
        run(&night, modes).await;
        hours_later(&night).await;
        let counts = "select count(*) filter (where code is null), count(*) filter (where code is not null) from items";
        assert_eq!(night.warehouse.one(counts).await, "0|2");
    }
}

#[tokio::test]
async fn a_column_that_may_be_null_now_breaks_no_night() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id bigserial primary key, note text not null)").await;
    night.source_sql("insert into answers (note) values ('a')").await;
    run(&night, ANSWERS).await;
    night
        .source_sql("alter table answers alter note drop not null; insert into answers default values")
        .await;

    let outcome = run(&night, ANSWERS).await;

    assert_eq!(night.warehouse.rows("select id, note from answers order by id").await, ["1|a", "2|"]);
    assert_eq!(outcome.skipped.len(), 1, "{:?}", outcome.skipped);
}

#[tokio::test]
async fn what_was_settled_of_a_sequence_that_went_back_is_forgotten() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id bigserial primary key, note text)").await;
    night.source_sql("insert into answers (note) select 'old' from generate_series(1, 9); delete from answers where id in (3, 7)").await;
    run(&night, ANSWERS).await;
    assert_eq!(settled(&night).await, "9");
    night.source_sql("truncate answers restart identity; insert into answers (note) select 'new' from generate_series(1, 5)").await;
    run(&night, ANSWERS).await;
    night.source_sql("insert into answers (note) select 'new' from generate_series(1, 5)").await;

    run(&night, ANSWERS).await;

    assert_eq!(
        night.warehouse.one("select string_agg(id::text, ' ' order by id) from answers").await,
        "1 2 3 4 5 6 7 8 9 10"
    );
    assert_eq!(settled(&night).await, "10");
}

#[tokio::test]
async fn a_row_is_not_taken_for_another_one_of_the_same_key() {
    let night = TestNight::new().await;
    on_both(&night, "create table items (id int primary key, day date not null)").await;
    night.source_sql("insert into items values (1, '2026-01-01'), (2, '2026-01-02')").await;
    let modes = r#"{"items":{"mode":"incremental","key":"day"}}"#;
    run(&night, modes).await;
    night.source_sql("delete from items where id = 2; insert into items values (3, '2026-01-02')").await;

    run(&night, modes).await;

    assert_eq!(night.warehouse.rows("select id from items order by 1").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn an_identity_that_partitions_share_with_their_table_settles() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table answers (id bigint generated always as identity, note text) partition by range (id);
         create table answers_1 partition of answers for values from (1) to (1000)",
    )
    .await;
    // As PostgreSQL 17 and later have it.
    night
        .source_sql_as_superuser(
            "update pg_attribute set attidentity = 'a' where attrelid = 'answers_1'::regclass and attname = 'id'",
        )
        .await;
    night.source_sql("insert into answers (note) values ('a'), ('b')").await;

    run(&night, ANSWERS).await;

    assert_eq!(settled(&night).await, "2");
}

#[tokio::test]
async fn keys_of_domains_and_words_have_many_buckets() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create domain code as bigint; create domain word as varchar(20);
         create table d (id code primary key); create table w (id word primary key); create table v (id varchar(20) primary key);
         create table c (id char(12) primary key); create table n (id numeric primary key); create table f (id float8 primary key);
         create table p (a word, b code, primary key (a, b))",
    )
    .await;
    for table in ["d", "w", "v", "c", "n", "f"] {
        night.source_sql(&format!("insert into {table} select n from generate_series(1, 40000) n")).await;
        night
            .warehouse_sql(&format!(
                "insert into {table} select n from generate_series(1, 40000) n where n <> 7"
            ))
            .await;
    }
    night.source_sql("insert into p select n, n from generate_series(1, 40000) n").await;
    night.warehouse_sql("insert into p select n, n from generate_series(1, 40000) n where n <> 7").await;
    let key = r#"{"mode":"incremental","key":"id"}"#;
    let mut failed = Vec::new();
    for table in ["d", "w", "v", "c", "n", "f"] {
        if let Err(error) = night.try_run(STAGE, &[("BACKUP_MODE", &format!(r#"{{"{table}":{key}}}"#))]).await
        {
            failed.push(format!("{table}: {error:?}"));
        } else {
            assert_eq!(
                night.warehouse.one(&format!("select count(*) from {table}")).await,
                "40000",
                "{table}"
            );
        }
    }
    if let Err(error) = night.try_run(STAGE, &[("BACKUP_MODE", r#"{"p":"reconcile"}"#)]).await {
        failed.push(format!("p: {error:?}"));
    }
    assert_eq!(failed, Vec::<String>::new());
}

#[tokio::test]
async fn a_time_that_the_warehouse_cuts_is_no_key() {
    let night = TestNight::new().await;
    night.source_sql("create table items (at timestamptz not null, note text)").await;
    night.warehouse_sql("create table items (at timestamptz(0) not null, note text); create view v as select at from items").await;
    night.source_sql("insert into items values ('2026-01-01 10:00:00.2', 'a')").await;
    let modes = r#"{"items":{"mode":"incremental","key":"at"}}"#;
    let error = night.try_run(STAGE, &[("BACKUP_MODE", modes)]).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("timestamp(0) with time zone") && text.contains("in the source"), "{text}");
}

#[tokio::test]
async fn a_trigger_of_a_partition_is_silent_too() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table answers (id bigint primary key, note text) partition by range (id);
         create table answers_1 partition of answers for values from (1) to (1000)",
    )
    .await;
    night
        .warehouse_sql(
            "create function shout() returns trigger language plpgsql as 'begin new.note := upper(new.note); return new; end';
             create trigger shout before insert on answers_1 for each row execute function shout()",
        )
        .await;
    night.source_sql("insert into answers values (1, 'a')").await;

    run(&night, ANSWERS).await;

    assert_eq!(night.warehouse.one("select note from answers").await, "a");
}

#[tokio::test]
async fn an_emptied_table_that_broke_off_between_two_ranges_is_completed() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id bigserial primary key, note text)").await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    night.source_sql("insert into answers (note) select 'x' from generate_series(1, 450000)").await;
    run(&night, ANSWERS).await;
    assert_eq!(settled(&night).await, "450000");
    night.warehouse_sql("truncate answers").await;
    // The session that writes the bound dies while it waits for the ranges to be committed.
    night
        .warehouse_sql(
            "create function die_soon() returns trigger language plpgsql as
                 'begin perform set_config($$idle_in_transaction_session_timeout$$, $$1ms$$, false); return null; end';
             create constraint trigger die_soon after update of copied_at on nightferry.increments initially deferred
                 for each row execute function die_soon()",
        )
        .await;
    let modes = [("BACKUP_MODE", ANSWERS), ("PG_RESTORE_JOBS", "4")];
    let _ = night.try_run(STAGE, &modes).await;
    night.warehouse_sql("drop trigger die_soon on nightferry.increments").await;

    night.run(STAGE, &modes).await;

    assert_eq!(night.warehouse.one("select count(*) from answers").await, "450000");
}

#[tokio::test]
async fn what_was_settled_of_a_sequence_that_starts_again_is_forgotten() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id bigserial primary key, note text)").await;
    night.source_sql("insert into answers (note) select 'old' from generate_series(1, 9)").await;
    run(&night, ANSWERS).await;
    night.source_sql("truncate answers restart identity").await;

    run(&night, ANSWERS).await;

    assert_eq!(settled(&night).await, "");
}

#[tokio::test]
async fn a_bound_that_was_open_under_an_overlap_says_nothing_of_the_sessions_that_hold_values() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create sequence ids cache 20; create table answers (id bigint primary key default nextval('ids'), note text)",
        )
        .await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    let mut slow = night.source.connect().await;
    execute_on(&mut slow, "insert into answers (note) values ('a')").await;
    night.source_sql("insert into answers (note) values ('b')").await;
    run(&night, r#"{"answers":{"mode":"incremental","overlap":"24h"}}"#).await;
    run(&night, ANSWERS).await;
    execute_on(&mut slow, "insert into answers (note) values ('c')").await;

    run(&night, ANSWERS).await;

    assert_eq!(night.warehouse.one("select string_agg(note, '' order by note) from answers").await, "abc");
}

#[tokio::test]
async fn rows_that_a_constraint_of_the_warehouse_refuses_come_with_a_hint() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table answers (id bigserial primary key, state text check (state in ('a', 'b')))",
    )
    .await;
    night
        .source_sql("alter table answers drop constraint answers_state_check; insert into answers (state) values ('c')")
        .await;

    let error = night.try_run(STAGE, &[("BACKUP_MODE", ANSWERS)]).await.unwrap_err();

    assert!(error.to_string().contains("answers_state_check"), "{error}");
    assert!(error.operator_hint().is_some_and(|hint| hint.contains("constraint")), "{error:?}");
}

#[tokio::test]
async fn a_late_row_may_refer_to_a_newer_one_of_its_table() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id bigserial primary key, parent bigint references answers)")
        .await;
    night.source_sql("insert into answers default values").await;
    run(&night, ANSWERS).await;
    let mut slow = night.source.connect().await;
    execute_on(&mut slow, "begin; insert into answers default values").await;
    night.source_sql("insert into answers default values").await;
    run(&night, ANSWERS).await;
    night.source_sql("insert into answers default values").await;
    execute_on(&mut slow, "update answers set parent = 4 where id = 2; commit").await;

    run(&night, ANSWERS).await;

    assert_eq!(
        night.warehouse.rows("select id, parent from answers order by id").await,
        ["1|", "2|4", "3|", "4|"]
    );
}
