//! A source that is a standby: rows arrive, the bound stays, and what was late arrives the next night.

use crate::support::{Cluster, Standby, TestNight, execute_on};

#[tokio::test]
async fn a_standby_gives_its_rows_and_the_late_ones_the_next_night() {
    let primary = Cluster::start_own();
    let night = TestNight::between(&primary, Cluster::of_warehouses()).await;
    night.source_sql("create table answers (id bigserial primary key, note text)").await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    night.source_sql("insert into answers (note) select 'old' from generate_series(1, 3)").await;
    let standby = Standby::of(&primary);
    let copy = standby.sees(&night.source);
    night.answers_from(&night.source).await;
    assert_eq!(night.answers_and_settled().await, "1 2 3, settled 3");

    // Nobody sees at the standby who writes at the primary.
    let mut first = night.source.connect().await;
    execute_on(&mut first, "begin; insert into answers (note) values ('late')").await;
    night.source_sql("insert into answers (note) values ('early')").await;
    standby.catches_up(&night.source).await;
    let outcome = night.answers_from(&copy).await;
    assert_eq!(night.answers_and_settled().await, "1 2 3 5, settled 3");
    let says_so = outcome
        .skipped
        .iter()
        .any(|skipped| skipped.object.contains("public.answers") && skipped.reason.contains("standby"));
    assert!(says_so, "{:?}", outcome.skipped);

    execute_on(&mut first, "commit").await;
    standby.catches_up(&night.source).await;
    assert_eq!(night.answers_from(&copy).await.tables[0].rows, 1);
    assert_eq!(night.answers_and_settled().await, "1 2 3 4 5, settled 3");

    // Back at the primary the bound moves again.
    assert_eq!(night.answers_from(&night.source).await.tables[0].rows, 0);
    assert_eq!(night.answers_and_settled().await, "1 2 3 4 5, settled 5");
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

    night.answers_from(&copy).await;
    assert_eq!(night.answers_and_settled().await, "1 2 3, settled nowhere");
    night.source_sql("insert into answers (note) values ('new')").await;
    standby.catches_up(&night.source).await;
    assert_eq!(night.answers_from(&copy).await.tables[0].rows, 1);
    assert_eq!(night.answers_and_settled().await, "1 2 3 4, settled nowhere");
}
