//! The HTTP peers: the learning-content API, the webhooks, files. Errors name a peer's host, never its URL.

pub mod content_api;
pub mod file;
pub mod scalingo;
pub mod webhook;

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, StatusCode, header, redirect};
use url::Url;

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

/// A client whose every request, answer included, has a time limit.
fn client(timeout: Duration, redirects: redirect::Policy) -> Result<Client> {
    build(client_builder(redirects).timeout(timeout))
}

/// A client as others need one that speak for themselves.
pub(super) type PlainClient = Client;

/// One that follows no redirect, for a library that wants a client.
///
/// # Errors
/// The system has no root certificates.
pub(super) fn plain_client(timeout: Duration) -> Result<PlainClient> {
    client(timeout, redirect::Policy::none())
}

/// What every client has. Without a time limit, which the caller sets as fits.
fn client_builder(redirects: redirect::Policy) -> ClientBuilder {
    // Fails only where one is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("nightferry/", env!("CARGO_PKG_VERSION")))
        .redirect(redirects)
        .referer(false)
}

fn build(builder: ClientBuilder) -> Result<Client> {
    builder.build().map_err(|error| {
        Error::new(ErrorKind::Internal, "cannot make an HTTP client")
            .hint("are the system's root certificates installed (package ca-certificates)?")
            .because(error.without_url())
    })
}

/// The value of an `Authorization` header, which no log of the client shows.
fn authorization(value: &str, variable: &str) -> Result<header::HeaderValue> {
    let mut value = header::HeaderValue::from_str(value).map_err(|_| {
        Error::new(
            ErrorKind::Configuration,
            format!("{variable}: the token has characters that a header cannot carry"),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request that got no answer, or one that broke off.
fn failed(doing: impl Into<String>, error: reqwest::Error) -> Error {
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else if error.is_builder() {
        ErrorKind::Configuration
    } else {
        ErrorKind::Connection
    };
    Error::new(kind, doing).because(error.without_url())
}

/// An answer that is not a success: whether asking again can help is the status's to say (RFC 9110, 15).
fn refused(doing: &str, status: StatusCode, secret_variable: &str) -> Error {
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::Unavailable,
        StatusCode::REQUEST_TIMEOUT => ErrorKind::Timeout,
        _ if status.is_server_error() => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    };
    let error = Error::new(kind, format!("{doing}: it answered {status}"));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => error.hint(format!("check {secret_variable}")),
        StatusCode::NOT_FOUND => error.hint("check the path of the URL"),
        _ if status.is_redirection() => error.hint("use the URL that it redirects to"),
        _ => error,
    }
}

/// The base URL with more path behind it, whether or not it ends with a slash; each part is one segment, whatever is in it.
fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // Only a URL that cannot be a base has no segments, and http URLs always can.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// An answer's body; none where it has more bytes than that.
async fn body_up_to(response: &mut Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// `Bearer <key>`.
fn bearer(key: &Secret) -> String {
    format!("Bearer {}", key.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_errors_and_too_many_requests_are_tried_again_and_the_rest_is_not() {
        let retried = |status| refused("x", status, "KEY").kind().is_retryable();
        assert!(retried(StatusCode::BAD_GATEWAY) && retried(StatusCode::TOO_MANY_REQUESTS));
        assert!(!retried(StatusCode::UNAUTHORIZED) && !retried(StatusCode::NOT_FOUND));
        assert!(!retried(StatusCode::FOUND));
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_an_error_that_does_not_quote_it() {
        let error = authorization("hush\n", "NOTIFICATIONS").unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
