//! The chain of jobs on a real queue and a real warehouse, with small stages in place of the product's: each scenario
//! on Redis and on the file.

use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use nightferry::adapters::ledger::{Ledger, Origin, Status};
use nightferry::adapters::postgres::WarehouseLock;
use nightferry::adapters::queue::{Job, JobStatus};
use nightferry::error::ErrorKind;
use nightferry::ids::{RunId, Stage};
use tokio_util::sync::CancellationToken;

use crate::queue_chain::{Act, Chain, on_each_store, statuses, warehouse};
use crate::support::{RedisServer, TestNight, until};

use Stage::{
    FullReplication as Full, IncrementalReplication as Incremental, LearningContentReplication as Content,
    Notification as Notify,
};

on_each_store! {
    the_four_stages_run_in_order_once
    a_stage_that_fails_is_tried_again_later_and_the_chain_goes_on
    what_cannot_succeed_is_not_tried_again
    a_stage_that_goes_on_failing_is_given_up
    a_job_that_is_pushed_twice_exists_once
    a_pushed_job_keeps_its_time
    a_stage_that_panics_fails_and_the_worker_lives_on
    two_workers_on_one_warehouse_run_one_night_after_the_other
    a_restarted_stage_goes_on_to_the_end
    a_job_at_work_is_recorded_as_interrupted_when_the_worker_stops
    an_interrupted_job_starts_again_where_that_is_asked_for
    a_job_whose_worker_died_comes_back_and_is_not_run_again
    a_stage_is_cut_short_when_the_warehouse_lets_go_and_tried_again
    two_workers_with_one_schedule_start_one_night
    a_job_that_waits_for_the_warehouse_is_put_back_when_the_worker_stops
    a_stage_that_had_ended_when_its_worker_died_is_only_handed_over
    a_job_that_was_followed_when_its_worker_died_is_only_acknowledged
    a_push_runs_beside_a_night_and_an_export_after_it
    a_push_in_the_second_of_a_night_is_a_run_of_its_own
}

async fn the_four_stages_run_in_order_once(chain: Chain) {
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.ended(&run, Notify).await;
    assert_eq!(chain.stages_seen(&run), Stage::NIGHT);
    for stage in Stage::NIGHT {
        let jobs = chain.ended(&run, stage).await;
        assert_eq!(statuses(&jobs), [JobStatus::Done], "{stage}");
        assert_eq!(chain.attempts_of(&run, stage).await, ["1|succeeded"], "{stage}");
    }
    assert_eq!(chain.ledger_of(&run).await, "succeeded|");
    worker.stop().await;
}

async fn a_stage_that_fails_is_tried_again_later_and_the_chain_goes_on(chain: Chain) {
    let chain = chain.act(Incremental, &[Act::Fail(ErrorKind::Connection), Act::Fail(ErrorKind::Timeout)]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.ended(&run, Notify).await;
    assert_eq!(chain.stages_seen(&run), [Full, Incremental, Incremental, Incremental, Content, Notify]);
    let jobs = chain.ended(&run, Incremental).await;
    assert_eq!(statuses(&jobs), [JobStatus::Failed, JobStatus::Failed, JobStatus::Done]);
    assert_eq!(jobs[0].error.as_deref(), Some("work: as the test says"));
    assert_eq!(chain.attempts_of(&run, Incremental).await, ["1|failed", "2|failed", "3|succeeded"]);
    assert_eq!(chain.ledger_of(&run).await, "succeeded|");
    let seen = chain.seen.lock().unwrap().started.clone();
    let pauses = [seen[2].2 - seen[1].2, seen[3].2 - seen[2].2];
    assert!(
        pauses[0] >= Duration::from_millis(900) && pauses[1] >= Duration::from_millis(1800),
        "{pauses:?}"
    );
    worker.stop().await;
}

async fn what_cannot_succeed_is_not_tried_again(chain: Chain) {
    let chain = chain.act(Full, &[Act::Fail(ErrorKind::Privilege)]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    assert_eq!(statuses(&chain.ended(&run, Full).await), [JobStatus::Failed]);
    assert_eq!(chain.ledger_of(&run).await, "failed|privilege");
    assert!(chain.queues().await.jobs(Incremental).await.unwrap().is_empty());
    let hint = format!("select hint from nightferry.stages where run_id = '{run}'");
    assert_eq!(chain.night.warehouse.one(&hint).await, "read the test");
    worker.stop().await;
}

async fn a_stage_that_goes_on_failing_is_given_up(chain: Chain) {
    let chain = chain
        .with("MAX_RETRY_COUNT", "1")
        .with("EXPONENTIAL_RETRY_DELAY", "0")
        .act(Full, &[Act::Fail(ErrorKind::Connection), Act::Fail(ErrorKind::Connection)]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    assert_eq!(statuses(&chain.ended(&run, Full).await), [JobStatus::Failed, JobStatus::Failed]);
    assert_eq!(chain.ledger_of(&run).await, "failed|connection");
    assert_eq!(chain.stages_seen(&run), [Full, Full]);
    worker.stop().await;
}

async fn a_job_that_is_pushed_twice_exists_once(chain: Chain) {
    let queues = chain.queues().await;
    let job = Job::first(RunId::from("20261120T041000Z".to_owned()), Full, Origin::Restart);
    assert!(!queues.exists(&job).await.unwrap());
    assert!(queues.push(&job, Duration::ZERO).await.unwrap());
    // Another worker, another connection, another origin: still the same job.
    let other = Job { origin: Origin::Schedule, ..job.clone() };
    assert!(!chain.queues().await.push(&other, Duration::ZERO).await.unwrap());
    assert!(queues.exists(&job).await.unwrap());
    let jobs: Vec<Job> = queues.jobs(Full).await.unwrap().into_iter().map(|queued| queued.job).collect();
    assert_eq!(jobs, std::slice::from_ref(&job));
    let worker = chain.worker();
    chain.ended(&job.run, Notify).await;
    assert!(!queues.push(&job, Duration::ZERO).await.unwrap(), "a job that has ended is not run again");
    assert_eq!(chain.stages_seen(&job.run), Stage::NIGHT);
    worker.stop().await;
}

async fn a_pushed_job_keeps_its_time(chain: Chain) {
    let worker = chain.worker();
    let queues = chain.queues().await;
    let start = Instant::now();
    let delayed = Job::first(RunId::from("20261120T041000Z".to_owned()), Notify, Origin::Restart);
    queues.push(&delayed, Duration::from_millis(1500)).await.unwrap();
    let listed = queues.jobs(Notify).await.unwrap().remove(0);
    assert_eq!(listed.status, JobStatus::Waiting);
    assert!(listed.not_before.unwrap() > nightferry::clock::now());
    chain.ended(&delayed.run, Notify).await;
    let waited = chain.seen.lock().unwrap().started[0].2 - start;
    assert!(waited >= Duration::from_millis(1500), "{waited:?}");
    worker.stop().await;
}

async fn a_stage_that_panics_fails_and_the_worker_lives_on(chain: Chain) {
    let chain = chain.with("MAX_RETRY_COUNT", "0").act(Full, &[Act::Panic]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    let jobs = chain.ended(&run, Full).await;
    assert_eq!(jobs[0].error.as_deref(), Some("the stage panicked: as the test says"));
    assert_eq!(chain.ledger_of(&run).await, "failed|internal");
    let next = chain.restart(Full).await;
    chain.ended(&next, Notify).await;
    assert_eq!(chain.ledger_of(&next).await, "succeeded|");
    worker.stop().await;
}

async fn two_workers_on_one_warehouse_run_one_night_after_the_other(chain: Chain) {
    let runs = [chain.restart(Full).await, chain.restart(Full).await];
    assert_ne!(runs[0], runs[1], "two runs of one second have two names");
    let workers = [chain.worker(), chain.worker()];
    for run in &runs {
        chain.ended(run, Notify).await;
        assert_eq!(chain.stages_seen(run), Stage::NIGHT);
        assert_eq!(chain.ledger_of(run).await, "succeeded|");
    }
    {
        let seen = chain.seen.lock().unwrap();
        assert_eq!(seen.most_at_work, 1);
        let order: Vec<&RunId> = seen.started.iter().map(|(run, ..)| run).collect();
        let changes = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 1, "the stages of two nights are mixed: {order:?}");
    }
    for worker in workers {
        worker.stop().await;
    }
}

async fn a_restarted_stage_goes_on_to_the_end(chain: Chain) {
    let worker = chain.worker();
    let run = chain.restart(Content).await;
    chain.ended(&run, Notify).await;
    assert_eq!(chain.stages_seen(&run), [Content, Notify]);
    let origin = format!("select origin, status from nightferry.runs where run_id = '{run}'");
    assert_eq!(chain.night.warehouse.one(&origin).await, "restart|succeeded");
    worker.stop().await;
}

async fn a_job_at_work_is_recorded_as_interrupted_when_the_worker_stops(chain: Chain) {
    let chain = chain.act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.started(1).await;
    worker.stop().await;
    assert_eq!(chain.seen.lock().unwrap().at_work, 0, "the stage was dropped");
    assert_eq!(statuses(&chain.ended(&run, Full).await), [JobStatus::Failed]);
    assert_eq!(chain.attempts_of(&run, Full).await, ["1|interrupted"]);
    assert_eq!(chain.ledger_of(&run).await, "interrupted|interrupted");
    // Another job shows that the next worker is at work, and leaves the interrupted one alone.
    let worker = chain.worker();
    let next = chain.restart(Notify).await;
    chain.ended(&next, Notify).await;
    assert_eq!(chain.stages_seen(&run), [Full]);
    worker.stop().await;
}

async fn an_interrupted_job_starts_again_where_that_is_asked_for(chain: Chain) {
    let chain = chain.with("ON_INTERRUPTED", "resume").with("MAX_RETRY_COUNT", "0").act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.started(1).await;
    worker.stop().await;
    let worker = chain.worker();
    chain.ended(&run, Notify).await;
    assert_eq!(chain.attempts_of(&run, Full).await, ["1|interrupted", "2|succeeded"]);
    assert_eq!(chain.ledger_of(&run).await, "succeeded|");
    let jobs = chain.ended(&run, Full).await;
    assert_eq!(jobs[1].job.attempt, 1, "an interruption is no attempt");
    worker.stop().await;
}

async fn a_job_whose_worker_died_comes_back_and_is_not_run_again(chain: Chain) {
    let chain = chain.act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.started(1).await;
    worker.kill().await;
    let worker = chain.worker();
    let queues = chain.queues().await;
    let known = async || queues.workers(Full).await.unwrap();
    until("the new worker", async || (known().await == 2).then_some(())).await;
    let jobs = chain.ended(&run, Full).await;
    assert_eq!(known().await, 1, "who died is not counted");
    assert_eq!(statuses(&jobs), [JobStatus::Failed]);
    assert_eq!(jobs[0].error.as_deref(), Some("the worker died in the middle of the stage"));
    assert_eq!(chain.attempts_of(&run, Full).await, ["1|interrupted"]);
    assert_eq!(chain.ledger_of(&run).await, "interrupted|interrupted");
    assert_eq!(chain.stages_seen(&run), [Full]);
    worker.stop().await;
}

/// Ends the session that holds the warehouse.
async fn let_go_of_the_warehouse(chain: &Chain) {
    let holder = "select pg_terminate_backend(pid) from pg_stat_activity
                  where datname = current_database() and application_name like 'nightferry __:__Z %'";
    chain.night.warehouse.execute(holder).await;
}

async fn a_stage_is_cut_short_when_the_warehouse_lets_go_and_tried_again(chain: Chain) {
    let chain = chain.with("EXPONENTIAL_RETRY_DELAY", "0").act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.started(1).await;
    let_go_of_the_warehouse(&chain).await;
    chain.ended(&run, Notify).await;
    assert_eq!(chain.attempts_of(&run, Full).await, ["1|failed", "2|succeeded"]);
    let error = chain.ended(&run, Full).await[0].error.clone().unwrap();
    assert!(error.starts_with("the lock on the warehouse was lost"), "{error}");
    assert_eq!(chain.seen.lock().unwrap().most_at_work, 1);
    worker.stop().await;
}

async fn a_push_runs_beside_a_night_and_an_export_after_it(chain: Chain) {
    let chain = chain.with("EXPONENTIAL_RETRY_DELAY", "0").act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let night = chain.restart(Full).await;
    chain.started(1).await;
    let export = chain.restart(Stage::SchemaExport).await;
    let push = chain.restart(Stage::BackupPush).await;
    chain.ended(&push, Stage::BackupPush).await;
    assert_eq!(chain.attempts_of(&push, Stage::BackupPush).await, ["1|succeeded"]);
    assert_eq!(chain.attempts_of(&night, Full).await, ["1|running"], "the push left the night alone");
    assert!(chain.stages_seen(&export).is_empty());
    let_go_of_the_warehouse(&chain).await;
    chain.ended(&export, Stage::SchemaExport).await;
    let order: Vec<Stage> = chain.seen.lock().unwrap().started.iter().map(|(_, stage, _)| *stage).collect();
    assert_eq!(
        order,
        [Full, Stage::BackupPush, Full, Incremental, Content, Notify, Stage::SchemaExport],
        "between two stages of a night the warehouse is not whole"
    );
    for run in [&night, &push, &export] {
        assert_eq!(chain.ledger_of(run).await, "succeeded|", "{run}");
    }
    worker.stop().await;
}

/// A time, and the pattern that names it.
pub(crate) fn in_four_seconds() -> (DateTime<Utc>, Cron) {
    let soon = (Utc::now() + TimeDelta::seconds(4)).trunc_subsecs(0);
    let pattern = soon.with_timezone(&chrono_tz::Europe::Paris).format("%S %M %H * * *").to_string();
    let parser = CronParser::builder().seconds(Seconds::Required).build();
    (soon, parser.parse(&pattern).unwrap())
}

async fn a_push_in_the_second_of_a_night_is_a_run_of_its_own(chain: Chain) {
    let mut chain = chain.with("S3_BUCKET_NAME", "backups");
    let (soon, pattern) = in_four_seconds();
    chain.schedule = Some(pattern.clone());
    chain.push_schedule = Some(pattern);
    let workers = [chain.worker(), chain.worker()];
    let (night, push) = (RunId::at(soon), RunId::of(Stage::BackupPush, soon));
    let jobs = chain.ended(&push, Stage::BackupPush).await;
    assert_eq!((jobs.len(), jobs[0].job.origin), (1, Origin::Schedule));
    chain.ended(&night, Notify).await;
    assert_eq!(chain.stages_seen(&push), [Stage::BackupPush]);
    assert_eq!(chain.stages_seen(&night), Stage::NIGHT);
    for run in [&night, &push] {
        assert_eq!(chain.ledger_of(run).await, "succeeded|", "{run}");
    }
    for worker in workers {
        worker.stop().await;
    }
}

async fn two_workers_with_one_schedule_start_one_night(mut chain: Chain) {
    let (soon, pattern) = in_four_seconds();
    chain.schedule = Some(pattern);
    let night = RunId::at(soon);
    let workers = [chain.worker(), chain.worker()];
    let jobs = chain.ended(&night, Full).await;
    assert_eq!((jobs.len(), jobs[0].job.origin), (1, Origin::Schedule));
    chain.ended(&night, Notify).await;
    assert_eq!(chain.seen.lock().unwrap().started.len(), Stage::NIGHT.len());
    assert_eq!(chain.stages_seen(&night), Stage::NIGHT);
    assert!(chain.seen.lock().unwrap().first_start() >= soon, "no night starts early");
    for worker in workers {
        worker.stop().await;
    }
}

async fn a_job_that_waits_for_the_warehouse_is_put_back_when_the_worker_stops(chain: Chain) {
    let lock = WarehouseLock::acquire(&warehouse(&chain), "somebody else", None).await.unwrap();
    let run = chain.restart(Full).await;
    let queues = chain.queues().await;
    let worker = chain.worker();
    until("the job to be taken", async || {
        (queues.jobs(Full).await.unwrap()[0].status == JobStatus::Running).then_some(())
    })
    .await;
    worker.stop().await;
    let jobs = queues.jobs(Full).await.unwrap();
    assert_eq!(statuses(&jobs), [JobStatus::Done, JobStatus::Waiting]);
    assert_eq!((jobs[1].job.seq, jobs[1].job.attempt), (2, 1), "waiting is no attempt");
    assert!(chain.stages_seen(&run).is_empty());
    lock.release().await;
    let worker = chain.worker();
    chain.ended(&run, Notify).await;
    assert_eq!(chain.stages_seen(&run), Stage::NIGHT);
    worker.stop().await;
}

/// A job as it comes back from a worker that died, whose full stage has this status in the ledger.
async fn come_back(chain: &Chain, status: Status) -> Job {
    let run = RunId::from("20261120T041000Z".to_owned());
    let ledger = Ledger::open(&warehouse(chain)).await.unwrap();
    ledger.begin_run(&run, Origin::Schedule, "host-1").await.unwrap();
    let attempt = ledger.begin_stage(&run, Full).await.unwrap();
    ledger.end_stage(&run, Full, attempt, (status, None)).await.unwrap();
    Job { interrupted: true, ..Job::first(run, Full, Origin::Schedule) }
}

async fn a_stage_that_had_ended_when_its_worker_died_is_only_handed_over(chain: Chain) {
    let job = come_back(&chain, Status::Succeeded).await;
    chain.queues().await.push(&job, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    chain.ended(&job.run, Notify).await;
    assert_eq!(chain.stages_seen(&job.run), [Incremental, Content, Notify]);
    assert_eq!(chain.ledger_of(&job.run).await, "succeeded|");
    worker.stop().await;
}

async fn a_job_that_was_followed_when_its_worker_died_is_only_acknowledged(chain: Chain) {
    // The follow-up after a failed try: it waits, and the first job must not run beside it.
    let job = come_back(&chain, Status::Failed).await;
    let queues = chain.queues().await;
    queues.push(&job.again(2), Duration::from_secs(3600)).await.unwrap();
    queues.push(&job, Duration::ZERO).await.unwrap();
    let worker = chain.worker();
    until("the job to be acknowledged", async || {
        (queues.jobs(Full).await.unwrap()[0].status == JobStatus::Done).then_some(())
    })
    .await;
    assert_eq!(statuses(&queues.jobs(Full).await.unwrap()), [JobStatus::Done, JobStatus::Waiting]);
    assert!(chain.stages_seen(&job.run).is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_the_warehouse_is_told_who_has_it_and_gets_it_when_it_is_free() {
    let chain = Chain::on_a_file().await;
    let database = warehouse(&chain);
    let lock = WarehouseLock::acquire(&database, "20261120T041000Z full on host-1", None).await.unwrap();
    let error = WarehouseLock::acquire(&database, "me", Some(Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().ends_with("Z: 20261120T041000Z full on host-1"), "{error}");
    let waiting = tokio::spawn({
        let database = database.clone();
        async move { WarehouseLock::acquire(&database, "me", Some(Duration::from_secs(30))).await }
    });
    lock.release().await;
    let next = waiting.await.unwrap().unwrap();
    // Dropped without a word, as by a process that is killed.
    drop(next);
    WarehouseLock::acquire(&database, "again", Some(Duration::from_secs(30))).await.unwrap().release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_its_stages_in_order_and_stops_at_the_first_failure() {
    let chain = Chain::on_a_file().await.act(Content, &[Act::Fail(ErrorKind::Rejected)]);
    let (outcomes, result) =
        chain.jobs().run_now(&[Full, Incremental], Origin::Command, &CancellationToken::new()).await;
    result.unwrap();
    let done: Vec<(Stage, &str)> =
        outcomes.iter().map(|(stage, outcome)| (*stage, outcome.steps[0].step)).collect();
    assert_eq!(done, [(Full, "work"), (Incremental, "work")]);
    let ledger = "select status, error_kind from nightferry.runs order by started_at desc limit 1";
    assert_eq!(chain.night.warehouse.one(ledger).await, "succeeded|");

    let (outcomes, result) =
        chain.jobs().run_now(&[Content, Notify], Origin::Command, &CancellationToken::new()).await;
    assert_eq!(outcomes.len(), 1, "what the failed stage did is reported too");
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(chain.night.warehouse.one(ledger).await, "failed|rejected");
    let order: Vec<Stage> = chain.seen.lock().unwrap().started.iter().map(|(_, stage, _)| *stage).collect();
    assert_eq!(order, [Full, Incremental, Content]);
    assert!(!chain.night.path("queue.sqlite").exists(), "no queue is needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_does_not_run_beside_a_job_and_says_which() {
    let chain = Chain::on_a_file().await.act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.started(1).await;
    let error =
        chain.jobs().run_now(&[Notify], Origin::Command, &CancellationToken::new()).await.1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&format!("{run} full on ")), "{error}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_killed_is_closed_by_the_next_one() {
    let chain = Chain::on_a_file().await.act(Full, &[Act::Hang]);
    let jobs = chain.jobs();
    let command =
        tokio::spawn(async move { jobs.run_now(&[Full], Origin::Command, &CancellationToken::new()).await });
    chain.started(1).await;
    command.abort();
    assert!(command.await.unwrap_err().is_cancelled());
    // Another second, another run.
    until("the next second", async || {
        let sql = "select count(*) from nightferry.runs where run_id = to_char(now() at time zone 'utc', 'YYYYMMDD\"T\"HH24MISS\"Z\"')";
        (chain.night.warehouse.one(sql).await == "0").then_some(())
    })
    .await;
    chain.jobs().run_now(&[Notify], Origin::Command, &CancellationToken::new()).await.1.unwrap();
    let runs = chain.night.warehouse.rows("select status from nightferry.runs order by started_at").await;
    assert_eq!(runs, ["interrupted", "succeeded"]);
    let stages =
        chain.night.warehouse.rows("select stage, status from nightferry.stages order by started_at").await;
    assert_eq!(stages, ["full-replication|interrupted", "notification|succeeded"]);
}

async fn refused_by_redis(wrong: impl FnOnce(&RedisServer) -> String) {
    let redis = RedisServer::start();
    let url = wrong(&redis);
    let chain = Chain::new(vec![("REDIS_URL", url)], TestNight::new().await, Some(redis));
    let error = chain.jobs().restart(Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().starts_with("cannot connect to Redis"), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert!(error.operator_hint().unwrap().contains("REDIS_URL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_redis_password_is_told_at_once_and_not_shown() {
    refused_by_redis(|redis| redis.url().replace(redis.password(), "wr0ng-canary")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_redis_password_is_told_at_once() {
    refused_by_redis(|redis| redis.url().replace(&format!(":{}@", redis.password()), "")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_database_that_is_not_there_is_told_at_once() {
    refused_by_redis(|redis| format!("{}99", redis.url())).await;
}
