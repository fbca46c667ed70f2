//! The folder of one run below `WORK_DIR`, where a downloaded backup is while it is read. It goes when the stage has ended well, and stays
//! when it failed, so that the next try does not download again. A lock tells a folder that is in use from one that was left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::RunId;

const PREFIX: &str = "nightferry-backup-";
const LOCK: &str = "lock";
const ARCHIVE: &str = "archive.pgdump";
const PARTIAL: &str = "archive.pgdump.partial";
const LABEL: &str = "backup.json";

/// What is in a folder: the backup by all that the provider says of it, and how long the archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Label {
    /// Where it came from, what it is called there, its validator, size and time.
    pub(super) identity: Vec<String>,
    /// The bytes of the unwrapped archive.
    pub(super) archive_bytes: u64,
}

/// A folder that is ours as long as this lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

/// A folder, and the label of the archive that an earlier try left in it, whole.
pub(super) type Claimed = (RunFolder, Option<Label>);

impl RunFolder {
    /// Takes over the folder in which an earlier try left this very backup, or makes one. What other tries left is removed, unless it is in use.
    ///
    /// # Errors
    /// `WORK_DIR` cannot be read or written.
    pub(super) fn claim(work_dir: &Path, run: &RunId, identity: &[String]) -> Result<Claimed> {
        let doing = |error: io::Error| {
            Error::new(ErrorKind::Configuration, format!("cannot use WORK_DIR {}", work_dir.display()))
                .hint("set WORK_DIR to a folder that is there and can be written to")
                .because(error)
        };
        let name = format!("{PREFIX}{run}-{}", Ulid::generate());
        let mut kept = None;
        for entry in fs::read_dir(work_dir).map_err(doing)?.flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
            let Some(folder) = is_ours.then(|| Self::left(entry.path())).flatten() else { continue };
            match folder.label().filter(|label| label.identity == identity) {
                Some(label) if kept.is_none() => kept = Some((folder, label)),
                _ => folder.remove(),
            }
        }
        if let Some((mut folder, label)) = kept {
            let path = work_dir.join(&name);
            fs::rename(&folder.path, &path).map_err(doing)?;
            folder.path = path;
            return Ok((folder, Some(label)));
        }
        let path = work_dir.join(&name);
        fs::create_dir(&path).map_err(doing)?;
        let lock = File::create(path.join(LOCK)).map_err(doing)?;
        lock.try_lock().map_err(|error| doing(error.into()))?;
        Ok((Self { path, _lock: lock }, None))
    }

    /// A folder that nobody uses. One without a lock is just being made, or just being removed.
    fn left(path: PathBuf) -> Option<Self> {
        let lock = File::options().write(true).open(path.join(LOCK)).ok()?;
        lock.try_lock().ok()?;
        Some(Self { path, _lock: lock })
    }

    /// What the label says, where the archive is as long as it says.
    fn label(&self) -> Option<Label> {
        let label: Label = serde_json::from_slice(&fs::read(self.path.join(LABEL)).ok()?).ok()?;
        let archive = fs::metadata(self.archive()).ok()?;
        (archive.len() == label.archive_bytes).then_some(label)
    }

    /// Where the archive is once it is whole.
    pub(super) fn archive(&self) -> PathBuf {
        self.path.join(ARCHIVE)
    }

    /// Where it is until then.
    pub(super) fn partial(&self) -> PathBuf {
        self.path.join(PARTIAL)
    }

    /// Says that the partial file is whole.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn finish(&self, label: &Label) -> Result<()> {
        let finish = || {
            fs::rename(self.partial(), self.archive())?;
            fs::write(self.path.join(LABEL), serde_json::to_vec(label)?)
        };
        finish().map_err(|error: io::Error| {
            Error::new(ErrorKind::Internal, format!("cannot write to {}", self.path.display())).because(error)
        })
    }

    /// Removes the folder with all that is in it.
    pub fn remove(self) {
        // The lock last: without it nobody takes the folder for one that was left. What cannot be removed now is removed by the next run.
        for file in [ARCHIVE, PARTIAL, LABEL, LOCK] {
            let _ = fs::remove_file(self.path.join(file));
        }
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        RunId::from("20261120T041000Z".to_owned())
    }

    fn identity(text: &str) -> Vec<String> {
        vec!["s3".to_owned(), text.to_owned()]
    }

    fn fill(folder: &RunFolder, name: &str) -> Label {
        fs::write(folder.partial(), "PGDMP").unwrap();
        let label = Label { identity: identity(name), archive_bytes: 5 };
        folder.finish(&label).unwrap();
        label
    }

    fn names(work_dir: &Path) -> usize {
        fs::read_dir(work_dir).unwrap().count()
    }

    #[test]
    fn what_a_failed_try_downloaded_is_taken_over_by_the_next() {
        let work_dir = tempfile::tempdir().unwrap();
        let (folder, nothing) = RunFolder::claim(work_dir.path(), &run(), &identity("a")).unwrap();
        assert_eq!(nothing, None);
        let label = fill(&folder, "a");
        drop(folder);
        let (folder, kept) = RunFolder::claim(work_dir.path(), &run(), &identity("a")).unwrap();
        assert_eq!(kept, Some(label));
        assert_eq!(fs::read(folder.archive()).unwrap(), b"PGDMP");
        folder.remove();
        assert_eq!(names(work_dir.path()), 0);
    }

    #[test]
    fn an_older_backup_a_cut_one_and_a_half_one_are_removed() {
        let work_dir = tempfile::tempdir().unwrap();
        let claim = |name: &str| RunFolder::claim(work_dir.path(), &run(), &identity(name)).unwrap();
        let older = claim("older").0;
        fill(&older, "older");
        drop(older);
        let half = claim("new").0;
        assert_eq!(names(work_dir.path()), 1, "the older one is gone");
        fs::write(half.partial(), "PG").unwrap();
        drop(half);
        let cut = claim("new").0;
        assert_eq!(names(work_dir.path()), 1, "the half one is gone");
        fill(&cut, "new");
        fs::write(cut.archive(), "PG").unwrap();
        drop(cut);
        assert_eq!(claim("new").1, None);
    }

    #[test]
    fn a_folder_in_use_and_what_is_not_ours_are_left_alone() {
        let work_dir = tempfile::tempdir().unwrap();
        fs::create_dir(work_dir.path().join("nightferry-backup-of-somebody")).unwrap();
        fs::write(work_dir.path().join("other"), "").unwrap();
        let (used, _) = RunFolder::claim(work_dir.path(), &run(), &identity("a")).unwrap();
        fill(&used, "a");
        let (second, kept) = RunFolder::claim(work_dir.path(), &run(), &identity("a")).unwrap();
        assert_eq!(kept, None);
        assert!(used.archive().exists());
        second.remove();
        assert_eq!(names(work_dir.path()), 3);
    }
}
