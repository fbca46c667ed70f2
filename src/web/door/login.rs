//! The form for people.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use askama::Template;
use serde::Deserialize;

use super::super::House;
use super::super::frame::{Frame, page};
use super::{COOKIE, Refusal, sender, session, text};
use crate::clock;
use crate::events;

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    frame: Frame,
    next: String,
    wrong: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

/// Where somebody goes who has signed in: a page of ours, whatever the URL says.
fn local(next: &str) -> &str {
    let is_local = next.starts_with('/')
        && !next.starts_with("//")
        && !next.starts_with("/login")
        && next.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    if is_local { next } else { "/nights" }
}

fn form(house: &House, next: &str, wrong: Option<String>, status: StatusCode) -> HttpResponse {
    let frame = Frame::new(house, None, "Sign in", "");
    page(&Page { frame, next: local(next).to_owned(), wrong }, status)
}

/// The form.
#[get("/login")]
pub(in crate::web) async fn sign_in_form(house: web::Data<House>, asked: web::Query<Asked>) -> HttpResponse {
    form(&house, &asked.next, None, StatusCode::OK)
}

/// What was typed into it.
#[post("/login")]
pub(in crate::web) async fn sign_in(
    house: web::Data<House>,
    request: HttpRequest,
    asked: web::Form<Form>,
) -> HttpResponse {
    if sender(&request).is_ours() == Some(false) {
        let wrong = "The form was not sent by a page of this process.".to_owned();
        return form(&house, &asked.next, Some(wrong), StatusCode::FORBIDDEN);
    }
    match house.door.try_token(&request, asked.token.trim()) {
        Ok(role) => {
            tracing::info!(role = role.name(), "{}", events::WEB_SIGNED_IN);
            let value = session::written(&house.door.access, role, clock::now());
            HttpResponse::SeeOther()
                .cookie(cookie(&request, value, session::LASTS.num_seconds()))
                .insert_header((header::LOCATION, local(&asked.next)))
                .finish()
        }
        Err(Refusal::TooMany(seconds)) => {
            let wrong = format!("There were too many wrong tokens. Try again in {seconds} s.");
            let mut response = form(&house, &asked.next, Some(wrong), StatusCode::TOO_MANY_REQUESTS);
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
            response
        }
        Err(Refusal::Wrong | Refusal::NoToken) => {
            let wrong = "This is not the token.".to_owned();
            form(&house, &asked.next, Some(wrong), StatusCode::UNAUTHORIZED)
        }
    }
}

/// Forgets the session.
#[post("/logout")]
pub(in crate::web) async fn sign_out(request: HttpRequest) -> HttpResponse {
    HttpResponse::SeeOther()
        .cookie(cookie(&request, String::new(), 0))
        .insert_header((header::LOCATION, "/login"))
        .finish()
}

fn cookie(request: &HttpRequest, value: String, seconds: i64) -> Cookie<'static> {
    // Of several proxies the first one has seen the browser.
    let scheme = text(request, "x-forwarded-proto").and_then(|protocols| protocols.split(',').next());
    Cookie::build(COOKIE, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(scheme.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https")))
        .max_age(Duration::seconds(seconds))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        assert_eq!(local("/tables?sort=rows&q=%2F"), "/tables?sort=rows&q=%2F");
        for elsewhere in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nSet-Cookie: x",
            "/login?next=/login",
        ] {
            assert_eq!(local(elsewhere), "/nights", "{elsewhere:?}");
        }
    }
}
