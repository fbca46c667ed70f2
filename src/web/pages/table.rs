//! One table: how it grew, night after night. Its name stands in the query: as a part of the path, a table that is called `..` could not be
//! reached, nor one with a slash through every proxy.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, web};
use askama::Template;
use chrono_tz::Tz;
use serde::Deserialize;

use super::super::chart;
use super::super::frame::{self, Frame};
use super::super::{House, shown};
use super::{Guest, absent};
use crate::adapters::ledger::dashboard::TableHistory;
use crate::ids::{Stage, TableName};

/// So many attempts are looked at, and so many of them listed.
const ATTEMPTS: i64 = 800;
const LISTED: usize = 60;

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    schema: String,
    #[serde(default)]
    name: String,
}

#[derive(Template)]
#[template(path = "table.html")]
struct Page {
    frame: Frame,
    name: String,
    what: &'static str,
    chart: String,
    between: String,
    longest: String,
    from: String,
    to: String,
    took: String,
    rows: Vec<Row>,
}

struct Row {
    at: String,
    machine: String,
    link: String,
    treatment: String,
    status: String,
    rows: String,
    bytes: String,
    took: String,
}

#[get("/table")]
pub(super) async fn one_table(
    house: web::Data<House>,
    guest: Guest,
    asked: web::Query<Asked>,
) -> HttpResponse {
    let name = TableName::new(&asked.schema, &asked.name);
    if name.to_string().contains('\0') {
        return absent(&house, *guest, "The ledger has no such table.");
    }
    match house.ledger.read(async |ledger| ledger.table_history(&name, ATTEMPTS).await).await {
        Ok(history) if history.is_empty() => absent(&house, *guest, "The ledger has no such table."),
        Ok(history) => frame::page(&view(&house, &guest, &name, &history), StatusCode::OK),
        Err(error) => frame::failed(&house, guest.role, "tables", &error),
    }
}

fn view(house: &House, guest: &Guest, name: &TableName, history: &[TableHistory]) -> Page {
    let zone = house.config.queue.timezone;
    // A table that was loaded whole once, and is added to since then: what it is given now.
    let stage = &history[0].stage;
    let is_whole = stage != Stage::IncrementalReplication.name();
    // An increment is in the warehouse, however its stage ended.
    let good: Vec<&TableHistory> = history
        .iter()
        .rev()
        .filter(|attempt| &attempt.stage == stage && (!is_whole || attempt.stage_status == "succeeded"))
        .collect();
    let values: Vec<i64> = good.iter().map(|attempt| attempt.rows_written).collect();
    let day = |attempt: Option<&&TableHistory>| {
        attempt.map(|attempt| shown::date(attempt.started_at, zone)).unwrap_or_default()
    };
    let (what, label) = match history[0].treatment.as_str() {
        _ if is_whole => ("Rows, night after night", "Rows of each night"),
        "incremental" => ("Rows added, night after night", "Rows added in each night"),
        // It has most of them already.
        _ => ("Rows written, night after night", "Rows written in each night"),
    };
    let name = shown::text(&name.to_string());
    let took: Vec<i64> = good.iter().map(|attempt| attempt.duration_ms).collect();
    Page {
        frame: Frame::new(house, Some(guest.role), name.clone(), "tables"),
        name,
        what,
        chart: chart::area(&values, label),
        between: between(&values),
        longest: shown::millis(took.iter().max().copied().unwrap_or_default()),
        from: day(good.first()),
        to: day(good.last()),
        took: chart::area(&took, "Duration of each night"),
        rows: history.iter().take(LISTED).map(|attempt| Row::new(attempt, zone)).collect(),
    }
}

fn between(values: &[i64]) -> String {
    let (least, most) = (values.iter().min().copied(), values.iter().max().copied());
    let [least, most] = [least, most].map(|value| shown::count(value.unwrap_or_default()));
    if least == most { format!("{most} each night") } else { format!("between {least} and {most}") }
}

impl Row {
    fn new(attempt: &TableHistory, zone: Tz) -> Self {
        Self {
            at: shown::moment(attempt.started_at, zone),
            machine: shown::machine(attempt.started_at),
            link: shown::night_link(&attempt.run_id),
            treatment: attempt.treatment.clone(),
            status: attempt.stage_status.clone(),
            rows: shown::count(attempt.rows_written),
            bytes: shown::bytes(attempt.bytes),
            took: shown::millis(attempt.duration_ms),
        }
    }
}
