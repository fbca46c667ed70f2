//! `nightferry queue` and the guard of `nightferry restart`: the real binary on real stores, beside a worker with small stages.

use std::process::Output;
use std::time::Duration;

use nightferry::adapters::ledger::{Ledger, Origin, Status};
use nightferry::adapters::postgres::WarehouseLock;
use nightferry::adapters::queue::{Job, JobStatus, Queues};
use nightferry::error::ErrorKind;
use nightferry::ids::{RunId, Stage};
use serde_json::Value;

use crate::queue_chain::{Act, Chain, on_each_store, warehouse};
use crate::support::until;

use Stage::{FullReplication as Full, IncrementalReplication as Incremental, Notification as Notify};

on_each_store! {
    the_jobs_of_each_queue_are_counted
    a_failed_job_is_listed_and_shown_with_what_to_do
    an_unknown_job_is_answered_with_its_like
    a_failed_job_that_is_retried_goes_on_in_its_run
    a_job_is_not_retried_while_its_run_is_open
    a_job_that_waits_is_cancelled_with_its_run
    a_job_at_work_is_stopped_when_it_is_cancelled
    a_job_that_waits_for_its_next_try_behind_another_is_cancelled
    a_job_is_removed_unless_it_is_at_work
    a_stage_is_not_restarted_beside_a_night_unless_after_it
    a_stage_is_not_restarted_beside_a_command
}

const RUN: &str = "20261120T041000Z";

fn job(run: &str, stage: Stage) -> Job {
    Job::first(RunId::from(run.to_owned()), stage, Origin::Restart)
}

async fn push(queues: &Queues, job: &Job, delay: u64) {
    assert!(queues.push(job, Duration::from_secs(delay)).await.unwrap());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a command answers that must end well.
async fn say(chain: &Chain, arguments: &[&str]) -> String {
    let output = chain.binary(arguments).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn json(chain: &Chain, arguments: &[&str]) -> Value {
    let answer = say(chain, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The sentence and the hint of a command that must be refused.
async fn refused(chain: &Chain, arguments: &[&str], code: i32) -> String {
    let Output { status, stdout, stderr } = chain.binary(arguments).await;
    assert_eq!(status.code(), Some(code), "{arguments:?}: {} {}", text(&stdout), text(&stderr));
    assert_eq!(text(&stdout), "", "{arguments:?}");
    text(&stderr)
}

async fn status(queues: &Queues, id: &str) -> Option<JobStatus> {
    queues.find(id).await.unwrap().map(|queued| queued.status)
}

/// A night whose full stage has failed for good; gives its run.
async fn failed_night(chain: &Chain) -> RunId {
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.ended(&run, Full).await;
    worker.stop().await;
    run
}

async fn the_jobs_of_each_queue_are_counted(chain: Chain) {
    let chain = chain.act(Full, &[Act::Fail(ErrorKind::Privilege)]);
    let workers = async || {
        let counts = json(&chain, &["queue", "stats"]).await;
        let of_each = counts.as_array().unwrap().iter();
        of_each.map(|queue| queue["workers"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(workers().await, [0; Stage::ALL.len()]);
    let worker = chain.worker();
    until("its workers", async || (workers().await == [1; Stage::ALL.len()]).then_some(())).await;
    worker.stop().await;
    failed_night(&chain).await;
    let queues = chain.queues().await;
    push(&queues, &job(RUN, Full), 0).await;
    push(&queues, &job("20261120T041001Z", Full), 3600).await;
    let numbers = async |command: &str| {
        let counts = json(&chain, &["queue", command]).await;
        let full = counts[0].clone();
        assert_eq!(
            (&full["stage"], &full["queue"]),
            (&"full-replication".into(), &"Replication queue".into())
        );
        assert_eq!(counts.as_array().unwrap().len(), Stage::ALL.len());
        ["waiting", "active", "completed", "failed", "delayed", "paused"]
            .map(|word| full[word].as_u64().unwrap())
    };
    assert_eq!(numbers("stats").await, [1, 0, 0, 1, 1, 0]);
    assert_eq!(numbers("pause").await, [0, 0, 0, 1, 1, 1], "as Bull counts a paused queue");
    assert_eq!(queues.paused().await.unwrap(), Stage::ALL);
    let told = say(&chain, &["queue", "resume", "full-replication", "event"]).await;
    assert!(told.contains("Replication queue   ") && told.contains("Notification queue (paused)"), "{told}");
    assert_eq!(numbers("stats").await, [1, 0, 0, 1, 1, 0]);
    assert_eq!(numbers("resume").await, [1, 0, 0, 1, 1, 0]);
    assert!(queues.paused().await.unwrap().is_empty());
}

async fn a_failed_job_is_listed_and_shown_with_what_to_do(chain: Chain) {
    let chain = chain.act(Full, &[Act::Fail(ErrorKind::Privilege)]);
    assert_eq!(say(&chain, &["queue", "failed"]).await, "No job has failed.\n");
    let run = failed_night(&chain).await;
    let id = format!("{run}.full-replication.1");
    let failed = json(&chain, &["queue", "failed"]).await;
    assert_eq!(failed.as_array().unwrap().len(), 1);
    let said = (&failed[0]["id"], &failed[0]["error_kind"], &failed[0]["hint"]);
    assert_eq!(said, (&id.as_str().into(), &"privilege".into(), &"read the test".into()));
    assert_eq!(failed[0]["error"], "work: as the test says");

    let shown = json(&chain, &["queue", "show", &id]).await;
    assert_eq!((&shown["state"], &shown["attempt"]), (&"failed".into(), &1.into()));
    assert_eq!(shown["run_history"]["status"], "failed");
    assert_eq!(
        (&shown["attempts"][0]["status"], &shown["attempts"][0]["attempt"]),
        (&"failed".into(), &1.into())
    );
    assert!(
        shown["taken_at"].as_str() <= shown["ended_at"].as_str() && shown["ended_at"].is_string(),
        "{shown}"
    );
    let told = say(&chain, &["queue", "show", &id]).await;
    for line in ["  kind: privilege", "  error: work: as the test says", "  hint: read the test", "  by: "] {
        assert!(told.contains(line), "{line}: {told}");
    }

    // The queue has enough to say when the warehouse is away.
    let away = chain.with("TARGET_DATABASE_URL", "postgres://nobody:canary@127.0.0.1:1/warehouse");
    let shown = json(&away, &["queue", "show", &id]).await;
    assert_eq!((&shown["error"], &shown["error_kind"]), (&"work: as the test says".into(), &Value::Null));
    let why = shown["ledger_error"].as_str().unwrap();
    assert!(why.contains("warehouse") && !why.contains("canary"), "{why}");
    assert_eq!(json(&away, &["queue", "failed"]).await[0]["id"], id.as_str());
}

async fn an_unknown_job_is_answered_with_its_like(chain: Chain) {
    push(&chain.queues().await, &job(RUN, Full), 0).await;
    for command in ["show", "retry", "cancel", "remove"] {
        let told = refused(&chain, &["queue", command, "20261120T041000Z.full-replication.2"], 2).await;
        assert!(told.contains("no job \"20261120T041000Z.full-replication.2\""), "{told}");
        assert!(told.contains("near to it: 20261120T041000Z.full-replication.1\n"), "{told}");
    }
}

async fn a_failed_job_that_is_retried_goes_on_in_its_run(chain: Chain) {
    let chain = chain.act(Full, &[Act::Fail(ErrorKind::Privilege)]);
    let run = failed_night(&chain).await;
    let (first, second) = (format!("{run}.full-replication.1"), format!("{run}.full-replication.2"));
    assert_eq!(json(&chain, &["queue", "retry", &first]).await["id"], second.as_str());
    let told = refused(&chain, &["queue", "retry", &first], 1).await;
    assert!(told.contains(&format!("was followed by {second}")), "{told}");
    let told = refused(&chain, &["queue", "retry", &second], 1).await;
    assert!(told.contains("did not fail, it has not ended"), "{told}");
    let worker = chain.worker();
    chain.ended(&run, Notify).await;
    worker.stop().await;
    assert_eq!(chain.ledger_of(&run).await, "succeeded|");
    assert_eq!(chain.attempts_of(&run, Full).await, ["1|failed", "2|succeeded"]);
    assert_eq!(chain.stages_seen(&run).len(), 5, "the failed one, and four that ended well");
    let told = refused(&chain, &["queue", "retry", &second], 1).await;
    assert!(told.contains("did not fail, it ended well"), "{told}");
}

async fn a_job_is_not_retried_while_its_run_is_open(chain: Chain) {
    let (queues, ledger) = (chain.queues().await, Ledger::open(&warehouse(&chain)).await.unwrap());
    let job = job(RUN, Incremental);
    push(&queues, &job, 0).await;
    queues.withdraw(&job, "as the test says").await.unwrap();
    ledger.begin_run(&job.run, Origin::Schedule, "host-1").await.unwrap();
    let told = refused(&chain, &["queue", "retry", &job.id()], 1).await;
    assert!(told.contains("run 20261120T041000Z is open"), "{told}");
    ledger.end_run(&job.run, (Status::Failed, None)).await.unwrap();
    say(&chain, &["queue", "retry", &job.id()]).await;
}

async fn a_job_that_waits_is_cancelled_with_its_run(chain: Chain) {
    let chain = chain.with("NOTIFICATIONS", r#"[{"url":"http://127.0.0.1:1/","events":["interrupted"]}]"#);
    let (queues, ledger) = (chain.queues().await, Ledger::open(&warehouse(&chain)).await.unwrap());
    // The next try of a night that is open, and a night that has not begun.
    let (open, new) = (job(RUN, Full).again(2), job("20261120T041001Z", Full));
    ledger.begin_run(&open.run, Origin::Restart, "host-1").await.unwrap();
    push(&queues, &open, 3600).await;
    push(&queues, &new, 0).await;
    for (job, was) in [(&open, "delayed"), (&new, "waiting")] {
        assert_eq!(json(&chain, &["queue", "cancel", &job.id()]).await["was"], was);
        assert_eq!(status(&queues, &job.id()).await, Some(JobStatus::Failed));
        assert_eq!(chain.ledger_of(&job.run).await, "interrupted|cancelled");
        let told = refused(&chain, &["queue", "cancel", &job.id()], 1).await;
        assert!(told.contains("has ended") && told.contains("nothing of its run is open"), "{told}");
    }
    assert!(ledger.open_runs().await.unwrap().is_empty());
    let events = queues.jobs(Stage::Event).await.unwrap();
    let told: Vec<String> = events.iter().map(|event| event.job.notice.as_ref().unwrap().id()).collect();
    assert_eq!(
        told,
        [&open, &new].map(|job| format!("{}.interrupted", job.id())),
        "who asked for it is told"
    );
    let failed = json(&chain, &["queue", "failed"]).await;
    assert_eq!(failed[0]["error"], "cancelled by an operator");
    // It is no worse than one that failed.
    say(&chain, &["queue", "retry", &new.id()]).await;
    let worker = chain.worker();
    chain.ended(&new.run, Notify).await;
    worker.stop().await;
    assert_eq!(chain.ledger_of(&new.run).await, "succeeded|");
    assert!(chain.stages_seen(&open.run).is_empty());
}

async fn a_job_at_work_is_stopped_when_it_is_cancelled(chain: Chain) {
    let chain = chain.act(Full, &[Act::Hang]).with("ON_INTERRUPTED", "resume");
    let worker = chain.worker();
    let run = chain.restart(Full).await;
    chain.started(1).await;
    let id = format!("{run}.full-replication.1");
    let start = std::time::Instant::now();
    assert_eq!(say(&chain, &["queue", "cancel", &id]).await, format!("{id} was active, and is cancelled.\n"));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(chain.seen.lock().unwrap().at_work, 0, "the stage was dropped");
    assert_eq!(chain.ledger_of(&run).await, "interrupted|cancelled");
    assert_eq!(chain.attempts_of(&run, Full).await, ["1|interrupted"]);
    let jobs = chain.ended(&run, Full).await;
    assert_eq!(jobs.len(), 1, "nobody resumes what was cancelled");
    // Nothing of the request is left: its next try runs.
    say(&chain, &["queue", "retry", &id]).await;
    chain.ended(&run, Notify).await;
    worker.stop().await;
    assert_eq!(chain.ledger_of(&run).await, "succeeded|");
}

async fn a_job_that_waits_for_its_next_try_behind_another_is_cancelled(chain: Chain) {
    // The night is at work; one that was put after it is taken, and put back, again and again.
    let chain = chain.act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let (night, push) = (chain.restart(Full).await, chain.restart(Stage::BackupPush).await);
    chain.started(2).await;
    let after = chain.restart(Notify).await;
    let id = format!("{after}.notification.1");
    let changed = json(&chain, &["queue", "cancel", &id]).await;
    assert!(["active", "waiting"].contains(&changed["was"].as_str().unwrap()), "{changed}");
    let jobs = chain.ended(&after, Notify).await;
    assert_eq!(jobs.last().unwrap().status, JobStatus::Failed);
    assert!(chain.stages_seen(&after).is_empty());
    assert_eq!(chain.attempts_of(&night, Full).await, ["1|running"], "another one goes on");
    chain.ended(&push, Stage::BackupPush).await;
    worker.stop().await;
}

async fn a_job_is_removed_unless_it_is_at_work(chain: Chain) {
    let chain = chain.act(Full, &[Act::Hang]);
    let (queues, ledger) = (chain.queues().await, Ledger::open(&warehouse(&chain)).await.unwrap());
    let waiting = job(RUN, Incremental);
    ledger.begin_run(&waiting.run, Origin::Restart, "host-1").await.unwrap();
    push(&queues, &waiting, 3600).await;
    assert_eq!(
        say(&chain, &["queue", "remove", &waiting.id()]).await,
        format!("{} was delayed, and is removed.\n", waiting.id())
    );
    assert_eq!(status(&queues, &waiting.id()).await, None);
    assert_eq!(chain.ledger_of(&waiting.run).await, "interrupted|cancelled");

    let worker = chain.worker();
    let at_work = Job::first(chain.restart(Full).await, Full, Origin::Restart);
    chain.started(1).await;
    let told = refused(&chain, &["queue", "remove", &at_work.id()], 1).await;
    assert!(
        told.contains("is at work in ") && told.contains(&format!("queue cancel {}", at_work.id())),
        "{told}"
    );
    worker.stop().await;
    say(&chain, &["queue", "remove", &at_work.id()]).await;
    assert_eq!(status(&queues, &at_work.id()).await, None);
}

async fn a_stage_is_not_restarted_beside_a_night_unless_after_it(chain: Chain) {
    let chain = chain.act(Full, &[Act::Hang]);
    let worker = chain.worker();
    let night = chain.restart(Full).await;
    chain.started(1).await;
    for stage in ["full-replication", "incremental-replication", "schema-export"] {
        let told = refused(&chain, &["restart", stage], 1).await;
        assert!(told.contains(&format!("run {night} is at work on full-replication since 20")), "{told}");
        assert!(told.contains("--after"), "{told}");
    }
    assert!(say(&chain, &["restart", "backup-push"]).await.contains("backup-push"));
    let told = say(&chain, &["restart", "notification", "--after"]).await;
    assert!(told.contains("Notification queue"), "{told}");
    worker.stop().await;
    // The night was interrupted; what was put after it is still open.
    let told = refused(&chain, &["restart", "full-replication"], 1).await;
    // It waits again, or was just being looked at when its worker stopped.
    assert!(told.contains("is open: notification ") || told.contains("is at work on notification"), "{told}");
    let worker = chain.worker();
    let jobs = chain.queues().await.jobs(Notify).await.unwrap();
    chain.ended(&jobs[0].job.run, Notify).await;
    worker.stop().await;
    say(&chain, &["restart", "full-replication"]).await;
}

async fn a_stage_is_not_restarted_beside_a_command(chain: Chain) {
    let database = warehouse(&chain);
    let ledger = Ledger::open(&database).await.unwrap();
    let lock = WarehouseLock::acquire(&database, "20261120T041000Z night on host-1", None).await.unwrap();
    let told = refused(&chain, &["restart", "full-replication"], 1).await;
    assert!(told.contains("20261120T041000Z night on host-1"), "{told}");
    say(&chain, &["restart", "backup-push"]).await;
    lock.release().await;
    // A command that died leaves its run open and no lock; a run of the queue is about to go on.
    let (command, lost) = (RunId::from(RUN.to_owned()), RunId::from("20261120T041001Z".to_owned()));
    ledger.begin_run(&command, Origin::Command, "host-1").await.unwrap();
    ledger.begin_run(&lost, Origin::Schedule, "host-2").await.unwrap();
    let told = refused(&chain, &["restart", "full-replication"], 1).await;
    assert!(
        told.contains("run 20261120T041001Z is open in the ledger since 20") && told.contains("on host-2"),
        "{told}"
    );
    ledger.end_run(&lost, (Status::Interrupted, None)).await.unwrap();
    say(&chain, &["restart", "full-replication"]).await;
}
