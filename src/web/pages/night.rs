//! One night: when everything happened, what took longest, what was left out, and what went wrong.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, web};
use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::super::frame::{self, Frame};
use super::super::now::{self, NowView};
use super::super::{House, shown};
use super::nights::Row;
use super::{Guest, absent};
use crate::adapters::ledger::AttemptLine;
use crate::adapters::ledger::dashboard::{NightDetail, NightRow, NightStep, WrittenObject, WrittenTable};
use crate::clock;
use crate::error::Result;
use crate::format;
use crate::timeline::{self, Band, Item, Kind, Timeline};

/// So many of the slowest are listed.
const SLOWEST: usize = 20;

#[derive(Template)]
#[template(path = "night.html")]
struct Page {
    frame: Frame,
    night: Row,
    host: String,
    version: String,
    error_kind: Option<String>,
    open_runs: Vec<NowView>,
    picture: String,
    stages: Vec<StageView>,
    totals: Vec<Total>,
    tables: Vec<TableView>,
    objects: Vec<ObjectView>,
    files: Vec<FileView>,
    left_out: Vec<(String, String)>,
    left_out_more: i64,
}

struct StageView {
    stage: String,
    attempt: i32,
    status: String,
    at: String,
    took: String,
    error: Option<String>,
    hint: Option<String>,
    steps: Vec<StepView>,
}

struct StepView {
    step: String,
    status: String,
    at: String,
    took: String,
}

struct Total {
    kind: String,
    count: String,
    took: String,
}

struct TableView {
    name: String,
    link: String,
    rows: String,
    bytes: String,
    took: String,
}

struct ObjectView {
    kind: String,
    table: String,
    link: String,
    name: String,
    took: String,
}

/// A file of the enrichment.
struct FileView {
    name: String,
    lane: String,
    at: String,
    took: String,
}

fn is_file(object: &WrittenObject) -> bool {
    Kind::named(&object.kind) == Kind::Enrichment
}

#[get("/nights/{run}")]
pub(super) async fn one_night(house: web::Data<House>, guest: Guest, run: web::Path<String>) -> HttpResponse {
    if run.contains('\0') {
        return absent(&house, *guest, "The ledger has no such run.");
    }
    let found = async {
        let found = house.ledger.read(async |ledger| match ledger.night(&run).await? {
            Some(night) => Ok(Some((night, ledger.night_detail(&run).await?))),
            None => Ok(None),
        });
        let Some((night, detail)) = found.await? else { return Ok(None) };
        let overview = if night.status == "running" { Some(house.lookout.look().await?) } else { None };
        let mut open_runs =
            overview.map_or_else(Vec::new, |overview| now::open_runs(&overview, house.config.queue.timezone));
        open_runs.retain(|open| open.link == shown::night_link(&night.run_id));
        Ok(Some(Page { open_runs, ..view(&house, &guest, &night, &detail) }))
    };
    let found: Result<Option<Page>> = found.await;
    match found.transpose() {
        Some(page) => frame::answer(&house, guest.role, "nights", &page),
        None => absent(&house, *guest, "The ledger has no such run."),
    }
}

fn view(house: &House, guest: &Guest, night: &NightRow, detail: &NightDetail) -> Page {
    let (zone, now) = (house.config.queue.timezone, clock::now());
    let row = Row::new(night, zone, now);
    let title = format!("{} of {}", format::capital(&row.what), shown::day(night.started_at, zone));
    let picture = Timeline::around(items(detail), bands(detail), now, zone);
    let (files, objects) = detail.objects.iter().partition(|object| is_file(object));
    Page {
        frame: Frame::new(house, Some(guest.role), title, "nights").refreshed(night.status == "running"),
        night: row,
        host: shown::text(&night.host),
        version: shown::text(&night.version),
        error_kind: night.error_kind.clone(),
        open_runs: Vec::new(),
        picture: timeline::svg(&picture),
        stages: detail.stages.iter().map(|stage| StageView::new(stage, &detail.steps, zone, now)).collect(),
        totals: totals(detail),
        tables: slowest(detail.tables.iter().collect(), |table: &WrittenTable| table.duration_ms)
            .map(TableView::new)
            .collect(),
        objects: slowest(objects, |object| object.duration_ms).map(ObjectView::new).collect(),
        files: slowest(files, |file| file.duration_ms).map(|file| FileView::new(file, zone)).collect(),
        left_out: detail
            .left_out
            .iter()
            .map(|one| (shown::text(&one.object), shown::text(&one.reason)))
            .collect(),
        left_out_more: detail.left_out_count - i64::try_from(detail.left_out.len()).unwrap_or_default(),
    }
}

impl StageView {
    fn new(stage: &AttemptLine, steps: &[NightStep], zone: Tz, now: DateTime<Utc>) -> Self {
        let of_it = |step: &&NightStep| step.stage == stage.stage && step.attempt == stage.attempt;
        let step = |step: &NightStep| StepView {
            step: shown::text(&step.step),
            status: step.status.clone(),
            at: shown::clock_time(step.started_at, zone),
            took: shown::took(step.started_at, step.ended_at, now),
        };
        Self {
            stage: stage.stage.clone(),
            attempt: stage.attempt,
            status: stage.status.clone(),
            at: shown::clock_time(stage.started_at, zone),
            took: shown::took(stage.started_at, stage.ended_at, now),
            error: stage.error.as_deref().map(shown::text),
            hint: stage.hint.as_deref().map(shown::text),
            steps: steps.iter().filter(of_it).map(step).collect(),
        }
    }
}

impl TableView {
    fn new(written: &WrittenTable) -> Self {
        Self {
            name: shown::text(&format!("{}.{}", written.schema_name, written.table_name)),
            link: shown::table_link(&written.schema_name, &written.table_name),
            rows: shown::count(written.rows_written),
            bytes: shown::bytes(written.bytes),
            took: shown::millis(written.duration_ms),
        }
    }
}

impl ObjectView {
    fn new(built: &WrittenObject) -> Self {
        Self {
            kind: built.kind.clone(),
            table: shown::text(&format!("{}.{}", built.schema_name, built.table_name)),
            link: shown::table_link(&built.schema_name, &built.table_name),
            name: shown::text(&built.object_name),
            took: shown::millis(built.duration_ms),
        }
    }
}

impl FileView {
    fn new(file: &WrittenObject, zone: Tz) -> Self {
        Self {
            name: shown::text(&file.object_name),
            lane: shown::text(file.connection.as_deref().unwrap_or_default()),
            at: shown::clock_time(file.started_at, zone),
            took: shown::millis(file.duration_ms),
        }
    }
}

fn slowest<T>(mut all: Vec<&T>, millis: impl Fn(&T) -> i64) -> impl Iterator<Item = &T> {
    all.sort_by_key(|one| std::cmp::Reverse(millis(one)));
    all.into_iter().take(SLOWEST)
}

/// How long each kind took, one after the other: what operators have always looked at first.
fn totals(detail: &NightDetail) -> Vec<Total> {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let tables = detail.tables.iter().map(|table| ("TABLE DATA", table.duration_ms));
    for (kind, millis) in
        detail.objects.iter().map(|object| (object.kind.as_str(), object.duration_ms)).chain(tables)
    {
        let (count, sum) = sums.entry(kind).or_default();
        *count += 1;
        *sum += millis;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, (_, sum))| std::cmp::Reverse(*sum));
    let total = |(kind, (count, sum)): (&str, (i64, i64))| Total {
        kind: shown::text(kind),
        count: shown::count(count),
        took: shown::millis(sum),
    };
    sums.into_iter().map(total).collect()
}

fn bands(detail: &NightDetail) -> Vec<Band> {
    let stages = detail.stages.iter().map(|stage| Band {
        label: if stage.attempt > 1 {
            format!("{} ({})", stage.stage, stage.attempt)
        } else {
            stage.stage.clone()
        },
        start: stage.started_at,
        end: stage.ended_at,
        failed: stage.status == "failed",
    });
    let steps = detail.steps.iter().map(|step| Band {
        label: step.step.clone(),
        start: step.started_at,
        end: step.ended_at,
        failed: step.status == "failed",
    });
    stages.chain(steps).collect()
}

fn items(detail: &NightDetail) -> Vec<Item> {
    let lane = |connection: &Option<String>, stage: &str| {
        Some(connection.clone().unwrap_or_else(|| stage.to_owned()))
    };
    let tables = detail.tables.iter().filter_map(|table| {
        // An older version did not write down when.
        let start = table.started_at?;
        Some(Item {
            label: format!("{}.{}", table.schema_name, table.table_name),
            kind: Kind::Table,
            lane: lane(&table.connection, &table.stage),
            start,
            end: Some(start + TimeDelta::milliseconds(table.duration_ms)),
            detail: format!("{}, {}", shown::rows(table.rows_written), shown::bytes(table.bytes)),
            failed: false,
        })
    });
    let objects = detail.objects.iter().map(|object| Item {
        label: object.object_name.clone(),
        kind: Kind::named(&object.kind),
        lane: lane(&object.connection, &object.stage),
        start: object.started_at,
        end: Some(object.started_at + TimeDelta::milliseconds(object.duration_ms)),
        detail: if is_file(object) {
            "enrichment".to_owned()
        } else {
            format!("{} on {}.{}", object.kind, object.schema_name, object.table_name)
        },
        failed: false,
    });
    tables.chain(objects).collect()
}
