//! What operators say of queues and jobs, on the real stores: a queue is paused, a job is withdrawn, removed, cancelled.

use std::time::Duration;

use nightferry::adapters::ledger::Origin;
use nightferry::adapters::queue::{Job, JobStatus, Queues};
use nightferry::ids::{RunId, Stage};

use crate::queue_chain::{Act, Chain, on_each_store, statuses};
use crate::support::until;

use Stage::{FullReplication as Full, Notification as Notify};

on_each_store! {
    a_paused_queue_keeps_its_jobs_until_it_is_resumed
    a_job_that_is_pushed_at_the_moment_of_a_pause_does_not_begin
    a_job_at_work_ends_after_its_queue_was_paused_and_the_next_one_waits
    a_job_that_nobody_took_can_be_withdrawn_and_stays_on_record
    a_job_can_be_removed_unless_it_is_in_hand
    a_cancelled_job_is_no_more_so_once_it_has_ended
    a_job_is_found_by_the_name_that_logs_print
}

fn job(run: &str, stage: Stage) -> Job {
    Job::first(RunId::from(run.to_owned()), stage, Origin::Restart)
}

async fn push(queues: &Queues, job: &Job) {
    assert!(queues.push(job, Duration::ZERO).await.unwrap());
}

async fn status(queues: &Queues, job: &Job) -> JobStatus {
    queues.find(&job.id()).await.unwrap().unwrap().status
}

/// A job on another queue that comes and goes: the worker is up, and has looked at its queues.
async fn another_job_passes(chain: &Chain, run: &str) {
    let other = job(run, Notify);
    push(&chain.queues().await, &other).await;
    chain.ended(&other.run, Notify).await;
}

async fn a_paused_queue_keeps_its_jobs_until_it_is_resumed(chain: Chain) {
    let queues = chain.queues().await;
    queues.pause(Full).await.unwrap();
    queues.pause(Full).await.unwrap();
    assert_eq!(queues.paused().await.unwrap(), [Full]);
    let waiting = job("20261120T041000Z", Full);
    push(&queues, &waiting).await;
    let worker = chain.worker();
    another_job_passes(&chain, "20261120T041001Z").await;
    // A queue that is left alone is looked at twice in the time that this takes.
    another_job_passes(&chain, "20261120T041002Z").await;
    assert_eq!(status(&queues, &waiting).await, JobStatus::Waiting);
    assert!(chain.stages_seen(&waiting.run).is_empty());
    queues.resume(Full).await.unwrap();
    assert!(!queues.is_paused(Full).await.unwrap());
    chain.ended(&waiting.run, Notify).await;
    assert_eq!(chain.stages_seen(&waiting.run), Stage::NIGHT);
    worker.stop().await;
}

async fn a_job_that_is_pushed_at_the_moment_of_a_pause_does_not_begin(chain: Chain) {
    let queues = chain.queues().await;
    let worker = chain.worker();
    another_job_passes(&chain, "20261120T041000Z").await;
    for round in 1..=4 {
        let waiting = job(&format!("20261120T04200{round}Z"), Full);
        // The worker sees the pause after up to half a second, and the job as well: mostly it takes the job first.
        queues.pause(Full).await.unwrap();
        push(&queues, &waiting).await;
        another_job_passes(&chain, &format!("20261120T04300{round}Z")).await;
        another_job_passes(&chain, &format!("20261120T04310{round}Z")).await;
        assert!(chain.stages_seen(&waiting.run).is_empty());
        queues.resume(Full).await.unwrap();
        chain.ended(&waiting.run, Notify).await;
        let jobs = chain.ended(&waiting.run, Full).await;
        assert_eq!(statuses(&jobs), [JobStatus::Done], "it was put back as it was");
        assert_eq!(chain.attempts_of(&waiting.run, Full).await, ["1|succeeded"]);
        assert_eq!(chain.ledger_of(&waiting.run).await, "succeeded|");
    }
    worker.stop().await;
}

async fn a_job_at_work_ends_after_its_queue_was_paused_and_the_next_one_waits(chain: Chain) {
    let queues = chain.queues().await;
    let worker = chain.worker();
    let (first, second) = (job("20261120T041000Z", Full), job("20261120T041001Z", Full));
    push(&queues, &first).await;
    chain.started(1).await;
    queues.pause(Full).await.unwrap();
    push(&queues, &second).await;
    chain.ended(&first.run, Notify).await;
    assert_eq!(statuses(&chain.ended(&first.run, Full).await), [JobStatus::Done]);
    another_job_passes(&chain, "20261120T041002Z").await;
    assert_eq!(status(&queues, &second).await, JobStatus::Waiting);
    assert!(chain.stages_seen(&second.run).is_empty());
    queues.resume(Full).await.unwrap();
    chain.ended(&second.run, Notify).await;
    assert_eq!(chain.attempts_of(&second.run, Full).await, ["1|succeeded"]);
    worker.stop().await;
}

async fn a_job_that_nobody_took_can_be_withdrawn_and_stays_on_record(chain: Chain) {
    let queues = chain.queues().await;
    let (now, later) = (job("20261120T041000Z", Full), job("20261120T041001Z", Full));
    push(&queues, &now).await;
    queues.push(&later, Duration::from_secs(3600)).await.unwrap();
    for job in [&now, &later] {
        assert!(queues.withdraw(job, "nobody wants it").await.unwrap());
        let ended = queues.find(&job.id()).await.unwrap().unwrap();
        assert_eq!((ended.status, ended.error.as_deref()), (JobStatus::Failed, Some("nobody wants it")));
        assert!((chrono::Utc::now() - ended.done_at.unwrap()).num_seconds().abs() < 60);
        assert!(!queues.push(job, Duration::ZERO).await.unwrap(), "it is known");
        assert!(!queues.withdraw(job, "another reason").await.unwrap(), "it has ended");
    }
    let worker = chain.worker();
    another_job_passes(&chain, "20261120T041002Z").await;
    another_job_passes(&chain, "20261120T041003Z").await;
    assert!(chain.stages_seen(&now.run).is_empty());
    worker.stop().await;
}

async fn a_job_can_be_removed_unless_it_is_in_hand(chain: Chain) {
    let chain = chain.act(Full, &[Act::Hang]);
    let queues = chain.queues().await;
    let (waiting, at_work) = (job("20261120T041000Z", Full), job("20261120T041001Z", Full));
    push(&queues, &waiting).await;
    assert!(queues.remove(&waiting).await.unwrap());
    assert!(queues.find(&waiting.id()).await.unwrap().is_none());
    assert!(queues.remove(&waiting).await.unwrap(), "gone is gone");
    let worker = chain.worker();
    push(&queues, &at_work).await;
    chain.started(1).await;
    assert!(!queues.remove(&at_work).await.unwrap());
    assert!(!queues.withdraw(&at_work, "too late").await.unwrap());
    assert_eq!(status(&queues, &at_work).await, JobStatus::Running);
    worker.stop().await;
    assert_eq!(status(&queues, &at_work).await, JobStatus::Failed);
    assert!(queues.remove(&at_work).await.unwrap());
    push(&queues, &at_work).await;
    let worker = chain.worker();
    chain.ended(&at_work.run, Notify).await;
    worker.stop().await;
}

async fn a_cancelled_job_is_no_more_so_once_it_has_ended(chain: Chain) {
    let queues = chain.queues().await;
    let (ours, other) = (job("20261120T041000Z", Full), job("20261120T041001Z", Full));
    assert!(!queues.is_cancelled(&ours).await.unwrap());
    for job in [&ours, &other] {
        queues.ask_to_cancel(job).await.unwrap();
        assert!(chain.queues().await.is_cancelled(job).await.unwrap());
    }
    let worker = chain.worker();
    push(&queues, &ours).await;
    chain.ended(&ours.run, Full).await;
    assert!(chain.stages_seen(&ours.run).is_empty(), "it does not begin");
    worker.stop().await;
    assert!(!queues.is_cancelled(&ours).await.unwrap());
    assert!(queues.is_cancelled(&other).await.unwrap());
    assert!(queues.remove(&other).await.unwrap());
    assert!(!queues.is_cancelled(&other).await.unwrap(), "a mark goes with its job");
}

async fn a_job_is_found_by_the_name_that_logs_print(chain: Chain) {
    let queues = chain.queues().await;
    let pushed = job("20261120T041000Z", Full);
    push(&queues, &pushed).await;
    assert!(queues.find("20261120T041000Z.full-replication.2").await.unwrap().is_none());
    let found = queues.find("20261120T041000Z.full-replication.1").await.unwrap().unwrap();
    assert_eq!((&found.job, found.status, found.held_by), (&pushed, JobStatus::Waiting, None));
    let worker = chain.worker();
    let ended = until("the job to end", async || {
        let found = queues.find(&pushed.id()).await.unwrap().unwrap();
        (!found.status.is_open()).then_some(found)
    })
    .await;
    assert!(ended.held_by.unwrap().contains("full-replication"));
    assert!(ended.taken_at.unwrap() <= ended.done_at.unwrap());
    worker.stop().await;
}
