//! Fetching the whole of a backup that was found.

use std::path::Path;
use std::time::Instant;

use super::find::{Bytes, Found};
use super::folder::{Label, Left, RunFolder};
use super::room;
use crate::adapters::ledger::SourceBackup;
use crate::adapters::objects::save::{Gauge, save};
use crate::adapters::postgres::archive::Archive;
use crate::error::Result;
use crate::events;
use crate::ids::RunId;
use crate::outcome::{Meter, millis};

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
    pub async fn fetch(&self, work_dir: &Path, run: &RunId, meter: &Meter) -> Result<Fetched> {
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
        // The machine may have lost its power since: what was kept is read through as what is fetched is.
        let is_whole = kept.is_some() && Archive::check(&folder.archive()).await.is_ok();
        let kept = kept.filter(|_| is_whole);
        let was_kept = kept.is_some();
        let label = match kept {
            Some(label) => {
                tracing::info!(backup = self.name, bytes = label.archive_bytes, "{}", events::DOWNLOAD_KEPT);
                label
            }
            None => {
                self.fits(work_dir)?;
                let fetch = self.write(&folder.partial(), meter).await;
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
    async fn write(&self, path: &Path, meter: &Meter) -> Result<u64> {
        let (input, gauge) = self.input().await?;
        save(input, &self.keys, path, &Gauge { meter: meter.clone(), ..gauge }).await
    }
}
