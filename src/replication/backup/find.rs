//! Finding the backup: the newest at the source's place, waited for where it is being made; or the file at a path.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::choose::{Choice, age, choose};
use crate::adapters::objects::place::Place;
use crate::adapters::objects::save::Gauge;
use crate::adapters::objects::{Backup, BackupState, Download, Object, Remote, unwrap};
use crate::adapters::postgres::archive::{Archive, MAGIC};
use crate::clock;
use crate::config::{self, BackupSource};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::outcome::millis;

/// How often the provider is asked whether a backup is done.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// While one is waited for, a provider that fails is asked again after this, and more each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Where the time for waiting is over, it may fail so often at once.
const MOST_FAILURES: u32 = 3;

/// What it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To say what a night would do: nothing is waited for.
    Look,
    /// To be read by a night.
    Night,
}

/// A backup that was found, and not yet fetched.
#[derive(Debug)]
pub struct Found {
    /// `scalingo`, `s3`, `url`, `path`.
    pub kind: &'static str,
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// When it was taken, where that is known.
    pub taken_at: Option<DateTime<Utc>>,
    /// Its bytes there, where that is known.
    pub size: Option<u64>,
    /// Worth knowing of it.
    pub remark: Option<String>,
    pub(super) bytes: Bytes,
    pub(super) keys: Vec<config::Secret>,
}

/// Where its bytes come from.
#[derive(Debug)]
pub(super) enum Bytes {
    Remote {
        remote: Arc<dyn Remote>,
        object: Object,
        id: String,
    },
    /// A file that is wrapped.
    File(PathBuf),
    /// An archive that is read where it is.
    Archive(PathBuf),
}

type Input = Box<dyn AsyncRead + Send + Unpin>;

impl Found {
    /// Looks for the backup that the configuration names.
    ///
    /// # Errors
    /// The place cannot be reached, or has none that may be taken.
    pub async fn find(config: &config::Backup, purpose: Purpose) -> Result<Self> {
        if let BackupSource::Path(path) = &config.source {
            return Self::at(path, config).await;
        }
        let place = Place::of_source(config).await?.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "a backup was looked for, but the source is live")
        })?;
        let (backup, remark) = match purpose {
            Purpose::Night => (wait_for(&place, config).await?, None),
            Purpose::Look => newest(&place, config).await?,
        };
        let remote = place.open(&backup);
        let object = remote.look().await?;
        if purpose == Purpose::Night {
            let bytes = object.size.or(backup.size);
            tracing::info!(backup = backup.name, taken_at = %backup.taken_at, bytes, "{}", events::BACKUP_CHOSEN);
        }
        Ok(Self {
            kind: config.source.kind(),
            name: backup.name,
            place: place.to_string(),
            taken_at: Some(backup.taken_at),
            size: object.size.or(backup.size),
            remark,
            bytes: Bytes::Remote { remote, object, id: backup.id },
            keys: config.decrypt_with.clone(),
        })
    }

    async fn at(path: &Path, config: &config::Backup) -> Result<Self> {
        let failed = |error| cannot_open(path, error);
        let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
        let is_archive = metadata.is_dir() || begins_as_archive(path).await.map_err(failed)?;
        let bytes = if is_archive { Bytes::Archive } else { Bytes::File };
        Ok(Self {
            kind: config.source.kind(),
            name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            place: path.display().to_string(),
            taken_at: metadata.modified().ok().map(DateTime::from),
            size: metadata.is_file().then_some(metadata.len()),
            remark: None,
            bytes: bytes(path.to_owned()),
            keys: config.decrypt_with.clone(),
        })
    }

    /// Its table of contents, read from its head.
    ///
    /// # Errors
    /// It cannot be read, or is no archive of pg_dump.
    pub async fn head(&self) -> Result<Archive> {
        if let Bytes::Archive(path) = &self.bytes {
            return Archive::open(path).await;
        }
        let read = async { Archive::read_head(unwrap(self.input().await?.0, &self.keys).await?).await };
        match read.await {
            Ok(archive) => Ok(archive),
            Err(error) => Err(self.unread(error).await),
        }
    }

    /// Why it could not be read. What went wrong with one that was replaced or removed meanwhile says nothing of the one that the next try finds.
    pub(super) async fn unread(&self, error: Error) -> Error {
        let change = match &self.bytes {
            Bytes::Remote { remote, object, .. }
                if matches!(error.kind(), ErrorKind::Data | ErrorKind::Rejected) =>
            {
                match remote.look().await {
                    Ok(now) => (now != *object).then_some("replaced"),
                    // Elsewhere that may be a link that has expired.
                    Err(error) => {
                        (self.kind == "s3" && error.kind() == ErrorKind::Rejected).then_some("removed")
                    }
                }
            }
            _ => None,
        };
        let error = match change {
            Some(change) => Error::new(ErrorKind::Unavailable, format!("it was {change} while it was read"))
                .hint("the stage is tried again; let it begin once the newest backup has been written")
                .because(error),
            None => error,
        };
        error.context(format_args!("the backup {}", self.name))
    }

    /// What it is, in words: `nightly-20261120 of 2026-11-20 01:00 UTC (3h 10m old), 17.5 GB, at s3://backups/nightly-`.
    #[must_use]
    pub fn describe(&self) -> String {
        let taken = self
            .taken_at
            .map(|at| format!(" of {} ({} old)", at.format("%Y-%m-%d %H:%M UTC"), age(clock::now() - at)));
        let size = self.size.map(|size| format!(", {}", bytesize::ByteSize(size).display().si()));
        format!("{}{}{}, at {}", self.name, taken.unwrap_or_default(), size.unwrap_or_default(), self.place)
    }

    /// What tells it from every other one. A server that says nothing of a file is not believed to have the same one twice.
    pub(super) fn identity(&self) -> Vec<String> {
        let Bytes::Remote { object, id, .. } = &self.bytes else {
            return vec![
                self.kind.to_owned(),
                self.place.clone(),
                format!("{:?}", (self.taken_at, self.size)),
            ];
        };
        let is_named_once = self.kind == "scalingo";
        let is_known =
            is_named_once || object.tag.is_some() || object.modified.is_some() || object.sha256.is_some();
        let once = if is_known { String::new() } else { ulid::Ulid::generate().to_string() };
        let said = format!("{:?}", (&object.size, &object.tag, &object.modified, &object.sha256));
        vec![self.kind.to_owned(), self.place.clone(), id.clone(), said, once]
    }

    /// The bytes as they are stored, up to their end, and what says how far they were read.
    pub(super) async fn input(&self) -> Result<(Input, Gauge)> {
        let total = self.size;
        Ok(match &self.bytes {
            Bytes::Remote { remote, object, .. } => {
                let download = Download::start(remote.clone(), object.clone());
                let progress = Some(download.progress());
                (Box::new(download), Gauge { progress, total, ..Gauge::default() })
            }
            Bytes::File(path) | Bytes::Archive(path) => {
                let file = File::open(path).await.map_err(|error| cannot_open(path, error))?;
                (Box::new(file), Gauge { total, ..Gauge::default() })
            }
        })
    }
}

async fn begins_as_archive(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    File::open(path).await?.take(MAGIC.len() as u64).read_to_end(&mut head).await?;
    Ok(head == MAGIC)
}

fn cannot_open(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Configuration, format!("cannot read the archive {}", path.display()))
        .hint("name an archive that pg_dump -Fc or -Fd made, readable by this user")
        .because(error)
}

/// The newest one, once it is done.
async fn wait_for(place: &Place, config: &config::Backup) -> Result<Backup> {
    let start = Instant::now();
    let (mut is_waiting, mut failures) = (false, 0);
    loop {
        let backups = match place.backups().await {
            // Who is asked for an hour may fail now and then.
            Err(error) if is_waiting && error.kind().is_retryable() => {
                failures += 1;
                if failures > MOST_FAILURES && start.elapsed() > config.wait {
                    return Err(error);
                }
                tracing::warn!(error.message = %error, "the list of backups is asked for again");
                tokio::time::sleep((FIRST_PAUSE * failures).min(LOOK_EVERY)).await;
                continue;
            }
            backups => backups?,
        };
        failures = 0;
        let choice = choose(&backups, clock::now(), config.max_age).map_err(|error| error.context(place))?;
        let (pending, instead) = match choice {
            Choice::Take(backup) => return Ok(backup),
            Choice::Wait { pending, instead } => (pending, instead),
        };
        let left = config.wait.saturating_sub(start.elapsed());
        if left.is_zero() {
            let wait = humantime::format_duration(config.wait);
            return match instead {
                Some(backup) => {
                    tracing::warn!(
                        pending = pending.name,
                        backup = backup.name,
                        "the newest backup is still being made after {wait}: the one before it is read"
                    );
                    Ok(backup)
                }
                None => Err(Error::new(
                    ErrorKind::Refused,
                    format!("{place}: the backup {} is still being made after {wait}", pending.name),
                )
                .hint("restart the stage once it is done; or let BACKUP_WAIT be longer")),
            };
        }
        let pause = left.min(LOOK_EVERY);
        tracing::info!(backup = pending.name, pause_ms = millis(pause), "{}", events::BACKUP_WAITS);
        tokio::time::sleep(pause).await;
        is_waiting = true;
    }
}

/// The newest one that can be read now, with a word on the one that a night would wait for.
async fn newest(place: &Place, config: &config::Backup) -> Result<(Backup, Option<String>)> {
    let backups = place.backups().await?;
    match choose(&backups, clock::now(), config.max_age).map_err(|error| error.context(place))? {
        Choice::Take(backup) => Ok((backup, None)),
        Choice::Wait { pending, instead } => {
            let older = backups.into_iter().filter(|backup| backup.state == BackupState::Done);
            let backup = instead.or_else(|| older.max_by_key(|backup| backup.taken_at)).ok_or_else(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("{place}: the first backup, {}, is still being made", pending.name),
                )
                .hint("look again once it is done")
            })?;
            Ok((backup, Some(format!("{} is being made: a night would wait for it", pending.name))))
        }
    }
}
