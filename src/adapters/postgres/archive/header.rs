//! The head of an archive: what it is, who wrote it, from what.

use std::fmt;
use std::io::Read;

use chrono::{NaiveDate, NaiveDateTime};

use super::bytes::{ByteReader, decode};
use crate::error::{Error, ErrorKind, Result};

/// What an archive begins with.
pub const MAGIC: &[u8; 5] = b"PGDMP";

/// The two forms of archive that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One file: `pg_dump -Fc`.
    Custom,
    /// A folder with a `toc.dat`: `pg_dump -Fd`.
    Directory,
}

/// The version of the archive format: 1.13 (pg_dump 10.3 and 11), 1.14 (12 to 15), 1.15 (16), 1.16 (17, 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion {
    /// Always 1.
    pub major: u8,
    /// What decides which fields there are.
    pub minor: u8,
}

impl FormatVersion {
    const OLDEST: Self = Self { major: 1, minor: 13 };
    const NEWEST: Self = Self { major: 1, minor: 16 };

    /// The first major version of PostgreSQL whose pg_restore reads it.
    #[must_use]
    pub fn pg_restore(self) -> u32 {
        match self.minor {
            ..=13 => 11,
            14 => 12,
            15 => 16,
            _ => 17,
        }
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What the archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the archive format.
    pub version: FormatVersion,
    /// A file or a directory.
    pub format: Format,
    /// The database that was dumped.
    pub dbname: String,
    /// The version of the server it came from, as that server spells it.
    pub server_version: String,
    /// The version of the pg_dump that wrote it.
    pub dump_version: String,
    /// When it was started, in the local time of the machine that made it.
    pub created: Option<NaiveDateTime>,
}

/// The header before its encoding is known, with the sizes that the entries need.
pub(super) struct RawHeader {
    pub(super) version: FormatVersion,
    pub(super) format: Format,
    pub(super) offset_size: u8,
    dbname: Vec<u8>,
    server_version: Vec<u8>,
    dump_version: Vec<u8>,
    created: Option<NaiveDateTime>,
}

impl RawHeader {
    pub(super) fn read<R: Read>(bytes: &mut ByteReader<R>, format: Format) -> Result<Self> {
        check_magic(bytes)?;
        let version = FormatVersion { major: bytes.byte()?, minor: bytes.byte()? };
        let _revision = bytes.byte()?;
        check_version(version)?;
        let integer_size = bytes.byte()?;
        bytes.set_integer_size(integer_size)?;
        let offset_size = bytes.byte()?;
        let code = bytes.byte()?;
        check_format(code, format, bytes)?;
        if version.minor >= 15 {
            let _compression_algorithm = bytes.byte()?;
        } else {
            let _compression_level = bytes.integer()?;
        }
        let created = read_created(bytes)?;
        let mut text = || Ok::<_, Error>(bytes.string()?.unwrap_or_default());
        let (dbname, server_version, dump_version) = (text()?, text()?, text()?);
        Ok(Self { version, format, offset_size, dbname, server_version, dump_version, created })
    }

    pub(super) fn decode(self, encoding: &str) -> Result<Header> {
        Ok(Header {
            version: self.version,
            format: self.format,
            dbname: decode(self.dbname, encoding)?,
            server_version: decode(self.server_version, encoding)?,
            dump_version: decode(self.dump_version, encoding)?,
            created: self.created,
        })
    }
}

fn check_magic<R: Read>(bytes: &mut ByteReader<R>) -> Result<()> {
    let mut found = Vec::new();
    for expected in MAGIC {
        let byte = bytes.byte().map_err(|error| match error.kind() {
            ErrorKind::Data => not_an_archive(&found),
            _ => error,
        })?;
        found.push(byte);
        if byte != *expected {
            // A few more bytes tell the usual mistakes apart.
            found.extend(std::iter::from_fn(|| bytes.byte().ok()).take(300));
            return Err(not_an_archive(&found));
        }
    }
    Ok(())
}

/// What it is instead, by its first bytes.
pub(in crate::adapters) fn not_an_archive(start: &[u8]) -> Error {
    let (what, hint) = if start.is_empty() {
        ("it is empty", "pg_dump or the upload did not finish: make it again")
    } else if start.get(257..262) == Some(b"ustar") || start.starts_with(b"toc.dat\0") {
        ("it is a tar archive", "make it with pg_dump -Fc, or unpack it into a folder")
    } else if start.starts_with(&[0x1f, 0x8b]) {
        ("it is a gzip file", "unpack it first: custom-format archives are compressed inside")
    } else if is_markup(start) {
        (
            "it is a page of HTML or XML",
            "the server answers with a page instead of the file: open the address in a browser",
        )
    } else if is_sql(start) {
        ("it is a plain SQL dump", "make it with pg_dump -Fc or -Fd")
    } else {
        ("it is not a pg_dump archive", "name an archive that pg_dump -Fc or -Fd made")
    };
    Error::new(ErrorKind::Configuration, what).hint(hint)
}

fn is_markup(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    start.first() == Some(&b'<')
        && start.get(1).is_some_and(|second| second.is_ascii_alphabetic() || b"!?".contains(second))
}

fn is_sql(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start);
    let first = text.trim_start().to_ascii_uppercase();
    ["--", "\\RESTRICT", "SET ", "CREATE ", "BEGIN", "COPY "].iter().any(|word| first.starts_with(word))
}

fn check_version(version: FormatVersion) -> Result<()> {
    if version > FormatVersion::NEWEST {
        let text = format!("archive version {version} is newer than this nightferry knows");
        return Err(Error::new(ErrorKind::Tool, text)
            .hint("make it with pg_dump 18 or older, or take a newer nightferry"));
    }
    if version < FormatVersion::OLDEST {
        let text = format!("archive version {version} is older than this nightferry reads");
        return Err(Error::new(ErrorKind::Tool, text).hint("make it again with pg_dump 12 or newer"));
    }
    Ok(())
}

/// A directory's `toc.dat` is written in the form of the tar archive that it could be packed into: 3, not 5.
fn check_format<R: Read>(code: u8, expected: Format, bytes: &ByteReader<R>) -> Result<()> {
    match (code, expected) {
        (1, Format::Custom) | (3 | 5, Format::Directory) => Ok(()),
        (3 | 5, Format::Custom) => {
            Err(Error::new(ErrorKind::Configuration, "it is the table of contents of a directory archive")
                .hint("name the folder that holds it"))
        }
        _ => Err(bytes.damaged(format_args!("the format {code}"))),
    }
}

fn read_created<R: Read>(bytes: &mut ByteReader<R>) -> Result<Option<NaiveDateTime>> {
    let mut field = || bytes.integer();
    let (second, minute, hour, day, month, year) =
        (field()?, field()?, field()?, field()?, field()?, field()?);
    let _daylight_saving = field()?;
    let part = |value: i32| u32::try_from(value).ok();
    // A wrong date is no reason to refuse the rest.
    Ok((|| {
        NaiveDate::from_ymd_opt(year.checked_add(1900)?, part(month)?.checked_add(1)?, part(day)?)?
            .and_hms_opt(part(hour)?, part(minute)?, part(second)?)
    })())
}
