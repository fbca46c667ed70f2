//! The web process of a night, and the few words of HTTP that tests speak with it and with a browser's driver.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{TestNight, WorkerProcess, until};

/// What opens the dashboard in tests.
pub(crate) const READER: &str = "reader-s3cret-of-the-tests";
/// And what opens it to operators.
pub(crate) const OPERATOR: &str = "operator-s3cret-of-the-tests";

/// A running `nightferry web`.
#[derive(Debug)]
pub(crate) struct WebProcess {
    process: WorkerProcess,
    pub(crate) port: u16,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value; nothing where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// What a browser would send back of the cookie that was set.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

/// Asks a server on 127.0.0.1.
pub(crate) async fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A browser's driver keeps the connection, whatever it is told.
        while !is_whole(&answer) && stream.read_buf(&mut answer).await.unwrap() > 0 {}
        String::from_utf8(answer).unwrap()
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), asking).await.expect("no answer in a minute");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_lowercase(), value.trim().to_owned())
    };
    Answer { status, headers: lines.map(header).collect(), body: body.to_owned() }
}

/// Whether all is there that its length promises.
fn is_whole(answer: &[u8]) -> bool {
    const END: &[u8] = b"\r\n\r\n";
    let Some(head) = answer.windows(END.len()).position(|window| window == END) else { return false };
    let lines = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    let length =
        lines.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= head + END.len() + length)
}

impl WebProcess {
    /// Starts it with both tokens; `extra` adds and replaces.
    pub(crate) async fn of(night: &TestNight, extra: &[(&str, &str)]) -> Self {
        let tokens = [("PORT", "0"), ("WEB_TOKEN", READER), ("WEB_OPERATOR_TOKEN", OPERATOR)];
        let command = night.command(&["web"], &[&tokens, extra].concat());
        let process = WorkerProcess::start(&command, night.path("web.log"));
        let port = until("the web process to listen", async || {
            let line = process.log().lines().find(|line| line.contains("web.started"))?.to_owned();
            let event: serde_json::Value = serde_json::from_str(&line).ok()?;
            u16::try_from(event["port"].as_u64()?).ok()
        });
        let port = port.await;
        Self { process, port }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Asks with these headers.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        http(self.port, method, path, headers, "").await
    }

    /// Asks as a machine does that has this token.
    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, &[("Authorization", &format!("Bearer {token}"))]).await
    }

    /// The page that somebody with the token sees, which must be there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path, READER).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Posts a form.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        http(self.port, "POST", path, &[&form, headers].concat(), &body).await
    }

    /// Signs in, and comes back with the cookie.
    pub(crate) async fn sign_in(&self, token: &str) -> String {
        let answer = self.post("/login", &[], &[("token", token)]).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/nights"), "{}", answer.body);
        answer.cookie()
    }

    /// As a browser on a page of this process names it.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
