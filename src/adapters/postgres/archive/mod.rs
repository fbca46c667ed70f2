//! The table of contents of a pg_dump archive, read from the archive itself: a custom-format file or a directory.
//!
//! Entries come typed, with names that are compared whole. The text of `pg_restore -l` is never parsed: in it a
//! table `answers` in another schema, a column of that name and a name with two spaces all look alike.

mod bytes;
mod copy_statement;
mod entry;
mod header;
mod kind;
mod walk;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

pub use copy_statement::CopyStatement;
pub use entry::{Entry, Section};
pub(in crate::adapters) use header::not_an_archive;
pub use header::{Format, FormatVersion, Header, MAGIC};
pub use kind::EntryKind;
pub use whole::Checked;

use self::bytes::ByteReader;
use self::entry::RawEntry;
use self::header::RawHeader;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;

/// A pg_dump archive's table of contents. The rows stay in the archive.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The file or the folder; empty where it was never one.
    pub path: PathBuf,
    /// What made it, from what, when.
    pub header: Header,
    /// The encoding of its definitions and rows, by PostgreSQL's name (`UTF8`, `LATIN1`, `SQL_ASCII`).
    pub encoding: String,
    /// What it holds, in the order in which pg_restore creates it.
    pub entries: Vec<Entry>,
}

/// What must be known of the head to read what follows it.
struct Head {
    /// Its bytes: header and table of contents.
    length: u64,
    integer_size: u8,
}

impl Archive {
    /// Reads the table of contents.
    ///
    /// # Errors
    /// It is not a custom-format file or a directory of pg_dump 11 to 18, is cut or damaged, or its definitions are
    /// in an encoding other than UTF-8.
    pub async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || Self::open_blocking(&path))
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "reading the archive broke").because(error))?
    }

    /// Reads what pg_dump wrote to its standard output, in the custom format: a schema without rows, of a few megabytes at most.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub async fn read(bytes: Vec<u8>) -> Result<Self> {
        let read = move || Self::parse(PathBuf::new(), Format::Custom, bytes.as_slice());
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "reading the archive broke").because(error))?
            .map_err(|error| error.context("cannot read what pg_dump wrote"))
    }

    fn open_blocking(path: &Path) -> Result<Self> {
        let doing = || format!("cannot read the archive {}", path.display());
        let directory = path.is_dir();
        let toc = if directory { path.join("toc.dat") } else { path.to_owned() };
        let file = File::open(&toc).map_err(|error| {
            let hint = if directory {
                "a directory archive has a file toc.dat: is this the folder that pg_dump -Fd made?"
            } else {
                "name an archive that pg_dump -Fc or -Fd made, readable by this user"
            };
            Error::new(ErrorKind::Configuration, doing()).hint(hint).because(error)
        })?;
        let format = if directory { Format::Directory } else { Format::Custom };
        Self::parse(path.to_owned(), format, BufReader::with_capacity(256 * 1024, file))
            .map_err(|error| error.context(doing()))
    }

    fn parse(path: PathBuf, format: Format, input: impl Read) -> Result<Self> {
        Self::parse_head(path, format, input).map(|(archive, _)| archive)
    }

    fn parse_head(path: PathBuf, format: Format, input: impl Read) -> Result<(Self, Head)> {
        let mut bytes = ByteReader::new(input);
        let header = RawHeader::read(&mut bytes, format)?;
        let raw = RawEntry::read_all(&mut bytes, &header)?;
        let head = Head { length: bytes.position(), integer_size: bytes.integer_size() };
        let encoding = entry::encoding_of(&raw)?;
        let archive = Self {
            header: header.decode(&encoding)?,
            entries: raw.into_iter().map(|entry| entry.decode(&encoding)).collect::<Result<_>>()?,
            encoding,
            path,
        };
        Ok((archive, head))
    }

    /// The entry of this number.
    #[must_use]
    pub fn entry(&self, id: i32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The table's own entry (partitioned tables and partitions too; not views, sequences or foreign tables).
    #[must_use]
    pub fn table(&self, name: &TableName) -> Option<&Entry> {
        self.named(&EntryKind::Table, name)
    }

    /// The entry that holds the table's rows, where the archive has them.
    #[must_use]
    pub fn table_data(&self, name: &TableName) -> Option<&Entry> {
        self.named(&EntryKind::TableData, name)
    }

    fn named(&self, kind: &EntryKind, name: &TableName) -> Option<&Entry> {
        self.entries.iter().find(|entry| {
            entry.kind == *kind && entry.name == name.name && entry.schema.as_deref() == Some(&name.schema)
        })
    }

    /// Every entry that needs one of `roots`, directly or through others. The roots themselves are not in it, unless
    /// one needs another.
    #[must_use]
    pub fn dependents_of(&self, roots: &BTreeSet<i32>) -> BTreeSet<i32> {
        let mut needed_by: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for entry in &self.entries {
            for dependency in &entry.dependencies {
                needed_by.entry(*dependency).or_default().push(entry.id);
            }
        }
        let mut found = BTreeSet::new();
        let mut to_visit: Vec<i32> = roots.iter().copied().collect();
        while let Some(id) = to_visit.pop() {
            for dependent in needed_by.get(&id).into_iter().flatten() {
                if found.insert(*dependent) {
                    to_visit.push(*dependent);
                }
            }
        }
        found
    }

    /// The COPY option that says in which encoding the archive's rows are; none where it is the sessions' own.
    #[must_use]
    pub fn encoding_option(&self) -> Option<String> {
        (self.encoding != "UTF8").then(|| format!("ENCODING {}", super::ident::literal(&self.encoding)))
    }
}

#[cfg(test)]
mod tests;
