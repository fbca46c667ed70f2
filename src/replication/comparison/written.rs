//! The warehouse against what the last full stage wrote, as the ledger has it: an archive cannot be counted cheaply.

use super::objects::{self, Found, LeftOut};
use super::scope::{Known, scope};
use super::tables::{self, Rows, Task};
use super::{Comparison, Reference, Request, assemble, largest_first, oids};
use crate::adapters::ledger::{Ledger, Written};
use crate::adapters::postgres::{Database, catalog, comparing};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::moment::Moment;
use crate::replication::tables::resolve;

/// Compares with what the ledger says of the live generation.
pub(super) async fn compare(
    config: &Config,
    request: &Request,
    ledger: Option<&Ledger>,
    warehouse: Database,
) -> Result<Comparison> {
    if request.sample.is_some() {
        return Err(Error::new(ErrorKind::Configuration, "--sample needs BACKUP_SOURCE=live")
            .hint("the rows of an archive cannot be hashed: leave --sample out to compare counts"));
    }
    let written = match ledger {
        Some(ledger) => ledger.written().await?,
        None => None,
    };
    let written = written.ok_or_else(|| {
        Error::new(ErrorKind::Refused, "the ledger knows no full stage that ended well and is live")
            .hint("run the full stage first: nightferry run full-replication")
    })?;
    let mut warehouse = Moment::of(warehouse).await?;
    let partitions = comparing::partitions(&mut warehouse.session).await?;
    let known = known_to_the_ledger(config, &written, partitions);
    let scope = scope(&known, &config.replication.modes, &request.tables)?;
    let here = catalog::objects(&mut warehouse.session).await?;
    let oids = oids(&here);
    let tasks = written.tables.iter().filter(|(table, _)| scope.compared.contains(table));
    let mut tasks: Vec<Task> = tasks
        .map(|(table, rows)| Task {
            table: table.clone(),
            source: None,
            warehouse: oids.get(table).copied(),
            rows: Rows::Written(*rows),
        })
        .collect();
    largest_first(&mut tasks, &catalog::sizes(&mut warehouse.session).await?);
    let mut found = Found::default();
    if request.tables.is_empty() {
        let schemas = scope.compared.iter().map(|table| table.schema.as_str()).collect();
        found = objects::relations(written.objects, &here, &schemas, &LeftOut::default());
    }
    let answers = tables::compare(None, warehouse, tasks, None, config.replication.jobs).await?;
    let reference = Reference::Written { run: written.run_id, ended_at: written.ended_at };
    Ok(assemble(reference, request, answers, found, scope))
}

/// The tables that were written, those that they are partitions of, and those of `BACKUP_MODE`, which were not.
fn known_to_the_ledger(
    config: &Config,
    written: &Written,
    partitions: Vec<(TableName, TableName)>,
) -> Known<'static> {
    let mut tables: Vec<TableName> = written.tables.iter().map(|(table, _)| table.clone()).collect();
    // Parents of parents too: what is added is looked at as well.
    let mut at = 0;
    while let Some(table) = tables.get(at).cloned() {
        let parents = partitions.iter().filter(|(partition, _)| *partition == table);
        let new: Vec<_> =
            parents.map(|(_, parent)| parent.clone()).filter(|one| !tables.contains(one)).collect();
        tables.extend(new);
        at += 1;
    }
    for (name, _) in config.replication.modes.iter() {
        if resolve(name, &tables).is_err() {
            tables.push(match name.split_once('.') {
                Some((schema, name)) => TableName::new(schema, name),
                None => TableName::new("public", name),
            });
        }
    }
    Known { tables, partitions, who_has: "the last full stage wrote", ..Known::default() }
}
