//! From the first byte of a custom-format archive to its last, in pieces of any length: header, table of contents, then a block of rows for
//! each entry that has some (`pg_backup_custom.c`). Nothing is kept but the table of contents.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;

use super::{Archive, Format, MAGIC};
use crate::error::{Error, ErrorKind, Result};

/// The first try to read the table of contents; each later one has twice as much.
const FIRST_TRY: usize = 64 << 10;
/// No table of contents is longer; what says so is damaged.
const LONGEST_TOC: usize = 256 << 20;

const ROWS: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

/// Where in the archive the next byte belongs.
pub(super) struct Walk {
    position: u64,
    place: Place,
    archive: Option<Archive>,
    /// A sign and a magnitude.
    integer_length: usize,
    integer: Vec<u8>,
    /// The entries whose blocks are still to come.
    missing: BTreeSet<i32>,
    /// The entry whose block this is.
    entry: i32,
}

/// What the next byte is of.
enum Place {
    /// The header or the table of contents, which are read from what was gathered so far.
    Head {
        gathered: Vec<u8>,
        next_try: usize,
    },
    BlockKind,
    BlockEntry {
        kind: u8,
    },
    /// The number of a large object, or the zero behind the last one.
    LargeObject,
    ChunkLength {
        kind: u8,
    },
    Chunk {
        kind: u8,
        left: u64,
    },
}

impl Walk {
    pub(super) fn new() -> Self {
        Self {
            position: 0,
            place: Place::Head { gathered: Vec::new(), next_try: FIRST_TRY },
            archive: None,
            integer_length: 5,
            integer: Vec::with_capacity(9),
            missing: BTreeSet::new(),
            entry: 0,
        }
    }

    /// The table of contents, once it was passed.
    pub(super) fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    /// The table of contents, whatever follows it.
    pub(super) fn into_archive(self) -> Result<Archive> {
        self.archive.ok_or_else(|| Error::new(ErrorKind::Internal, "the head of an archive was not read"))
    }

    /// Goes on by these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let Place::Head { gathered, next_try } = &mut self.place else { return self.blocks(bytes) };
        gathered.extend_from_slice(bytes);
        let is_other = gathered.len() > 512 && !gathered.starts_with(MAGIC);
        if gathered.len() < *next_try && !is_other {
            return Ok(());
        }
        *next_try = gathered.len() * 2;
        self.read_head(false)
    }

    /// The end came: it must be that of the archive.
    pub(super) fn finish(mut self) -> Result<Archive> {
        if matches!(self.place, Place::Head { .. }) {
            self.read_head(true)?;
        }
        if !matches!(self.place, Place::BlockKind) {
            return Err(self.cut(&format!(", in the rows of {}", self.name_of(self.entry))));
        }
        if let Some(entry) = self.missing.first() {
            return Err(self.cut(&format!(", before the rows of {}", self.name_of(*entry))));
        }
        self.into_archive()
    }

    /// Reads the table of contents if it is there whole. What follows it are blocks.
    fn read_head(&mut self, is_all: bool) -> Result<()> {
        let Place::Head { gathered, .. } = &mut self.place else { return Ok(()) };
        let mut input = Gathered { rest: gathered, wanted_more: false };
        let read = Archive::parse_head(PathBuf::new(), Format::Custom, &mut input);
        let is_short = input.wanted_more && gathered.starts_with(MAGIC);
        let (archive, head) = match read {
            Err(_) if is_short && !is_all && gathered.len() < LONGEST_TOC => return Ok(()),
            read => read?,
        };
        let gathered = std::mem::take(gathered);
        self.missing = archive.entries.iter().filter(|entry| entry.has_data).map(|entry| entry.id).collect();
        self.archive = Some(archive);
        self.integer_length = 1 + usize::from(head.integer_size);
        self.position = head.length;
        self.place = Place::BlockKind;
        self.blocks(gathered.get(head.length as usize..).unwrap_or_default())
    }

    fn blocks(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(first) = bytes.first() {
            let taken = match &mut self.place {
                Place::Chunk { kind, left } => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    if *left == 0 {
                        self.place = Place::ChunkLength { kind: *kind };
                    }
                    taken
                }
                Place::BlockKind => {
                    self.place = self.block(*first)?;
                    1
                }
                _ => {
                    let taken = bytes.len().min(self.integer_length - self.integer.len());
                    self.integer.extend_from_slice(&bytes[..taken]);
                    if self.integer.len() == self.integer_length {
                        self.place = self.after_integer()?;
                        self.integer.clear();
                    }
                    taken
                }
            };
            self.position += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn block(&self, kind: u8) -> Result<Place> {
        match kind {
            ROWS | LARGE_OBJECTS => Ok(Place::BlockEntry { kind }),
            _ => Err(self.damaged(format_args!("a block of the kind {kind}"))),
        }
    }

    fn after_integer(&mut self) -> Result<Place> {
        let is_negative = self.integer[0] != 0;
        let magnitude = self.integer[1..].iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        match self.place {
            Place::BlockEntry { kind } => {
                self.entry = i32::try_from(magnitude).unwrap_or(0);
                if is_negative || !self.missing.remove(&self.entry) {
                    return Err(self.damaged(format_args!("rows of the entry {magnitude}, which has none")));
                }
                Ok(if kind == ROWS { Place::ChunkLength { kind } } else { Place::LargeObject })
            }
            // The numbers are as large as an oid, whose upper half is written as negative.
            Place::LargeObject if magnitude == 0 => Ok(Place::BlockKind),
            Place::LargeObject => Ok(Place::ChunkLength { kind: LARGE_OBJECTS }),
            Place::ChunkLength { .. } if is_negative || magnitude > i32::MAX as u64 => {
                Err(self.damaged(format_args!("a piece of {magnitude} bytes")))
            }
            Place::ChunkLength { kind: ROWS } if magnitude == 0 => Ok(Place::BlockKind),
            Place::ChunkLength { .. } if magnitude == 0 => Ok(Place::LargeObject),
            Place::ChunkLength { kind } => Ok(Place::Chunk { kind, left: magnitude }),
            Place::Head { .. } | Place::BlockKind | Place::Chunk { .. } => {
                Err(Error::new(ErrorKind::Internal, "the walk through the archive lost its way"))
            }
        }
    }

    fn name_of(&self, entry: i32) -> String {
        let entry = self.archive.as_ref().and_then(|archive| archive.entry(entry));
        entry.map_or_else(
            || "an entry".to_owned(),
            |entry| match entry.table_name() {
                Some(table) => table.to_string(),
                None => entry.label(),
            },
        )
    }

    fn cut(&self, place: &str) -> Error {
        Error::new(ErrorKind::Data, format!("it is cut at its byte {}{place}", self.position))
            .hint("pg_dump or the upload did not finish: make the archive again")
    }

    fn damaged(&self, found: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Data, format!("it is damaged near its byte {}: {found}", self.position))
            .hint("make the archive again")
    }
}

/// What was gathered, and whether more was wanted.
struct Gathered<'a> {
    rest: &'a [u8],
    wanted_more: bool,
}

impl Read for Gathered<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.rest.len().min(into.len());
        self.wanted_more |= length < into.len();
        let (bytes, rest) = self.rest.split_at(length);
        into[..length].copy_from_slice(bytes);
        self.rest = rest;
        Ok(length)
    }
}
