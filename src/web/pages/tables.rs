//! The tables: how big they are, and how they grew.

use std::collections::HashMap;

use actix_web::{HttpResponse, get, web};
use askama::Template;
use serde::Deserialize;

use super::super::chart;
use super::super::frame::{self, Frame};
use super::super::{House, shown};
use super::{Guest, Pager, number};
use crate::adapters::ledger::dashboard::{TableOrder, TableRow, TableSearch};
use crate::error::Result;

/// Tables on a page.
const TABLES: i64 = 50;

const ORDERS: [(&str, TableOrder, &str); 5] = [
    ("size", TableOrder::Size, "Size"),
    ("rows", TableOrder::Rows, "Rows"),
    ("week", TableOrder::Week, "7 nights"),
    ("month", TableOrder::Month, "30 nights"),
    ("name", TableOrder::Name, "Name"),
];

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    page: String,
}

#[derive(Template)]
#[template(path = "tables.html")]
struct Page {
    frame: Frame,
    search: String,
    sort: &'static str,
    orders: Vec<Order>,
    count: String,
    rows: Vec<Row>,
    pager: Pager,
}

struct Order {
    label: &'static str,
    link: String,
    is_chosen: bool,
}

struct Row {
    name: String,
    link: String,
    treatment: String,
    about: &'static str,
    rows: String,
    bytes: String,
    week: String,
    month: String,
    spark: String,
}

#[get("/tables")]
pub(super) async fn tables(house: web::Data<House>, guest: Guest, asked: web::Query<Asked>) -> HttpResponse {
    frame::answer(&house, guest.role, "tables", &read(&house, &guest, &asked).await)
}

async fn read(house: &House, guest: &Guest, asked: &Asked) -> Result<Page> {
    let text = sought(&asked.q);
    let (sort, order, _) = ORDERS.into_iter().find(|(word, ..)| *word == asked.sort).unwrap_or(ORDERS[0]);
    let page = number(&asked.page);
    let search = TableSearch { text: text.clone(), order, limit: TABLES, skip: (page - 1) * TABLES };
    let asked = house.ledger.read(async |ledger| {
        let found = ledger.tables(&search).await?;
        let sparks = ledger.sparklines(&found).await?;
        Ok((found, sparks))
    });
    let (found, sparks) = asked.await?;
    let lines: HashMap<(&str, &str), &[i64]> = sparks
        .iter()
        .map(|spark| ((spark.schema_name.as_str(), spark.table_name.as_str()), spark.rows.as_slice()))
        .collect();
    let row = |row: &TableRow| {
        let line = lines.get(&(row.schema_name.as_str(), row.table_name.as_str())).copied();
        Row::new(row, line.unwrap_or_default())
    };
    let all = found.first().map_or(0, |row| row.tables);
    let orders = ORDERS.into_iter().map(|(word, one, label)| Order {
        label,
        link: shown::link("/tables", &[("q", &text), ("sort", word)]),
        is_chosen: one == order,
    });
    Ok(Page {
        frame: Frame::new(house, Some(guest.role), "Tables", "tables"),
        sort,
        orders: orders.collect(),
        count: crate::format::counted(usize::try_from(all).unwrap_or_default(), "table", "tables"),
        rows: found.iter().map(row).collect(),
        pager: Pager::new("/tables", &[("q", &text), ("sort", sort)], page, TABLES, all),
        search: text,
    })
}

/// What is looked for. A text that no name can be as long as is cut, and so is what PostgreSQL cannot be asked.
pub(super) fn sought(asked: &str) -> String {
    asked.trim().chars().filter(|c| *c != '\0').take(200).collect()
}

impl Row {
    fn new(row: &TableRow, line: &[i64]) -> Self {
        let unknown = || "–".to_owned();
        Self {
            name: shown::text(&format!("{}.{}", row.schema_name, row.table_name)),
            link: shown::table_link(&row.schema_name, &row.table_name),
            treatment: row.treatment.clone(),
            about: if row.is_whole { "" } else { "≈ " },
            rows: row.rows.map_or_else(unknown, shown::count),
            bytes: row.bytes.map_or_else(unknown, shown::bytes),
            week: row.week.map_or_else(unknown, shown::growth),
            month: row.month.map_or_else(unknown, shown::growth),
            spark: chart::sparkline(line),
        }
    }
}
