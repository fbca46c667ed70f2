//! The schedule: each night once, whoever keeps it and however often they are restarted; what was missed; what was changed.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, DurationRound, NaiveDate, NaiveTime, SubsecRound, TimeDelta, TimeZone, Utc};
use chrono_tz::Europe::Paris;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use nightferry::adapters::ledger::{Ledger, Origin, ScheduleEntry};
use nightferry::adapters::queue::{Job, Queues};
use nightferry::config::OnMissed;
use nightferry::ids::{RunId, Stage};
use nightferry::jobs::{Due, Missed, due};

use crate::queue_chain::{Chain, on_each_store, warehouse};
use crate::support::{RedisServer, TestNight, until};

use Stage::{BackupPush as Push, FullReplication as Full, Notification as Notify};

on_each_store! {
    two_replicas_keep_a_year_of_nights_and_start_each_once
    a_missed_night_is_made_up_for_once_where_that_is_asked_for
    a_missed_night_is_left_out_unless_asked_for
}

// ---- a year ------------------------------------------------------------------------------------------------------

/// A worker that keeps the schedule, with a clock of its own.
struct Replica {
    skew: TimeDelta,
    /// None while it is down.
    kept_until: Option<DateTime<Utc>>,
}

/// What the replicas keep together.
struct Year {
    pattern: Cron,
    ledger: Ledger,
    queues: Queues,
    pushed: Vec<RunId>,
}

const PATTERN: (&str, &str) = ("30 2 * * *", "Europe/Paris");

impl Year {
    /// A replica looks at its clock, as the worker's loop does.
    async fn look(&mut self, replica: &mut Replica, time: DateTime<Utc>) {
        let now = time + replica.skew;
        let Some(kept_until) = replica.kept_until else { return };
        let missed = Missed { policy: OnMissed::Skip, grace: Duration::from_secs(6 * 3600) };
        let tick = match due(&self.pattern, Paris, kept_until, now, &missed).unwrap() {
            Due::Nothing { .. } => return,
            Due::Run(tick) => tick,
            Due::Missed(tick) => panic!("{tick} was missed, which one replica was up for"),
        };
        let job = Job::first(RunId::at(tick), Full, Origin::Schedule);
        if self.queues.push(&job, Duration::ZERO).await.unwrap() {
            self.pushed.push(job.run);
        }
        self.ledger.record_tick(Full, PATTERN, tick).await.unwrap();
        replica.kept_until = Some(tick);
    }

    async fn start(&self, replica: &mut Replica, time: DateTime<Utc>) {
        let (entry, replaced) = self.ledger.keep_schedule(Full, PATTERN, time + replica.skew).await.unwrap();
        assert_eq!(replaced, None);
        replica.kept_until = Some(entry.kept_until());
    }
}

/// Half past two in Paris, or the first minute that exists after it, the first time that it does.
fn half_past_two(day: NaiveDate) -> DateTime<Utc> {
    let at = |hour, minute| day.and_time(NaiveTime::from_hms_opt(hour, minute, 0).unwrap());
    let local = Paris.from_local_datetime(&at(2, 30)).earliest();
    local.unwrap_or_else(|| Paris.from_local_datetime(&at(3, 0)).unwrap()).with_timezone(&Utc)
}

async fn two_replicas_keep_a_year_of_nights_and_start_each_once(chain: Chain) {
    let chain = chain.with("SCHEDULE", PATTERN.0);
    let seed = 20_261_120;
    let mut random = fastrand::Rng::with_seed(seed);
    // From summer to summer: both days on which the clocks change, and a 29 February.
    let days: Vec<NaiveDate> = NaiveDate::from_ymd_opt(2027, 7, 1).unwrap().iter_days().take(366).collect();
    assert!(days.contains(&NaiveDate::from_ymd_opt(2028, 2, 29).unwrap()));
    let mut year = Year {
        pattern: chain.config().queue.schedule,
        ledger: Ledger::open(&warehouse(&chain)).await.unwrap(),
        queues: chain.queues().await,
        pushed: Vec::new(),
    };
    let skew = |seconds| TimeDelta::seconds(seconds);
    let mut replicas = [-90, 75].map(|seconds| Replica { skew: skew(seconds), kept_until: None });
    year.start(&mut replicas[0], half_past_two(days[0]) - TimeDelta::days(1) + TimeDelta::hours(3)).await;
    for day in &days {
        let tick = half_past_two(*day);
        // Some moments of the day before, then every minute around the tick.
        let mut moments: Vec<i64> = (0..3).map(|_| -60 * random.i64(10..1200)).collect();
        moments.extend((-4..=13).map(|minute| minute * 60 + random.i64(0..60)));
        moments.sort_unstable();
        for moment in moments {
            let time = tick + TimeDelta::seconds(moment);
            for replica in &mut replicas {
                match (replica.kept_until, random.u8(0..4)) {
                    (None, 0) => year.start(replica, time).await,
                    (Some(_), 0) => replica.kept_until = None,
                    _ => {}
                }
                year.look(replica, time).await;
            }
        }
        // One of them comes up before it is too late, whatever happened.
        let time = tick + TimeDelta::minutes(13);
        for replica in &mut replicas {
            if replica.kept_until.is_none() {
                year.start(replica, time).await;
            }
            replica.skew = skew(random.i64(-110..=110));
            year.look(replica, time).await;
        }
    }
    let expected: BTreeSet<RunId> = days.iter().map(|day| RunId::at(half_past_two(*day))).collect();
    assert_eq!(expected.len(), 366);
    let queued = year.queues.jobs(Full).await.unwrap().into_iter().map(|queued| queued.job.run);
    assert_eq!(queued.collect::<BTreeSet<_>>(), expected, "seed {seed}");
    assert_eq!(year.pushed.len(), 366, "each night was new once, seed {seed}");
}

// ---- a worker ----------------------------------------------------------------------------------------------------

/// A minute that lies an hour back, and the pattern that names it each day, in UTC.
fn an_hour_ago() -> (DateTime<Utc>, String) {
    let tick = (Utc::now() - TimeDelta::hours(1)).duration_trunc(TimeDelta::minutes(1)).unwrap();
    (tick, tick.format("%M %H * * *").to_string())
}

/// A chain whose schedule was kept the day before, and not since.
async fn missed_an_hour_ago(chain: Chain) -> (Chain, DateTime<Utc>, Ledger) {
    let (tick, pattern) = an_hour_ago();
    let chain = chain.with("SCHEDULE", &pattern).with("SCHEDULE_TIMEZONE", "UTC");
    let ledger = Ledger::open(&warehouse(&chain)).await.unwrap();
    let page = (pattern.as_str(), "UTC");
    ledger.keep_schedule(Full, page, tick - TimeDelta::days(9)).await.unwrap();
    ledger.record_tick(Full, page, tick - TimeDelta::days(2)).await.unwrap();
    (chain, tick, ledger)
}

async fn entry(ledger: &Ledger, what: &str, is_so: impl Fn(&ScheduleEntry) -> bool) -> ScheduleEntry {
    until(what, async || ledger.schedule_of(Full).await.unwrap().filter(&is_so)).await
}

async fn a_missed_night_is_made_up_for_once_where_that_is_asked_for(chain: Chain) {
    let (chain, tick, ledger) = missed_an_hour_ago(chain.with("SCHEDULE_MISSED", "run")).await;
    let workers = [chain.worker(), chain.worker()];
    let night = RunId::at(tick);
    chain.ended(&night, Notify).await;
    entry(&ledger, "the night to be written down", |entry| entry.last_tick == Some(tick)).await;
    for worker in workers {
        worker.stop().await;
    }
    let worker = chain.worker();
    let other = chain.restart(Notify).await;
    chain.ended(&other, Notify).await;
    worker.stop().await;
    let jobs = chain.queues().await.jobs(Full).await.unwrap();
    let runs: Vec<(&RunId, Origin)> =
        jobs.iter().map(|queued| (&queued.job.run, queued.job.origin)).collect();
    assert_eq!(runs, [(&night, Origin::Schedule)], "the latest one, once");
    assert_eq!(chain.ledger_of(&night).await, "succeeded|");
}

async fn a_missed_night_is_left_out_unless_asked_for(chain: Chain) {
    is_left_out(chain).await;
}

async fn is_left_out(chain: Chain) {
    let (chain, tick, ledger) = missed_an_hour_ago(chain).await;
    let worker = chain.worker();
    entry(&ledger, "the night to be left out", |entry| entry.last_tick == Some(tick)).await;
    worker.stop().await;
    assert!(chain.queues().await.jobs(Full).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_night_is_not_made_up_for_after_its_grace() {
    is_left_out(Chain::on_a_file().await.with("SCHEDULE_MISSED", "run").with("SCHEDULE_GRACE", "30m")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_makes_up_for_nothing() {
    let (_, pattern) = an_hour_ago();
    let chain = Chain::on_a_file().await.with("SCHEDULE_MISSED", "run");
    let chain = chain.with("SCHEDULE", &pattern).with("SCHEDULE_TIMEZONE", "UTC");
    let ledger = Ledger::open(&warehouse(&chain)).await.unwrap();
    let start = Utc::now().trunc_subsecs(0);
    let worker = chain.worker();
    let written = entry(&ledger, "the schedule to be written down", |_| true).await;
    assert!(written.since >= start && written.last_tick.is_none(), "{written:?}");
    let other = chain.restart(Notify).await;
    chain.ended(&other, Notify).await;
    worker.stop().await;
    assert!(chain.queues().await.jobs(Full).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_schedule_takes_the_place_of_the_old_one_and_makes_up_for_nothing() {
    let (chain, tick, ledger) =
        missed_an_hour_ago(Chain::on_a_file().await.with("SCHEDULE_MISSED", "run")).await;
    // The new one has a time between now and the last tick of the old one, too.
    let pattern = (tick + TimeDelta::minutes(20)).format("%M %H * * *").to_string();
    let chain = chain.with("SCHEDULE", &pattern);
    ledger.keep_schedule(Push, ("0 1 * * *", "UTC"), tick).await.unwrap();
    let worker = chain.worker();
    let written = entry(&ledger, "the schedule to be replaced", |entry| entry.pattern == pattern).await;
    assert!(written.since > tick && written.last_tick.is_none(), "{written:?}");
    until("the schedule of a push to be forgotten, which is not set", async || {
        ledger.schedule_of(Push).await.unwrap().is_none().then_some(())
    })
    .await;
    let other = chain.restart(Notify).await;
    chain.ended(&other, Notify).await;
    worker.stop().await;
    assert!(chain.queues().await.jobs(Full).await.unwrap().is_empty());
    let entries = chain.night.warehouse.rows("select stage, pattern from nightferry.schedules").await;
    assert_eq!(entries, [format!("full-replication|{pattern}")]);
}

/// A time that is about to come, and the pattern that names it.
fn in_five_seconds() -> (DateTime<Utc>, Cron) {
    let soon = (Utc::now() + TimeDelta::seconds(5)).trunc_subsecs(0);
    let pattern = soon.with_timezone(&Paris).format("%S %M %H * * *").to_string();
    (soon, CronParser::builder().seconds(Seconds::Required).build().parse(&pattern).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_schedule_was_replaced_starts_no_night() {
    let mut chain = Chain::on_a_file().await.with("S3_BUCKET_NAME", "backups");
    let ledger = Ledger::open(&warehouse(&chain)).await.unwrap();
    let (soon, pattern) = in_five_seconds();
    chain.schedule = Some(pattern.clone());
    chain.push_schedule = Some(pattern);
    let worker = chain.worker();
    entry(&ledger, "the schedule to be written down", |_| true).await;
    // Another worker comes with another schedule.
    ledger.keep_schedule(Full, ("10 5 * * *", "Europe/Paris"), Utc::now()).await.unwrap();
    // The push of the same second shows that the time has come and gone.
    chain.ended(&RunId::of(Push, soon), Push).await;
    assert!(Utc::now() >= soon);
    worker.stop().await;
    assert!(chain.queues().await.jobs(Full).await.unwrap().is_empty());
    let written = ledger.schedule_of(Full).await.unwrap().unwrap();
    assert_eq!((written.pattern.as_str(), written.last_tick), ("10 5 * * *", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_is_away_keeps_no_night_from_its_queue() {
    let mut chain = Chain::on_a_file()
        .await
        .with("TARGET_DATABASE_URL", "postgres://nobody:canary@127.0.0.1:1/warehouse");
    let (soon, pattern) = in_five_seconds();
    chain.schedule = Some(pattern);
    let worker = chain.worker();
    let (queues, night) = (chain.queues().await, Job::first(RunId::at(soon), Full, Origin::Schedule));
    until("the night to be on its queue", async || queues.exists(&night).await.unwrap().then_some(())).await;
    assert!((Utc::now() - soon).num_seconds() < 10, "in time");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_whose_time_came_while_redis_was_away_starts_once_it_is_back() {
    let redis = RedisServer::start_persistent();
    let mut chain = Chain::new(vec![("REDIS_URL", redis.url())], TestNight::new().await, None);
    let ledger = Ledger::open(&warehouse(&chain)).await.unwrap();
    let (soon, pattern) = in_five_seconds();
    chain.schedule = Some(pattern);
    let worker = chain.worker();
    entry(&ledger, "the schedule to be written down", |_| true).await;
    redis.crash();
    until("the time to come and go", async || (Utc::now() > soon + TimeDelta::seconds(1)).then_some(()))
        .await;
    redis.restart();
    let night = RunId::at(soon);
    assert_eq!(chain.ended(&night, Full).await.len(), 1);
    chain.ended(&night, Notify).await;
    entry(&ledger, "the night to be written down", |entry| entry.last_tick == Some(soon)).await;
    assert_eq!(chain.stages_seen(&night), Stage::NIGHT);
    worker.stop().await;
}
