//! What all pages have in common: the head, the way between them, the headers, and the page of something that went wrong.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::middleware::DefaultHeaders;
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::House;
use super::door::Role;
use super::shown;
use crate::error::{Error, ErrorKind, Result};
use crate::timeline;

/// How often a page is asked for again while a run is at work, in seconds.
const REFRESH: u32 = 10;

/// What the frame of a page says.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    /// Which of the pages of the menu this belongs to.
    pub(super) here: &'static str,
    pub(super) is_signed_in: bool,
    pub(super) is_operator: bool,
    pub(super) refresh: Option<u32>,
    pub(super) style: &'static str,
    pub(super) zone: String,
}

impl Frame {
    pub(super) fn new(
        house: &House,
        role: Option<Role>,
        title: impl Into<String>,
        here: &'static str,
    ) -> Self {
        Self {
            title: title.into(),
            here,
            is_signed_in: role.is_some(),
            is_operator: role == Some(Role::Operator),
            refresh: None,
            style: house.style.path,
            zone: house.config.queue.timezone.name().to_owned(),
        }
    }

    /// Has the page asked for again while a run is at work.
    pub(super) fn refreshed(mut self, is_at_work: bool) -> Self {
        self.refresh = is_at_work.then_some(REFRESH);
        self
    }
}

/// Answers with a page.
pub(super) fn page(template: &impl Template, status: StatusCode) -> HttpResponse {
    match template.render() {
        Ok(text) => HttpResponse::build(status).content_type("text/html; charset=utf-8").body(text),
        Err(error) => {
            tracing::error!(error.message = %error, "a page cannot be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Answers with a page, or with what went wrong; `here` is the page of the menu that it belongs to.
pub(super) fn answer(
    house: &House,
    role: Role,
    here: &'static str,
    template: &Result<impl Template>,
) -> HttpResponse {
    match template {
        Ok(template) => page(template, StatusCode::OK),
        Err(error) => failed(house, role, here, error),
    }
}

/// Headers of every answer: nothing is loaded from elsewhere, nothing runs, nobody frames it, nothing is kept.
pub(super) fn headers() -> DefaultHeaders {
    const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, POLICY))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // Not no-referrer: with that a form's Origin would be null.
        .add((header::REFERRER_POLICY, "same-origin"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::CACHE_CONTROL, "no-store"))
}

/// The one stylesheet. Its URL changes with it, so that it may be kept for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

impl Style {
    /// Made once, when the process starts.
    pub(super) fn new() -> Self {
        let text: &'static str = [include_str!("style.css"), timeline::STYLE].concat().leak();
        let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..9]);
        Self { path: format!("/style-{digest}.css").leak(), text }
    }

    pub(super) fn answer(self) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("text/css; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(self.text)
    }
}

/// The small picture of the tab.
pub(super) async fn icon() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header((header::CACHE_CONTROL, "public, max-age=86400"))
        .body(include_str!("icon.svg"))
}

/// Something that cannot be shown, or was not done: one sentence, and what to do.
#[derive(Debug)]
pub(super) struct Trouble {
    sentence: String,
    hint: Option<String>,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    frame: Frame,
    sentence: String,
    hint: Option<String>,
}

impl Trouble {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn page(self, frame: Frame, status: StatusCode) -> HttpResponse {
        let (sentence, hint) = (shown::text(&self.sentence), self.hint.as_deref().map(shown::text));
        page(&TroublePage { frame, sentence, hint }, status)
    }
}

/// The page of an error of the ledger, the queue or the warehouse.
pub(super) fn failed(house: &House, role: Role, here: &'static str, error: &Error) -> HttpResponse {
    let (title, status) = match error.kind() {
        ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::Unavailable => {
            ("No answer", StatusCode::SERVICE_UNAVAILABLE)
        }
        ErrorKind::Schema => ("Nothing to show yet", StatusCode::SERVICE_UNAVAILABLE),
        ErrorKind::Configuration => ("Not found", StatusCode::NOT_FOUND),
        ErrorKind::Refused | ErrorKind::Busy => ("Not done", StatusCode::CONFLICT),
        _ => ("This went wrong", StatusCode::INTERNAL_SERVER_ERROR),
    };
    tracing::warn!(error.kind = error.kind().name(), error.message = %error, "a page cannot be shown");
    let trouble = Trouble { sentence: error.to_string(), hint: error.operator_hint().map(str::to_owned) };
    trouble.page(Frame::new(house, Some(role), title, here), status)
}
