//! Sessions that hold what the publish must lock: nobody else waits for long, no reader gets an error, and the night says whom it
//! waits for.

use std::time::{Duration, Instant};

use nightferry::error::ErrorKind;
use nightferry::ids::Stage;
use sqlx::postgres::PgConnection;

use crate::support::{TestNight, execute_on, rows_on, until};

const SWAP: (&str, &str) = ("PUBLISH_MODE", "swap");
const SHORT: (&str, &str) = ("PUBLISH_LOCK_TIMEOUT", "500ms");
/// Of PUBLISH_LOCK_TIMEOUT, as `SHORT` has it, with room for other tests that have the processors.
const LONGEST_WAIT: Duration = Duration::from_millis(500 + 1500);

/// Whether somebody of this database waits for a relation.
const WAITING: &str = "select count(*) > 0 from pg_locks where not granted and locktype = 'relation'
    and database = (select oid from pg_database where datname = current_database())";

/// A night behind it, a kept table, and a view over both.
async fn night() -> TestNight {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table users (id int primary key, name text); insert into users select g, 'first' from generate_series(1, 100) g;
             create table orders (id int primary key); insert into orders select generate_series(1, 50)",
        )
        .await;
    night.full(&[SWAP]).await;
    night
        .warehouse_sql(
            "create table public.targets (id int primary key); insert into public.targets select generate_series(1, 10);
             create schema bi; create view bi.report as select count(*) from public.users cross join public.targets",
        )
        .await;
    night
}

async fn second_state(night: &TestNight) {
    night.source_sql("update users set name = 'second'; insert into users values (101, 'second')").await;
}

/// Somebody in front of a screen: a transaction that stays open after a look.
async fn holder(night: &TestNight, look: &str) -> PgConnection {
    let mut session = night.warehouse.connect().await;
    execute_on(&mut session, "set application_name = 'screen of Ana'; begin").await;
    rows_on(&mut session, look).await;
    session
}

async fn somebody_waits(night: &TestNight) {
    let mut session = night.warehouse.connect().await;
    until("the publish to wait", async || (rows_on(&mut session, WAITING).await == ["t"]).then_some(()))
        .await;
}

/// Reads until so many reads had to wait; gives how long the longest took.
async fn longest_of_waiting_reads(night: &TestNight, sql: &str, number: usize) -> Duration {
    let mut session = night.warehouse.connect().await;
    let mut longest = Duration::ZERO;
    let mut waited = 0;
    until("reads that wait behind the publish", async || {
        let start = Instant::now();
        rows_on(&mut session, sql).await;
        longest = longest.max(start.elapsed());
        waited += usize::from(start.elapsed() > Duration::from_millis(50));
        (waited >= number).then_some(())
    })
    .await;
    longest
}

/// Yesterday's copy is live and whole.
async fn is_as_yesterday(night: &TestNight) {
    assert_eq!(
        night.warehouse.one("select count(*), min(name), max(name) from users").await,
        "100|first|first"
    );
    assert_eq!(night.warehouse.one("select count from bi.report").await, "1000");
}

/// Today's is, and nothing of a failed night is left.
async fn is_as_today(night: &TestNight) {
    assert_eq!(
        night.warehouse.one("select count(*), min(name), max(name) from users").await,
        "101|second|second"
    );
    assert_eq!(night.warehouse.one("select count from bi.report").await, "1010");
    let left = "select nspname from pg_namespace where nspname ~ '__(next|nightferry)$'";
    assert_eq!(night.warehouse.rows(left).await, Vec::<String>::new());
    let states = "select state, count(*) from nightferry.generations where state <> 'dropped' group by state order by state";
    assert_eq!(night.warehouse.rows(states).await, ["live|1", "previous|1"]);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a measurement is for whoever runs the test")]
async fn who_holds_a_kept_table_lets_others_wait_no_longer_than_the_lock_timeout() {
    let night = night().await;
    second_state(&night).await;
    let mut held = holder(&night, "select count(*) from public.targets").await;
    let stage = async { night.full(&[SWAP, SHORT, ("PUBLISH_DEADLINE", "60s")]).await };
    let meanwhile = async {
        somebody_waits(&night).await;
        // Several turns of locking, in each of which somebody waits.
        let longest = tokio::join!(
            longest_of_waiting_reads(&night, "select count(*) from public.targets", 2),
            longest_of_waiting_reads(&night, "select count from bi.report", 2),
        );
        is_as_yesterday(&night).await;
        assert_eq!(rows_on(&mut held, "select count(*) from public.targets").await, ["10"]);
        execute_on(&mut held, "commit").await;
        longest
    };
    let (outcome, longest) = tokio::join!(stage, meanwhile);
    assert_eq!(outcome.skipped, []);
    eprintln!("readers waited {longest:?} at the longest behind a publish that waits for a kept table");
    assert!(longest.0 < LONGEST_WAIT && longest.1 < LONGEST_WAIT, "{longest:?}");
    is_as_today(&night).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_table_fails_a_publish_that_requires_the_lock_and_the_next_night_succeeds() {
    for look in [
        "select count(*) from public.users",
        "select count(*) from public.targets",
        "select * from bi.report",
    ] {
        let night = night().await;
        second_state(&night).await;
        let mut held = holder(&night, look).await;
        let pid = rows_on(&mut held, "select pg_backend_pid()").await.remove(0);
        let require = [SWAP, SHORT, ("PUBLISH_LOCK", "require"), ("PUBLISH_DEADLINE", "2s")];
        let start = Instant::now();
        let error = night.try_run(Stage::FullReplication, &require).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Refused, "{text}");
        assert!(text.contains(&pid) && text.contains("screen of Ana"), "{text}");
        assert!(
            error.operator_hint().is_some_and(|hint| hint.contains("yesterday's copy stays live")),
            "{error:?}"
        );
        is_as_yesterday(&night).await;
        rows_on(&mut held, look).await;
        execute_on(&mut held, "commit").await;
        assert_eq!(night.full(&require).await.skipped, []);
        is_as_today(&night).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_table_delays_a_publish_that_tries_until_the_deadline_and_it_says_so() {
    let night = night().await;
    second_state(&night).await;
    let mut held = holder(
        &night,
        "declare c cursor for select count(*) over (), name from public.users; fetch 1 from c",
    )
    .await;
    let start = Instant::now();
    let outcome = night.full(&[SWAP, SHORT, ("PUBLISH_LOCK", "try"), ("PUBLISH_DEADLINE", "2s")]).await;
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
    let named: Vec<&str> = outcome.skipped.iter().map(|skipped| skipped.object.as_str()).collect();
    assert_eq!(named, ["PUBLISH_LOCK"], "{:?}", outcome.skipped);
    is_as_today(&night).await;
    let rows = rows_on(&mut held, "fetch all from c").await;
    assert!(rows.len() == 99 && rows.iter().all(|row| row == "100|first"), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_table_does_not_delay_a_publish_without_the_lock_and_the_holder_reads_on() {
    let night = night().await;
    second_state(&night).await;
    let mut held = holder(
        &night,
        "declare c cursor for select count(*) over (), name from public.users; fetch 1 from c",
    )
    .await;
    let outcome = night.full(&[SWAP, SHORT, ("PUBLISH_LOCK", "none"), ("PUBLISH_DEADLINE", "0s")]).await;
    assert_eq!(outcome.skipped, []);
    is_as_today(&night).await;
    let rows = rows_on(&mut held, "fetch all from c").await;
    assert!(rows.len() == 99 && rows.iter().all(|row| row == "100|first"), "{rows:?}");
    // The same transaction, by name.
    assert_eq!(rows_on(&mut held, "select count(*), min(name) from public.users").await, ["101|second"]);
    execute_on(&mut held, "commit").await;
    night.full(&[SWAP]).await;
    is_as_today(&night).await;
}

/// Each holds one table and wants what the publish has locked meanwhile: the publish gives way, and nobody dies for it.
#[tokio::test(flavor = "multi_thread")]
async fn readers_in_opposite_orders_never_die_for_a_deadlock_with_the_publish() {
    let night = night().await;
    second_state(&night).await;
    let reads = [
        "select count(*) from public.users",
        "select count(*) from public.targets",
        "select count from bi.report",
        "select count(*) from public.orders",
    ];
    let mut one = holder(&night, reads[0]).await;
    let mut other = holder(&night, reads[1]).await;
    let stage = async { night.full(&[SWAP, ("PUBLISH_LOCK", "require")]).await };
    let meanwhile = async {
        for turn in 0..4 {
            somebody_waits(&night).await;
            // Errors end the test here.
            let (first, second) = (reads[turn], reads[3 - turn]);
            let start = Instant::now();
            tokio::join!(rows_on(&mut one, first), rows_on(&mut other, second));
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        }
        // One after the other lets go and takes hold again, the other way round.
        for _ in 0..3 {
            execute_on(&mut one, "commit; begin").await;
            rows_on(&mut one, reads[1]).await;
            rows_on(&mut one, reads[0]).await;
            execute_on(&mut other, "commit; begin").await;
            rows_on(&mut other, reads[0]).await;
            rows_on(&mut other, reads[1]).await;
        }
        execute_on(&mut one, "commit").await;
        execute_on(&mut other, "commit").await;
    };
    tokio::join!(stage, meanwhile);
    is_as_today(&night).await;
}
