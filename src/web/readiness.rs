//! Whether this process could show anything: `/ready`. It is open to everybody, so the answer is kept for moments: strangers cannot
//! load the warehouse with it.

use std::time::Duration;

use actix_web::{HttpResponse, route, web};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::House;
use crate::adapters::ledger::in_time;
use crate::adapters::queue::Queues;
use crate::error::Result;

const LIMIT: Duration = Duration::from_secs(2);
const KEPT: Duration = Duration::from_secs(5);

/// The last answer.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Answer)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Ready,
    Unready,
    Answers,
    Away,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Answer {
    status: Word,
    warehouse: Word,
    queue: Word,
}

impl Readiness {
    /// Whoever asks while another one does waits for the same answer.
    async fn ask(&self, house: &House) -> Answer {
        let mut kept = self.0.lock().await;
        if let Some((at, answer)) = *kept
            && at.elapsed() < KEPT
        {
            return answer;
        }
        let warehouse = in_time(LIMIT, house.ledger.look());
        let queue = in_time(LIMIT, Queues::look(&house.config.queue));
        let (warehouse, queue) = tokio::join!(warehouse, queue);
        let answer = Answer::of(&warehouse, &queue);
        *kept = Some((Instant::now(), answer));
        answer
    }
}

impl Answer {
    fn of(warehouse: &Result<()>, queue: &Result<()>) -> Self {
        let word = |result: &Result<()>| if result.is_ok() { Word::Answers } else { Word::Away };
        let status = if warehouse.is_ok() && queue.is_ok() { Word::Ready } else { Word::Unready };
        Self { status, warehouse: word(warehouse), queue: word(queue) }
    }
}

/// 200 when warehouse and queue answer in time, else 503.
#[route("/ready", method = "GET", method = "HEAD")]
pub(super) async fn ready(house: web::Data<House>) -> HttpResponse {
    let answer = house.readiness.ask(&house).await;
    let mut response = match answer.status {
        Word::Ready => HttpResponse::Ok(),
        _ => HttpResponse::ServiceUnavailable(),
    };
    response.json(answer)
}
