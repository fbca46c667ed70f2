//! Drops generations that nobody reads: the previous one when a night begins, and what a night left that did not end well.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::adapters::ledger::{Ledger, StoredSchema};
use crate::adapters::postgres::catalog::{self, Object};
use crate::adapters::postgres::generation;
use crate::adapters::postgres::ident::ident;
use crate::adapters::postgres::{Database, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::outcome::Skipped;
use crate::replication::full::footprint::{Footprint, footprint};
use crate::replication::full::leaving;
use crate::replication::plan::shorten;

/// A transaction of the server holds so many locks at most (max_locks_per_transaction): many tables go in several.
const TABLES_AT_ONCE: usize = 100;
/// How often a table is tried that somebody still reads.
const TURNS: u32 = 30;

/// Drops the stored generations with this state, or all of them. Gives what of others went with them.
///
/// # Errors
/// A table that stays uses something in them, somebody reads them, or the warehouse fails.
pub async fn clear(warehouse: &Database, ledger: &Ledger, state: Option<&str>) -> Result<Vec<Skipped>> {
    let stored = ledger.stored().await?;
    let mut generations: Vec<i64> = stored
        .iter()
        .filter(|schema| state.is_none_or(|state| schema.state == state))
        .map(|schema| schema.generation_id)
        .collect();
    generations.dedup();
    let mut lost = Vec::new();
    for generation in generations {
        let schemas: Vec<&StoredSchema> =
            stored.iter().filter(|schema| schema.generation_id == generation).collect();
        lost.extend(drop_generation(warehouse, ledger, generation, &schemas).await?);
    }
    Ok(lost)
}

async fn drop_generation(
    warehouse: &Database,
    ledger: &Ledger,
    generation: i64,
    schemas: &[&StoredSchema],
) -> Result<Vec<Skipped>> {
    let names: Vec<String> = schemas.iter().map(|schema| schema.stored_as.clone()).collect();
    let mut session = warehouse.connect().await?;
    session.execute("set search_path = ''; set lock_timeout = '2s'").await?;
    let objects = catalog::objects(&mut session).await?;
    let dependencies = catalog::dependencies(&mut session).await?;
    let going = footprint(&objects, &dependencies, |object| names.contains(&object.schema_name));
    refuse_what_stays(&going, &names)?;
    let lost = what_goes_along(&mut session, &going).await?;
    let tables: Vec<&Object> = going.dropped.iter().filter(|object| object.is_table()).collect();
    for some in tables.chunks(TABLES_AT_ONCE) {
        let list: Vec<&str> = some.iter().map(|table| table.identity.as_str()).collect();
        patiently(&mut session, &format!("drop table if exists {} cascade", list.join(", "))).await?;
    }
    let there = generation::there(&mut session, &names).await?;
    let drops = there.iter().map(|name| format!("drop schema {} cascade", ident(name)));
    for drop in drops.collect::<Vec<_>>() {
        patiently(&mut session, &drop).await?;
    }
    ledger.drop_generation(&mut session, generation).await?;
    session.close().await;
    let state = schemas.first().map_or("", |schema| schema.state.as_str());
    tracing::info!(generation, state, schemas = names.join(", "), "{}", events::GENERATION_DROPPED);
    Ok(lost)
}

/// A cascade that reaches a table which stays would take its columns.
fn refuse_what_stays(going: &Footprint, schemas: &[String]) -> Result<()> {
    let mut used: BTreeSet<String> = going.spared.iter().map(Object::label).collect();
    used.extend(going.conflicts.iter().map(|(_, object)| object.label()));
    if used.is_empty() {
        return Ok(());
    }
    let used: Vec<String> = used.into_iter().collect();
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "a copy that nobody reads any more ({}) cannot be dropped: tables that stay use {}",
            schemas.join(", "),
            shorten(&used)
        ),
    )
    .hint("change these tables so that they use the live one, then run the stage again"))
}

/// Views and keys of others on a copy that is not live: they go with it, and are named.
async fn what_goes_along(session: &mut Session, going: &Footprint) -> Result<Vec<Skipped>> {
    const REASON: &str = "it read a copy that is not live any more, and went with it";
    let definitions = catalog::recreations_of(session, &going.rebuilt).await?;
    let of = |object: &Object| {
        let it = definitions.iter().find(|one| one.id() == object.id());
        it.and_then(|one| one.definition.clone())
    };
    let objects = going.rebuilt.iter().chain(&going.lost);
    let mut lost: Vec<Skipped> = objects.map(|object| leaving::skipped(object, REASON, of(object))).collect();
    lost.extend(going.cut_foreign_keys.iter().map(|(from, to)| Skipped {
        object: format!("foreign key of {} to {}", from.label(), to.label()),
        reason: REASON.to_owned(),
        definition: None,
    }));
    Ok(lost)
}

/// Tries again while somebody still reads.
async fn patiently(session: &mut Session, statement: &str) -> Result<()> {
    for turn in 1.. {
        match session.execute(statement).await {
            Err(error) if error.kind() == ErrorKind::Timeout && turn < TURNS => {
                tracing::info!(turn, "somebody still reads a copy that is to be dropped");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            result => return result,
        }
    }
    Ok(())
}
