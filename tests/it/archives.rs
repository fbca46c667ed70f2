//! The full stage from dump archives: both formats, and other versions of PostgreSQL.

use crate::support::compare::{Except, assert_equal};
use crate::support::{Cluster, TestNight, versions};

#[tokio::test]
async fn every_shape_arrives_equal_from_a_custom_archive() {
    let night = TestNight::of_shapes().await;
    night.full(&[("BACKUP_SOURCE", &night.archive("custom"))]).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test]
async fn every_shape_arrives_equal_from_a_directory_archive() {
    let night = TestNight::of_shapes().await;
    night.full(&[("BACKUP_SOURCE", &night.archive("directory"))]).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test]
async fn an_archive_needs_no_source_database() {
    let night = TestNight::of_shapes().await;
    let archive = night.archive("custom");
    night.full(&[("BACKUP_SOURCE", &archive), ("SOURCE_DATABASE_URL", "")]).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test]
async fn what_an_archive_has_and_a_night_does_not_carry_is_named() {
    let night = TestNight::of_shapes().await;
    night.source_fixture_as_superuser("not_carried.sql");
    let outcome = night.full(&[("BACKUP_SOURCE", &night.archive("custom"))]).await;
    let named: Vec<String> = outcome.skipped.iter().map(|skipped| skipped.object.to_lowercase()).collect();
    for object in ["what happens", "far away", "over_far_rows"] {
        assert!(named.iter().any(|name| name.contains(object)), "{object} is not named in {named:?}");
    }
    assert!(named.iter().any(|name| name.contains("large object") || name.contains("blob")), "{named:?}");
}

#[tokio::test]
async fn a_truncated_archive_fails_and_never_commits_a_part_of_a_table() {
    let night = TestNight::of_shapes().await;
    let archive = night.archive("custom");
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() - bytes.len() / 3]).unwrap();
    let error = night.try_run(nightferry::ids::Stage::FullReplication, &[("BACKUP_SOURCE", &archive)]).await;
    let text = error.unwrap_err().to_string();
    assert!(!text.is_empty() && !text.contains(&night.warehouse.password()), "{text}");
    for table in ["users", "\"values\"", "\"knowledge-elements\""] {
        let there = night.warehouse.one(&format!("select to_regclass('{table}') is not null")).await;
        if there == "t" {
            let rows = night.warehouse.one(&format!("select count(*) from {table}")).await;
            let whole = night.source.one(&format!("select count(*) from {table}")).await;
            assert!(rows == "0" || rows == whole, "{rows} of {whole} rows in {table}");
        }
    }
}

/// Runs for every folder of NIGHTFERRY_TEST_PG_BIN_DIRS, which utils/test.sh fills where it can.
#[tokio::test(flavor = "multi_thread")]
async fn every_version_carries_every_shape_live_and_from_its_archives() {
    for tools in versions() {
        let cluster = Cluster::start_with(&tools);
        for source in ["live", "custom", "directory"] {
            let night = TestNight::between(&cluster, &cluster).await;
            night.source_fixture("shapes.sql");
            let from = if source == "live" { source.to_owned() } else { night.archive(source) };
            night.full(&[("BACKUP_SOURCE", &from)]).await;
            assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
        }
    }
}

/// The newest pg_restore reads what all the older ones wrote, and the warehouse need not be of the newest version.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_tools_carry_the_archives_of_every_version() {
    let versions = versions();
    let Some(newest) = versions.last().and_then(|folder| folder.to_str()) else { return };
    for tools in &versions {
        let cluster = Cluster::start_with(tools);
        let night = TestNight::between(&cluster, &cluster).await;
        night.source_fixture("shapes.sql");
        let archive = night.archive("custom");
        night.full(&[("BACKUP_SOURCE", &archive), ("PG_BIN_DIR", newest)]).await;
        assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
    }
}
