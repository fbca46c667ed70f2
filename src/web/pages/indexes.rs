//! The indexes and constraints that take longest, and whether that is new.

use actix_web::{HttpResponse, get, web};
use askama::Template;
use serde::Deserialize;

use super::super::frame::{self, Frame};
use super::super::{House, shown};
use super::{Guest, Pager, number, tables::sought};
use crate::adapters::ledger::dashboard::{BuiltObject, ObjectSearch};
use crate::error::Result;

const OBJECTS: i64 = 50;

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    page: String,
}

#[derive(Template)]
#[template(path = "indexes.html")]
struct Page {
    frame: Frame,
    search: String,
    kinds: Vec<KindView>,
    kind: String,
    all_link: String,
    rows: Vec<Row>,
    pager: Pager,
}

struct KindView {
    kind: String,
    link: String,
    is_chosen: bool,
    count: String,
    took: String,
}

struct Row {
    kind: String,
    table: String,
    link: String,
    name: String,
    took: String,
    median: String,
    compared: String,
    is_slower: bool,
}

#[get("/indexes")]
pub(super) async fn indexes(house: web::Data<House>, guest: Guest, asked: web::Query<Asked>) -> HttpResponse {
    frame::answer(&house, guest.role, "indexes", &read(&house, &guest, &asked).await)
}

async fn read(house: &House, guest: &Guest, asked: &Asked) -> Result<Page> {
    let (text, kind) = (sought(&asked.q), sought(&asked.kind));
    let page = number(&asked.page);
    let search =
        ObjectSearch { text: text.clone(), kind: kind.clone(), limit: OBJECTS, skip: (page - 1) * OBJECTS };
    let asked = house
        .ledger
        .read(async |ledger| Ok((ledger.objects(&search).await?, ledger.kinds_of_objects().await?)));
    let (found, totals) = asked.await?;
    let all = found.first().map_or(0, |object| object.objects);
    let kinds = totals.iter().map(|total| KindView {
        kind: shown::text(&total.kind),
        link: shown::link("/indexes", &[("q", &text), ("kind", &total.kind)]),
        is_chosen: total.kind == kind,
        count: shown::count(total.objects),
        took: shown::millis(total.duration_ms),
    });
    Ok(Page {
        frame: Frame::new(house, Some(guest.role), "Indexes", "indexes"),
        kinds: kinds.collect(),
        all_link: shown::link("/indexes", &[("q", &text)]),
        rows: found.iter().map(Row::new).collect(),
        pager: Pager::new("/indexes", &[("q", &text), ("kind", &kind)], page, OBJECTS, all),
        search: text,
        kind,
    })
}

/// `+12 %`; `×22` where per cents say little.
fn against(ratio: f64) -> String {
    if ratio < 3.0 { format!("{:+.0} %", (ratio - 1.0) * 100.0) } else { format!("×{ratio:.0}") }
}

/// What takes less is as fast as it can be: its times differ by chance.
const NOTICED_MS: f64 = 1000.0;

impl Row {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "milliseconds for people"
    )]
    fn new(object: &BuiltObject) -> Self {
        let took = object.duration_ms as f64;
        let ratio = object.median_ms.filter(|median| *median > 0.0).map(|median| took / median);
        let more = object.median_ms.map_or(0.0, |median| took - median);
        Self {
            kind: object.kind.clone(),
            table: shown::text(&format!("{}.{}", object.schema_name, object.table_name)),
            link: shown::table_link(&object.schema_name, &object.table_name),
            name: shown::text(&object.object_name),
            took: shown::millis(object.duration_ms),
            median: object.median_ms.map_or_else(|| "new".to_owned(), |median| shown::millis(median as i64)),
            compared: ratio.map_or_else(|| "–".to_owned(), against),
            is_slower: ratio.is_some_and(|ratio| ratio > 1.5) && more > NOTICED_MS,
        }
    }
}
