//! The provider's API, faked at the socket: authentication, applications, databases and the download of a backup. Its answers are those of
//! fixtures/scalingo, whose shapes are from the provider's documentation and whose values are invented.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use nightferry::config::{Scalingo, Secret};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

/// The whole API. It takes the tokens that it gave, and no others.
#[derive(Debug)]
pub(crate) struct ScalingoApi {
    server: MockServer,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    address: String,
    addons: Value,
    backups: Value,
    archive: Vec<u8>,
    /// How many bearer tokens, addon tokens and links there were: the last of each is good.
    bearers: usize,
    addon_tokens: usize,
    links: usize,
    /// How many times a link can be read; any number of times where it is none.
    reads_left: Option<usize>,
    reads_of_a_link: Option<usize>,
    /// What is answered instead, once each, to the next request whose path ends so.
    instead: Vec<(String, ResponseTemplate)>,
}

impl ScalingoApi {
    /// The API token that it exchanges.
    pub(crate) const TOKEN: &str = "tk-us-invented-api-t0ken";
    /// `Basic` and the base64 of a colon and that token.
    const BASIC: &str = "Basic OnRrLXVzLWludmVudGVkLWFwaS10MGtlbg==";
    /// The application that it knows.
    pub(crate) const APP: &str = "my-app";
    /// The id of that application's PostgreSQL.
    pub(crate) const ADDON: &str = "ad-6520cfdb757284001c126111";

    /// An application with a Redis and a PostgreSQL, whose backups are those of the fixture.
    pub(crate) async fn start() -> Self {
        let server = MockServer::start().await;
        let state = State {
            address: server.uri(),
            addons: fixture("addons.json"),
            backups: fixture("backups.json"),
            archive: Vec::new(),
            bearers: 0,
            addon_tokens: 0,
            links: 0,
            reads_left: None,
            reads_of_a_link: None,
            instead: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let respond = move |request: &Request| shared.lock().unwrap().respond(request);
        Mock::given(matchers::any()).respond_with(respond).mount(&server).await;
        Self { server, state }
    }

    /// What an operator would set, for a test of the whole product.
    pub(crate) fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("BACKUP_SOURCE", "scalingo".to_owned()),
            ("SCALINGO_API_TOKEN", Self::TOKEN.to_owned()),
            ("SCALINGO_APP", Self::APP.to_owned()),
            ("SCALINGO_AUTH_URL", self.server.uri()),
            ("SCALINGO_API_URL", self.server.uri()),
            ("SCALINGO_DB_URL", self.server.uri()),
        ]
    }

    /// The same, for a test of the client.
    pub(crate) fn config(&self) -> Scalingo {
        let url: url::Url = self.server.uri().parse().unwrap();
        Scalingo {
            token: Some(Secret::new(Self::TOKEN)),
            app: Some(Self::APP.to_owned()),
            addon: None,
            auth_url: url.clone(),
            api_url: url.clone(),
            database_url: url,
        }
    }

    /// Lists these backups, each an id, a status and when it was asked for. Those that are done have the archive's size.
    pub(crate) fn list_backups(&self, backups: &[(&str, &str, DateTime<Utc>)]) {
        let mut state = self.state();
        let size = state.archive.len();
        let backup = |(id, status, at): &(&str, &str, DateTime<Utc>)| {
            json!({
                "id": id, "status": status, "created_at": at.to_rfc3339(), "started_at": at.to_rfc3339(),
                "name": format!("{}_my-app-4127", at.format("%Y%m%d%H%M%S")),
                "size": if *status == "done" { json!(size) } else { json!(null) },
                "database_id": "597601234ffb097af4f3099b", "method": "periodic",
            })
        };
        state.backups = json!({ "database_backups": backups.iter().map(backup).collect::<Vec<_>>() });
    }

    /// Every backup's archive has these bytes.
    pub(crate) fn serve(&self, archive: Vec<u8>) {
        self.state().archive = archive;
    }

    /// The application has these addons.
    pub(crate) fn list_addons(&self, addons: &Value) {
        self.state().addons = addons.clone();
    }

    /// Answers the next request whose path ends so with this status and this fixture.
    pub(crate) fn fail_once(&self, path_end: &str, status: u16, name: &str) {
        let answer = ResponseTemplate::new(status).set_body_raw(fixture_bytes(name), mime_of(name));
        self.answer_once(path_end, answer);
    }

    /// Answers the next request whose path ends so with this.
    pub(crate) fn answer_once(&self, path_end: &str, answer: ResponseTemplate) {
        self.state().instead.push((path_end.to_owned(), answer));
    }

    /// No bearer token and no addon token that was given so far is taken from now on.
    pub(crate) fn expire_tokens(&self) {
        let mut state = self.state();
        state.bearers += 1;
        state.addon_tokens += 1;
    }

    /// A link can be read this many times, and is refused from then on.
    pub(crate) fn let_links_expire_after(&self, reads: usize) {
        let mut state = self.state();
        state.reads_of_a_link = Some(reads);
        state.reads_left = Some(reads);
    }

    /// The link that was given last is refused from now on. The next ones are not.
    pub(crate) fn expire_link(&self) {
        let mut state = self.state();
        state.reads_of_a_link = None;
        state.reads_left = Some(0);
    }

    /// How many requests there were whose path ends so.
    pub(crate) async fn asked(&self, path_end: &str) -> usize {
        let requests = self.server.received_requests().await.unwrap();
        requests.iter().filter(|request| request.url.path().ends_with(path_end)).count()
    }

    /// Every token that it exchanges or gave.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let state = self.state();
        let given =
            |kind: &str, count| (1..=count).map(move |number| format!("{kind}-t0ken-{number}")).collect();
        let given: [Vec<String>; 3] =
            [given("bearer", state.bearers), given("addon", state.addon_tokens), given("link", state.links)];
        std::iter::once(Self::TOKEN.to_owned()).chain(given.concat()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn respond(&mut self, request: &Request) -> ResponseTemplate {
        let path = request.url.path().to_owned();
        if let Some(found) = self.instead.iter().position(|(end, _)| path.ends_with(end.as_str())) {
            return self.instead.remove(found).1;
        }
        let credentials =
            request.headers.get("authorization").map(|value| value.to_str().unwrap()).unwrap_or_default();
        let as_account = credentials == format!("Bearer bearer-t0ken-{}", self.bearers);
        let as_addon = credentials == format!("Bearer addon-t0ken-{}", self.addon_tokens);
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["v1", "tokens", "exchange"]) if credentials == ScalingoApi::BASIC => self.exchange(),
            ("GET", ["v1", "apps", ScalingoApi::APP, "addons"]) if as_account => {
                ResponseTemplate::new(200).set_body_json(&self.addons)
            }
            ("GET", ["v1", "apps", _, "addons"]) if as_account => refusal(404, "error_404.json"),
            ("POST", ["v1", "apps", ScalingoApi::APP, "addons", _, "token"]) if as_account => {
                self.addon_token()
            }
            ("GET", ["api", "databases", ScalingoApi::ADDON, "backups"]) if as_addon => {
                ResponseTemplate::new(200).set_body_json(&self.backups)
            }
            ("GET", ["api", "databases", ScalingoApi::ADDON, "backups", _, "archive"]) if as_addon => {
                self.link(&path)
            }
            (_, ["api", "databases", _, "backups", _, "download"]) => self.download(request),
            (_, ["v1" | "api", ..]) => refusal(401, "error_401.json"),
            _ => refusal(404, "error_404.json"),
        }
    }

    fn exchange(&mut self) -> ResponseTemplate {
        self.bearers += 1;
        let mut answer = fixture("exchange.json");
        answer["token"] = json!(format!("bearer-t0ken-{}", self.bearers));
        ResponseTemplate::new(200).set_body_json(answer)
    }

    fn addon_token(&mut self) -> ResponseTemplate {
        self.addon_tokens += 1;
        let mut answer = fixture("addon_token.json");
        answer["addon"]["token"] = json!(format!("addon-t0ken-{}", self.addon_tokens));
        ResponseTemplate::new(200).set_body_json(answer)
    }

    fn link(&mut self, path: &str) -> ResponseTemplate {
        self.links += 1;
        self.reads_left = self.reads_of_a_link;
        let path = path.replace("/archive", "/download");
        let mut answer = fixture("download_link.json");
        answer["download_url"] = json!(format!("{}{path}?token=link-t0ken-{}", self.address, self.links));
        ResponseTemplate::new(200).set_body_json(answer)
    }

    /// The bytes, whole or a range of them. A link that is signed is so for GET only.
    fn download(&mut self, request: &Request) -> ResponseTemplate {
        let is_good = request.url.query() == Some(&format!("token=link-t0ken-{}", self.links));
        if !is_good || request.method.as_str() != "GET" || self.reads_left == Some(0) {
            return ResponseTemplate::new(403);
        }
        self.reads_left = self.reads_left.map(|left| left - 1);
        let size = self.archive.len();
        let range = request.headers.get("range").map(|range| parse_range(range.to_str().unwrap(), size));
        let answer = |status, bytes: &[u8]| {
            ResponseTemplate::new(status)
                .insert_header("etag", format!("\"archive-{size}\""))
                .insert_header("accept-ranges", "bytes")
                .set_body_raw(bytes, "application/gzip")
        };
        match range {
            None => answer(200, &self.archive),
            Some((from, to)) if from < size => answer(206, &self.archive[from..to])
                .insert_header("content-range", format!("bytes {from}-{}/{size}", to - 1)),
            Some(_) => answer(416, b"").insert_header("content-range", format!("bytes */{size}")),
        }
    }
}

/// `bytes=from-last`, as where to begin and where to end.
fn parse_range(text: &str, size: usize) -> (usize, usize) {
    let (from, last) = text.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let to = if last.is_empty() { size } else { last.parse::<usize>().unwrap() + 1 };
    (from.parse().unwrap(), to.min(size))
}

fn refusal(status: u16, name: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(fixture_bytes(name), mime_of(name))
}

fn mime_of(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("json") => "application/json",
        Some("html") => "text/html",
        _ => "text/plain",
    }
}

fn fixture(name: &str) -> Value {
    serde_json::from_slice(&fixture_bytes(name)).unwrap()
}

fn fixture_bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/scalingo").join(name);
    std::fs::read(path).unwrap()
}
