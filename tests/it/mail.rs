//! Mail: people are told of what they asked for, each apart from the others.

use std::io::{BufRead, Write};
use std::process::{Child, Command, Stdio};

use nightferry::adapters::ledger::Ledger;
use nightferry::adapters::postgres::Database;
use nightferry::config::Config;
use nightferry::error::{ErrorKind, Result};
use nightferry::ids::{RunId, Stage};
use nightferry::notice::{Event, Notice, Trouble};
use nightferry::replication::notify;

use crate::support::{Smtp, SmtpServer, TestNight, Webhook, until};

const RUN: &str = "20261120T041000Z";

fn failure() -> Notice {
    let trouble = Trouble {
        kind: "connection".to_owned(),
        message: "cannot connect to the source: naïve".to_owned(),
        hint: Some("is SOURCE_DATABASE_URL right?".to_owned()),
    };
    Notice {
        event: Event::Failed,
        of: format!("{RUN}.full-replication.1"),
        stage: Some(Stage::FullReplication),
        trouble: Some(trouble),
        told: Vec::new(),
    }
}

/// A configuration in which this server sends to these people.
fn config(night: &TestNight, server: &SmtpServer, to: &str, more: &[(&str, &str)]) -> Config {
    let own = server.variables();
    let mut extra: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    extra.push(("MAIL_TO", to));
    extra.extend(more);
    night.config(&extra)
}

async fn tell(config: &Config, notice: &Notice) -> (Vec<String>, Result<()>) {
    notify::tell(config, &RunId::from(RUN.to_owned()), notice, None).await
}

#[tokio::test]
async fn a_failure_is_mailed_with_what_to_do() {
    let night = TestNight::new().await;
    let server = SmtpServer::start(Smtp::Fine).await;
    let config = config(&night, &server, "data@b.example, On Call <oncall@b.example>", &[]);

    tell(&config, &failure()).await.1.unwrap();

    let mut received = server.received();
    received.sort_by(|left, right| left.to.cmp(&right.to));
    let envelopes: Vec<_> = received.iter().map(|mail| mail.to.clone()).collect();
    assert_eq!(envelopes, [["data@b.example"], ["oncall@b.example"]]);
    let mail = &received[0];
    assert_eq!(mail.header("from"), "nightferry <night@ferry.example>");
    assert!(mail.header("to").contains("data@b.example") && mail.header("to").contains("oncall@b.example"));
    let id = format!("<{RUN}_full-replication_1_failed@ferry.example>");
    assert_eq!(mail.header("message-id"), id, "the same for both, and on each try");
    assert_eq!(received[1].header("message-id"), id);
    assert!(mail.data.contains("What to do: is SOURCE_DATABASE_URL right?"), "{}", mail.data);
    // The sentence has a letter that a header cannot carry as it is: the words before it are found in the clear.
    let subject = format!("Subject: nightferry: night {RUN} failed in full-replication: cannot connect to");
    assert!(mail.data.replace("\r\n ", " ").contains(&subject), "{}", mail.data);
}

#[tokio::test]
async fn people_are_told_of_what_they_asked_for_only() {
    let night = TestNight::new().await;
    let server = SmtpServer::start(Smtp::Fine).await;
    let by_default = config(&night, &server, "data@b.example", &[]);
    let wanted = Event::ALL.map(|event| notify::is_wanted(&by_default, event));
    assert_eq!(wanted, [false, false, true, true, true], "started, succeeded, failed, interrupted, late");
    let asked = config(&night, &server, "data@b.example", &[("MAIL_EVENTS", "started")]);

    tell(&asked, &failure()).await.1.unwrap();
    assert!(server.received().is_empty());
    tell(&asked, &Notice { event: Event::Started, trouble: None, ..failure() }).await.1.unwrap();
    assert_eq!(server.received()[0].header("subject"), format!("nightferry: night {RUN} started"));
}

#[tokio::test]
async fn one_who_is_refused_keeps_nobody_from_being_told_and_only_the_others_count_as_told() {
    let night = TestNight::new().await;
    let server = SmtpServer::start(Smtp::Refuses("gone@")).await;
    let hook = Webhook::answering(500).await;
    let endpoints = format!(r#"[{{"url":"{}","events":["failed"],"retries":0}}]"#, hook.url());
    let config = config(&night, &server, "gone@b.example,data@b.example", &[("NOTIFICATIONS", &endpoints)]);
    let notice = failure();

    let (told, result) = tell(&config, &notice).await;

    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "the endpoint may be told later: {error}");
    assert!(error.to_string().contains("gone@b.example") && error.to_string().contains("550"), "{error}");
    assert_eq!((told.len(), server.received().len()), (1, 1));
    // Told again, with what is known, it reaches nobody twice, without any ledger.
    let (again, _) = tell(&config, &Notice { told: told.clone(), ..notice }).await;
    assert_eq!((again, server.received().len()), (told, 1));
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_silent_one_given_up() {
    let night = TestNight::new().await;
    let busy = SmtpServer::start(Smtp::BusyFor(1)).await;
    tell(&config(&night, &busy, "data@b.example", &[]), &failure()).await.1.unwrap();
    assert_eq!(busy.received().len(), 1);

    let silent = SmtpServer::start(Smtp::Silent).await;
    let config = config(&night, &silent, "data@b.example", &[("NOTIFICATION_TIMEOUT", "200ms")]);
    assert_eq!(tell(&config, &failure()).await.1.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn the_login_is_used_and_a_wrong_one_is_told_with_a_hint_and_without_the_password() {
    let night = TestNight::new().await;
    let server = SmtpServer::start(Smtp::Login).await;
    let login = |password| [("SMTP_USERNAME", "me"), ("SMTP_PASSWORD", password)];
    let right = config(&night, &server, "data@b.example", &login(SmtpServer::PASSWORD));
    tell(&right, &failure()).await.1.unwrap();
    assert_eq!(server.received().len(), 1);

    let wrong = config(&night, &server, "data@b.example", &login("wr0ng"));
    let error = tell(&wrong, &failure()).await.1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(error.operator_hint().unwrap().contains("SMTP_PASSWORD") && !error.to_string().contains("wr0ng"));
}

#[tokio::test]
async fn nothing_is_said_in_clear_to_a_server_without_tls() {
    let night = TestNight::new().await;
    let server = SmtpServer::start(Smtp::Login).await;
    let more = [("SMTP_TLS", "starttls"), ("SMTP_USERNAME", "me"), ("SMTP_PASSWORD", SmtpServer::PASSWORD)];
    let config = config(&night, &server, "data@b.example", &more);

    let error = tell(&config, &failure()).await.1.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(error.operator_hint().unwrap().contains("SMTP_TLS"), "{error}");
    let commands = server.commands();
    assert!(!commands.is_empty() && commands.iter().all(|line| !line.contains("AUTH")), "{commands:?}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn the_stage_mails_a_success_to_those_who_asked_and_the_ledger_knows() {
    let night = TestNight::new().await;
    let server = SmtpServer::start(Smtp::Fine).await;
    let own = server.variables();
    let mut extra: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    extra.extend([("MAIL_TO", "data@b.example"), ("MAIL_EVENTS", "succeeded")]);

    night.run(Stage::Notification, &extra).await;

    assert!(server.received()[0].header("subject").ends_with(" succeeded: 0 tables, 0 rows"));
    let config = night.config(&extra);
    let warehouse = Database::new(&config.databases.warehouse, "warehouse").unwrap();
    let run = night.warehouse.one("select run_id from nightferry.runs").await;
    let known =
        Ledger::open(&warehouse).await.unwrap().deliveries(&format!("{run}_succeeded")).await.unwrap();
    assert_eq!(known.len(), 1);
}

#[tokio::test]
async fn a_check_says_whether_the_server_takes_mail_and_sends_none() {
    let night = TestNight::new().await;
    let server = SmtpServer::start(Smtp::Login).await;
    for (password, is_right) in [(SmtpServer::PASSWORD, true), ("wr0ng", false)] {
        let own = server.variables();
        let mut extra: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        extra.extend([("MAIL_TO", "data@b.example"), ("SMTP_USERNAME", "me"), ("SMTP_PASSWORD", password)]);
        let output = night.binary(&["check"], &extra).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!is_right)), "{text}");
        let expected = if is_right {
            "\n  SMTP_HOST: 127.0.0.1 takes mail for data@b.example\n"
        } else {
            "\n    hint: check SMTP_USERNAME and SMTP_PASSWORD\n"
        };
        assert!(text.contains(expected) && !text.contains("wr0ng"), "{text}");
        assert!(text.contains("Beside the night, this would fail:\n  SMTP_HOST: ") != is_right, "{text}");
    }
    assert!(server.received().is_empty());
    assert!(server.commands().iter().all(|command| !command.starts_with("MAIL")));
}

/// openssl as a mail server that speaks TLS from the first byte: what is written to it goes to the client, decrypted what the client says.
struct TlsServer {
    openssl: Child,
    port: u16,
}

impl TlsServer {
    /// Its certificate, which is its own authority, is written into the night's folder.
    fn start(night: &TestNight) -> Self {
        let (certificate, key) = (night.path("smtp.crt"), night.path("smtp.key"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let openssl = Command::new("openssl")
            .args(["s_server", "-quiet", "-naccept", "1", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
            .arg(&certificate)
            .arg("-key")
            .arg(&key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { openssl, port }
    }

    /// Greets whoever comes, and agrees to everything until they go.
    fn agree(&mut self) -> std::thread::JoinHandle<Vec<String>> {
        let (mut to, from) = (self.openssl.stdin.take().unwrap(), self.openssl.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = to.write_all(b"220 test\r\n");
            for line in std::io::BufReader::new(from).lines().map_while(Result::ok) {
                let _ = to.write_all(b"250 fine\r\n");
                said.push(line.trim_end().to_owned());
            }
            said
        })
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}

#[tokio::test]
async fn tls_is_spoken_with_a_server_whose_certificate_is_known_and_with_no_other() {
    let night = TestNight::new().await;
    for is_known in [true, false] {
        let mut server = TlsServer::start(&night);
        let said = server.agree();
        let port = server.port;
        until("the server", async || {
            tokio::net::TcpSocket::new_v4().unwrap().bind(([127, 0, 0, 1], port).into()).err()
        })
        .await;
        let (port, roots) = (server.port.to_string(), night.path("smtp.crt"));
        let mut extra = vec![
            ("SMTP_HOST", "localhost"),
            ("SMTP_PORT", port.as_str()),
            ("SMTP_TLS", "tls"),
            ("MAIL_FROM", "night@ferry.example"),
            ("MAIL_TO", "data@b.example"),
        ];
        if is_known {
            extra.push(("SSL_CERT_FILE", roots.to_str().unwrap()));
        }
        let output = night.binary(&["check"], &extra).await;
        let text = String::from_utf8(output.stdout).unwrap();
        drop(server);
        let said = said.join().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!is_known)), "{text} {said:?}");
        assert_eq!(text.contains("SMTP_HOST: localhost takes mail"), is_known, "{text}");
        assert_eq!(
            text.contains("\n    hint: is its certificate for the name in SMTP_HOST"),
            !is_known,
            "{text}"
        );
        assert_eq!(said.iter().any(|line| line.starts_with("EHLO ")), is_known, "{said:?}");
    }
}
