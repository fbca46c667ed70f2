//! Fifty writers who commit in whatever order, and thirty increments meanwhile: no row is lost, and none below the settled
//! bound is ever missing. The rule that everybody else has (`id > max(id)`), run beside it, loses rows.

use std::collections::BTreeSet;

use nightferry::ids::Stage;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::support::writers::{Fed, Writers};
use crate::support::{TestDatabase, TestNight, rows_on};

const WRITERS: u64 = 50;
const RUNS: usize = 30;

const TABLES: &[(&str, Fed)] = &[
    ("serials", Fed::Sequence("serials_id_seq")),
    ("cached", Fed::Sequence("cached_ids")),
    ("uuids", Fed::Application),
    ("moments", Fed::Sequence("moments_id_seq")),
];

/// The columns of each key with their types, in the order of `TABLES`.
const KEYS: [&[(&str, &str)]; 4] = [
    &[("id", "bigint")],
    &[("id", "bigint")],
    &[("id", "uuid")],
    &[("\"createdAt\"", "timestamptz"), ("id", "bigint")],
];

const MODES: &str = r#"{"serials":"incremental","cached":"incremental","uuids":"incremental",
    "moments":{"mode":"incremental","key":["createdAt","id"]}}"#;

/// The old rule's copies are in the same database, so that nothing but the rule can lose a row.
const SOURCE: &str = r#"
    create table serials (id bigserial primary key, note text not null);
    create sequence cached_ids cache 20;
    create table cached (id bigint primary key default nextval('cached_ids'), note text not null);
    alter sequence cached_ids owned by cached.id;
    create table uuids (id uuid primary key, note text not null);
    create table moments ("createdAt" timestamptz not null default now(), id bigserial, note text not null,
        primary key ("createdAt", id));
    create schema old_rule;
    create table old_rule.serials (like serials including indexes);
    create table old_rule.cached (like cached including indexes);
    create table old_rule.uuids (like uuids including indexes);
    create table old_rule.moments (like moments including indexes)"#;

const WAREHOUSE: &str = r#"
    create table serials (id bigint primary key, note text);
    create table cached (id bigint primary key, note text);
    create table uuids (id uuid primary key, note text);
    create table moments ("createdAt" timestamptz, id bigint, note text, primary key ("createdAt", id))"#;

/// The columns of a key as a list, with these around each.
fn each(key: &[(&str, &str)], before: &str, after: &str) -> String {
    let columns: Vec<String> = key.iter().map(|(name, _)| format!("{before}{name}{after}")).collect();
    columns.join(", ")
}

/// The rule of the others, one shot: what is beyond the greatest key that is there.
async fn old_rule(source: &TestDatabase) {
    let mut shots = Vec::new();
    for ((table, _), key) in TABLES.iter().zip(KEYS) {
        shots.push(format!(
            "with top as materialized (select {} from old_rule.{table} order by {} limit 1)
             insert into old_rule.{table} select t.* from {table} t
              where coalesce((select row({}) > row({}) from top), true)",
            each(key, "", ""),
            each(key, "", " desc"),
            each(key, "t.", ""),
            each(key, "top.", "")
        ));
    }
    source.execute(&shots.join("; ")).await;
}

/// The rows that the source has and the copy of the old rule has not.
async fn lost_by_the_old_rule(source: &TestDatabase) -> Vec<(&'static str, usize)> {
    let mut lost = Vec::new();
    for (table, _) in TABLES {
        let sql = format!("select count(*) from (table {table} except table old_rule.{table}) lost");
        lost.push((*table, source.one(&sql).await.parse().unwrap()));
    }
    lost
}

/// The settled bound of a table, as the ledger has it.
async fn settled(warehouse: &mut PgConnection, table: &str) -> Option<Vec<String>> {
    let sql = format!(
        "select array_to_string(settled, '|') from nightferry.increments
          where schema_name = 'public' and table_name = '{table}'"
    );
    let found = rows_on(warehouse, &sql).await.remove(0);
    (!found.is_empty()).then(|| found.split('|').map(str::to_owned).collect())
}

/// The condition for keys up to a bound.
fn up_to(key: &[(&str, &str)], bound: &[String]) -> String {
    let values: Vec<String> =
        key.iter().zip(bound).map(|((_, kind), value)| format!("'{value}'::{kind}")).collect();
    format!("row({}) <= row({})", each(key, "", ""), values.join(", "))
}

async fn rows(session: &mut PgConnection, table: &str, condition: &str) -> BTreeSet<String> {
    rows_on(session, &format!("select * from {table} where {condition}")).await.into_iter().collect()
}

/// Both have the same rows.
async fn assert_same(
    (source, warehouse): (&mut PgConnection, &mut PgConnection),
    table: &str,
    condition: &str,
    when: &str,
) {
    let there = rows(source, table, condition).await;
    let here = rows(warehouse, table, condition).await;
    let missing: Vec<_> = there.difference(&here).collect();
    let invented: Vec<_> = here.difference(&there).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{when}: {table} where {condition}: {} of {} rows are missing, {} are not the source's; missing: {:?}",
        missing.len(),
        there.len(),
        invented.len(),
        &missing[..missing.len().min(10)]
    );
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a measurement is for whoever runs the test")]
async fn fifty_writers_lose_no_row_in_thirty_increments_and_the_old_rule_does() {
    let night = TestNight::new().await;
    night.source_sql(SOURCE).await;
    night.warehouse_sql(WAREHOUSE).await;
    let writers = Writers::start(&night.source, TABLES, WRITERS).await;
    let mut warehouse = night.warehouse.connect().await;
    let mut bounds: BTreeSet<(&str, Vec<String>)> = BTreeSet::new();

    let mut run = 0;
    // A bound of a cached sequence is settled once every session of its moment has ended: however long that takes on this machine.
    let has_moved = |bounds: &BTreeSet<(&str, Vec<String>)>, table| bounds.iter().any(|(of, _)| *of == table);
    while run < RUNS || !has_moved(&bounds, "cached") {
        run += 1;
        assert!(run <= 20 * RUNS, "no bound of the cached sequence was settled in {run} runs");
        old_rule(&night.source).await;
        let timeout = if run % 3 == 0 { "200ms" } else { "5s" };
        let extra = [("BACKUP_MODE", MODES), ("INCREMENTAL_SETTLE_TIMEOUT", timeout)];
        night.run(Stage::IncrementalReplication, &extra).await;
        // A new session each time: one that stays could hold values of a sequence, as far as anybody knows.
        let mut source = night.source.connect().await;
        for ((table, _), key) in TABLES.iter().zip(KEYS) {
            if let Some(bound) = settled(&mut warehouse, table).await {
                let (condition, when) = (up_to(key, &bound), format!("after run {run}"));
                assert_same((&mut source, &mut warehouse), table, &condition, &when).await;
                bounds.insert((*table, bound));
            }
        }
        source.close().await.unwrap();
    }

    let tally = writers.stop().await;
    old_rule(&night.source).await;
    night.run(Stage::IncrementalReplication, &[("BACKUP_MODE", MODES)]).await;
    let mut source = night.source.connect().await;
    for (table, _) in TABLES {
        assert_same((&mut source, &mut warehouse), table, "true", "at the end").await;
    }
    let lost = lost_by_the_old_rule(&night.source).await;
    let moves: Vec<_> = TABLES
        .iter()
        .map(|(table, _)| (*table, bounds.iter().filter(|(of, _)| of == table).count()))
        .collect();
    eprintln!("{tally:?}\nbounds settled: {moves:?}; rows lost: none, and by id > max(id): {lost:?}");
    assert!(
        tally.committed > 0
            && tally.rolled_back > 0
            && tally.committed_later > 0
            && tally.rolled_back_later > 0
            && tally.inserted_again > 0,
        "{tally:?}"
    );
    // Otherwise nothing was said of what is below the bound.
    assert!(moves[0].1 >= 10 && moves[1].1 >= 1, "{moves:?}");
    assert!(lost.iter().all(|(_, rows)| *rows > 0), "the old rule lost nothing of a table: {lost:?}");
}
