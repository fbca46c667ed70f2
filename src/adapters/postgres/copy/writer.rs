//! The writing side: one stream of rows, written by as many COPY statements as it takes to hear of errors in time.

use bytes::Bytes;
use sqlx::postgres::{PgConnection, PgCopyIn};

use super::pieces::{BATCH, Piece, Pieces, SIGNATURE, TRAILER};
use crate::adapters::postgres::session::summary;
use crate::adapters::postgres::{Session, failed};
use crate::error::{Error, ErrorKind, Result};

/// After this much the statement is ended and a new one begun. A server that has refused a row goes on swallowing the
/// rest in silence, and answers at the end of the statement only.
const PORTION: usize = 16 * 1024 * 1024;

type CopyIn<'s> = PgCopyIn<&'s mut PgConnection>;

/// Writes what comes, to its end. `None` where the stream was broken off: everything was taken back.
pub(super) async fn write(session: &mut Session, copy_in: &str, pieces: &mut Pieces) -> Result<Option<u64>> {
    check_transaction(session).await?;
    let mut rows = 0;
    loop {
        session.begin_copy()?;
        let outcome = portion(session.raw(), copy_in, pieces).await;
        if outcome.settled {
            session.end_copy();
        }
        match outcome.end? {
            (PortionEnd::Full, written) => rows += written,
            (PortionEnd::Last, written) => return Ok(Some(rows + written)),
            (PortionEnd::Broken, _) => return Ok(None),
        }
    }
}

struct Outcome {
    /// Whether all answers of the server were read, so that the session can go on.
    settled: bool,
    end: Result<(PortionEnd, u64)>,
}

/// One COPY statement from its beginning to its end.
async fn portion(connection: &mut PgConnection, copy_in: &str, pieces: &mut Pieces) -> Outcome {
    // A refusal by the server is a proper end of the statement; any other error is the end of the session.
    let refused = |error: sqlx::Error| Outcome {
        settled: matches!(error, sqlx::Error::Database(_)),
        end: Err(failed(summary(copy_in), error)),
    };
    let mut copy = match connection.copy_in_raw(copy_in).await {
        Ok(copy) => copy,
        Err(error) => return refused(error),
    };
    match fill(&mut copy, copy_in, pieces).await {
        // The reading side knows why. A target with a complaint of its own is given up together with its session.
        Ok(PortionEnd::Broken) => {
            let settled = copy.abort("the source broke off").await.is_ok();
            Outcome { settled, end: Ok((PortionEnd::Broken, 0)) }
        }
        Ok(end) => match copy.finish().await {
            Ok(rows) => Outcome { settled: true, end: Ok((end, rows)) },
            Err(error) => refused(error),
        },
        Err(error) => {
            let settled = copy.abort("the rows cannot be written").await.is_ok();
            Outcome { settled, end: Err(error) }
        }
    }
}

/// SAVEPOINT is refused outside a transaction. Released, it leaves no trace, and FREEZE goes on working.
async fn check_transaction(session: &mut Session) -> Result<()> {
    let outside = |error: Error| {
        Error::new(ErrorKind::Internal, "rows are copied within a transaction only").because(error)
    };
    session.execute("savepoint nightferry_copy").await.map_err(outside)?;
    session.execute("release savepoint nightferry_copy").await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PortionEnd {
    /// There is more to come, for the next statement.
    Full,
    /// These were the last rows.
    Last,
    /// The reading side broke off.
    Broken,
}

/// Feeds one statement.
async fn fill(copy: &mut CopyIn<'_>, copy_in: &str, pieces: &mut Pieces) -> Result<PortionEnd> {
    let binary = !copy.is_textual();
    if binary {
        send(copy, copy_in, &header()).await?;
    }
    let mut sent = 0;
    let end = loop {
        let rows = match pieces.recv().await {
            Some(Piece::Binary(rows)) if binary => rows,
            Some(Piece::Text(rows)) if !binary => rows,
            Some(Piece::Binary(_) | Piece::Text(_)) => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "one side copies binary rows and the other text",
                ));
            }
            Some(Piece::End) => break PortionEnd::Last,
            None => break PortionEnd::Broken,
        };
        send(copy, copy_in, &rows).await?;
        sent += rows.len();
        let whole_rows = binary || rows.ends_with(b"\n");
        if sent >= PORTION && whole_rows {
            break PortionEnd::Full;
        }
    };
    if binary && end != PortionEnd::Broken {
        send(copy, copy_in, &TRAILER).await?;
    }
    Ok(end)
}

/// Sends in messages of bounded size: the driver keeps a buffer as large as the largest.
async fn send(copy: &mut CopyIn<'_>, copy_in: &str, data: &[u8]) -> Result<()> {
    for part in data.chunks(2 * BATCH) {
        copy.send(part).await.map_err(|error| failed(summary(copy_in), error))?;
    }
    Ok(())
}

/// The header of a binary stream: signature, no flags, no extension.
fn header() -> Bytes {
    let mut header = SIGNATURE.to_vec();
    header.extend([0; 8]);
    header.into()
}
