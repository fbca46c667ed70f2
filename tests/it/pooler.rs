//! A source behind a pooler in transaction mode: rows arrive, the bound stays, and what was late arrives the next night.

use crate::support::{Cluster, Pooler, TestNight, execute_on};

#[tokio::test]
async fn through_a_transaction_pooler_rows_arrive_and_the_bound_stays() {
    let night = TestNight::new().await;
    night.source_sql("create table answers (id bigserial primary key, note text)").await;
    night.warehouse_sql("create table answers (id bigint primary key, note text)").await;
    night.source_sql("insert into answers (note) select 'old' from generate_series(1, 3)").await;
    let pooler = Pooler::before(Cluster::of_sources(), &night.source);
    let pooled = pooler.leads_to(&night.source);
    night.answers_from(&night.source).await;
    assert_eq!(night.answers_and_settled().await, "1 2 3, settled 3");

    // An application behind the same pooler holds a server connection in its transaction.
    let mut first = pooled.connect().await;
    execute_on(&mut first, "begin; insert into answers (note) values ('late')").await;
    night.source_sql("insert into answers (note) values ('early')").await;
    let outcome = night.answers_from(&pooled).await;
    assert_eq!(night.answers_and_settled().await, "1 2 3 5, settled 3");
    let says_so = outcome
        .skipped
        .iter()
        .any(|skipped| skipped.object.contains("public.answers") && skipped.reason.contains("pooler"));
    assert!(says_so, "{:?}", outcome.skipped);

    execute_on(&mut first, "commit").await;
    assert_eq!(night.answers_from(&pooled).await.tables[0].rows, 1);
    assert_eq!(night.answers_and_settled().await, "1 2 3 4 5, settled 3");
    assert_eq!(night.answers_from(&night.source).await.tables[0].rows, 0);
    assert_eq!(night.answers_and_settled().await, "1 2 3 4 5, settled 5");
}
