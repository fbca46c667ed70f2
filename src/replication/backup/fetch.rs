//! Fetching the whole of a backup that was found.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::find::{Bytes, Found};
use super::folder::{Label, Left, RunFolder};
use super::room;
use crate::adapters::ledger::SourceBackup;
use crate::adapters::objects::{Download, Progress, from_io};
use crate::adapters::postgres::archive::{Archive, Checked};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::RunId;
use crate::outcome::millis;

const BUFFER: usize = 1 << 20;
const SAY_EVERY: Duration = Duration::from_secs(10);

/// A backup on this machine's disk.
#[derive(Debug)]
pub struct Fetched {
    /// The whole of it.
    pub archive: Archive,
    /// The folder that it is in; none for an archive that is read where it is.
    pub folder: Option<RunFolder>,
    /// What the ledger is told.
    pub record: SourceBackup,
}

impl Found {
    /// Whether there is room for it below `work_dir`, once what earlier tries left has made way.
    ///
    /// # Errors
    /// There is not.
    pub fn fits(&self, work_dir: &Path) -> Result<()> {
        if matches!(self.bytes, Bytes::Archive(_)) {
            return Ok(());
        }
        match RunFolder::look(work_dir, &self.identity())? {
            Left::Kept => Ok(()),
            Left::Bytes(bytes) => room::check(work_dir, self.size.unwrap_or(0), bytes),
        }
    }

    /// Fetches it into a folder of this run below `work_dir`; one that an earlier try fetched is taken over. An archive on this machine's disk is only
    /// read through.
    ///
    /// # Errors
    /// It cannot be read or written, is cut, or is no archive of pg_dump.
    pub async fn fetch(&self, work_dir: &Path, run: &RunId) -> Result<Fetched> {
        let start = Instant::now();
        let record = |archive_bytes, was_kept| SourceBackup {
            source: self.kind,
            name: self.name.clone(),
            taken_at: self.taken_at,
            bytes: self.size,
            archive_bytes,
            was_kept,
            duration: start.elapsed(),
        };
        if let Bytes::Archive(path) = &self.bytes {
            let archive = Archive::check(path).await?;
            return Ok(Fetched { archive, folder: None, record: record(self.size.unwrap_or(0), false) });
        }
        let (mut folder, kept) = RunFolder::claim(work_dir, run, &self.identity())?;
        let was_kept = kept.is_some();
        let label = match kept {
            Some(label) => {
                tracing::info!(backup = self.name, bytes = label.archive_bytes, "{}", events::DOWNLOAD_KEPT);
                label
            }
            None => {
                self.fits(work_dir)?;
                let fetch = self.write(&folder.partial()).await;
                let archive_bytes = match fetch {
                    Ok(bytes) => bytes,
                    Err(error) => return Err(self.unread(error).await),
                };
                let label = Label { identity: self.identity(), archive_bytes };
                folder.finish(&label)?;
                tracing::info!(
                    backup = self.name,
                    bytes = self.size,
                    archive_bytes,
                    duration_ms = millis(start.elapsed()),
                    "{}",
                    events::DOWNLOAD_DONE
                );
                label
            }
        };
        let archive = Archive::open(&folder.archive()).await?;
        Ok(Fetched { archive, folder: Some(folder), record: record(label.archive_bytes, was_kept) })
    }

    /// Writes the unwrapped archive, and says how long it is.
    async fn write(&self, path: &Path) -> Result<u64> {
        match &self.bytes {
            Bytes::Remote { remote, object, .. } => {
                let download = Download::start(remote.clone(), object.clone());
                let progress = download.progress();
                self.pour(download, path, Some(&progress)).await
            }
            Bytes::File(_) | Bytes::Archive(_) => self.pour(self.input().await?, path, None).await,
        }
    }

    async fn pour(
        &self,
        input: impl AsyncRead + Send + Unpin + 'static,
        path: &Path,
        progress: Option<&Progress>,
    ) -> Result<u64> {
        let mut input = Checked::new(self.unwrapped(input).await?);
        let mut file = File::create(path).await.map_err(|error| cannot_write(path, error))?;
        file.set_max_buf_size(BUFFER);
        let mut bytes = vec![0; BUFFER];
        let (mut written, mut said) = (0, Instant::now());
        loop {
            let length = input.read(&mut bytes).await.map_err(|error| from_io(error, "reading failed"))?;
            if length == 0 {
                break;
            }
            file.write_all(&bytes[..length]).await.map_err(|error| cannot_write(path, error))?;
            written += length as u64;
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                let bytes = progress.map_or(written, Progress::bytes);
                tracing::info!(bytes, total_bytes = self.size, "{}", events::DOWNLOAD_PROGRESS);
            }
        }
        file.flush().await.map_err(|error| cannot_write(path, error))?;
        // A machine that loses its power must not keep the label of an archive and lose its bytes.
        file.sync_all().await.map_err(|error| cannot_write(path, error))?;
        Ok(written)
    }
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    let is_full = error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded;
    let (kind, hint) = if is_full {
        (ErrorKind::Refused, "make room, or set WORK_DIR to a folder on a larger disk")
    } else {
        (ErrorKind::Internal, "is WORK_DIR a folder that can be written to?")
    };
    Error::new(kind, format!("cannot write to {}", path.display())).hint(hint).because(error)
}
