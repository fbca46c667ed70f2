//! The tests of the tests: the comparer sees every damage, and the servers go away with the process.

use std::path::Path;

use crate::support::compare::{Except, Facts, assert_equal, differences};
use crate::support::{Cluster, RedisServer, TestDatabase, TestNight};

/// A copy as PostgreSQL's own tools make it.
async fn restored_copy(night: &TestNight) {
    let archive = night.path("copy.dump");
    night.source.dump("custom", &archive);
    restore(&night.warehouse, &archive);
}

fn restore(into: &TestDatabase, archive: &Path) {
    let arguments = ["--no-owner", "--no-privileges", "--exit-on-error", "--dbname"];
    let name = into.name();
    let arguments = arguments.into_iter().chain([name.as_str()]).map(str::as_ref);
    into.tool("pg_restore", arguments.chain([archive.as_os_str()]));
}

#[tokio::test]
async fn a_copy_made_by_the_tools_of_postgres_compares_equal() {
    let night = TestNight::of_shapes().await;
    restored_copy(&night).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test]
async fn every_small_damage_is_seen_and_named() {
    let night = TestNight::of_shapes().await;
    let mut session = night.source.connect().await;
    let except = Except::nothing();
    let whole = Facts::of(&mut session, &except).await;
    let mut unseen = Vec::new();
    for (damage, named) in DAMAGES {
        sqlx::Executor::execute(
            &mut session,
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("begin; set search_path = public; {damage}"))),
        )
        .await
        .unwrap_or_else(|error| panic!("{damage}: {error}"));
        let found = whole.differences(&Facts::of(&mut session, &except).await);
        if !found.iter().any(|sentence| sentence.contains(named)) {
            unseen.push(format!("{damage}: expected {named:?}, found {found:?}"));
        }
        sqlx::Executor::execute(&mut session, "rollback").await.unwrap();
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n"));
    assert_eq!(whole.differences(&Facts::of(&mut session, &except).await), Vec::<String>::new());
}

/// A statement, and words of the sentence that must name it.
const DAMAGES: &[(&str, &str)] = &[
    ("delete from gaps", "rows public.gaps"),
    ("update users set \"firstName\" = 'x' where id = 77", "rows public.users"),
    ("update \"values\" set x = x || ' ' where id = 27", "rows public.values"),
    ("insert into nothing default values", "rows public.nothing"),
    ("update events set user_id = null where id = 5", "rows public."),
    ("drop table scratch", "relation public.scratch is missing"),
    ("create table extra ()", "relation public.extra is new"),
    ("alter table scratch set logged", "persistence"),
    ("alter table users reset (fillfactor)", "relation public.users"),
    ("alter table users alter column code type varchar(20)", "column public.users.code"),
    ("alter table users alter column \"createdAt\" drop not null", "column public.users.createdAt"),
    ("alter table users alter column mood drop default", "column public.users.mood"),
    ("alter table users alter column full_name drop expression", "column public.users.full_name"),
    ("alter table only_identity alter column id drop identity", "column public.only_identity.id"),
    ("alter table users alter column users set storage extended", "storage"),
    ("alter table users alter column \"firstName\" set statistics 10", "statistics 300"),
    (
        "alter table gaps drop column e; alter table gaps add column b2 int, add column e text default 'added' not null",
        "place 3",
    ),
    ("drop index users_slug", "index public.users_slug is missing"),
    (
        "drop index users_created; create index users_created on users using brin (\"createdAt\")",
        "index public.users_created",
    ),
    ("alter table users set without cluster", "clustered"),
    ("alter table users replica identity default", "replica identity"),
    ("alter table users drop constraint adult", "constraint adult"),
    ("alter table users validate constraint not_checked", "constraint not_checked"),
    ("alter domain old_domain validate constraint never_checked", "constraint never_checked"),
    ("alter table users drop constraint managers", "foreign key managers"),
    ("alter table bookings validate constraint \"not checked\"", "foreign key not checked"),
    ("alter table users alter constraint managers not deferrable", "foreign key managers"),
    ("alter sequence code_numbers no cycle", "sequence public.code_numbers"),
    ("alter sequence code_numbers restart 120", "standing public.code_numbers"),
    ("alter sequence never_called owned by none", "sequence public.never_called"),
    ("create or replace view on_counted as select * from counted where n > 1", "view public.on_counted"),
    (
        "alter view \"Odd schema\".\"view on view\" set (security_barrier = false)",
        "relation Odd schema.view on view",
    ),
    ("refresh materialized view moods_count with no data", "not populated"),
    ("refresh materialized view \"Odd schema\".\"not yet\"", "relation Odd schema.not yet"),
    ("update users set mood = 'sad'; refresh materialized view moods_count", "rows public.moods_count"),
    (
        "create or replace function is_even(int) returns boolean language sql immutable as 'select $1 % 2 = 1'",
        "function public.is_even(integer)",
    ),
    ("drop function slug(int, text, int[])", "function public.slug(integer,text,integer[]) is missing"),
    ("drop procedure tidy(text)", "function public.tidy("),
    ("drop aggregate sum_of_squares(float8)", "function public.sum_of_squares"),
    ("alter table users enable trigger \"dis-abled\"", "trigger dis-abled on public.users"),
    ("drop trigger checked_late on bookings", "trigger checked_late"),
    ("alter table slug enable rule disabled_rule", "rule disabled_rule"),
    ("drop rule no_delete on slug", "rule no_delete"),
    ("alter policy writes on \"knowledge-elements\" with check (true)", "policy writes"),
    ("alter table \"knowledge-elements\" disable row level security", "row security"),
    ("alter type mood rename value 'happy' to 'glad'", "type public.mood"),
    ("alter domain \"Odd schema\".percent set default 1", "type \"Odd schema\".percent"),
    ("alter type \"Odd schema\".place add attribute more int", "type \"Odd schema\".place"),
    ("drop statistics users_stats", "statistics public.users_stats"),
    ("alter table \"sea planes\" no inherit boats", "parents public.sea planes is missing"),
    ("alter table events detach partition events_2022", "parents public.events_2022 is missing"),
    ("comment on constraint adult on users is 'other'", "comment table constraint adult on public.users"),
    ("comment on column users.email is null", "comment table column public.users.email is missing"),
    ("comment on schema public is 'mine'", "comment schema public"),
    ("create schema more", "other schema more is new"),
    ("drop operator === (text, text)", "operator"),
    ("drop cast (address as text)", "cast"),
    ("drop extension ltree cascade", "other extension ltree is missing"),
];

#[tokio::test]
async fn what_is_left_out_is_not_compared() {
    let night = TestNight::new().await;
    night.source_sql("create table a (id int primary key); create table b (a_id int references a); create schema s create table t ()").await;
    night.warehouse_sql("create table a (id int primary key); create table b (a_id int); create schema nightferry create table t ()").await;
    let found = differences(&night.source, &night.warehouse, &Except::nothing()).await;
    assert!(found.iter().any(|sentence| sentence.contains("foreign key b_a_id_fkey")), "{found:?}");
    assert_equal(&night.source, &night.warehouse, &Except::nothing().kind("foreign key").schema("s")).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing().relation("public.b").schema("s")).await;
}

#[tokio::test]
async fn a_database_of_a_test_belongs_to_an_owner_who_is_no_superuser() {
    let night = TestNight::new().await;
    let who = "select rolname, rolsuper, rolcreaterole from pg_roles where rolname = current_user";
    assert_eq!(night.warehouse.one(who).await, format!("{}|f|f", night.warehouse.user()));
}

#[tokio::test]
async fn a_server_leaves_nothing_behind_when_it_is_stopped() {
    let mut cluster = Cluster::start_own();
    let mut redis = RedisServer::start();
    let folders = [cluster.folder().to_owned(), redis.folder().to_owned()];
    assert!(folders.iter().all(|folder| folder.exists()));
    assert!(std::net::TcpStream::connect(("127.0.0.1", cluster.port())).is_ok());
    cluster.kill();
    redis.kill();
    assert!(folders.iter().all(|folder| !folder.exists()));
    assert!(std::net::TcpStream::connect(("127.0.0.1", cluster.port())).is_err());
}
