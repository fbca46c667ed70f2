//! The kinds of entries, by the names that pg_dump gives them.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $name:literal,)+) => {
        /// What an entry is.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EntryKind {
            $($(#[$doc])+ $kind,)+
            /// A kind that this nightferry does not know, by its name in the archive.
            Other(String),
        }

        impl EntryKind {
            /// The kind of this name.
            #[must_use]
            pub fn from_archive(name: &str) -> Self {
                match name {
                    $($name => Self::$kind,)+
                    _ => Self::Other(name.to_owned()),
                }
            }

            /// The name in the archive: `TABLE DATA`.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$kind => $name,)+
                    Self::Other(name) => name,
                }
            }
        }
    };
}

kinds! {
    /// An index or table access method.
    AccessMethod = "ACCESS METHOD",
    /// Access rights.
    Acl = "ACL",
    /// An aggregate function.
    Aggregate = "AGGREGATE",
    /// A large object, or its metadata before pg_dump 17.
    Blob = "BLOB",
    /// Comments on large objects, in old archives.
    BlobComments = "BLOB COMMENTS",
    /// Owners and rights of large objects (pg_dump 17 and later).
    BlobMetadata = "BLOB METADATA",
    /// The contents of large objects.
    Blobs = "BLOBS",
    /// A type conversion.
    Cast = "CAST",
    /// A check constraint that is created apart from its table.
    CheckConstraint = "CHECK CONSTRAINT",
    /// A collation.
    Collation = "COLLATION",
    /// A comment on any object.
    Comment = "COMMENT",
    /// A primary key, unique or exclusion constraint.
    Constraint = "CONSTRAINT",
    /// An encoding conversion.
    Conversion = "CONVERSION",
    /// The database itself.
    Database = "DATABASE",
    /// Settings of the database.
    DatabaseProperties = "DATABASE PROPERTIES",
    /// A column's default that is created apart from its table.
    Default = "DEFAULT",
    /// Default privileges.
    DefaultAcl = "DEFAULT ACL",
    /// A domain.
    Domain = "DOMAIN",
    /// The archive's encoding.
    Encoding = "ENCODING",
    /// An event trigger.
    EventTrigger = "EVENT TRIGGER",
    /// An extension.
    Extension = "EXTENSION",
    /// A foreign key.
    ForeignKey = "FK CONSTRAINT",
    /// A foreign-data wrapper.
    ForeignDataWrapper = "FOREIGN DATA WRAPPER",
    /// A foreign server.
    ForeignServer = "SERVER",
    /// A foreign table.
    ForeignTable = "FOREIGN TABLE",
    /// A function.
    Function = "FUNCTION",
    /// An index that belongs to no constraint.
    Index = "INDEX",
    /// The attachment of a partition's index to its parent's.
    IndexAttach = "INDEX ATTACH",
    /// A materialized view, without its rows.
    MaterializedView = "MATERIALIZED VIEW",
    /// The REFRESH of a materialized view.
    MaterializedViewData = "MATERIALIZED VIEW DATA",
    /// An operator.
    Operator = "OPERATOR",
    /// An operator class.
    OperatorClass = "OPERATOR CLASS",
    /// An operator family.
    OperatorFamily = "OPERATOR FAMILY",
    /// A row-level security policy.
    Policy = "POLICY",
    /// A procedural language.
    Language = "PROCEDURAL LANGUAGE",
    /// A procedure.
    Procedure = "PROCEDURE",
    /// A publication.
    Publication = "PUBLICATION",
    /// A table of a publication.
    PublicationTable = "PUBLICATION TABLE",
    /// A schema of a publication.
    PublicationSchema = "PUBLICATION TABLES IN SCHEMA",
    /// The switch of row-level security on a table.
    RowSecurity = "ROW SECURITY",
    /// A rewrite rule.
    Rule = "RULE",
    /// A schema.
    Schema = "SCHEMA",
    /// The search path of the restoring session.
    SearchPath = "SEARCHPATH",
    /// A security label.
    SecurityLabel = "SECURITY LABEL",
    /// A sequence.
    Sequence = "SEQUENCE",
    /// The tie between a sequence and its column.
    SequenceOwnedBy = "SEQUENCE OWNED BY",
    /// A sequence's value.
    SequenceSet = "SEQUENCE SET",
    /// A type's name, before its definition.
    ShellType = "SHELL TYPE",
    /// Extended statistics.
    Statistics = "STATISTICS",
    /// The planner's statistics of a relation (pg_dump 18 and later).
    StatisticsData = "STATISTICS DATA",
    /// The setting `standard_conforming_strings`.
    StdStrings = "STDSTRINGS",
    /// A subscription.
    Subscription = "SUBSCRIPTION",
    /// A table of a subscription.
    SubscriptionTable = "SUBSCRIPTION TABLE",
    /// A table, partitioned or not.
    Table = "TABLE",
    /// The attachment of a partition to its parent.
    TableAttach = "TABLE ATTACH",
    /// The rows of a table.
    TableData = "TABLE DATA",
    /// A text search configuration.
    TextSearchConfiguration = "TEXT SEARCH CONFIGURATION",
    /// A text search dictionary.
    TextSearchDictionary = "TEXT SEARCH DICTIONARY",
    /// A text search parser.
    TextSearchParser = "TEXT SEARCH PARSER",
    /// A text search template.
    TextSearchTemplate = "TEXT SEARCH TEMPLATE",
    /// A transform of a procedural language.
    Transform = "TRANSFORM",
    /// A trigger.
    Trigger = "TRIGGER",
    /// An enum, a composite, a range or a base type.
    Type = "TYPE",
    /// A user of a foreign server.
    UserMapping = "USER MAPPING",
    /// A view.
    View = "VIEW",
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
