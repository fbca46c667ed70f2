//! Runs that are open in the ledger and have no job left, on a real queue and a real warehouse, with small stages.

use std::time::Duration;

use nightferry::adapters::ledger::{Ledger, Origin, Status};
use nightferry::adapters::queue::Job;
use nightferry::error::{Error, ErrorKind};
use nightferry::ids::{RunId, Stage};
use nightferry::jobs::Jobs;
use tokio_util::sync::CancellationToken;

use crate::queue::in_four_seconds;
use crate::queue_chain::{Act, Chain, warehouse};
use crate::support::until;

use Stage::{
    FullReplication as Full, IncrementalReplication as Incremental, LearningContentReplication as Content,
    Notification as Notify,
};

fn run() -> RunId {
    RunId::from("20261120T041000Z".to_owned())
}

/// An open run of which the ledger has this stage with this end, and the queue nothing.
async fn open_run(
    chain: &Chain,
    origin: Origin,
    stage: Option<(Stage, Option<(Status, ErrorKind)>)>,
) -> Ledger {
    let ledger = Ledger::open(&warehouse(chain)).await.unwrap();
    ledger.begin_run(&run(), origin, "host-1").await.unwrap();
    if let Some((stage, end)) = stage {
        let attempt = ledger.begin_stage(&run(), stage).await.unwrap();
        if let Some((status, kind)) = end {
            let error = (status != Status::Succeeded).then(|| Error::new(kind, "as the test says"));
            ledger.end_stage(&run(), stage, attempt, (status, error.as_ref())).await.unwrap();
        }
    }
    ledger
}

/// Waits until the run is closed.
async fn closed(chain: &Chain) -> String {
    until("the end of the run", async || {
        let ended = chain.ledger_of(&run()).await;
        (!ended.starts_with("running")).then_some(ended)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_whose_next_job_was_lost_goes_on_from_there() {
    let chain = Chain::on_redis().await;
    open_run(&chain, Origin::Schedule, Some((Full, Some((Status::Succeeded, ErrorKind::Internal))))).await;
    let worker = chain.worker();
    assert_eq!(closed(&chain).await, "succeeded|");
    assert_eq!(chain.stages_seen(&run()), [Incremental, Content, Notify]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_night_that_was_opened_and_lost_begins() {
    let chain = Chain::on_redis().await;
    open_run(&chain, Origin::Schedule, None).await;
    let worker = chain.worker();
    assert_eq!(closed(&chain).await, "succeeded|");
    assert_eq!(chain.stages_seen(&run()), Stage::NIGHT);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_waited_for_its_next_try_when_it_was_lost_is_tried_again() {
    let chain = Chain::on_redis().await;
    let end = Some((Status::Failed, ErrorKind::Connection));
    open_run(&chain, Origin::Schedule, Some((Incremental, end))).await;
    let worker = chain.worker();
    assert_eq!(closed(&chain).await, "succeeded|");
    assert_eq!(chain.stages_seen(&run()), [Incremental, Content, Notify]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_had_failed_for_good_when_it_was_lost_is_closed_as_that() {
    let chain = Chain::on_redis().await;
    let end = Some((Status::Failed, ErrorKind::Privilege));
    open_run(&chain, Origin::Schedule, Some((Incremental, end))).await;
    let worker = chain.worker();
    assert_eq!(closed(&chain).await, "failed|privilege");
    assert!(chain.stages_seen(&run()).is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_was_at_work_when_everything_was_lost_is_interrupted() {
    let chain = Chain::on_redis().await;
    open_run(&chain, Origin::Restart, Some((Full, None))).await;
    let worker = chain.worker();
    assert_eq!(closed(&chain).await, "interrupted|interrupted");
    assert_eq!(chain.attempts_of(&run(), Full).await, ["1|interrupted"]);
    worker.stop().await;

    let chain = Chain::on_redis().await.with("ON_INTERRUPTED", "resume");
    open_run(&chain, Origin::Restart, Some((Full, None))).await;
    let worker = chain.worker();
    assert_eq!(closed(&chain).await, "succeeded|");
    assert_eq!(chain.attempts_of(&run(), Full).await, ["1|interrupted", "2|succeeded"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_killed_is_closed_by_a_worker_too() {
    let chain = Chain::on_a_file().await;
    open_run(&chain, Origin::Command, Some((Full, None))).await;
    let worker = chain.worker();
    assert_eq!(closed(&chain).await, "interrupted|interrupted");
    assert_eq!(chain.attempts_of(&run(), Full).await, ["1|interrupted"]);
    assert!(chain.stages_seen(&run()).is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_three_workers_died_over_is_given_up() {
    let chain = Chain::on_redis().await.with("ON_INTERRUPTED", "resume").act(Full, &[Act::Hang]);
    // The ledger as two deaths have left it, and the job as it comes back after the third.
    open_run(&chain, Origin::Schedule, Some((Full, None))).await;
    let job = Job { interrupted: true, deaths: 2, ..Job::first(run(), Full, Origin::Schedule) };
    chain.queues().await.push(&job, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    assert_eq!(closed(&chain).await, "failed|internal");
    let error = chain.ended(&run(), Full).await[0].error.clone().unwrap();
    assert!(error.starts_with("3 workers died"), "{error}");
    assert!(chain.stages_seen(&run()).is_empty());
    worker.stop().await;
}

async fn run_now(jobs: Jobs) -> Result<(), Error> {
    jobs.run_now(&[Notify], Origin::Command, &CancellationToken::new()).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_keeps_out_between_two_stages_of_a_night_and_waits_where_it_is_told_to() {
    let chain = Chain::on_redis().await;
    open_run(&chain, Origin::Schedule, Some((Full, Some((Status::Succeeded, ErrorKind::Internal))))).await;
    let next = Job::first(run(), Incremental, Origin::Schedule);
    chain.queues().await.push(&next, Duration::from_secs(2)).await.unwrap();
    let error = run_now(chain.jobs()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().starts_with("run 20261120T041000Z is open since"), "{error}");
    assert!(error.operator_hint().unwrap().contains("--wait"), "{error:?}");

    let waiting = tokio::spawn(run_now(chain.jobs().waiting(Some(Duration::from_secs(90)))));
    let worker = chain.worker();
    waiting.await.unwrap().unwrap();
    let order: Vec<Stage> = chain.seen.lock().unwrap().started.iter().map(|(_, stage, _)| *stage).collect();
    assert_eq!(order, [Incremental, Content, Notify, Notify], "the command's stage came last");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_night_that_has_no_job_left_keeps_no_command_out() {
    let chain = Chain::on_redis().await;
    open_run(&chain, Origin::Schedule, Some((Full, Some((Status::Succeeded, ErrorKind::Internal))))).await;
    run_now(chain.jobs()).await.unwrap();
    assert_eq!(chain.ledger_of(&run()).await, "interrupted|interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_redis_lost_before_it_began_is_put_on_its_queue_again() {
    let mut chain = Chain::on_redis().await;
    Ledger::open(&warehouse(&chain)).await.unwrap();
    let (tick, pattern) = in_four_seconds();
    chain.schedule = Some(pattern);
    let queues = chain.queues().await;
    queues.pause(Full).await.unwrap();
    let worker = chain.worker();
    until("the night to be on its queue", async || {
        (!queues.jobs(Full).await.unwrap().is_empty()).then_some(())
    })
    .await;
    let mut redis =
        redis::Client::open(chain.redis_url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await.unwrap();
    chain.ended(&RunId::at(tick), Notify).await;
    assert_eq!(chain.stages_seen(&RunId::at(tick)), Stage::NIGHT);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_night_that_no_worker_took_in_time_does_not_begin_at_eleven() {
    let chain = Chain::on_redis().await;
    let hours_ago = nightferry::clock::now() - chrono::TimeDelta::hours(3);
    let night = Job::first(RunId::at(hours_ago), Full, Origin::Schedule);
    chain.queues().await.push(&night, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    chain.ended(&night.run, Full).await;
    assert!(chain.stages_seen(&night.run).is_empty());
    assert_eq!(chain.ledger_of(&night.run).await, "interrupted|interrupted");
    worker.stop().await;

    let chain = chain.with("SCHEDULE_MISSED", "run");
    let night = Job::first(RunId::at(hours_ago - chrono::TimeDelta::hours(1)), Full, Origin::Schedule);
    chain.queues().await.push(&night, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    chain.ended(&night.run, Notify).await;
    assert_eq!(chain.stages_seen(&night.run), Stage::NIGHT);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_waits_for_another_one_is_not_late() {
    let chain = Chain::on_redis().await;
    let hours_ago = nightferry::clock::now() - chrono::TimeDelta::hours(3);
    let due = Some(nightferry::clock::now());
    let night = Job { due, seq: 180, ..Job::first(RunId::at(hours_ago), Full, Origin::Schedule) };
    chain.queues().await.push(&night, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    chain.ended(&night.run, Notify).await;
    assert_eq!(chain.stages_seen(&night.run), Stage::NIGHT);
    worker.stop().await;
}
