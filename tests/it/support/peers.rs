//! The two HTTP peers of a night, faked at the socket: the learning-content API and a webhook.

use wiremock::matchers::{bearer_token, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// The learning-content API.
#[derive(Debug)]
pub(crate) struct ContentApi {
    server: MockServer,
}

impl ContentApi {
    /// The token that it wants.
    pub(crate) const KEY: &str = "content-api-k3y";

    /// An API that answers with this body to the right request with the right token, and 404 to all others.
    pub(crate) async fn answering(body: serde_json::Value) -> Self {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/databases/airtable"))
            .and(bearer_token(Self::KEY))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
        Self { server }
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// The value for `LCMS_API_URL`.
    pub(crate) fn url(&self) -> String {
        self.server.uri()
    }
}

/// Somebody who wants to be told when the night is over.
#[derive(Debug)]
pub(crate) struct Webhook {
    server: MockServer,
}

impl Webhook {
    /// A webhook that answers every POST with this status.
    pub(crate) async fn answering(status: u16) -> Self {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(status)).mount(&server).await;
        Self { server }
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// The URL to put into `NOTIFICATIONS`.
    pub(crate) fn url(&self) -> String {
        format!("{}/hook", self.server.uri())
    }

    /// What was posted so far.
    pub(crate) async fn received(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }
}
