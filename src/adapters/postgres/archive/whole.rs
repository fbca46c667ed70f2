//! Archives that come as a stream: their head alone, or the whole with the check that nothing of it is missing.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::walk::Walk;
use super::{Archive, Entry, Format};
use crate::adapters::objects::{from_io, into_io};
use crate::error::{Error, ErrorKind, Result};

const BUFFER: usize = 256 << 10;
/// Of the files of a directory, by how they are compressed.
const FILE_ENDS: [&str; 4] = ["", ".gz", ".lz4", ".zst"];

/// Lets an archive through and walks along: one that was cut where it was made is an error at its end. It must be read up to there.
pub struct Checked<R> {
    inner: R,
    walk: Option<Walk>,
    archive: Option<Archive>,
}

impl<R> Checked<R> {
    /// The archive that `inner` gives, without wrappings.
    pub fn new(inner: R) -> Self {
        Self { inner, walk: Some(Walk::new()), archive: None }
    }

    /// Its table of contents, as soon as that has passed; the archive is whole once its end was read.
    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref().or_else(|| self.walk.as_ref()?.archive())
    }

    /// Its table of contents, once its end was read.
    pub fn into_archive(self) -> Option<Archive> {
        self.archive
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Checked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, into))?;
        let read = &into.filled()[before..];
        if !read.is_empty() {
            let pushed = self.walk.as_mut().map_or(Ok(()), |walk| walk.push(read));
            return Poll::Ready(pushed.map_err(into_io));
        }
        if into.remaining() > 0
            && let Some(walk) = self.walk.take()
        {
            self.archive = Some(walk.finish().map_err(into_io)?);
        }
        Poll::Ready(Ok(()))
    }
}

impl<R> fmt::Debug for Checked<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("is_whole", &self.archive.is_some()).finish_non_exhaustive()
    }
}

impl Archive {
    /// Reads the table of contents from the beginning of a custom-format archive, and little more than that.
    ///
    /// # Errors
    /// As [`Archive::open`], and those of `input`.
    pub async fn read_head(mut input: impl AsyncRead + Unpin) -> Result<Self> {
        let mut walk = Walk::new();
        let mut bytes = vec![0; BUFFER];
        while walk.archive().is_none() {
            let length = input.read(&mut bytes).await.map_err(failed)?;
            if length == 0 {
                return walk.finish();
            }
            walk.push(&bytes[..length])?;
        }
        walk.into_archive()
    }

    /// Reads an archive on disk from its first byte to its last: one that is cut is an error, and not found out while it is restored. Of a
    /// directory the table of contents is read, and each file of rows that it names must be there.
    ///
    /// # Errors
    /// As [`Archive::open`]; a part of it is missing.
    pub async fn check(path: &Path) -> Result<Self> {
        let archive = Self::open(path).await?;
        let doing = |error: Error| error.context(format_args!("cannot read the archive {}", path.display()));
        if archive.header.format == Format::Directory {
            archive.has_files().map_err(doing)?;
            return Ok(archive);
        }
        let mut checked = Checked::new(File::open(path).await.map_err(failed).map_err(doing)?);
        let mut bytes = vec![0; BUFFER];
        while checked.read(&mut bytes).await.map_err(failed).map_err(doing)? > 0 {}
        Ok(archive)
    }

    /// A directory's files of rows have the numbers of their entries (`pg_backup_directory.c`). None of them is empty, also where the table is.
    fn has_files(&self) -> Result<()> {
        let is_lost = |entry: &&Entry| {
            let is_there = |end: &&str| {
                let file = self.path.join(format!("{}.dat{end}", entry.id));
                std::fs::metadata(file).is_ok_and(|file| file.len() > 0)
            };
            !FILE_ENDS.iter().any(is_there)
        };
        let mut entries = self.entries.iter().filter(|entry| entry.has_data && entry.table_name().is_some());
        let Some(lost) = entries.find(is_lost) else { return Ok(()) };
        let text =
            format!("the rows of {} are missing: {}.dat is not there, or empty", lost.label(), lost.id);
        Err(Error::new(ErrorKind::Data, text).hint("the folder was not copied whole: make or copy it again"))
    }
}

fn failed(error: io::Error) -> Error {
    from_io(error, "reading failed")
}
