//! Compares the warehouse with the source, or with what the last night wrote, long after the night (`nightferry verify`).
//! Changes nothing on either side.

mod live;
mod objects;
mod scope;
mod tables;
mod written;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::adapters::ledger::Ledger;
use crate::adapters::postgres::Database;
use crate::adapters::postgres::catalog::{self, Object};
use crate::config::{BackupSource, Config};
use crate::error::Result;
use crate::ids::{RunId, TableName};
use crate::replication::preflight::two_databases;
use objects::Found;
use scope::Scope;
use tables::{Answer, Task};

/// What to compare.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The tables as an operator names them; none for all.
    pub tables: Vec<String>,
    /// Of how many of 100 classes of keys the rows are hashed.
    pub sample: Option<u8>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Whether there is no difference.
    pub equal: bool,
    /// What the warehouse was compared with.
    pub compared_with: Reference,
    /// The hashed share of the rows, in percent.
    pub sample: Option<u8>,
    /// The compared tables, by name.
    pub tables: Vec<ComparedTable>,
    /// What is different.
    pub differences: Vec<Remark>,
    /// The tables that are not compared, each with the reason.
    pub not_compared: Vec<Remark>,
    /// Worth knowing.
    pub notes: Vec<Remark>,
}

/// What the warehouse was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reference {
    /// The source as it is now.
    Source,
    /// What the full stage of this run wrote, as the ledger has it.
    Written {
        /// The run.
        run: String,
        /// When the stage ended.
        ended_at: chrono::DateTime<chrono::Utc>,
    },
}

/// A compared table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedTable {
    /// Which one.
    pub table: TableName,
    /// The rows of the source, or those that were written; none for a partitioned table, whose partitions have them.
    pub source_rows: Option<u64>,
    /// The rows of the warehouse.
    pub warehouse_rows: Option<u64>,
    /// How they compare, with all that belongs to the table.
    pub result: Verdict,
}

/// How a table compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No difference.
    Equal,
    /// The rows, a column, an index or the like differ.
    Different,
    /// The warehouse lacks it.
    Missing,
}

impl Verdict {
    /// The word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Missing => "missing",
        }
    }
}

/// Something to say of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Remark {
    /// Which one: `table public.users`.
    pub subject: String,
    /// What.
    pub text: String,
}

impl Remark {
    /// A remark.
    pub fn new(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { subject: subject.into(), text: text.into() }
    }
}

/// Compares; changes nothing.
///
/// # Errors
/// A side cannot be read, a name is unknown, or there is nothing to compare with.
pub async fn compare(config: &Config, request: &Request) -> Result<Comparison> {
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    two_databases(config).await?;
    let ledger = Ledger::open_existing(&warehouse).await?;
    let mut notes = Vec::new();
    if let Some(ledger) = &ledger {
        let open = ledger.open_runs().await?;
        // A push and an export replace nothing of the warehouse.
        let nights = open.into_iter().filter(|run| RunId::from(run.run_id.clone()).beside().is_none());
        notes.extend(nights.map(|run| {
            Remark::new(
                format!("run {}", run.run_id),
                "at work, or died without a word: what it replaces may differ",
            )
        }));
    }
    let mut compared = match &config.backup.source {
        BackupSource::Live => live::compare(config, request, ledger.as_ref(), warehouse).await?,
        _ => written::compare(config, request, ledger.as_ref(), warehouse).await?,
    };
    notes.append(&mut compared.notes);
    compared.notes = notes;
    Ok(compared)
}

fn assemble(
    compared_with: Reference,
    request: &Request,
    answers: Vec<Answer>,
    found: Found,
    scope: Scope,
) -> Comparison {
    let mut differences: Vec<Remark> = Vec::new();
    let mut tables: BTreeMap<TableName, ComparedTable> = BTreeMap::new();
    for answer in answers {
        differences.extend(answer.differences);
        tables.insert(answer.table.table.clone(), answer.table);
    }
    for (table, remark) in found.differences {
        if let Some(table) = table.and_then(|table| tables.get_mut(&table))
            && table.result == Verdict::Equal
        {
            table.result = Verdict::Different;
        }
        differences.push(remark);
    }
    // Tables first, each kind by name.
    differences.sort_by_key(|remark| (!remark.subject.starts_with("table "), remark.clone()));
    let mut notes = found.notes;
    notes.sort();
    Comparison {
        equal: differences.is_empty(),
        compared_with,
        sample: request.sample,
        tables: tables.into_values().collect(),
        differences,
        not_compared: scope.not_compared,
        notes,
    }
}

fn oids(objects: &[Object]) -> BTreeMap<TableName, i64> {
    objects.iter().filter(|object| object.is_table()).map(|object| (object.name(), object.oid)).collect()
}

/// The largest first: the last to end is then a small one.
fn largest_first(tasks: &mut [Task], sizes: &[catalog::TableSize]) {
    let bytes: HashMap<(&str, &str), i64> = sizes
        .iter()
        .map(|size| ((size.schema_name.as_str(), size.table_name.as_str()), size.bytes))
        .collect();
    tasks.sort_by_key(|task| {
        std::cmp::Reverse(bytes.get(&(task.table.schema.as_str(), task.table.name.as_str())).copied())
    });
}
