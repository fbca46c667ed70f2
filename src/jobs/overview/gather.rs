//! Asks the warehouse and the queues, and puts the answers together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::eta::{Earlier, NIGHTS, Position, Took, eta};
use super::under_way::part;
use super::{
    AttemptLine, Eta, History, HistoryRun, Holder, LedgerState, NextTime, Overview, QueueNow, RunLine,
    RunNow, StageNow, UnderWay,
};
use crate::adapters::ledger::{DoneNight, LedgerReader, LedgerView, Origin};
use crate::adapters::postgres::Database;
use crate::adapters::queue::Queues;
use crate::clock;
use crate::config::Config;
use crate::error::Result;
use crate::ids::{RunId, Stage};
use crate::jobs::{next_tick, operator};

/// What does not answer for so long is away.
const QUEUE_LIMIT: Duration = Duration::from_secs(3);
/// From one stage to the next it takes no longer, unless something is in the way: then nobody can say when the run will be done.
const HANDOVER: TimeDelta = TimeDelta::seconds(30);
/// Who looks each second asks the queues less often: they give all of their jobs each time.
const QUEUE_EVERY: Duration = Duration::from_secs(10);

/// How things stand now.
///
/// # Errors
/// The warehouse cannot be reached. Queues that do not answer are told in the answer.
pub async fn now(config: &Config) -> Result<Overview> {
    Overlook::new(config)?.look().await
}

/// Looks again and again.
#[derive(Debug)]
pub struct Overlook {
    config: Config,
    pub(super) ledger: Arc<LedgerReader>,
    asks_queue: bool,
    /// What the queues said last, and when.
    queue: Option<(Instant, QueueNow)>,
}

impl Overlook {
    /// One that has not looked yet.
    ///
    /// # Errors
    /// The warehouse's URL cannot be understood.
    pub fn new(config: &Config) -> Result<Self> {
        let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
        Ok(Self::of(config, Arc::new(LedgerReader::new(warehouse, "nightferry status"))))
    }

    /// One that asks where others ask, too.
    #[must_use]
    pub fn of(config: &Config, ledger: Arc<LedgerReader>) -> Self {
        Self { config: config.clone(), ledger, asks_queue: true, queue: None }
    }

    /// The same, that leaves the queues alone.
    #[must_use]
    pub fn without_queue(mut self) -> Self {
        self.asks_queue = false;
        self
    }

    /// How things stand now.
    ///
    /// # Errors
    /// The warehouse cannot be reached; the next look tries again.
    pub async fn look(&mut self) -> Result<Overview> {
        let at = clock::now();
        let known = self.queue.take().filter(|(since, _)| since.elapsed() < QUEUE_EVERY);
        let settings = self.config.queue.clone();
        let asks_queue = self.asks_queue;
        let asking = async {
            match known {
                _ if !asks_queue => None,
                Some(known) => Some(known),
                None => Some((Instant::now(), queues(&settings).await)),
            }
        };
        let schedule = schedule(&self.config, at);
        let warehouse = self.ledger.ask(async |view| Look { view, at }.overview().await);
        let (warehouse, known) = futures::future::join(warehouse, asking).await;
        self.queue = known;
        let queue = self.queue.as_ref().map(|(_, queue)| queue.clone()).unwrap_or_default();
        Ok(Overview { queue, schedule, ..warehouse? })
    }

    /// The last runs.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn history(&self, limit: u32) -> Result<History> {
        self.ledger
            .ask(async |view| {
                let ledger = view.state().await?;
                if ledger != LedgerState::Ready {
                    return Ok(History { ledger, runs: Vec::new() });
                }
                let runs = view.last_runs(limit).await?;
                let names: Vec<&str> = runs.iter().map(|run| run.run_id.as_str()).collect();
                let attempts = view.attempts(&names).await?;
                let runs = runs.into_iter().map(|run| HistoryRun::of(run, &attempts)).collect();
                Ok(History { ledger, runs })
            })
            .await
    }

    /// The run of this name.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn run(&self, run: &str) -> Result<Option<RunLine>> {
        self.ledger
            .ask(async |view| match view.state().await? {
                LedgerState::Ready => view.run(run).await,
                LedgerState::Missing | LedgerState::Older => Ok(None),
            })
            .await
    }
}

/// One look at the warehouse.
struct Look<'a> {
    view: &'a mut LedgerView,
    at: DateTime<Utc>,
}

impl Look<'_> {
    async fn overview(mut self) -> Result<Overview> {
        let ledger = self.view.state().await?;
        let (warehouse_lock, push_lock) = self.view.lock_holders().await?;
        let homes = match ledger {
            LedgerState::Ready => self.view.homes().await?,
            LedgerState::Missing | LedgerState::Older => BTreeMap::new(),
        };
        let activity = self.view.activity().await?;
        let under_way: Vec<UnderWay> =
            activity.iter().filter_map(|one| UnderWay::of(one, &homes, self.at)).collect();
        let mut overview = Overview {
            at: self.at,
            ledger,
            run: None,
            beside: Vec::new(),
            under_way,
            warehouse_lock,
            push_lock,
            queue: QueueNow::default(),
            schedule: Vec::new(),
            last_success: Vec::new(),
        };
        if ledger == LedgerState::Ready {
            overview.last_success = self.view.last_success().await?;
            self.runs(&mut overview).await?;
        }
        Ok(overview)
    }

    async fn runs(&mut self, overview: &mut Overview) -> Result<()> {
        let runs = self.view.open_or_last().await?;
        let names: Vec<&str> = runs.iter().map(|run| run.run_id.as_str()).collect();
        let attempts = self.view.attempts(&names).await?;
        let main = main_run(&runs);
        for (place, run) in runs.into_iter().enumerate() {
            if Some(place) == main {
                overview.run = Some(self.run_now(run, &attempts, overview).await?);
            } else if run.status == "running" {
                let beside = self.run_now(run, &attempts, overview).await?;
                overview.beside.push(beside);
            }
        }
        Ok(())
    }

    async fn run_now(
        &mut self,
        run: RunLine,
        attempts: &[AttemptLine],
        overview: &mut Overview,
    ) -> Result<RunNow> {
        let own: Vec<&AttemptLine> = attempts.iter().filter(|attempt| attempt.run_id == run.run_id).collect();
        let holder = [&overview.warehouse_lock, &overview.push_lock]
            .into_iter()
            .flatten()
            .find(|holder| holder.who.split(' ').next() == Some(run.run_id.as_str()));
        let is_at_work = run.status == "running"
            && (holder.is_some() || overview.under_way.iter().any(|one| one.run_id == run.run_id));
        let following = following(&run, holder, own.last().map(|attempt| attempt.stage.as_str()));
        let done = if run.status == "running" {
            self.view.done_nights(&run.run_id, NIGHTS.try_into().unwrap_or(i64::MAX)).await?
        } else {
            Vec::new()
        };
        let stage = match own.last() {
            Some(attempt) => {
                let stage = self.stage_now(attempt, &done, &mut overview.under_way).await?;
                Some(stage)
            }
            None => None,
        };
        let idle_since = if is_at_work { None } else { left_at(&run, own.last().copied()) };
        let goes_on = is_at_work || idle_since.is_some_and(|since| self.at - since < HANDOVER);
        let eta = if goes_on { when(stage.as_ref(), &following, &done, self.at) } else { None };
        let stages = last_of_each(&own);
        Ok(RunNow { run, is_at_work, idle_since, stage, stages, eta })
    }

    async fn stage_now(
        &mut self,
        attempt: &AttemptLine,
        done: &[DoneNight],
        under_way: &mut [UnderWay],
    ) -> Result<StageNow> {
        let steps = self.view.steps(attempt).await?;
        let is_own = |one: &&mut UnderWay| one.run_id == attempt.run_id && one.stage == attempt.stage;
        let mut own: Vec<&mut UnderWay> = under_way.iter_mut().filter(is_own).collect();
        let earlier = done.iter().find(|night| night.stage == attempt.stage);
        let mut step_percent = None;
        if let Some(step) = steps.last().filter(|step| step.status == "running") {
            step_percent = step.bytes_done.zip(step.bytes_total).and_then(|(done, total)| part(done, total));
            if let Some(earlier) = earlier {
                let names: Vec<_> = own.iter().filter_map(|one| one.name()).collect();
                let expected = self.view.expected(earlier, &names).await?;
                for one in &mut own {
                    one.compare(&expected);
                }
                if step_percent.is_none() {
                    let work = self.view.work(earlier, attempt, &step.step).await?;
                    let at_work: i64 = own.iter().map(|one| one.work_done_ms()).sum();
                    step_percent = part(work.done_ms + at_work, work.total_ms);
                }
            }
        }
        let coming =
            |number: fn(&UnderWay) -> Option<i64>| -> i64 { own.iter().filter_map(|one| number(one)).sum() };
        Ok(StageNow {
            rows_so_far: attempt.rows + coming(|one| one.rows),
            bytes_so_far: attempt.bytes + coming(|one| one.bytes),
            attempt: attempt.clone(),
            steps,
            step_percent,
            tables_expected: earlier.map(|night| night.written.0),
            rows_expected: earlier.map(|night| night.written.1),
            bytes_expected: earlier.map(|night| night.written.2),
        })
    }
}

/// The open night, or the last one; where there is no night, the last run.
fn main_run(runs: &[RunLine]) -> Option<usize> {
    let is_night = |run: &RunLine| RunId::from(run.run_id.clone()).beside().is_none();
    let open_night = runs.iter().position(|run| is_night(run) && run.status == "running");
    open_night.or_else(|| runs.iter().position(is_night)).or(if runs.is_empty() { None } else { Some(0) })
}

/// When the last one who was at work on an open run left it in order; of somebody who died in the middle of a stage that is not known.
fn left_at(run: &RunLine, last: Option<&AttemptLine>) -> Option<DateTime<Utc>> {
    match last {
        _ if run.status != "running" => None,
        Some(attempt) => attempt.ended_at,
        None => Some(run.started_at),
    }
}

/// The last attempt of each stage, in order of their start.
fn last_of_each(attempts: &[&AttemptLine]) -> Vec<AttemptLine> {
    let is_last = |(place, attempt): &(usize, &&AttemptLine)| {
        !attempts[place + 1..].iter().any(|later| later.stage == attempt.stage)
    };
    attempts.iter().enumerate().filter(is_last).map(|(_, attempt)| (*attempt).clone()).collect()
}

/// The stages that follow this one in its run; of a command that does one stage, none.
fn following(run: &RunLine, holder: Option<&Holder>, stage: Option<&str>) -> Vec<&'static str> {
    let id = RunId::from(run.run_id.clone());
    let is_whole = || holder.is_some_and(|holder| holder.who.split(' ').nth(1) == Some("night"));
    if id.beside().is_some() || (run.origin == Origin::Command.name() && !is_whole()) {
        return Vec::new();
    }
    let Some(stage) = stage else { return Stage::NIGHT.map(Stage::name).to_vec() };
    Stage::NIGHT.iter().map(|other| other.name()).skip_while(|other| *other != stage).skip(1).collect()
}

/// When a run will be done. After a stage that ended well the next one is still whole, and one that failed begins anew.
fn when(stage: Option<&StageNow>, following: &[&str], done: &[DoneNight], at: DateTime<Utc>) -> Option<Eta> {
    let mut earlier = Earlier::new();
    for night in done {
        let took = Took { stage_ms: night.duration_ms, steps: night.steps.clone() };
        earlier.entry(night.stage.as_str()).or_default().push(took);
    }
    let whole =
        |stage, following| Position { stage, begun: vec![], elapsed_ms: None, fraction: None, following };
    let position = match stage {
        Some(now) if now.attempt.status == "running" => Position {
            stage: &now.attempt.stage,
            begun: now.steps.iter().map(|step| step.step.as_str()).collect(),
            elapsed_ms: now
                .step()
                .filter(|step| step.status == "running")
                .map(|step| (at - step.started_at).num_milliseconds().max(0)),
            fraction: now.step_percent.map(|percent| percent / 100.0),
            following,
        },
        Some(now) if now.attempt.status != "succeeded" => whole(&now.attempt.stage, following),
        _ => {
            let (next, later) = following.split_first()?;
            whole(next, later)
        }
    };
    eta(&position, &earlier, at)
}

/// What is on the queues. A file that was never made is empty, and stays so.
pub(super) async fn queues(config: &crate::config::Queue) -> QueueNow {
    if !Queues::are_there(config) {
        return QueueNow::default();
    }
    let asking = async { operator::counts(&Queues::open(config).await?).await };
    match tokio::time::timeout(QUEUE_LIMIT, asking).await {
        Ok(Ok(counts)) => QueueNow { error: None, counts },
        Ok(Err(error)) => QueueNow { error: Some(error.to_string()), counts: Vec::new() },
        Err(_) => {
            let error = format!("nothing came back in {} s", QUEUE_LIMIT.as_secs());
            QueueNow { error: Some(error), counts: Vec::new() }
        }
    }
}

/// When the schedules that are set come next.
pub(super) fn schedule(config: &Config, at: DateTime<Utc>) -> Vec<NextTime> {
    let push = config.backup.push.as_ref().and_then(|push| push.schedule.as_ref());
    let set = [
        ("night", Some(&config.queue.schedule)),
        (Stage::BackupPush.name(), push),
        (Stage::SchemaExport.name(), config.schema_export.schedule.as_ref()),
    ];
    set.into_iter()
        .filter_map(|(of, pattern)| {
            let pattern = pattern?;
            let at = next_tick(pattern, config.queue.timezone, at).ok()?;
            Some(NextTime { of, pattern: pattern.as_str().to_owned(), at })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-11-20T05:00:00Z".parse().unwrap()
    }

    fn run(id: &str, origin: &str, status: &str) -> RunLine {
        RunLine {
            run_id: id.to_owned(),
            origin: origin.to_owned(),
            status: status.to_owned(),
            host: "host-1".to_owned(),
            version: "1".to_owned(),
            started_at: at(),
            ended_at: None,
            error_kind: None,
            error: None,
            hint: None,
        }
    }

    #[test]
    fn the_open_night_counts_most_then_the_last_night_then_whatever_there_is() {
        let push = run("20261120T050000Z-backup-push", "schedule", "running");
        let (open, last) =
            (run("20261120T041000Z", "schedule", "running"), run("20261119T041000Z", "schedule", "failed"));
        assert_eq!(main_run(&[push.clone(), last.clone(), open.clone()]), Some(2));
        assert_eq!(main_run(&[push.clone(), last]), Some(1));
        assert_eq!(main_run(&[push]), Some(0));
        assert_eq!(main_run(&[]), None);
    }

    #[test]
    fn what_follows_is_the_rest_of_the_night_unless_one_stage_was_asked_for() {
        let stage = Some("incremental-replication");
        let rest = ["learning-content-replication", "notification"];
        for origin in ["schedule", "restart"] {
            assert_eq!(following(&run("20261120T041000Z", origin, "running"), None, stage), rest);
        }
        let command = run("20261120T041000Z", "command", "running");
        let holder = |what: &str| Holder { who: format!("20261120T041000Z {what} on host-1"), since: None };
        assert_eq!(following(&command, Some(&holder("night")), stage), rest);
        assert!(following(&command, Some(&holder("incremental")), stage).is_empty());
        assert!(following(&command, None, stage).is_empty(), "nobody is at work on it");
        let push = run("20261120T041000Z-backup-push", "schedule", "running");
        assert!(following(&push, None, Some("backup-push")).is_empty());
        assert_eq!(following(&run("20261120T041000Z", "schedule", "running"), None, None).len(), 4);
    }

    #[test]
    fn of_two_tries_of_a_stage_the_last_one_counts() {
        let attempt = |stage: &str, attempt, status: &str| AttemptLine {
            run_id: "20261120T041000Z".to_owned(),
            stage: stage.to_owned(),
            attempt,
            status: status.to_owned(),
            started_at: at(),
            ended_at: None,
            tables: 1,
            rows: 10,
            bytes: 100,
            error_kind: None,
            error: None,
            hint: None,
        };
        let all = [
            attempt("full-replication", 1, "failed"),
            attempt("full-replication", 2, "succeeded"),
            attempt("notification", 1, "running"),
        ];
        let last = last_of_each(&all.iter().collect::<Vec<_>>());
        assert_eq!(
            last.iter().map(|one| (one.stage.as_str(), one.attempt)).collect::<Vec<_>>(),
            [("full-replication", 2), ("notification", 1)]
        );
        let history = HistoryRun::of(run("20261120T041000Z", "schedule", "running"), &all);
        assert_eq!((history.tables, history.rows, history.bytes), (2, 20, 200), "what failed is not counted");
        assert_eq!(
            (history.succeeded_stages, history.last_stage.as_deref()),
            (vec!["full-replication".to_owned()], Some("notification"))
        );
    }

    #[test]
    fn between_two_stages_the_time_left_is_that_of_the_next_ones() {
        let night = |stage: &str, duration_ms| DoneNight {
            run_id: "20261119T041000Z".to_owned(),
            stage: stage.to_owned(),
            attempt: 1,
            duration_ms,
            written: (1, 1, 1),
            steps: vec![("work".to_owned(), duration_ms)],
        };
        let done = [night("full-replication", 9_000), night("notification", 500)];
        assert_eq!(
            when(None, &["full-replication", "notification"], &done, at()).unwrap().remaining_ms,
            9_500
        );
        assert_eq!(when(None, &["incremental-replication"], &done, at()), None, "it was never done");
        assert_eq!(when(None, &[], &done, at()), None);
    }
}
