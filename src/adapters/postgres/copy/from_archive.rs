//! The reading side on an archive: what pg_restore writes for one table.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::pieces::{BATCH, Piece, PieceSender, Read, channel};
use super::{Copied, join};
use crate::adapters::postgres::Session;
use crate::adapters::postgres::archive::{Archive, Entry};
use crate::adapters::postgres::tools::{RestoreList, Tools};
use crate::adapters::process::Running;
use crate::error::{Error, ErrorKind, Result};

/// The line that ends the rows. In a row a backslash is doubled, so that no row looks like it.
const END: &[u8] = b"\\.\n";

/// What pg_restore says before the rows (settings, comments) is shorter than this.
const LONGEST_PREAMBLE: usize = 1024 * 1024;

/// Copies the rows of one entry of an archive. `work_dir` gets a small file for as long as it takes.
///
/// # Errors
/// The archive has no COPY data for the entry, pg_restore fails, or as [`super::pipe`].
pub async fn archive_table(
    tools: &Tools,
    archive: &Archive,
    entry: &Entry,
    work_dir: &Path,
    target: &mut Session,
    copy_in: &str,
) -> Result<Copied> {
    entry.copy_target()?;
    let statement = entry.copy_statement.as_deref().unwrap_or_default();
    let list = RestoreList::write(work_dir, &[entry.id]).await?;
    let mut restore = Running::start(&tools.restore_rows(&archive.path, list.path()))?;
    pour(&mut restore, statement, target, copy_in).await
}

/// Copies the rows that a running pg_restore writes between `copy_statement` and `\.`.
///
/// # Errors
/// As [`super::pipe`]; pg_restore failed, or its output ended early: then nothing was written.
pub async fn pour(
    restore: &mut Running,
    copy_statement: &str,
    target: &mut Session,
    copy_in: &str,
) -> Result<Copied> {
    let (pieces, queue) = channel();
    join(read(restore, copy_statement, pieces), target, copy_in, queue).await
}

async fn read(restore: &mut Running, copy_statement: &str, pieces: PieceSender) -> Result<Read> {
    let mut rows = Rows { text: BytesMut::new(), line_start: true, pieces, read: Read::default() };
    let complete = rows.skip_preamble(&mut restore.stdout, copy_statement).await?
        && rows.forward(&mut restore.stdout).await?;
    // The exit status first: a pg_restore that failed has not written what the archive holds.
    restore.finish().await?;
    if !complete {
        return Err(Error::new(ErrorKind::Tool, "pg_restore ended in the middle of the rows"));
    }
    rows.pieces.finish().await?;
    Ok(rows.read)
}

struct Rows {
    /// What was read and not yet sent.
    text: BytesMut,
    /// Whether `text` begins with the beginning of a line.
    line_start: bool,
    pieces: PieceSender,
    read: Read,
}

impl Rows {
    /// Reads on; false at the end of the output.
    async fn more(&mut self, output: &mut (impl AsyncRead + Unpin)) -> Result<bool> {
        self.text.reserve(BATCH);
        let read = output.read_buf(&mut self.text).await.map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot read what pg_restore writes").because(error)
        })?;
        Ok(read > 0)
    }

    /// Reads to the end of the COPY statement, which begins a line and may itself have several.
    async fn skip_preamble(
        &mut self,
        output: &mut (impl AsyncRead + Unpin),
        copy_statement: &str,
    ) -> Result<bool> {
        let wanted = format!("\n{copy_statement}");
        loop {
            if let Some(at) = find(&self.text, wanted.as_bytes()) {
                drop(self.text.split_to(at + wanted.len()));
                return Ok(true);
            }
            if self.text.len() > LONGEST_PREAMBLE + wanted.len() {
                return Err(Error::new(ErrorKind::Tool, "pg_restore wrote other rows than those asked for"));
            }
            if !self.more(output).await? {
                return Ok(false);
            }
        }
    }

    /// Sends the rows on up to the line that ends them, then reads the rest of the output.
    async fn forward(&mut self, output: &mut (impl AsyncRead + Unpin)) -> Result<bool> {
        loop {
            if let Some(end) = end_of_rows(&self.text, self.line_start) {
                let rows = self.text.split_to(end).freeze();
                self.send(rows).await?;
                self.text.clear();
                while self.more(output).await? {
                    self.text.clear();
                }
                return Ok(true);
            }
            self.send_lines().await?;
            if !self.more(output).await? {
                return Ok(false);
            }
        }
    }

    /// Sends the whole lines; a line that is longer than a batch goes in parts.
    async fn send_lines(&mut self) -> Result<()> {
        let lines = self.text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let ready = if lines == 0 && self.text.len() >= BATCH { self.text.len() } else { lines };
        if ready == 0 {
            return Ok(());
        }
        let rows = self.text.split_to(ready).freeze();
        self.line_start = rows.ends_with(b"\n");
        self.send(rows).await
    }

    async fn send(&mut self, rows: Bytes) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        // A line end within a value is written as `\n`: every real one ends a row.
        self.read.rows += rows.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.read.bytes += rows.len() as u64;
        self.pieces.send(Piece::Text(rows)).await
    }
}

/// Where the line `\.` begins.
fn end_of_rows(text: &[u8], line_start: bool) -> Option<usize> {
    if line_start && text.starts_with(END) {
        return Some(0);
    }
    find(text, b"\n\\.\n").map(|at| at + 1)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
