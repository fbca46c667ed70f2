//! What a backup is wrapped in: gzip, zstd, tar with one file, age; in any order, found by the first bytes and never by a name.

mod layer;
mod one_file;
mod sealed;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader, ReadBuf};

use self::layer::Layer;
use super::from_io;
use crate::adapters::postgres::archive::{MAGIC, not_an_archive};
use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

type Bytes = Box<dyn AsyncRead + Send + Unpin>;

/// No backup is wrapped more often; without a bound a file that wraps itself would never end.
const MOST_WRAPPINGS: usize = 8;
/// What must be seen to know every kind: the header of a tar.
const HEAD: usize = 512;
const BUFFER: usize = 256 << 10;

/// A kind of wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gzip,
    Zstd,
    Tar,
    Age,
}

impl Kind {
    /// Told by the first bytes (RFC 1952, 2.3.1; RFC 8878, 3.1.1; POSIX ustar; age-encryption.org/v1).
    fn of(head: &[u8]) -> Option<Self> {
        let is_skippable =
            || head.len() > 3 && (0x50..=0x5f).contains(&head[0]) && head[1..4] == [0x2a, 0x4d, 0x18];
        if head.starts_with(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable() {
            Some(Self::Zstd)
        } else if head.starts_with(b"age-encryption.org/") || head.starts_with(b"-----BEGIN AGE ") {
            Some(Self::Age)
        } else if one_file::is_tar(head) {
            Some(Self::Tar)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Tar => "tar",
            Self::Age => "age",
        }
    }
}

/// A backup without its wrappings: it begins as a pg_dump archive does. What is wrong further on is an error while it is read; it must be
/// read up to its end.
pub struct Unwrapped {
    inner: Bytes,
    wrappings: Vec<&'static str>,
}

impl Unwrapped {
    /// What it was wrapped in, from the outside in: `age`, `gzip`, `tar`, `zstd`.
    #[must_use]
    pub fn wrappings(&self) -> &[&'static str] {
        &self.wrappings
    }
}

/// Takes the wrappings off; `keys` are the private keys (age identities) of `BACKUP_DECRYPT_WITH`.
///
/// # Errors
/// The input's own; what is inside is no pg_dump archive; it is encrypted, and no key fits.
pub async fn unwrap(input: impl AsyncRead + Send + Unpin + 'static, keys: &[Secret]) -> Result<Unwrapped> {
    let mut inner: Bytes = Box::new(input);
    let mut wrappings = Vec::new();
    loop {
        let head = read_head(&mut inner).await?;
        let kind = Kind::of(&head);
        let rest = io::Cursor::new(head.clone()).chain(inner);
        let Some(kind) = kind else {
            if !head.starts_with(MAGIC) {
                return Err(inside(&wrappings, not_an_archive(&head)));
            }
            return Ok(Unwrapped { inner: Box::new(rest), wrappings });
        };
        if wrappings.len() == MOST_WRAPPINGS {
            let text = format!("it is wrapped more than {MOST_WRAPPINGS} times");
            return Err(Error::new(ErrorKind::Data, text).hint("unpack it, and look what is inside"));
        }
        let opened = open(kind, rest, keys).await.map_err(|error| inside(&wrappings, error))?;
        wrappings.push(kind.name());
        inner = Box::new(Layer::new(opened, kind.name()));
    }
}

/// Opens the outermost wrapping.
async fn open(kind: Kind, input: impl AsyncRead + Send + Unpin + 'static, keys: &[Secret]) -> Result<Bytes> {
    Ok(match kind {
        Kind::Gzip => {
            let mut decoder = GzipDecoder::new(BufReader::with_capacity(BUFFER, input));
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Kind::Zstd => {
            let mut decoder = ZstdDecoder::new(BufReader::with_capacity(BUFFER, input));
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Kind::Tar => Box::new(one_file::open(input).await?),
        Kind::Age => Box::new(sealed::open(input, keys).await?),
    })
}

/// The first bytes; fewer where there are no more.
async fn read_head(input: &mut Bytes) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    input
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .await
        .map_err(|error| from_io(error, "cannot read the backup"))?;
    Ok(head)
}

/// Says in which wrapping something was found.
fn inside(wrappings: &[&'static str], error: Error) -> Error {
    if wrappings.is_empty() { error } else { error.context(format_args!("inside {}", wrappings.join(", "))) }
}

impl AsyncRead for Unwrapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unwrapped").field("wrappings", &self.wrappings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
