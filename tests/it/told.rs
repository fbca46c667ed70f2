//! Who asked for it is told what becomes of a run, once: from a real queue to an endpoint, with small stages.

use std::time::Duration;

use nightferry::adapters::ledger::Origin;
use nightferry::adapters::postgres::WarehouseLock;
use nightferry::error::ErrorKind;
use nightferry::ids::Stage;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::queue_chain::{Act, Chain, warehouse};
use crate::support::{Webhook, until};

/// A chain of which one endpoint is told everything.
async fn chain() -> (Chain, Webhook) {
    let hook = Webhook::answering(200).await;
    let all = json!([{"url": hook.url(), "events": ["started", "succeeded", "failed", "interrupted", "late"],
                      "jobs": ["night", "backup-push"]}]);
    (Chain::on_redis().await.with("NOTIFICATIONS", &all.to_string()), hook)
}

/// Waits until so many events were told, and gives them in their order.
async fn told(hook: &Webhook, count: usize) -> Vec<Value> {
    until("the endpoint to be told", async || {
        let requests = hook.received().await;
        let bodies = requests.iter().map(|request| request.body_json().unwrap());
        (requests.len() >= count).then(|| bodies.collect())
    })
    .await
}

/// Each event is a job of its own: those that wait together come in any order.
fn in_order(mut told: Vec<Value>) -> Vec<Value> {
    told.sort_by_key(|body| body["event"] != "started");
    told
}

fn events(told: &[Value]) -> Vec<&str> {
    told.iter().map(|body| body["event"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_fails_for_good_is_told_with_what_and_where_and_only_then() {
    let (chain, hook) = chain().await;
    let chain = chain.with("MAX_RETRY_COUNT", "1").with("EXPONENTIAL_RETRY_DELAY", "0").act(
        Stage::IncrementalReplication,
        &[Act::Fail(ErrorKind::Connection), Act::Fail(ErrorKind::Connection)],
    );
    let worker = chain.worker();
    let run = chain.restart(Stage::FullReplication).await;
    let told = told(&hook, 2).await;
    assert_eq!(events(&told), ["started", "failed"], "a try that is followed by another one is no failure");
    assert_eq!(told[1]["run_id"], run.as_str());
    let error = &told[1]["error"];
    assert_eq!(
        (&error["kind"], &error["stage"], &error["hint"]),
        (&json!("connection"), &json!("incremental-replication"), &json!("read the test"))
    );
    assert_eq!(told[1]["stages"][0]["status"], "succeeded");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_was_stopped_in_the_middle_is_told_by_the_next_worker() {
    let (chain, hook) = chain().await;
    let chain = chain.act(Stage::FullReplication, &[Act::Hang]);
    let worker = chain.worker();
    chain.restart(Stage::FullReplication).await;
    chain.started(1).await;
    worker.stop().await;
    let worker = chain.worker();
    let told = in_order(told(&hook, 2).await);
    assert_eq!(events(&told), ["started", "interrupted"]);
    assert_eq!(told[1]["error"]["kind"], "interrupted");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_ended_well_is_told_and_nobody_waits_for_a_lock_to_be_told() {
    let (chain, hook) = chain().await;
    let lock = WarehouseLock::acquire(&warehouse(&chain), "somebody else", None).await.unwrap();
    let worker = chain.worker();
    let run = chain.restart(Stage::BackupPush).await;
    let told = in_order(told(&hook, 2).await);
    assert_eq!(events(&told), ["started", "succeeded"]);
    assert_eq!((&told[1]["job"], &told[1]["run_id"]), (&json!("backup-push"), &json!(run.as_str())));
    lock.release().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_no_night_came_is_told_once_by_all_workers_together() {
    let (chain, hook) = chain().await;
    let worker = chain.worker();
    let good = chain.restart(Stage::FullReplication).await;
    // The small stages tell nobody that they ended well.
    assert_eq!(events(&told(&hook, 1).await), ["started"]);
    chain.ended(&good, Stage::Notification).await;
    worker.stop().await;
    // Several see it, and one that starts afterwards.
    let chain = chain.with("LATE_AFTER", "1s");
    let (first, second) = (chain.worker(), chain.worker());
    let late = told(&hook, 2).await.pop().unwrap();
    assert_eq!((&late["event"], &late["run_id"]), (&json!("late"), &json!(good.as_str())));
    assert!(late["error"]["message"].as_str().unwrap().contains("LATE_AFTER (1s)"), "{late}");
    first.stop().await;
    let third = chain.worker();
    let push = chain.restart(Stage::BackupPush).await;
    chain.ended(&push, Stage::BackupPush).await;
    let all = told(&hook, 4).await;
    assert_eq!(events(&all).iter().filter(|event| **event == "late").count(), 1, "{:?}", events(&all));
    for worker in [second, third] {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_is_told_later_and_holds_up_no_night() {
    let hook = Webhook::answering(503).await;
    let endpoint = json!([{"url": hook.url(), "events": ["started"], "retries": 0}]);
    let chain = Chain::on_redis().await.with("NOTIFICATIONS", &endpoint.to_string());
    let worker = chain.worker();
    let run = chain.restart(Stage::FullReplication).await;
    chain.ended(&run, Stage::Notification).await;
    let told = told(&hook, 2).await;
    assert_eq!(told[0]["delivery_id"], told[1]["delivery_id"], "the same event, told again");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_tells_by_itself() {
    let (chain, hook) = chain().await;
    let chain = chain.act(Stage::FullReplication, &[Act::Fail(ErrorKind::Privilege)]);
    let stages = [Stage::FullReplication];
    chain.jobs().run_now(&stages, Origin::Command, &CancellationToken::new()).await.1.unwrap_err();
    let told = told(&hook, 2).await;
    assert_eq!(events(&told), ["started", "failed"]);
    assert_eq!(told[1]["error"]["kind"], "privilege");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_at_work_is_cancelled_and_its_run_is_over() {
    let (chain, hook) = chain().await;
    let chain = chain.with("ON_INTERRUPTED", "resume").act(Stage::FullReplication, &[Act::Hang]);
    let worker = chain.worker();
    let run = chain.restart(Stage::FullReplication).await;
    chain.started(1).await;
    let queues = chain.queues().await;
    let at_work = queues.jobs(Stage::FullReplication).await.unwrap().remove(0).job;
    let asked = std::time::Instant::now();
    queues.ask_to_cancel(&at_work).await.unwrap();
    chain.ended(&run, Stage::FullReplication).await;
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(chain.ledger_of(&run).await, "interrupted|cancelled");
    let told = told(&hook, 2).await;
    assert_eq!((&told[1]["event"], &told[1]["error"]["kind"]), (&json!("interrupted"), &json!("cancelled")));
    worker.stop().await;
}
