//! The warehouse's schema in another database: whole or not at all, again and again, beside what others have there.

use nightferry::error::{Error, ErrorKind};
use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;
use nightferry::replication::schema_export;

use crate::support::compare::{Except, Facts, assert_equal};
use crate::support::{Cluster, TestDatabase, TestNight, execute_on, rows_on, until};

const TARGET: &str = "DB_SCHEMA_EXPORTER_DATABASE_TARGET";

const TABLES: &str = "
    create table users (id int primary key, name text not null);
    create table orders (id int primary key, user_id int references users, note text);
    create index orders_note on orders (note);
    create view named as select o.id, u.name from orders o join users u on u.id = o.user_id;
    comment on column users.name is 'how they are called'";

/// A warehouse after a night from these tables, and an empty database for its schema.
async fn exported_night(source: &str) -> (TestNight, TestDatabase) {
    let night = TestNight::new().await;
    night.source_sql(source).await;
    night.full(&[]).await;
    (night, Cluster::of_sources().new_database("catalog").await)
}

async fn try_export(night: &TestNight, target: &TestDatabase) -> Result<StageOutcome, Error> {
    night.try_run(Stage::SchemaExport, &[(TARGET, target.url())]).await
}

async fn export(night: &TestNight, target: &TestDatabase) -> StageOutcome {
    try_export(night, target).await.unwrap_or_else(|error| panic!("{error}: {:?}", error.operator_hint()))
}

/// A refused export, which has changed nothing; its text.
async fn refused(night: &TestNight, target: &TestDatabase) -> String {
    let before = facts(target).await;
    let error = try_export(night, target).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.operator_hint().is_some(), "{error}");
    assert_eq!(before.differences(&facts(target).await), Vec::<String>::new());
    error.to_string()
}

/// A schema without rows: nobody reads the marks, and a materialized view has no rows.
fn schema_only() -> Except {
    Except::nothing().schema("nightferry_export").kind("rows").kind("standing")
}

async fn facts(database: &TestDatabase) -> Facts {
    Facts::of(&mut database.connect().await, &Except::nothing()).await
}

async fn relations(database: &TestDatabase) -> Vec<String> {
    let sql = "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('r', 'v') and n.nspname !~ '^(pg_|information_schema|nightferry)' order by 1";
    database.rows(sql).await
}

#[tokio::test]
async fn every_shape_arrives_and_does_so_again() {
    let night = TestNight::of_shapes().await;
    night.full(&[]).await;
    let target = Cluster::of_sources().new_database("catalog").await;
    for _ in 0..2 {
        let outcome = export(&night, &target).await;
        let steps: Vec<&str> = outcome.steps.iter().map(|step| step.step).collect();
        assert_eq!(steps, schema_export::STEPS);
        assert_eq!(outcome.skipped, []);
        let mut left = night.warehouse.connect().await;
        let left = Facts::of(&mut left, &schema_only()).await;
        let right = Facts::of(&mut target.connect().await, &schema_only()).await;
        let differences = left.differences(&right);
        let unexpected: Vec<&String> =
            differences.iter().filter(|text| !text.ends_with("not populated")).collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    }
}

#[tokio::test]
async fn the_target_follows_the_warehouse() {
    let (night, target) = exported_night(TABLES).await;
    night
        .warehouse_sql("create schema bi; create table bi.targets (id int); comment on schema bi is 'ours'")
        .await;
    export(&night, &target).await;
    assert_equal(&night.warehouse, &target, &schema_only()).await;
    let reader = format!("{}-reader", target.name());
    target
        .execute(&format!(
            "grant select on users, named to \"{}\"; grant select (note) on orders to public",
            role(&target, &reader).await
        ))
        .await;

    night.warehouse_sql("drop schema bi cascade; create table notes (id int, body text)").await;
    night.source_sql("alter table users add email text; drop view named").await;
    night.full(&[]).await;
    export(&night, &target).await;

    assert_equal(&night.warehouse, &target, &schema_only()).await;
    assert_eq!(relations(&target).await, ["public.notes", "public.orders", "public.users"]);
    assert_eq!(target.one("select to_regnamespace('bi') is null").await, "t");
    let may = format!(
        "select has_table_privilege('{reader}', 'users', 'select'), has_table_privilege('{reader}', 'orders', 'select'), has_column_privilege('{reader}', 'orders', 'note', 'select')"
    );
    assert_eq!(target.one(&may).await, "t|f|t", "who may read goes on reading");
}

async fn role(target: &TestDatabase, name: &str) -> String {
    Cluster::of_sources().as_superuser(target).execute(&format!("create role \"{name}\"")).await;
    name.to_owned()
}

#[tokio::test]
async fn no_rows_owners_or_privileges_travel_nor_what_readers_do_not_see() {
    let (night, target) = exported_night(&format!("{TABLES}; insert into users values (1, 'Ada')")).await;
    night.full(&[]).await;
    night.warehouse_sql("grant select on users to public").await;
    assert_eq!(night.warehouse.one("select to_regnamespace('public__previous') is not null").await, "t");
    export(&night, &target).await;
    assert_eq!(target.one("select count(*) from users").await, "0");
    let owners = "select distinct pg_get_userbyid(relowner) from pg_class where relname in ('users', 'orders', 'named')";
    assert_eq!(target.rows(owners).await, [target.user()]);
    assert_eq!(target.one("select relacl is null from pg_class where relname = 'users'").await, "t");
    let schemas = "select nspname from pg_namespace where nspname !~ '^(pg_|information_schema)' order by 1";
    assert_eq!(target.rows(schemas).await, ["nightferry_export", "public"]);
}

#[tokio::test]
async fn what_others_have_in_the_target_is_never_touched() {
    let (night, target) = exported_night(TABLES).await;
    target
        .execute(
            "create schema theirs; create table theirs.users (id int); insert into theirs.users values (7);
             create table more (id serial, note text); insert into more (note) values ('kept');
             create view mine as select * from more; create type feeling as enum ('good')",
        )
        .await;
    let theirs = "select string_agg(oid || ' ' || relname || ' ' || xmin::text, ', ' order by oid) from pg_class where relname in ('users', 'more', 'mine', 'more_id_seq')
                  and (relname <> 'users' or relnamespace = 'theirs'::regnamespace)";
    let before = target.one(theirs).await;
    for _ in 0..2 {
        export(&night, &target).await;
    }
    assert_eq!(target.one(theirs).await, before);
    assert_eq!(target.rows("select id from theirs.users union all select id from more").await, ["7", "1"]);
}

#[tokio::test]
async fn what_stands_in_the_way_is_named_all_of_it_and_nothing_is_changed() {
    let (night, target) = exported_night(TABLES).await;
    target.execute("create table users (somebody text); create view orders as select 1 as id").await;
    let text = refused(&night, &target).await;
    assert!(text.contains("table public.users: ") && text.contains("view public.orders: "), "{text}");

    target.execute("drop table users; drop view orders").await;
    export(&night, &target).await;
    // One of the same name that somebody made since is not ours.
    target.execute("drop view named; create view named as select 'theirs' as whose").await;
    let text = refused(&night, &target).await;
    assert!(text.contains("view public.named: ") && !text.contains("public.users"), "{text}");
    assert_eq!(target.one("select whose from named").await, "theirs");

    target.execute("drop view named; create view leaning as select name from users").await;
    target.execute("create table keyed (user_id int references users)").await;
    let text = refused(&night, &target).await;
    assert!(text.contains("view public.leaning: it leans on table public.users"), "{text}");
    assert!(text.contains("table public.keyed: it leans on table public.users"), "{text}");
    target.execute("drop view leaning; drop table keyed").await;
    export(&night, &target).await;
    assert_equal(&night.warehouse, &target, &schema_only()).await;
}

#[tokio::test]
async fn an_object_that_cannot_be_made_is_named_and_the_last_export_stays() {
    let (night, target) = exported_night(TABLES).await;
    export(&night, &target).await;
    // Nobody sees beforehand that an index has the name of a view which is to come.
    target.execute("create table more (id int); create index late on more (id)").await;
    night.warehouse_sql("alter table users add age int; create view late as select age from users").await;
    let before = facts(&target).await;
    let error = try_export(&night, &target).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("write: cannot make VIEW public.late: ") && text.contains("already exists"),
        "{text}"
    );
    assert!(error.operator_hint().unwrap().contains("still has the last whole export"));
    assert_eq!(before.differences(&facts(&target).await), Vec::<String>::new());
    target.execute("drop table more").await;
    export(&night, &target).await;
    assert_equal(&night.warehouse, &target, &schema_only()).await;
}

#[tokio::test]
async fn a_target_that_dies_in_the_middle_keeps_the_last_export() {
    let (night, _) = exported_night(TABLES).await;
    let cluster = Cluster::start_own();
    let target = cluster.new_database("catalog").await;
    export(&night, &target).await;
    night.warehouse_sql("alter table users add age int").await;
    let before = relations(&target).await;

    // A reader of one of the tables keeps the export in the middle of taking away what was there.
    let mut reader = target.connect().await;
    execute_on(&mut reader, "begin; select count(*) from orders").await;
    let exporting = try_export(&night, &target);
    let killing = async {
        until("the export to wait for the reader", async || {
            let waiting = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'";
            (rows_on(&mut reader, waiting).await == ["1"]).then_some(())
        })
        .await;
        cluster.crash();
    };
    let (result, ()) = tokio::join!(exporting, killing);

    assert_eq!(result.unwrap_err().kind(), ErrorKind::Connection);
    cluster.restart();
    assert_eq!(relations(&target).await, before);
    assert_eq!(
        target
            .one("select count(*) from pg_attribute where attrelid = 'users'::regclass and attname = 'age'")
            .await,
        "0"
    );
    export(&night, &target).await;
    assert_equal(&night.warehouse, &target, &schema_only()).await;
}

#[tokio::test]
async fn a_reader_of_the_target_sees_one_export_or_the_other() {
    let (night, target) = exported_night(TABLES).await;
    export(&night, &target).await;
    let columns = "select string_agg(c.relname || '.' || a.attname, ' ' order by 1) from pg_attribute a join pg_class c on c.oid = a.attrelid
                   where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v')";
    let old = target.one(columns).await;
    night.warehouse_sql("alter table users add age int; create table added (id int)").await;
    let mut reader = target.connect().await;
    let exporting = export(&night, &target);
    tokio::pin!(exporting);
    let mut seen = Vec::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut exporting => break,
            now = rows_on(&mut reader, columns) => seen.extend(now),
        }
    }
    let new = target.one(columns).await;
    assert_ne!(old, new);
    assert!(seen.len() > 3 && seen.contains(&old), "{}", seen.len());
    assert!(seen.iter().all(|one| *one == old || *one == new), "{seen:?}");
}

#[tokio::test]
async fn our_own_databases_are_no_target_however_they_are_spelled() {
    let (night, _) = exported_night(TABLES).await;
    for (database, name) in [(&night.warehouse, "warehouse"), (&night.source, "source")] {
        let spelled = database.url().replace("127.0.0.1", "localhost");
        let before = facts(database).await;
        let error = night.try_run(Stage::SchemaExport, &[(TARGET, &spelled)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains(&format!("target is the {name} itself")), "{error}");
        if name == "source" {
            assert_eq!(before.differences(&facts(database).await), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn half_a_schema_is_not_exported() {
    let (night, target) = exported_night(TABLES).await;
    export(&night, &target).await;
    // As a night in place that was killed leaves the ledger.
    night
        .warehouse_sql(
            "update nightferry.generations set state = 'next', mode = 'in_place' where state = 'live'",
        )
        .await;
    let text = refused(&night, &target).await;
    assert!(text.contains("the last full stage worked in place and did not end well"), "{text}");
    night.full(&[]).await;
    export(&night, &target).await;
}

#[tokio::test]
async fn a_database_without_a_night_is_no_warehouse_and_two_warehouses_need_two_targets() {
    let (night, target) = exported_night(TABLES).await;
    export(&night, &target).await;
    let other = TestNight::new().await;
    let text = refused(&other, &target).await;
    assert!(text.contains("no night was here"), "{text}");
    other.source_sql("create table others (id int)").await;
    other.full(&[]).await;
    let text = refused(&other, &target).await;
    assert!(text.contains("the schema of another warehouse"), "{text}");
}

#[tokio::test]
async fn an_extension_that_the_target_cannot_have_is_named_before_anything_is_changed() {
    let (night, target) = exported_night(TABLES).await;
    export(&night, &target).await;
    night.warehouse_sql_as_superuser("create extension pgstattuple").await;
    let outcome = export(&night, &target).await;
    let skipped: Vec<&str> = outcome.skipped.iter().map(|skipped| skipped.object.as_str()).collect();
    assert_eq!(skipped, ["EXTENSION pgstattuple"], "nothing leans on it");

    night
        .warehouse_sql("create view sizes as select table_len from pgstattuple('public.users'::regclass)")
        .await;
    let text = refused(&night, &target).await;
    assert!(text.contains("extension pgstattuple: ") && text.contains("permission denied"), "{text}");
    let superuser = Cluster::of_sources().as_superuser(&target);
    superuser.execute("create schema elsewhere; create extension pgstattuple schema elsewhere").await;
    let text = refused(&night, &target).await;
    assert!(text.contains("it is in schema elsewhere of the target, and in schema public"), "{text}");
    superuser.execute("alter extension pgstattuple set schema public").await;
    assert_eq!(export(&night, &target).await.skipped, []);
    assert_eq!(target.one("select to_regclass('sizes') is not null").await, "t");
}

#[tokio::test]
async fn what_leans_on_yesterdays_copy_is_left_out_and_named() {
    let (night, target) = exported_night(TABLES).await;
    night.full(&[]).await;
    night
        .warehouse_sql(
            "create view old as select name from public__previous.users; create view older as select * from old;
             comment on view older is 'x'",
        )
        .await;
    let outcome = export(&night, &target).await;
    let skipped: Vec<String> =
        outcome.skipped.iter().map(|skipped| format!("{}: {}", skipped.object, skipped.reason)).collect();
    assert_eq!(
        skipped,
        [
            "VIEW public.old: it leans on TABLE public__previous.users, which is not exported",
            "VIEW public.older: it leans on VIEW public.old, which is not exported"
        ]
    );
    assert_eq!(relations(&target).await, ["public.named", "public.orders", "public.users"]);
}

#[tokio::test]
async fn a_policy_for_somebody_who_is_not_there_is_left_out_and_named() {
    let (night, target) = exported_night(TABLES).await;
    let analyst = format!("{}-analyst", night.warehouse.name());
    night.warehouse_sql_as_superuser(&format!("create role \"{analyst}\"")).await;
    night
        .warehouse_sql(&format!(
            "alter table users enable row level security; create policy all_of_them on users using (id > 0);
             create policy theirs on users to \"{analyst}\" using (id > 1)"
        ))
        .await;
    let outcome = export(&night, &target).await;
    let skipped: Vec<&str> = outcome.skipped.iter().map(|skipped| skipped.object.as_str()).collect();
    assert_eq!(skipped, ["POLICY public.users theirs"]);
    assert!(outcome.skipped[0].reason.contains(&analyst), "{}", outcome.skipped[0].reason);
    assert_eq!(target.rows("select polname from pg_policy").await, ["all_of_them"]);
}

#[tokio::test]
async fn a_warehouse_that_the_role_may_not_read_is_said_so() {
    let (night, target) = exported_night(TABLES).await;
    night.warehouse_sql_as_superuser("create schema hr; create table hr.salaries (id int)").await;
    let error = try_export(&night, &target).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tool, "{error}");
    assert!(error.to_string().contains("permission denied for schema hr"), "{error}");
    assert!(error.operator_hint().unwrap().contains("USAGE on the warehouse's schemas"));
    assert_eq!(relations(&target).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_role_that_may_not_create_there_is_told_what_to_grant() {
    let (night, target) = exported_night(TABLES).await;
    let cluster = Cluster::of_sources();
    let owner = target.user();
    let database = target.name();
    cluster
        .as_superuser(&target)
        .execute(&format!(
            "alter schema public owner to postgres; revoke create on schema public from public;
             alter database \"{database}\" owner to postgres; revoke create on database \"{database}\" from \"{owner}\""
        ))
        .await;
    let text = refused(&night, &target).await;
    assert!(text.contains("the role may not create schemas in it"), "{text}");
    assert!(text.contains("schema public: the role may not create anything in it"), "{text}");
}

#[tokio::test]
async fn the_command_says_what_it_did_and_no_password() {
    let (night, target) = exported_night(TABLES).await;
    let output = night.binary(&["schema", "export"], &[(TARGET, target.url())]).await;
    let (said, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("schema.exported") && said.contains("schema-export: done"), "{said}");
    assert!(said.contains("\"tables\":2") && said.contains("\"views\":1"), "{said}");
    for database in [&target, &night.warehouse] {
        assert!(!format!("{said}{errors}").contains(&database.password()));
    }
    let ledger = "select status from nightferry.stages where stage = 'schema-export'";
    assert_eq!(night.warehouse.rows(ledger).await, ["succeeded"]);

    let output = night.binary(&["schema", "export"], &[]).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("DB_SCHEMA_EXPORTER_DATABASE_TARGET is not set"), "{errors}");
}

#[tokio::test]
async fn the_check_says_when_the_last_export_was_and_what_forbids_one() {
    let (night, target) = exported_night(TABLES).await;
    let check = async |extra: &[(&str, &str)]| schema_export::check(&night.config(extra)).await;
    assert!(check(&[]).await.unwrap().is_none());
    let extra = [(TARGET, target.url())];
    assert_eq!(check(&extra).await.unwrap().unwrap().text, "nothing was exported yet");
    export(&night, &target).await;
    let text = check(&extra).await.unwrap().unwrap().text;
    assert!(text.starts_with("the target has 3 objects of the export of 20"), "{text}");
    let spelled = night.warehouse.url().replace("127.0.0.1", "localhost");
    assert_eq!(check(&[(TARGET, &spelled)]).await.unwrap_err().kind(), ErrorKind::Refused);
}
