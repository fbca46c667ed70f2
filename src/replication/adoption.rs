//! First contact with a warehouse that already has tables: what is kept, and what may be replaced.

use super::full::source::Source;
use super::preflight::two_databases;
use super::tables::resolve;
use crate::adapters::ledger::{Disposition, Ledger};
use crate::adapters::postgres::archive::Entry;
use crate::adapters::postgres::tools::Tools;
use crate::adapters::postgres::{Database, catalog};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::backup::Purpose;

/// The warehouse's tables, and what adopting would say of each: replaced where the source has it and its mode is full.
///
/// # Errors
/// A side cannot be read.
pub async fn list(config: &Config) -> Result<Vec<(TableName, Disposition)>> {
    two_databases(config).await?;
    let tools = Tools::find(config.replication.pg_bin_dir.as_deref()).await?;
    let source = Source::open(config, &tools, Purpose::Look).await?;
    let arriving: Vec<TableName> = source
        .archive
        .entries
        .iter()
        .filter(|entry| entry.kind.name() == "TABLE")
        .filter_map(Entry::table_name)
        .collect();
    let mut kept = Vec::new();
    for (written, _) in config.replication.modes.iter() {
        let table = resolve(written, &arriving)
            .map_err(|text| Error::new(ErrorKind::Configuration, format!("BACKUP_MODE: {text}")))?;
        kept.push(table);
    }
    let mut session = Database::new(&config.databases.warehouse, "warehouse")?.connect().await?;
    let objects = catalog::objects(&mut session).await?;
    session.close().await;
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    let before = match Ledger::open_existing(&warehouse).await? {
        Some(ledger) => ledger.adopted().await?.unwrap_or_default(),
        None => Vec::new(),
    };
    let disposition = |table: &TableName| {
        if before.contains(&(table.clone(), Disposition::Kept)) {
            return Disposition::Kept;
        }
        if arriving.contains(table) && !kept.contains(table) {
            Disposition::Replaced
        } else {
            Disposition::Kept
        }
    };
    let tables = objects.iter().filter(|object| object.is_table()).map(|object| object.name());
    Ok(tables.map(|table| (table.clone(), disposition(&table))).collect())
}

/// Writes the adoption to the ledger; the tables named in `keep` are kept even where the source has them. Call it with the warehouse's
/// lock held: a night that is at work decides by what was adopted.
///
/// # Errors
/// A name in `keep` is none of the warehouse's tables; a side cannot be reached.
pub async fn accept(
    config: &Config,
    ledger: &Ledger,
    keep: &[String],
) -> Result<Vec<(TableName, Disposition)>> {
    let mut tables = list(config).await?;
    let names: Vec<TableName> = tables.iter().map(|(table, _)| table.clone()).collect();
    for written in keep {
        let kept = resolve(written, &names).map_err(|text| {
            Error::new(
                ErrorKind::Configuration,
                format!("--keep: {}", text.replace("the source", "the warehouse")),
            )
        })?;
        tables
            .iter_mut()
            .filter(|(table, _)| *table == kept)
            .for_each(|(_, disposition)| *disposition = Disposition::Kept);
    }
    ledger.adopt(&tables).await?;
    Ok(tables)
}
