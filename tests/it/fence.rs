//! The fence around the lock: a session of a job that lost the warehouse writes nothing more, and the next one begins when none is left.

use std::time::Duration;

use nightferry::adapters::postgres::{Database, WarehouseLock};
use nightferry::error::ErrorKind;

use crate::support::{TestNight, until};

async fn night() -> (TestNight, Database) {
    let night = TestNight::new().await;
    night.warehouse_sql("create table written (by text)").await;
    let database = Database::new(&night.config(&[]).databases.warehouse, "warehouse").unwrap();
    (night, database)
}

async fn acquire(database: &Database, holder: &str) -> WarehouseLock {
    WarehouseLock::acquire(database, holder, Some(Duration::from_secs(60))).await.unwrap()
}

/// Ends the session that holds the lock, as an administrator or a router may.
async fn end_the_lock(night: &TestNight, holder: &str) {
    let end = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and application_name like '%{holder}'"
    );
    assert_eq!(night.warehouse.one(&end).await, "1");
    let gone = format!(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name like '%{holder}'"
    );
    until("the end of the lock's session", async || (night.warehouse.one(&gone).await == "0").then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_lock_gets_no_session_more_even_before_somebody_else_has_it() {
    let (night, database) = night().await;
    let lost = acquire(&database, "the first").await;
    lost.database().connect().await.unwrap().execute("insert into written values ('first')").await.unwrap();
    end_the_lock(&night, "the first").await;
    let error = lost.database().connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "the stage is tried again");
    assert!(error.to_string().contains("the lock on the warehouse was lost"), "{error}");
    let next = acquire(&database, "the second").await;
    assert!(lost.database().connect().await.is_err());
    next.database().connect().await.unwrap().execute("insert into written values ('second')").await.unwrap();
    assert_eq!(night.warehouse.rows("select by from written").await, ["first", "second"]);
    next.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_left_of_the_holder_before_is_ended_in_the_middle_of_its_transaction() {
    let (night, database) = night().await;
    let lost = acquire(&database, "the first").await;
    let mut zombie = lost.database().connect().await.unwrap();
    zombie.execute("begin; insert into written values ('zombie')").await.unwrap();
    let mut busy = lost.database().connect().await.unwrap();
    let busy = tokio::spawn(async move { busy.execute("insert into written select pg_sleep(600)").await });
    let sleeps = "select count(*) from pg_stat_activity where datname = current_database() and query like '%pg_sleep(600)' and state = 'active'";
    until("the long statement", async || (night.warehouse.one(sleeps).await == "1").then_some(())).await;
    end_the_lock(&night, "the first").await;

    let next = acquire(&database, "the second").await;
    assert_eq!(night.warehouse.one(sleeps).await, "0", "the second begins when nothing of the first is left");
    assert!(zombie.execute("commit").await.is_err());
    assert!(busy.await.unwrap().is_err());
    assert_eq!(night.warehouse.one("select count(*) from written").await, "0");
    next.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_runs_for_a_holder_ends_when_it_lets_go() {
    let (night, database) = night().await;
    let lock = acquire(&database, "the first").await;
    let mut session = lock.database().connect().await.unwrap();
    let work = tokio::spawn(async move { session.execute("select pg_sleep(600)").await });
    let sleeps = "select count(*) from pg_stat_activity where datname = current_database() and query = 'select pg_sleep(600)'";
    until("the long statement", async || (night.warehouse.one(sleeps).await == "1").then_some(())).await;
    lock.release().await;
    assert_eq!(night.warehouse.one(sleeps).await, "0");
    assert!(work.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_and_a_night_leave_each_others_sessions_alone() {
    let (_night, database) = night().await;
    let push = WarehouseLock::acquire_push(&database, "a push", None).await.unwrap();
    let mut of_push = push.database().connect().await.unwrap();
    let night = acquire(&database, "a night").await;
    let mut of_night = night.database().connect().await.unwrap();
    of_push.execute("select 1").await.unwrap();
    push.release().await;
    assert!(of_push.execute("select 1").await.is_err());
    of_night.execute("select 1").await.unwrap();
    night.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_that_writes_for_a_stage_says_run_stage_and_attempt() {
    let night = TestNight::new().await;
    night.source_sql("create table users (id int primary key); insert into users values (1)").await;
    night
        .warehouse_sql_as_superuser(
            "create schema seen; grant usage on schema seen to public; create table seen.names (name text);
             create function seen.note() returns event_trigger language plpgsql security definer as $$
             begin insert into seen.names values (current_setting('application_name')); end $$;
             create event trigger note on ddl_command_end execute function seen.note()",
        )
        .await;
    night.full(&[]).await;
    let names = night.warehouse_seen_by_superuser();
    let run = names.one("select run_id from nightferry.runs").await;
    let work = format!("nightferry {run} full-replication 1");
    // The ledger is made before the stage begins.
    let ledger = format!("nightferry {run}");
    assert_eq!(names.rows("select distinct name from seen.names order by 1").await, [ledger, work]);
}
