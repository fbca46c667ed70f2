//! `nightferry rollback` and `nightferry generations`: yesterday's copy live again, and today's, while people read.

use std::process::Output;

use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};

use crate::support::{TestNight, execute_on};

const MODES: (&str, &str) = ("BACKUP_MODE", r#"{"answers":"incremental"}"#);
const SWAP: (&str, &str) = ("PUBLISH_MODE", "swap");
const SETTINGS: [(&str, &str); 2] = [MODES, SWAP];

const SOURCE: &str = "
    create type mood as enum ('sad', 'happy');
    create table users (id int primary key, name text, mood mood);
    create table orders (id int primary key, user_id int references users, amount int);
    create table answers (id bigserial primary key, value text, mood mood);
    insert into users select g, 'yesterday', 'sad' from generate_series(1, 10) g;
    insert into orders select g, g, 1 from generate_series(1, 10) g;
    insert into answers (value, mood) select 'old', 'happy' from generate_series(1, 5)";

const A_DAY: &str = "
    update users set name = 'today'; insert into users values (11, 'today', 'happy');
    update orders set amount = 2; insert into orders values (11, 11, 2);
    insert into answers (value) values ('new')";

/// In a schema of their own, in `public`, with rows of their own, over each other.
const ANALYSTS: &str = "
    create schema bi;
    create view bi.names as select u.name, sum(o.amount) as amount from public.users u join public.orders o on o.user_id = u.id group by u.name;
    create view bi.top as select amount from bi.names;
    create view public.by_name as select name, count(*) from public.users group by name;
    create materialized view bi.stored_names as select distinct name from public.users;
    create function bi.people() returns bigint language sql begin atomic select count(*) from public.users; end;
    grant usage on schema bi to pg_monitor; grant select on bi.names, bi.stored_names to pg_monitor;
    grant select on public.users to pg_monitor";

/// Nothing of others was lost: all that the night has to say is that the kept table goes on using its type.
fn only_the_type_stays(outcome: &StageOutcome) {
    let objects: Vec<&str> = outcome.skipped.iter().map(|skipped| skipped.object.as_str()).collect();
    assert_eq!(objects, ["TYPE public.mood"]);
}

/// Two nights, an increment between them and one after, and the views of analysts over the first.
async fn two_nights() -> TestNight {
    let night = TestNight::new().await;
    night.source_sql(SOURCE).await;
    night.full(&SETTINGS).await;
    night.run(Stage::IncrementalReplication, &SETTINGS).await;
    night.warehouse_sql(ANALYSTS).await;
    night.source_sql(A_DAY).await;
    let outcome = night.full(&SETTINGS).await;
    only_the_type_stays(&outcome);
    night.run(Stage::IncrementalReplication, &SETTINGS).await;
    night
}

/// What readers see of the copy, through tables, views, a function and a materialized view.
async fn seen(night: &TestNight) -> String {
    night
        .warehouse
        .one(
            "select (select string_agg(distinct name, ',') || count(*) from users), (select sum(amount) from orders),
                    (select name || amount from bi.names), (select amount from bi.top), (select name || count from by_name),
                    (select name from bi.stored_names), bi.people()",
        )
        .await
}

const YESTERDAY: &str = "yesterday10|10|yesterday10|10|yesterday10|yesterday|10";
const TODAY: &str = "today11|22|today22|22|today11|today|11";

async fn answers(night: &TestNight) -> String {
    night.warehouse.one("select 'answers'::regclass::oid, count(*), string_agg(value || coalesce(mood::text, ''), ',' order by id) from answers").await
}

async fn rollback(night: &TestNight, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    night.binary(&[&["rollback"], arguments].concat(), settings).await
}

/// Rolls back; what it says.
async fn rolled_back(night: &TestNight) -> String {
    let output = rollback(night, &[], &SETTINGS).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Is refused; why.
async fn is_refused(night: &TestNight, settings: &[(&str, &str)]) -> String {
    let output = rollback(night, &[], settings).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn yesterdays_copy_is_live_again_with_what_leans_on_it_and_then_todays() {
    let night = two_nights().await;
    let kept = answers(&night).await;
    assert_eq!(seen(&night).await, TODAY);
    for turn in 0..2 {
        let text = rolled_back(&night).await;
        assert_eq!(seen(&night).await, YESTERDAY, "turn {turn}");
        assert_eq!(answers(&night).await, kept);
        assert!(text.contains("\nTables that stayed as they are (1):\n  public.answers\n"), "{text}");
        assert!(text.contains("  view bi.names\n") && !text.contains("Could not"), "{text}");
        let may = "select has_table_privilege('pg_monitor', 'bi.names', 'select'), has_table_privilege('pg_monitor', 'bi.stored_names', 'select'),
                          has_table_privilege('pg_monitor', 'public.users', 'select')";
        assert_eq!(night.warehouse.one(may).await, "t|t|t");
        rolled_back(&night).await;
        assert_eq!(seen(&night).await, TODAY, "turn {turn}");
        assert_eq!(night.warehouse.one(may).await, "t|t|t");
        assert_eq!(answers(&night).await, kept);
    }
    let left = "select string_agg(nspname, ',' order by nspname) from pg_namespace where nspname ~ '__'";
    assert_eq!(night.warehouse.one(left).await, "bi__previous,public__previous");
}

#[tokio::test]
async fn a_night_over_a_warehouse_that_was_rolled_back_brings_todays_copy_again() {
    let night = two_nights().await;
    rolled_back(&night).await;
    night.source_sql("insert into answers (value, mood) values ('newer', 'sad')").await;
    for _ in 0..2 {
        let outcome = night.full(&SETTINGS).await;
        only_the_type_stays(&outcome);
        assert_eq!(seen(&night).await, TODAY);
    }
    night.run(Stage::IncrementalReplication, &SETTINGS).await;
    assert!(answers(&night).await.contains("|7|"), "{}", answers(&night).await);
    rolled_back(&night).await;
    assert_eq!(seen(&night).await, TODAY, "of the night before");
}

#[tokio::test]
async fn what_was_made_after_the_publish_is_made_again_and_what_cannot_be_is_there_again_with_its_own_copy() {
    let night = two_nights().await;
    night.source_sql("alter table users add column age int default 7").await;
    night.full(&SETTINGS).await;
    night
        .warehouse_sql(
            "create view bi.fresh as select sum(amount) from bi.names; create materialized view public.fresh as select count(*) from users;
             create schema other; create view other.fresh as select count(*) from orders; create view other.ages as select age from users;
             create view bi.ages as select age from users",
        )
        .await;
    let text = rolled_back(&night).await;
    assert!(text.contains("\nMade again (3):\n"), "{text}");
    assert!(text.contains("  view other.ages: it leans on") && text.contains("SELECT users.age"), "{text}");
    let fresh = "select (table bi.fresh), (table public.fresh), (table other.fresh), to_regclass('other.ages') is null, to_regclass('bi.ages') is null";
    assert_eq!(night.warehouse.one(fresh).await, "22|11|11|t|t");
    assert_eq!(
        night
            .warehouse
            .one("select count(*) from pg_attribute where attrelid = 'users'::regclass and attname = 'age'")
            .await,
        "0"
    );
    let text = rolled_back(&night).await;
    assert!(text.contains("  view other.ages\n") && !text.contains("Could not"), "{text}");
    assert_eq!(night.warehouse.one(fresh).await, "22|11|11|f|f");
    assert_eq!(
        night
            .warehouse
            .one("select sum(age) from (select age from other.ages union all table bi.ages) a")
            .await,
        "154"
    );
}

#[tokio::test]
async fn a_dry_run_says_it_all_and_changes_nothing() {
    let night = two_nights().await;
    night.warehouse_sql("create view bi.fresh as select count(*) from users").await;
    let catalogs = "select (select md5(string_agg(c::text, ',' order by oid)) from pg_class c where oid >= 16384), (select md5(string_agg(n::text, ',' order by oid)) from pg_namespace n),
                           (select string_agg(g::text, ',' order by generation_id) from nightferry.generations g)";
    let before = night.warehouse.one(catalogs).await;
    let output = rollback(&night, &["--dry-run"], &SETTINGS).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for said in [
        "would be live",
        "  public.answers\n",
        "  view bi.names\n",
        "\nWould be made again, where that can be (1):\n  view bi.fresh\n",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(night.warehouse.one(catalogs).await, before);
}

#[tokio::test]
async fn a_table_that_the_live_copy_was_the_first_to_bring_and_is_kept_since_moves_over_with_its_type() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key); insert into users values (1)").await;
    night.full(&SETTINGS[1..]).await;
    night
        .source_sql(
            "create type mood as enum ('sad'); create schema later; create table later.things (id int); insert into later.things values (1);
             create table answers (id bigserial primary key, mood mood); insert into answers (mood) values ('sad');
             create table events (id int) partition by range (id); create table events_1 partition of events for values from (0) to (9);
             insert into events values (1); insert into users values (2)",
        )
        .await;
    let settings = [("BACKUP_MODE", r#"{"answers":"incremental","events":"incremental"}"#), SWAP];
    night.full(&settings).await;
    let copy = "select (select count(*) from users), to_regclass('later.things') is null, (select string_agg(mood::text, ',') from public.answers),
                       (select count(*) from public.events)";
    assert_eq!(night.warehouse.one(copy).await, "2|f|sad|1");
    for _ in 0..2 {
        for expected in ["1|t|sad|1", "2|f|sad|1"] {
            let output = rollback(&night, &[], &settings).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(night.warehouse.one(copy).await, expected);
        }
    }
    rollback(&night, &[], &settings).await;
    night.full(&settings).await;
    assert_eq!(night.warehouse.one(copy).await, "2|f|sad|1");
}

#[tokio::test]
async fn what_cannot_be_rolled_back_is_refused_in_words() {
    let night = TestNight::new().await;
    assert!(is_refused(&night, &SETTINGS).await.contains("no previous generation"));
    night.source_sql(SOURCE).await;
    night.full(&[("PUBLISH_MODE", "in_place")]).await;
    night.full(&[("PUBLISH_MODE", "in_place")]).await;
    assert!(is_refused(&night, &SETTINGS).await.contains("no previous generation"));
    let none = [SWAP, ("KEEP_PREVIOUS", "false")];
    night.full(&none).await;
    assert!(is_refused(&night, &none).await.contains("hint: KEEP_PREVIOUS is false"));

    // Replaced last night, and kept now.
    night.full(&[SWAP]).await;
    let text = is_refused(&night, &SETTINGS).await;
    assert!(text.contains("the previous copy has its own table public.answers, which is kept now"), "{text}");
    assert!(text.contains("take it out of BACKUP_MODE"), "{text}");
    let output = rollback(&night, &[], &[SWAP]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // Half of it is gone: a night was stopped while it dropped it.
    night.warehouse_sql("drop table public__previous.orders").await;
    let text = is_refused(&night, &[SWAP]).await;
    assert!(text.contains("not whole any more, it lacks public.orders"), "{text}");
}

#[tokio::test]
async fn a_rollback_never_works_beside_another_job() {
    let night = two_nights().await;
    let holder = nightferry::adapters::postgres::WarehouseLock::acquire(
        &night.warehouse.seen_by_the_product(),
        "20261120T041000Z full on host-1",
        None,
    )
    .await
    .unwrap();
    let text = is_refused(&night, &SETTINGS).await;
    assert!(text.contains("another job holds the warehouse") && text.contains("full on host-1"), "{text}");
    holder.release().await;
    rolled_back(&night).await;
}

#[tokio::test]
async fn the_generations_are_listed_with_what_they_take() {
    let night = two_nights().await;
    let output = night.binary(&["generations", "--json"], &SETTINGS).await;
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |name: &str| [listed[0][name].clone(), listed[1][name].clone()];
    assert_eq!(of("generation"), [2, 1]);
    assert_eq!(of("state"), ["live", "previous"]);
    assert_eq!(
        of("schemas"),
        [serde_json::json!(["public"]), serde_json::json!(["bi__previous", "public__previous"])]
    );
    let size = "select sum(pg_total_relation_size(c.oid)) from pg_class c where relkind in ('r', 'm') and ";
    let live = night.warehouse.one(&format!("{size} oid in ('users'::regclass, 'orders'::regclass)")).await;
    let previous = night
        .warehouse
        .one(&format!(
            "{size} relnamespace in ('public__previous'::regnamespace, 'bi__previous'::regnamespace)"
        ))
        .await;
    assert_eq!(of("bytes").map(|bytes| bytes.to_string()), [live, previous]);
    let text = String::from_utf8(night.binary(&["generations"], &SETTINGS).await.stdout).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
}

/// Reads two tables and a view in one statement until told to stop; how often it saw each state.
async fn read_on(mut reader: PgConnection, mut stop: tokio::sync::oneshot::Receiver<()>) -> (u32, u32) {
    let (mut yesterday, mut today) = (0, 0);
    let statement = "select (select string_agg(distinct name, ',') from users) || (select sum(amount) from orders) || (select amount from bi.top)";
    while stop.try_recv().is_err() {
        let row = reader.fetch_one(statement).await.unwrap();
        match row.get::<String, _>(0).as_str() {
            "yesterday1010" => yesterday += 1,
            "today2222" => today += 1,
            mixed => panic!("read of two copies: {mixed}"),
        }
    }
    reader.close().await.unwrap();
    (yesterday, today)
}

#[tokio::test]
async fn a_reader_sees_one_copy_or_the_other_and_never_an_error() {
    let night = two_nights().await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        readers.push((stop, tokio::spawn(read_on(night.warehouse.connect().await, stopped))));
    }
    for _ in 0..3 {
        rolled_back(&night).await;
    }
    for (stop, reader) in readers {
        stop.send(()).unwrap();
        let (yesterday, today) = reader.await.unwrap();
        assert!(yesterday > 0 && today > 0, "{yesterday} {today}");
    }
}

#[tokio::test]
async fn a_rollback_that_cannot_have_its_locks_leaves_the_live_copy_and_can_be_given_again() {
    let night = two_nights().await;
    night.warehouse_sql("create view bi.fresh as select count(*) from users").await;
    let mut reader = night.warehouse.connect().await;
    execute_on(&mut reader, "begin; select count(*) from answers").await;
    let text =
        is_refused(&night, &[MODES, SWAP, ("PUBLISH_DEADLINE", "1s"), ("PUBLISH_LOCK_TIMEOUT", "200ms")])
            .await;
    assert!(text.contains("held by"), "{text}");
    assert_eq!(seen(&night).await, TODAY);
    execute_on(&mut reader, "commit").await;
    rolled_back(&night).await;
    assert_eq!(seen(&night).await, YESTERDAY);
    assert_eq!(night.warehouse.one("table bi.fresh").await, "10");
}
