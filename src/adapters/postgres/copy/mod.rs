//! Rows from one place to another, as COPY streams: from a session ([`pipe`]) or from an archive ([`archive_table`]).
//!
//! Two promises. A stream that did not reach its end never reaches its COMMIT: the write is only finished after the
//! read has said that it is complete. And what was read is what was written: both sides count, and must agree.
//!
//! Reading and writing go on at the same time, with a few buffers in flight and no more memory than that.

mod from_archive;
mod from_session;
mod pieces;
mod writer;

use futures::FutureExt;

pub use from_archive::{archive_table, pour};

use self::pieces::{Pieces, Read, channel};
use super::Session;
use crate::error::{Error, ErrorKind, Result};

/// What one copy moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Rows read, which are the rows written.
    pub rows: u64,
    /// Bytes of row data, in the format of the copy.
    pub bytes: u64,
}

impl Copied {
    /// Adds what another copy moved.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// Copies what `copy_out` (`COPY ... TO STDOUT`) gives on the source into `copy_in` (`COPY ... FROM STDIN`) on the
/// target, both as text or both as binary.
///
/// The target must be in a transaction: `copy_in` is run several times for a long stream, so that an error of the
/// target is noticed after some 10 MB and not after the last byte (the server only answers at the end of a COPY).
/// FREEZE goes on working. After an error nothing is committed; a session that says so must be closed.
///
/// # Errors
/// Either server fails, the target is not in a transaction, or the two counts differ.
pub async fn pipe(
    source: &mut Session,
    copy_out: &str,
    target: &mut Session,
    copy_in: &str,
) -> Result<Copied> {
    let (pieces, queue) = channel();
    join(from_session::read(source, copy_out, pieces), target, copy_in, queue).await
}

/// Runs the two sides until both have ended, or the write has failed: then the read is dropped where it is.
async fn join(
    read: impl Future<Output = Result<Read>>,
    target: &mut Session,
    copy_in: &str,
    mut queue: Pieces,
) -> Result<Copied> {
    let write = writer::write(target, copy_in, &mut queue);
    let (read, written) = futures::future::try_join(read.map(Ok), write).await?;
    let Read { rows, bytes } = read?;
    match written {
        Some(written) if written == rows => Ok(Copied { rows, bytes }),
        Some(written) => Err(Error::new(
            ErrorKind::Verification,
            format!("{rows} rows were read, but {written} were written"),
        )),
        None => Err(Error::new(ErrorKind::Internal, "the rows ended without saying that they are complete")),
    }
}
