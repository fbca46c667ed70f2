//! The one file in a tar archive. Folders and pax headers are passed over; a second file is an error, for which of them is the backup
//! nobody can know.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tar::{Archive, Entries, Entry, Header};

use super::super::passing::{from_io, into_io};
use super::layer::in_words;
use crate::error::{Error, ErrorKind, Result};

/// Whether this is the header of a tar archive, by its sum: the old ones have no magic word.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else { return false };
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    // The field of the sum itself counts as spaces.
    let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    block[0] != 0 && Header::from_byte_slice(block).cksum().is_ok_and(|said| said == sum - field + 8 * 32)
}

pub(super) struct OneFile<R: AsyncRead + Unpin> {
    name: String,
    archive: Archive<R>,
    entries: Entries<R>,
    state: State<R>,
}

enum State<R: AsyncRead + Unpin> {
    /// The file is being read.
    File(Box<Entry<Archive<R>>>),
    /// What follows it is looked at.
    Behind,
    /// What fills the archive up is read, so that whoever is below comes to its own end.
    Filling,
    End,
}

/// Goes to the file.
pub(super) async fn open<R: AsyncRead + Send + Unpin>(input: R) -> Result<OneFile<R>> {
    let mut archive = Archive::new(input);
    let failed = |error: io::Error| match super::super::passing::is_ours(&error) {
        true => from_io(error, ""),
        false => in_words("tar", error),
    };
    let mut entries = archive.entries().map_err(failed)?;
    while let Some(entry) = entries.next().await {
        let entry = entry.map_err(failed)?;
        if is_file(&entry) {
            let name = name_of(&entry);
            check_first(&name)?;
            return Ok(OneFile { name, archive, entries, state: State::File(Box::new(entry)) });
        }
    }
    Err(Error::new(ErrorKind::Configuration, "the tar archive holds no file")
        .hint("it must hold one file, made by pg_dump -Fc"))
}

fn is_file<R: AsyncRead + Unpin>(entry: &Entry<R>) -> bool {
    let kind = entry.header().entry_type();
    kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()
}

fn name_of<R: AsyncRead + Unpin>(entry: &Entry<R>) -> String {
    entry.path_bytes().map_or_else(|_| "?".to_owned(), |path| String::from_utf8_lossy(&path).into_owned())
}

/// pg_dump's own tar archive and a packed folder both begin with their table of contents.
fn check_first(name: &str) -> Result<()> {
    if name.rsplit('/').next() != Some("toc.dat") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, format!("the tar archive is a dump of several files ({name})"))
        .hint("make it with pg_dump -Fc, or unpack it and name its folder"))
}

impl<R: AsyncRead + Unpin> OneFile<R> {
    fn second(&self, entry: &Entry<Archive<R>>) -> io::Error {
        let text = format!("the tar archive holds two files, {} and {}", self.name, name_of(entry));
        into_io(Error::new(ErrorKind::Configuration, text).hint("it must hold one file, made by pg_dump -Fc"))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for OneFile<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let this = &mut *self;
            match &mut this.state {
                State::File(entry) => {
                    let before = into.filled().len();
                    ready!(Pin::new(entry.as_mut()).poll_read(cx, into))?;
                    if into.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                    this.state = State::Behind;
                }
                State::Behind => match ready!(Pin::new(&mut this.entries).poll_next(cx)) {
                    Some(entry) => {
                        let entry = entry?;
                        if is_file(&entry) {
                            return Poll::Ready(Err(this.second(&entry)));
                        }
                    }
                    None => this.state = State::Filling,
                },
                State::Filling => {
                    let mut bytes = [0; 4096];
                    let mut filling = ReadBuf::new(&mut bytes);
                    ready!(Pin::new(&mut this.archive).poll_read(cx, &mut filling))?;
                    if filling.filled().is_empty() {
                        this.state = State::End;
                    }
                }
                State::End => return Poll::Ready(Ok(())),
            }
        }
    }
}
