//! The bytes of an object in order, as a reader: parts of it are fetched side by side, each goes on where it was cut, and at the end size
//! and SHA-256 are held against what the server said.
//!
//! Who reads it must read up to its end: what differs is said there.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Object, Remote, into_io};
use crate::error::{Error, ErrorKind, Result};

/// How much is asked for at once, and how long a server that fails is borne with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The bytes of a part. The first ones are smaller: who only wants the head causes no more traffic than that.
    pub part_bytes: u64,
    /// The parts that are fetched at the same time; as many may wait in memory.
    pub parts: usize,
    /// After so many tries that brought no byte it is given up; one that brings some starts the count afresh.
    pub tries: u32,
    /// The pause after the first failure; it doubles up to half a minute.
    pub first_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { part_bytes: 8 << 20, parts: 4, tries: 10, first_pause: Duration::from_millis(200) }
    }
}

const FIRST_PART: u64 = 256 << 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How far a download is; to be had from another task.
#[derive(Debug, Clone)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// The bytes that were handed over so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A download under way. Its tasks end when it is dropped.
pub struct Download {
    source: Arc<Source>,
    /// Where the part begins that is asked for next.
    next: u64,
    parts: VecDeque<Part>,
    chunk: Bytes,
    sum: Option<Sha256>,
    progress: Progress,
    has_ended: bool,
}

/// What is downloaded, and how.
struct Source {
    remote: Arc<dyn Remote>,
    object: Object,
    pace: Pace,
}

/// A range of the object on its way; to the end where that is not known.
struct Part {
    chunks: mpsc::Receiver<Result<Bytes>>,
    _task: AbortOnDropHandle<()>,
}

impl Download {
    /// Starts to read what `object`, which `remote` said, is. Reading needs a tokio runtime.
    #[must_use]
    pub fn start(remote: Arc<dyn Remote>, object: Object) -> Self {
        Self::with_pace(remote, object, Pace::default())
    }

    /// As [`Download::start`], at another pace.
    #[must_use]
    pub fn with_pace(remote: Arc<dyn Remote>, object: Object, pace: Pace) -> Self {
        let sum = object.sha256.as_ref().map(|_| Sha256::new());
        let progress = Progress(Arc::default());
        let source = Arc::new(Source { remote, object, pace });
        Self { source, next: 0, parts: VecDeque::new(), chunk: Bytes::new(), sum, progress, has_ended: false }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Asks for more parts while there is room for them. The first one comes alone: who only wants the head may be content with it.
    fn ask(&mut self) {
        let is_first = self.progress.bytes() < FIRST_PART.min(self.source.pace.part_bytes);
        let room = if is_first { 1 } else { self.source.pace.parts.max(1) };
        match self.source.size_by_ranges() {
            Some(size) => {
                while self.parts.len() < room && self.next < size {
                    let longest = self.source.pace.part_bytes.max(1);
                    let length = self.next.max(FIRST_PART).min(longest).min(size - self.next);
                    self.parts.push_back(self.source.fetch(self.next, Some(self.next + length)));
                    self.next += length;
                }
            }
            None if self.next == 0 => {
                self.parts.push_back(self.source.fetch(0, None));
                self.next = u64::MAX;
            }
            None => {}
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        loop {
            self.ask();
            let Some(part) = self.parts.front_mut() else { return Poll::Ready(self.check().map(|()| false)) };
            match ready!(part.chunks.poll_recv(cx)) {
                Some(chunk) => {
                    self.chunk = chunk?;
                    if let Some(sum) = &mut self.sum {
                        sum.update(&self.chunk);
                    }
                    self.progress.0.fetch_add(self.chunk.len() as u64, Ordering::Relaxed);
                    return Poll::Ready(Ok(true));
                }
                None => self.parts.pop_front(),
            };
        }
    }

    /// At the end: all of it must be there, and be the same.
    fn check(&mut self) -> Result<()> {
        let Object { name, size, sha256, .. } = &self.source.object;
        let got = self.progress.bytes();
        if let Some(size) = size.filter(|size| *size != got) {
            return Err(Error::new(ErrorKind::Data, format!("{name} is cut: {got} of {size} bytes came"))
                .hint("run it again; if it is the same again, the object itself is damaged"));
        }
        let (Some(sum), Some(expected)) = (self.sum.take(), sha256) else { return Ok(()) };
        let found = hex(&sum.finalize());
        if !found.eq_ignore_ascii_case(expected) {
            let text = format!("{name} differs from what its server says: SHA-256 {found}, not {expected}");
            return Err(Error::new(ErrorKind::Data, text)
                .hint("run it again; if it is the same again, the object itself is damaged"));
        }
        Ok(())
    }
}

impl AsyncRead for Download {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.chunk.is_empty() && !this.has_ended && into.remaining() > 0 {
            match ready!(this.poll_chunk(cx)) {
                Ok(more) => this.has_ended = !more,
                Err(error) => {
                    this.parts.clear();
                    return Poll::Ready(Err(into_io(error)));
                }
            }
        }
        let length = this.chunk.len().min(into.remaining());
        into.put_slice(&this.chunk[..length]);
        this.chunk.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = &self.source.object;
        f.debug_struct("Download").field("object", object).field("bytes", &self.progress.bytes()).finish()
    }
}

impl Source {
    /// Its size, where ranges of it can be asked for.
    fn size_by_ranges(&self) -> Option<u64> {
        self.object.size.filter(|_| self.object.has_ranges)
    }

    fn fetch(self: &Arc<Self>, from: u64, to: Option<u64>) -> Part {
        // A part fits into memory; what has no end waits for its reader.
        let (sender, chunks) = mpsc::channel(if to.is_some() { 4096 } else { 16 });
        let source = Arc::clone(self);
        let task = tokio::spawn(async move {
            let mut piece = Piece { source, at: from, to, sender };
            if let Err(error) = piece.fetch_patiently().await {
                // Nobody receives it where the download was dropped.
                let _ = piece.sender.send(Err(error)).await;
            }
        });
        Part { chunks, _task: AbortOnDropHandle::new(task) }
    }
}

/// The work of one task.
struct Piece {
    source: Arc<Source>,
    /// Where it goes on.
    at: u64,
    to: Option<u64>,
    sender: mpsc::Sender<Result<Bytes>>,
}

impl Piece {
    async fn fetch_patiently(&mut self) -> Result<()> {
        let Pace { tries, first_pause, .. } = self.source.pace;
        let (mut failures, mut pause) = (0, first_pause);
        loop {
            let before = self.at;
            let Err(error) = self.fetch_once().await else { return Ok(()) };
            if self.at > before {
                (failures, pause) = (0, first_pause);
            }
            failures += 1;
            if !error.kind().is_retryable() || failures >= tries {
                return Err(error);
            }
            if !self.source.object.has_ranges && self.at > 0 {
                return Err(error.also_hint(
                    "the server takes no ranges, so it begins at the start again when the job is run again",
                ));
            }
            tracing::debug!(object = self.source.object.name, at = self.at, %error, "goes on with a download");
            // Not all parts at the same moment.
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One request: from where it is to its end, or to where the server breaks off.
    async fn fetch_once(&mut self) -> Result<()> {
        let object = &self.source.object;
        let mut body = self.source.remote.read(object, self.at, self.to).await?;
        let end = self.to.or(object.size);
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            self.at += chunk.len() as u64;
            if end.is_some_and(|end| self.at > end) {
                return Err(Error::new(
                    ErrorKind::Data,
                    format!("{} is longer than its server said", object.name),
                )
                .hint("it was replaced or is still being written: run it again"));
            }
            if self.sender.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
        match end {
            Some(end) if self.at < end => Err(Error::new(
                ErrorKind::Connection,
                format!("{} broke off at byte {} of {end}", object.name, self.at),
            )
            .hint("check the network and the server")),
            _ => Ok(()),
        }
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
