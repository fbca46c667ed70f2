//! `nightferry verify`: what it finds between the source and the warehouse, and what it does not call a difference.

use std::process::Output;

use serde_json::Value;

use crate::support::TestNight;

/// Built under their own names, whatever else a night can do.
const IN_PLACE: (&str, &str) = ("PUBLISH_MODE", "in_place");

const SHOP: &str = "
    create table customers (id int primary key, name text not null, name_length int generated always as (length(name)) stored);
    create table orders (id serial primary key, customer_id int not null constraint of_a_customer references customers, total numeric(10, 2));
    create index orders_by_customer on orders (customer_id);
    create index orders_by_total on orders (total desc) where total > 10;
    create table notes (line text, at timestamptz default now());
    create view big_orders as select * from orders where total > 50;
    create materialized view totals as select customer_id, sum(total) from orders group by 1;
    create sequence invoice_numbers;
    insert into customers select g, 'customer ' || g from generate_series(1, 40) g;
    insert into orders (customer_id, total) select g % 40 + 1, g from generate_series(1, 200) g;
    insert into notes select 'note ' || g from generate_series(1, 30) g;
    refresh materialized view totals";

/// A night between two databases that are equal.
async fn after_a_night(source: &str) -> TestNight {
    let night = TestNight::new().await;
    night.source_sql(source).await;
    night.full(&[IN_PLACE]).await;
    night
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a comparison that ends with this code says.
async fn verify(night: &TestNight, arguments: &[&str], extra: &[(&str, &str)], code: i32) -> String {
    let arguments: Vec<&str> = ["verify"].iter().chain(arguments).copied().collect();
    let output = night.binary(&arguments, extra).await;
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// The differences that `--json` tells, each as a sentence.
async fn differences(night: &TestNight, arguments: &[&str], extra: &[(&str, &str)]) -> Vec<String> {
    sentences(&json(night, arguments, extra).await, "differences")
}

async fn json(night: &TestNight, arguments: &[&str], extra: &[(&str, &str)]) -> Value {
    let arguments: Vec<&str> = ["verify", "--json"].iter().chain(arguments).copied().collect();
    let output = night.binary(&arguments, extra).await;
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let equal = answer["differences"].as_array().unwrap().is_empty();
    assert_eq!(answer["equal"], equal);
    assert_eq!(output.status.code(), Some(i32::from(!equal)), "{}", text(&output));
    answer
}

fn sentences(answer: &Value, list: &str) -> Vec<String> {
    let sentence = |remark: &Value| {
        format!("{}: {}", remark["subject"].as_str().unwrap(), remark["text"].as_str().unwrap())
    };
    answer[list].as_array().unwrap().iter().map(sentence).collect()
}

#[tokio::test]
async fn every_shape_is_equal_after_a_night_however_keys_are_carried() {
    let night = TestNight::of_shapes().await;
    for keys in ["true", "not_valid", "false"] {
        let settings = [IN_PLACE, ("RESTORE_FK_CONSTRAINTS", keys)];
        night.full(&settings).await;
        let answer = json(&night, &["--sample", "100"], &settings).await;
        assert_eq!(sentences(&answer, "differences"), Vec::<String>::new(), "{keys}");
        assert!(answer["tables"].as_array().unwrap().len() > 20, "{answer}");
        let omitted = sentences(&answer, "notes").iter().any(|note| note.contains("RESTORE_FK_CONSTRAINTS"));
        assert_eq!(omitted, keys == "false", "{answer}");
    }
}

#[tokio::test]
async fn a_deleted_row_is_a_difference_of_counts() {
    let night = after_a_night(SHOP).await;
    let said = verify(&night, &[], &[], 0).await;
    assert!(said.starts_with("No difference found in 3 tables.\n"), "{said}");
    night.warehouse_sql("delete from notes where line = 'note 7'").await;
    let said = verify(&night, &[], &[], 1).await;
    assert!(said.starts_with("1 difference found in 3 tables.\n"), "{said}");
    assert!(said.contains("\n  public.notes               30              29  different\n"), "{said}");
    assert!(said.contains("\n  public.orders             200             200  equal\n"), "{said}");
    assert!(said.contains("\n  table public.notes: the source has 30 rows, the warehouse 29\n"), "{said}");
    verify(&night, &["orders", "public.customers"], &[], 0).await;
    verify(&night, &["orders", "notes"], &[], 1).await;
}

#[tokio::test]
async fn an_updated_row_is_seen_by_hashes_only() {
    let night = after_a_night(SHOP).await;
    verify(&night, &["--sample", "100"], &[], 0).await;
    night.warehouse_sql("update orders set total = total + 0.01 where id = 17").await;
    night.warehouse_sql("update notes set at = at + '1 microsecond' where line = 'note 3'").await;
    verify(&night, &[], &[], 0).await;
    let said = differences(&night, &["--sample", "100"], &[]).await;
    assert_eq!(said.len(), 2, "{said:?}");
    // Without a key the row's own text decides, so the old and the new one fall into buckets of their own.
    assert!(said[0].starts_with("table public.notes: its sampled rows differ in "), "{said:?}");
    let of_orders =
        said[1].strip_prefix("table public.orders: its sampled rows differ in 1 of 16 buckets, which hold ");
    let (there, here) = of_orders.unwrap().split_once(" rows in the source and ").unwrap();
    assert_eq!(here, format!("{there} in the warehouse"));
}

#[tokio::test]
async fn a_sample_hashes_its_share_of_the_keys_and_the_same_on_both_sides() {
    let night = after_a_night("create table t (id int primary key, x int); insert into t select g, 0 from generate_series(1, 5000) g").await;
    night.warehouse_sql("update t set x = 1").await;
    let said = differences(&night, &["--sample", "10"], &[]).await;
    let hashed: u32 = said[0].rsplit(" and ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((350..650).contains(&hashed), "{said:?}");
    assert!(
        said[0].contains(&format!("in 16 of 16 buckets, which hold {hashed} rows in the source")),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_is_gone_from_the_warehouse_is_named_and_what_only_it_has_is_not() {
    let night = after_a_night(SHOP).await;
    night
        .warehouse_sql(
            "create table analysts (id int); create view theirs as select 1 as x; create index more on orders (id, total);
             alter table customers add column segment text; create schema public__previous; create schema public__next;
             create table public__previous.orders (id int); create table public__next.orders (id int)",
        )
        .await;
    verify(&night, &["--sample", "100"], &[], 0).await;

    night
        .warehouse_sql(
            "drop index orders_by_customer; drop index orders_by_total; create index orders_by_total on orders (total);
             drop view big_orders; drop materialized view totals; drop sequence invoice_numbers;
             alter table orders drop constraint of_a_customer, alter total type numeric(12, 2); alter table notes drop column at",
        )
        .await;
    assert_eq!(
        differences(&night, &["--sample", "100"], &[]).await,
        [
            "table public.notes: its rows were not hashed, since columns are missing",
            "table public.notes: the warehouse lacks column at",
            "table public.orders: column total is numeric(10,2) in the source, numeric(12,2) in the warehouse",
            "foreign key of_a_customer on public.orders: the warehouse lacks it",
            "index orders_by_customer on public.orders: the warehouse lacks it",
            "index orders_by_total on public.orders: the source has CREATE INDEX orders_by_total ON public.orders USING btree (total DESC) \
             WHERE (total > (10)::numeric); the warehouse has CREATE INDEX orders_by_total ON public.orders USING btree (total)",
            "materialized view public.totals: the warehouse lacks it",
            "sequence public.invoice_numbers: the warehouse lacks it",
            "view public.big_orders: the warehouse lacks it",
        ]
    );
    // Asked for by name, a table is compared alone.
    verify(&night, &["customers"], &[], 0).await;

    night.warehouse_sql("drop table orders").await;
    let answer = json(&night, &["orders"], &[]).await;
    assert_eq!(sentences(&answer, "differences"), ["table public.orders: the warehouse lacks it"]);
    assert_eq!(answer["tables"][0]["result"], "missing");
    assert_eq!(answer["tables"][0]["source_rows"], 200);
    assert_eq!(answer["tables"][0]["warehouse_rows"], Value::Null);
}

#[tokio::test]
async fn an_invalid_index_and_an_unchecked_key_are_differences() {
    let night = after_a_night(SHOP).await;
    night
        .warehouse_sql_as_superuser(
            "update pg_index set indisvalid = false where indexrelid = 'orders_by_total'::regclass",
        )
        .await;
    night
        .warehouse_sql(
            "alter table orders drop constraint of_a_customer;
             alter table orders add constraint of_a_customer foreign key (customer_id) references customers not valid",
        )
        .await;
    assert_eq!(
        differences(&night, &[], &[]).await,
        [
            "foreign key of_a_customer on public.orders: declared in the warehouse, but not checked",
            "index public.orders_by_total on public.orders: not valid: queries cannot use it",
        ]
    );
    let not_valid = differences(&night, &["orders"], &[("RESTORE_FK_CONSTRAINTS", "not_valid")]).await;
    assert_eq!(not_valid.len(), 1, "{not_valid:?}");
}

#[tokio::test]
async fn a_table_that_may_not_be_read_is_a_difference_and_the_others_are_still_compared() {
    let night = after_a_night(SHOP).await;
    night.source_sql("alter table notes enable row level security, force row level security").await;
    let said = differences(&night, &[], &[]).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("table public.notes: it cannot be read: "), "{said:?}");
    assert!(said[0].contains("row-level security"), "{said:?}");
}

#[tokio::test]
async fn what_the_night_does_not_replace_or_leaves_out_is_named_and_no_difference() {
    let night = TestNight::new().await;
    night.source_sql(SHOP).await;
    night
        .source_sql(
            "create table logs (id serial primary key, order_id int references orders);
             create table parts (id int) partition by range (id); create table parts_1 partition of parts for values from (0) to (9);
             create view logged as select * from logs; alter table notes add log_id int constraint of_a_log references logs;
             insert into parts values (1), (2)",
        )
        .await;
    let settings = [IN_PLACE, ("BACKUP_MODE", r#"{"logs":"none","parts":"incremental"}"#)];
    night.full(&settings).await;
    let answer = json(&night, &[], &settings).await;
    assert_eq!(sentences(&answer, "differences"), Vec::<String>::new());
    assert_eq!(
        sentences(&answer, "not_compared"),
        [
            "table public.logs: none in BACKUP_MODE",
            "table public.parts: incremental in BACKUP_MODE (see --incremental)",
            "table public.parts_1: incremental in BACKUP_MODE (see --incremental)",
        ]
    );
    let notes = sentences(&answer, "notes");
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("foreign key of_a_log on public.notes: left out by the night: "),
        "{notes:?}"
    );
    assert!(notes[1].starts_with("view public.logged: left out by the night: "), "{notes:?}");

    let said = verify(&night, &["logs"], &settings, 2).await;
    assert!(said.starts_with("error: public.logs cannot be compared: none in BACKUP_MODE\nhint: "), "{said}");
    let without = json(&night, &["parts"], &[]).await;
    assert_eq!(
        without["tables"].as_array().unwrap().len(),
        2,
        "a partitioned table comes with its partitions"
    );
    assert_eq!(without["tables"][0]["source_rows"], Value::Null);
    assert_eq!(without["tables"][1]["source_rows"], 2);
}

#[tokio::test]
async fn an_archive_is_compared_by_what_the_ledger_says() {
    let night = TestNight::new().await;
    night.source_sql(SHOP).await;
    night
        .source_sql(
            "create table parts (id int) partition by range (id); insert into orders (customer_id) values (1);
             create table parts_1 partition of parts for values from (0) to (9); insert into parts values (1)",
        )
        .await;
    let archive = night.archive("custom");
    let modes = ("BACKUP_MODE", r#"{"notes":"none","parts":"incremental"}"#);
    let settings = [IN_PLACE, ("BACKUP_SOURCE", archive.as_str()), modes];
    let said = verify(&night, &[], &settings, 1).await;
    assert!(said.starts_with("error: the ledger knows no full stage"), "{said}");
    night.full(&settings).await;

    // The source goes on, an increment appends, and the archive may be gone: nothing of it matters.
    night.source_sql("delete from orders").await;
    night.warehouse_sql("insert into parts values (2)").await;
    std::fs::remove_file(&archive).unwrap();
    let said = verify(&night, &[], &settings, 0).await;
    assert!(said.contains("Compared with what the full stage of run 2"), "{said}");
    assert!(said.contains("\n  public.orders              201             201  equal\n"), "{said}");
    let not_compared =
        "Not compared (3):\n  table public.notes: none in BACKUP_MODE\n  table public.parts: incremental";
    assert!(said.contains(not_compared), "{said}");
    let partitioned = verify(&night, &["parts"], &settings[..2], 1).await;
    assert!(
        partitioned.contains("table public.parts_1: the night wrote 1 row, the warehouse has 2\n"),
        "{partitioned}"
    );

    night.warehouse_sql("delete from orders where id < 11; drop view big_orders").await;
    assert_eq!(
        differences(&night, &[], &settings).await,
        [
            "table public.orders: the night wrote 201 rows, the warehouse has 191",
            "view public.big_orders: the warehouse lacks it"
        ]
    );
    verify(&night, &["customers"], &settings, 0).await;
    let said = verify(&night, &["custmers"], &settings, 2).await;
    assert!(
        said.contains("the last full stage wrote no table \"custmers\": did you mean \"customers\"?"),
        "{said}"
    );
    let said = verify(&night, &["--sample", "10"], &settings, 2).await;
    assert!(said.contains("--sample needs BACKUP_SOURCE=live"), "{said}");
}

#[tokio::test]
async fn a_name_that_is_no_table_ends_with_2_and_the_nearest() {
    let night = after_a_night(SHOP).await;
    let said = verify(&night, &["order"], &[], 2).await;
    assert!(said.contains("the source has no table \"order\": did you mean \"orders\"?"), "{said}");
    for percent in ["0", "101", "many"] {
        verify(&night, &["--sample", percent], &[], 2).await;
    }
    let same = [("SOURCE_DATABASE_URL", night.warehouse.url())];
    let said = verify(&night, &[], &same, 1).await;
    assert!(said.contains("are the same database"), "{said}");
}

#[tokio::test]
async fn nothing_is_written_on_either_side_not_even_the_ledger() {
    let night = TestNight::new().await;
    night.source_sql(SHOP).await;
    let answer = json(&night, &["--sample", "1"], &[]).await;
    assert_eq!(
        sentences(&answer, "differences").len(),
        3 + 4,
        "three tables, two views, two sequences: {answer}"
    );
    let notes = sentences(&answer, "notes");
    assert!(
        notes.len() == 1 && notes[0].starts_with("warehouse: the ledger knows no full stage"),
        "{notes:?}"
    );
    for side in [&night.source, &night.warehouse] {
        assert_eq!(side.one("select count(*) from pg_namespace where nspname = 'nightferry'").await, "0");
    }
}

#[tokio::test]
async fn a_night_at_work_and_a_failed_one_are_said() {
    let night = after_a_night(SHOP).await;
    night.warehouse_sql("update nightferry.runs set status = 'running'").await;
    let said = verify(&night, &[], &[], 0).await;
    assert!(
        said.contains("Notes (1):\n  run 2") && said.contains(": at work, or died without a word"),
        "{said}"
    );

    // A night that broke off in place: what it wrote is in no live generation.
    night
        .warehouse_sql(
            "update nightferry.runs set status = 'failed'; update nightferry.generations set state = 'next'",
        )
        .await;
    let said = verify(&night, &[], &[], 0).await;
    assert!(
        said.contains("Notes (1):\n  warehouse: the ledger knows no full stage that ended well and is live"),
        "{said}"
    );
    let archive = night.archive("custom");
    verify(&night, &[], &[("BACKUP_SOURCE", &archive)], 1).await;
}
