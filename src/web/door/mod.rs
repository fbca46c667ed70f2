//! Who comes in: machines show a token with each request, people type it once into a form and get a cookie. Tokens stand in no URL and
//! in no log.

mod attempts;
mod login;
mod origin;
mod session;

use std::sync::{Mutex, PoisonError};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde_json::json;

pub(super) use login::{sign_in, sign_in_form, sign_out};
pub(super) use session::Role;

use attempts::{Attempts, Network};
use origin::Sender;

use super::House;
use super::frame::{Frame, Trouble};
use crate::clock;
use crate::config::Access;
use crate::events;

/// The cookie's name.
const COOKIE: &str = "nightferry";

/// Keeps those out who have no token.
#[derive(Debug)]
pub(super) struct Door {
    access: Access,
    attempts: Mutex<Attempts>,
}

/// Somebody who may come in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    pub(super) role: Role,
    /// By a cookie, which a browser sends along whoever asks for it.
    by_cookie: bool,
}

/// Why somebody is kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing was shown that could be right.
    NoToken,
    /// The token is wrong.
    Wrong,
    /// There were too many wrong ones from there: so many seconds must pass.
    TooMany(i64),
}

impl Door {
    pub(super) fn new(access: Access) -> Self {
        Self { access, attempts: Mutex::default() }
    }

    /// Whether anybody may act.
    pub(super) fn has_operators(&self) -> bool {
        self.access.operator_token.is_some()
    }

    /// The role of a token, unless too many from there were wrong.
    fn try_token(&self, request: &HttpRequest, token: &str) -> Result<Role, Refusal> {
        let now = clock::now();
        let from = network(request);
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pause) = attempts.pause(from, now) {
            return Err(Refusal::TooMany(pause));
        }
        session::role_of_token(&self.access, token).ok_or_else(|| {
            if attempts.failed(from, token, now) {
                tracing::warn!("{}", events::WEB_TOO_MANY_WRONG_TOKENS);
            }
            Refusal::Wrong
        })
    }

    /// Who asks.
    fn visitor(&self, request: &HttpRequest) -> Result<Visitor, Refusal> {
        if let Some(token) = bearer(request) {
            return self.try_token(request, token).map(|role| Visitor { role, by_cookie: false });
        }
        let cookie = request.cookie(COOKIE);
        let role =
            cookie.and_then(|cookie| session::role_of_cookie(&self.access, cookie.value(), clock::now()));
        role.map(|role| Visitor { role, by_cookie: true }).ok_or(Refusal::NoToken)
    }
}

fn network(request: &HttpRequest) -> Option<Network> {
    let forwarded_for = request.headers().get_all("x-forwarded-for").last();
    Network::of(
        forwarded_for.and_then(|value| value.to_str().ok()),
        request.peer_addr().map(|address| address.ip()),
    )
}

/// The token of `Authorization: Bearer` (RFC 6750, 2.1).
fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = text(request, header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn text(request: &HttpRequest, name: impl header::AsHeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

fn sender(request: &HttpRequest) -> Sender<'_> {
    Sender {
        site: text(request, "sec-fetch-site"),
        origin: text(request, header::ORIGIN),
        host: text(request, header::HOST),
    }
}

/// Whether a page is asked for, and not an answer for a machine.
pub(super) fn wants_page(request: &HttpRequest) -> bool {
    text(request, header::ACCEPT).is_some_and(|accept| accept.contains("text/html"))
}

/// Lets visitors through; all that lies behind is theirs alone, also that there is nothing.
pub(super) async fn guard(
    house: web::Data<House>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let visitor = match house.door.visitor(request.request()) {
        Ok(visitor) => visitor,
        Err(refusal) => {
            let response = kept_out(request.request(), refusal);
            return Ok(request.into_response(response));
        }
    };
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    // A machine that shows its token was not led here by a page.
    if changes && visitor.by_cookie && sender(request.request()).is_ours() != Some(true) {
        let frame = Frame::new(&house, Some(visitor.role), "Not done", "");
        let trouble = Trouble::new("This was not sent by a page of this process, and was not done.")
            .hint("Go to the page and press its button; a proxy in between must leave the header Origin or Sec-Fetch-Site as it is.");
        return Ok(request.into_response(trouble.page(frame, StatusCode::FORBIDDEN)));
    }
    request.extensions_mut().insert(visitor);
    next.call(request).await
}

/// What somebody is told who has no token: where to sign in, or (a machine) what is missing.
fn kept_out(request: &HttpRequest, refusal: Refusal) -> HttpResponse {
    match refusal {
        Refusal::NoToken if wants_page(request) => {
            let there = request.uri().path_and_query().map_or("/nights", |path| path.as_str());
            let next = if *request.method() == Method::GET { there } else { "/nights" };
            let query: String =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
            HttpResponse::SeeOther().insert_header((header::LOCATION, format!("/login?{query}"))).finish()
        }
        Refusal::NoToken => unauthorized("a token is missing"),
        Refusal::Wrong => unauthorized("the token is wrong"),
        Refusal::TooMany(seconds) => HttpResponse::TooManyRequests()
            .insert_header((header::RETRY_AFTER, seconds.to_string()))
            .json(json!({ "error": "too many wrong tokens" })),
    }
}

fn unauthorized(error: &str) -> HttpResponse {
    HttpResponse::Unauthorized()
        .insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"nightferry\""))
        .json(json!({ "error": error, "hint": "send WEB_TOKEN as Authorization: Bearer, or sign in at /login" }))
}
