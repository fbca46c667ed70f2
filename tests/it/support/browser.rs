//! A headless Chromium, spoken to through its driver (WebDriver, <https://www.w3.org/TR/webdriver2/>).

use serde_json::{Value, json};

use super::guarded::{Guarded, new_folder};
use super::web::http;

/// A running driver. It and its browsers end when it is dropped, or when the test process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Driver {
    server: Guarded,
}

/// A browser with one window of this width.
#[derive(Debug)]
pub(crate) struct Browser {
    port: u16,
    session: String,
    pub(crate) width: u32,
}

impl Driver {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self { server: Guarded::start(include_str!("browser.sh"), new_folder("browser"), &[], &[]) }
    }

    /// Opens a browser whose user has chosen `light` or `dark`.
    pub(crate) async fn browser(&self, width: u32, scheme: &str) -> Browser {
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let options = json!({ "args": arguments });
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let body = json!({ "capabilities": { "alwaysMatch": wanted } });
        let port = self.server.port;
        let session = call(port, "POST", "/session", &body).await["sessionId"].as_str().unwrap().to_owned();
        let browser = Browser { port, session, width };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", &media).await;
        let screen = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        browser.devtools("Emulation.setDeviceMetricsOverride", &screen).await;
        browser
    }
}

async fn call(port: u16, method: &str, path: &str, body: &Value) -> Value {
    let body = if method == "GET" || method == "DELETE" { String::new() } else { body.to_string() };
    let answer = http(port, method, path, &[("Content-Type", "application/json")], &body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
    let mut answer: Value = serde_json::from_str(&answer.body).unwrap();
    answer["value"].take()
}

impl Browser {
    async fn post(&self, path: &str, body: &Value) -> Value {
        call(self.port, "POST", &format!("/session/{}{path}", self.session), body).await
    }

    async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    /// Goes to a page, and waits until it is there.
    pub(crate) async fn go(&self, url: &str) {
        self.post("/url", &json!({ "url": url })).await;
    }

    /// Where it is.
    pub(crate) async fn url(&self) -> String {
        let url = call(self.port, "GET", &format!("/session/{}/url", self.session), &Value::Null).await;
        url.as_str().unwrap().to_owned()
    }

    /// Types: each letter a key; `\u{e004}` is Tab, `\u{e007}` is Enter.
    pub(crate) async fn keys(&self, keys: &str) {
        let down_and_up = |key: char| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let actions: Vec<Value> = keys.chars().flat_map(down_and_up).collect();
        self.post(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }),
        )
        .await;
    }

    /// What an expression is on the page: of the driver, no page here may run any.
    pub(crate) async fn sees(&self, expression: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": format!("return {expression}"), "args": [] })).await
    }

    /// What the page looks like, as PNG in base64.
    pub(crate) async fn screenshot(&self) -> String {
        let path = format!("/session/{}/screenshot", self.session);
        call(self.port, "GET", &path, &Value::Null).await.as_str().unwrap().to_owned()
    }

    /// What the browser complained of since it was asked last.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" })).await;
        log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// Closes it.
    pub(crate) async fn close(self) {
        call(self.port, "DELETE", &format!("/session/{}", self.session), &Value::Null).await;
    }
}
