//! What leans on the replaced objects, made again over the incoming generation.

use std::collections::BTreeSet;

use super::patience::Patience;
use super::recreating::Making;
use super::surroundings::Surroundings;
use super::{Ground, Incoming};
use crate::adapters::ledger::{ObjectRow, StoredSchema};
use crate::adapters::postgres::catalog::{self, KeyOnto, Object, ObjectId, PolicyOnto, PublicationOnto};
use crate::adapters::postgres::generation::{self, Stored, aside_of};
use crate::adapters::postgres::ident;
use crate::adapters::postgres::{Database, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Skipped;
use crate::replication::full::aside::{Aside, begin_script};
use crate::replication::full::leaving::{attempt, attempt_or_wait};

/// Everything that the exchange moves and makes.
#[derive(Debug)]
pub(super) struct Dependents {
    pub(super) surroundings: Surroundings,
    /// Objects of others outside the replicated schemas that go, each with its schema.
    pub(super) going: Vec<(ObjectId, String)>,
    /// The same, made again, that come.
    pub(super) coming: Vec<(ObjectId, String)>,
    /// Where those wait: schema by schema.
    pub(super) outside: Vec<Stored>,
    pub(super) keys: Vec<KeyOnto>,
    pub(super) policies: Vec<PolicyOnto>,
    pub(super) publications: Vec<PublicationOnto>,
    pub(super) broken: Vec<Skipped>,
    /// What was made here, in order.
    made: Vec<ObjectId>,
    /// Of that, the materialized views to fill.
    to_fill: Vec<ObjectId>,
    /// How everything else stood, outside the schemas that nobody reads.
    pub(super) fingerprint: String,
    pub(super) unread: Vec<String>,
    /// The grants on what goes.
    grants: Vec<String>,
}

impl Dependents {
    /// The relations that the exchange locks; with those of the outgoing generation, whoever reads them is waited for.
    pub(super) fn relations(&self, with_replaced: bool) -> Vec<i64> {
        let going: BTreeSet<ObjectId> = self.going.iter().map(|(id, _)| *id).collect();
        let mut relations = self.surroundings.moving_relations();
        let objects = self.surroundings.objects.iter();
        relations.extend(objects.filter(|o| o.is_relation() && going.contains(&o.id())).map(|o| o.oid));
        relations.extend(self.keys.iter().map(|key| key.relation));
        relations.extend(self.policies.iter().map(|policy| policy.relation));
        if with_replaced {
            let replaced = &self.surroundings.footprint.dropped;
            let is_read = |object: &&Object| object.is_table() || object.kind.ends_with("view");
            relations.extend(replaced.iter().filter(is_read).map(|object| object.oid));
        }
        relations.sort_unstable();
        relations.dedup();
        relations
    }
}

/// Makes the dependents. Tried again while somebody holds what must be locked for a moment.
pub(super) async fn make(ground: &Ground<'_>, incoming: &Incoming<'_>) -> Result<Dependents> {
    let mut patience = Patience::new(ground.settings);
    loop {
        let mut relations = Vec::new();
        match try_to_make(ground, incoming, &patience, &mut relations).await {
            Err(error) => patience.wait(error, ground.warehouse, &relations).await?,
            made => return made,
        }
    }
}

async fn try_to_make(
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
    patience: &Patience,
    relations: &mut Vec<i64>,
) -> Result<Dependents> {
    let aside = incoming.aside;
    let (stored, waiting) = stored(ground, incoming).await?;
    let mut session = begin_script(ground.warehouse).await?;
    let before = generation::fingerprint(&mut session, &stored).await?;
    let surroundings = Surroundings::read(&mut session, incoming, &stored).await?;
    if let Some((kept, replaced)) = surroundings.footprint.conflicts.first() {
        return Err(Error::new(
            ErrorKind::Refused,
            format!(
                "{} stays but is now a part of {}, which the night replaces",
                kept.label(),
                replaced.label()
            ),
        )
        .hint("yesterday's copy stays live; detach it, then nightferry restart full-replication"));
    }
    let replaced = surroundings.replaced_relations();
    let homes = aside.homes();
    let keys = catalog::foreign_keys_onto(&mut session, &replaced).await?;
    let policies = catalog::policies_onto(&mut session, &replaced).await?;
    let publications = catalog::publications_onto(&mut session, &replaced, &homes).await?;
    let there = generation::there(&mut session, &homes).await?;
    let grants = catalog::grants(&mut session, &replaced).await?;
    let mut making = Making::new(surroundings);
    let present = present(&mut session, aside, &waiting).await?;
    making.leave_ready_ones(&present);
    making.bring_back(&mut session, &present).await?;

    *relations = making.surroundings.moving_relations();
    relations.extend(making.going().iter().filter(|(o, _)| o.is_relation()).map(|(object, _)| object.oid));
    generation::take_turn(&mut session).await?;
    patience.lock(&mut session, relations).await?;
    if generation::fingerprint(&mut session, &stored).await? != before {
        return Err(Error::new(ErrorKind::Timeout, "somebody changes what leans on the copy at this moment"));
    }
    let entered = making.surroundings.enter(&mut session).await?;
    making.step_aside(&mut session).await?;
    making.recreate(&mut session).await?;
    let aside = &making.surroundings.aside;
    for home in &there {
        for carried in catalog::carry_over(&mut session, &aside_of(home), home).await? {
            // A schema that stays has what was said of it.
            let of_schema =
                ["schema ", "default privileges "].iter().any(|what| carried.object.starts_with(what));
            if of_schema && aside.moves_objects() {
                continue;
            }
            if let Err(error) = attempt_or_wait(&mut session, &carried.statement).await? {
                making.broken.push(Skipped {
                    object: carried.object,
                    reason: format!("what was said of it cannot be said of the new one: {error}"),
                    definition: Some(carried.statement),
                });
            }
        }
    }
    let outside = making.step_back(&mut session, waiting).await?;
    let made = making.made_inside(&mut session).await?;
    making.surroundings.leave(&mut session, entered, &made).await?;
    ground.ledger.store_schemas(&mut session, incoming.generation, &outside, false).await?;
    let unread: Vec<String> =
        stored.into_iter().chain(outside.iter().map(|one| one.stored_as.clone())).collect();
    let fingerprint = generation::fingerprint(&mut session, &unread).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(Dependents {
        going: making.going_ids(),
        coming: making.coming,
        outside,
        keys,
        policies,
        publications,
        broken: making.broken,
        made: making.made,
        to_fill: making.to_fill,
        fingerprint,
        unread,
        grants,
        surroundings: making.surroundings,
    })
}

/// The schemas that nobody reads; and of those, where dependents of the incoming generation wait outside the replicated ones.
pub(super) async fn stored(
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
) -> Result<(Vec<String>, Vec<Stored>)> {
    let stored = ground.ledger.stored().await?;
    let waiting = stored.iter().filter(|one| one.generation_id == incoming.generation && !one.is_replicated);
    let waiting = waiting.map(StoredSchema::names).collect();
    Ok((stored.into_iter().map(|one| one.stored_as).collect(), waiting))
}

/// What is there of the incoming generation, each with the schema that readers know: one that was live before has its
/// dependents.
pub(super) async fn present(
    session: &mut Session,
    aside: &Aside,
    waiting: &[Stored],
) -> Result<Vec<(Object, String)>> {
    let home = |schema: &str| {
        let stored = aside.stored().iter().chain(waiting).find(|one| one.stored_as == schema);
        stored.map(|one| one.home.clone())
    };
    let objects = catalog::objects(session).await?;
    Ok(objects
        .into_iter()
        .filter_map(|object| home(&object.schema_name).map(|home| (object, home)))
        .collect())
}

/// Fills the materialized views that were made.
pub(super) async fn refresh(warehouse: &Database, dependents: &mut Dependents) -> Result<()> {
    if dependents.to_fill.is_empty() {
        return Ok(());
    }
    let aside = dependents.surroundings.aside.clone();
    let mut session = warehouse.connect().await?;
    session.execute("set search_path = ''").await?;
    let objects = catalog::objects(&mut session).await?;
    for id in &dependents.to_fill {
        let Some(view) = objects.iter().find(|object| object.id() == *id) else { continue };
        if let Err(error) = refresh_one(&mut session, warehouse, &aside, view).await? {
            if error.kind().is_retryable() {
                return Err(error);
            }
            dependents.broken.push(Skipped {
                object: format!("rows of materialized view {}", view.name().name),
                reason: error.to_string(),
                definition: None,
            });
        }
    }
    session.close().await;
    Ok(())
}

/// Fills one. What it calls looks names up now, and should find the copy; the tables that stay are not beside it yet, so
/// that what it calls may also fail for that.
async fn refresh_one(
    session: &mut Session,
    warehouse: &Database,
    aside: &Aside,
    view: &Object,
) -> Result<Result<()>> {
    if aside.has_functions() {
        let entered = aside.begin_on(session, warehouse).await?;
        let home = aside.home(view.name()).unwrap_or_else(|| view.name());
        match attempt(session, &format!("refresh materialized view {}", ident::table(&home))).await? {
            Ok(()) => {
                aside.leave(session, entered, &[]).await?;
                session.execute("commit").await?;
                return Ok(Ok(()));
            }
            Err(error) => {
                session.execute("rollback").await?;
                if error.kind() != ErrorKind::Schema {
                    return Ok(Err(error));
                }
            }
        }
    }
    Ok(session.execute(&format!("refresh materialized view {}", view.identity)).await)
}

/// After something changed in the warehouse: whether it was nothing that was made again. Then its state of now is remembered.
pub(super) async fn still_fit(
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
    dependents: &mut Dependents,
) -> Result<bool> {
    let mut session = begin_script(ground.warehouse).await?;
    let fingerprint = generation::fingerprint(&mut session, &dependents.unread).await?;
    session.execute("commit").await?;
    session.close().await;
    let fit = is_complete(ground, incoming, dependents).await?;
    if fit {
        dependents.fingerprint = fingerprint;
    }
    Ok(fit)
}

/// Whether what leans on the copy is still what it was when it was made again: while that went on, somebody may have made more.
pub(super) async fn is_complete(
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
    dependents: &Dependents,
) -> Result<bool> {
    let mut session = begin_script(ground.warehouse).await?;
    let now = Surroundings::read(&mut session, incoming, &dependents.unread).await?;
    let grants = catalog::grants(&mut session, &now.replaced_relations()).await?;
    session.close().await;
    let ids = |objects: &[Object]| objects.iter().map(Object::id).collect::<BTreeSet<_>>();
    let then = &dependents.surroundings;
    Ok(grants == dependents.grants
        && now.recreations == then.recreations
        && ids(&now.footprint.rebuilt) == ids(&then.footprint.rebuilt)
        && ids(&now.footprint.lost) == ids(&then.footprint.lost)
        && now.moving.iter().collect::<BTreeSet<_>>() == then.moving.iter().collect::<BTreeSet<_>>())
}

/// Drops what was made: somebody changed what it was made from.
pub(super) async fn discard(ground: &Ground<'_>, dependents: &Dependents) -> Result<()> {
    let mut session = begin_script(ground.warehouse).await?;
    let objects = catalog::objects(&mut session).await?;
    let made: BTreeSet<ObjectId> = dependents.made.iter().copied().collect();
    for object in objects.iter().filter(|object| made.contains(&object.id())) {
        session.execute(&format!("drop {} if exists {} cascade", object.kind, object.identity)).await?;
    }
    session.execute("commit").await?;
    session.close().await;
    Ok(())
}

/// The objects that go, as the ledger writes them.
pub(super) fn replaced_rows(dependents: &Dependents) -> Vec<ObjectRow> {
    dependents.surroundings.footprint.dropped.iter().map(ObjectRow::from).collect()
}
