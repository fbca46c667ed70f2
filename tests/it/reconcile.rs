//! `reconcile`: the warehouse's table made equal to the source's by copying what differs, and nothing else.

use nightferry::error::{Error, ErrorKind};
use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;

use crate::support::TestNight;

const STAGE: Stage = Stage::IncrementalReplication;

async fn reconcile(night: &TestNight, modes: &str) -> StageOutcome {
    night.run(STAGE, &[("BACKUP_MODE", modes)]).await
}

async fn refused(night: &TestNight, modes: &str) -> Error {
    night.try_run(STAGE, &[("BACKUP_MODE", modes)]).await.unwrap_err()
}

/// The rows that were added, changed or taken out, of all tables together.
fn changed(outcome: &StageOutcome) -> u64 {
    outcome.tables.iter().map(|table| table.rows).sum()
}

/// The bytes that were read from the source.
fn read(outcome: &StageOutcome) -> u64 {
    outcome.tables.iter().map(|table| table.bytes).sum()
}

async fn on_both(night: &TestNight, sql: &str) {
    night.source_sql(sql).await;
    night.warehouse_sql(sql).await;
}

async fn assert_equal(night: &TestNight, sql: &str) {
    assert_eq!(night.warehouse.rows(sql).await, night.source.rows(sql).await, "{sql}");
}

/// What an operator does to either side between two nights, how many rows are written then, and how many of the buckets of 10,000
/// rows are read.
#[tokio::test]
async fn only_the_buckets_that_differ_are_copied_wherever_they_are() {
    let night = TestNight::new().await;
    on_both(&night, "create table t (id bigint primary key, v text)").await;
    night.source_sql("insert into t select n, md5(n::text) from generate_series(1, 60000) n").await;
    let modes = r#"{"t":{"mode":"reconcile","key":"id"}}"#;
    let first = reconcile(&night, modes).await;
    assert_eq!(changed(&first), 60_000, "an empty table is loaded whole");
    let bucket = read(&first) / 6;

    for (on_source, on_warehouse, written, buckets) in [
        ("", "", 0, 0),
        ("", "delete from t where id <= 3", 3, 1),
        ("", "delete from t where id between 25000 and 25010", 11, 1),
        ("", "delete from t where id > 59990", 10, 1),
        ("", "delete from t where id in (1, 30000)", 2, 2),
        ("", "update t set v = md5(v) where id = 10001", 1, 1),
        ("", "update t set v = null where id = 10000", 1, 1),
        ("", "insert into t values (-5, 'before all others'), (70000, 'beyond all others')", 2, 1),
        ("delete from t where id = 1", "", 1, 1),
        ("insert into t values (60001, md5('one more'))", "", 1, 1),
        ("update t set v = md5(v)", "", 60_000, 6),
    ] {
        night.source_sql(on_source).await;
        night.warehouse_sql(on_warehouse).await;
        let outcome = reconcile(&night, modes).await;
        let case = format!("{on_source} {on_warehouse}");
        assert_eq!(changed(&outcome), written, "{case}");
        assert_eq!((read(&outcome) + bucket / 2) / bucket, buckets, "{case}");
        assert_equal(&night, "select count(*), sum(hashtext(id || v)::bigint) from t").await;
    }
}

#[tokio::test]
async fn one_changed_row_of_a_large_table_costs_one_bucket() {
    let night = TestNight::new().await;
    on_both(&night, "create table t (id bigint primary key, v text)").await;
    night.source_sql("insert into t select n * 3, md5(n::text) from generate_series(1, 200000) n").await;
    let modes = r#"{"t":{"mode":"reconcile","key":"id"}}"#;
    let all = read(&reconcile(&night, modes).await);
    night.source_sql("update t set v = md5(v) where id = 150000").await;
    let outcome = reconcile(&night, modes).await;
    assert_eq!((changed(&outcome), read(&outcome)), (1, all / 20));
    assert_equal(&night, "select count(*), sum(hashtext(id || v)::bigint) from t").await;
    let again = reconcile(&night, modes).await;
    assert_eq!((changed(&again), read(&again)), (0, 0));
}

/// Each of these keys has 30,000 rows; one is changed, one deleted on either side.
#[tokio::test]
async fn keys_of_each_ordered_type_and_of_several_columns_find_their_buckets() {
    let night = TestNight::new().await;
    let keys = [
        ("small", "n::int", "int"),
        ("beyond 2^53", "9007199254740992 + n", "bigint"),
        ("numeric", "n / 7.0", "numeric"),
        ("uuid", "md5(n::text)::uuid", "uuid"),
        ("timestamptz", "'2026-01-01 00:00+00'::timestamptz + n * '1 microsecond'::interval", "timestamptz"),
        ("date", "'1900-01-01'::date + n", "date"),
        ("Text \"C\"", "'é' || md5(n::text)", "text collate \"C\""),
        ("text", "case when n % 2 = 0 then 'A' else 'a' end || md5(n::text) || '''\\'", "text"),
        ("varchar", "md5(n::text)", "varchar(40)"),
        ("float", "n / 3.0", "double precision"),
        ("domain", "n", "tall"),
    ];
    on_both(&night, "create domain tall as int check (value > 0)").await;
    let mut modes = Vec::new();
    for (name, value, of_type) in keys {
        let table = format!("\"{}\"", name.replace('"', "\"\""));
        on_both(
            &night,
            &format!(
                "create table {table} (\"the key\" {of_type} primary key, v int);
                 insert into {table} select {value}, n from generate_series(1, 30000) n"
            ),
        )
        .await;
        night
            .source_sql(&format!(
                "update {table} set v = -v where v = 12345; delete from {table} where v = 5"
            ))
            .await;
        night.warehouse_sql(&format!("delete from {table} where v = 29999")).await;
        modes.push(format!("{:?}:{{\"mode\":\"reconcile\",\"key\":\"the key\"}}", name));
    }
    on_both(
        &night,
        "create table several (a int, b text, c date, v int, primary key (c, a, b));
         insert into several select n % 3, md5(n::text), '2026-01-01'::date + n % 5, n from generate_series(1, 30000) n",
    )
    .await;
    night.source_sql("update several set v = -v where v = 12345; delete from several where v = 5").await;
    night.warehouse_sql("delete from several where v = 29999").await;
    modes.push(r#""several":{"mode":"reconcile","key":["c","a","b"]}"#.to_owned());
    let modes = format!("{{{}}}", modes.join(","));

    let outcome = reconcile(&night, &modes).await;

    for table in &outcome.tables {
        assert!(table.rows == 3, "{} rows of {}", table.rows, table.table);
        let name = &table.table.name.replace('"', "\"\"");
        assert_equal(&night, &format!("select * from \"{name}\" order by v")).await;
    }
    assert_eq!(outcome.tables.len(), keys.len() + 1);
    assert_eq!(changed(&reconcile(&night, &modes).await), 0);
}

#[tokio::test]
async fn deleted_rows_are_marked_and_those_that_come_back_are_not_any_more() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table t (id int primary key, v text); insert into t values (1, 'a'), (2, 'b'), (3, 'c')",
    )
    .await;
    let modes = r#"{"t":{"mode":"reconcile","key":"id","deletes":"mark"}}"#;
    assert_eq!(changed(&reconcile(&night, modes).await), 0, "equal tables are not touched");
    night.source_sql("delete from t where id in (1, 2); update t set v = 'C' where id = 3").await;
    reconcile(&night, modes).await;
    let rows = "select id, v, nightferry_deleted_at is not null from t order by id";
    assert_eq!(night.warehouse.rows(rows).await, ["1|a|t", "2|b|t", "3|C|f"]);
    let when = night.warehouse.one("select nightferry_deleted_at from t where id = 1").await;

    assert_eq!(changed(&reconcile(&night, modes).await), 0, "a marked row is no difference");
    night.source_sql("insert into t values (2, 'b')").await;
    reconcile(&night, modes).await;
    assert_eq!(night.warehouse.rows(rows).await, ["1|a|t", "2|b|f", "3|C|f"]);
    assert_eq!(night.warehouse.one("select nightferry_deleted_at from t where id = 1").await, when);

    reconcile(&night, r#"{"t":{"mode":"reconcile","key":"id"}}"#).await;
    assert_eq!(night.warehouse.rows(rows).await, ["2|b|f", "3|C|f"], "without marks it goes");
}

#[tokio::test]
async fn types_that_know_no_equality_are_compared_as_text_and_stay_as_written() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create type mood as enum ('sad', 'happy');
         create table t (id int primary key, j json, x xml, p point, m mood[], b bytea, f real, r int4range, big jsonb);
         insert into t select n, '{\"a\":  1}', '<a/>', '(1,2)', '{sad}', '\\x00ff', 0.1, '[1,3)', '{\"b\":1}'
         from generate_series(1, 10) n",
    )
    .await;
    let modes = r#"{"t":{"mode":"reconcile","key":"id"}}"#;
    assert_eq!(changed(&reconcile(&night, modes).await), 0);
    night
        .source_sql(
            "update t set j = '{\"a\": 1}' where id = 7; update t set m = '{happy,NULL}' where id = 8",
        )
        .await;
    assert_eq!(changed(&reconcile(&night, modes).await), 2);
    let rows = "select t.id, t.j, t.x, t.p, t.m, t.b, t.f, t.r, t.big from t order by id";
    assert_equal(&night, rows).await;
    assert_eq!(changed(&reconcile(&night, modes).await), 0);
}

#[tokio::test]
async fn values_that_the_warehouse_stores_with_another_precision_are_no_difference_every_night() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table t (id int primary key, n numeric(10, 2), at timestamptz(3), c text, d date)",
        )
        .await;
    night
        .warehouse_sql("create table t (id bigint primary key, n numeric(14, 4), at timestamptz(0), c varchar(9), d date)")
        .await;
    night.source_sql("insert into t values (1, 1.5, '2026-01-01 00:00:00.7+02', 'x', 'infinity')").await;
    let modes = r#"{"t":{"mode":"reconcile","key":"id"}}"#;
    assert_eq!(changed(&reconcile(&night, modes).await), 1);
    assert_eq!(night.warehouse.rows("select id, n, c, d from t").await, ["1|1.5000|x|infinity"]);
    assert_eq!(changed(&reconcile(&night, modes).await), 0);
}

#[tokio::test]
async fn the_analysts_own_column_is_left_alone_and_generated_ones_are_computed_here() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table t (id bigint generated always as identity, code text primary key, v int,
                             twice int generated always as (v * 2) stored);
             insert into t (code, v) select 'c' || n, n from generate_series(1, 20) n",
        )
        .await;
    night
        .warehouse_sql(
            "create table t (mine text default 'analyst', code text primary key, id bigint generated always as identity,
                             v int, twice int generated always as (v * 2) stored)",
        )
        .await;
    let modes = r#"{"t":{"mode":"reconcile","key":"code"}}"#;
    reconcile(&night, modes).await;
    night.warehouse_sql("update t set mine = 'precious'").await;
    night
        .source_sql("update t set v = 100 where code = 'c5'; insert into t (code, v) values ('new', 1)")
        .await;

    reconcile(&night, modes).await;

    assert_equal(&night, "select id, code, v, twice from t order by code").await;
    assert_eq!(night.warehouse.one("select mine from t where code = 'c5'").await, "precious");
    assert_eq!(
        night.warehouse.rows("select mine, count(*) from t group by 1 order by 1").await,
        ["analyst|1", "precious|20"]
    );
}

#[tokio::test]
async fn partitions_are_reconciled_through_their_parent_and_heirs_are_left_out() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table parts (id int, v text, primary key (id)) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (1000);
         create table parts_2 partition of parts for values from (1000) to (2000);
         create table mother (id int primary key, v text);
         create table child (primary key (id)) inherits (mother)",
    )
    .await;
    night.source_sql("insert into parts select n, n::text from generate_series(1, 1900) n").await;
    on_both(&night, "insert into mother values (1, 'a'); insert into child values (2, 'b')").await;
    let modes = r#"{"parts":{"mode":"reconcile","key":"id"},"mother":{"mode":"reconcile","key":"id"}}"#;
    reconcile(&night, modes).await;
    night.source_sql("delete from parts where id = 1500; update parts set v = 'x' where id = 5").await;
    night.source_sql("delete from only mother").await;
    reconcile(&night, modes).await;
    assert_equal(&night, "select tableoid::regclass, * from parts order by id").await;
    assert_eq!(night.warehouse.rows("select tableoid::regclass, id from mother").await, ["child|2"]);
}

#[tokio::test]
async fn a_key_that_no_index_makes_unique_is_held_to_be_unique() {
    let night = TestNight::new().await;
    on_both(&night, "create table t (id int not null, v text)").await;
    night.source_sql("insert into t values (1, 'a'), (2, 'b')").await;
    night.warehouse_sql("insert into t values (1, 'a'), (1, 'a'), (2, 'old'), (3, 'gone')").await;
    let modes = r#"{"t":{"mode":"reconcile","key":"id"}}"#;
    reconcile(&night, modes).await;
    assert_eq!(night.warehouse.rows("select * from t order by id").await, ["1|a", "2|b"]);
    night.source_sql("insert into t values (2, 'another')").await;
    let error = refused(&night, modes).await;
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("public.t: the source has several rows of the same id"), "{error}");
    assert_eq!(night.warehouse.rows("select * from t order by id").await, ["1|a", "2|b"]);
}

#[tokio::test]
async fn rows_without_a_key_are_said_and_left_alone() {
    let night = TestNight::new().await;
    on_both(&night, "create table t (a int, b int, v text); insert into t values (1, 1, 'x')").await;
    night
        .source_sql("insert into t values (null, 1, 'no'), (1, null, 'no'), (2, null, 'no'), (2, 2, 'yes')")
        .await;
    let modes = r#"{"t":{"mode":"reconcile","key":["a","b"]}}"#;
    let outcome = reconcile(&night, modes).await;
    assert!(outcome.skipped[0].reason.contains("a, b is null"), "{:?}", outcome.skipped);
    assert_eq!(night.warehouse.rows("select * from t order by a").await, ["1|1|x", "2|2|yes"]);
    assert_eq!(changed(&reconcile(&night, modes).await), 0);
}

#[tokio::test]
async fn what_another_row_gave_up_may_be_taken_and_what_is_still_taken_names_the_table() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table t (id int primary key, email text unique);
         insert into t values (1, 'a'), (2, 'b'), (3, 'c')",
    )
    .await;
    let modes = r#"{"t":{"mode":"reconcile","key":"id"}}"#;
    night.source_sql("delete from t where id = 1; insert into t values (9, 'a')").await;
    reconcile(&night, modes).await;
    assert_equal(&night, "select * from t order by id").await;
    night.warehouse_sql("alter table t add mine text; update t set mine = 'precious'").await;
    night
        .source_sql("update t set email = null where id = 2; update t set email = 'b' where id = 3; update t set email = 'c' where id = 2")
        .await;
    reconcile(&night, modes).await;
    assert_equal(&night, "select id, email from t order by id").await;
    assert_eq!(night.warehouse.one("select distinct mine from t").await, "precious");
    night.warehouse_sql("alter table t add check (email <> 'no')").await;
    night.source_sql("insert into t values (10, 'no')").await;
    let error = refused(&night, modes).await;
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("public.t"), "{error}");
    assert_eq!(night.warehouse.one("select count(*) from t").await, "3");
}

#[tokio::test]
async fn a_row_that_others_refer_to_never_goes() {
    let night = TestNight::new().await;
    let tables = "create table t (id int primary key, email text unique);
                  create table of_t (t_id int references t on delete cascade)";
    on_both(
        &night,
        &format!("{tables}; insert into t values (1, 'a'), (2, 'b'); insert into of_t values (1)"),
    )
    .await;
    let modes = r#"{"t":{"mode":"reconcile","key":"id"}}"#;
    night.source_sql("update t set email = 'A' where id = 1").await;
    reconcile(&night, modes).await;
    assert_equal(&night, "select * from t join of_t on id = t_id").await;
    night.source_sql("update t set email = null; update t set email = 'b' where id = 1; update t set email = 'A' where id = 2").await;
    let error = refused(&night, modes).await;
    assert!(error.to_string().contains("public.t: "), "{error}");
    assert_eq!(night.warehouse.rows("select * from t join of_t on id = t_id").await, ["1|A|1"]);
}

#[tokio::test]
async fn a_source_that_lost_every_row_empties_the_table() {
    let night = TestNight::new().await;
    on_both(&night, "create table t (id int primary key); insert into t values (1), (2)").await;
    night.source_sql("truncate t").await;
    reconcile(&night, r#"{"t":{"mode":"reconcile","key":"id"}}"#).await;
    assert_eq!(night.warehouse.one("select count(*) from t").await, "0");
}
