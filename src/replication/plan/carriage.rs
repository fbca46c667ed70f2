//! How an entry of an archive travels, by its kind (pure).

use crate::adapters::postgres::archive::{Entry, Section};

/// How an entry of an archive travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replication) enum Carriage {
    /// With the empty objects.
    Before,
    /// After the rows.
    After,
    /// With what it describes.
    Comment,
    /// By COPY, `setval` or REFRESH, not as SQL.
    Data,
    /// Not at all, silently: settings of the dump, grants to the source's roles.
    Ignored,
    /// Not at all, and the report says so.
    NotCarried,
}

pub(in crate::replication) fn carriage(entry: &Entry) -> Carriage {
    match entry.kind.name() {
        "SCHEMA"
        | "EXTENSION"
        | "TYPE"
        | "SHELL TYPE"
        | "DOMAIN"
        | "FUNCTION"
        | "PROCEDURE"
        | "AGGREGATE"
        | "OPERATOR"
        | "OPERATOR CLASS"
        | "OPERATOR FAMILY"
        | "COLLATION"
        | "CONVERSION"
        | "CAST"
        | "TRANSFORM"
        | "TEXT SEARCH PARSER"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH TEMPLATE"
        | "TEXT SEARCH CONFIGURATION"
        | "TABLE"
        | "TABLE ATTACH"
        | "SEQUENCE"
        | "SEQUENCE OWNED BY"
        | "DEFAULT"
        | "STATISTICS" => Carriage::Before,
        "VIEW" | "MATERIALIZED VIEW" if entry.section != Section::PostData => Carriage::Before,
        "VIEW" | "MATERIALIZED VIEW" | "INDEX" | "INDEX ATTACH" | "CONSTRAINT" | "CHECK CONSTRAINT"
        | "FK CONSTRAINT" | "TRIGGER" | "RULE" | "POLICY" | "ROW SECURITY" => Carriage::After,
        "COMMENT" => Carriage::Comment,
        "TABLE DATA" | "SEQUENCE SET" | "MATERIALIZED VIEW DATA" => Carriage::Data,
        "ENCODING"
        | "STDSTRINGS"
        | "SEARCHPATH"
        | "DATABASE"
        | "DATABASE PROPERTIES"
        | "ACL"
        | "DEFAULT ACL"
        | "SECURITY LABEL"
        | "PROCEDURAL LANGUAGE"
        | "STATISTICS DATA"
        | "BLOB COMMENTS"
        | "BLOB METADATA" => Carriage::Ignored,
        _ => Carriage::NotCarried,
    }
}

/// Kinds that are a part of the table they lean on, and stay away with it.
pub(super) const PARTS: [&str; 18] = [
    "DEFAULT",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "SEQUENCE SET",
    "TABLE ATTACH",
    "TABLE DATA",
    "INDEX",
    "INDEX ATTACH",
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "STATISTICS",
    "COMMENT",
    "ACL",
];
