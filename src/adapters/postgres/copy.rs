//! Rows from one session to another as a COPY stream.

use futures::TryStreamExt;

use super::session::summary;
use super::{Session, failed};
use crate::error::{Error, ErrorKind, Result};

/// What one copy moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Rows read, which are the rows written.
    pub rows: u64,
    /// Bytes of row data.
    pub bytes: u64,
}

/// Copies what `copy_out` gives on the source into `copy_in` on the target.
///
/// # Errors
/// Either server fails, or the counts differ. A failed read aborts the write.
pub async fn pipe(
    source: &mut Session,
    copy_out: &str,
    target: &mut Session,
    copy_in: &str,
) -> Result<Copied> {
    let mut read =
        source.raw().copy_out_raw(copy_out).await.map_err(|error| failed(summary(copy_out), error))?;
    let mut write =
        target.raw().copy_in_raw(copy_in).await.map_err(|error| failed(summary(copy_in), error))?;
    let mut copied = Copied::default();
    loop {
        match read.try_next().await {
            Ok(Some(piece)) => {
                copied.rows += 1;
                copied.bytes += piece.len() as u64;
                write.send(piece).await.map_err(|error| failed(summary(copy_in), error))?;
            }
            Ok(None) => break,
            Err(error) => {
                // The write is undone whether or not the server hears of it: the caller closes the session.
                let _ = write.abort("the source failed").await;
                return Err(failed(summary(copy_out), error));
            }
        }
    }
    let written = write.finish().await.map_err(|error| failed(summary(copy_in), error))?;
    if written == copied.rows {
        return Ok(copied);
    }
    Err(Error::new(
        ErrorKind::Verification,
        format!("{} rows were read, but {written} were written", copied.rows),
    ))
}
