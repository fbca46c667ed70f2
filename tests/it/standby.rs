//! A source that is a standby: rows arrive, the bound stays, and what was late arrives the next night.

use nightferry::ids::Stage;
use nightferry::outcome::StageOutcome;

use crate::support::{Cluster, Standby, TestDatabase, TestNight, execute_on};

const MODES: (&str, &str) = ("BACKUP_MODE", r#"{"answers":"incremental"}"#);

async fn run_from(night: &TestNight, source: &TestDatabase) -> StageOutcome {
    night.run(Stage::IncrementalReplication, &[MODES, ("SOURCE_DATABASE_URL", source.url())]).await
}

async fn ids_and_settled(night: &TestNight) -> String {
    night
        .warehouse
        .one(
            "select string_agg(id::text, ' ' order by id) || ', settled ' ||
                (select coalesce(settled[1], 'nowhere') from nightferry.increments where table_name = 'answers') from answers",
        )
        .await
}

#[tokio::test]
async fn a_standby_gives_its_rows_and_the_late_ones_the_next_night() {
    let primary = Cluster::start_own();
    let night = TestNight::between(&primary, Cluster::of_warehouses()).await;
    night.source_sql("create table answers (id bigserial primary key, note text)").await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    night.source_sql("insert into answers (note) select 'old' from generate_series(1, 3)").await;
    let standby = Standby::of(&primary);
    let copy = standby.sees(&night.source);
    run_from(&night, &night.source).await;
    assert_eq!(ids_and_settled(&night).await, "1 2 3, settled 3");

    // Nobody sees at the standby who writes at the primary.
    let mut first = night.source.connect().await;
    execute_on(&mut first, "begin; insert into answers (note) values ('late')").await;
    night.source_sql("insert into answers (note) values ('early')").await;
    standby.catches_up(&night.source).await;
    let outcome = run_from(&night, &copy).await;
    assert_eq!(ids_and_settled(&night).await, "1 2 3 5, settled 3");
    let says_so = outcome
        .skipped
        .iter()
        .any(|skipped| skipped.object.contains("public.answers") && skipped.reason.contains("standby"));
    assert!(says_so, "{:?}", outcome.skipped);

    execute_on(&mut first, "commit").await;
    standby.catches_up(&night.source).await;
    assert_eq!(run_from(&night, &copy).await.tables[0].rows, 1);
    assert_eq!(ids_and_settled(&night).await, "1 2 3 4 5, settled 3");

    // Back at the primary the bound moves again.
    assert_eq!(run_from(&night, &night.source).await.tables[0].rows, 0);
    assert_eq!(ids_and_settled(&night).await, "1 2 3 4 5, settled 5");
}

#[tokio::test]
async fn a_standby_alone_fills_an_empty_table_and_follows() {
    let primary = Cluster::start_own();
    let night = TestNight::between(&primary, Cluster::of_warehouses()).await;
    night.source_sql("create table answers (id bigserial primary key, note text)").await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    night.source_sql("insert into answers (note) select 'old' from generate_series(1, 3)").await;
    let standby = Standby::of(&primary);
    let copy = standby.sees(&night.source);

    run_from(&night, &copy).await;
    assert_eq!(ids_and_settled(&night).await, "1 2 3, settled nowhere");
    night.source_sql("insert into answers (note) values ('new')").await;
    standby.catches_up(&night.source).await;
    assert_eq!(run_from(&night, &copy).await.tables[0].rows, 1);
    assert_eq!(ids_and_settled(&night).await, "1 2 3 4, settled nowhere");
}
