//! What the catalogs answer, as plain values.

use std::collections::{HashMap, HashSet};

use sqlx::FromRow;

use crate::adapters::postgres::ident::qualified;
use crate::ids::TableName;

/// An object's address in the catalogs: the catalog it is in, and its oid there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The catalog (`pg_class`, `pg_type`, ...) as an oid.
    pub class: i64,
    /// The oid in it.
    pub oid: i64,
}

/// An object that a night may bring or replace.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Object {
    /// Its catalog.
    pub class: i64,
    /// Its oid.
    pub oid: i64,
    /// Its kind in the catalog's words: `table`, `view`, `function`, ...
    pub kind: String,
    /// Its schema; empty for a cast.
    pub schema_name: String,
    /// Its name; a function's is its signature.
    pub object_name: String,
    /// Its whole name, quoted and qualified, as SQL takes it after the kind.
    pub identity: String,
}

impl Object {
    /// Its address.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        ObjectId { class: self.class, oid: self.oid }
    }

    /// How people name it: `view public.v`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {}", self.kind, self.identity)
    }

    /// Whether it is a table, partitioned or not.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.kind == "table"
    }

    /// Whether it is a relation: tables, views and sequences share their names.
    #[must_use]
    pub fn is_relation(&self) -> bool {
        matches!(self.kind.as_str(), "table" | "view" | "materialized view" | "sequence" | "foreign table")
    }

    /// Its schema and name.
    #[must_use]
    pub fn name(&self) -> TableName {
        TableName::new(&self.schema_name, &self.object_name)
    }
}

/// One object leans on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// Who leans.
    pub from: ObjectId,
    /// On whom.
    pub to: ObjectId,
    /// Whether it is only a foreign key of a table.
    pub is_foreign_key: bool,
    /// Whether it is only a row policy of a table.
    pub is_policy: bool,
}

/// Everything that leans on these objects, at whatever distance, and they themselves; a foreign key is no leaning here (pure).
#[must_use]
pub fn leaning_on(dependencies: &[Dependency], objects: impl Iterator<Item = ObjectId>) -> HashSet<ObjectId> {
    let mut users: HashMap<ObjectId, Vec<ObjectId>> = HashMap::new();
    for leaning in dependencies.iter().filter(|leaning| !leaning.is_foreign_key) {
        users.entry(leaning.to).or_default().push(leaning.from);
    }
    let mut found: HashSet<ObjectId> = objects.collect();
    let mut open: Vec<ObjectId> = found.iter().copied().collect();
    while let Some(id) = open.pop() {
        open.extend(users.get(&id).into_iter().flatten().filter(|user| found.insert(**user)));
    }
    found
}

/// How to copy the rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct CopyTable {
    /// Its oid.
    pub oid: i64,
    /// Its schema.
    pub schema_name: String,
    /// Its name.
    pub table_name: String,
    /// Whether the binary format carries every value.
    pub binary: bool,
    /// The columns to name: all but the generated ones.
    pub columns: Vec<String>,
    /// Whether there are generated ones.
    pub has_generated: bool,
    /// Whether writing a row calls functions that look names up only then: they must find the new ones.
    pub calls_functions: bool,
    /// The schema that it is in for now, where that is another.
    #[sqlx(skip)]
    pub stored_as: Option<String>,
}

impl CopyTable {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> TableName {
        TableName::new(&self.schema_name, &self.table_name)
    }

    /// Where it is for now, quoted.
    #[must_use]
    pub fn address(&self) -> String {
        qualified(self.stored_as.as_deref().unwrap_or(&self.schema_name), &self.table_name)
    }
}

/// An index, constraint, foreign key or trigger: the statements that make it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Definition {
    /// `INDEX`, `CONSTRAINT`, `FK CONSTRAINT`, `TRIGGER` or `TRIGGER STATE`, in an order in which they can be made.
    pub kind: String,
    /// The oid of its table.
    pub relation: i64,
    /// Its table's schema.
    pub schema_name: String,
    /// Its table's name.
    pub table_name: String,
    /// Its own name.
    pub name: String,
    /// The statements that make it, in order, where its table is for now.
    pub statements: Vec<String>,
    /// The same under the names that readers use, where those are others: for functions in it that look names up when called.
    #[sqlx(skip)]
    pub home_statements: Vec<String>,
    /// For the index of a partition: the statement that attaches it to its parent's.
    pub attach: Option<String>,
    /// For a foreign key: the schema of the table it refers to.
    pub referenced_schema: Option<String>,
    /// For a foreign key: the table it refers to.
    pub referenced_table: Option<String>,
    /// For a foreign key: the source itself has not validated it.
    pub declared_not_valid: bool,
    /// Whether its table is partitioned.
    pub is_partitioned: bool,
    /// The schema that its table is in for now, where that is another.
    #[sqlx(skip)]
    pub stored_as: Option<String>,
}

impl Definition {
    /// Its table.
    #[must_use]
    pub fn table(&self) -> TableName {
        TableName::new(&self.schema_name, &self.table_name)
    }

    /// Where its table is for now, quoted.
    #[must_use]
    pub fn address(&self) -> String {
        qualified(self.stored_as.as_deref().unwrap_or(&self.schema_name), &self.table_name)
    }

    /// The table that a foreign key refers to.
    #[must_use]
    pub fn referenced(&self) -> Option<TableName> {
        Some(TableName::new(self.referenced_schema.as_deref()?, self.referenced_table.as_deref()?))
    }

    /// How people name it: `INDEX public.users users_email_key`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {} on {}", self.kind, self.name, self.table())
    }
}

/// The statements that make a view or function again.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Recreation {
    /// Its catalog.
    pub class: i64,
    /// Its oid.
    pub oid: i64,
    /// Its owner.
    pub owner: String,
    /// Whether the role that asked may drop it or move it away.
    pub may_move: bool,
    /// The statement that makes it; none for kinds that cannot be made again.
    pub definition: Option<String>,
    /// A materialized view that holds rows.
    pub is_populated: bool,
    /// What belongs to it, what is said of it, who may use it, and at the end its owner; they run as the role that asked.
    pub statements: Vec<String>,
}

impl Recreation {
    /// The address of what it makes again.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        ObjectId { class: self.class, oid: self.oid }
    }
}

/// What tells one database from another.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Identity {
    /// The cluster's identifier.
    pub system_identifier: Option<String>,
    /// The database's oid.
    pub database_oid: i64,
    /// `150020` for 15.20.
    pub server_version: i32,
    /// Whether the server is a standby.
    pub is_standby: bool,
}

/// A table's estimated size.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct TableSize {
    /// Its schema.
    pub schema_name: String,
    /// Its name.
    pub table_name: String,
    /// The planner's estimate of its rows; none where the table was never analyzed.
    pub rows_estimate: Option<i64>,
    /// Bytes on disk without indexes.
    pub bytes: i64,
    /// Bytes on disk with its indexes.
    pub total_bytes: i64,
}

/// A sequence's value, as `setval` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceValue {
    /// Which sequence.
    pub sequence: TableName,
    /// Its last value.
    pub value: i64,
    /// Whether that value was handed out.
    pub is_called: bool,
}
