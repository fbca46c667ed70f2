//! What a swap would find, read without a lock and without a change: for those who ask before they swap.

use std::collections::{BTreeMap, BTreeSet};

use super::dependents;
use super::recreating::Making;
use super::surroundings::Surroundings;
use super::{Ground, Incoming};
use crate::adapters::postgres::catalog::{Object, ObjectId};
use crate::error::Result;
use crate::outcome::Skipped;
use crate::replication::full::aside::begin_script;
use crate::replication::plan::{Space, space};

/// What a swap would find.
#[derive(Debug)]
pub struct Preview {
    /// The objects of the replicated schemas that stay, and move over.
    pub staying: Vec<Object>,
    /// What leans on the copy and is there for the incoming generation already.
    pub following: Vec<String>,
    /// What leans on the copy and has to be made again; whether it can be is known when it is tried.
    pub again: Vec<String>,
    /// What cannot come along.
    pub broken: Vec<Skipped>,
    /// What stays, but has a name that the incoming generation has too.
    pub collisions: Vec<Object>,
    /// Tables that stay, but are a part of one that goes: (the one that stays, the other).
    pub conflicts: Vec<(Object, Object)>,
}

/// Looks at what a swap would find.
///
/// # Errors
/// The warehouse fails.
pub async fn preview(ground: &Ground<'_>, incoming: &Incoming<'_>) -> Result<Preview> {
    let (stored, waiting) = dependents::stored(ground, incoming).await?;
    let mut session = begin_script(ground.warehouse).await?;
    let surroundings = Surroundings::read(&mut session, incoming, &stored).await?;
    let mut making = Making::new(surroundings);
    let present = dependents::present(&mut session, incoming.aside, &waiting).await?;
    making.leave_ready_ones(&present);
    making.bring_back(&mut session, &present).await?;
    session.close().await;

    let moving: BTreeMap<ObjectId, &String> =
        making.surroundings.moving.iter().map(|(id, home)| (*id, home)).collect();
    let staying = making.surroundings.objects.iter().filter(|object| moving.contains_key(&object.id()));
    let staying: Vec<Object> = staying.cloned().collect();
    let taken: BTreeSet<(Space, &str, &str)> = present
        .iter()
        .map(|(object, home)| (space(object), home.as_str(), object.object_name.as_str()))
        .filter(|(space, ..)| *space != Space::Other)
        .collect();
    let has_its_name = |object: &&Object| {
        taken.contains(&(space(object), object.schema_name.as_str(), object.object_name.as_str()))
    };
    let collisions = staying.iter().filter(has_its_name).cloned().collect();
    let returning = making.returning.iter();
    let returning = returning.map(|(object, home)| format!("{} {home}.{}", object.kind, object.object_name));
    Ok(Preview {
        following: making.ready.iter().map(|(object, _)| object.label()).chain(returning).collect(),
        again: making.again.iter().map(|(object, _)| object.label()).collect(),
        broken: making.broken,
        conflicts: making.surroundings.footprint.conflicts,
        collisions,
        staying,
    })
}
