//! The SHA-256 of bytes that pass by, computed on a thread beside: where a server is near it takes as long as the bytes themselves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::PollSender;

use crate::error::{Error, ErrorKind, Result};

/// Pieces that wait for the thread.
const WAITING: usize = 16;

/// A sum in the making. Its thread ends when it is dropped.
pub(super) struct Sum {
    pieces: PollSender<Bytes>,
    found: JoinHandle<String>,
}

impl Sum {
    /// Starts the thread; needs a tokio runtime.
    pub(super) fn start() -> Self {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(WAITING);
        let found = tokio::task::spawn_blocking(move || {
            let mut sum = Sha256::new();
            while let Some(piece) = pieces.blocking_recv() {
                sum.update(&piece);
            }
            hex(&sum.finalize())
        });
        Self { pieces: PollSender::new(sender), found }
    }

    /// Waits for room for one more piece.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.pieces.poll_reserve(cx).map_err(|_| broken())
    }

    /// Adds a piece, for which there is room.
    pub(super) fn add(&mut self, piece: Bytes) -> Result<()> {
        self.pieces.send_item(piece).map_err(|_| broken())
    }

    /// The sum in hexadecimal digits. Nothing can be added any more.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<String>> {
        // Room that was waited for and is not used would keep the thread waiting.
        self.pieces.abort_send();
        self.pieces.close();
        Poll::Ready(ready!(Pin::new(&mut self.found).poll(cx)).map_err(|error| broken().because(error)))
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Internal, "computing a SHA-256 broke")
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn the_sum_is_that_of_all_pieces_and_room_that_is_not_used_does_no_harm() {
        let mut sum = Sum::start();
        for piece in ["he", "", "llo"].into_iter().cycle().take(99) {
            poll_fn(|cx| sum.poll_room(cx)).await.unwrap();
            sum.add(Bytes::from_static(piece.as_bytes())).unwrap();
        }
        poll_fn(|cx| sum.poll_room(cx)).await.unwrap();
        let found = poll_fn(|cx| sum.poll_end(cx)).await.unwrap();
        assert_eq!(found, hex(&Sha256::digest("hello".repeat(33))));
    }
}
