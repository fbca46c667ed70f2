//! A swap where the schemas cannot be renamed: the objects move, and whatever is stuck stays.

use crate::support::standing::{assert_unchanged, standing};
use crate::support::{Cluster, TestNight, execute_on, until};

const SWAP: (&str, &str) = ("PUBLISH_MODE", "swap");

/// A warehouse whose schema public belongs to the superuser, as on PostgreSQL 14.
async fn night() -> TestNight {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table users (id serial primary key, name text); insert into users (name) select 'n' from generate_series(1, 10);
             create table orders (id serial primary key, user_id int references users); insert into orders (user_id) select 1 from generate_series(1, 20);
             create table answers (id bigint primary key); insert into answers values (1);
             create function plus(i int) returns int language sql immutable as 'select i + 1';
             create index plus_ix on users (plus(id));
             create materialized view counted as select count(*) as n from orders",
        )
        .await;
    let owner = night.warehouse.user();
    night
        .warehouse_sql_as_superuser(&format!(
            "alter schema public owner to postgres; grant all on schema public to \"{owner}\""
        ))
        .await;
    night
}

const MODES: (&str, &str) = ("BACKUP_MODE", r#"{"answers":"incremental"}"#);

#[tokio::test]
async fn what_others_have_over_the_copy_follows_over_three_nights_and_a_rollback() {
    let night = night().await;
    std::fs::write(
        night.path("enrichment/01_statistics.sql"),
        "-- needs: users\ncreate statistics if not exists of_names on id, name from public.users;\n",
    )
    .unwrap();
    night.full(&[SWAP, MODES]).await;
    night
        .warehouse_sql(
            "create schema bi; create view public.mine as select count(*) as n from users;
             create view bi.over_mine as select n from public.mine;
             create materialized view bi.filled as select count(*) as n from users; create unique index on bi.filled (n);
             create function public.parsed() returns bigint language sql begin atomic select count(*) from users; end;
             create table public.own (id int references users); insert into public.own values (1);
             comment on view public.mine is 'theirs'; insert into answers values (2)",
        )
        .await;
    let before = standing(&night.warehouse, &["public", "bi"]).await;
    for rows in [11, 12] {
        night.source_sql("insert into users (name) values ('another')").await;
        let outcome = night.full(&[SWAP, MODES]).await;
        let broken: Vec<_> = outcome.skipped.iter().filter(|skipped| skipped.definition.is_some()).collect();
        assert!(broken.is_empty(), "{broken:?}");
        let counts = "select (select count(*) from users), (select n from mine), (select n from bi.over_mine), (select n from bi.filled), parsed(), (select count(*) from answers), (select n from counted)";
        assert_eq!(night.warehouse.one(counts).await, format!("{rows}|{rows}|{rows}|{rows}|{rows}|2|20"));
        assert_unchanged(&before, &standing(&night.warehouse, &["public", "bi"]).await);
    }
    for rows in [11, 12] {
        let output = night.binary(&["rollback"], &[SWAP, MODES]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let counts = "select (select count(*) from users), (select n from bi.over_mine), (select n from bi.filled), (select count(*) from answers)";
        assert_eq!(night.warehouse.one(counts).await, format!("{rows}|{rows}|{rows}|2"));
    }
    let left = "select nspname from pg_namespace where nspname ~ '__(next|nightferry)$'";
    assert_eq!(night.warehouse.rows(left).await, [""; 0]);
}

#[tokio::test]
async fn a_view_of_strangers_in_the_schema_does_not_stop_a_night() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key); insert into users values (1)").await;
    night.full(&[SWAP]).await;
    let (owner, analyst) = (night.warehouse.user(), format!("{}-analyst", night.warehouse.name()));
    night
        .warehouse_sql_as_superuser(&format!(
            "create role \"{analyst}\"; grant create, usage on schema public to \"{analyst}\";
             grant select on users to \"{analyst}\"; set role \"{analyst}\";
             create view public.theirs as select count(*) as n from users; create table public.at as select 1 as one;
             reset role; grant select on public.theirs, public.at to \"{owner}\""
        ))
        .await;
    for rows in ["2", "3"] {
        night.source_sql("insert into users select max(id) + 1 from users").await;
        let outcome = night.full(&[SWAP]).await;
        let named = |what: &str| outcome.skipped.iter().any(|skipped| skipped.object.contains(what));
        assert!(named("view public.theirs"), "{:?}", outcome.skipped);
        assert_eq!(night.warehouse.one("select count(*) from users").await, rows);
        assert_eq!(night.warehouse.one("select one from public.at").await, "1");
        if rows == "2" {
            let seen = Cluster::of_warehouses().as_superuser(&night.warehouse);
            assert_eq!(seen.one("select n from public.theirs").await, "1", "it reads the copy of before");
        } else {
            break;
        }
    }
}

#[tokio::test]
async fn a_reader_of_a_replaced_table_is_waited_for_and_sees_no_mix() {
    let night = night().await;
    night.full(&[SWAP, MODES]).await;
    night
        .source_sql("insert into users (name) values ('another'); insert into orders (user_id) values (1)")
        .await;
    let mut reader = night.warehouse.connect().await;
    execute_on(&mut reader, "begin; select count(*) from users").await;
    let let_go = async {
        until("the night to wait for the reader", async || {
            let waiting = night
                .warehouse
                .one("select count(*) from pg_locks where not granted and locktype = 'relation'")
                .await;
            (waiting != "0").then_some(())
        })
        .await;
        assert_eq!(crate::support::rows_on(&mut reader, "select count(*) from orders").await, ["20"]);
        execute_on(&mut reader, "commit").await;
    };
    let modes = [SWAP, MODES];
    tokio::join!(night.full(&modes), let_go);
    assert_eq!(
        night.warehouse.one("select (select count(*) from users), (select count(*) from orders)").await,
        "11|21"
    );
}

#[tokio::test]
async fn an_enum_that_a_kept_table_uses_grows_before_a_new_table_uses_the_value() {
    let night = TestNight::new().await;
    night
        .source_sql("create type mood as enum ('a', 'b'); create table kept (id int primary key, m mood); create table t (m mood)")
        .await;
    let modes = [SWAP, ("BACKUP_MODE", r#"{"kept":"incremental"}"#)];
    night.full(&modes).await;
    night.source_sql("alter type mood add value 'c'").await;
    night.source_sql("create table t2 (m mood default 'c'); insert into t2 default values").await;
    night.full(&modes).await;
    assert_eq!(night.warehouse.one("select m from t2").await, "c");
}

#[tokio::test]
async fn work_of_others_elsewhere_does_not_hold_up_the_publish() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key); insert into users values (1)").await;
    night.full(&[SWAP]).await;
    night
        .warehouse_sql("create schema bi; create materialized view bi.slow as select count(*) c, length(pg_sleep(1)::text) from users; create schema etl")
        .await;
    let busy = async {
        let mut etl = night.warehouse.connect().await;
        loop {
            execute_on(
                &mut etl,
                "drop table if exists etl.x; create table etl.x as select 1 as one; select pg_sleep(0.3)",
            )
            .await;
        }
    };
    tokio::select! {
        () = busy => {}
        outcome = night.full(&[SWAP, ("PUBLISH_DEADLINE", "30s")]) => assert!(outcome.skipped.is_empty(), "{:?}", outcome.skipped),
    }
}

#[tokio::test]
async fn a_schema_of_analysts_without_room_for_a_longer_name_is_found_before_the_night() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key)").await;
    night.full(&[SWAP]).await;
    let long = "x".repeat(60);
    night
        .warehouse_sql(&format!(
            "create schema {long}; create view {long}.v as select count(*) from public.users"
        ))
        .await;
    let inspection = nightferry::replication::preflight::inspect(&night.config(&[])).await.unwrap();
    let publish = inspection.publish.unwrap();
    assert_eq!(publish.mode, "in_place");
    assert!(publish.reasons[0].subject.contains(&long), "{:?}", publish.reasons);
}
