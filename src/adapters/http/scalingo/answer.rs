//! What the API answered, and what a refusal means for the operator.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use url::Url;

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

pub(super) const CHANGED: &str =
    "the provider's API is not as documented at developers.scalingo.com: please report it to nightferry";

/// More of a text than this is not repeated.
const LONGEST_QUOTE: usize = 300;

/// A request that is to be sent.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// `cannot do this`, for errors.
    pub(super) doing: &'a str,
    pub(super) method: Method,
    pub(super) url: Url,
    /// The hint where the server knows no such thing.
    pub(super) if_missing: &'static str,
}

impl Call<'_> {
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    doing: String,
    host: String,
    if_missing: &'static str,
    status: StatusCode,
    body: Vec<u8>,
    /// The token that was sent.
    secret: Secret,
}

/// What the API says of a refusal. Which of these are there depends on the status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    error: Option<String>,
    /// By field.
    errors: BTreeMap<String, Vec<String>>,
    resource: Option<String>,
    /// Where a payment is made.
    url: Option<String>,
}

impl Answer {
    pub(super) fn new(call: &Call<'_>, status: StatusCode, body: Vec<u8>, secret: Secret) -> Self {
        Self {
            doing: call.doing.to_owned(),
            host: call.host().to_owned(),
            if_missing: call.if_missing,
            status,
            body,
            secret,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What a success brought.
    pub(super) fn json<T: DeserializeOwned>(self) -> Result<T> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        // The parser's own words quote what it read, which may be a token.
        serde_json::from_slice(&self.body).map_err(|error| match error.classify() {
            Category::Data => {
                let text = format!("{}: the answer of {} is not as documented", self.doing, self.host);
                Error::new(ErrorKind::Data, text).hint(CHANGED)
            }
            _ => Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{}: {} answered {} with something that is not JSON",
                    self.doing, self.host, self.status
                ),
            )
            .hint("it may be a page of a proxy or of a maintenance; check SCALINGO_REGION when it stays so"),
        })
    }

    fn refusal(&self) -> Error {
        let said: Said = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = format!("{}: {} answered {}{}", self.doing, self.host, self.status, self.quote(&said));
        let error = Error::new(kind(self.status), text);
        match hint(self.status, &said, self.if_missing) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// What the server said, on one line, and without what we sent.
    fn quote(&self, said: &Said) -> String {
        let mut parts: Vec<String> = Vec::new();
        match (&said.resource, &said.error) {
            (Some(resource), Some(error)) => parts.push(format!("{resource} {error}")),
            (Some(resource), None) => parts.push(resource.clone()),
            (None, Some(error)) => parts.push(error.clone()),
            (None, None) => {}
        }
        parts.extend(said.errors.iter().map(|(field, why)| format!("{field} {}", why.join(", "))));
        if parts.is_empty() {
            // A 429 comes as plain text. A page is not worth reading.
            let text = std::str::from_utf8(&self.body).unwrap_or_default();
            parts.extend((!text.contains(['<', '{'])).then(|| text.to_owned()));
        }
        let words: Vec<&str> = parts.iter().flat_map(|part| part.split_whitespace()).collect();
        let mut text = words.join(" ").replace(self.secret.expose(), "***");
        if let Some((end, _)) = text.char_indices().nth(LONGEST_QUOTE) {
            text.truncate(end);
            text.push_str("...");
        }
        if text.is_empty() { text } else { format!(": {text}") }
    }
}

fn kind(status: StatusCode) -> ErrorKind {
    match status {
        StatusCode::REQUEST_TIMEOUT => ErrorKind::Timeout,
        // A conflict is a state that passes: an operation on the database that is under way.
        StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => ErrorKind::Unavailable,
        _ if status.is_server_error() => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    }
}

fn hint(status: StatusCode, said: &Said, if_missing: &str) -> Option<String> {
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            "check SCALINGO_API_TOKEN: it may have been deleted or regenerated; the dashboard makes new ones under Account, Tokens"
        }
        StatusCode::PAYMENT_REQUIRED => {
            let page = said.url.as_deref().filter(|url| url.starts_with("https://"));
            let page = page.map(|page| format!(": {page}")).unwrap_or_default();
            return Some(format!("the account at the provider must be verified or paid{page}"));
        }
        StatusCode::FORBIDDEN => {
            "the account of SCALINGO_API_TOKEN may not do this: make it a collaborator of the application"
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => if_missing,
        StatusCode::CONFLICT => "the database may be under an operation at the provider: it is tried again",
        StatusCode::TOO_MANY_REQUESTS => {
            "the provider takes 60 requests a minute from an account: it is tried again"
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => CHANGED,
        _ if status.is_server_error() => {
            "the provider is in trouble: it is tried again; see scalingostatus.com"
        }
        _ if status.is_redirection() => {
            "check SCALINGO_AUTH_URL, SCALINGO_API_URL and SCALINGO_DB_URL: they redirect"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Error {
        let call = Call {
            doing: "cannot list",
            method: Method::GET,
            url: Url::parse("https://api.example/v1").unwrap(),
            if_missing: "check SCALINGO_APP",
        };
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer::new(&call, status, body.as_bytes().to_owned(), Secret::new("tk-us-hush"));
        answer.json::<BTreeMap<String, String>>().unwrap_err()
    }

    #[test]
    fn a_refusal_says_what_the_api_said_and_never_the_token() {
        let text = answered(400, r#"{"error": "795: unexpected\n token at 'tk-us-hush'"}"#).to_string();
        assert_eq!(text, "cannot list: api.example answered 400 Bad Request: 795: unexpected token at '***'");
        let text = answered(422, r#"{"errors": {"app": ["missing field"], "name": ["a", "b"]}}"#).to_string();
        assert!(text.ends_with("Entity: app missing field name a, b"), "{text}");
        let text = answered(404, r#"{"resource": "app", "error": "not found"}"#).to_string();
        assert!(text.ends_with(": app not found"), "{text}");
        assert!(answered(429, "Retry later").to_string().ends_with(": Retry later"));
        let text = answered(502, "<html>tk-us-hush</html>").to_string();
        assert_eq!(text, "cannot list: api.example answered 502 Bad Gateway");
        let long = format!(r#"{{"error": "{}"}}"#, "é".repeat(400));
        assert!(answered(500, &long).to_string().ends_with("é..."));
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_somebody_must_change_is_not() {
        for (status, kind) in [
            (302, ErrorKind::Rejected),
            (400, ErrorKind::Rejected),
            (401, ErrorKind::Rejected),
            (402, ErrorKind::Rejected),
            (403, ErrorKind::Rejected),
            (404, ErrorKind::Rejected),
            (408, ErrorKind::Timeout),
            (409, ErrorKind::Unavailable),
            (422, ErrorKind::Rejected),
            (429, ErrorKind::Unavailable),
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
        ] {
            assert_eq!(answered(status, "").kind(), kind, "{status}");
            assert!(status == 408 || answered(status, "").operator_hint().is_some(), "{status}");
        }
    }

    #[test]
    fn a_payment_is_made_where_the_api_says() {
        let error = answered(402, r#"{"error": "Sorry", "url": "https://my.example/billing"}"#);
        assert!(error.operator_hint().unwrap().ends_with("paid: https://my.example/billing"));
        let error = answered(402, r#"{"error": "Sorry", "url": "javascript:x"}"#);
        assert!(error.operator_hint().unwrap().ends_with("paid"));
    }

    #[test]
    fn a_page_may_pass_and_another_document_does_not_and_neither_is_quoted() {
        let page = answered(200, "<html>hush");
        assert_eq!(page.kind(), ErrorKind::Unavailable);
        let other = answered(200, r#"{"token": {"deep": "hush"}}"#);
        assert_eq!((other.kind(), other.operator_hint()), (ErrorKind::Data, Some(CHANGED)));
        assert!(!format!("{page:?} {other:?}").contains("hush"));
    }
}
