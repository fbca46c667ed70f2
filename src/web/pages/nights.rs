//! The nights: what is under way, what the warehouse holds, and how the last ones went.

use actix_web::{HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

use super::super::chart::{self, Bar};
use super::super::frame::{self, Frame};
use super::super::now::{self, NowView};
use super::super::{House, shown};
use super::{Guest, Pager, number};
use crate::adapters::ledger::dashboard::{LiveCopy, NightRow};
use crate::clock;
use crate::error::Result;
use crate::ids::{RunId, Stage};
use crate::jobs::overview::{LastSuccess, Overview};
use crate::timeline::escaped;

/// Runs on a page.
const RUNS: i64 = 30;
/// Runs in the picture.
const BARS: i64 = 60;

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    page: String,
}

#[derive(Template)]
#[template(path = "nights.html")]
struct Page {
    frame: Frame,
    holds: Holds,
    open_runs: Vec<NowView>,
    next: Option<String>,
    successes: Vec<Success>,
    bars: Option<String>,
    rows: Vec<Row>,
    pager: Pager,
}

/// What readers see.
struct Holds {
    sentence: String,
    run: Option<String>,
    since: Option<String>,
}

struct Success {
    stage: String,
    at: String,
    machine: String,
    ago: String,
}

/// One run in the table.
pub(super) struct Row {
    pub(super) run: String,
    pub(super) link: String,
    pub(super) what: String,
    pub(super) origin: String,
    pub(super) status: String,
    pub(super) at: String,
    pub(super) machine: String,
    pub(super) took: String,
    pub(super) tables: String,
    pub(super) rows: String,
    pub(super) bytes: String,
    pub(super) error: Option<String>,
    pub(super) hint: Option<String>,
}

impl Row {
    pub(super) fn new(night: &NightRow, zone: Tz, now: DateTime<Utc>) -> Self {
        let other = if night.is_night { "night" } else { "one stage" };
        let what = RunId::from(night.run_id.clone()).beside().map_or(other, Stage::name);
        Self {
            run: shown::text(&night.run_id),
            link: shown::night_link(&night.run_id),
            what: what.to_owned(),
            origin: night.origin.clone(),
            status: night.status.clone(),
            at: shown::moment(night.started_at, zone),
            machine: shown::machine(night.started_at),
            took: shown::took(night.started_at, night.ended_at, now),
            tables: shown::count(night.tables_written),
            rows: shown::count(night.rows_written),
            bytes: shown::bytes(night.bytes_written),
            error: night.error.as_deref().map(shown::text),
            hint: night.hint.as_deref().map(shown::text),
        }
    }
}

#[get("/nights")]
pub(super) async fn nights(house: web::Data<House>, guest: Guest, asked: web::Query<Asked>) -> HttpResponse {
    frame::answer(&house, guest.role, "nights", &read(&house, &guest, number(&asked.page)).await)
}

async fn read(house: &House, guest: &Guest, page: i64) -> Result<Page> {
    let (zone, now) = (house.config.queue.timezone, clock::now());
    // The ledger is asked first: it says best what is missing.
    let asked = house.ledger.read(async |ledger| {
        let (last, all) = ledger.nights(BARS, 0).await?;
        let listed = match page {
            // The first page and the picture are the same runs.
            1 => last.iter().take(RUNS as usize).cloned().collect(),
            _ => ledger.nights(RUNS, (page - 1) * RUNS).await?.0,
        };
        Ok((last, listed, all, ledger.live_copy().await?))
    });
    let (last, listed, all, live) = asked.await?;
    let overview = house.lookout.look().await?;
    let is_at_work = last.iter().any(|night| night.status == "running");
    Ok(Page {
        frame: Frame::new(house, Some(guest.role), "Nights", "nights").refreshed(is_at_work),
        open_runs: now::open_runs(&overview, zone),
        next: next(&overview, zone),
        holds: holds(live.as_ref(), zone, now),
        successes: in_order(&overview).into_iter().map(|success| Success::new(success, zone, now)).collect(),
        bars: (page == 1).then(|| bars(&last, zone, now)).flatten(),
        rows: listed.iter().map(|night| Row::new(night, zone, now)).collect(),
        pager: Pager::new("/nights", &[], page, RUNS, all),
    })
}

/// When the next night begins.
fn next(overview: &Overview, zone: Tz) -> Option<String> {
    let night = overview.schedule.iter().find(|next| next.of == "night")?;
    Some(shown::moment(night.at, zone))
}

fn holds(live: Option<&LiveCopy>, zone: Tz, now: DateTime<Utc>) -> Holds {
    let Some(live) = live else {
        let sentence = "No night has published a copy yet.".to_owned();
        return Holds { sentence, run: None, since: None };
    };
    let begun = shown::moment(live.begun_at, zone);
    let run = shown::text(live.run_id.as_deref().unwrap_or_default());
    let sentence = match (live.state.as_str(), live.fresh_as_of) {
        ("whole", Some(at)) => {
            format!("The warehouse holds the copy of {} ({}).", shown::moment(at, zone), shown::ago(at, now))
        }
        ("whole", None) => "The warehouse holds a copy whose age is not known.".to_owned(),
        ("filling", _) => format!(
            "Run {run} has been replacing the copy in place since {begun}: tables are empty until it comes to them."
        ),
        ("unfinished", _) => format!(
            "Run {run} began to replace the copy in place on {begun} and left it unfinished: tables may be empty until a night ends well."
        ),
        _ => "The warehouse holds what was there before nightferry.".to_owned(),
    };
    let since = live.published_at.map(|at| shown::moment(at, zone));
    Holds { sentence, run: live.run_id.clone(), since }
}

impl Success {
    fn new(success: &LastSuccess, zone: Tz, now: DateTime<Utc>) -> Self {
        Self {
            stage: success.stage.clone(),
            at: shown::moment(success.ended_at, zone),
            machine: shown::machine(success.ended_at),
            ago: shown::ago(success.ended_at, now),
        }
    }
}

/// The night first, then its stages, then the jobs beside it.
fn in_order(overview: &Overview) -> Vec<&LastSuccess> {
    let mut successes: Vec<&LastSuccess> = overview.last_success.iter().collect();
    let place = |success: &&LastSuccess| {
        Stage::ALL.iter().position(|stage| stage.name() == success.stage).map_or(0, |at| at + 1)
    };
    successes.sort_by_key(place);
    successes
}

/// How long the nights took; what is none is left out.
fn bars(last: &[NightRow], zone: Tz, now: DateTime<Utc>) -> Option<String> {
    let is_night = |night: &&NightRow| night.is_night;
    let took = |night: &NightRow| (night.ended_at.unwrap_or(now) - night.started_at).num_milliseconds();
    // One that was left open for days would make all others look like nothing.
    let ended = last.iter().filter(is_night).filter(|night| night.ended_at.is_some());
    let most = ended.map(took).max().unwrap_or(i64::MAX);
    let bar = |night: &NightRow| {
        let title = format!(
            "{}: {}, {}",
            shown::moment(night.started_at, zone),
            night.status,
            shown::took(night.started_at, night.ended_at, now)
        );
        let class = match night.status.as_str() {
            "succeeded" => "succeeded",
            "failed" => "failed",
            "running" => "running",
            _ => "interrupted",
        };
        Bar {
            value: took(night).min(most),
            class,
            link: escaped(&shown::night_link(&night.run_id)),
            title: escaped(&title),
        }
    };
    let bars: Vec<Bar> = last.iter().filter(is_night).map(bar).rev().collect();
    (bars.len() > 1).then(|| chart::bars(&bars, "How long the last nights took"))
}
