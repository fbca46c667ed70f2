//! One entry of the table of contents.

use std::io::Read;

use super::bytes::{ByteReader, decode};
use super::copy_statement::CopyStatement;
use super::header::{Format, RawHeader};
use super::kind::EntryKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;

/// When pg_restore runs an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Comments, access rights and the like, beside what they speak of.
    None,
    /// Before the rows: schemas, types, tables, views, functions.
    PreData,
    /// Rows and sequence values.
    Data,
    /// After the rows: indexes, constraints, triggers, rules.
    PostData,
}

/// One object of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this archive (pg_dump's dump id).
    pub id: i32,
    /// What it is.
    pub kind: EntryKind,
    /// When it is restored.
    pub section: Section,
    /// Its schema; for the comment or right of an object, that object's.
    pub schema: Option<String>,
    /// pg_dump's tag, unquoted: a relation's bare name, a function's name with its argument types, and `table name`
    /// (two names and a space) for constraints, defaults, triggers, rules and policies.
    pub name: String,
    /// The owner's role; empty where there is none.
    pub owner: String,
    /// The SQL that creates it, qualified; empty where there is nothing to run.
    pub definition: String,
    /// The line that pg_restore writes before the rows of a table.
    pub copy_statement: Option<String>,
    /// The entries that must be there before; some may not be in the archive.
    pub dependencies: Vec<i32>,
    /// The table access method, where pg_dump recorded one.
    pub table_access_method: Option<String>,
    /// The tablespace, where it is not the database's own.
    pub tablespace: Option<String>,
    /// Whether the archive has rows (or large objects) for it.
    pub has_data: bool,
}

impl Entry {
    /// Schema and name, for the entries of relations.
    #[must_use]
    pub fn table_name(&self) -> Option<TableName> {
        Some(TableName::new(self.schema.clone()?, self.name.clone()))
    }

    /// How people name it: `VIEW public.v`.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{} {schema}.{}", self.kind.name(), self.name),
            None => format!("{} {}", self.kind.name(), self.name),
        }
    }

    /// What the rows of a TABLE DATA entry are to be copied into.
    ///
    /// # Errors
    /// The archive was made with `--inserts`, or the statement has an unknown form.
    pub fn copy_target(&self) -> Result<CopyStatement> {
        let statement = self.copy_statement.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::Schema, format!("the rows of {} are not COPY data", self.name))
                .hint("make the archive without --inserts and --column-inserts")
        })?;
        CopyStatement::parse(statement)
    }

    /// The columns of the rows, in their order.
    ///
    /// # Errors
    /// As [`Self::copy_target`].
    pub fn copy_columns(&self) -> Result<Vec<String>> {
        self.copy_target().map(|target| target.columns)
    }
}

/// An entry whose texts are still bytes.
pub(super) struct RawEntry {
    id: i32,
    kind: EntryKind,
    section: Section,
    schema: Option<Vec<u8>>,
    name: Vec<u8>,
    owner: Vec<u8>,
    definition: Vec<u8>,
    copy_statement: Option<Vec<u8>>,
    dependencies: Vec<i32>,
    table_access_method: Option<Vec<u8>>,
    tablespace: Option<Vec<u8>>,
    has_data: bool,
}

impl RawEntry {
    pub(super) fn read_all<R: Read>(bytes: &mut ByteReader<R>, header: &RawHeader) -> Result<Vec<Self>> {
        let count = bytes.integer()?;
        if count < 0 {
            return Err(bytes.damaged(format_args!("{count} entries")));
        }
        // No capacity from the count: it may be anything.
        (0..count).map(|_| Self::read(bytes, header)).collect()
    }

    fn read<R: Read>(bytes: &mut ByteReader<R>, header: &RawHeader) -> Result<Self> {
        let id = bytes.integer()?;
        if id <= 0 {
            return Err(bytes.damaged(format_args!("the entry number {id}")));
        }
        let had_rows = bytes.integer()? != 0;
        let _catalog = bytes.string()?;
        let _oid = bytes.string()?;
        let name = bytes.string()?.unwrap_or_default();
        let description = bytes.string()?.unwrap_or_default();
        let section = match bytes.integer()? {
            1 => Section::None,
            2 => Section::PreData,
            3 => Section::Data,
            4 => Section::PostData,
            other => return Err(bytes.damaged(format_args!("the section {other}"))),
        };
        let definition = bytes.string()?.unwrap_or_default();
        let _drop_statement = bytes.string()?;
        let copy_statement = filled(bytes.string()?);
        let schema = filled(bytes.string()?);
        let tablespace = filled(bytes.string()?);
        let table_access_method = if header.version.minor >= 14 { filled(bytes.string()?) } else { None };
        if header.version.minor >= 16 {
            let _relation_kind = bytes.integer()?;
        }
        let owner = bytes.string()?.unwrap_or_default();
        let _with_oids = bytes.string()?;
        let dependencies = read_dependencies(bytes)?;
        let has_data = read_data_position(bytes, header)? && had_rows;
        Ok(Self {
            id,
            kind: EntryKind::from_archive(&String::from_utf8_lossy(&description)),
            section,
            schema,
            name,
            owner,
            definition,
            copy_statement,
            dependencies,
            table_access_method,
            tablespace,
            has_data,
        })
    }

    pub(super) fn decode(self, encoding: &str) -> Result<Entry> {
        let text = |bytes| decode(bytes, encoding);
        let optional = |bytes: Option<Vec<u8>>| bytes.map(text).transpose();
        Ok(Entry {
            id: self.id,
            kind: self.kind,
            section: self.section,
            schema: optional(self.schema)?,
            name: text(self.name)?,
            owner: text(self.owner)?,
            definition: text(self.definition)?,
            copy_statement: optional(self.copy_statement)?,
            dependencies: self.dependencies,
            table_access_method: optional(self.table_access_method)?,
            tablespace: optional(self.tablespace)?,
            has_data: self.has_data,
        })
    }
}

/// pg_dump writes "none" as no string or as an empty one, depending on its version.
fn filled(text: Option<Vec<u8>>) -> Option<Vec<u8>> {
    text.filter(|text| !text.is_empty())
}

/// Numbers written as text, ended by "no string".
fn read_dependencies<R: Read>(bytes: &mut ByteReader<R>) -> Result<Vec<i32>> {
    let mut dependencies = Vec::new();
    while let Some(text) = bytes.string()? {
        let id = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        dependencies.push(id.ok_or_else(|| bytes.damaged("a dependency that is not a number"))?);
    }
    Ok(dependencies)
}

/// Where the rows are: an offset in the file (state 3: there are none), or a file of the folder.
fn read_data_position<R: Read>(bytes: &mut ByteReader<R>, header: &RawHeader) -> Result<bool> {
    if header.format == Format::Directory {
        return Ok(filled(bytes.string()?).is_some());
    }
    let state = bytes.byte()?;
    if !(1..=3).contains(&state) {
        return Err(bytes.damaged(format_args!("the data state {state}")));
    }
    for _ in 0..header.offset_size {
        bytes.byte()?;
    }
    Ok(state != 3)
}

/// The archive's encoding, from its ENCODING entry: `SET client_encoding = 'UTF8';`.
pub(super) fn encoding_of(entries: &[RawEntry]) -> Result<String> {
    let Some(entry) = entries.iter().find(|entry| entry.kind == EntryKind::Encoding) else {
        return Err(Error::new(ErrorKind::Data, "it is damaged: it does not say its encoding"));
    };
    let definition = String::from_utf8_lossy(&entry.definition);
    definition
        .split('\'')
        .nth(1)
        .filter(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
        .map(str::to_ascii_uppercase)
        .ok_or_else(|| Error::new(ErrorKind::Data, "it is damaged: its encoding is not readable"))
}
