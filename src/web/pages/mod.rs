//! The pages behind the door: one file each, what it asks, what it shows.

mod indexes;
mod night;
mod nights;
mod queues;
mod table;
mod tables;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, web};

use super::House;
use super::door::Visitor;
use super::frame::{Frame, Trouble};
use super::metrics;
use super::shown;

/// Who asks: the door has let them through.
type Guest = web::ReqData<Visitor>;

/// All pages, and what can be done on them.
pub(super) fn register(app: &mut web::ServiceConfig) {
    app.service(nights::nights)
        .service(night::one_night)
        .service(tables::tables)
        .service(table::one_table)
        .service(indexes::indexes)
        .service(queues::queues)
        .service(queues::retry)
        .service(queues::pause)
        .service(queues::resume)
        .service(measures);
}

/// What Prometheus reads.
#[get("/metrics")]
async fn measures(house: web::Data<House>) -> HttpResponse {
    metrics::metrics(&house.config, &house.ledger).await
}

/// There is no such page.
pub(super) async fn nothing(house: web::Data<House>, guest: Guest) -> HttpResponse {
    absent(&house, *guest, "There is no such page.")
}

fn absent(house: &House, guest: Visitor, sentence: &str) -> HttpResponse {
    let frame = Frame::new(house, Some(guest.role), "Not found", "");
    Trouble::new(sentence).page(frame, StatusCode::NOT_FOUND)
}

/// The number of a page, from 1, as the URL has it; what is none counts as the first.
fn number(asked: &str) -> i64 {
    asked.parse().ok().filter(|page| (1..=100_000).contains(page)).unwrap_or(1)
}

/// The way to the pages before and after.
#[derive(Debug, PartialEq, Eq)]
struct Pager {
    page: i64,
    pages: i64,
    before: Option<String>,
    after: Option<String>,
}

impl Pager {
    /// The pages of a list at `path`; `parameters` are what else is asked for.
    fn new(path: &str, parameters: &[(&str, &str)], page: i64, of_each: i64, all: i64) -> Self {
        let pages = all.div_euclid(of_each) + i64::from(all.rem_euclid(of_each) > 0);
        let to = |other: i64| {
            let number = other.to_string();
            let number = if other == 1 { "" } else { &number };
            shown::link(path, &[parameters, &[("page", number)]].concat())
        };
        Self {
            page,
            pages: pages.max(1),
            before: (page > 1).then(|| to(page - 1)),
            after: (page < pages).then(|| to(page + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_no_number_is_the_first() {
        assert_eq!(["", "0", "-1", "x", "7", "99999999999"].map(number), [1, 1, 1, 1, 7, 1]);
    }

    #[test]
    fn each_page_leads_to_the_next_with_what_was_asked_for() {
        let pager = Pager::new("/tables", &[("q", "a&b"), ("sort", "")], 2, 50, 101);
        assert_eq!(
            (pager.pages, pager.before.as_deref(), pager.after.as_deref()),
            (3, Some("/tables?q=a%26b"), Some("/tables?q=a%26b&page=3"))
        );
        let only = Pager::new("/tables", &[], 1, 50, 0);
        assert_eq!((only.pages, only.before, only.after), (1, None, None));
    }
}
