//! Schema drift: columns that changed in the source, in tables that the incremental stage brings up to date.

use nightferry::error::{Error, ErrorKind};
use nightferry::ids::Stage;
use nightferry::outcome::{Skipped, StageOutcome};
use serde_json::Value;

use crate::support::TestNight;

const STAGE: Stage = Stage::IncrementalReplication;
const ANSWERS: (&str, &str) = ("BACKUP_MODE", r#"{"answers":"incremental"}"#);

async fn append(night: &TestNight) -> StageOutcome {
    night.run(STAGE, &[ANSWERS]).await
}

async fn refused(night: &TestNight, extra: &[(&str, &str)]) -> Error {
    night.try_run(STAGE, extra).await.unwrap_err()
}

/// The same statements on both sides.
async fn on_both(night: &TestNight, sql: &str) {
    night.source_sql(sql).await;
    night.warehouse_sql(sql).await;
}

/// What was said of columns, sorted.
fn said(skipped: &[Skipped]) -> Vec<String> {
    let of_columns = skipped.iter().filter(|skipped| skipped.object.starts_with("column"));
    let mut said: Vec<String> =
        of_columns.map(|skipped| format!("{}: {}", skipped.object, skipped.reason)).collect();
    said.sort();
    said
}

/// The columns of a table of the warehouse with their types.
async fn types(night: &TestNight) -> Vec<String> {
    let sql = "select attname, format_type(atttypid, atttypmod) from pg_attribute
               where attrelid = 'answers'::regclass and attnum > 0 and not attisdropped order by attnum";
    night.warehouse.rows(sql).await
}

#[tokio::test]
async fn a_column_that_was_added_is_added_with_what_the_older_rows_have() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key); insert into answers values (1)").await;
    on_both(&night, "create type mood as enum ('sad', 'happy')").await;
    night
        .source_sql(
            r#"alter table answers add twice bigint generated always as (id * 2) stored,
                   add made timestamptz not null default clock_timestamp();
               alter table answers add "Note" text default E'it''s \\ old', add levels int[] not null default '{1,2}',
                   add mood mood;
               insert into answers values (2, default, '2026-01-01', 'new', '{3}', 'happy')"#,
        )
        .await;

    let outcome = append(&night).await;

    assert_eq!(
        said(&outcome.skipped),
        [
            r"column public.answers.Note: added as text, E'it''s \\ old' in the rows that are here, as in the source",
            "column public.answers.levels: added as integer[], '{1,2}' in the rows that are here, as in the source",
            "column public.answers.made: added as timestamp with time zone, null in the rows that are here, unlike the source's",
            "column public.answers.mood: added as public.mood",
            "column public.answers.twice: added as bigint",
        ]
    );
    assert_eq!(
        night.warehouse.rows("select * from answers order by id").await,
        [r"1|||it's \ old|{1,2}|", "2|4|2026-01-01 00:00:00+00|new|{3}|happy"]
    );
    night.warehouse_sql("insert into answers (id) values (9)").await;
    assert_eq!(night.warehouse.rows("select * from answers where id = 9").await, ["9|||||"]);
}

#[tokio::test]
async fn a_type_that_only_the_full_stage_can_make_is_asked_for_before_anything_is_written() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key)").await;
    night.source_sql("create type mood as enum ('sad'); alter table answers add a text, add mood mood").await;

    let error = refused(&night, &[ANSWERS]).await;

    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("public.answers.mood is public.mood in the source"), "{error}");
    assert_eq!(error.operator_hint(), Some("run the full stage, which makes it"));
    assert_eq!(types(&night).await, ["id|integer"]);
}

#[tokio::test]
async fn the_type_of_an_extension_is_found_in_another_schema_and_a_closed_schema_is_no_obstacle() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key)").await;
    night.source_sql_as_superuser("create extension hstore").await;
    night
        .warehouse_sql_as_superuser(
            "create schema extensions; create extension hstore schema extensions;
             grant usage on schema extensions to public; create schema closed",
        )
        .await;
    night.source_sql("create schema closed; create type closed.mood as enum ('sad')").await;
    night.warehouse_sql("alter table answers add m text").await;
    night.source_sql("alter table answers add m closed.mood").await;
    night.source_sql("alter table answers add h hstore; insert into answers values (1, 'sad', 'a=>1')").await;

    append(&night).await;

    assert_eq!(types(&night).await, ["id|integer", "m|text", "h|extensions.hstore"]);
    assert_eq!(night.warehouse.rows("select id, h::text from answers").await, [r#"1|"a"=>"1""#]);
    night.source_sql("insert into answers values (2, 'sad', 'b=>2')").await;
    let again = append(&night).await;
    assert_eq!(again.tables[0].rows, 1);
}

#[tokio::test]
async fn a_column_that_became_wider_is_widened_with_the_rows_and_indexes_that_it_has() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create type mood as enum ('sad');
         create table answers (id smallint primary key, n int, b int, x real, d numeric(4,2), v varchar(3), c char(3),
             t timestamp(0), m mood default 'sad', l int[]);
         create index on answers (n);
         insert into answers values (1, 1, 1, 0.5, 1.25, 'abc', 'a', '2026-01-01', 'sad', '{1}')",
    )
    .await;
    night
        .source_sql(
            "alter table answers alter id type bigint, alter n type numeric(30,1), alter b type text,
                 alter x type double precision, alter d type numeric(8,3), alter v type varchar(10), alter c type text,
                 alter t type timestamp, alter m type text, alter l type bigint[];
             insert into answers values (9007199254740993, 12345678901234567890.5, 'b', 0.1, 12345.678, 'abcdefghij',
                 'abcd', '2026-01-01 00:00:00.123456', 'm', '{9007199254740993}')",
        )
        .await;

    let outcome = append(&night).await;

    assert_eq!(said(&outcome.skipped).len(), 10);
    assert!(
        said(&outcome.skipped)
            .contains(&"column public.answers.d: widened from numeric(4,2) to numeric(8,3)".to_owned())
    );
    let rows = "select * from answers order by id";
    assert_eq!(night.warehouse.rows(rows).await, night.source.rows(rows).await);
    assert_eq!(
        types(&night).await,
        [
            "id|bigint",
            "n|numeric(30,1)",
            "b|text",
            "x|double precision",
            "d|numeric(8,3)",
            "v|character varying(10)",
            "c|text",
            "t|timestamp without time zone",
            "m|text",
            "l|bigint[]"
        ]
    );
    assert!(said(&append(&night).await.skipped).is_empty());
}

#[tokio::test]
async fn a_column_that_something_of_the_warehouse_holds_is_not_widened_and_the_night_goes_on() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key, n int, p int, k int)").await;
    night
        .warehouse_sql(
            "create schema bi; create view bi.totals as select sum(n) from answers;
             alter table answers add doubled int generated always as (p * 2) stored;
             create policy own on answers using (k > 0)",
        )
        .await;
    night
        .source_sql(
            "alter table answers alter n type bigint, alter p type bigint, alter k type bigint;
             insert into answers values (1, 2, 3, 4)",
        )
        .await;

    let outcome = append(&night).await;

    let left = "bigint in the source, integer here: copied as text, which fails where a value does not fit; not widened";
    assert_eq!(
        said(&outcome.skipped),
        [
            format!(
                "column public.answers.k: {left}, since policy own on table public.answers cannot go with it"
            ),
            format!("column public.answers.n: {left}, since view bi.totals cannot go with it"),
            format!(
                "column public.answers.p: {left}, since column doubled of table public.answers cannot go with it"
            ),
        ]
    );
    assert_eq!(night.warehouse.rows("select * from answers").await, ["1|2|3|4|6"]);
}

/// A wider number is compared with the constants of an index and a constraint as before, a text is not.
#[tokio::test]
async fn what_compares_a_column_with_constants_holds_it_only_where_its_values_are_cast() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create type state as enum ('a', 'b'); create table answers (id int primary key, s state, t state, n int)",
    )
    .await;
    night
        .warehouse_sql(
            "create index good on answers (id) where s = 'a';
             alter table answers add constraint known check (t in ('a', 'b')), add constraint positive check (n > 0)",
        )
        .await;
    night
        .source_sql(
            "alter table answers alter s type text, alter t type text, alter n type bigint;
             insert into answers values (1, 'a', 'b', 9007199254740993)",
        )
        .await;

    let outcome = append(&night).await;

    let left = "text in the source, public.state here: copied as text, which fails where a value does not fit; not widened";
    assert_eq!(
        said(&outcome.skipped),
        [
            "column public.answers.n: widened from integer to bigint".to_owned(),
            format!("column public.answers.s: {left}, since index public.good cannot go with it"),
            format!(
                "column public.answers.t: {left}, since constraint known on table public.answers cannot go with it"
            ),
        ]
    );
    assert_eq!(night.warehouse.rows("select * from answers").await, ["1|a|b|9007199254740993"]);
}

#[tokio::test]
async fn a_column_that_was_renamed_keeps_its_rows_and_its_old_name_may_be_another_columns() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key, a text, b int)").await;
    on_both(&night, "insert into answers values (1, 'one', 1); create view v as select a from answers").await;
    append(&night).await;
    night
        .source_sql(
            "drop view v; alter table answers rename id to number; alter table answers rename b to c;
             alter table answers rename a to b; alter table answers add a text; alter table answers alter c type bigint;
             insert into answers values (2, 'two', 9007199254740993, 'new')",
        )
        .await;

    let outcome =
        night.run(STAGE, &[("BACKUP_MODE", r#"{"answers":{"mode":"incremental","key":"number"}}"#)]).await;

    assert_eq!(
        said(&outcome.skipped),
        [
            "column public.answers.a: added as text",
            "column public.answers.b: renamed from a",
            "column public.answers.c: renamed from b",
            "column public.answers.c: widened from integer to bigint",
            "column public.answers.number: renamed from id",
        ]
    );
    assert_eq!(
        night.warehouse.rows("select number, b, c, a from answers order by 1").await,
        ["1|one|1|", "2|two|9007199254740993|new"]
    );
}

#[tokio::test]
async fn columns_that_changed_names_are_copied_by_name_and_said_to_be_mixed() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key, a text, b text)").await;
    on_both(&night, "insert into answers values (1, 'a1', 'b1')").await;
    append(&night).await;
    night
        .source_sql(
            "alter table answers rename a to c; alter table answers rename b to a; alter table answers rename c to b;
             insert into answers (id, a, b) values (2, 'a2', 'b2')",
        )
        .await;

    let outcome = append(&night).await;

    let mixed = "and the warehouse has both: older rows may hold something else in it";
    assert_eq!(
        said(&outcome.skipped)[..2],
        [
            format!("column public.answers.a: was b at the last run, {mixed}"),
            format!("column public.answers.b: was a at the last run, {mixed}"),
        ]
    );
    assert_eq!(night.warehouse.rows("select id, a, b from answers order by 1").await, ["1|a1|b1", "2|a2|b2"]);
}

#[tokio::test]
async fn a_column_of_another_table_of_the_same_name_was_not_renamed() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key, old text)").await;
    append(&night).await;
    night
        .source_sql("drop table answers; create table answers (id int primary key, new text); insert into answers values (1, 'x')")
        .await;

    append(&night).await;

    assert_eq!(types(&night).await, ["id|integer", "old|text", "new|text"]);
    assert_eq!(night.warehouse.rows("select * from answers").await, ["1||x"]);
}

#[tokio::test]
async fn a_column_that_was_dropped_stays_and_may_be_null_in_new_rows() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key, must text not null)").await;
    on_both(&night, "insert into answers values (1, 'kept')").await;
    append(&night).await;
    night.source_sql("alter table answers drop must; insert into answers values (2)").await;

    let outcome = append(&night).await;

    assert_eq!(
        said(&outcome.skipped),
        ["column public.answers.must: dropped in the source: it stays here, and is null in new rows"]
    );
    assert_eq!(night.warehouse.rows("select * from answers order by id").await, ["1|kept", "2|"]);
}

#[tokio::test]
async fn a_dropped_column_of_the_primary_key_stops_the_table() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int, part int, primary key (id, part))").await;
    append(&night).await;
    night.source_sql("alter table answers drop part; insert into answers values (1)").await;

    let error = refused(&night, &[ANSWERS]).await;

    assert!(error.to_string().contains("the source has no column \"part\""), "{error}");
    assert_eq!(night.warehouse.one("select count(*) from answers").await, "0");
}

#[tokio::test]
async fn another_order_of_the_columns_is_said_once() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id int primary key, a text, b text)").await;
    night.warehouse_sql("create table answers (b text, id int primary key, a text)").await;

    let outcome = append(&night).await;

    assert_eq!(
        said(&outcome.skipped),
        ["columns of public.answers: in another order than in the source: copied by name"]
    );
    assert!(said(&append(&night).await.skipped).is_empty());
}

#[tokio::test]
async fn new_values_of_an_enum_get_their_place() {
    let night = TestNight::new().await;
    on_both(
        &night,
        r#"create type "Mood" as enum ('b', 'd');
           create table answers (id int primary key, m "Mood", several "Mood"[])"#,
    )
    .await;
    night
        .source_sql(
            r#"alter type "Mood" add value 'a''s' before 'b'; alter type "Mood" add value 'c' after 'b';
               alter type "Mood" add value 'e'"#,
        )
        .await;
    night
        .source_sql(r#"insert into answers values (1, 'a''s', '{c,e}'), (2, 'c', '{}'), (3, 'e', '{b}')"#)
        .await;

    let outcome = append(&night).await;

    let got = r#"its type public."Mood" got 'a''s', 'c', 'e'"#;
    assert_eq!(
        said(&outcome.skipped),
        [format!("column public.answers.m: {got}"), format!("column public.answers.several: {got}")]
    );
    assert_eq!(
        night.warehouse.rows("select enumlabel from pg_enum order by enumsortorder").await,
        ["a's", "b", "c", "d", "e"]
    );
    assert_eq!(
        night.warehouse.rows("select * from answers order by id").await,
        ["1|a's|{c,e}", "2|c|{}", "3|e|{b}"]
    );
}

#[tokio::test]
async fn what_is_narrower_in_the_source_fits() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id int primary key, v varchar(3), u uuid, d numeric(4,2))").await;
    night.warehouse_sql("create table answers (id bigint primary key, v text, u text, d numeric)").await;
    let id = "00000000-0000-0000-0000-000000000001";
    night.source_sql(&format!("insert into answers values (1, 'abc', '{id}', 1.5)")).await;

    let outcome = append(&night).await;

    assert_eq!(said(&outcome.skipped).len(), 4);
    assert_eq!(
        said(&outcome.skipped)[1],
        "column public.answers.id: integer in the source: it fits into bigint"
    );
    assert_eq!(night.warehouse.rows("select * from answers").await, [format!("1|abc|{id}|1.50")]);
    assert_eq!(types(&night).await, ["id|bigint", "v|text", "u|text", "d|numeric"]);
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_both_definitions_before_anything_is_written() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table answers (id int primary key); create table bad (id int primary key, x int, y text)",
    )
    .await;
    night
        .source_sql(
            "insert into answers values (1); alter table answers add a text;
             alter table bad alter x type uuid using null, alter y type int using null, add z text",
        )
        .await;
    let modes = [("BACKUP_MODE", r#"{"answers":"incremental","bad":"incremental"}"#)];

    let error = refused(&night, &modes).await;

    assert_eq!(error.kind(), ErrorKind::Schema);
    let text = error.to_string();
    assert!(text.contains("public.bad.x is integer in the warehouse and uuid in the source"), "{text}");
    assert!(text.contains("public.bad.y is text in the warehouse and integer in the source"), "{text}");
    assert_eq!(night.warehouse.one("select count(*) from answers").await, "0");
    assert_eq!(types(&night).await, ["id|integer"]);
}

/// A number as text has another order: nothing would say which rows are new.
#[tokio::test]
async fn a_key_does_not_change_its_order() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key)").await;
    night.source_sql("alter table answers alter id type text").await;

    let error = refused(&night, &[ANSWERS]).await;

    assert!(
        error.to_string().contains("public.answers.id is integer in the warehouse and text in the source")
    );
}

const CHANGED: &str = "alter table answers add added text; alter table answers alter wider type bigint;
    alter table answers drop gone; insert into answers values (2, 2, 'new')";
const BEFORE: &str = "create table answers (id int primary key, wider int, gone text default 'gone'); insert into answers values (1, 1)";

#[tokio::test]
async fn ignored_drift_is_named_and_alters_nothing() {
    let night = TestNight::new().await;
    on_both(&night, BEFORE).await;
    night.source_sql(CHANGED).await;
    let modes = r#"{"answers":{"mode":"incremental","drift":"ignore"}}"#;

    let outcome = night.run(STAGE, &[("BACKUP_MODE", modes), ("SCHEMA_DRIFT", "fail")]).await;

    assert_eq!(
        said(&outcome.skipped),
        [
            "column public.answers.added: only the source has it: not copied",
            "column public.answers.gone: only the warehouse has it: new rows get its default, or null",
            "column public.answers.wider: bigint in the source, integer here: copied as text, which fails where a value does not fit",
        ]
    );
    assert_eq!(types(&night).await, ["id|integer", "wider|integer", "gone|text"]);
    assert_eq!(night.warehouse.rows("select * from answers order by id").await, ["1|1|gone", "2|2|gone"]);
}

#[tokio::test]
async fn drift_that_is_to_fail_names_each_before_anything_is_written() {
    let night = TestNight::new().await;
    on_both(&night, BEFORE).await;
    night.source_sql(CHANGED).await;

    let error = refused(&night, &[ANSWERS, ("SCHEMA_DRIFT", "fail")]).await;

    assert_eq!(error.kind(), ErrorKind::Schema);
    assert_eq!(
        error.to_string(),
        "plan: public.answers differs from the source: column wider is bigint in the source and integer here; \
         column gone is only in the warehouse; column added is only in the source"
    );
    assert_eq!(night.warehouse.rows("select * from answers").await, ["1|1|gone"]);
}

#[tokio::test]
async fn another_order_is_no_drift_that_fails() {
    let night = TestNight::new().await;
    night
        .source_sql("create table answers (id int primary key, a text); insert into answers values (1, 'x')")
        .await;
    night.warehouse_sql("create table answers (a text, id int primary key)").await;
    night.run(STAGE, &[ANSWERS, ("SCHEMA_DRIFT", "fail")]).await;
    assert_eq!(night.warehouse.rows("select * from answers").await, ["x|1"]);
}

#[tokio::test]
async fn a_table_of_another_owner_cannot_follow() {
    let night = TestNight::new().await;
    on_both(&night, "create table answers (id int primary key)").await;
    night.source_sql("alter table answers add a text").await;
    let role = night.warehouse.one("select current_user").await;
    night
        .warehouse_sql_as_superuser(&format!(
            "alter table answers owner to postgres; grant all on answers to \"{role}\""
        ))
        .await;

    let error = refused(&night, &[ANSWERS]).await;

    assert_eq!(error.kind(), ErrorKind::Privilege);
    assert!(error.to_string().contains("the role does not own public.answers in the warehouse"), "{error}");
}

#[tokio::test]
async fn a_partitioned_table_follows_with_its_partitions() {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table answers (id int primary key, v varchar(3)) partition by range (id);
         create table answers_1 partition of answers for values from (0) to (10)",
    )
    .await;
    night
        .source_sql(
            "alter table answers alter v type text; alter table answers add at timestamptz default '2026-01-01 00:00Z';
             insert into answers values (1, 'longer')",
        )
        .await;

    append(&night).await;

    let rows = "select id, v, at at time zone 'UTC' from answers_1";
    assert_eq!(night.warehouse.rows(rows).await, ["1|longer|2026-01-01 00:00:00"]);
}

async fn findings(night: &TestNight, command: &str, list: &str, extra: &[(&str, &str)]) -> Vec<String> {
    let output = night.binary(&[command, "--json"], extra).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = |finding: &Value| {
        format!("{}: {}", finding["subject"].as_str().unwrap(), finding["text"].as_str().unwrap())
    };
    let found: Vec<String> = answer[list].as_array().unwrap().iter().map(finding).collect();
    found.into_iter().filter(|finding| finding.contains("public.")).collect()
}

#[tokio::test]
async fn check_and_plan_predict_each_drift_and_the_full_stage_goes_on() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id int primary key, n int, x int)").await;
    night.full(&[]).await;
    night
        .source_sql(
            "create type mood as enum ('sad'); create table first (id int primary key);
             alter table answers add mood mood, alter n type bigint",
        )
        .await;
    let modes = [("BACKUP_MODE", r#"{"answers":"incremental","first":"incremental"}"#)];
    let predicted = [
        "column public.answers.n: tonight: widened from integer to bigint",
        "column public.answers.mood: tonight: added as public.mood",
    ];
    for command in ["check", "plan"] {
        assert_eq!(findings(&night, command, "notes", &modes).await, predicted);
        assert!(findings(&night, command, "problems", &modes).await.is_empty());
    }
    assert_eq!(types(&night).await, ["id|integer", "n|integer", "x|integer"]);

    night.source_sql("alter table answers alter x type uuid using null").await;
    let problem = "table public.answers: public.answers.x is integer in the warehouse and uuid in the source";
    for command in ["check", "plan"] {
        assert_eq!(findings(&night, command, "problems", &modes).await, [problem]);
    }
    night.full(&modes).await;
    assert_eq!(types(&night).await, ["id|integer", "n|integer", "x|integer"]);
}
