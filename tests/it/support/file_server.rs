//! A server of one file over HTTP/1.1, at the socket, which answers each request in the manner that the test wants: with ranges or
//! without, broken off, stalled, replaced in the middle, redirected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// 0 for the first request.
    pub(crate) number: usize,
    /// The first byte and the one behind the last, where a range is asked for and the manner has ranges.
    pub(crate) range: Option<(usize, usize)>,
    /// With names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
}

/// How a body says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Length,
    Chunked,
    Closing,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// Nothing comes after so many bytes of the body, and the connection stays.
    Stall(usize),
    Status(u16),
    Redirect(String),
    /// The range begins so many bytes later than asked for.
    Shifted(usize),
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) ranges: bool,
    pub(crate) end: End,
    pub(crate) tag: Option<String>,
    pub(crate) modified: Option<String>,
    /// Whether If-Match and If-Unmodified-Since are looked at.
    pub(crate) conditions: bool,
    /// More headers.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) fault: Fault,
}

impl Manner {
    /// A good server: ranges, lengths, a strong tag, conditions.
    pub(crate) fn good(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Arc::new(bytes),
            ranges: true,
            end: End::Length,
            tag: Some("\"first\"".to_owned()),
            modified: None,
            conditions: true,
            headers: Vec::new(),
            fault: Fault::Nothing,
        }
    }

    /// The same with a fault.
    pub(crate) fn but(&self, fault: Fault) -> Self {
        Self { fault, ..self.clone() }
    }
}

type Script = Box<dyn FnMut(&Asked) -> Manner + Send>;

/// The server; it ends when it is dropped.
pub(crate) struct FileServer {
    address: SocketAddr,
    state: Arc<State>,
    _accepting: AbortOnDropHandle<()>,
}

struct State {
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    sent: AtomicU64,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl FileServer {
    /// A server that answers every request in this manner.
    pub(crate) async fn of(manner: Manner) -> Self {
        Self::scripted(move |_| manner.clone()).await
    }

    /// A server whose manner is asked for at each request.
    pub(crate) async fn scripted(script: impl FnMut(&Asked) -> Manner + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Mutex::new(Box::new(script)),
            asked: Mutex::default(),
            sent: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// The file's URL; the path holds what must not be seen.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/s3cret/backup.dump?signature=hush", self.address)
    }

    /// Its host and port.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// The bytes of bodies that were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// The connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// The most connections that were open at the same time.
    pub(crate) fn most_open(&self) -> usize {
        self.state.most_open.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Ends with the server, and the connections with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let open = state.open.fetch_add(1, Ordering::SeqCst) + 1;
            state.most_open.fetch_max(open, Ordering::SeqCst);
            // A client that goes away is no failure of the server.
            let _ = serve(socket, &state).await;
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(socket: TcpStream, state: &State) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    while let Some(headers) = read_request(&mut socket).await? {
        let (asked, manner) = {
            let mut all = state.asked.lock().unwrap();
            let range = headers.get("range").map(|range| parse_range(range));
            let asked = Asked { number: all.len(), range, headers };
            all.push(asked.clone());
            let manner = (state.script.lock().unwrap())(&asked);
            (asked, manner)
        };
        if !answer(socket.get_mut(), &asked, &manner, state).await? {
            break;
        }
    }
    Ok(())
}

async fn read_request(
    socket: &mut BufReader<TcpStream>,
) -> std::io::Result<Option<BTreeMap<String, String>>> {
    let mut headers = BTreeMap::new();
    let mut is_first = true;
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
            None if is_first => assert!(line.starts_with("GET "), "{line}"),
            None => return Ok(Some(headers)),
        }
        is_first = false;
    }
}

fn parse_range(text: &str) -> (usize, usize) {
    let (first, last) = text.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    (first.parse().unwrap(), if last.is_empty() { usize::MAX } else { last.parse::<usize>().unwrap() + 1 })
}

/// Whether the connection goes on.
async fn answer(
    socket: &mut TcpStream,
    asked: &Asked,
    manner: &Manner,
    state: &State,
) -> std::io::Result<bool> {
    let size = manner.bytes.len();
    let range = asked.range.filter(|_| manner.ranges);
    let (from, to) = range.map_or((0, size), |(from, to)| (from, to.min(size)));
    let mut head: Vec<(String, String)> = manner.headers.clone();
    let mut say = |name: &str, value: String| head.push((name.to_owned(), value));
    if let Some(tag) = &manner.tag {
        say("ETag", tag.clone());
    }
    if let Some(modified) = &manner.modified {
        say("Last-Modified", modified.clone());
    }
    let (status, body) = match &manner.fault {
        Fault::Status(status) => (*status, &b"no"[..]),
        Fault::Redirect(to) => {
            say("Location", to.clone());
            (302, &b""[..])
        }
        _ if manner.conditions && !meets_conditions(asked, manner) => (412, &b""[..]),
        _ if range.is_some() && from >= size => {
            say("Content-Range", format!("bytes */{size}"));
            (416, &b""[..])
        }
        fault if range.is_some() => {
            let from = from + if let Fault::Shifted(by) = fault { *by } else { 0 };
            say("Content-Range", format!("bytes {from}-{}/{size}", to - 1));
            (206, &manner.bytes[from..to])
        }
        _ => (200, &manner.bytes[..]),
    };
    match manner.end {
        End::Length => say("Content-Length", body.len().to_string()),
        End::Chunked => say("Transfer-Encoding", "chunked".to_owned()),
        End::Closing => say("Connection", "close".to_owned()),
    }
    let head: String = head.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    socket.write_all(format!("HTTP/1.1 {status} x\r\n{head}\r\n").as_bytes()).await?;
    send(socket, body, manner, state).await
}

fn meets_conditions(asked: &Asked, manner: &Manner) -> bool {
    let meets = |name: &str, now: &Option<String>| {
        asked.headers.get(name).is_none_or(|value| Some(value) == now.as_ref())
    };
    meets("if-match", &manner.tag) && meets("if-unmodified-since", &manner.modified)
}

async fn send(socket: &mut TcpStream, body: &[u8], manner: &Manner, state: &State) -> std::io::Result<bool> {
    let (length, is_cut, stalls) = match manner.fault {
        Fault::Cut(after) => (after.min(body.len()), true, false),
        Fault::Stall(after) => (after.min(body.len()), false, true),
        _ => (body.len(), false, false),
    };
    for piece in body[..length].chunks(50_000) {
        if manner.end == End::Chunked {
            socket.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        }
        socket.write_all(piece).await?;
        state.sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
        if manner.end == End::Chunked {
            socket.write_all(b"\r\n").await?;
        }
    }
    socket.flush().await?;
    if stalls {
        // Until the client has had enough.
        while socket.read(&mut [0; 64]).await? > 0 {}
    }
    if !is_cut && !stalls && manner.end == End::Chunked {
        socket.write_all(b"0\r\n\r\n").await?;
    }
    Ok(!is_cut && !stalls && manner.end != End::Closing)
}
