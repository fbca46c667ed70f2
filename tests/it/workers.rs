//! Real worker processes, killed, stopped and cut off at each stage of a night: it ends once, and never has two writers.

use std::time::{Duration, Instant};

use futures::future::join_all;
use nightferry::adapters::postgres::WarehouseLock;
use nightferry::events::LOCK_WAITING;
use nightferry::ids::{RunId, Stage};

use crate::crew::{Crew, Place};
use crate::support::{Cluster, Proxy, WorkerProcess, until};

/// A dead worker is missed by then.
const NOTICED: Duration = Duration::from_secs(30);
/// A worker that is asked to stop has ended by then.
const STOPPED: Duration = Duration::from_secs(10);

/// The night has ended once, there was one writer at a time, and every worker stops as it should.
async fn all_is_well(crew: &Crew, nights: &[&RunId], workers: Vec<WorkerProcess>) {
    for run in nights {
        crew.assert_done_once(run).await;
    }
    for mut worker in workers {
        stops_well(&mut worker).await;
    }
    crew.witness.assert_one_writer().await;
}

async fn stops_well(worker: &mut WorkerProcess) {
    let (status, took) = worker.stop().await;
    assert!(status.success() && took < STOPPED, "{status} after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_workers_do_two_nights_one_after_the_other() {
    let crew = Crew::on_redis().await;
    let mut gate = crew.hold(Place::Endpoint).await;
    let first = crew.night().await;
    let workers: Vec<WorkerProcess> = (0..3).map(|_| crew.worker()).collect();
    // The second one is asked for while the first is in its last stage.
    gate.reached().await;
    let second = crew.night().await;
    drop(gate);
    all_is_well(&crew, &[&first, &second], workers).await;
}

/// A worker is killed at a place while another one is there: that one goes on with the night.
async fn is_taken_over_at(place: Place) -> Duration {
    let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume");
    let mut gate = crew.hold(place).await;
    let night = crew.night().await;
    let mut killed = crew.worker();
    gate.reached().await;
    let other = crew.worker();
    killed.kill();
    let start = Instant::now();
    drop(gate);
    let noticed = interrupted(&crew, &night, place.stage(), start).await;
    all_is_well(&crew, &[&night], vec![other]).await;
    noticed
}

/// Waits until the first attempt of a stage is recorded as interrupted, and says how long that was after `start`.
async fn interrupted(crew: &Crew, night: &RunId, stage: Stage, start: Instant) -> Duration {
    let line = format!("{stage} 1 interrupted");
    until(&line, async || crew.attempts_of(night).await.contains(&line).then_some(())).await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_any_stage_is_missed_by_another_which_goes_on() {
    let noticed = join_all(Place::OF_STAGES.map(is_taken_over_at)).await;
    assert!(noticed.iter().all(|took| *took < NOTICED), "{noticed:?}");
}

/// A worker is killed when the ledger knows that a stage has ended, and the queue does not: nothing of the stage is run again.
async fn only_hands_over(is_news_lost: bool) {
    let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume");
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let night = crew.night().await;
    let mut far = FarAway::of(&crew).await;
    gate.reached().await;
    let other = crew.worker();
    far.redis.hold();
    drop(gate);
    let ended = "full-replication 1 succeeded".to_owned();
    until("the end of the stage", async || crew.attempts_of(&night).await.contains(&ended).then_some(()))
        .await;
    far.worker.kill();
    // What was on its way is lost, or arrives when nobody waits for the answer.
    if is_news_lost {
        far.redis.cut();
    } else {
        far.redis.open();
    }
    crew.assert_done_once(&night).await;
    assert_eq!(crew.attempts_of(&night).await.len(), Stage::NIGHT.len(), "a stage was run again");
    all_is_well(&crew, &[&night], vec![other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_ended_before_its_worker_was_killed_is_not_run_again() {
    join_all([true, false].map(only_hands_over)).await;
}

/// A night whose only worker was killed when it had come to this place.
async fn killed_at(crew: &Crew, place: Place) -> RunId {
    let mut gate = crew.hold(place).await;
    let night = crew.night().await;
    let mut killed = crew.worker();
    gate.reached().await;
    killed.kill();
    night
}

/// A worker is killed at a place, and the next one starts: the night is closed, and nothing of it is run again.
async fn is_failed_at_start_after(place: Place) -> Duration {
    let crew = Crew::on_redis().await;
    let night = killed_at(&crew, place).await;
    let start = Instant::now();
    let mut next = crew.worker();
    assert_eq!(crew.ended(&night).await, "interrupted|interrupted");
    let noticed = start.elapsed();
    crew.is_off_the_queues(&night).await;
    let attempts = crew.attempts_of(&night).await;
    assert_eq!(attempts.last(), Some(&format!("{} 1 interrupted", place.stage())), "{attempts:?}");
    // What was on its way when the worker was killed may still arrive.
    assert!(place == Place::Endpoint || crew.told_of(&night, "succeeded").await == 0, "{place:?}");
    until("somebody to be told", async || (crew.told_of(&night, "interrupted").await == 1).then_some(()))
        .await;
    assert_eq!(crew.told_of(&night, "started").await, 1);
    stops_well(&mut next).await;
    crew.witness.assert_one_writer().await;
    noticed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_any_stage_is_missed_by_the_next_one_that_starts() {
    let noticed = join_all(Place::OF_STAGES.map(is_failed_at_start_after)).await;
    assert!(noticed.iter().all(|took| *took < NOTICED), "{noticed:?}");
}

/// A worker is asked to stop at a place: it ends in time, with nothing at work on the servers, and the next one goes on.
async fn stops_in_time_at(crew: Crew, place: Place) {
    let crew = crew.with("ON_INTERRUPTED", "resume");
    let mut gate = crew.hold(place).await;
    let night = crew.night().await;
    let mut worker = crew.worker();
    gate.reached().await;
    let (status, took) = worker.stop().await;
    let left = crew.no_statement_is_left().await;
    assert!(status.success(), "{place:?}: {status}");
    assert!(took + left < STOPPED, "{place:?}: {took:?}, and {left:?} until the servers were at rest");
    let attempts = crew.attempts_of(&night).await;
    assert_eq!(attempts.last(), Some(&format!("{} 1 interrupted", place.stage())), "{attempts:?}");
    drop(gate);
    let next = crew.worker();
    all_is_well(&crew, &[&night], vec![next]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_leaves_nothing_at_work_on_the_servers() {
    let places = Place::OF_STAGES.into_iter().chain([Place::Index, Place::Enrichment]);
    join_all(places.map(async |place| stops_in_time_at(Crew::on_redis().await, place).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_ends_pg_dumps_statement_too() {
    stops_in_time_at(Crew::on_redis().await, Place::Dump).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_a_file_that_is_asked_to_stop_goes_on_when_it_starts_again() {
    stops_in_time_at(Crew::on_a_file().await, Place::CopyOfAnswers).await;
}

/// A worker is asked to stop while nobody answers it: it ends in time, and its job comes back.
async fn stops_in_time_without(outage: impl AsyncFn(&Crew, &FarAway), comes_back: impl AsyncFn(&Crew)) {
    let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume");
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let night = crew.night().await;
    let mut far = FarAway::of(&crew).await;
    gate.reached().await;
    outage(&crew, &far).await;
    let (status, took) = far.worker.stop().await;
    let left = crew.no_statement_is_left().await;
    assert!(status.success() && took + left < STOPPED, "{status} after {took:?} and {left:?}");
    comes_back(&crew).await;
    drop(gate);
    let next = crew.worker();
    all_is_well(&crew, &[&night], vec![next]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_while_nobody_answers_it_ends_in_time() {
    let nothing = async |_: &Crew| {};
    tokio::join!(
        stops_in_time_without(async |crew, _| crew.redis().crash(), async |crew| crew.redis().restart()),
        stops_in_time_without(async |crew, _| crew.redis().stall(), async |crew| crew.redis().go_on()),
        stops_in_time_without(async |_, far| far.warehouse.silence(), nothing),
        stops_in_time_without(
            async |_, far| {
                far.warehouse.silence();
                far.redis.silence();
            },
            nothing
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_a_file_that_is_killed_goes_on_when_it_starts_again() {
    let crew = Crew::on_a_file().await.with("ON_INTERRUPTED", "resume");
    let night = killed_at(&crew, Place::CopyOfUsers).await;
    let start = Instant::now();
    let next = crew.worker();
    let noticed = interrupted(&crew, &night, Stage::FullReplication, start).await;
    assert!(noticed < NOTICED, "{noticed:?}");
    all_is_well(&crew, &[&night], vec![next]).await;
}

/// When Redis goes away.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Idle,
    AtWork,
    AtTheEnd,
    AtTheStart,
}

/// How Redis goes away.
#[derive(Debug, Clone, Copy)]
enum Outage {
    Crashed,
    Stalled,
}

async fn an_outage_passes(outage: Outage, moment: Moment, length: Duration) {
    let crew = Crew::on_redis().await;
    // No statement may wait for a minute for a lock of the test.
    let place = if matches!(moment, Moment::AtTheEnd) { Place::CopyOfUsers } else { Place::Content };
    let mut gate = None;
    let mut workers = Vec::new();
    let mut night = None;
    if !matches!(moment, Moment::AtTheStart) {
        workers = vec![crew.worker(), crew.worker()];
    }
    if matches!(moment, Moment::AtWork | Moment::AtTheEnd) {
        let mut held = crew.hold(place).await;
        night = Some(crew.night().await);
        held.reached().await;
        gate = Some(held);
    } else if matches!(moment, Moment::Idle) {
        // They have shown that they are there.
        night = Some(crew.night().await);
        crew.assert_done_once(night.as_ref().unwrap()).await;
    }
    match outage {
        Outage::Crashed => crew.redis().crash(),
        Outage::Stalled => crew.redis().stall(),
    }
    if matches!(moment, Moment::AtTheStart) {
        workers = vec![crew.worker(), crew.worker()];
    }
    if matches!(moment, Moment::AtTheEnd) {
        // The stage ends now, and nobody takes the news.
        gate = None;
    }
    tokio::time::sleep(length).await;
    match outage {
        Outage::Crashed => crew.redis().restart(),
        Outage::Stalled => crew.redis().go_on(),
    }
    drop(gate);
    let night = match (moment, night) {
        (Moment::AtWork | Moment::AtTheEnd, Some(night)) => night,
        _ => crew.night().await,
    };
    for worker in &mut workers {
        assert!(worker.is_running(), "{moment:?}: a worker has given up");
    }
    crew.assert_done_once(&night).await;
    let attempts = crew.attempts_of(&night).await;
    assert_eq!(attempts.len(), Stage::NIGHT.len(), "{moment:?}: a stage was run again: {attempts:#?}");
    all_is_well(&crew, &[&night], workers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_away_for_two_and_for_ten_seconds_at_any_moment() {
    let moments = [Moment::Idle, Moment::AtWork, Moment::AtTheEnd];
    let outages = [2, 10]
        .map(Duration::from_secs)
        .map(|length| join_all(moments.map(|moment| an_outage_passes(Outage::Crashed, moment, length))));
    join_all(outages).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_away_for_longer_than_it_takes_to_miss_a_worker() {
    let moments = [Moment::AtWork, Moment::AtTheEnd];
    let length = Duration::from_secs(28);
    join_all(moments.map(|moment| an_outage_passes(Outage::Crashed, moment, length))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and a half: utils/chaos.sh runs it"]
async fn redis_may_be_away_for_a_minute_at_any_moment() {
    let moments = [Moment::Idle, Moment::AtWork, Moment::AtTheEnd, Moment::AtTheStart];
    let minute = Duration::from_secs(60);
    join_all(moments.map(|moment| an_outage_passes(Outage::Crashed, moment, minute))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_away_when_a_worker_starts() {
    let lengths = [Duration::from_secs(2), Duration::from_secs(10)];
    join_all(lengths.map(|length| an_outage_passes(Outage::Crashed, Moment::AtTheStart, length))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_silent_for_five_seconds_at_any_moment() {
    let moments = [Moment::Idle, Moment::AtWork, Moment::AtTheEnd, Moment::AtTheStart];
    let length = Duration::from_secs(5);
    join_all(moments.map(|moment| an_outage_passes(Outage::Stalled, moment, length))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_whose_lock_was_lost_stops_and_is_tried_again() {
    let crew = Crew::on_redis().await;
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let night = crew.night().await;
    let workers = vec![crew.worker(), crew.worker()];
    gate.reached().await;
    assert_eq!(crew.end_the_holder().await, "1");
    let failed = "full-replication 1 failed".to_owned();
    until("the stage to be cut short", async || {
        crew.attempts_of(&night).await.contains(&failed).then_some(())
    })
    .await;
    drop(gate);
    all_is_well(&crew, &[&night], workers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_cut_off_in_mid_stage_does_not_write_beside_the_one_that_takes_over() {
    let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume");
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let night = crew.night().await;
    let zombie = FarAway::of(&crew).await;
    gate.reached().await;
    let other = crew.worker();
    zombie.redis.silence();
    zombie.warehouse.silence();
    let start = Instant::now();
    drop(gate);
    let noticed = interrupted(&crew, &night, Stage::FullReplication, start).await;
    assert!(noticed < NOTICED, "{noticed:?}");
    // The network is back while the other one is at work: what the zombie has kept for it arrives now.
    zombie.redis.open();
    zombie.warehouse.open();
    all_is_well(&crew, &[&night], vec![zombie.worker, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_after_redis_was_wiped_does_not_run_its_stage_again() {
    let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume");
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let night = crew.night().await;
    let zombie = FarAway::of(&crew).await;
    gate.reached().await;
    crew.redis().wipe();
    zombie.redis.silence();
    zombie.warehouse.silence();
    gate.left().await;
    drop(gate);
    // Another one finds the night without a job, and does the stage.
    let mut content = crew.hold(Place::Content).await;
    let other = crew.worker();
    content.reached().await;
    zombie.redis.open();
    zombie.warehouse.open();
    until("the zombie to give up its stage", async || {
        zombie.worker.log().contains("\"msg\":\"job.retry\"").then_some(())
    })
    .await;
    drop(content);
    // Its retry too has to come to an end.
    crew.is_off_the_queues(&night).await;
    all_is_well(&crew, &[&night], vec![zombie.worker, other]).await;
}

/// A worker whose ways to its servers the test can close.
struct FarAway {
    redis: Proxy,
    warehouse: Proxy,
    worker: WorkerProcess,
}

impl FarAway {
    async fn of(crew: &Crew) -> Self {
        let redis = Proxy::before(crew.redis().port()).await;
        let warehouse = Proxy::before(crew.night.warehouse.port()).await;
        let (queue, target) =
            (crew.redis().url_at(redis.port()), crew.night.warehouse.url_at(warehouse.port()));
        let worker = crew.worker_with(&[("REDIS_URL", &queue), ("TARGET_DATABASE_URL", &target)]);
        Self { redis, warehouse, worker }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_of_the_way_to_redis_costs_nothing_and_one_to_the_warehouse_an_attempt() {
    let crew = Crew::on_redis().await;
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let night = crew.night().await;
    let far = FarAway::of(&crew).await;
    gate.reached().await;
    far.redis.cut();
    // Longer than a heartbeat.
    tokio::time::sleep(Duration::from_secs(6)).await;
    far.redis.open();
    assert_eq!(crew.attempts_of(&night).await, ["full-replication 1 running"]);
    far.warehouse.cut();
    until("the worker to notice", async || {
        far.worker.log().contains("\"msg\":\"stage.failed\"").then_some(())
    })
    .await;
    far.warehouse.open();
    drop(gate);
    all_is_well(&crew, &[&night], vec![far.worker]).await;
    let attempts = crew.attempts_of(&night).await;
    // Whoever has lost the warehouse cannot write its end into it: then the next attempt does.
    assert!(["full-replication 1 failed", "full-replication 1 interrupted"].contains(&attempts[0].as_str()));
    assert_eq!(attempts[1], "full-replication 2 succeeded", "{attempts:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_outlives_a_crash_of_either_server() {
    let (sources, warehouses) = (Cluster::start_own(), Cluster::start_own());
    let crew = Crew::between(&sources, &warehouses).await;
    let night = crew.night().await;
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let workers = vec![crew.worker(), crew.worker()];
    gate.reached().await;
    // The gate goes with the server.
    warehouses.crash();
    warehouses.restart();
    let mut gate = crew.hold(Place::CopyOfAnswers).await;
    gate.reached().await;
    sources.crash();
    sources.restart();
    drop(gate);
    all_is_well(&crew, &[&night], workers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_slow_for_every_packet_only_takes_longer() {
    let crew = Crew::on_redis().await;
    let far = FarAway::of(&crew).await;
    far.redis.slow(Duration::from_millis(100));
    far.warehouse.slow(Duration::from_millis(20));
    let night = crew.night().await;
    all_is_well(&crew, &[&night], vec![far.worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_goes_on_when_redis_has_lost_its_data() {
    join_all(Place::OF_STAGES.map(async |place| {
        let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume");
        let mut gate = crew.hold(place).await;
        let night = crew.night().await;
        let workers = vec![crew.worker(), crew.worker()];
        gate.reached().await;
        crew.redis().wipe();
        drop(gate);
        all_is_well(&crew, &[&night], workers).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_worker_three_times_is_failed_for_good() {
    let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume");
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let night = crew.night().await;
    for death in 1..=3 {
        let mut worker = crew.worker();
        gate.reached().await;
        worker.kill();
        gate.left().await;
        let attempts = crew.attempts_of(&night).await;
        assert_eq!(attempts.last(), Some(&format!("full-replication {death} running")), "{attempts:#?}");
    }
    let mut worker = crew.worker();
    assert!(crew.ended(&night).await.starts_with("failed|"));
    crew.is_off_the_queues(&night).await;
    assert_eq!(crew.attempts_of(&night).await.len(), 3);
    until("somebody to be told", async || (crew.told_of(&night, "failed").await == 1).then_some(())).await;
    assert_eq!(crew.told_of(&night, "succeeded").await, 0);
    drop(gate);
    stops_well(&mut worker).await;
    crew.witness.assert_one_writer().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_idle_or_wait_for_the_warehouse_stop_at_once() {
    let crew = Crew::on_redis().await;
    let warehouse = crew.night.warehouse.seen_by_the_product();
    let lock = WarehouseLock::acquire(&warehouse, "the test", None).await.unwrap();
    let night = crew.night().await;
    let mut workers = [crew.worker(), crew.worker()];
    until("one of them to wait for the warehouse", async || {
        workers.iter().any(|worker| worker.log().contains(LOCK_WAITING)).then_some(())
    })
    .await;
    for worker in &mut workers {
        stops_well(worker).await;
    }
    assert!(crew.queues().await.is_alive(&night).await.unwrap(), "what waited was put back");
    lock.release().await;
    let next = crew.worker();
    all_is_well(&crew, &[&night], vec![next]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_refused_between_two_stages_of_a_night_that_is_open() {
    let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume");
    let night = killed_at(&crew, Place::CopyOfAnswers).await;
    // Nobody holds the warehouse, and the night is to go on.
    let mut command = crew.process(&["run", "full-replication"], &[]);
    assert!(!command.ends().await.success());
    assert!(command.log().contains(night.as_str()), "{}", command.log());
    let next = crew.worker();
    all_is_well(&crew, &[&night], vec![next]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_beside_a_worker_is_told_who_holds_the_warehouse() {
    let crew = Crew::on_redis().await;
    let mut gate = crew.hold(Place::CopyOfUsers).await;
    let night = crew.night().await;
    let worker = crew.worker();
    gate.reached().await;
    let mut command = crew.process(&["run", "notification"], &[]);
    assert!(!command.ends().await.success());
    let said = command.log();
    assert!(said.contains(&format!("{night} full on ")) && said.contains("since"), "{said}");
    drop(gate);
    all_is_well(&crew, &[&night], vec![worker]).await;
}
