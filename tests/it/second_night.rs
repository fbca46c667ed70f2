//! A night over the night before: the source has changed, and the warehouse holds things of its own.

use crate::support::TestNight;
use crate::support::compare::{Except, assert_equal};

/// What people do to a database between two nights.
const A_DAY: &str = r#"
    delete from "knowledge-elements" where "Id" > 100;
    insert into users ("firstName", mood) select 'new ' || g, 'ok' from generate_series(1, 100) g;
    update "values" set x = 'changed' where id = 20;
    alter table users add column "added today" text default 'x' not null;
    alter table users rename column code to "renamed code";
    drop view on_counted;
    create view brand_new as select "added today" from users;
    drop table scratch;
    create table brand_new_table (id int primary key references users);
    alter type mood rename value 'so so' to 'meh';
    alter type mood add value 'new' before 'sad';
    drop function slug(int, text, int[]);
    create function slug(text, int, int) returns text language sql as 'select $1';
    create or replace function numbers(n int) returns table (i int, square int) language sql as 'select 1, 1';
    drop procedure tidy(text);
    drop index users_slug;
    create index users_slug on users ("added today");
    alter table events detach partition events_2022;
    create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
    drop materialized view most_common;
    drop schema "quote""d" cascade;
    create schema later create table fresh (id int);
    select nextval('code_numbers');
    comment on table users is null;
    refresh materialized view moods_count;
    refresh materialized view on_key_view;
"#;

#[tokio::test]
async fn a_second_night_over_the_first_brings_the_new_state_whole() {
    let night = TestNight::of_shapes().await;
    night.full(&[]).await;
    for statement in A_DAY.split_inclusive(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        night.source_sql(statement).await;
    }
    night.full(&[]).await;
    // A schema that the source dropped may stay, empty: it could hold what is not nightferry's.
    let except = Except::nothing().schema("quote\"d").kind("other");
    assert_equal(&night.source, &night.warehouse, &except).await;
    let left = "select count(*) from pg_class where relnamespace = 'quote\"d'::regnamespace";
    let there = night.warehouse.one("select count(*) from pg_namespace where nspname = 'quote\"d'").await;
    assert!(there == "0" || night.warehouse.one(left).await == "0");
}

#[tokio::test]
async fn three_nights_without_a_change_are_all_equal_from_live_and_archives_in_turn() {
    let night = TestNight::of_shapes().await;
    let archive = night.archive("custom");
    for source in ["live", &archive, "live"] {
        night.full(&[("BACKUP_SOURCE", source)]).await;
        assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
    }
    let generations = "select count(*) from nightferry.generations where state = 'live'";
    assert_eq!(night.warehouse.one(generations).await, "1");
}

#[tokio::test]
async fn what_the_night_did_not_bring_is_left_alone() {
    let night = TestNight::of_shapes().await;
    night.full(&[]).await;
    night
        .warehouse_sql(
            "create schema bi; create table bi.targets (id int primary key, mood text);
             insert into bi.targets values (1, 'kept');
             create table public.\"analyst's own\" (id serial primary key, note text);
             insert into public.\"analyst's own\" (note) values ('mine');
             create view bi.happy as select id, full_name from public.users where mood = 'happy';
             create materialized view bi.moods as select mood, count(*) from public.users group by mood;
             create function bi.people() returns setof public.users language sql as 'select * from public.users';
             create function public.own() returns int language sql as 'select 1'",
        )
        .await;
    let before = night.warehouse.one("select count(*) from bi.happy").await;
    let outcome = night.full(&[]).await;
    assert_eq!(night.warehouse.rows("select id, mood from bi.targets").await, ["1|kept"]);
    assert_eq!(night.warehouse.rows("select id, note from \"analyst's own\"").await, ["1|mine"]);
    assert_eq!(night.warehouse.one("select public.own()").await, "1");
    assert_eq!(night.warehouse.one("select count(*) from bi.happy").await, before);
    assert_eq!(night.warehouse.one("select count(*) from bi.moods").await, "5");
    assert_eq!(night.warehouse.one("select count(*) from bi.people()").await, "2000");
    assert_eq!(outcome.skipped, []);
}

#[tokio::test]
async fn a_view_that_cannot_come_back_is_named_with_its_definition() {
    let night = TestNight::of_shapes().await;
    night.full(&[]).await;
    night.warehouse_sql("create schema bi; create view bi.codes as select code from public.users").await;
    night.source_sql("alter table users drop column code").await;
    let outcome = night.full(&[]).await;
    let named = outcome.skipped.iter().find(|skipped| skipped.object.contains("codes"));
    let definition = named.and_then(|skipped| skipped.definition.as_deref());
    assert!(definition.is_some_and(|sql| sql.contains("code")), "{:?}", outcome.skipped);
}

#[tokio::test]
async fn readers_may_still_read_in_the_morning() {
    let night = TestNight::of_shapes().await;
    night.full(&[]).await;
    night
        .warehouse_sql("grant select on public.users to public; grant select (id) on \"values\" to public")
        .await;
    night.full(&[]).await;
    let may = "select has_table_privilege('pg_monitor', 'public.users', 'select'), has_column_privilege('pg_monitor', 'public.values', 'id', 'select')";
    assert_eq!(night.warehouse.one(may).await, "t|t");
}

#[tokio::test]
async fn what_the_enrichment_made_is_made_anew_even_when_its_table_changed() {
    let night = TestNight::new().await;
    let enrichment = "-- needs: organization-learners\ncreate or replace view learners as select * from \"organization-learners\";\n";
    std::fs::write(night.path("enrichment/01_learners.sql"), enrichment).unwrap();
    night.source_sql("create table public.\"organization-learners\" (id int primary key, name text); insert into \"organization-learners\" values (1, 'a')").await;
    night.full(&[]).await;
    // A view cannot be replaced by one whose columns have other names.
    night.source_sql("drop table \"organization-learners\"; create table public.\"organization-learners\" (uuid text, id int primary key); insert into \"organization-learners\" values ('u', 1)").await;
    let outcome = night.full(&[]).await;
    assert_eq!(night.warehouse.rows("select uuid, id from learners").await, ["u|1"]);
    assert_eq!(outcome.skipped, []);
}

#[tokio::test]
async fn a_materialized_view_with_an_odd_name_holds_its_rows() {
    let night = TestNight::new().await;
    night.source_sql("create materialized view public.\"Odd one\" as select 42 as answer").await;
    night.full(&[]).await;
    assert_eq!(night.warehouse.rows("select answer from \"Odd one\"").await, ["42"]);
}

#[tokio::test]
async fn an_analysts_view_comes_back_every_night_even_one_that_needs_a_key() {
    let night = TestNight::new().await;
    night
        .source_sql("create table users (id int primary key, name text); insert into users values (1, 'a')")
        .await;
    night.full(&[]).await;
    night
        .warehouse_sql(
            "create view bi as select * from users;
             create view by_key as select u.id, u.name, count(*) from users u group by u.id;
             create view over_it as select id from by_key",
        )
        .await;
    for turn in 0..3 {
        let outcome = night.full(&[]).await;
        assert_eq!(outcome.skipped, [], "night {turn}");
        assert_eq!(
            night
                .warehouse
                .rows("select b.id, k.count from bi b join by_key k using (id) join over_it using (id)")
                .await,
            ["1|1"]
        );
    }
}

#[tokio::test]
async fn a_view_of_the_source_that_needs_a_key_keeps_its_readers() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table u (id int primary key, n text); insert into u values (1, 'a');
             create materialized view mv as select id, n, count(*) from u group by id;
             create view v as select id, n, count(*) from u group by id",
        )
        .await;
    night.full(&[]).await;
    night.warehouse_sql("grant select on mv, v to pg_monitor").await;
    for _ in 0..2 {
        let outcome = night.full(&[]).await;
        assert_eq!(outcome.skipped, []);
        let may = "select has_table_privilege('pg_monitor', 'mv', 'select'), has_table_privilege('pg_monitor', 'v', 'select')";
        assert_eq!(night.warehouse.one(may).await, "t|t");
        assert_eq!(night.warehouse.rows("select mv.id from mv join v using (id)").await, ["1"]);
    }
}

#[tokio::test]
async fn an_aggregate_without_arguments_is_no_obstacle() {
    let night = TestNight::new().await;
    night.source_sql("create aggregate how_many(*) (sfunc = int8inc, stype = int8, initcond = '0')").await;
    night.full(&[]).await;
    night.full(&[]).await;
    assert_eq!(night.warehouse.one("select how_many(*) from generate_series(1, 3)").await, "3");
}

#[tokio::test]
async fn what_an_analyst_makes_during_the_enrichment_is_not_taken_for_ours() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key)").await;
    std::fs::write(
        night.path("enrichment/01_wait.sql"),
        "-- needs: users\nselect pg_advisory_xact_lock(77);\ncreate table ours as select 1 as n;\n",
    )
    .unwrap();
    let mut analyst = night.warehouse.connect().await;
    crate::support::execute_on(&mut analyst, "select pg_advisory_lock(77)").await;
    let stage = async { night.full(&[]).await };
    let meanwhile = async {
        crate::support::until("the enrichment to wait", async || {
            let waiting = night.warehouse.one("select count(*) from pg_locks where locktype = 'advisory' and objid = 77 and not granted").await;
            (waiting == "1").then_some(())
        })
        .await;
        night.warehouse_sql("create table mine as select 42 as answer").await;
        crate::support::execute_on(&mut analyst, "select pg_advisory_unlock(77)").await;
    };
    tokio::join!(stage, meanwhile);
    std::fs::remove_file(night.path("enrichment/01_wait.sql")).unwrap();
    night.full(&[]).await;
    assert_eq!(night.warehouse.one("select answer from mine").await, "42");
    assert_eq!(
        night.warehouse.one("select to_regclass('ours') is null").await,
        "t",
        "what the enrichment made is replaced"
    );
}

#[tokio::test]
async fn row_security_of_the_source_never_hides_rows_in_silence() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table secret (id int primary key); insert into secret select generate_series(1, 10);
             alter table secret enable row level security; alter table secret force row level security;
             create policy few on secret using (id <= 3)",
        )
        .await;
    // The owner is bound by FORCE: what it cannot see whole is refused, as pg_dump refuses it.
    let error = night.try_run(nightferry::ids::Stage::FullReplication, &[]).await.unwrap_err();
    assert!(
        error.to_string().contains("row-level security") || error.to_string().contains("row_security"),
        "{error}"
    );
    night.source_sql("alter table secret no force row level security").await;
    night.full(&[]).await;
    night.full(&[]).await;
    assert_eq!(night.warehouse.one("select count(*) from secret").await, "10");
    assert_eq!(
        night.warehouse.one("select relrowsecurity from pg_class where oid = 'secret'::regclass").await,
        "t"
    );
}

#[tokio::test]
async fn a_reader_who_holds_a_table_is_waited_for() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key); insert into users values (1)").await;
    night.full(&[]).await;
    let mut reader = night.warehouse.connect().await;
    crate::support::execute_on(&mut reader, "begin; select count(*) from users").await;
    let let_go = async {
        crate::support::until("the night to wait for the reader", async || {
            let waiting = night.warehouse.one("select count(*) from pg_locks where not granted").await;
            (waiting != "0").then_some(())
        })
        .await;
        crate::support::execute_on(&mut reader, "commit").await;
    };
    tokio::join!(night.full(&[]), let_go);
    assert_eq!(night.warehouse.one("select count(*) from users").await, "1");
}

#[tokio::test]
async fn an_enrichment_file_that_finds_a_table_of_yesterday_is_told_before_the_publish() {
    let night = TestNight::new().await;
    night
        .source_sql("create table users (id int primary key); create table gone (id int); insert into gone values (1)")
        .await;
    std::fs::write(
        night.path("enrichment/01_view.sql"),
        "-- needs: users\ncreate or replace view over_gone as select id from gone;\n",
    )
    .unwrap();
    night.full(&[]).await;
    night.source_sql("drop table gone").await;
    let error = night.try_run(nightferry::ids::Stage::FullReplication, &[]).await.unwrap_err();
    assert!(error.to_string().contains("view over_gone reads yesterday's gone"), "{error}");
    assert!(error.operator_hint().unwrap().contains("what readers see is as it was"));
    assert_eq!(night.warehouse.one("select count(*) from over_gone").await, "1");
}

/// A kept table uses an enum, so that it stays: everything that names it finds it beside the copy.
#[tokio::test]
async fn what_names_a_type_that_stays_is_made_all_the_same() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create type mood as enum ('sad', 'ok');
             create table users (id int primary key, mood mood default 'ok'); insert into users values (1), (2);
             create rule r as on insert to users where new.mood = 'sad'::mood do also select 1;
             create view grouped as select id, mood, 'ok'::mood as other from users group by id;
             create table extra (id int primary key, mood mood, check (mood > 'sad'::mood));
             create index i on extra ((mood = 'sad'::mood)) where mood > 'sad'::mood;
             create policy pp on users using (mood = 'ok'::mood)",
        )
        .await;
    std::fs::write(
        night.path("enrichment/01_made.sql"),
        "-- needs: users\nalter table public.users add column other public.mood default 'sad';\n",
    )
    .unwrap();
    night.full(&[]).await;
    night.warehouse_sql("create table public.kept (m public.mood)").await;
    for _ in 0..2 {
        let outcome = night.full(&[("PUBLISH_MODE", "swap")]).await;
        let named: Vec<&str> = outcome.skipped.iter().map(|skipped| skipped.object.as_str()).collect();
        assert_eq!(named, ["TYPE public.mood"]);
    }
}

#[tokio::test]
async fn an_enum_that_did_not_change_is_the_same_type_for_readers_over_nights_and_rollbacks() {
    let night = TestNight::new().await;
    night
        .source_sql("create type mood as enum ('it''s', 'ok'); create table users (id int primary key, mood mood); insert into users values (1, 'ok')")
        .await;
    let swap = [("PUBLISH_MODE", "swap")];
    night.full(&swap).await;
    night
        .warehouse_sql(
            "create schema bi; create function bi.ok() returns bigint language plpgsql as
             $$ declare m public.mood := 'ok'; begin return (select count(*) from public.users where mood = m); end $$",
        )
        .await;
    let mut reader = night.warehouse.connect().await;
    crate::support::execute_on(
        &mut reader,
        "prepare p as select id, mood from public.users; execute p; select bi.ok()",
    )
    .await;
    let read = "execute p; select bi.ok(), 'ok'::public.mood";
    for users in 2..4 {
        night.source_sql(&format!("insert into users values ({users}, 'ok')")).await;
        let outcome = night.full(&swap).await;
        assert!(outcome.skipped.is_empty(), "{:?}", outcome.skipped);
        crate::support::execute_on(&mut reader, read).await;
        assert_eq!(crate::support::rows_on(&mut reader, "select bi.ok()").await, [users.to_string()]);
    }
    for users in [2, 3, 2] {
        assert!(night.binary(&["rollback"], &swap).await.status.success());
        crate::support::execute_on(&mut reader, read).await;
        assert_eq!(crate::support::rows_on(&mut reader, "select bi.ok()").await, [users.to_string()]);
    }
    // A changed one is another type, under the same name; and then that one goes on.
    night.source_sql("alter type mood rename value 'it''s' to 'its'").await;
    night.full(&swap).await;
    night.full(&swap).await;
    assert_eq!(night.warehouse.one("select count(*) from users where mood = 'ok'::public.mood").await, "3");
    assert_eq!(night.warehouse.one("select enum_range(null::public.mood)::text").await, "{its,ok}");
    assert_eq!(night.warehouse.one("select count(*) from public__previous.users").await, "3");
}
