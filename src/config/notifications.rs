//! `NOTIFICATIONS`, a JSON list of `{"url", "token"}`; `NOTIFICATION_URLS`, a JSON list of strings, is its older name.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::{Reader, Secret, host_and_port};

/// One webhook endpoint. The URL may itself be a secret: only its host is ever shown.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: Secret,
    host: String,
    /// The value of the `Authorization` header.
    pub token: Option<Secret>,
}

impl Endpoint {
    fn new(url: &str, token: Option<String>) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| format!("not a URL ({error})"))?;
        if !parsed.has_host() || !matches!(parsed.scheme(), "http" | "https") {
            return Err("not an http(s) URL".to_owned());
        }
        Ok(Self {
            url: Secret::new(url),
            host: host_and_port(&parsed),
            token: token.filter(|token| !token.is_empty()).map(Secret::new),
        })
    }

    /// The URL to post to. Never log it.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.expose()
    }

    /// The host and port, for logs.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Who is told, and how long each may take.
#[derive(Debug, Clone, Default)]
pub struct Notifications {
    /// The endpoints, in the order written.
    pub endpoints: Vec<Endpoint>,
    /// The time limit of one request.
    pub timeout: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    token: Option<String>,
}

impl Notifications {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        if reader.text("NOTIFICATIONS").is_some() && reader.text("NOTIFICATION_URLS").is_some() {
            reader.problem("NOTIFICATION_URLS", "set together with NOTIFICATIONS: unset this older name");
        }
        let endpoints = reader.parse("NOTIFICATIONS", Vec::new(), |text| {
            let list: Vec<Written> = parse_list(text, r#"write [{"url":"https://...","token":"..."}]"#)?;
            numbered(list.into_iter().map(|written| Endpoint::new(&written.url, written.token)))
        });
        let older = reader.parse("NOTIFICATION_URLS", Vec::new(), |text| {
            let list: Vec<String> = parse_list(text, r#"write ["https://..."]"#)?;
            numbered(list.iter().map(|url| Endpoint::new(url, None)))
        });
        let timeout = reader.duration("NOTIFICATION_TIMEOUT", Duration::from_secs(30));
        Self { endpoints: if endpoints.is_empty() { older } else { endpoints }, timeout }
    }
}

fn parse_list<T: serde::de::DeserializeOwned>(text: &str, form: &str) -> Result<Vec<T>, String> {
    // serde's messages quote values of a wrong type; the position is enough.
    serde_json::from_str(text).map_err(|error| {
        format!("not such a JSON list (line {}, column {}): {form}", error.line(), error.column())
    })
}

fn numbered(endpoints: impl Iterator<Item = Result<Endpoint, String>>) -> Result<Vec<Endpoint>, String> {
    endpoints
        .enumerate()
        .map(|(at, one)| one.map_err(|problem| format!("entry {}: {problem}", at + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(name: &str, value: &str) -> Result<Notifications, String> {
        let variables = Variables::from_pairs([(name, value)]);
        let mut reader = Reader::new(&variables);
        let read = Notifications::read(&mut reader);
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    #[test]
    fn both_forms_are_read() {
        let new =
            read("NOTIFICATIONS", r#"[{"url":"https://a.example/x","token":"t"},{"url":"http://b:81/"}]"#)
                .unwrap();
        assert_eq!(new.endpoints[0].token.as_ref().map(Secret::expose), Some("t"));
        assert_eq!(new.endpoints[1].host(), "b:81");
        assert_eq!(read("NOTIFICATION_URLS", r#"["https://a.example/x"]"#).unwrap().endpoints.len(), 1);
    }

    #[test]
    fn a_wrong_form_is_an_error_that_never_quotes_the_value() {
        let text = read("NOTIFICATIONS", r#"["https://hook.example/hush"]"#).unwrap_err();
        assert!(text.contains("write [{\"url\"") && !text.contains("hush"), "{text}");
        assert!(
            read("NOTIFICATION_URLS", r#"["ftp://x"]"#).unwrap_err().contains("entry 1: not an http(s) URL")
        );
    }
}
