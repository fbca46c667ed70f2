//! The incremental stage: what is appended, what is refused, and what a source that dies leaves behind.

use nightferry::error::{Error, ErrorKind};
use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;

use crate::support::{TestNight, until};

const STAGE: Stage = Stage::IncrementalReplication;

async fn append(night: &TestNight, modes: &str) -> StageOutcome {
    night.run(STAGE, &[("BACKUP_MODE", modes)]).await
}

async fn refused(night: &TestNight, modes: &str) -> Error {
    night.try_run(STAGE, &[("BACKUP_MODE", modes)]).await.unwrap_err()
}

/// The same statements on both sides.
async fn on_both(night: &TestNight, sql: &str) {
    night.source_sql(sql).await;
    night.warehouse_sql(sql).await;
}

#[tokio::test]
async fn new_rows_are_appended_by_column_name_whatever_the_order_of_the_columns() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id bigint primary key, name text, email text)").await;
    night.warehouse_sql("create table answers (email text, id bigint primary key, name text)").await;
    night.warehouse_sql("insert into answers values ('old@x', 1, 'kept as it was')").await;
    night
        .source_sql(
            "insert into answers values (1, 'one', '1@x'), (2, 'two', '2@x'), (3, null, E'tab\\t\\\\N')",
        )
        .await;

    let outcome = append(&night, r#"{"answers":"incremental"}"#).await;

    let table = &outcome.tables[0];
    assert_eq!(
        (table.table.to_string().as_str(), table.treatment, table.rows),
        ("public.answers", "incremental", 2)
    );
    assert!(table.bytes > 0);
    assert_eq!(
        night.warehouse.rows("select id, name, email from answers order by id").await,
        ["1|kept as it was|old@x", "2|two|2@x", "3||tab\t\\N"]
    );
    let again = append(&night, r#"{"answers":"incremental"}"#).await;
    assert_eq!(again.tables[0].rows, 0);
}

#[tokio::test]
async fn keys_of_any_ordered_type_are_exact() {
    let night = TestNight::new().await;
    on_both(
        &night,
        r#"create table "big-Ids" (id bigint primary key);
           create table "by ""uuid""" ("été" uuid primary key, v int);
           create schema "odd.schema";
           create table "odd.schema"."Wörter" (word varchar(20) primary key)"#,
    )
    .await;
    night
        .source_sql("insert into \"big-Ids\" select 9007199254740990 + n from generate_series(1, 9) n union all values (999), (10000000000000000)")
        .await;
    night.warehouse_sql("insert into \"big-Ids\" values (9007199254740993)").await;
    night
        .source_sql(
            r#"insert into "by ""uuid""" select ('0190a000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n
               from generate_series(1, 20) n"#,
        )
        .await;
    night
        .warehouse_sql(r#"insert into "by ""uuid""" values ('0190a000-0000-7000-8000-00000000000f', 15)"#)
        .await;
    // Byte by byte Z comes before a, and é after all of them.
    night
        .source_sql(r#"insert into "odd.schema"."Wörter" values ('Z'), ('a'), ('B\''b'), ('éa'), ('zz')"#)
        .await;
    night.warehouse_sql(r#"insert into "odd.schema"."Wörter" values ('a')"#).await;

    let modes = r#"{"big-Ids":"incremental",
                    "by \"uuid\"":{"mode":"incremental","key":"été"},
                    "odd.schema.Wörter":{"mode":"incremental","key":"word"}}"#;
    append(&night, modes).await;

    assert_eq!(
        night.warehouse.rows(r#"select id from "big-Ids" order by 1"#).await,
        [
            "999",
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994",
            "9007199254740995",
            "9007199254740996",
            "9007199254740997",
            "9007199254740998",
            "9007199254740999",
            "10000000000000000"
        ]
    );
    assert_eq!(
        night
            .warehouse
            .one(r#"select array_agg(v order by v) = array(select generate_series(1, 20)) from "by ""uuid""" where true"#)
            .await,
        "t"
    );
    assert_eq!(
        night.warehouse.rows(r#"select word from "odd.schema"."Wörter" order by word collate "C""#).await,
        ["B\\'b", "Z", "a", "zz", "éa"]
    );
    assert!(append(&night, modes).await.tables.iter().all(|table| table.rows == 0));
}

#[tokio::test]
async fn identity_generated_columns_and_triggers_do_not_change_what_is_copied() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table answers (
            id bigint generated always as identity primary key,
            twice bigint generated always as (id * 2) stored, note text);
         create function shout() returns trigger language plpgsql as
            $$ begin new.note = upper(new.note); return new; end $$;
         create trigger shout before insert on answers for each row execute function shout();
         create trigger always before insert on answers for each row execute function shout();
         alter table answers enable always trigger always;
         create trigger off before insert on answers for each row execute function shout();
         alter table answers disable trigger off",
    )
    .await;
    night
        .source_sql("insert into answers (note) values ('a'), ('b'); update answers set note = 'quiet'")
        .await;

    append(&night, r#"{"answers":"incremental"}"#).await;

    assert_eq!(night.warehouse.rows("select * from answers order by id").await, ["1|2|quiet", "2|4|quiet"]);
    assert_eq!(
        night
            .warehouse
            .rows("select tgname, tgenabled from pg_trigger where not tgisinternal order by 1")
            .await,
        ["always|A", "off|D", "shout|O"]
    );
}

#[tokio::test]
async fn partitions_belong_to_their_parent_and_children_by_inheritance_do_not() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table parts (id bigint, primary key (id)) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10);
         create table parts_2 partition of parts for values from (10) to (20);
         create table mother (id bigint primary key);
         create table child (primary key (id)) inherits (mother)",
    )
    .await;
    night
        .source_sql(
            "insert into parts values (1), (11); insert into mother values (1); insert into child values (2)",
        )
        .await;

    append(&night, r#"{"parts":"incremental","mother":"incremental","child":"incremental"}"#).await;

    assert_eq!(
        night.warehouse.rows("select tableoid::regclass, id from parts order by id").await,
        ["parts_1|1", "parts_2|11"]
    );
    assert_eq!(
        night.warehouse.rows("select tableoid::regclass, id from mother order by id").await,
        ["mother|1", "child|2"]
    );
}

#[tokio::test]
async fn columns_of_one_side_only_are_named_and_those_of_the_source_are_added() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table answers (id int primary key, added text); insert into answers values (1, 'x')",
        )
        .await;
    night.warehouse_sql("create table answers (id int primary key, mine text default 'analyst')").await;

    let outcome = append(&night, r#"{"answers":"incremental"}"#).await;

    let named = outcome.skipped.iter().map(|skipped| skipped.object.as_str());
    let named: Vec<&str> = named.filter(|object| object.starts_with("column ")).collect();
    assert_eq!(named, ["column public.answers.mine", "column public.answers.added"]);
    assert_eq!(night.warehouse.rows("select * from answers").await, ["1|analyst|x"]);
}

#[tokio::test]
async fn what_cannot_be_appended_is_told_all_at_once_before_anything_is_written() {
    let night = TestNight::new().await;
    on_both(&night, "create table good (id int primary key); create table keyless (uuid int)").await;
    night
        .source_sql("insert into good values (1); create table absent (id int); create table strict (id int)")
        .await;
    night.warehouse_sql("create table strict (id int, must text not null)").await;
    let modes = r#"{"good":"incremental","goood":"incremental","absent":"incremental","strict":"incremental",
                    "keyless":{"mode":"incremental","key":"uid"}}"#;

    let error = refused(&night, modes).await;

    assert_eq!(error.kind(), ErrorKind::Schema);
    let text = error.to_string();
    for part in [
        "did you mean \"good\"",
        "the warehouse has no table public.absent (run the full stage",
        "public.strict: the source has no column \"must\"",
        "did you mean \"uuid\"",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert_eq!(night.warehouse.one("select count(*) from good").await, "0");
}

#[tokio::test]
async fn the_same_table_twice_is_a_configuration_error() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key)").await;
    let error = refused(&night, r#"{"answers":"incremental","public.answers":"incremental"}"#).await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("public.answers is in BACKUP_MODE twice"), "{error}");
}

#[tokio::test]
async fn an_archive_alone_cannot_be_appended_from() {
    let night = TestNight::new().await;
    let extra = [
        ("SOURCE_DATABASE_URL", ""),
        ("BACKUP_SOURCE", "/backups/x.dump"),
        ("BACKUP_MODE", r#"{"answers":"incremental"}"#),
    ];
    let output = night.binary(&["run", "incremental-replication"], &extra).await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("SOURCE_DATABASE_URL: not set, but BACKUP_MODE has incremental tables"), "{said}");
}

#[tokio::test]
async fn a_table_that_fails_does_not_keep_the_others_from_being_appended() {
    let night = TestNight::new().await;
    on_both(&night, "create table good (id int primary key); create table bad (id int primary key, v text)")
        .await;
    night.warehouse_sql("alter table bad add check (v <> 'no')").await;
    night.source_sql("insert into good values (1); insert into bad values (1, 'yes'), (2, 'no')").await;

    let error = refused(&night, r#"{"bad":"incremental","good":"incremental"}"#).await;

    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("public.bad"), "{error}");
    assert_eq!(night.warehouse.one("select count(*) from good").await, "1");
    assert_eq!(night.warehouse.one("select count(*) from bad").await, "0");
}

#[tokio::test]
async fn a_warehouse_that_is_ahead_and_rows_without_a_key_are_named() {
    let night = TestNight::new().await;
    on_both(&night, "create table ahead (id int primary key); create table loose (id int)").await;
    night.source_sql("insert into ahead values (9); insert into loose values (1), (null)").await;
    night.warehouse_sql("insert into ahead values (10)").await;

    let outcome = append(&night, r#"{"ahead":"incremental","loose":"incremental"}"#).await;

    let mut reasons: Vec<String> =
        outcome.skipped.iter().map(|skipped| format!("{}: {}", skipped.object, skipped.reason)).collect();
    reasons.retain(|reason| !reason.starts_with("bound of "));
    reasons.sort();
    assert!(reasons[0].contains("rows of public.loose: the source has rows whose id is null"), "{reasons:?}");
    assert!(reasons[1].contains("table public.ahead: the warehouse is ahead"), "{reasons:?}");
    assert_eq!(night.warehouse.rows("select id from loose").await, ["1"]);
}

/// The source's session is ended in the middle of its COPY. A check on the warehouse's table waits at row 1000 for a
/// lock that the test holds, so that the stream is surely not read to its end by then.
#[tokio::test]
async fn a_source_that_dies_in_mid_copy_leaves_the_table_as_it_was_and_the_next_run_completes_it() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id int primary key, v text)").await;
    night
        .source_sql("insert into answers select n, repeat(md5(n::text), 8) from generate_series(1, 200000) n")
        .await;
    night
        .warehouse_sql(
            "create function wait_at_1000(id int) returns boolean language plpgsql as $$ begin
                if id = 1000 then perform pg_advisory_lock_shared(4711), pg_advisory_unlock_shared(4711); end if;
                return true; end $$;
             create table answers (id int primary key, v text, check (wait_at_1000(id)));
             insert into answers values (0, 'before')",
        )
        .await;
    let mut holder = night.warehouse.connect().await;
    sqlx::query("select pg_advisory_lock(4711)").execute(&mut holder).await.unwrap();
    let modes = r#"{"answers":"incremental"}"#;

    let extra = [("BACKUP_MODE", modes)];
    let run = night.try_run(STAGE, &extra);
    let end_the_source = async {
        until("the warehouse to wait at row 1000", async || {
            let waiting =
                "select count(*) from pg_locks where locktype = 'advisory' and not granted and objid = 4711";
            (night.warehouse.one(waiting).await == "1").then_some(())
        })
        .await;
        let ended = night
            .source
            .rows("select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy (%' and state = 'active'")
            .await;
        assert_eq!(ended, ["t"]);
        sqlx::query("select pg_advisory_unlock(4711)").execute(&mut holder).await.unwrap();
    };
    let (result, ()) = futures::join!(run, end_the_source);

    let error = result.unwrap_err();
    assert!(error.kind().is_retryable() && error.to_string().contains("public.answers"), "{error}");
    assert_eq!(night.warehouse.rows("select id from answers").await, ["0"]);
    append(&night, modes).await;
    let checksum = "select count(*), sum(hashtext(id || v)::bigint) from answers where id > 0";
    assert_eq!(night.warehouse.one(checksum).await, night.source.one(checksum).await);
}

/// Rows of several ranges have several transactions as their makers.
#[tokio::test]
async fn a_large_delta_is_copied_in_several_ranges_and_committed_together() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id bigserial primary key, v text)").await;
    night.warehouse_sql("create table answers (id bigint primary key, v text)").await;
    night.source_sql("insert into answers (v) select md5(n::text) from generate_series(1, 650000) n").await;
    let modes = r#"{"answers":"incremental"}"#;

    night.warehouse_sql("alter table answers add constraint no_600000 check (id <> 600000)").await;
    let error = refused(&night, modes).await;
    assert!(error.to_string().contains("public.answers"), "{error}");
    assert_eq!(night.warehouse.one("select count(*) from answers").await, "0");

    night.warehouse_sql("alter table answers drop constraint no_600000").await;
    assert_eq!(append(&night, modes).await.tables[0].rows, 650_000);
    // Four pairs of connections, and no other table that needs one.
    assert_eq!(night.warehouse.one("select count(distinct xmin::text) from answers").await, "4");
    let checksum = "select count(*), sum(hashtext(id || v)::bigint) from answers";
    assert_eq!(night.warehouse.one(checksum).await, night.source.one(checksum).await);
    assert_eq!(night.warehouse.one("select settled[1] from nightferry.increments").await, "650000");

    night.source_sql("insert into answers (v) select md5(n::text) from generate_series(1, 250000) n").await;
    assert_eq!(append(&night, modes).await.tables[0].rows, 250_000);
    assert_eq!(night.warehouse.one(checksum).await, night.source.one(checksum).await);
    let makers = "select count(distinct xmin::text) from answers where id > 650000";
    assert_eq!(night.warehouse.one(makers).await, "2");
    assert_eq!(append(&night, modes).await.tables[0].rows, 0);
}

#[tokio::test]
async fn a_table_that_refers_to_itself_comes_in_one_transaction_and_after_those_it_refers_to() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table people (id bigint primary key);
         create table answers (id bigserial primary key, parent bigint references answers, person bigint references people)",
    )
    .await;
    night
        .source_sql(
            "insert into people select generate_series(1, 1000);
             insert into answers (parent, person) select nullif(n - 1, 0), n % 1000 + 1 from generate_series(1, 450000) n",
        )
        .await;
    let outcome = append(&night, r#"{"answers":"incremental","people":"incremental"}"#).await;
    let names: Vec<&str> = outcome.tables.iter().map(|table| table.table.name.as_str()).collect();
    assert_eq!(names, ["people", "answers"]);
    assert_eq!(
        night.warehouse.one("select count(*), count(distinct xmin::text) from answers").await,
        "450000|1"
    );
}
