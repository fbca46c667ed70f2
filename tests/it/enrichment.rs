//! The enrichment: which files are run, twice over, and what a failing one says.

use std::path::Path;
use std::sync::Arc;

use nightferry::adapters::ledger::{Ledger, Origin, Recorder};
use nightferry::adapters::postgres::Database;
use nightferry::error::{ErrorKind, Result};
use nightferry::ids::{RunId, Stage};
use nightferry::outcome::StageOutcome;
use nightferry::replication::enrich;
use nightferry::replication::full::aside::Aside;

use crate::support::TestNight;

/// The enrichment alone, without the full stage around it.
async fn enrich(night: &TestNight, extra: &[(&str, &str)]) -> Result<StageOutcome> {
    let config = night.config(extra);
    let warehouse = Database::new(&config.databases.warehouse, "warehouse").unwrap();
    let ledger = Arc::new(Ledger::open(&warehouse).await.unwrap());
    let run = RunId::from("20261120T041000Z".to_owned());
    ledger.begin_run(&run, Origin::Command, "test").await.unwrap();
    let attempt = ledger.begin_stage(&run, Stage::FullReplication).await.unwrap();
    let recorder = Recorder::new(ledger, run, Stage::FullReplication, attempt);
    enrich::run(&config, &Aside::default(), &recorder).await.map(|()| recorder.outcome())
}

fn shipped() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/enrichment").to_str().unwrap().to_owned()
}

const TABLES: &str = r#"
    create table "knowledge-elements" (id bigint, "createdAt" timestamptz);
    create table "knowledge-element-snapshots" (id bigint, "snappedAt" timestamptz);
    create table users (id bigint, "createdAt" timestamptz);
    create table answers (id bigint, "challengeId" text);
    create table "organization-learners" (id bigint, "lastName" text)"#;

const INDEXES: &str =
    "select indexname from pg_indexes where schemaname = 'public' order by indexname collate \"C\"";

#[tokio::test]
async fn the_shipped_files_make_their_indexes_and_their_view_and_may_be_run_again() {
    let night = TestNight::new().await;
    night.warehouse_sql(TABLES).await;
    night.warehouse_sql(r#"insert into "organization-learners" values (1, 'Hopper')"#).await;
    for _ in 0..2 {
        let outcome = enrich(&night, &[("ENRICHMENT_DIR", &shipped())]).await.unwrap();
        assert_eq!((outcome.objects.len(), outcome.skipped.len()), (5, 0), "{:?}", outcome.skipped);
    }
    assert_eq!(
        night.warehouse.rows(INDEXES).await,
        [
            "answers_challengeId_idx",
            "knowledge-element-snapshots_snappedAt_idx",
            "knowledge-elements_createdAt_idx",
            "users_createdAt_idx"
        ]
    );
    assert_eq!(night.warehouse.rows(r#"select * from "schooling-registrations""#).await, ["1|Hopper"]);
}

#[tokio::test]
async fn the_date_indexes_hold_the_day_in_paris() {
    let night = TestNight::new().await;
    night.warehouse_sql(TABLES).await;
    enrich(&night, &[("ENRICHMENT_DIR", &shipped())]).await.unwrap();
    // Half past midnight in Paris, in winter and in summer, is still the day before in UTC.
    night.warehouse_sql("insert into users values (1, '2023-12-31 23:30Z'), (2, '2024-06-30 22:30Z')").await;
    let mut session = night.warehouse.connect().await;
    crate::support::execute_on(&mut session, "set enable_seqscan = off; set timezone = 'America/New_York'")
        .await;
    let query =
        "select id from users where (\"createdAt\" at time zone 'Europe/Paris')::date = date '2024-01-01'";
    assert_eq!(crate::support::rows_on(&mut session, query).await, ["1"]);
    let plan = crate::support::rows_on(&mut session, &format!("explain {query}")).await.join("\n");
    assert!(plan.contains("users_createdAt_idx"), "{plan}");
}

#[tokio::test]
async fn what_is_missing_kept_or_there_already_is_skipped_with_its_reason() {
    let night = TestNight::new().await;
    night.warehouse_sql(TABLES).await;
    night
        .warehouse_sql(
            r#"drop table "knowledge-element-snapshots"; create table "schooling-registrations" (id int)"#,
        )
        .await;
    let extra = [
        ("ENRICHMENT_DIR", shipped()),
        ("BACKUP_MODE", r#"{"answers":"incremental","public.knowledge-elements":"none"}"#.to_owned()),
    ];
    let extra = extra.each_ref().map(|(name, value)| (*name, value.as_str()));

    let outcome = enrich(&night, &extra).await.unwrap();

    assert_eq!(night.warehouse.rows(INDEXES).await, ["users_createdAt_idx"]);
    let reason = |file: &str| {
        let of_file = outcome.skipped.iter().find(|skipped| skipped.object.contains(file));
        of_file.unwrap_or_else(|| panic!("{file} in {:?}", outcome.skipped)).reason.clone()
    };
    assert!(reason("snappedAt").contains("it needs public.knowledge-element-snapshots"));
    assert!(reason("answers_challengeId").contains("public.answers is kept"));
    assert!(reason("knowledge-elements_createdAt").contains("public.knowledge-elements is kept"));
    assert!(reason("schooling-registrations").contains("there is a table public.schooling-registrations"));
}

#[tokio::test]
async fn a_failing_file_is_undone_whole_and_named_with_its_line() {
    let night = TestNight::new().await;
    night.warehouse_sql(TABLES).await;
    let write = |name: &str, text: &str| std::fs::write(night.path("enrichment").join(name), text).unwrap();
    write("10_first.sql", "-- needs: users\ncreate table first as select 1;");
    write(
        "20_broken.sql",
        "-- needs: first\ncreate table half as select 1;\nselect 'é', missing\nfrom users;",
    );
    write("30_never.sql", "-- needs:\ncreate table never as select 1;");

    let error = enrich(&night, &[]).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Schema);
    let text = error.to_string();
    assert!(text.contains("20_broken.sql, line 3") && text.contains("\"missing\""), "{text}");
    let made = "select relname from pg_class where relname in ('first', 'half', 'never')";
    assert_eq!(night.warehouse.rows(made).await, ["first"]);
}
