//! Kept tables: mode `incremental`, mode `none`, names that resemble theirs, and what leans on them.

use nightferry::outcome::StageOutcome;

use crate::support::TestNight;
use crate::support::compare::{Except, assert_equal};

const MODES: &str = r#"{"answers":"incremental","knowledge-elements":"none"}"#;

/// All but the two tables and what is part of them.
fn all_but_the_two() -> Except {
    [
        "public.answers",
        "public.answers_id_seq",
        "public.knowledge-elements",
        "public.knowledge-elements_id_seq",
    ]
    .into_iter()
    .fold(Except::nothing(), Except::relation)
}

fn named<'a>(outcome: &'a StageOutcome, object: &str) -> Option<&'a str> {
    outcome
        .skipped
        .iter()
        .find(|skipped| skipped.object.contains(object))
        .map(|skipped| skipped.reason.as_str())
}

#[tokio::test]
async fn names_that_resemble_a_kept_table_arrive_like_all_others() {
    let night = TestNight::new().await;
    night.source_fixture("look_alikes.sql");
    for source in ["live", &night.archive("custom")] {
        night.full(&[("BACKUP_MODE", MODES), ("BACKUP_SOURCE", source)]).await;
        assert_equal(&night.source, &night.warehouse, &all_but_the_two()).await;
        let there = "select to_regclass('\"knowledge-elements\"') is null, to_regclass('\"knowledge-elements_id_seq\"') is null";
        assert_eq!(
            night.warehouse.one(there).await,
            "t|t",
            "mode none brings neither the table nor its parts"
        );
    }
}

#[tokio::test]
async fn a_kept_table_in_another_schema_does_not_keep_its_namesake() {
    let night = TestNight::new().await;
    night.source_fixture("look_alikes.sql");
    night.full(&[("BACKUP_MODE", r#"{"audit.answers":"none"}"#)]).await;
    let except = Except::nothing().relation("audit.answers").relation("audit.answers_id_seq");
    assert_equal(&night.source, &night.warehouse, &except).await;
    assert_eq!(night.warehouse.one("select to_regclass('audit.answers') is null").await, "t");
}

#[tokio::test]
async fn an_incremental_table_is_loaded_whole_once_and_then_left_alone() {
    let night = TestNight::new().await;
    night.source_fixture("look_alikes.sql");
    let modes = [("BACKUP_MODE", MODES)];
    night.full(&modes).await;
    assert_eq!(night.warehouse.one("select count(*), max(id) from answers").await, "100|100");
    assert_eq!(
        night
            .warehouse
            .one("select count(*) from pg_indexes where tablename = 'answers' and schemaname = 'public'")
            .await,
        "2"
    );

    night
        .warehouse_sql(
            "update answers set value = 'only here' where id = 7; insert into answers values (1000, 'mine')",
        )
        .await;
    let oid = night.warehouse.one("select 'answers'::regclass::oid").await;
    night.source_sql("delete from answers where id < 50; insert into quizzes (answers) values ('two')").await;
    night.full(&modes).await;
    assert_eq!(night.warehouse.one("select count(*), max(id) from answers").await, "101|1000");
    assert_eq!(night.warehouse.one("select value from answers where id = 7").await, "only here");
    assert_eq!(night.warehouse.one("select 'answers'::regclass::oid").await, oid);
    assert_equal(&night.source, &night.warehouse, &all_but_the_two()).await;
}

/// A table that others lean on with all that can lean: views, keys in both directions, a type, a sequence, a function.
const LEANING: &str = "
    create type result as enum ('ok', 'ko');
    create sequence shared_numbers;
    create table users (id int primary key);
    create table answers (id bigint primary key default nextval('shared_numbers'), user_id int references users, result result);
    create table comments (id int primary key, answer_id bigint constraint comments_answer references answers);
    create view answered as select a.id, a.result from answers a;
    create view answered_twice as select id from answered;
    create materialized view results as select result, count(*) from answers group by result;
    create function best(answers) returns result language sql as 'select $1.result';
    create function answers_of(int) returns setof answers language sql as 'select * from answers where user_id = $1';
    create view untouched as select id from users;
    insert into users select generate_series(1, 5);
    insert into answers (user_id, result) select g % 5 + 1, 'ok' from generate_series(1, 20) g;
    insert into comments select g, g from generate_series(1, 10) g;
    refresh materialized view results";

#[tokio::test]
async fn views_and_keys_on_a_table_that_is_not_copied_are_left_out_and_named() {
    let night = TestNight::new().await;
    night.source_sql(LEANING).await;
    for _ in 0..2 {
        let outcome = night.full(&[("BACKUP_MODE", r#"{"answers":"none"}"#)]).await;
        for object in ["answered", "answered_twice", "results", "comments_answer"] {
            assert!(named(&outcome, object).is_some(), "{object} is not named in {:?}", outcome.skipped);
        }
        let there = "select to_regclass('answers') is null, to_regclass('answered') is null, to_regclass('untouched') is null";
        assert_eq!(night.warehouse.one(there).await, "t|t|f");
        assert_eq!(night.warehouse.one("select count(*) from comments").await, "10");
    }
}

#[tokio::test]
async fn views_and_keys_on_an_incremental_table_survive_three_nights() {
    let night = TestNight::new().await;
    night.source_sql(LEANING).await;
    for turn in 0..3 {
        let outcome = night.full(&[("BACKUP_MODE", r#"{"answers":"incremental"}"#)]).await;
        let rows = "select (select count(*) from answers), (select count(*) from answered_twice), (select sum(count) from results), (select count(*) from comments)";
        assert_eq!(night.warehouse.one(rows).await, "20|20|20|10", "night {turn}");
        assert_eq!(night.warehouse.one("select best(a) from answers a where id = 1").await, "ok");
        assert_eq!(night.warehouse.one("select count(*) from answers_of(1)").await, "4");
        let checked = "select count(*) from pg_constraint where conname = 'comments_answer' and convalidated";
        if night.warehouse.one(checked).await == "0" {
            assert!(named(&outcome, "comments_answer").is_some(), "night {turn}: {:?}", outcome.skipped);
        }
    }
    // An enum of a kept table may grow on the source; the table keeps its rows and the night goes on, or says why not.
    night.source_sql("insert into users values (6)").await;
    night.full(&[("BACKUP_MODE", r#"{"answers":"incremental"}"#)]).await;
    assert_eq!(night.warehouse.one("select count(*) from users").await, "6");
}

#[tokio::test]
async fn a_table_that_only_the_warehouse_has_keeps_its_types_and_sequences() {
    let night = TestNight::new().await;
    night.source_sql(LEANING).await;
    night.full(&[]).await;
    night.warehouse_sql("create table own (id int default nextval('shared_numbers'), result result default 'ok'); insert into own values (1)").await;
    let outcome = night.full(&[]).await;
    assert_eq!(night.warehouse.rows("select id, result from own").await, ["1|ok"]);
    night.warehouse_sql("insert into own default values").await;
    assert_eq!(night.warehouse.one("select count(*) from own").await, "2", "{:?}", outcome.skipped);
}

#[tokio::test]
async fn a_kept_table_keeps_its_oddly_named_type_over_the_nights() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create type public.\"answer result\" as enum ('ok', 'ko');
             create table public.answers (id bigint primary key, result public.\"answer result\");
             create table public.users (id bigint primary key, best public.\"answer result\");
             insert into public.answers values (1, 'ok'); insert into public.users values (1, 'ko')",
        )
        .await;
    let modes = [("BACKUP_MODE", r#"{"answers":"incremental"}"#)];
    night.full(&modes).await;
    night.source_sql("insert into public.users values (2, 'ok')").await;
    night.full(&modes).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test]
async fn an_unknown_table_in_the_modes_is_refused_with_the_nearest_name() {
    let night = TestNight::new().await;
    night.source_fixture("look_alikes.sql");
    let stage = nightferry::ids::Stage::FullReplication;
    let error = night.try_run(stage, &[("BACKUP_MODE", r#"{"anwsers":"none"}"#)]).await.unwrap_err();
    assert!(error.to_string().contains("anwsers") && error.to_string().contains("answers"), "{error}");
    assert!(!error.kind().is_retryable());
    assert_eq!(night.warehouse.one("select to_regclass('quizzes') is null").await, "t");
}

#[tokio::test]
async fn a_kept_partitioned_table_keeps_its_partitions_and_their_rows() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table ev (id bigint, d int) partition by range (d);
             create table ev1 partition of ev for values from (0) to (10) partition by list (id);
             create table ev11 partition of ev1 default;
             insert into ev select g, g % 10 from generate_series(1, 50) g",
        )
        .await;
    for modes in ["{}", r#"{"ev":"incremental"}"#, r#"{"ev":"none"}"#] {
        night.full(&[("BACKUP_MODE", modes)]).await;
        assert_eq!(night.warehouse.one("select count(*) from ev").await, "50", "{modes}");
    }
}

#[tokio::test]
async fn an_enum_that_a_kept_table_uses_follows_the_source() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create type mood as enum ('a', 'c'); create function twice(int) returns int language sql as 'select $1 * 2';
             create table answers (id int primary key, m mood, n int default twice(1)); create table users (id int primary key, m mood);
             insert into answers values (1, 'a'); insert into users values (1, 'c')",
        )
        .await;
    let modes = [("BACKUP_MODE", r#"{"answers":"incremental"}"#)];
    night.full(&modes).await;
    night.source_sql("alter type mood add value 'it''s b' after 'a'").await;
    night.source_sql("insert into users values (2, 'it''s b'); create or replace function twice(int) returns int language sql as 'select $1 + $1'").await;
    night.full(&modes).await;
    assert_eq!(night.warehouse.rows("select m from users order by id").await, ["c", "it's b"]);
    assert_eq!(
        night.warehouse.one("select array_agg(e)::text from unnest(enum_range(null::mood)) e").await,
        "{a,\"it's b\",c}"
    );
    assert_eq!(
        night.warehouse.one("select prosrc from pg_proc where proname = 'twice'").await,
        "select $1 + $1"
    );
}

#[tokio::test]
async fn a_kept_table_outlives_its_source_and_its_mode() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id int primary key); insert into answers values (1); create sequence of_it owned by answers.id").await;
    let modes = [("BACKUP_MODE", r#"{"answers":"incremental"}"#)];
    night.full(&modes).await;
    night.full(&modes).await;
    assert_eq!(
        night.warehouse.one("select to_regclass('of_it') is not null").await,
        "t",
        "its sequence stays with it"
    );
    night.source_sql("drop table answers").await;
    night.full(&[]).await;
    assert_eq!(night.warehouse.rows("select id from answers").await, ["1"]);
}
