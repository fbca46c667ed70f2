//! What travels from the reading side to the writing side.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};

/// Rows are gathered to this size before they are sent: a server gives one message a row.
pub(super) const BATCH: usize = 128 * 1024;

/// Buffers between the two sides. One is being filled and one written beside them.
const IN_FLIGHT: usize = 2;

/// The first bytes of a binary stream (manual, COPY, "Binary Format"). No text stream has a zero byte.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// What ends a binary stream: a row of -1 columns.
pub(super) const TRAILER: [u8; 2] = [0xff, 0xff];

/// A part of the stream.
#[derive(Debug)]
pub(super) enum Piece {
    /// Whole rows of binary format, without header and trailer.
    Binary(Bytes),
    /// Text; it ends with a line end where it ends with a row.
    Text(Bytes),
    /// All rows were read. A channel that closes without it was broken off.
    End,
}

/// The writing side's end.
pub(super) type Pieces = mpsc::Receiver<Piece>;

/// What the reading side counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// The reading side's end.
#[derive(Debug)]
pub(super) struct PieceSender(mpsc::Sender<Piece>);

pub(super) fn channel() -> (PieceSender, Pieces) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    (PieceSender(sender), receiver)
}

impl PieceSender {
    pub(super) async fn send(&self, piece: Piece) -> Result<()> {
        // The writer's own error is the one that is reported; this only ends the read.
        let stopped = |_| Error::new(ErrorKind::Internal, "the writing side has stopped");
        self.0.send(piece).await.map_err(stopped)
    }

    /// Says that all rows were read.
    pub(super) async fn finish(self) -> Result<()> {
        self.send(Piece::End).await
    }
}
