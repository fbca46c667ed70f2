//! Rounds of misfortune, drawn from a seed: workers are killed, stopped and cut off, Redis goes away and comes back with its data or without, and the
//! nights that were asked for meanwhile each end once, with one writer at a time.
//!
//! Short in the suite. `utils/chaos.sh [ROUNDS] [SEED]` runs it for as long as one likes, and prints the figures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use fastrand::Rng;
use futures::future::join_all;
use nightferry::ids::RunId;
use serde_json::Value;

use crate::crew::Crew;
use crate::support::{Proxy, WorkerProcess};

/// In the suite.
const ROUNDS: usize = 8;
const SEED: u64 = 6;
/// Long runs are several crews side by side, since most of the time of a round is waiting.
const ROUNDS_OF_A_LANE: usize = 50;
const MOST_LANES: usize = 4;
const SEATS: usize = 3;
/// All nights have ended so long after the last round.
const SETTLED: Duration = Duration::from_secs(300);
/// A dead worker is missed by then, when Redis is there.
const NOTICED: Duration = Duration::from_secs(30);
const STOPPED: Duration = Duration::from_secs(10);

/// What may happen in a round, with how often it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Misfortune {
    Kill,
    Stop,
    Replace,
    Start,
    RedisAway,
    RedisSilent,
    RedisWithoutData,
    RedisCut,
    WarehouseCut,
    Partition,
    LockLost,
    SessionsLost,
}

const DRAWN: [(Misfortune, u32); 12] = [
    (Misfortune::Kill, 5),
    (Misfortune::Stop, 3),
    (Misfortune::Replace, 3),
    (Misfortune::Start, 2),
    (Misfortune::RedisAway, 3),
    (Misfortune::RedisSilent, 2),
    (Misfortune::RedisWithoutData, 2),
    (Misfortune::RedisCut, 2),
    (Misfortune::WarehouseCut, 2),
    (Misfortune::Partition, 2),
    (Misfortune::LockLost, 2),
    (Misfortune::SessionsLost, 1),
];

/// A place for a worker, with the ways from there to its servers.
struct Seat {
    redis: Proxy,
    warehouse: Proxy,
    worker: Option<WorkerProcess>,
}

/// A worker that was killed over an attempt of a stage.
struct Death {
    at: DateTime<Utc>,
    attempt: String,
}

/// One crew and its misfortunes.
struct Chaos {
    seed: u64,
    crew: Crew,
    random: Rng,
    seats: Vec<Seat>,
    nights: Vec<RunId>,
    deaths: Vec<Death>,
    /// When Redis was not there.
    away: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    figures: Figures,
    start: Instant,
    timeline: String,
    logs: PathBuf,
}

/// What is counted.
#[derive(Debug, Default)]
struct Figures {
    rounds: BTreeMap<Misfortune, usize>,
    nights: usize,
    given_up: usize,
    attempts: usize,
    transactions: u64,
    noticed: Vec<Duration>,
    stopped: Vec<Duration>,
}

impl Chaos {
    async fn new(seed: u64) -> Self {
        let logs = std::env::temp_dir().join(format!("nightferry-chaos-{seed}-{}", std::process::id()));
        std::fs::create_dir_all(&logs).unwrap();
        let crew = Crew::on_redis().await.with("ON_INTERRUPTED", "resume").logging_to(&logs);
        let mut seats = Vec::new();
        for _ in 0..SEATS {
            let redis = Proxy::before(crew.redis().port()).await;
            let warehouse = Proxy::before(crew.night.warehouse.port()).await;
            seats.push(Seat { redis, warehouse, worker: None });
        }
        Self {
            seed,
            crew,
            random: Rng::with_seed(seed),
            seats,
            nights: Vec::new(),
            deaths: Vec::new(),
            away: Vec::new(),
            figures: Figures::default(),
            start: Instant::now(),
            timeline: String::new(),
            logs,
        }
    }

    fn note(&mut self, what: &str) {
        let at = self.start.elapsed().as_secs_f64();
        writeln!(self.timeline, "{at:8.3} s  {}  {what}", Utc::now().format("%H:%M:%S%.3f")).unwrap();
        std::fs::write(self.logs.join("timeline"), &self.timeline).unwrap();
    }

    /// A moment, up to so long.
    async fn pause(&mut self, most: Duration) {
        let millis = u64::try_from(most.as_millis()).unwrap();
        tokio::time::sleep(Duration::from_millis(self.random.u64(0..=millis))).await;
    }

    async fn round(&mut self) {
        self.fill(2);
        if self.open_nights().await == 0 || self.random.u8(..) < 10 {
            let night = self.crew.night().await;
            self.note(&format!("night {night}"));
            self.nights.push(night);
        }
        self.pause(Duration::from_secs(3)).await;
        let misfortune = match self.draw() {
            // It would go with the data, and nobody could tell.
            Misfortune::RedisWithoutData if self.has_night_that_redis_alone_knows().await => {
                Misfortune::RedisAway
            }
            drawn => drawn,
        };
        *self.figures.rounds.entry(misfortune).or_default() += 1;
        self.meet(misfortune).await;
    }

    fn draw(&mut self) -> Misfortune {
        let mut left = self.random.u32(0..DRAWN.iter().map(|(_, weight)| weight).sum());
        let drawn = DRAWN.iter().find(|(_, weight)| {
            let is_here = left < *weight;
            left = left.saturating_sub(*weight);
            is_here
        });
        drawn.unwrap().0
    }

    async fn meet(&mut self, misfortune: Misfortune) {
        match misfortune {
            Misfortune::Kill => self.kill().await,
            Misfortune::Stop => self.stop().await,
            Misfortune::Replace => {
                self.kill().await;
                self.fill(SEATS);
            }
            Misfortune::Start => self.fill(SEATS),
            Misfortune::RedisAway => {
                self.without_redis("crashes", |crew| crew.redis().crash(), |crew| crew.redis().restart())
                    .await;
            }
            Misfortune::RedisSilent => {
                self.without_redis("is stopped", |crew| crew.redis().stall(), |crew| crew.redis().go_on())
                    .await;
            }
            Misfortune::RedisWithoutData => {
                self.note("Redis loses its data");
                self.crew.redis().wipe();
            }
            Misfortune::RedisCut => self.cut("Redis", |seat| seat.redis.cut()).await,
            Misfortune::WarehouseCut => self.cut("the warehouse", |seat| seat.warehouse.cut()).await,
            Misfortune::Partition => {
                let both = |seat: &Seat| {
                    seat.redis.silence();
                    seat.warehouse.silence();
                };
                self.cut("the world, in silence,", both).await;
            }
            Misfortune::LockLost => {
                let ended = self.crew.end_the_holder().await;
                self.note(&format!("the session of the lock is ended: {ended}"));
            }
            Misfortune::SessionsLost => {
                let ended = self.crew.end_the_sessions().await;
                self.note(&format!("all sessions on the warehouse are ended: {ended}"));
            }
        }
    }

    /// Starts workers until so many are there.
    fn fill(&mut self, count: usize) {
        for number in 0..SEATS {
            let there = self.seats.iter().filter(|seat| seat.worker.is_some()).count();
            if there >= count {
                return;
            }
            if self.seats[number].worker.is_none() {
                let worker = self.start_worker(number);
                self.seats[number].worker = Some(worker);
            }
        }
    }

    fn start_worker(&mut self, number: usize) -> WorkerProcess {
        let seat = &self.seats[number];
        let redis = self.crew.redis().url_at(seat.redis.port());
        let warehouse = self.crew.night.warehouse.url_at(seat.warehouse.port());
        let worker = self.crew.worker_with(&[("REDIS_URL", &redis), ("TARGET_DATABASE_URL", &warehouse)]);
        self.note(&format!("worker {number} starts: {}", worker.log_path().display()));
        worker
    }

    /// One of the workers that are there.
    fn any_seat(&mut self) -> usize {
        let taken: Vec<usize> = (0..SEATS).filter(|number| self.seats[*number].worker.is_some()).collect();
        taken[self.random.usize(0..taken.len())]
    }

    /// Mostly the one that is at work.
    fn seat_to_kill(&mut self) -> usize {
        let at_work = (0..SEATS).find(|number| {
            let worker = self.seats[*number].worker.as_ref();
            worker.is_some_and(|worker| attempt_at_work(&worker.log()).is_some())
        });
        match at_work {
            Some(number) if self.random.u8(0..4) > 0 => number,
            _ => self.any_seat(),
        }
    }

    async fn kill(&mut self) {
        let number = self.seat_to_kill();
        let mut worker = self.seats[number].worker.take().unwrap();
        assert!(worker.is_running(), "a worker ended by itself");
        let at_work = attempt_at_work(&worker.log());
        worker.kill();
        self.note(&format!("worker {number} is killed over {}", at_work.as_deref().unwrap_or("nothing")));
        if let Some(attempt) = at_work {
            self.deaths.push(Death { at: Utc::now(), attempt });
        }
    }

    async fn stop(&mut self) {
        let number = self.any_seat();
        let mut worker = self.seats[number].worker.take().unwrap();
        assert!(worker.is_running(), "a worker ended by itself");
        self.note(&format!("worker {number} is asked to stop"));
        let (status, took) = worker.stop().await;
        self.note(&format!("worker {number} has stopped: {status}"));
        assert!(status.success() && took < STOPPED, "{status} after {took:?}");
        self.figures.stopped.push(took);
    }

    async fn without_redis(&mut self, how: &str, goes: fn(&Crew), comes: fn(&Crew)) {
        let from = Utc::now();
        self.note(&format!("Redis {how}"));
        goes(&self.crew);
        self.pause(Duration::from_secs(4)).await;
        comes(&self.crew);
        self.note("Redis is back");
        self.away.push((from, Utc::now()));
    }

    async fn cut(&mut self, from: &str, cut: impl Fn(&Seat)) {
        let number = self.any_seat();
        self.note(&format!("worker {number} is cut off from {from}"));
        cut(&self.seats[number]);
        self.pause(Duration::from_secs(6)).await;
        self.heal(number);
    }

    fn heal(&mut self, number: usize) {
        self.seats[number].redis.open();
        self.seats[number].warehouse.open();
        self.note(&format!("worker {number} has its ways back"));
    }

    /// Whether a night has not begun.
    async fn has_night_that_redis_alone_knows(&self) -> bool {
        for night in &self.nights {
            if self.crew.status_of(night).await.is_none() {
                return true;
            }
        }
        false
    }

    async fn open_nights(&self) -> usize {
        let mut open = 0;
        for night in &self.nights {
            open += usize::from(self.crew.status_of(night).await.is_none_or(|status| status == "running"));
        }
        open
    }

    /// Waits until all nights have ended, and draws up the account.
    async fn settle(&mut self) {
        self.note("the last round is over");
        self.fill(2);
        let deadline = Instant::now() + SETTLED;
        while self.open_nights().await > 0 {
            assert!(Instant::now() < deadline, "nights do not end");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for night in self.nights.clone() {
            self.note(&format!("the account of {night}"));
            self.account_of(&night).await;
        }
        for death in &self.deaths {
            // Else it had ended, and what was killed was about to say so.
            let Some(missed_at) = self.missed_at(death) else { continue };
            let took = (missed_at - death.at).to_std().unwrap();
            assert!(
                took < NOTICED + self.away_between(death.at, missed_at),
                "{}: missed after {took:?}",
                death.attempt
            );
            self.figures.noticed.push(took);
        }
        for number in 0..SEATS {
            if self.seats[number].worker.is_some() {
                let mut worker = self.seats[number].worker.take().unwrap();
                let (status, took) = worker.stop().await;
                assert!(status.success() && took < STOPPED, "{status} after {took:?}");
            }
        }
        self.crew.witness.assert_one_writer().await;
        let (transactions, nameless) = self.crew.witness.counted().await;
        assert_eq!(
            nameless,
            0,
            "transactions that do not say of which run they are: {:#?}",
            self.crew.witness.transactions().await
        );
        self.figures.transactions = transactions;
    }

    async fn account_of(&mut self, night: &RunId) {
        let attempts = self.crew.attempts_of(night).await;
        self.figures.nights += 1;
        self.figures.attempts += attempts.len();
        let status = self.crew.ended(night).await;
        if status == "succeeded|" {
            self.crew.assert_done_once(night).await;
            return;
        }
        // Three deaths over one stage are the end, whatever the policy.
        assert!(self.crew.is_given_up(night).await, "{night} is {status}: {attempts:#?}");
        self.figures.given_up += 1;
        self.crew.is_off_the_queues(night).await;
    }

    /// When the first worker said that it had missed the dead one.
    fn missed_at(&self, death: &Death) -> Option<DateTime<Utc>> {
        let logs = std::fs::read_dir(&self.logs).unwrap().map(|file| file.unwrap().path());
        let said = logs.flat_map(|log| lines_of(&std::fs::read_to_string(log).unwrap()));
        let said = said.filter(|line| {
            let is_of_it =
                death.attempt.starts_with(&format!("{} {} ", text(line, "run"), text(line, "stage")));
            let has_missed = text(line, "msg") == "stage.failed"
                && text(line, "error.message").contains("died in the middle");
            is_of_it && (has_missed || text(line, "msg") == "run.recovered")
        });
        let times = said.map(|line| text(&line, "time").parse().unwrap());
        times.filter(|time| *time > death.at).min()
    }

    /// How long Redis was not there, and as long again for those who wait for it with growing pauses.
    fn away_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
        let overlaps = self.away.iter().filter(|(went, came)| *came > from && *went < to);
        overlaps.map(|(went, came)| 2 * (*came - *went).to_std().unwrap()).sum()
    }
}

impl Drop for Chaos {
    #[expect(clippy::print_stderr, reason = "a failure says how to repeat it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {}: utils/chaos.sh {} {} begins the same way; logs of the workers are in {}\n{}",
                self.seed,
                ROUNDS_OF_A_LANE,
                self.seed,
                self.logs.display(),
                self.timeline
            );
        } else {
            std::fs::remove_dir_all(&self.logs).unwrap();
        }
    }
}

/// The attempt that a worker was at, from its log: `<run> <stage> <attempt>`.
fn attempt_at_work(log: &str) -> Option<String> {
    let mut at_work = None;
    for line in lines_of(log) {
        match text(&line, "msg") {
            "stage.started" => {
                at_work =
                    Some(format!("{} {} {}", text(&line, "run"), text(&line, "stage"), line["attempt"]));
            }
            "stage.ended" | "stage.failed" => at_work = None,
            _ => {}
        }
    }
    at_work
}

/// The lines of a log; the last one may be written at this moment.
fn lines_of(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}

async fn lane(seed: u64, rounds: usize) -> Figures {
    let mut chaos = Chaos::new(seed).await;
    for _ in 0..rounds {
        chaos.round().await;
    }
    chaos.settle().await;
    std::mem::take(&mut chaos.figures)
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the figures")]
async fn each_night_ends_once_with_one_writer_at_a_time_whatever_happens() {
    let rounds = setting("NIGHTFERRY_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("NIGHTFERRY_CHAOS_SEED").unwrap_or(SEED);
    let lanes = rounds.div_ceil(ROUNDS_OF_A_LANE).min(MOST_LANES);
    let start = Instant::now();
    let all = join_all((0..lanes).map(|number| {
        let share = rounds / lanes + usize::from(number < rounds % lanes);
        lane(seed + u64::try_from(number).unwrap(), share)
    }))
    .await;

    let mut kinds: BTreeMap<Misfortune, usize> = BTreeMap::new();
    for (kind, count) in all.iter().flat_map(|figures| &figures.rounds) {
        *kinds.entry(*kind).or_default() += count;
    }
    let sum = |number: fn(&Figures) -> usize| all.iter().map(number).sum::<usize>();
    let longest =
        |times: fn(&Figures) -> &Vec<Duration>| all.iter().flat_map(times).max().copied().unwrap_or_default();
    println!("{rounds} rounds, seed {seed}, {lanes} crews, {:?}: {kinds:?}", start.elapsed());
    println!(
        "nights {}, each ended once; given up after three deaths {}; attempts of stages {}",
        sum(|figures| figures.nights),
        sum(|figures| figures.given_up),
        sum(|figures| figures.attempts)
    );
    println!(
        "workers killed at work {}, missed after {:?} at the most; stopped after {:?} at the most",
        sum(|figures| figures.noticed.len()),
        longest(|figures| &figures.noticed),
        longest(|figures| &figures.stopped)
    );
    let transactions: u64 = all.iter().map(|figures| figures.transactions).sum();
    println!("writing transactions {transactions}, each with its run; two writers 0");
    assert!(sum(|figures| figures.nights) > 0);
}
