//! A file behind a link: the least that a backup needs, until there is one reader for all files over HTTP.

use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use reqwest::{Client, header, redirect};

use super::super::{failed, refused};
use crate::adapters::objects::{Body, Object, Remote};
use crate::config::ObjectUrl;
use crate::error::Result;

#[derive(Debug)]
pub(super) struct HttpFile {
    client: Client,
    url: ObjectUrl,
    name: String,
}

impl HttpFile {
    pub(super) fn new(url: ObjectUrl, name: &str) -> Result<Self> {
        let client = super::client(Duration::from_secs(3600), redirect::Policy::limited(5))?;
        Ok(Self { client, url, name: name.to_owned() })
    }

    async fn get(&self, from: u64, to: Option<u64>) -> Result<reqwest::Response> {
        let doing = format!("cannot download {} from {}", self.name, self.url.host());
        let last = to.map(|to| (to - 1).to_string()).unwrap_or_default();
        let response = self
            .client
            .get(self.url.expose().clone())
            .header(header::RANGE, format!("bytes={from}-{last}"))
            .send()
            .await
            .map_err(|error| failed(doing.as_str(), error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refused(&doing, response.status(), "the link"))
    }
}

impl Remote for HttpFile {
    fn look(&self) -> BoxFuture<'_, Result<Object>> {
        async move {
            let response = self.get(0, Some(1)).await?;
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            let range = header(header::CONTENT_RANGE).and_then(|range| range.rsplit('/').next());
            Ok(Object {
                name: self.name.clone(),
                size: range.and_then(|size| size.parse().ok()),
                modified: None,
                tag: header(header::ETAG).map(str::to_owned),
                sha256: None,
                has_ranges: range.is_some(),
            })
        }
        .boxed()
    }

    fn read<'a>(&'a self, _: &'a Object, from: u64, to: Option<u64>) -> BoxFuture<'a, Result<Body>> {
        async move {
            let body = self.get(from, to).await?.bytes_stream();
            Ok(body.map_err(|error| failed("the download broke off", error)).boxed())
        }
        .boxed()
    }
}
