//! A backup that streams in, written to this machine's disk without its wrappings, and checked up to its last byte.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{Progress, from_io, unwrap};
use crate::adapters::postgres::archive::Checked;
use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::outcome::Meter;

const BUFFER: usize = 1 << 20;
const SAY_EVERY: Duration = Duration::from_secs(10);

/// How far the input is, and how long it is: for the log and the ledger.
#[derive(Debug, Clone, Default)]
pub struct Gauge {
    /// How far; where it is not known, what was written is said.
    pub progress: Option<Progress>,
    /// How long, where that is known.
    pub total: Option<u64>,
    /// Where that is told.
    pub meter: Meter,
}

/// Writes the archive in `input` to a file, and gives the file's length.
///
/// # Errors
/// Those of `input`; it is no whole archive of pg_dump, no key fits, or the file cannot be written.
pub async fn save(
    input: impl AsyncRead + Send + Unpin + 'static,
    keys: &[Secret],
    path: &Path,
    gauge: &Gauge,
) -> Result<u64> {
    let mut input = Checked::new(unwrap(input, keys).await?);
    let mut file = File::create(path).await.map_err(|error| cannot_write(path, error))?;
    file.set_max_buf_size(BUFFER);
    let mut buffer = vec![0; BUFFER];
    let (mut written, mut said) = (0, Instant::now());
    loop {
        let length = input.read(&mut buffer).await.map_err(|error| from_io(error, "reading failed"))?;
        if length == 0 {
            break;
        }
        file.write_all(&buffer[..length]).await.map_err(|error| cannot_write(path, error))?;
        written += length as u64;
        let bytes = gauge.progress.as_ref().map_or(written, Progress::bytes);
        gauge.meter.set(bytes, gauge.total.unwrap_or(0));
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            tracing::info!(bytes, total_bytes = gauge.total, "{}", events::DOWNLOAD_PROGRESS);
        }
    }
    file.flush().await.map_err(|error| cannot_write(path, error))?;
    Ok(written)
}

/// A file that cannot be written.
#[must_use]
pub fn cannot_write(path: &Path, error: io::Error) -> Error {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let hint = if is_full {
        "make room, or name a folder on a larger disk"
    } else {
        "is it in a folder that can be written to?"
    };
    Error::new(ErrorKind::Refused, format!("cannot write {}", path.display())).hint(hint).because(error)
}
