//! The queues: how many jobs stand how, which failed and what to do; and for operators the same as `nightferry queue` does.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, get, post, web};
use askama::Template;
use serde::Deserialize;

use super::super::House;
use super::super::door::Role;
use super::super::form::Form;
use super::super::frame::{self, Frame, Trouble};
use super::super::shown;
use super::Guest;
use crate::adapters::ledger::in_time;
use crate::adapters::queue::Queues;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::Stage;
use crate::jobs::operator::{self, Counts, JobView};

/// A queue that does not answer in this time counts as away.
const LIMIT: Duration = Duration::from_secs(5);
/// What is done may wait for others.
const ACT_LIMIT: Duration = Duration::from_secs(20);
/// So many of the failed jobs are listed.
const FAILED: usize = 50;

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    done: String,
}

#[derive(Debug, Deserialize)]
struct OfJob {
    job: String,
}

#[derive(Debug, Deserialize)]
struct OfQueue {
    stage: String,
}

#[derive(Template)]
#[template(path = "queues.html")]
struct Page {
    frame: Frame,
    done: Option<&'static str>,
    may_be_operated: bool,
    queues: Vec<QueueView>,
    no_worker: bool,
    failed: Vec<FailedView>,
    failed_more: usize,
}

struct QueueView {
    stage: &'static str,
    queue: &'static str,
    is_paused: bool,
    numbers: [u64; 7],
    is_forsaken: bool,
}

struct FailedView {
    id: String,
    run: String,
    link: String,
    attempt: u32,
    ended: String,
    error_kind: Option<String>,
    error: String,
    hint: Option<String>,
}

#[get("/queues")]
pub(super) async fn queues(house: web::Data<House>, guest: Guest, asked: web::Query<Asked>) -> HttpResponse {
    frame::answer(&house, guest.role, "queues", &read(&house, &guest, &asked.done).await)
}

async fn read(house: &House, guest: &Guest, done: &str) -> Result<Page> {
    look_for_a_queue(house)?;
    let asking = async {
        tokio::try_join!(operator::stats(&house.config), operator::failed_in(&house.config, &house.ledger))
    };
    let (counts, failed) = in_time(LIMIT, asking).await.map_err(|error| match error.kind() {
        ErrorKind::Timeout => Error::new(ErrorKind::Timeout, "the queue does not answer")
            .hint("does the Redis of REDIS_URL run? The nights stand on the other pages"),
        _ => error,
    })?;
    let done = match done {
        "retry" => Some("The job was put on its queue again."),
        "pause" => Some("The queue is paused: what is at work goes on, and nothing else begins."),
        "resume" => Some("The queue goes on."),
        _ => None,
    };
    Ok(Page {
        frame: Frame::new(house, Some(guest.role), "Queues", "queues"),
        done,
        may_be_operated: house.door.has_operators(),
        queues: counts.iter().map(QueueView::new).collect(),
        no_worker: operator::is_without_workers(&counts),
        failed_more: failed.len().saturating_sub(FAILED),
        failed: failed.iter().take(FAILED).map(|job| FailedView::new(job, house)).collect(),
    })
}

/// The web process makes no queue: it would not be the one that a worker serves.
fn look_for_a_queue(house: &House) -> Result<()> {
    let queue = &house.config.queue;
    if Queues::are_there(queue) {
        return Ok(());
    }
    let file = queue.file.display();
    Err(Error::new(ErrorKind::Schema, format!("there is no queue yet: the file {file} is not there"))
        .hint("it is made by the first worker on this machine; for a worker elsewhere set REDIS_URL"))
}

impl QueueView {
    fn new(counts: &Counts) -> Self {
        Self {
            stage: counts.stage.name(),
            queue: counts.queue,
            is_paused: counts.is_paused,
            numbers: [
                counts.waiting,
                counts.active,
                counts.delayed,
                counts.paused,
                counts.failed,
                counts.completed,
                counts.workers,
            ],
            is_forsaken: counts.is_forsaken(),
        }
    }
}

impl FailedView {
    fn new(job: &JobView, house: &House) -> Self {
        let ended = job.ended_at.map(|at| shown::moment(at, house.config.queue.timezone));
        Self {
            id: job.id.clone(),
            run: shown::text(job.run.as_str()),
            link: shown::night_link(job.run.as_str()),
            attempt: job.attempt,
            ended: ended.unwrap_or_else(|| "–".to_owned()),
            error_kind: job.error_kind.clone(),
            error: shown::text(job.error.as_deref().unwrap_or("–")),
            hint: job.hint.as_deref().map(shown::text),
        }
    }
}

#[post("/queues/retry")]
pub(super) async fn retry(house: web::Data<House>, guest: Guest, asked: Form<OfJob>) -> HttpResponse {
    let config = &house.config;
    act(&house, &guest, "retry", &asked.job, async || operator::retry(config, &asked.job).await.map(drop))
        .await
}

#[post("/queues/pause")]
pub(super) async fn pause(house: web::Data<House>, guest: Guest, asked: Form<OfQueue>) -> HttpResponse {
    let config = &house.config;
    let pause = async || operator::pause(config, &[stage(&asked.stage)?]).await.map(drop);
    act(&house, &guest, "pause", &asked.stage, pause).await
}

#[post("/queues/resume")]
pub(super) async fn resume(house: web::Data<House>, guest: Guest, asked: Form<OfQueue>) -> HttpResponse {
    let config = &house.config;
    let resume = async || operator::resume(config, &[stage(&asked.stage)?]).await.map(drop);
    act(&house, &guest, "resume", &asked.stage, resume).await
}

/// The stage of this name; events have a queue too.
fn stage(name: &str) -> Result<Stage> {
    Stage::ALL
        .into_iter()
        .find(|stage| stage.name() == name)
        .ok_or_else(|| Error::new(ErrorKind::Configuration, format!("there is no queue {name:?}")))
}

/// Has something done for an operator, and leads back to the queues.
async fn act(
    house: &House,
    guest: &Guest,
    action: &'static str,
    subject: &str,
    work: impl AsyncFnOnce() -> Result<()>,
) -> HttpResponse {
    if guest.role != Role::Operator {
        let frame = Frame::new(house, Some(guest.role), "Not done", "queues");
        return Trouble::new("Only operators may do this.")
            .hint("Sign out, and sign in with WEB_OPERATOR_TOKEN")
            .page(frame, StatusCode::FORBIDDEN);
    }
    let acting = async {
        look_for_a_queue(house)?;
        work().await
    };
    match in_time(ACT_LIMIT, acting).await {
        Ok(()) => {
            tracing::info!(action, subject, "{}", events::WEB_ACTION);
            let back = format!("/queues?done={action}");
            HttpResponse::SeeOther().insert_header((header::LOCATION, back)).finish()
        }
        Err(error) => frame::failed(house, guest.role, "queues", &error),
    }
}
