//! A source that dies in the middle of a COPY: nothing of the table is committed, and the error says what happened.

use nightferry::error::Error;
use nightferry::ids::Stage;

use crate::support::{TestNight, until};

/// Few bytes on the disk of the source, and a stream of a megabyte a row.
const MANY_MEGABYTES: &str =
    "insert into big select g, repeat(md5(g::text), 32768) from generate_series(1, 400) g";

/// Runs a stage and ends the source's backend that sends `table` while it does; gives the stage's error.
async fn run_and_kill(night: &TestNight, stage: Stage, table: &str, extra: &[(&str, &str)]) -> Error {
    let copying = format!(
        "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
         and state = 'active' and query ~* '^copy ' and query like '%{table}%'"
    );
    let killing = async {
        let pid = until("the source's COPY", async || night.source.rows(&copying).await.pop()).await;
        assert_eq!(night.source.one(&format!("select pg_terminate_backend({pid})")).await, "t");
    };
    let mut running = std::pin::pin!(night.try_run(stage, extra));
    tokio::select! {
        ended = &mut running => panic!("the stage ended before it could be killed: {ended:?}"),
        () = killing => running.await.unwrap_err(),
    }
}

fn assert_one_sentence_about(error: &Error, table: &str, night: &TestNight) {
    let text = error.to_string();
    assert!(text.contains(table), "the table is not named: {text}");
    assert!(!text.contains('\n'), "more than one line: {text}");
    assert!(error.kind().is_retryable(), "{}: {text}", error.kind().name());
    for password in [night.source.password(), night.warehouse.password()] {
        assert!(!text.contains(&password), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_killed_in_mid_copy_never_leaves_a_part_of_a_table() {
    let night = TestNight::new().await;
    night.source_sql("create table big (id int primary key, filler text); create table small (id int)").await;
    night.source_sql(MANY_MEGABYTES).await;
    // In place, readers see the tables of a broken night.
    let in_place = [("PUBLISH_MODE", "in_place")];
    let error = run_and_kill(&night, Stage::FullReplication, "big", &in_place).await;
    assert_one_sentence_about(&error, "big", &night);
    assert_eq!(night.warehouse.one("select count(*) from big").await, "0");
    let status = "select status, error_kind from nightferry.stages order by started_at desc limit 1";
    assert_eq!(night.warehouse.one(status).await, "failed|connection");

    night.full(&in_place).await;
    assert_eq!(night.warehouse.one("select count(*) from big").await, "400");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_killed_in_mid_increment_leaves_the_warehouse_table_unchanged() {
    let night = TestNight::new().await;
    let modes = [("BACKUP_MODE", r#"{"big":"incremental"}"#)];
    night
        .source_sql("create table big (id int primary key, filler text); insert into big values (0, 'first')")
        .await;
    night.full(&modes).await;
    night.source_sql(MANY_MEGABYTES).await;
    let error = run_and_kill(&night, Stage::IncrementalReplication, "big", &modes).await;
    assert_one_sentence_about(&error, "big", &night);
    assert_eq!(night.warehouse.rows("select * from big").await, ["0|first"]);

    night.run(Stage::IncrementalReplication, &modes).await;
    assert_eq!(night.warehouse.one("select count(*), max(id) from big").await, "401|400");
}
