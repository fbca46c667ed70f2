//! How a night would publish: found out before anything is changed, and said with what would help.

use nightferry::error::ErrorKind;
use nightferry::ids::Stage;
use nightferry::replication::plan::Finding;
use nightferry::replication::preflight::{Inspection, inspect};

use crate::support::compare::{Except, Facts};
use crate::support::{Cluster, TestNight};

const SWAP: (&str, &str) = ("PUBLISH_MODE", "swap");
const IN_PLACE: (&str, &str) = ("PUBLISH_MODE", "in_place");

/// A night over one table, whose warehouse is empty.
async fn night() -> TestNight {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table users (id int primary key, name text);
             insert into users select n, repeat('x', 1000) from generate_series(1, 4000) n",
        )
        .await;
    night
}

async fn look(night: &TestNight, extra: &[(&str, &str)]) -> Inspection {
    inspect(&night.config(extra)).await.unwrap()
}

async fn takes_a_swap_of(night: &TestNight, schemas: &[&str]) {
    let inspection = look(night, &[SWAP]).await;
    assert_eq!(inspection.problems, []);
    let publish = look(night, &[]).await.publish.unwrap();
    assert_eq!((publish.mode, publish.reasons), ("swap", vec![]));
    assert_eq!(publish.schemas, schemas);
}

/// The one reason why the schemas cannot be renamed: nights are swaps all the same, in which objects move; whatever is in the
/// way stays where it is.
async fn why_objects_move(night: &TestNight) -> Finding {
    let inspection = look(night, &[]).await;
    assert_eq!(inspection.problems, []);
    let publish = inspection.publish.unwrap();
    assert_eq!((publish.mode, publish.way, publish.reasons.len()), ("swap", Some("move"), 1), "{publish:?}");
    let reason = publish.reasons[0].clone();
    let said = |note: &Finding| note.text.contains(&reason.text) && note.hint == reason.hint;
    assert!(inspection.notes.iter().any(said), "{:?}", inspection.notes);
    for rows in ["4000", "4001"] {
        night.full(&[]).await;
        assert_eq!(night.warehouse.one("select count(*) from public.users").await, rows);
        night.source_sql("insert into users values (4001, 'new') on conflict do nothing").await;
    }
    assert_eq!(night.warehouse.one("select count(*) from public__previous.users").await, "4000");
    assert_eq!(
        night.warehouse.rows("select nspname from pg_namespace where nspname ~ '__(next|nightferry)$'").await,
        [""; 0]
    );
    reason
}

/// The one reason against a swap: `auto` goes in place and says so, `in_place` has nothing to say, and `swap` is refused
/// before anything is changed.
async fn reason(night: &TestNight) -> Finding {
    let inspection = look(night, &[]).await;
    assert_eq!(inspection.problems, []);
    let publish = inspection.publish.unwrap();
    assert_eq!((publish.mode, publish.reasons.len()), ("in_place", 1), "{:?}", publish.reasons);
    let reason = publish.reasons[0].clone();
    let said = format!("auto takes in_place: {}: {}", reason.subject, reason.text);
    assert!(
        inspection.notes.contains(&Finding::new("PUBLISH_MODE", said, &reason.hint)),
        "{:?}",
        inspection.notes
    );
    assert_eq!(look(night, &[IN_PLACE]).await.publish.unwrap().reasons, []);

    // The role cannot read what belongs to others.
    let seen_by_all = Cluster::of_warehouses().as_superuser(&night.warehouse);
    let before = Facts::of(&mut seen_by_all.connect().await, &Except::nothing()).await;
    let error = night.try_run(Stage::FullReplication, &[SWAP]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains(&reason.subject), "{error}");
    assert!(error.operator_hint().unwrap().starts_with(&reason.hint), "{error:?}");
    let after = Facts::of(&mut seen_by_all.connect().await, &Except::nothing()).await;
    assert_eq!(before.differences(&after), Vec::<String>::new());
    reason
}

#[tokio::test]
async fn where_nothing_is_in_the_way_the_schemas_of_the_source_are_swapped_and_check_and_plan_say_so() {
    let night = night().await;
    night.source_sql("create schema \"Audit log\" create table entries (id int)").await;
    night.warehouse_sql("create schema bi create table targets (id int)").await;
    takes_a_swap_of(&night, &["Audit log", "public"]).await;
    let check = night.binary(&["check"], &[]).await;
    let text = String::from_utf8(check.stdout).unwrap();
    let said = "PUBLISH_MODE: auto takes swap: schemas Audit log, public are built aside and published in one moment\n";
    assert!(text.contains(said), "{text}");
    let plan = night.binary(&["plan"], &[SWAP]).await;
    let text = String::from_utf8(plan.stdout).unwrap();
    assert!(
        text.contains("PUBLISH_MODE: set to swap: ") && text.contains("\nReplaced at the publish:\n"),
        "{text}"
    );
    let plan = night.binary(&["plan", "--json"], &[IN_PLACE]).await;
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(
        plan["publish"],
        serde_json::json!({"mode": "in_place", "way": null, "schemas": [], "reasons": []})
    );
    takes_a_swap_of(&night, &["Audit log", "public"]).await;
}

#[tokio::test]
async fn a_schema_that_belongs_to_the_superuser_is_left_where_it_is_until_an_administrator_gives_it_away() {
    let night = night().await;
    let owner = night.warehouse.user();
    night
        .warehouse_sql_as_superuser(&format!(
            "alter schema public owner to postgres; grant all on schema public to \"{owner}\""
        ))
        .await;
    let reason = why_objects_move(&night).await;
    assert_eq!(reason.subject, "schema public");
    let statement = reason.hint.strip_prefix("as an administrator: ").unwrap();
    assert_eq!(statement, format!("ALTER SCHEMA \"public\" OWNER TO \"{owner}\";"));
    night.warehouse_sql_as_superuser(statement).await;
    takes_a_swap_of(&night, &["public"]).await;
}

#[tokio::test]
async fn a_trusted_extension_cannot_be_moved_by_the_role_that_made_it() {
    let night = night().await;
    night.warehouse_sql("create extension pg_trgm").await;
    let reason = why_objects_move(&night).await;
    assert_eq!(reason.subject, "extension pg_trgm");
    assert!(reason.text.contains("schema public"), "{reason:?}");
    let text = String::from_utf8(night.binary(&["check"], &[]).await.stdout).unwrap();
    assert!(text.contains(&format!("    hint: {}\n", reason.hint)), "{text}");
    // The server says the same: what would be tried at the publish.
    let moved = night.warehouse.connect().await;
    assert!(
        refused(moved, "create schema x; alter extension pg_trgm set schema x")
            .await
            .contains("must be owner")
    );
    let (_, statements) = reason.hint.split_once("on both sides: ").unwrap();
    night.warehouse_sql_as_superuser(statements).await;
    takes_a_swap_of(&night, &["public"]).await;
}

#[tokio::test]
async fn an_extension_that_may_not_move_at_all_holds_its_schema_and_one_that_may_does_not() {
    let night = night().await;
    night.warehouse_sql_as_superuser("create extension xml2").await;
    let reason = why_objects_move(&night).await;
    assert_eq!(reason.subject, "extension xml2");
    assert!(reason.hint.contains("CREATE EXTENSION \"xml2\" SCHEMA extensions;"), "{reason:?}");
    night
        .warehouse_sql_as_superuser(
            "drop extension xml2; create schema extensions; create extension xml2 schema extensions",
        )
        .await;
    takes_a_swap_of(&night, &["public"]).await;
    // A role that owns the members may move them: here, a superuser's URL.
    night.warehouse_sql_as_superuser("create extension hstore").await;
    let superuser = Cluster::of_warehouses().as_superuser(&night.warehouse);
    let inspection = look(&night, &[SWAP, ("TARGET_DATABASE_URL", superuser.url())]).await;
    assert_eq!(inspection.problems, []);
    assert_eq!(reason_subjects(&look(&night, &[]).await), ["extension hstore"]);
}

#[tokio::test]
async fn what_stays_and_belongs_to_others_is_in_the_way_until_the_role_is_a_member_of_theirs() {
    let night = night().await;
    let bi = format!("{}-bi", night.warehouse.name());
    night
        .warehouse_sql_as_superuser(&format!(
            "create role \"{bi}\";
             create table public.mine (id serial, tag text); create view public.over_mine as select * from public.mine;
             create function public.tag_of(public.mine) returns text language sql as 'select $1.tag';
             create schema bi; create table bi.far (id int);
             alter table public.mine owner to \"{bi}\"; alter view public.over_mine owner to \"{bi}\";
             alter function public.tag_of owner to \"{bi}\"; alter table bi.far owner to \"{bi}\""
        ))
        .await;
    nightferry::jobs::adopt(&night.config(&[]), &[]).await.unwrap();
    let reason = why_objects_move(&night).await;
    assert_eq!(reason.subject, format!("objects of {bi}"));
    for object in ["table public.mine", "view public.over_mine", "function public.tag_of(public.mine)"] {
        assert!(reason.text.contains(object), "{object} is missing in {reason:?}");
    }
    assert!(!reason.text.contains("bi.far") && !reason.text.contains("seq"), "{reason:?}");
    let statement = format!("GRANT \"{bi}\" TO \"{}\";", night.warehouse.user());
    assert!(reason.hint.contains(&statement), "{reason:?}");
    night.warehouse_sql_as_superuser(&statement).await;
    takes_a_swap_of(&night, &["public"]).await;
}

#[tokio::test]
async fn what_a_superuser_left_is_given_away_kind_by_kind_and_nobody_becomes_a_superuser() {
    let night = night().await;
    night
        .warehouse_sql_as_superuser(
            r#"create table public."Left behind" (id serial primary key);
               create view public.v as select * from public."Left behind";
               create materialized view public.m as select 1 as one;
               create sequence public.s;
               create type public.mood as enum ('ok');
               create domain public.email as text;
               create type public.pair as (a int, b int);
               create function public.twice(i int) returns int language sql as 'select i * 2';
               create procedure public.nothing() language sql as '';
               create aggregate public.total(int) (sfunc = int4pl, stype = int);
               create operator public.%%% (leftarg = int, rightarg = int, function = int4pl);
               create collation public.plain from "C";
               create text search configuration public.words (copy = simple);
               create text search dictionary public.simply (template = simple);
               create text search template public.template (lexize = dsimple_lexize)"#,
        )
        .await;
    nightferry::jobs::adopt(&night.config(&[]), &[]).await.unwrap();
    let reason = why_objects_move(&night).await;
    assert_eq!(reason.subject, "objects of postgres");
    assert!(!reason.hint.contains("GRANT \"postgres\""), "{reason:?}");
    let statements = reason.hint.strip_prefix("as an administrator: ").unwrap();
    let (statements, _) = statements.split_once(" or move ").unwrap();
    night.warehouse_sql_as_superuser(statements).await;
    takes_a_swap_of(&night, &["public"]).await;
}

#[tokio::test]
async fn a_view_of_others_outside_is_left_behind_and_named_until_the_role_is_a_member_of_theirs() {
    let night = night().await;
    night.full(&[]).await;
    let bi = format!("{}-bi", night.warehouse.name());
    night
        .warehouse_sql_as_superuser(&format!(
            "create role \"{bi}\"; create schema bi; create view bi.names as select name from public.users;
             create view bi.alone as select 1 as one;
             alter view bi.names owner to \"{bi}\"; alter view bi.alone owner to \"{bi}\";
             grant create, usage on schema bi to \"{bi}\", \"{}\"; grant select on public.users to \"{bi}\"",
            night.warehouse.user()
        ))
        .await;
    let inspection = look(&night, &[]).await;
    assert_eq!(inspection.publish.unwrap().way, Some("rename"));
    let note = inspection.notes.iter().find(|note| note.subject == "view bi.names").unwrap();
    let outcome = night.full(&[]).await;
    let skipped = outcome.skipped.iter().find(|skipped| skipped.object == "view bi.names").unwrap();
    assert!(skipped.definition.as_ref().unwrap().contains("FROM public.users"), "{skipped:?}");
    let refuse = ("PUBLISH_ON_BROKEN_DEPENDENTS", "refuse");
    night
        .warehouse_sql_as_superuser("create or replace view bi.names as select name from public.users")
        .await;
    let error = night.try_run(Stage::FullReplication, &[refuse]).await.unwrap_err();
    assert!(error.to_string().contains("view bi.names"), "{error}");

    night.warehouse_sql_as_superuser(note.hint.strip_prefix("as an administrator: ").unwrap()).await;
    night
        .warehouse_sql_as_superuser("create or replace view bi.names as select name from public.users")
        .await;
    night.source_sql("insert into users values (4001, 'new')").await;
    night.full(&[refuse]).await;
    let seen = Cluster::of_warehouses().as_superuser(&night.warehouse);
    assert_eq!(seen.one("select count(*) from bi.names").await, "4001");
    assert_eq!(seen.one("select relowner::regrole = quote_ident(current_database() || '-bi')::regrole from pg_class where oid = 'bi.names'::regclass").await, "t");
}

#[tokio::test]
async fn a_schema_of_others_under_a_name_that_the_swap_needs_is_in_the_way_and_a_stored_one_is_not() {
    let night = night().await;
    night.warehouse_sql("create schema public__next create table users (id int)").await;
    let reason = reason(&night).await;
    assert_eq!(reason.subject, "schema public__next");
    assert!(reason.hint.contains("ALTER SCHEMA \"public__next\" RENAME TO"), "{reason:?}");
    night.full(&[]).await;
    assert_eq!(night.warehouse.one("select count(*) from public__next.users").await, "0");
    assert_eq!(reason_subjects(&look(&night, &[]).await), ["schema public__next"]);
    night
        .warehouse_sql(
            "insert into nightferry.stored_schemas
             select 'public__next', max(generation_id), 'public', true from nightferry.generations",
        )
        .await;
    takes_a_swap_of(&night, &["public"]).await;
    // A ledger of the version before has no such table yet.
    night.warehouse_sql("drop table nightferry.stored_schemas; drop schema public__next cascade").await;
    takes_a_swap_of(&night, &["public"]).await;
}

#[tokio::test]
async fn what_lies_in_a_stored_generation_is_nobody_elses_table() {
    let night = night().await;
    night.source_sql("create schema audit create table log (id int)").await;
    night.full(&[IN_PLACE]).await;
    // As after a swap: yesterday's copy, under another name.
    night
        .warehouse_sql(
            "create schema audit__previous create table log (id int);
             insert into nightferry.stored_schemas
             select 'audit__previous', max(generation_id), 'audit', true from nightferry.generations",
        )
        .await;
    night.warehouse_sql_as_superuser("alter table audit__previous.log owner to postgres").await;
    takes_a_swap_of(&night, &["audit", "public"]).await;
}

#[tokio::test]
async fn a_schema_whose_name_leaves_no_room_is_in_the_way() {
    let night = night().await;
    let name = "s".repeat(60);
    night.source_sql(&format!("create schema {name} create table t (id int)")).await;
    let reason = reason(&night).await;
    assert_eq!(
        (reason.subject, reason.hint.as_str()),
        (format!("schema {name}"), "give it a shorter name in the source")
    );
}

#[tokio::test]
async fn a_quota_decides_between_two_copies_one_and_none() {
    let night = night().await;
    let archive = night.archive("directory");
    let number = async |database: &crate::support::TestDatabase, sql: &str| -> u64 {
        database.one(sql).await.parse().unwrap()
    };
    let copy = number(&night.source, "select pg_total_relation_size('users')").await;
    let used = "select pg_database_size(current_database())";
    let empty = number(&night.warehouse, used).await;
    for source in ["live", &archive] {
        let source = ("BACKUP_SOURCE", source);
        // At first contact an archive is only known to take more than its own, packed size.
        let scant = (empty + 1).to_string();
        let inspection = look(&night, &[source, ("WAREHOUSE_QUOTA", &scant)]).await;
        assert_eq!(subjects(&inspection.problems), ["WAREHOUSE_QUOTA"]);
        let at_least = inspection.problems[0].text.contains("needs at least");
        assert_eq!(at_least, source.1 != "live", "{:?}", inspection.problems);
    }
    night.full(&[IN_PLACE]).await;
    let used = number(&night.warehouse, used).await;
    let (ample, tight, scant) =
        ((used + 2 * copy).to_string(), (used + copy / 2).to_string(), (used - copy / 2).to_string());
    for source in ["live", &archive] {
        let with =
            |quota, mode| [("BACKUP_SOURCE", source), ("WAREHOUSE_QUOTA", quota), ("PUBLISH_MODE", mode)];
        assert_eq!(look(&night, &with(&ample, "swap")).await.publish.unwrap().mode, "swap");
        let inspection = look(&night, &with(&tight, "auto")).await;
        assert_eq!(reason_subjects(&inspection), ["WAREHOUSE_QUOTA"]);
        assert!(inspection.publish.unwrap().reasons[0].text.contains("side by side"));
        assert_eq!(look(&night, &with(&tight, "in_place")).await.problems, []);
        for (quota, mode) in [(&tight, "swap"), (&scant, "auto"), (&scant, "swap"), (&scant, "in_place")] {
            let error = night.try_run(Stage::FullReplication, &with(quota, mode)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            assert!(error.to_string().contains("WAREHOUSE_QUOTA: "), "{error}");
            assert!(!error.operator_hint().unwrap().is_empty());
        }
    }
    // What a night drops when it starts counts as free.
    night
        .warehouse_sql(
            "create schema public__previous; create table public__previous.users as select * from users;
             insert into nightferry.stored_schemas
             select 'public__previous', max(generation_id), 'public', true from nightferry.generations",
        )
        .await;
    let roomy = (used + copy + copy / 2).to_string();
    assert_eq!(look(&night, &[("WAREHOUSE_QUOTA", &roomy), SWAP]).await.problems, []);
}

fn subjects(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.subject.as_str()).collect()
}

fn reason_subjects(inspection: &Inspection) -> Vec<&str> {
    subjects(&inspection.publish.as_ref().unwrap().reasons)
}

/// What the server says when it refuses these statements.
async fn refused(mut session: sqlx::PgConnection, sql: &'static str) -> String {
    sqlx::raw_sql(sql).execute(&mut session).await.unwrap_err().to_string()
}
