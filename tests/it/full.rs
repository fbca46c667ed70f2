//! The full stage over every shape: what the source has arrives equal, and the report tells the truth about it.

use std::collections::BTreeMap;

use crate::support::TestNight;
use crate::support::compare::{Except, assert_equal};

#[tokio::test]
async fn every_shape_arrives_equal_from_a_live_source() {
    let night = TestNight::of_shapes().await;
    night.full(&[]).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test]
async fn every_shape_arrives_equal_one_table_at_a_time() {
    let night = TestNight::of_shapes().await;
    night.full(&[("PG_RESTORE_JOBS", "1")]).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test]
async fn the_report_counts_the_rows_that_the_warehouse_has() {
    let night = TestNight::of_shapes().await;
    let outcome = night.full(&[]).await;
    let reported: BTreeMap<String, u64> =
        outcome.tables.iter().map(|table| (table.table.to_string(), table.rows)).collect();
    assert_eq!(reported["public.users"], 2000);
    assert_eq!(reported["public.nothing"], 2);
    assert_eq!(reported["public.empty"], 0);
    assert_eq!(reported["Odd schema.events 2024 rest"].to_string(), {
        night.warehouse.one("select count(*) from \"Odd schema\".\"events 2024 rest\"").await
    });
    let tables = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'r' and nspname !~ '^(pg_|information_schema|nightferry)'";
    assert_eq!(reported.len().to_string(), night.warehouse.one(tables).await);
    assert_eq!(outcome.skipped, [], "nothing of the shapes is left out");
}

#[tokio::test]
async fn every_step_is_in_the_ledger_with_its_duration() {
    let night = TestNight::of_shapes().await;
    let outcome = night.full(&[]).await;
    let steps: Vec<&str> = outcome.steps.iter().map(|step| step.step).collect();
    let in_order = ["guard", "schema", "load", "constrain", "finish", "enrich", "verify", "publish"];
    let told: Vec<&str> = steps.iter().copied().filter(|step| in_order.contains(step)).collect();
    assert_eq!(told, in_order);
    let written = night
        .warehouse
        .rows("select step from nightferry.steps where status = 'succeeded' and ended_at >= started_at order by step_id")
        .await;
    assert_eq!(written, steps);
    let rows = night.warehouse.one("select sum(rows_written) from nightferry.tables").await;
    assert_eq!(rows, outcome.tables.iter().map(|table| table.rows).sum::<u64>().to_string());
}

#[tokio::test]
async fn what_is_not_carried_is_named_and_the_rest_arrives() {
    let night = TestNight::of_shapes().await;
    night.source_fixture_as_superuser("not_carried.sql");
    let outcome = night.full(&[]).await;
    let named: Vec<&str> = outcome.skipped.iter().map(|skipped| skipped.object.as_str()).collect();
    for object in ["large object", "publication", "subscription", "foreign server", "over_far_rows"] {
        assert!(named.iter().any(|name| name.contains(object)), "{object} is not named in {named:?}");
    }
    assert_equal(&night.source, &night.warehouse, &Except::nothing().relation("public.over_far_rows")).await;
    assert_eq!(night.warehouse.one("select count(*) from pg_largeobject_metadata").await, "0");
}

#[tokio::test]
async fn an_empty_source_makes_a_green_night() {
    let night = TestNight::new().await;
    let outcome = night.full(&[]).await;
    assert!(outcome.tables.is_empty());
}

#[tokio::test]
async fn the_owner_of_the_warehouse_owns_what_arrived() {
    let night = TestNight::of_shapes().await;
    night.full(&[]).await;
    let others = "select relname from pg_class c join pg_namespace n on n.oid = relnamespace
        where nspname !~ '^(pg_|information_schema)' and relowner <> current_user::regrole";
    assert_eq!(night.warehouse.rows(others).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_comment_on_an_extension_arrives_or_is_named() {
    let night = TestNight::new().await;
    night.source_sql("create extension hstore; comment on extension hstore is 'ours'").await;
    let outcome = night.full(&[]).await;
    let comment = "select obj_description(oid) from pg_extension where extname = 'hstore'";
    let arrived = night.warehouse.one(comment).await == "ours";
    let named = outcome.skipped.iter().any(|skipped| skipped.object.contains("hstore"));
    assert!(arrived || named, "silently lost");
}
