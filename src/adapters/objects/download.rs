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
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::sum::Sum;
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
const DAMAGED: &str = "run it again; if it is the same again, the object itself is damaged";
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
    /// Where the server says one.
    sum: Option<Sum>,
    progress: Progress,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    Ended,
    Failed,
}

/// What is downloaded, and how.
struct Source {
    remote: Arc<dyn Remote>,
    object: Object,
    pace: Pace,
}

/// A range of the object on its way; to the end where that is not known.
struct Part {
    chunks: mpsc::Receiver<Bytes>,
    /// Says how it ended, once there are no more chunks.
    task: AbortOnDropHandle<Result<()>>,
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
        let progress = Progress(Arc::default());
        let source = Arc::new(Source { remote, object, pace });
        Self {
            source,
            next: 0,
            parts: VecDeque::new(),
            chunk: Bytes::new(),
            sum: None,
            progress,
            state: State::UnderWay,
        }
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
        if self.sum.is_none() && self.source.object.sha256.is_some() {
            self.sum = Some(Sum::start());
        }
        loop {
            self.ask();
            let Some(part) = self.parts.front_mut() else {
                return self.poll_check(cx).map_ok(|()| false);
            };
            if let Some(sum) = &mut self.sum {
                ready!(sum.poll_room(cx))?;
            }
            match ready!(part.chunks.poll_recv(cx)) {
                Some(chunk) => {
                    if let Some(sum) = &mut self.sum {
                        sum.add(chunk.clone())?;
                    }
                    self.progress.0.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                    self.chunk = chunk;
                    return Poll::Ready(Ok(true));
                }
                None => {
                    let ended = ready!(Pin::new(&mut part.task).poll(cx));
                    ended.map_err(|error| {
                        Error::new(ErrorKind::Internal, "a download broke").because(error)
                    })??;
                    self.parts.pop_front();
                }
            }
        }
    }

    /// At the end: all of it must be there, and be the same.
    fn poll_check(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Object { name, size, sha256, .. } = &self.source.object;
        let got = self.progress.bytes();
        if let Some(size) = size.filter(|size| *size != got) {
            let error = Error::new(ErrorKind::Data, format!("{name} is cut: {got} of {size} bytes came"));
            return Poll::Ready(Err(error.hint(DAMAGED)));
        }
        let (Some(sum), Some(expected)) = (&mut self.sum, sha256) else { return Poll::Ready(Ok(())) };
        let found = ready!(sum.poll_end(cx))?;
        Poll::Ready(if found.eq_ignore_ascii_case(expected) {
            Ok(())
        } else {
            let text = format!("{name} differs from what its server says: SHA-256 {found}, not {expected}");
            Err(Error::new(ErrorKind::Data, text).hint(DAMAGED))
        })
    }
}

impl AsyncRead for Download {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.chunk.is_empty() && this.state != State::Ended && into.remaining() > 0 {
            if this.state == State::Failed {
                let text = format!("the download of {} failed before", this.source.object.name);
                return Poll::Ready(Err(into_io(Error::new(ErrorKind::Internal, text))));
            }
            match ready!(this.poll_chunk(cx)) {
                Ok(true) => {}
                Ok(false) => this.state = State::Ended,
                Err(error) => {
                    this.parts.clear();
                    this.state = State::Failed;
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
        let piece = Piece { source, at: from, to, sender };
        Part { chunks, task: AbortOnDropHandle::new(tokio::spawn(piece.fetch_patiently())) }
    }
}

/// The work of one task.
struct Piece {
    source: Arc<Source>,
    /// Where it goes on.
    at: u64,
    to: Option<u64>,
    sender: mpsc::Sender<Bytes>,
}

impl Piece {
    async fn fetch_patiently(mut self) -> Result<()> {
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
            if self.sender.send(chunk).await.is_err() {
                // The download was dropped.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::BoxFuture;
    use futures::stream;
    use tokio::io::AsyncReadExt;

    use super::super::{Body, from_io};
    use super::*;

    /// A server that fails in a given way from a given byte on.
    #[derive(Debug, Default)]
    struct Failing {
        from: u64,
        panics: bool,
        tries: AtomicUsize,
    }

    impl Remote for Failing {
        fn look(&self) -> BoxFuture<'_, Result<Object>> {
            unreachable!()
        }

        fn read<'a>(&'a self, _: &'a Object, from: u64, to: Option<u64>) -> BoxFuture<'a, Result<Body>> {
            Box::pin(async move {
                if from < self.from {
                    let length = to.unwrap() - from;
                    return Ok(Box::pin(stream::iter([Ok(Bytes::from(vec![0; length as usize]))])) as Body);
                }
                self.tries.fetch_add(1, Ordering::Relaxed);
                assert!(!self.panics, "broken on purpose");
                Err(Error::new(ErrorKind::Unavailable, "it answered 503"))
            })
        }
    }

    fn download(remote: &Arc<Failing>) -> Download {
        let object = Object {
            name: "x".to_owned(),
            size: Some(1_000_000),
            modified: None,
            tag: None,
            sha256: None,
            has_ranges: true,
        };
        Download::start(Arc::clone(remote) as Arc<dyn Remote>, object)
    }

    async fn failed(download: &mut Download) -> (usize, Error) {
        let mut bytes = Vec::new();
        let error = download.read_to_end(&mut bytes).await.unwrap_err();
        (bytes.len(), from_io(error, "reading"))
    }

    #[tokio::test]
    async fn a_part_that_breaks_leaves_no_gap_and_what_failed_stays_failed() {
        let remote = Arc::new(Failing { from: 262_144, panics: true, ..Failing::default() });
        let mut download = download(&remote);
        let (read, error) = failed(&mut download).await;
        assert_eq!((read, error.to_string().starts_with("a download broke")), (262_144, true), "{error}");
        let (read, error) = failed(&mut download).await;
        assert_eq!((read, error.to_string().as_str()), (0, "the download of x failed before"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_is_borne_with_for_a_minute_or_more() {
        let remote = Arc::new(Failing::default());
        let start = tokio::time::Instant::now();
        let (_, error) = failed(&mut download(&remote)).await;
        assert_eq!((error.kind(), remote.tries.load(Ordering::Relaxed)), (ErrorKind::Unavailable, 10));
        let waited = start.elapsed().as_secs();
        assert!((35..=90).contains(&waited), "{waited} s");
    }
}
