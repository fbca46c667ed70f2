//! A mail server at the socket, with scripted faults.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Smtp {
    /// Nothing.
    Fine,
    /// It wants a login, and takes this one only: `me`, with [`SmtpServer::PASSWORD`].
    Login,
    /// It refuses the receiver whose address begins so.
    Refuses(&'static str),
    /// It is busy for the first mails.
    BusyFor(usize),
    /// It takes connections and says nothing.
    Silent,
}

/// A mail as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// The receivers of the envelope.
    pub(crate) to: Vec<String>,
    /// Header and text.
    pub(crate) data: String,
}

impl Received {
    /// The value of a header that stands on one line.
    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self.data.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.data)).split_once(": ").unwrap().1
    }
}

/// The server.
#[derive(Debug)]
pub(crate) struct SmtpServer {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl SmtpServer {
    /// The password of `me`.
    pub(crate) const PASSWORD: &'static str = "smtp-s3cret";

    /// Starts one.
    pub(crate) async fn start(manner: Smtp) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (received, commands) = (Arc::default(), Arc::default());
        let server = Self { port, received: Arc::clone(&received), commands: Arc::clone(&commands) };
        let busy = Arc::new(Mutex::new(if let Smtp::BusyFor(mails) = manner { mails } else { 0 }));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let talk = Talk {
                    manner,
                    busy: busy.clone(),
                    received: received.clone(),
                    commands: commands.clone(),
                };
                tokio::spawn(talk.serve(stream));
            }
        });
        server
    }

    /// The variables that lead to it, in clear.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("SMTP_HOST", "127.0.0.1".to_owned()),
            ("SMTP_PORT", self.port.to_string()),
            ("SMTP_TLS", "none".to_owned()),
            ("MAIL_FROM", "nightferry <night@ferry.example>".to_owned()),
        ]
    }

    /// The mails that it took.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// All that it was told, but for mails.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }
}

struct Talk {
    manner: Smtp,
    busy: Arc<Mutex<usize>>,
    received: Arc<Mutex<Vec<Received>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Talk {
    async fn serve(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        if self.manner == Smtp::Silent {
            return std::future::pending().await;
        }
        stream.write_all(b"220 test\r\n").await?;
        let mut to = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            self.commands.lock().unwrap().push(line.clone());
            let answer = match line.split([' ', ':']).next().unwrap() {
                "EHLO" if self.manner == Smtp::Login => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
                "EHLO" => "250-test\r\n250 8BITMIME",
                "AUTH" if self.is_right(&line) => "235 welcome",
                "AUTH" => "535 wrong password",
                "RCPT" => self.answer_to(&line, &mut to),
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let data = read_data(&mut stream).await?;
                    self.received.lock().unwrap().push(Received { to: std::mem::take(&mut to), data });
                    "250 taken"
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "250 fine",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }

    fn answer_to(&self, line: &str, to: &mut Vec<String>) -> &'static str {
        let address = line.split(['<', '>']).nth(1).unwrap().to_owned();
        let mut busy = self.busy.lock().unwrap();
        if *busy > 0 {
            *busy -= 1;
            return "451 later";
        }
        if matches!(self.manner, Smtp::Refuses(name) if address.starts_with(name)) {
            return "550 no such user";
        }
        to.push(address);
        "250 fine"
    }

    /// `AUTH PLAIN` and base64 of `\0me\0password`.
    fn is_right(&self, line: &str) -> bool {
        line.split(' ').nth(2) == Some("AG1lAHNtdHAtczNjcmV0")
    }
}

async fn read_data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(&line);
    }
}
