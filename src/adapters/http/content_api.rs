//! The learning-content API: one request, one JSON document.

use reqwest::{header, redirect};
use url::Url;

use super::{authorization, bearer, below, body_up_to, client, failed, refused};
use crate::config::Content;
use crate::error::{Error, ErrorKind, Result};

/// An answer may take this much memory, and no more: the worker would be killed by its container instead.
const LONGEST_ANSWER: usize = 512 * 1024 * 1024;

/// Fetches `path` under the API's base URL, the time limit covering the whole answer.
///
/// # Errors
/// The API cannot be reached in time, refuses, or answers more than 512 MiB.
pub async fn fetch(content: &Content, base: &Url, path: &[&str]) -> Result<Vec<u8>> {
    let host = base.host_str().unwrap_or_default();
    let doing = format!("cannot get the learning content from {host}");
    let mut request = client(content.timeout, redirect::Policy::limited(5))?
        .get(below(base, path))
        .header(header::ACCEPT, "application/json")
        .header("client", content.app.as_str());
    if let Some(key) = &content.key {
        request = request.header(header::AUTHORIZATION, authorization(&bearer(key), "LCMS_API_KEY")?);
    }
    let mut response = request.send().await.map_err(|error| failed(doing.as_str(), error))?;
    if !response.status().is_success() {
        return Err(refused(&doing, response.status(), "LCMS_API_KEY"));
    }
    let body = body_up_to(&mut response, LONGEST_ANSWER).await;
    body.map_err(|error| failed(doing.as_str(), error))?
        .ok_or_else(|| Error::new(ErrorKind::Data, format!("{doing}: its answer is longer than 512 MiB")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_goes_behind_that_of_the_base() {
        for base in ["https://lcms.example/api", "https://lcms.example/api/"] {
            let url = below(&Url::parse(base).unwrap(), &["databases", "airtable"]);
            assert_eq!(url.as_str(), "https://lcms.example/api/databases/airtable");
        }
        let url = below(&Url::parse("http://lcms.example").unwrap(), &["databases", "airtable"]);
        assert_eq!(url.as_str(), "http://lcms.example/databases/airtable");
    }
}
