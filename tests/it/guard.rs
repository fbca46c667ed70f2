//! The guard: what is refused before anything is changed.

use nightferry::error::ErrorKind;
use nightferry::ids::Stage;

use crate::support::compare::{Except, Facts, assert_equal};
use crate::support::{TestDatabase, TestNight};

async fn facts(database: &TestDatabase) -> Facts {
    Facts::of(&mut database.connect().await, &Except::nothing()).await
}

#[tokio::test]
async fn the_same_database_on_both_sides_is_refused_however_it_is_spelled() {
    let night = TestNight::of_shapes().await;
    let before = facts(&night.source).await;
    let url = night.source.url().to_owned();
    for spelling in [url.clone(), url.replace("127.0.0.1", "localhost"), format!("{url}?sslmode=disable")] {
        let error =
            night.try_run(Stage::FullReplication, &[("TARGET_DATABASE_URL", &spelling)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("same database"), "{error}");
        assert!(!error.to_string().contains(&night.source.password()), "{error}");
    }
    assert_eq!(before.differences(&facts(&night.source).await), Vec::<String>::new());
}

#[tokio::test]
async fn two_databases_of_one_cluster_are_not_the_same() {
    let night =
        TestNight::between(crate::support::Cluster::of_sources(), crate::support::Cluster::of_sources())
            .await;
    night.source_fixture("shapes.sql");
    night.full(&[]).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test]
async fn a_warehouse_with_tables_of_others_is_refused_until_it_is_adopted() {
    let night = TestNight::of_shapes().await;
    night
        .warehouse_sql(
            "create table users (somebody text); insert into users values ('else');
             create table \"theirs alone\" (id int); insert into \"theirs alone\" values (1);
             create table slug (kept int); insert into slug values (7)",
        )
        .await;
    let before = facts(&night.warehouse).await;
    let error = night.try_run(Stage::FullReplication, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(
        error.to_string().contains("users") && error.operator_hint().unwrap().contains("adopt"),
        "{error}"
    );
    assert_eq!(before.differences(&facts(&night.warehouse).await), Vec::<String>::new());

    let config = night.config(&[]);
    let listed = nightferry::replication::adoption::list(&config).await.unwrap();
    assert_eq!(listed.len(), 3, "{listed:?}");
    nightferry::jobs::adopt(&config, &["slug".to_owned()]).await.unwrap();
    night.full(&[]).await;
    assert_eq!(night.warehouse.one("select count(*) from users").await, "2000");
    assert_eq!(night.warehouse.rows("select * from slug").await, ["7"]);
    assert_eq!(night.warehouse.rows("select * from \"theirs alone\"").await, ["1"]);
}

#[tokio::test]
async fn tables_in_schemas_that_the_night_does_not_touch_need_no_adoption() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int)").await;
    night.warehouse_sql("create schema bi create table targets (id int)").await;
    night.full(&[]).await;
    assert_eq!(night.warehouse.one("select count(*) from bi.targets").await, "0");
}

#[tokio::test]
async fn every_problem_is_said_at_once_and_nothing_is_changed() {
    let night = TestNight::of_shapes().await;
    night.warehouse_sql("create table users (somebody text)").await;
    let before = facts(&night.warehouse).await;
    let modes = r#"{"no such table":"none","nor-this":"incremental"}"#;
    let error = night.try_run(Stage::FullReplication, &[("BACKUP_MODE", modes)]).await.unwrap_err();
    for word in ["no such table", "nor-this", "users"] {
        assert!(error.to_string().contains(word), "{word} is missing in: {error}");
    }
    assert_eq!(before.differences(&facts(&night.warehouse).await), Vec::<String>::new());
}

#[tokio::test]
async fn a_source_that_cannot_be_reached_is_said_without_its_password() {
    let night = TestNight::new().await;
    let wrong = night.source.url().replace(&night.source.name(), "no_such_database");
    let error = night.try_run(Stage::FullReplication, &[("SOURCE_DATABASE_URL", &wrong)]).await.unwrap_err();
    assert!(error.to_string().contains("no_such_database"), "{error}");
    assert!(!error.to_string().contains("s3cr"), "{error}");
}

#[tokio::test]
async fn content_that_came_before_the_first_full_night_is_no_stranger() {
    let night = TestNight::new().await;
    night.source_sql("create table public.users (id int primary key)").await;
    let content = serde_json::json!({
        "areas": [{"id": "a1", "name": "Area"}], "attachments": [], "competences": [], "tubes": [],
        "skills": [], "challenges": [], "courses": [], "tutorials": []
    });
    let api = crate::support::ContentApi::answering(content).await;
    let settings =
        [("LCMS_API_URL", api.url()), ("LCMS_API_KEY", crate::support::ContentApi::KEY.to_owned())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    night.run(nightferry::ids::Stage::LearningContentReplication, &settings).await;
    night.full(&[]).await;
    assert_eq!(night.warehouse.rows("select id, name from areas").await, ["a1|Area"]);
}

#[tokio::test]
async fn nothing_is_written_where_source_and_warehouse_are_the_same() {
    let night = TestNight::new().await;
    night.source_sql("create table public.users (id int primary key)").await;
    let archive = night.archive("custom");
    let url = night.source.url().to_owned();
    let same = [("TARGET_DATABASE_URL", url.as_str()), ("BACKUP_MODE", r#"{"users":"incremental"}"#)];
    for stage in [Stage::FullReplication, Stage::IncrementalReplication] {
        let error = night.try_run(stage, &same).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
    // An archive does not make the source another database.
    let error =
        night.try_run(Stage::FullReplication, &[same[0], ("BACKUP_SOURCE", &archive)]).await.unwrap_err();
    assert!(error.to_string().contains("same database"), "{error}");
    let error = nightferry::jobs::adopt(&night.config(&same), &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(night.source.one("select to_regnamespace('nightferry') is null").await, "t");
}

#[tokio::test]
async fn a_source_that_is_away_for_a_moment_is_worth_another_try_and_a_wrong_setting_is_not() {
    let night = TestNight::new().await;
    let away = format!("postgres://nobody@127.0.0.1:{}/away", free_port());
    let error = night.try_run(Stage::FullReplication, &[("SOURCE_DATABASE_URL", &away)]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Connection && error.kind().is_retryable(), "{error}");
    let wrong = [("SOURCE_DATABASE_URL", away.as_str()), ("ENRICHMENT_DIR", "/nowhere")];
    let error = night.try_run(Stage::FullReplication, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

/// A port on which nobody listens any more.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_check_sees_a_broken_enrichment_and_a_schema_that_is_closed() {
    let night = TestNight::new().await;
    night.source_sql("create table public.users (id int primary key)").await;
    std::fs::write(night.path("enrichment/01_x.sql"), "select 1;\n").unwrap();
    night.warehouse_sql("create schema extra").await;
    night
        .warehouse_sql_as_superuser(
            "alter schema public owner to postgres; revoke create on schema public from public",
        )
        .await;
    let inspection = nightferry::replication::preflight::inspect(&night.config(&[])).await.unwrap();
    let said: Vec<String> =
        inspection.problems.iter().map(|problem| format!("{}: {}", problem.subject, problem.text)).collect();
    assert!(
        said.iter().any(|text| text.starts_with("ENRICHMENT_DIR: ") && text.contains("01_x.sql")),
        "{said:?}"
    );
    assert!(said.iter().any(|text| text.starts_with("schema public: ")), "{said:?}");
}

#[tokio::test]
async fn a_table_that_was_adopted_as_kept_gets_no_index_of_the_enrichment() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table public.users (id int primary key); create table public.other (id int primary key)",
        )
        .await;
    night.warehouse_sql("create table public.users (id int)").await;
    std::fs::write(
        night.path("enrichment/01_x.sql"),
        "-- needs: users\n-- not for kept tables\ncreate index if not exists ours on users (id);\n",
    )
    .unwrap();
    nightferry::jobs::adopt(&night.config(&[]), &["users".to_owned()]).await.unwrap();
    let outcome = night.full(&[]).await;
    assert_eq!(night.warehouse.one("select to_regclass('ours') is null").await, "t");
    assert!(
        outcome.skipped.iter().any(|skipped| skipped.reason.contains("public.users is kept")),
        "{:?}",
        outcome.skipped
    );
}

#[tokio::test]
async fn an_archive_without_the_rows_of_a_table_is_refused_before_anything_is_dropped() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key); insert into users values (1)").await;
    night.full(&[]).await;
    let path = night.path("schema-only.archive");
    night.source.tool("pg_dump", ["-Fc".as_ref(), "--schema-only".as_ref(), "-f".as_ref(), path.as_os_str()]);
    let error = night
        .try_run(Stage::FullReplication, &[("BACKUP_SOURCE", path.to_str().unwrap())])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("table public.users: the archive has no rows"), "{error}");
    assert_eq!(night.warehouse.one("select count(*) from users").await, "1");
}

#[tokio::test]
async fn a_refused_first_contact_accepts_nothing() {
    let night = TestNight::new().await;
    night.source_sql("create table stats (id int)").await;
    night.warehouse_sql("create materialized view stats as select 42 as answer").await;
    for _ in 0..2 {
        let error = night.try_run(Stage::FullReplication, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.operator_hint().unwrap().contains("adopt"), "{error}");
    }
    assert_eq!(night.warehouse.one("select answer from stats").await, "42");
}

#[tokio::test]
async fn what_was_kept_stays_kept_when_adopted_again() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key)").await;
    night.warehouse_sql("create table users (mine int)").await;
    let config = night.config(&[]);
    nightferry::jobs::adopt(&config, &["users".to_owned()]).await.unwrap();
    let again = nightferry::jobs::adopt(&config, &[]).await.unwrap();
    assert!(again.iter().all(|(_, disposition)| disposition.name() == "kept"), "{again:?}");
}
