//! `nightferry verify --incremental`: which ranges of keys it names, what it leaves uncompared, and what `--repair` copies.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::TestNight;

const BY_ID: &str = r#"{"answers":"incremental"}"#;

/// The warehouse's lock, which every job holds: see adapters/postgres/lock.rs.
const LOCK: i64 = 0x6e69_6768_7466_6572;

async fn on_both(night: &TestNight, sql: &str) {
    night.source_sql(sql).await;
    night.warehouse_sql(sql).await;
}

/// A table of 30,000 equal rows on both sides: three buckets.
async fn answers() -> TestNight {
    let night = TestNight::new().await;
    on_both(
        &night,
        "create table answers (id bigint primary key, v text);
         insert into answers select n, md5(n::text) from generate_series(1, 30000) n",
    )
    .await;
    night
        .warehouse_sql(
            "alter table answers add mine text default 'analyst'; update answers set mine = 'precious'",
        )
        .await;
    night
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn run(night: &TestNight, arguments: &[&str], modes: &str) -> Output {
    let arguments: Vec<&str> = ["verify", "--incremental"].iter().chain(arguments).copied().collect();
    night.binary(&arguments, &[("BACKUP_MODE", modes)]).await
}

/// What a comparison that ends with this code says.
async fn verify(night: &TestNight, arguments: &[&str], modes: &str, code: i32) -> String {
    let output = run(night, arguments, modes).await;
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    text(&output)
}

async fn answer(night: &TestNight, arguments: &[&str], modes: &str) -> Value {
    let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
    let output = run(night, &arguments, modes).await;
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    assert_eq!(output.status.code(), Some(i32::from(answer["equal"] != true)), "{}", text(&output));
    answer
}

/// Each difference as its range and the rows of both sides.
fn ranges(answer: &Value) -> Vec<(Value, Value, u64, u64)> {
    let tables = answer["tables"].as_array().unwrap().iter();
    let ranges = tables.flat_map(|table| table["differences"].as_array().unwrap());
    let rows = |range: &Value, side: &str| range[side].as_u64().unwrap();
    ranges
        .map(|range| {
            (
                range["from"].clone(),
                range["upto"].clone(),
                rows(range, "source_rows"),
                rows(range, "warehouse_rows"),
            )
        })
        .collect()
}

async fn assert_equal(night: &TestNight, sql: &str) {
    assert_eq!(night.warehouse.rows(sql).await, night.source.rows(sql).await, "{sql}");
}

/// Writes a settled bound of table `answers` into the ledger, as a night does.
async fn settle(night: &TestNight, bound: &str) {
    night.try_run(nightferry::ids::Stage::Notification, &[]).await.unwrap();
    let source = night
        .source
        .one(
            "select c.system_identifier || '/' || d.oid || '/' || 'answers'::regclass::oid
             from pg_control_system() c, pg_database d where d.datname = current_database()",
        )
        .await;
    night
        .warehouse_sql(&format!(
            "insert into nightferry.increments (schema_name, table_name, key_columns, source, warehouse_oid, settled)
             values ('public', 'answers', '{{id}}', '{source}', 'answers'::regclass::oid::bigint, '{{{bound}}}')"
        ))
        .await;
}

#[tokio::test]
async fn each_range_that_differs_is_named_with_what_both_sides_have() {
    let night = answers().await;
    let said = verify(&night, &[], BY_ID, 0).await;
    assert!(said.starts_with("No difference found in 1 table.\n"), "{said}");
    assert!(
        said.contains(
            "\n  public.answers  incremental  id up to 30000       30,000          30,000  equal\n"
        ),
        "{said}"
    );

    night
        .warehouse_sql(
            "delete from answers where id between 5000 and 5012; update answers set v = 'x' where id = 29000",
        )
        .await;
    let said = verify(&night, &[], BY_ID, 1).await;
    assert!(said.starts_with("2 differences found in 1 table.\n"), "{said}");
    let expected = "\nDifferences (2):\n\
         \x20 public.answers: id 1 to 10000: the source has 10,000 rows, the warehouse 9,987\n\
         \x20 public.answers: id 20001 to 30000: as many rows, 10,000, but not the same\n";
    assert!(said.contains(expected), "{said}");
    assert_eq!(night.warehouse.one("select count(*) from answers").await, "29987", "nothing was changed");
}

#[tokio::test]
async fn a_table_that_only_grows_is_compared_up_to_its_settled_bound() {
    let night = answers().await;
    night.source_sql("insert into answers values (30001, 'not yet here')").await;
    night.warehouse_sql("delete from answers where id in (15000, 25000)").await;
    settle(&night, "20000").await;
    let found = answer(&night, &[], BY_ID).await;
    assert_eq!(found["tables"][0]["upto"], json!(["20000"]));
    assert_eq!(ranges(&found), [(json!(["10001"]), json!(["20000"]), 10_000, 9_999)]);

    // A bound of another table, or of another source, says nothing: up to what the warehouse has.
    night.warehouse_sql("update nightferry.increments set source = 'another'").await;
    let found = answer(&night, &[], BY_ID).await;
    assert_eq!(found["tables"][0]["upto"], json!(["30000"]));
    assert_eq!(ranges(&found).iter().map(|range| range.2 - range.3).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_repair_copies_what_is_missing_or_changed_and_nothing_else() {
    let night = answers().await;
    night
        .warehouse_sql(
            "delete from answers where id in (1, 2, 30000 - 1);
             update answers set v = null where id = 3;
             create function no() returns trigger language plpgsql as $$ begin raise 'a trigger'; end $$;
             create trigger no before insert or update on answers for each row execute function no()",
        )
        .await;

    let repaired = answer(&night, &["answers", "--repair"], BY_ID).await;

    assert_eq!(
        repaired["repaired"],
        json!([{"table": {"schema": "public", "name": "answers"}, "copied": 20_000, "inserted": 3, "updated": 1, "deleted": 0}])
    );
    assert_eq!(repaired["equal"], true);
    assert_equal(&night, "select count(*), sum(hashtext(id || v)::bigint) from answers").await;
    assert_eq!(
        night.warehouse.rows("select mine, count(*) from answers group by 1 order by 1").await,
        ["analyst|3", "precious|29997"]
    );
    assert_eq!(night.warehouse.one("select tgenabled from pg_trigger where tgname = 'no'").await, "O");
    let said = verify(&night, &["--repair"], BY_ID, 0).await;
    assert!(said.starts_with("Nothing to repair.\n"), "{said}");
}

#[tokio::test]
async fn rows_that_only_the_warehouse_has_stay_and_remain_a_difference_where_nothing_is_deleted() {
    let night = answers().await;
    night.source_sql("delete from answers where id = 7").await;
    night.warehouse_sql("delete from answers where id = 8").await;
    let said = verify(&night, &["--repair"], BY_ID, 1).await;
    assert!(
        said.contains("  public.answers: 10,000 rows copied; 1 added, 0 changed, 0 taken out\n"),
        "{said}"
    );
    assert!(said.contains("Compared again: 1 difference found"), "{said}");
    assert!(said.contains("id 1 to 10001: the source has 10,000 rows, the warehouse 10,001"), "{said}");
    assert!(said.contains("table public.answers: rows that only the warehouse has were left"), "{said}");
    assert_eq!(night.warehouse.one("select count(*) from answers where id in (7, 8)").await, "2");
}

#[tokio::test]
async fn changed_and_deleted_rows_of_the_other_modes_are_found_by_what_tells_rows_apart() {
    let night = TestNight::new().await;
    let rows = "insert into %s select md5(n::text)::uuid, n % 3, now() - n * interval '1 s' from generate_series(1, 200) n";
    for table in ["mirrored", "marked", "changed"] {
        on_both(
            &night,
            &format!("create table {table} (\"the Id\" uuid, part int, \"updatedAt\" timestamptz not null, primary key (part, \"the Id\"))"),
        )
        .await;
        night.source_sql(&rows.replace("%s", table)).await;
    }
    let modes = r#"{"mirrored":"reconcile","marked":{"mode":"reconcile","deletes":"mark"},
                    "changed":{"mode":"upsert","cursor":"updatedAt"}}"#;
    let found = answer(&night, &[], modes).await;
    assert_eq!(ranges(&found).iter().map(|range| (range.2, range.3)).collect::<Vec<_>>(), [(200, 0); 3]);
    assert_eq!(found["tables"][0]["key"], json!(["part", "the Id"]));
    assert_eq!(answer(&night, &["--repair"], modes).await["equal"], true);

    for table in ["mirrored", "marked", "changed"] {
        night.source_sql(&format!("update {table} set \"updatedAt\" = now() where part = 1")).await;
    }
    for table in ["mirrored", "marked"] {
        night.source_sql(&format!("delete from {table} where part = 2 and \"the Id\"::text < '8'")).await;
    }
    let repaired = answer(&night, &["--repair"], modes).await;
    assert_eq!(repaired["repaired"].as_array().unwrap().len(), 3, "{repaired}");
    assert_eq!(repaired["equal"], true, "{repaired}");
    for table in ["mirrored", "changed"] {
        assert_equal(&night, &format!("select * from {table} order by 1, 2")).await;
    }
    let gone =
        night.warehouse.one("select count(*) from marked where nightferry_deleted_at is not null").await;
    assert_eq!(gone, repaired["repaired"][1]["deleted"].to_string());
    assert!(gone != "0");
}

/// A key that is not unique, as a time of creation: as many rows as the source has, whichever of them are there.
#[tokio::test]
async fn rows_that_share_a_key_are_counted_and_not_taken_for_each_other() {
    let night = TestNight::new().await;
    on_both(&night, "create table events (at date not null, v json)").await;
    night
        .source_sql(
            r#"insert into events values ('2026-01-01', '1'), ('2026-01-01', '1'), ('2026-01-01', '2'),
               ('2026-01-02', '3'), ('2026-01-03', '4'), ('2026-01-03', '5'), ('2026-01-03', '6')"#,
        )
        .await;
    night
        .warehouse_sql(
            r#"insert into events values ('2026-01-01', '1'), ('2026-01-03', '"mine"'), ('2026-01-03', '6')"#,
        )
        .await;
    let modes = r#"{"events":{"mode":"incremental","key":"at"}}"#;
    let said = verify(&night, &["--repair"], modes, 1).await;
    assert!(said.contains("7 rows copied; 4 added, 0 changed"), "{said}");
    assert_eq!(
        night.warehouse.rows("select * from events order by at, v::text collate \"C\"").await[..4],
        ["2026-01-01|1", "2026-01-01|1", "2026-01-01|2", "2026-01-02|3"]
    );
    assert_eq!(night.warehouse.one("select count(*) from events").await, "7");
    let again = verify(&night, &["--repair"], modes, 1).await;
    assert!(again.contains("0 added, 0 changed"), "{again}");
}

#[tokio::test]
async fn what_is_asked_wrong_says_what_to_ask() {
    let night = answers().await;
    on_both(&night, "create table other (id int primary key)").await;
    let said = verify(&night, &["other"], BY_ID, 2).await;
    assert!(said.contains("BACKUP_MODE has no incremental table \"other\""), "{said}");
    assert!(said.contains("without --incremental"), "{said}");
    let output = night.binary(&["verify", "--repair"], &[("BACKUP_MODE", BY_ID)]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("--incremental"), "{}", text(&output));
    let said = verify(&night, &[], "{}", 0).await;
    assert!(said.starts_with("Nothing to compare: "), "{said}");
}

#[tokio::test]
async fn a_repair_waits_for_no_night_and_a_comparison_needs_no_lock() {
    let night = answers().await;
    night.warehouse_sql("delete from answers where id = 1").await;
    let mut holder = night.warehouse.connect().await;
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut holder).await.unwrap();
    let said = verify(&night, &["--repair"], BY_ID, 1).await;
    assert!(said.contains("another job"), "{said}");
    assert_eq!(night.warehouse.one("select count(*) from answers where id = 1").await, "0");
    verify(&night, &[], BY_ID, 1).await;
}

#[tokio::test]
async fn a_column_that_the_warehouse_lacks_is_said_and_the_others_are_compared_and_repaired() {
    let night = answers().await;
    night.source_sql("alter table answers add fresh int; update answers set fresh = 1 where id = 1").await;
    night.warehouse_sql("delete from answers where id = 2").await;
    let repaired = answer(&night, &["--repair"], BY_ID).await;
    assert_eq!(repaired["equal"], true, "{repaired}");
    assert_eq!(repaired["repaired"][0]["inserted"], 1);
    assert_eq!(repaired["notes"][0]["subject"], "column public.answers.fresh");
}
