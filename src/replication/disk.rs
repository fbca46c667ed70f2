//! How much room there is in the warehouse, and how much the new copy will take: asked only where `WAREHOUSE_QUOTA` says
//! how much there may be, since no server tells.

use std::collections::BTreeSet;
use std::path::Path;

use super::full::source::Source;
use super::plan::{Plan, World};
use super::publishing::Room;
use crate::adapters::postgres::Session;
use crate::adapters::postgres::catalog::{self, TableSize};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;

/// What the warehouse takes on its server's disk.
#[derive(Debug)]
pub(super) struct Disk {
    quota: u64,
    used: u64,
    sizes: Vec<TableSize>,
}

impl Disk {
    /// Asks the warehouse; none without a quota.
    pub(super) async fn ask(session: &mut Session, quota: Option<u64>) -> Result<Option<Self>> {
        let Some(quota) = quota else { return Ok(None) };
        let used = positive(catalog::database_size(session).await?);
        Ok(Some(Self { quota, used, sizes: catalog::sizes(session).await? }))
    }

    /// What there is and what this source takes of it by this plan; none where it was not asked.
    ///
    /// # Errors
    /// The archive cannot be looked at.
    pub(super) async fn room(
        disk: Option<Self>,
        source: &Source,
        plan: &Plan,
        world: &World,
    ) -> Result<Option<Room>> {
        let Some(Self { quota, used, sizes }) = disk else { return Ok(None) };
        let objects = world.objects.iter().filter(|object| plan.may_replace(object));
        let replaceable: BTreeSet<TableName> = objects.map(|object| object.name()).collect();
        let replaced = total(&sizes, |size| replaceable.contains(&name(size)));
        let freed = total(&sizes, |size| world.stored_schemas.contains(&size.schema_name));
        let (need, is_lower_bound) = if source.is_live() {
            let carried = carried(source, plan);
            (total(&source.sizes, |size| carried.contains(&name(size))), false)
        } else {
            // An archive does not say; the copy of last night is the best guess, and less than its own size it never takes.
            let packed = bytes_of(&source.archive.path).await?;
            (packed.max(replaced), packed >= replaced)
        };
        Ok(Some(Room { quota, used, freed, replaced, need, is_lower_bound }))
    }
}

/// The tables that are loaded, and the materialized views that are made.
fn carried(source: &Source, plan: &Plan) -> BTreeSet<TableName> {
    let made = plan.before.iter().chain(&plan.after).filter_map(|id| source.archive.entry(*id));
    let views = made.filter(|entry| entry.kind.name() == "MATERIALIZED VIEW");
    plan.loaded().cloned().chain(views.filter_map(|entry| entry.table_name())).collect()
}

fn name(size: &TableSize) -> TableName {
    TableName::new(&size.schema_name, &size.table_name)
}

fn total(sizes: &[TableSize], counts: impl Fn(&TableSize) -> bool) -> u64 {
    sizes.iter().filter(|size| counts(size)).map(|size| positive(size.total_bytes)).sum()
}

/// Sizes are never negative.
fn positive(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

/// The size of an archive: of its file, or of the files of its folder.
async fn bytes_of(archive: &Path) -> Result<u64> {
    let unseen = |error| {
        Error::new(ErrorKind::Internal, format!("cannot look at archive {}", archive.display()))
            .because(error)
    };
    let found = tokio::fs::metadata(archive).await.map_err(unseen)?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    let mut files = tokio::fs::read_dir(archive).await.map_err(unseen)?;
    let mut bytes = 0;
    while let Some(file) = files.next_entry().await.map_err(unseen)? {
        bytes += file.metadata().await.map_err(unseen)?.len();
    }
    Ok(bytes)
}
