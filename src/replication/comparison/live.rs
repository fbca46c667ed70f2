//! The warehouse against the source as it is now.

use std::collections::BTreeSet;

use super::objects::{self, Found, LeftOut, Rules};
use super::scope::{Known, Scope, scope};
use super::tables::{self, Rows, Task};
use super::{Comparison, Reference, Remark, Request, assemble, largest_first, oids};
use crate::adapters::ledger::{Ledger, ObjectRow};
use crate::adapters::postgres::catalog::{self, Object, ObjectId};
use crate::adapters::postgres::columns::{RelationKind, relations};
use crate::adapters::postgres::{Database, comparing};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::moment::Moment;

/// Compares with the source as it is now.
pub(super) async fn compare(
    config: &Config,
    request: &Request,
    ledger: Option<&Ledger>,
    warehouse: Database,
) -> Result<Comparison> {
    let settings = &config.replication;
    let url = config.databases.source.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Configuration, "SOURCE_DATABASE_URL: not set, but BACKUP_SOURCE is live")
    })?;
    let (adopted, written) = match ledger {
        Some(ledger) => (ledger.adopted().await?.unwrap_or_default(), ledger.written().await?),
        None => (Vec::new(), None),
    };
    let mut source = Moment::of(Database::new(url, "source")?).await?;
    let there = catalog::objects(&mut source.session).await?;
    let known = Known {
        tables: there.iter().filter(|object| object.is_table()).map(Object::name).collect(),
        partitions: comparing::partitions(&mut source.session).await?,
        adopted: &adopted,
        who_has: "the source has",
    };
    let scope = scope(&known, &settings.modes, &request.tables)?;
    let mut warehouse = Moment::of(warehouse).await?;
    let here = catalog::objects(&mut warehouse.session).await?;

    let (source_oids, warehouse_oids) = (oids(&there), oids(&here));
    let partitioned: BTreeSet<TableName> = relations(&mut source.session)
        .await?
        .into_iter()
        .filter(|relation| relation.kind == RelationKind::PartitionedTable)
        .map(|relation| relation.name)
        .collect();
    let task = |table: &TableName| Task {
        table: table.clone(),
        source: source_oids.get(table).copied(),
        warehouse: warehouse_oids.get(table).copied(),
        rows: if partitioned.contains(table) { Rows::InPartitions } else { Rows::Counted },
    };
    let mut tasks: Vec<Task> = scope.compared.iter().map(task).collect();
    largest_first(&mut tasks, &catalog::sizes(&mut source.session).await?);

    let left_out = LeftOut::new(written.as_ref().map_or(&[], |written| &written.skipped));
    let rules =
        Rules { foreign_keys: settings.foreign_keys, treatments: &scope.treatments, left_out: &left_out };
    let found = objects_of(&mut source, &mut warehouse, (&there, &here), &scope, &rules, request).await?;
    let answers = tables::compare(Some(source), warehouse, tasks, request.sample, settings.jobs).await?;
    let mut compared = assemble(Reference::Source, request, answers, found, scope);
    if written.is_none() {
        let text = "the ledger knows no full stage that ended well and is live: what a night leaves out shows as missing";
        compared.notes.insert(0, Remark::new("warehouse", text));
    }
    Ok(compared)
}

/// Compares what belongs to the tables; views and sequences only where all tables are compared.
async fn objects_of(
    source: &mut Moment,
    warehouse: &mut Moment,
    (there, here): (&[Object], &[Object]),
    scope: &Scope,
    rules: &Rules<'_>,
    request: &Request,
) -> Result<Found> {
    let schemas: BTreeSet<&str> = scope.compared.iter().map(|table| table.schema.as_str()).collect();
    let of_view = |object: &Object| {
        request.tables.is_empty()
            && object.kind == "materialized view"
            && schemas.contains(object.schema_name.as_str())
    };
    let has = |objects: &[Object], object: &Object| {
        objects.iter().any(|other| other.kind == object.kind && other.identity == object.identity)
    };
    // A table that is missing altogether is named once, not once more for each of its indexes.
    let wanted = |object: &&Object| {
        (object.is_table() && scope.compared.contains(&object.name()) || of_view(object))
            && has(there, object)
            && has(here, object)
    };
    let oids =
        |objects: &[Object]| objects.iter().filter(wanted).map(|object| object.oid).collect::<Vec<_>>();
    let expected = catalog::definitions(&mut source.session, &oids(there)).await?;
    let present = catalog::definitions(&mut warehouse.session, &oids(here)).await?;
    let mut found = objects::definitions(&expected, &present, rules);
    if request.tables.is_empty() {
        let kept: BTreeSet<ObjectId> = there
            .iter()
            .filter(|object| object.is_table() && !scope.compared.contains(&object.name()))
            .map(Object::id)
            .collect();
        // A sequence leans on the table that it belongs to.
        let parts_of_kept: BTreeSet<ObjectId> = catalog::dependencies(&mut source.session)
            .await?
            .into_iter()
            .filter(|dependency| kept.contains(&dependency.to))
            .map(|dependency| dependency.from)
            .collect();
        let is_compared =
            |object: &&Object| object.kind != "sequence" || !parts_of_kept.contains(&object.id());
        let expected = there.iter().filter(is_compared).map(ObjectRow::from);
        found.extend(objects::relations(expected, here, &schemas, rules.left_out));
    }
    Ok(found)
}
