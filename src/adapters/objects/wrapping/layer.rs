//! The errors of a decoder in words: which wrapping is cut or damaged.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::super::passing::{into_io, is_ours};
use crate::error::{Error, ErrorKind};

/// A decoder of this name.
pub(super) struct Layer<R> {
    inner: R,
    name: &'static str,
}

impl<R> Layer<R> {
    pub(super) fn new(inner: R, name: &'static str) -> Self {
        Self { inner, name }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Layer<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let name = self.name;
        Pin::new(&mut self.inner).poll_read(cx, into).map_err(|error| match error {
            // What the layer below said, or the server.
            error if is_ours(&error) => error,
            error => into_io(in_words(name, error)),
        })
    }
}

/// What a decoder of this name means.
pub(super) fn in_words(name: &str, error: io::Error) -> Error {
    // The tar reader has a text only.
    let is_cut = error.kind() == io::ErrorKind::UnexpectedEof || error.to_string().contains("EOF");
    let what = if is_cut { "is cut" } else { "is damaged" };
    Error::new(ErrorKind::Data, format!("its {name} wrapping {what}"))
        .hint("take another backup, or have this one made again")
        .because(error)
}
