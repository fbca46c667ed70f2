//! What goes wrong between two steps of a job: a server that is away when a job comes back, a lock that is lost at the last try, an
//! operator who acts at the moment at which a worker does.

use std::time::Duration;

use nightferry::adapters::ledger::{Ledger, Origin, Status};
use nightferry::adapters::postgres::WarehouseLock;
use nightferry::adapters::queue::{Job, JobStatus};
use nightferry::clock;
use nightferry::config::{Config, Secret};
use nightferry::error::ErrorKind;
use nightferry::ids::{RunId, Stage};
use nightferry::jobs::{operator, run_now};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::queue_chain::{Act, Chain, on_each_store, statuses, warehouse};
use crate::support::{Proxy, RedisServer, TestNight, Webhook, until};

use Stage::{FullReplication as Full, Notification as Notify};

on_each_store! {
    what_came_back_while_the_warehouse_was_away_is_still_interrupted
    a_lock_that_is_lost_in_the_last_try_ends_the_run_as_what_it_was
    a_job_that_was_cancelled_does_not_go_on_when_it_comes_back
    a_job_that_begins_while_it_is_removed_is_not_taken_for_ended
    a_retry_whose_worker_died_before_it_began_is_not_lost
}

fn run() -> RunId {
    RunId::from("20261120T041000Z".to_owned())
}

/// The ledger of a run whose stage is open.
async fn open_stage(chain: &Chain, origin: Origin, stage: Stage) -> Ledger {
    let ledger = Ledger::open(&warehouse(chain)).await.unwrap();
    ledger.begin_run(&run(), origin, "host-1").await.unwrap();
    ledger.begin_stage(&run(), stage).await.unwrap();
    ledger
}

async fn far_warehouse(chain: Chain) -> (Chain, Proxy) {
    let proxy = Proxy::before(chain.night.warehouse.port()).await;
    let url = chain.night.warehouse.url_at(proxy.port());
    (chain.with("TARGET_DATABASE_URL", &url), proxy)
}

async fn what_came_back_while_the_warehouse_was_away_is_still_interrupted(chain: Chain) {
    let (chain, proxy) = far_warehouse(chain).await;
    open_stage(&chain, Origin::Schedule, Full).await;
    let job = Job { interrupted: true, ..Job::first(run(), Full, Origin::Schedule) };
    let queues = chain.queues().await;
    proxy.cut();
    queues.push(&job, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    until("a try without a warehouse", async || {
        (queues.jobs(Full).await.unwrap()[0].status == JobStatus::Failed).then_some(())
    })
    .await;
    proxy.open();
    chain.ended(&run(), Full).await;
    assert!(chain.stages_seen(&run()).is_empty(), "ON_INTERRUPTED is fail: it does not begin again");
    assert_eq!(chain.ledger_of(&run()).await, "interrupted|interrupted");
    worker.stop().await;
}

/// Ends all sessions, as a restart of the server does.
async fn let_go_of_the_warehouse(chain: &Chain) {
    let holder = "select pg_terminate_backend(pid) from pg_stat_activity
                  where datname = current_database() and application_name like 'nightferry %'";
    chain.night.warehouse.execute(holder).await;
}

async fn a_lock_that_is_lost_in_the_last_try_ends_the_run_as_what_it_was(chain: Chain) {
    let chain = chain.with("MAX_RETRY_COUNT", "0").act(Full, &[Act::Hang, Act::Hang]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.started(1).await;
    let_go_of_the_warehouse(&chain).await;
    assert_eq!(statuses(&chain.ended(&run, Full).await), [JobStatus::Failed]);
    assert_eq!(chain.ledger_of(&run).await, "failed|connection");
    worker.stop().await;

    let jobs = chain.jobs();
    let command =
        tokio::spawn(
            async move { jobs.run_now(&[Full], Origin::Command, &CancellationToken::new()).await.1 },
        );
    chain.started(2).await;
    let_go_of_the_warehouse(&chain).await;
    assert_eq!(command.await.unwrap().unwrap_err().kind(), ErrorKind::Connection);
    let of_command = "select status, error_kind from nightferry.runs where origin = 'command'";
    assert_eq!(chain.night.warehouse.one(of_command).await, "failed|connection");
}

async fn a_job_that_was_cancelled_does_not_go_on_when_it_comes_back(chain: Chain) {
    let chain = chain.with("ON_INTERRUPTED", "resume");
    open_stage(&chain, Origin::Schedule, Full).await;
    let job = Job { interrupted: true, ..Job::first(run(), Full, Origin::Schedule) };
    let queues = chain.queues().await;
    // While the worker that died was not missed yet.
    queues.ask_to_cancel(&job).await.unwrap();
    queues.push(&job, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    assert_eq!(statuses(&chain.ended(&run(), Full).await), [JobStatus::Failed]);
    assert_eq!(chain.ledger_of(&run()).await, "interrupted|cancelled");
    assert!(chain.stages_seen(&run()).is_empty());
    worker.stop().await;
}

async fn a_job_that_begins_while_it_is_removed_is_not_taken_for_ended(chain: Chain) {
    let chain = chain.act(Full, &[Act::Hang]);
    let job = Job::first(run(), Full, Origin::Restart);
    Ledger::open(&warehouse(&chain)).await.unwrap();
    chain.queues().await.push(&job, Duration::ZERO).await.unwrap();
    // The operator's way to the warehouse is slow, the worker's is not.
    let proxy = Proxy::before(chain.night.warehouse.port()).await;
    proxy.hold();
    let slow = slow_config(&chain, &proxy);
    let removing = tokio::spawn(async move { operator::remove(&slow, &job.id()).await });
    until("the operator to be on the way", async || (proxy.accepted() > 0).then_some(())).await;
    let worker = chain.worker();
    chain.started(1).await;
    proxy.open();
    let removed = removing.await.unwrap();
    let is_at_work = chain.seen.lock().unwrap().at_work > 0;
    assert_eq!(removed.is_err(), is_at_work, "{removed:?}");
    let expected = if is_at_work { "running|" } else { "interrupted|cancelled" };
    assert_eq!(chain.ledger_of(&run()).await, expected);
    worker.stop().await;
}

/// The chain's configuration, with its warehouse behind a proxy.
fn slow_config(chain: &Chain, proxy: &Proxy) -> Config {
    let mut config = chain.config();
    let url = chain.night.warehouse.url_at(proxy.port());
    config.databases.warehouse = chain.night.config(&[("TARGET_DATABASE_URL", &url)]).databases.warehouse;
    config
}

async fn a_retry_whose_worker_died_before_it_began_is_not_lost(chain: Chain) {
    let chain = chain.act(Full, &[Act::Fail(ErrorKind::Privilege)]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    let failed = chain.ended(&run, Full).await.remove(0).job;
    worker.stop().await;
    let other = WarehouseLock::acquire(&warehouse(&chain), "another night", None).await.unwrap();
    operator::retry(&chain.config(), &failed.id()).await.unwrap();
    let worker = chain.worker();
    let queues = chain.queues().await;
    until("the job to be taken", async || {
        (queues.jobs(Full).await.unwrap()[1].status == JobStatus::Running).then_some(())
    })
    .await;
    worker.kill().await;
    other.release().await;
    let worker = chain.worker();
    chain.ended(&run, Full).await;
    chain.ended(&run, Notify).await;
    assert_eq!(chain.ledger_of(&run).await, "succeeded|");
    worker.stop().await;
}

/// Somebody who takes connections and never answers.
async fn silent_endpoint() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_hangs_on_can_be_cancelled() {
    let (_listener, url) = silent_endpoint().await;
    let endpoint = json!([{"url": url, "events": ["started"]}]);
    let chain = Chain::on_a_file().await.with("NOTIFICATIONS", &endpoint.to_string());
    let worker = chain.worker();
    chain.restart(Full).await;
    let queues = chain.queues().await;
    let telling = until("the event to be at work", async || {
        let jobs = queues.jobs(Stage::Event).await.unwrap();
        jobs.into_iter().find(|queued| queued.status == JobStatus::Running)
    })
    .await;
    operator::cancel(&chain.config(), &telling.job.id()).await.unwrap();
    assert_eq!(statuses(&queues.jobs(Stage::Event).await.unwrap()), [JobStatus::Failed]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_does_not_wait_for_an_endpoint_before_it_begins() {
    let (_listener, url) = silent_endpoint().await;
    let endpoint = json!([{"url": url, "events": ["started"]}]);
    let chain = Chain::on_a_file().await.with("NOTIFICATIONS", &endpoint.to_string());
    let (jobs, stop) = (chain.jobs(), CancellationToken::new());
    let stopped = stop.clone();
    let command = tokio::spawn(async move { jobs.run_now(&[Full], Origin::Command, &stopped).await.1 });
    let closed = until("the command's stage to end", async || {
        let sql = "select count(*) from nightferry.runs where status = 'succeeded'";
        let is_there = "select to_regclass('nightferry.runs') is not null";
        if chain.night.warehouse.one(is_there).await != "t" {
            return None;
        }
        (chain.night.warehouse.one(sql).await == "1").then_some(())
    });
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the stage waits for no endpoint");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), command).await.expect("a signal ends it").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_takes_no_run_of_a_command() {
    let chain = Chain::on_a_file().await;
    let ledger = Ledger::open(&warehouse(&chain)).await.unwrap();
    for seconds in 0..60 {
        let run = RunId::at(clock::now() + chrono::TimeDelta::seconds(seconds));
        ledger.begin_run(&run, Origin::Command, "host-1").await.unwrap();
        ledger.end_run(&run, (Status::Succeeded, None)).await.unwrap();
    }
    let run = chain.restart(Notify).await;
    assert_eq!(ledger.run_status(&run).await.unwrap(), None, "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_last_stage_that_was_lost_does_not_begin_a_whole_night() {
    let chain = Chain::on_redis().await.with("ON_INTERRUPTED", "resume");
    let ledger = Ledger::open(&warehouse(&chain)).await.unwrap();
    ledger.begin_run(&run(), Origin::Restart, "host-1").await.unwrap();
    let worker = chain.worker();
    until("the end of the run", async || {
        (!chain.ledger_of(&run()).await.starts_with("running")).then_some(())
    })
    .await;
    assert_eq!(chain.ledger_of(&run()).await, "interrupted|interrupted");
    assert!(chain.stages_seen(&run()).is_empty(), "nobody knows which stage was asked for");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_killed_is_told_of_by_the_next_one() {
    let hook = Webhook::answering(200).await;
    let endpoint = json!([{"url": hook.url(), "events": ["interrupted"]}]);
    let chain = Chain::on_a_file().await.with("NOTIFICATIONS", &endpoint.to_string());
    open_stage(&chain, Origin::Command, Full).await;
    chain.jobs().run_now(&[Notify], Origin::Command, &CancellationToken::new()).await.1.unwrap();
    assert_eq!(chain.ledger_of(&run()).await, "interrupted|interrupted");
    let told: Vec<Value> = hook.received().await.iter().map(|request| request.body_json().unwrap()).collect();
    let told: Vec<_> = told.iter().map(|body| (&body["run_id"], &body["error"]["stage"])).collect();
    assert_eq!(told, [(&json!(run().as_str()), &json!("full-replication"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_cut_off_stops_what_was_cancelled_meanwhile() {
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port()).await;
    let url = redis.url();
    let far = vec![("REDIS_URL", redis.url_at(proxy.port()))];
    let chain = Chain::new(far, TestNight::new().await, Some(redis)).act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.started(1).await;
    proxy.cut();
    let mut near = chain.config();
    near.queue.redis_url = Some(Secret::new(url));
    let id = Job::first(run.clone(), Full, Origin::Restart).id();
    // The first that comes after the worker was missed.
    tokio::time::sleep(Duration::from_secs(22)).await;
    operator::cancel(&near, &id).await.unwrap();
    proxy.open();
    until("the stage to stop", async || (chain.seen.lock().unwrap().at_work == 0).then_some(())).await;
    assert_eq!(chain.stages_seen(&run), [Full]);
    assert_eq!(chain.ledger_of(&run).await, "interrupted|cancelled");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_can_be_run_when_redis_is_gone_for_good() {
    let chain = Chain::on_a_file().await;
    open_stage(&chain, Origin::Schedule, Full).await;
    let mut config = chain.config();
    config.queue.redis_url = Some(Secret::new("redis://127.0.0.1:1/0"));
    let (_, result) = run_now(&config, &[Full], Origin::Command, &CancellationToken::new()).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("cannot see whether run 20261120T041000Z goes on"), "{error}");
    assert!(error.operator_hint().unwrap().contains("without REDIS_URL"), "{error:?}");
    chain.jobs().run_now(&[Full], Origin::Command, &CancellationToken::new()).await.1.unwrap();
    assert_eq!(chain.ledger_of(&run()).await, "interrupted|interrupted");
}
