//! Webhooks: a JSON document posted to an endpoint.

use std::time::Duration;

use reqwest::{Client, header, redirect};
use serde::Serialize;

use super::{authorization, client, failed, refused};
use crate::config::Endpoint;
use crate::error::Result;

/// Posts to webhooks. Redirects are not followed: a POST would become a GET.
#[derive(Debug, Clone)]
pub struct Webhooks {
    client: Client,
}

impl Webhooks {
    /// Every post has this time limit.
    ///
    /// # Errors
    /// The system has no root certificates.
    pub fn new(timeout: Duration) -> Result<Self> {
        Ok(Self { client: client(timeout, redirect::Policy::none())? })
    }

    /// Posts once and gives the status back.
    ///
    /// # Errors
    /// The endpoint cannot be reached in time or does not answer with a success; only its host is named.
    pub async fn post(&self, endpoint: &Endpoint, body: &impl Serialize) -> Result<u16> {
        let doing = format!("cannot notify {}", endpoint.host());
        let mut request = self.client.post(endpoint.url()).json(body);
        if let Some(token) = &endpoint.token {
            request = request.header(header::AUTHORIZATION, authorization(token.expose(), "NOTIFICATIONS")?);
        }
        let response = request.send().await.map_err(|error| failed(doing.as_str(), error))?;
        let status = response.status();
        if status.is_success() { Ok(status.as_u16()) } else { Err(refused(&doing, status, "NOTIFICATIONS")) }
    }
}
