//! A backup from where it is kept onto this machine's disk, as the plain archive that pg_restore reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::list;
use crate::adapters::objects::place::Place;
use crate::adapters::objects::save::{Gauge, cannot_write, save};
use crate::adapters::objects::{Backup, BackupState, Download};
use crate::config::{self, BackupSource};
use crate::error::{Error, ErrorKind, Result};

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its name.
    pub name: String,
    /// Where it was.
    pub place: String,
    /// The file.
    pub path: PathBuf,
    /// The file's bytes.
    pub bytes: u64,
}

/// Fetches the backup of this name, or, without one, the newest. A name may be a URL too: `s3://bucket/key`, `https://host/file`. It is written to
/// `path`, or into that folder, under another name until it is whole. A file that is there is only replaced if `is_forced`.
///
/// # Errors
/// There is no such backup, it cannot be read or is damaged, or the file cannot be written.
pub async fn run(
    config: &config::Backup,
    name: Option<&str>,
    path: &Path,
    is_forced: bool,
) -> Result<Fetched> {
    let (place, backup) = find(config, name).await?;
    let path = target(path, &backup);
    if !is_forced && path.exists() {
        return Err(Error::new(ErrorKind::Refused, format!("there is a file {} already", path.display()))
            .hint("name another one by --output, or replace it with --force"));
    }
    let bytes = write(&place, &backup, config, &path)
        .await
        .map_err(|error| error.context(format_args!("the backup {} at {place}", backup.name)))?;
    Ok(Fetched { name: backup.name, place: place.to_string(), path, bytes })
}

async fn find(config: &config::Backup, name: Option<&str>) -> Result<(Arc<Place>, Backup)> {
    let is_url = name.is_some_and(|name| name.contains("://"));
    let found = if let Some(url) = name.filter(|_| is_url) {
        let source = BackupSource::parse(url).map_err(|error| Error::new(ErrorKind::Configuration, error))?;
        list::all(&config::Backup { source, push: None, ..config.clone() }).await?
    } else {
        list::all(config).await?
    };
    let is_meant =
        |backup: &Backup| is_url || name.is_none_or(|name| backup.name == name || backup.id == name);
    let mut meant = found.into_iter().filter(|(_, backup)| is_meant(backup)).peekable();
    if meant.peek().is_none() {
        let text =
            name.map_or_else(|| "there is no backup".to_owned(), |name| format!("there is no backup {name}"));
        return Err(Error::new(ErrorKind::Rejected, text).hint("nightferry backup list shows what there is"));
    }
    meant.find(|(_, backup)| backup.state == BackupState::Done).ok_or_else(|| {
        Error::new(ErrorKind::Rejected, "the backup is not finished")
            .hint("nightferry backup list shows how it stands")
    })
}

/// The file: `path`, or in that folder one that is named after the backup.
fn target(path: &Path, backup: &Backup) -> PathBuf {
    if !path.is_dir() {
        return path.to_owned();
    }
    let name = backup.name.rsplit('/').next().unwrap_or_default();
    let safe: String = name.chars().map(|c| if c.is_control() || c == '\\' { '_' } else { c }).collect();
    path.join(format!("{}.dump", safe.trim_end_matches(".dump")))
}

/// Writes the unwrapped archive and gives its length.
async fn write(place: &Place, backup: &Backup, config: &config::Backup, path: &Path) -> Result<u64> {
    let remote = place.open(backup);
    let object = remote.look().await?;
    let total = object.size;
    let download = Download::start(remote, object);
    let gauge = Gauge { progress: Some(download.progress()), total, ..Gauge::default() };
    let partial = Partial::beside(path);
    let written = save(download, &config.decrypt_with, &partial.0, &gauge).await?;
    tokio::fs::rename(&partial.0, path).await.map_err(|error| cannot_write(path, error))?;
    Ok(written)
}

/// A file under another name. Dropped, it is removed.
struct Partial(PathBuf);

impl Partial {
    fn beside(target: &Path) -> Self {
        let mut path = target.as_os_str().to_owned();
        path.push(".partial");
        Self(PathBuf::from(path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Where it was given its name, there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gets_a_file_named_after_the_backup() {
        let folder = tempfile::tempdir().unwrap();
        let backup = |name: &str| Backup {
            id: "id".to_owned(),
            name: name.to_owned(),
            taken_at: chrono::DateTime::UNIX_EPOCH,
            size: None,
            state: BackupState::Done,
        };
        let name =
            |name| target(folder.path(), &backup(name)).strip_prefix(folder.path()).unwrap().to_owned();
        assert_eq!(name("nightly/app-20261120-010203"), Path::new("app-20261120-010203.dump"));
        assert_eq!(name("app.dump"), Path::new("app.dump"));
        assert_eq!(name(".."), Path::new("...dump"));
        let file = folder.path().join("file");
        assert_eq!(target(&file, &backup("app")), file);
    }
}
