//! The folder of one run below `WORK_DIR`, where a downloaded backup is while it is read. It goes when the stage has ended well, and stays
//! when it failed, so that the next try does not download again; what was downloaded in part goes at once. A lock tells a folder that is in use
//! from one that was left. Nobody else may read it: a backup holds all that the live database has.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::RunId;

const PREFIX: &str = "nightferry-backup-";
const LOCK: &str = "lock";
const NEW_LOCK: &str = "lock.new";
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
    /// What stays is whole.
    is_whole: bool,
    _lock: File,
}

/// What other tries left, as it counts for the room on the disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// This very backup: it need not be fetched.
    Kept,
    /// So many bytes of others, which go before it is fetched.
    Bytes(u64),
}

/// A folder, and the label of the archive that an earlier try left in it, whole.
pub(super) type Claimed = (RunFolder, Option<Label>);

impl RunFolder {
    /// Takes over the folder in which an earlier try left this very backup, or makes one. What other tries left is removed, unless it is in use.
    ///
    /// # Errors
    /// `WORK_DIR` cannot be read or written.
    pub(super) fn claim(work_dir: &Path, run: &RunId, identity: &[String]) -> Result<Claimed> {
        let doing = |error| unusable(work_dir, error);
        let path = work_dir.join(format!("{PREFIX}{run}-{}", Ulid::generate()));
        let mut kept = None;
        for folder in Self::all_left(work_dir).map_err(doing)? {
            match folder.label().filter(|label| label.identity == identity) {
                Some(label) if kept.is_none() => kept = Some((folder, label)),
                _ => folder.remove(),
            }
        }
        if let Some((mut folder, label)) = kept {
            fs::rename(&folder.path, &path).map_err(doing)?;
            folder.path = path;
            return Ok((folder, Some(label)));
        }
        Ok((Self::make(path).map_err(doing)?, None))
    }

    /// What claiming a folder for this backup would find.
    ///
    /// # Errors
    /// `WORK_DIR` cannot be read.
    pub(super) fn look(work_dir: &Path, identity: &[String]) -> Result<Left> {
        let mut bytes = 0;
        for folder in Self::all_left(work_dir).map_err(|error| unusable(work_dir, error))? {
            if folder.label().is_some_and(|label| label.identity == identity) {
                return Ok(Left::Kept);
            }
            let sizes = [ARCHIVE, PARTIAL].map(|file| fs::metadata(folder.path.join(file)));
            bytes += sizes.iter().flatten().map(|file| file.blocks() * 512).sum::<u64>();
        }
        Ok(Left::Bytes(bytes))
    }

    /// Removes what other tries left: no other try will read it.
    pub fn remove_left(work_dir: &Path) {
        // Where it cannot be read now, the next night that reads a backup says so.
        Self::all_left(work_dir).unwrap_or_default().into_iter().for_each(Self::remove);
    }

    fn make(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create_new(path.join(NEW_LOCK))?;
        lock.try_lock()?;
        // Under its name only once it is held: another worker takes a lock that is not for that of a folder that was left.
        fs::rename(path.join(NEW_LOCK), path.join(LOCK))?;
        Ok(Self { path, is_whole: false, _lock: lock })
    }

    /// The folders that nobody uses.
    fn all_left(work_dir: &Path) -> io::Result<Vec<Self>> {
        let is_ours = |name: &str| name.starts_with(PREFIX);
        let entries = fs::read_dir(work_dir)?.flatten();
        let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
        Ok(named.filter_map(|entry| Self::left(entry.path())).collect())
    }

    /// A folder that nobody uses. One without a lock is just being made, or just being removed. One that others may write is no word of ours:
    /// `WORK_DIR` may be a folder for everybody, and what is in it is run in the warehouse.
    fn left(path: PathBuf) -> Option<Self> {
        let folder = fs::symlink_metadata(&path).ok()?;
        let is_ours = folder.is_dir() && folder.uid() == rustix::process::geteuid().as_raw();
        if !is_ours || folder.mode() & 0o022 != 0 {
            return None;
        }
        let lock = File::options().write(true).open(path.join(LOCK)).ok()?;
        lock.try_lock().ok()?;
        let mut folder = Self { path, is_whole: true, _lock: lock };
        folder.is_whole = folder.label().is_some();
        Some(folder)
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
    pub(super) fn finish(&mut self, label: &Label) -> Result<()> {
        let finish = || {
            fs::rename(self.partial(), self.archive())?;
            fs::write(self.path.join(LABEL), serde_json::to_vec(label)?)
        };
        finish().map_err(|error: io::Error| {
            Error::new(ErrorKind::Internal, format!("cannot write to {}", self.path.display())).because(error)
        })?;
        self.is_whole = true;
        Ok(())
    }

    /// Removes the folder with all that is in it.
    pub fn remove(mut self) {
        self.is_whole = false;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        // The lock last: without it nobody takes the folder for one that was left. What cannot be removed now is removed by the next run.
        for file in [ARCHIVE, PARTIAL, LABEL, LOCK] {
            let _ = fs::remove_file(self.path.join(file));
        }
        let _ = fs::remove_dir(&self.path);
    }
}

fn unusable(work_dir: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Configuration, format!("cannot use WORK_DIR {}", work_dir.display()))
        .hint("set WORK_DIR to a folder that is there and can be written to")
        .because(error)
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

    fn fill(folder: &mut RunFolder, name: &str) -> Label {
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
        let (mut folder, nothing) = RunFolder::claim(work_dir.path(), &run(), &identity("a")).unwrap();
        assert_eq!(nothing, None);
        let label = fill(&mut folder, "a");
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
        let mut older = claim("older").0;
        fill(&mut older, "older");
        drop(older);
        let half = claim("new").0;
        assert_eq!(names(work_dir.path()), 1, "the older one is gone");
        fs::write(half.partial(), "PG").unwrap();
        drop(half);
        assert_eq!(names(work_dir.path()), 0, "the half one is gone");
        let mut cut = claim("new").0;
        fill(&mut cut, "new");
        fs::write(cut.archive(), "PG").unwrap();
        drop(cut);
        assert_eq!(claim("new").1, None);
    }

    #[test]
    fn a_folder_in_use_and_what_is_not_ours_are_left_alone() {
        let work_dir = tempfile::tempdir().unwrap();
        fs::create_dir(work_dir.path().join("nightferry-backup-of-somebody")).unwrap();
        fs::write(work_dir.path().join("other"), "").unwrap();
        let (mut used, _) = RunFolder::claim(work_dir.path(), &run(), &identity("a")).unwrap();
        fill(&mut used, "a");
        let (second, kept) = RunFolder::claim(work_dir.path(), &run(), &identity("a")).unwrap();
        assert_eq!(kept, None);
        assert!(used.archive().exists());
        second.remove();
        assert_eq!(names(work_dir.path()), 3);
    }

    #[test]
    fn what_is_left_takes_no_room_from_the_next_try() {
        let work_dir = tempfile::tempdir().unwrap();
        let look = |name| RunFolder::look(work_dir.path(), &identity(name)).unwrap();
        assert_eq!(look("a"), Left::Bytes(0));
        let (mut folder, _) = RunFolder::claim(work_dir.path(), &run(), &identity("a")).unwrap();
        fill(&mut folder, "a");
        assert_eq!(look("a"), Left::Bytes(0), "somebody uses it");
        drop(folder);
        assert_eq!(look("a"), Left::Kept);
        assert!(matches!(look("b"), Left::Bytes(bytes) if bytes >= 5));
    }

    #[test]
    fn workers_that_begin_in_one_moment_do_not_take_each_others_folders() {
        let work_dir = tempfile::tempdir().unwrap();
        let claim = |number: usize| {
            for _ in 0..200 {
                let name = number.to_string();
                let (folder, _) = RunFolder::claim(work_dir.path(), &run(), &identity(&name)).unwrap();
                fs::write(folder.partial(), name).unwrap();
                assert_eq!(fs::read_to_string(folder.partial()).unwrap(), number.to_string());
            }
        };
        let claim = &claim;
        std::thread::scope(|scope| (0..4).for_each(|number| drop(scope.spawn(move || claim(number)))));
        assert_eq!(names(work_dir.path()), 0);
    }
}
