//! What a publish brings back, asked of the catalogs directly: what was said of the replaced objects, and what of others
//! refers to them.

use nightferry::adapters::postgres::Session;
use nightferry::adapters::postgres::catalog::{self, CarryOver};

use crate::support::standing::{assert_unchanged, standing};
use crate::support::{TestDatabase, TestNight};

/// Every kind of object, in a schema that is called `{schema}`.
const OBJECTS: &str = r#"
    create schema {schema};
    create type {schema}.mood as enum ('sad', 'happy');
    create domain {schema}.positive as int check (value > 0);
    create type {schema}.span as range (subtype = int);
    create type {schema}."Pair" as (x int, y {schema}.mood);
    create table {schema}.users (id serial primary key, name text, mood {schema}.mood);
    create table {schema}."Odd, ""one""" (id int generated always as identity, "a b" text, secret text);
    create table {schema}.parts (id int) partition by range (id);
    create table {schema}.part partition of {schema}.parts for values from (1) to (9);
    create index "By name" on {schema}.users (name);
    create policy own on {schema}.users using (true);
    create trigger same before update on {schema}.users for each row execute function suppress_redundant_updates_trigger();
    create rule nothing as on delete to {schema}."Odd, ""one""" do instead nothing;
    create statistics {schema}.together on id, name from {schema}.users;
    create sequence {schema}.numbers;
    create view {schema}.names as select id, name from {schema}.users;
    create materialized view {schema}.moods as select mood from {schema}.users;
    create function {schema}.of({schema}.users, {schema}.mood[], int default 1) returns int language sql return 1;
    create function {schema}.of({schema}.users[], text) returns int language sql return 2;
    create procedure {schema}.go(int) language sql as 'select 1';
    create aggregate {schema}.total(int) (sfunc = int4pl, stype = int, initcond = '0');
    create aggregate {schema}.number(*) (sfunc = int8inc, stype = int8, initcond = '0');
"#;

/// What people did to the old ones: `{ana}` and `{bob}` are other roles.
const SAID: &str = r#"
    grant usage on schema yesterday to public, {ana};
    grant usage, create on schema yesterday to {bob} with grant option;
    comment on schema yesterday is 'the one that readers know';
    alter default privileges in schema yesterday grant select on tables to {ana} with grant option;
    alter default privileges in schema yesterday grant execute on functions to public;
    alter default privileges for role {bob} in schema yesterday grant usage on types to {ana};
    grant select on all tables in schema yesterday to {ana};
    grant insert, update on yesterday.users to {bob} with grant option;
    grant select ("a b"), update ("a b", id) on yesterday."Odd, ""one""" to {bob};
    revoke select on yesterday."Odd, ""one""" from {ana};
    grant select ("a b") on yesterday."Odd, ""one""" to {ana};
    comment on table yesterday.users is 'people''s';
    comment on column yesterday."Odd, ""one"""."a b" is 'a, b';
    comment on column yesterday."Pair".y is 'why';
    comment on index yesterday."By name" is 'for the search';
    comment on constraint users_pkey on yesterday.users is 'the key';
    comment on policy own on yesterday.users is 'all of them';
    comment on trigger same on yesterday.users is 'spares work';
    comment on rule nothing on yesterday."Odd, ""one""" is 'they stay';
    comment on statistics yesterday.together is 'the two';
    comment on type yesterday.mood is 'how they are';
    comment on view yesterday.names is 'who';
    comment on sequence yesterday.numbers is 'one by one';
    comment on aggregate yesterday.number(*) is 'all of them';
    comment on function yesterday.of(yesterday.users, yesterday.mood[], int) is 'of one';
    grant usage on sequence yesterday.users_id_seq, yesterday.numbers to {ana};
    revoke all on function yesterday.of(yesterday.users, yesterday.mood[], int) from public;
    grant execute on function yesterday.of(yesterday.users, yesterday.mood[], int) to {ana};
    revoke usage on type yesterday.mood, yesterday.positive from public;
    grant usage on type yesterday.mood to {bob};
    revoke truncate, delete on yesterday.moods from {me};
    alter table yesterday.users owner to {bob};
    alter view yesterday.names owner to {bob};
    alter sequence yesterday.numbers owner to {bob};
    alter procedure yesterday.go owner to {bob};
    alter aggregate yesterday.number(*) owner to {bob};
    alter type yesterday.span owner to {bob};
    alter domain yesterday.positive owner to {bob};
    create table yesterday.only_here (id int);
"#;

/// What the new ones have and the old ones had not.
const TOO_MUCH: &str = r#"
    grant create on schema today to {ana};
    alter default privileges in schema today grant delete on tables to {bob};
    grant select, delete on today.users to public;
    grant select on today."Odd, ""one""" to {bob}, {ana};
    grant select ("a b", secret) on today."Odd, ""one""" to {ana};
    grant select on today.parts to {ana} with grant option;
    grant usage on type today.span to {ana};
    comment on table today.parts is 'the archive says so';
    comment on table yesterday.parts is 'the archive said so';
    create view today.only_there as select 1;
"#;

/// A warehouse with the two schemas, and its two other roles.
async fn two_schemas(night: &TestNight) {
    let database = night.warehouse.name();
    let (me, ana, bob) = (
        format!("\"{}\"", night.warehouse.user()),
        format!("\"Ana of {database}\""),
        format!("bob_{database}"),
    );
    night
        .warehouse_sql_as_superuser(&format!("create role {ana}; create role {bob}; grant {bob} to {me}"))
        .await;
    let filled = |sql: &str| sql.replace("{me}", &me).replace("{ana}", &ana).replace("{bob}", &bob);
    for schema in ["yesterday", "today"] {
        night.warehouse_sql(&OBJECTS.replace("{schema}", schema)).await;
    }
    night.warehouse_sql(&filled(SAID)).await;
    night.warehouse_sql(&filled(TOO_MUCH)).await;
}

async fn asking(database: &TestDatabase) -> Session {
    let mut session = database.seen_by_the_product().connect().await.unwrap();
    session.execute("set search_path = ''").await.unwrap();
    session
}

async fn run(session: &mut Session, statement: &str) {
    session.execute(statement).await.unwrap_or_else(|error| panic!("{error}\nin: {statement}"));
}

async fn carry_over(session: &mut Session, from: &str, to: &str) -> Vec<CarryOver> {
    let carried = catalog::carry_over(session, from, to).await.unwrap();
    for carry in &carried {
        run(session, &carry.statement).await;
    }
    carried
}

/// Servers of the tests have no module that checks labels, so they are written past the server, and the statements only read.
#[tokio::test]
async fn security_labels_are_given_again() {
    let night = TestNight::new().await;
    night
        .warehouse_sql(
            "create schema yesterday; create table yesterday.users (id int, name text); create view yesterday.v as select 1 as id;
             create schema today; create table today.users (id int, name text);
             create function yesterday.f() returns int language sql return 1",
        )
        .await;
    night
        .warehouse_sql_as_superuser(
            "set allow_system_table_mods = on;
             insert into pg_seclabel (classoid, objoid, objsubid, provider, label) values
                 ('pg_class'::regclass, 'yesterday.users'::regclass, 0, 'anon', 'it''s'), ('pg_class'::regclass, 'yesterday.users'::regclass, 2, 'anon', 'MASKED'),
                 ('pg_class'::regclass, 'today.users'::regclass, 0, 'other', 'x'), ('pg_namespace'::regclass, 'yesterday'::regnamespace, 0, 'my anon', 's'),
                 ('pg_class'::regclass, 'yesterday.v'::regclass, 1, 'anon', 'c'), ('pg_proc'::regclass, 'yesterday.f'::regproc, 0, 'anon', 'f')",
        )
        .await;
    let mut session = asking(&night.warehouse).await;
    let carried = catalog::carry_over(&mut session, "yesterday", "today").await.unwrap();
    let statements: Vec<&str> = carried.iter().map(|carry| carry.statement.as_str()).collect();
    assert_eq!(
        statements,
        [
            "SECURITY LABEL FOR anon ON COLUMN today.users.name IS 'MASKED'",
            "SECURITY LABEL FOR \"my anon\" ON SCHEMA today IS 's'",
            "SECURITY LABEL FOR anon ON TABLE today.users IS 'it''s'",
        ]
    );
    let of = "select array['pg_class'::regclass::oid::bigint, 'pg_proc'::regclass::oid::bigint]::text, array['yesterday.v'::regclass::oid::bigint, 'yesterday.f'::regproc::oid::bigint]::text";
    let numbers: Vec<i64> = night
        .warehouse
        .one(of)
        .await
        .split(['{', '}', ',', '|'])
        .filter_map(|text| text.parse().ok())
        .collect();
    let made = catalog::recreations(&mut session, &numbers[..2], &numbers[2..]).await.unwrap();
    let mut statements: Vec<&String> = made.iter().flat_map(|again| &again.statements).collect();
    statements.sort();
    assert_eq!(
        statements,
        [
            "SECURITY LABEL FOR anon ON COLUMN yesterday.v.id IS 'c'",
            "SECURITY LABEL FOR anon ON ROUTINE yesterday.f() IS 'f'"
        ]
    );
}

/// The lines about the old schema as they have to be about the new one, without what is in one of the two only.
async fn compared(database: &TestDatabase) -> (Vec<String>, Vec<String>) {
    let in_both = |line: &String| {
        !line.contains("only_here") && !line.contains("only_there") && !line.contains("the archive sa")
    };
    let old = standing(database, &["yesterday"]).await;
    let mut old: Vec<String> =
        old.iter().filter(|line| in_both(line)).map(|line| line.replace("yesterday", "today")).collect();
    old.sort();
    let new = standing(database, &["today"]).await;
    (old, new.into_iter().filter(|line| in_both(line)).collect())
}

#[tokio::test]
async fn a_new_schema_takes_over_what_was_said_of_the_old_one() {
    for as_superuser in [false, true] {
        let night = TestNight::new().await;
        two_schemas(&night).await;
        let (old, new) = compared(&night.warehouse).await;
        assert_ne!(old, new);
        let database = if as_superuser { night.warehouse_seen_by_superuser() } else { &night.warehouse };
        let mut session = asking(database).await;
        let carried = carry_over(&mut session, "yesterday", "today").await;
        let (old, new) = compared(&night.warehouse).await;
        assert_unchanged(&old, &new);
        assert!(carried.iter().any(|carry| carry.object == "table today.users"), "{carried:#?}");
        assert!(!carried.iter().any(|carry| carry.statement.contains("only_")), "{carried:#?}");
        // The archive's own comment is not overwritten.
        let comment = "select obj_description('today.parts'::regclass)";
        assert_eq!(night.warehouse.one(comment).await, "the archive says so");
        assert_eq!(catalog::carry_over(&mut session, "yesterday", "today").await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_owner_that_cannot_be_given_its_table_again_keeps_its_rights() {
    let night = TestNight::new().await;
    let ana = format!("ana_{}", night.warehouse.name());
    night
        .warehouse_sql(
            "create schema yesterday; create table yesterday.users (id int, name text); create table yesterday.bare (id int);
             create schema today; create table today.users (id int, name text); create table today.bare (id int)",
        )
        .await;
    night
        .warehouse_sql_as_superuser(&format!(
            "create role {ana}; alter table yesterday.users owner to {ana}; alter table yesterday.bare owner to {ana};
             grant select on yesterday.users to pg_monitor; revoke delete on yesterday.users from {ana}"
        ))
        .await;
    let mut session = asking(&night.warehouse).await;
    let mut refused = Vec::new();
    for carry in catalog::carry_over(&mut session, "yesterday", "today").await.unwrap() {
        if session.execute(&carry.statement).await.is_err() {
            refused.push(carry.statement);
        }
    }
    let owner = |table: &str| format!("ALTER TABLE today.{table} OWNER TO {ana}");
    assert_eq!(refused, [owner("bare"), owner("users")]);
    let may = format!(
        "select has_table_privilege('{ana}', 'today.users', 'update'), has_table_privilege('{ana}', 'today.users', 'delete'),
                has_table_privilege('{ana}', 'today.bare', 'select'), has_table_privilege('pg_monitor', 'today.users', 'select'),
                has_table_privilege('today.users', 'delete')"
    );
    assert_eq!(night.warehouse.one(&may).await, "t|f|t|t|t");
}

#[tokio::test]
async fn the_schema_public_of_postgresql_15_hands_its_owner_and_rights_on() {
    let night = TestNight::new().await;
    night
        .warehouse_sql_as_superuser(
            "alter schema public owner to pg_database_owner; comment on schema public is 'standard public schema'",
        )
        .await;
    night.warehouse_sql("create schema public__next; create table public.t (id int); create table public__next.t (id int)").await;
    let mut session = asking(&night.warehouse).await;
    carry_over(&mut session, "public", "public__next").await;
    let says = "select nspowner::regrole, nspacl, obj_description(oid) from pg_namespace where nspname = ";
    let public = night.warehouse.one(&format!("{says}'public'")).await;
    assert!(public.starts_with("pg_database_owner|{") && public.contains(",=U/"), "{public}");
    assert_eq!(night.warehouse.one(&format!("{says}'public__next'")).await, public);
    // The role can still rename both, and build the night after.
    night.warehouse_sql("alter schema public rename to public__previous; alter schema public__next rename to public; create table public.u (id int)").await;
}

#[tokio::test]
async fn foreign_keys_onto_replaced_tables_are_taken_off_and_put_back() {
    let night = TestNight::new().await;
    night
        .warehouse_sql(
            "create schema kept;
             create table public.users (id int primary key, code text, unique (id, code));
             create table public.orders (id int primary key, user_id int constraint inner_key references public.users);
             create table kept.answers (id int, user_id int, code text);
             alter table kept.answers add constraint \"Both, checked\" foreign key (user_id, code) references public.users (id, code)
                 match full on update cascade on delete set null deferrable initially deferred;
             alter table kept.answers add constraint unchecked foreign key (user_id) references public.users not valid;
             comment on constraint \"Both, checked\" on kept.answers is 'it''s both';
             create table kept.parts (user_id int references public.users) partition by range (user_id);
             create table kept.part partition of kept.parts for values from (1) to (9);
             create table kept.own (id int primary key, parent int references kept.own)",
        )
        .await;
    let before = standing(&night.warehouse, &["kept", "public"]).await;
    let oids = oids(&night, &["public.users", "public.orders"]).await;
    let mut session = asking(&night.warehouse).await;
    let keys = catalog::foreign_keys_onto(&mut session, &oids).await.unwrap();
    let labels: Vec<&str> = keys.iter().map(|key| key.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "foreign key \"Both, checked\" of kept.answers",
            "foreign key unchecked of kept.answers",
            "foreign key parts_user_id_fkey of kept.parts"
        ]
    );
    assert!(keys[0].add.ends_with(" NOT VALID") && keys[0].validate.is_some());
    assert!(keys[1].add.ends_with(" NOT VALID") && keys[1].validate.is_none());
    for key in &keys {
        run(&mut session, &key.drop).await;
    }
    let left =
        "select count(*) from pg_constraint where contype = 'f' and connamespace = 'kept'::regnamespace";
    assert_eq!(night.warehouse.one(left).await, "1");
    for statement in
        keys.iter().flat_map(|key| [Some(&key.add), key.validate.as_ref(), key.comment.as_ref()]).flatten()
    {
        run(&mut session, statement).await;
    }
    assert_unchanged(&before, &standing(&night.warehouse, &["kept", "public"]).await);
}

#[tokio::test]
async fn row_policies_that_ask_replaced_tables_are_taken_off_and_put_back() {
    let night = TestNight::new().await;
    night
        .warehouse_sql(
            "create schema kept;
             create table public.users (id int primary key, name text);
             create table kept.answers (id int, user_id int);
             alter table kept.answers enable row level security;
             create policy \"own rows\" on kept.answers for select to pg_monitor, pg_read_all_data
                 using (user_id in (select u.id from public.users u where u.name = current_user));
             create policy fewer on kept.answers as restrictive for update using (id > 0) with check (exists (select from public.users where id = user_id));
             create policy added on kept.answers for insert with check ((select max(id) from public.users) > 1);
             create policy alone on kept.answers for delete using (id = 1);
             create policy by_row on public.users using (exists (select from kept.answers where user_id = users.id));
             comment on policy \"own rows\" on kept.answers is 'each their''s'",
        )
        .await;
    let before = standing(&night.warehouse, &["kept", "public"]).await;
    let oids = oids(&night, &["public.users"]).await;
    let mut session = asking(&night.warehouse).await;
    let policies = catalog::policies_onto(&mut session, &oids).await.unwrap();
    let found: Vec<(&str, bool)> =
        policies.iter().map(|policy| (policy.label.as_str(), policy.is_restrictive)).collect();
    assert_eq!(
        found,
        [
            ("policy added of kept.answers", false),
            ("policy fewer of kept.answers", true),
            ("policy \"own rows\" of kept.answers", false)
        ]
    );
    let dependencies = catalog::dependencies(&mut session).await.unwrap();
    let leaning: Vec<bool> = dependencies
        .iter()
        .filter(|leaning| leaning.from.oid == policies[0].relation && leaning.to.oid == oids[0])
        .map(|leaning| leaning.is_policy && !leaning.is_foreign_key)
        .collect();
    assert_eq!(leaning, [true]);
    for policy in &policies {
        run(&mut session, &policy.drop).await;
    }
    assert_eq!(
        night
            .warehouse
            .one("select string_agg(polname, ' ') from pg_policy where polrelid = 'kept.answers'::regclass")
            .await,
        "alone"
    );
    for policy in &policies {
        run(&mut session, &policy.create).await;
        if let Some(comment) = &policy.comment {
            run(&mut session, comment).await;
        }
    }
    assert_unchanged(&before, &standing(&night.warehouse, &["kept", "public"]).await);
}

#[tokio::test]
async fn publications_hold_the_new_tables_of_the_same_names() {
    let night = TestNight::new().await;
    let tables = |schema: &str| {
        format!(
            "create schema {schema}; create table {schema}.users (id int primary key, name text, \"a b\" int); create table {schema}.orders (id int primary key)"
        )
    };
    night.warehouse_sql(&tables("live")).await;
    night.warehouse_sql(&tables("next")).await;
    night
        .warehouse_sql(
            "create schema kept; create table kept.answers (id int primary key);
             create publication several for table live.users (id, \"a b\") where (id > 5 and \"a b\" is null), kept.answers, live.orders with (publish = 'insert');
             create publication others for table kept.answers",
        )
        .await;
    night
        .warehouse_sql_as_superuser(
            "create publication \"Whole schemas\" for tables in schema live, kept;
             create publication mixed for table kept.answers, tables in schema live;
             create publication everything for all tables;
             create publication of_superuser for table live.orders",
        )
        .await;
    let before = standing(&night.warehouse, &["live", "kept"]).await;
    let oids = oids(&night, &["live.users", "live.orders"]).await;
    let mut session = asking(&night.warehouse).await;
    let publications = catalog::publications_onto(&mut session, &oids, &["live".to_owned()]).await.unwrap();
    let found: Vec<(&str, bool)> =
        publications.iter().map(|publication| (publication.label.as_str(), publication.may_alter)).collect();
    assert_eq!(
        found,
        [
            ("publication \"Whole schemas\"", false),
            ("publication mixed", false),
            ("publication of_superuser", false),
            ("publication several", true)
        ]
    );
    run(&mut session, "alter schema live rename to previous; alter schema next rename to live").await;
    assert_ne!(before, standing(&night.warehouse, &["live", "kept"]).await);
    let mut superuser = asking(night.warehouse_seen_by_superuser()).await;
    for publication in &publications {
        let session = if publication.may_alter { &mut session } else { &mut superuser };
        run(session, &publication.statement).await;
    }
    assert_unchanged(&before, &standing(&night.warehouse, &["live", "kept"]).await);
    let previous = standing(&night.warehouse, &["previous"]).await;
    assert!(!previous.iter().any(|line| line.starts_with("publication")), "{previous:#?}");
}

async fn oids(night: &TestNight, relations: &[&str]) -> Vec<i64> {
    let mut oids = Vec::new();
    for relation in relations {
        oids.push(night.warehouse.one(&format!("select '{relation}'::regclass::oid")).await.parse().unwrap());
    }
    oids
}
