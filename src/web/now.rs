//! What is at work, as pages show it. Asked once for all who look in the same moment.

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::shown;
use crate::adapters::ledger::LedgerReader;
use crate::config::Config;
use crate::error::Result;
use crate::jobs::overview::{Eta, Overlook, Overview, RunNow, StageNow, UnderWay};

/// How long a look serves.
const KEPT: Duration = Duration::from_secs(2);

/// Looks at what is at work.
#[derive(Debug)]
pub(super) struct Lookout(Mutex<(Overlook, Option<Seen>)>);

/// What was seen, and when.
type Seen = (Instant, Arc<Overview>);

impl Lookout {
    pub(super) fn new(config: &Config, ledger: Arc<LedgerReader>) -> Self {
        Self(Mutex::new((Overlook::of(config, ledger).without_queue(), None)))
    }

    /// How things stand.
    pub(super) async fn look(&self) -> Result<Arc<Overview>> {
        let mut kept = self.0.lock().await;
        if let Some((at, overview)) = &kept.1
            && at.elapsed() < KEPT
        {
            return Ok(overview.clone());
        }
        let overview = Arc::new(kept.0.look().await?);
        kept.1 = Some((Instant::now(), overview.clone()));
        Ok(overview)
    }
}

/// A run at work.
pub(super) struct NowView {
    pub(super) link: String,
    pub(super) title: String,
    pub(super) idle: Option<String>,
    pub(super) step: Option<String>,
    pub(super) step_percent: Option<String>,
    pub(super) facts: Vec<(&'static str, String, String)>,
    pub(super) under_way: Vec<Doing>,
}

/// What a connection is doing.
pub(super) struct Doing {
    pub(super) what: &'static str,
    pub(super) subject: String,
    pub(super) phase: String,
    pub(super) percent: Option<String>,
    pub(super) elapsed: String,
}

/// The runs that are open.
pub(super) fn open_runs(overview: &Overview, zone: Tz) -> Vec<NowView> {
    let runs = overview.run.iter().chain(&overview.beside).filter(|run| run.run.status == "running");
    runs.map(|run| NowView::new(run, overview, zone)).collect()
}

impl NowView {
    fn new(now: &RunNow, overview: &Overview, zone: Tz) -> Self {
        let run = &now.run;
        let stage = now.stage.as_ref();
        let title = match stage {
            Some(stage) if stage.attempt.attempt > 1 => {
                format!("{}, attempt {}", stage.attempt.stage, stage.attempt.attempt)
            }
            Some(stage) => stage.attempt.stage.clone(),
            None => "no stage has begun".to_owned(),
        };
        let step = stage.and_then(StageNow::step).map(|step| {
            format!("{}, for {}", step.step, shown::took(step.started_at, step.ended_at, overview.at))
        });
        let started =
            ("Started", shown::moment(run.started_at, zone), shown::ago(run.started_at, overview.at));
        let mut facts = vec![started];
        facts.push(match &now.eta {
            Some(eta) => done_at(eta, zone),
            None => {
                let why =
                    now.idle().map_or("no earlier night to compare with", |_| "nobody is at work on it");
                ("Done", "not known".to_owned(), why.to_owned())
            }
        });
        if let Some(stage) = stage {
            facts.extend(so_far(stage));
        }
        Self {
            link: shown::night_link(&run.run_id),
            title,
            idle: now.idle().map(|why| {
                let since =
                    now.idle_since.map(|since| format!(" for {}", shown::took(since, None, overview.at)));
                let more = if now.is_abandoned() {
                    "The next run takes its place."
                } else {
                    "The page of the queues says more."
                };
                format!("Nobody is at work on it{}: {why}. {more}", since.unwrap_or_default())
            }),
            step,
            step_percent: stage.and_then(|stage| stage.step_percent).map(percent),
            facts,
            under_way: overview
                .under_way
                .iter()
                .filter(|doing| doing.run_id == run.run_id)
                .map(Doing::new)
                .collect(),
        }
    }
}

fn done_at(eta: &Eta, zone: Tz) -> (&'static str, String, String) {
    let nights = crate::format::counted(eta.nights, "earlier night", "earlier nights");
    let when = format!("about {}", shown::clock_time(eta.ends_at, zone).get(..5).unwrap_or_default());
    ("Done", when, format!("in {}, as {nights} went", shown::millis(eta.remaining_ms)))
}

fn so_far(stage: &StageNow) -> [(&'static str, String, String); 2] {
    let of = |expected: Option<i64>| {
        expected.map(|expected| format!("of about {}", shown::count(expected))).unwrap_or_default()
    };
    [
        ("Tables", shown::count(stage.attempt.tables), of(stage.tables_expected)),
        (
            "Rows",
            shown::count(stage.rows_so_far),
            [of(stage.rows_expected), shown::bytes(stage.bytes_so_far)].join(" · "),
        ),
    ]
}

/// As an attribute wants it.
fn percent(percent: f64) -> String {
    format!("{:.0}", percent.clamp(0.0, 100.0))
}

impl Doing {
    fn new(doing: &UnderWay) -> Self {
        let table = doing.table.as_ref().map(ToString::to_string);
        let subject: Vec<String> = [table, doing.object.clone()].into_iter().flatten().collect();
        let mut phase = doing.phase.clone().unwrap_or_default();
        if let Some(rows) = doing.rows {
            phase = format!("{} rows", shown::count(rows));
        }
        if doing.waits_for_lock {
            phase = "waits for a lock of another session".to_owned();
        }
        Self {
            what: doing.what.word(),
            subject: shown::text(&subject.join(": ")),
            phase: shown::text(&phase),
            percent: doing.percent.map(percent),
            elapsed: shown::millis(doing.elapsed_ms),
        }
    }
}
