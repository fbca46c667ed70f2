//! The reading side on a server: messages of one row each, gathered into large pieces.

use bytes::{Buf, Bytes, BytesMut};
use futures::TryStreamExt;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::pieces::{BATCH, Piece, PieceSender, Read, SIGNATURE, TRAILER};
use crate::adapters::postgres::session::summary;
use crate::adapters::postgres::{Session, failed};
use crate::error::{Error, ErrorKind, Result};

/// Reads all rows of `copy_out` and sends them on, then says that they are complete.
pub(super) async fn read(session: &mut Session, copy_out: &str, pieces: PieceSender) -> Result<Read> {
    session.begin_copy()?;
    let broken = |error| failed(summary(copy_out), error);
    let mut gathered = Gatherer::new(pieces);
    // The driver enters the span it was made in at each message, which is at each row: a third of the cost of reading.
    // Made without a subscriber, it has none to enter.
    let opening = session.raw().copy_out_raw(copy_out).with_subscriber(NoSubscriber::new());
    let mut messages = opening.await.map_err(broken)?;
    if let Some(first) = messages.try_next().await.map_err(broken)? {
        gathered.first(first).await?;
    }
    while let Some(message) = messages.try_next().await.map_err(broken)? {
        gathered.add(message).await?;
    }
    drop(messages);
    session.end_copy();
    gathered.finish().await
}

struct Gatherer {
    pieces: PieceSender,
    batch: BytesMut,
    binary: bool,
    trailer_seen: bool,
    read: Read,
}

impl Gatherer {
    fn new(pieces: PieceSender) -> Self {
        Self { pieces, batch: BytesMut::new(), binary: false, trailer_seen: false, read: Read::default() }
    }

    /// The first message tells the format. The server puts the header of a binary stream into one message with the
    /// first row, and into one with the trailer where there is none.
    async fn first(&mut self, mut message: Bytes) -> Result<()> {
        if message.starts_with(SIGNATURE) {
            self.binary = true;
            strip_header(&mut message)?;
        }
        if message.is_empty() { Ok(()) } else { self.add(message).await }
    }

    /// Every other message is a row, or the trailer.
    async fn add(&mut self, message: Bytes) -> Result<()> {
        if self.binary && message[..] == TRAILER {
            self.trailer_seen = true;
            return Ok(());
        }
        self.read.rows += 1;
        self.read.bytes += message.len() as u64;
        if message.len() >= BATCH {
            // A large row is passed on as it is.
            self.flush().await?;
            return self.send(message).await;
        }
        if self.batch.capacity() == 0 {
            self.batch.reserve(2 * BATCH);
        }
        self.batch.extend_from_slice(&message);
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch).freeze();
        self.send(batch).await
    }

    async fn send(&self, rows: Bytes) -> Result<()> {
        self.pieces.send(if self.binary { Piece::Binary(rows) } else { Piece::Text(rows) }).await
    }

    async fn finish(mut self) -> Result<Read> {
        if self.binary && !self.trailer_seen {
            return Err(Error::new(ErrorKind::Connection, "the binary rows ended without their trailer"));
        }
        self.flush().await?;
        self.pieces.finish().await?;
        Ok(self.read)
    }
}

/// Signature, flags, the length of an extension, the extension.
fn strip_header(message: &mut Bytes) -> Result<()> {
    let unknown = || Error::new(ErrorKind::Data, "the binary rows have an unknown header");
    message.advance(SIGNATURE.len());
    let flags = message.try_get_u32().map_err(|_| unknown())?;
    let extension = message.try_get_u32().map_err(|_| unknown())? as usize;
    if flags != 0 || extension > message.len() {
        return Err(unknown());
    }
    message.advance(extension);
    Ok(())
}
