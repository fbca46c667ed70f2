//! Webhooks: a JSON document posted to an endpoint, with the headers of Standard Webhooks 1.0.0
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>): `webhook-id` is the event's, the same
//! however often it is sent; `webhook-timestamp` is the second of this try; `webhook-signature` is over both and the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, header, redirect};
use sha2::Sha256;

use super::{authorization, build, client_builder, failed, refused};
use crate::clock;
use crate::config::Endpoint;
use crate::error::{Error, ErrorKind, Result};

/// What is posted.
#[derive(Debug)]
pub struct Post<'a> {
    /// The event's own id, without a full stop: that separates what is signed.
    pub id: &'a str,
    /// The JSON document.
    pub body: &'a str,
}

/// Posts to webhooks. Redirects are not followed: a POST would become a GET.
#[derive(Debug, Clone)]
pub struct Webhooks {
    client: Client,
}

impl Webhooks {
    /// A sender; each endpoint has its own time limit.
    ///
    /// # Errors
    /// The system has no root certificates.
    pub fn new() -> Result<Self> {
        Ok(Self { client: build(client_builder(redirect::Policy::none()))? })
    }

    /// Posts once and gives the status back.
    ///
    /// # Errors
    /// The endpoint cannot be reached in time or does not answer with a success; only its host is named.
    pub async fn post(&self, endpoint: &Endpoint, post: &Post<'_>) -> Result<u16> {
        let doing = format!("cannot notify {}", endpoint.host());
        let timestamp = clock::now().timestamp().to_string();
        let mut request = self
            .client
            .post(endpoint.url())
            .timeout(endpoint.timeout)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", post.id)
            .header("webhook-timestamp", &timestamp)
            .body(post.body.to_owned());
        if let Some(token) = &endpoint.token {
            request = request.header(header::AUTHORIZATION, authorization(token.expose(), "NOTIFICATIONS")?);
        }
        if let Some(key) = endpoint.signing_key() {
            request = request.header("webhook-signature", signature(&key, &timestamp, post)?);
        }
        let response = request.send().await.map_err(|error| failed(doing.as_str(), error))?;
        let status = response.status();
        if status.is_success() { Ok(status.as_u16()) } else { Err(refused(&doing, status, "NOTIFICATIONS")) }
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
fn signature(key: &[u8], timestamp: &str, post: &Post<'_>) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| {
        Error::new(ErrorKind::Configuration, "NOTIFICATIONS: the secret cannot sign").because(error)
    })?;
    for part in [post.id, ".", timestamp, ".", post.body] {
        mac.update(part.as_bytes());
    }
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specifications_libraries() {
        // The vector that the reference libraries are tested with.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let post = Post { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", body: r#"{"test": 2432232314}"# };
        assert_eq!(
            signature(&key, "1614265330", &post).unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
