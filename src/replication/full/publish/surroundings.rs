//! What is around the replaced objects at this moment: what stays and moves over, and what of others leans on them.

use std::collections::BTreeSet;

use super::Incoming;
use crate::adapters::postgres::Session;
use crate::adapters::postgres::catalog::{self, Object, ObjectId, Recreation};
use crate::adapters::postgres::generation::{self, Entered, aside_of};
use crate::error::Result;
use crate::replication::full::aside::Aside;
use crate::replication::full::footprint::{Footprint, footprint};

/// The surroundings of a swap.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The copy, and how it changes places with what is there now.
    pub(super) aside: Aside,
    /// All objects but those of generations that nobody reads.
    pub(super) objects: Vec<Object>,
    /// What the swap means for them.
    pub(super) footprint: Footprint,
    /// How to make again what of others leans on them.
    pub(super) recreations: Vec<Recreation>,
    /// What stays in a replicated schema and moves over, each with its schema.
    pub(super) moving: Vec<(ObjectId, String)>,
}

impl Surroundings {
    /// Reads them; `stored` are the schemas that nobody reads.
    pub(super) async fn read(
        session: &mut Session,
        incoming: &Incoming<'_>,
        stored: &[String],
    ) -> Result<Self> {
        let aside = incoming.aside;
        let mut objects = catalog::objects(session).await?;
        // What tables of the copy share with what is live stays, as what kept tables use.
        let is_incoming =
            |object: &Object| aside.stored().iter().any(|one| one.stored_as == object.schema_name);
        objects.retain(|object| {
            !stored.contains(&object.schema_name) || object.is_table() && is_incoming(object)
        });
        let mut dependencies = catalog::dependencies(session).await?;
        dependencies.retain(|dependency| !dependency.is_policy);
        let footprint = footprint(&objects, &dependencies, |object| (incoming.may_replace)(object));
        let recreations = catalog::recreations_of(session, &footprint.rebuilt).await?;
        let homes = aside.homes();
        let inside = |object: &&Object| homes.contains(&object.schema_name);
        let mut surroundings =
            Self { aside: aside.clone(), objects, footprint, recreations, moving: Vec::new() };
        let Self { objects, footprint, recreations, .. } = &surroundings;
        if aside.moves_objects() {
            // What belongs to strangers stays, and goes on reading the copy of before.
            let is_ours = |object: &&Object| {
                recreations.iter().any(|again| again.id() == object.id() && again.may_move)
            };
            let rebuilt = footprint.rebuilt.iter().filter(is_ours);
            let outgoing: Vec<Object> =
                footprint.dropped.iter().chain(rebuilt).filter(inside).cloned().collect();
            let statistics = generation::statistics_of(session, &homes, outgoing.iter()).await?;
            surroundings.aside = surroundings.aside.with_outgoing(&outgoing, statistics);
            return Ok(surroundings);
        }
        let staying: Vec<&Object> = footprint.staying(objects).filter(inside).collect();
        let mut moving = generation::extensions_in(session, &homes).await?;
        moving.extend(generation::statistics_of(session, &homes, staying.iter().copied()).await?);
        moving.extend(staying.iter().map(|object| (object.id(), object.schema_name.clone())));
        surroundings.moving = moving;
        Ok(surroundings)
    }

    /// The relations that are replaced.
    pub(super) fn replaced_relations(&self) -> Vec<i64> {
        self.footprint.dropped.iter().filter(|object| object.is_relation()).map(|object| object.oid).collect()
    }

    /// Gives the copy the names that readers use, in the open transaction whose turn it is, with what stays beside it. The
    /// relations that move are locked already.
    pub(super) async fn enter(&self, session: &mut Session) -> Result<Entered> {
        let entered = generation::enter(session, self.aside.stored(), self.aside.way()).await?;
        generation::move_objects(session, &self.moving).await?;
        Ok(entered)
    }

    /// Takes the names back, and what stays; what was made goes along with the copy.
    pub(super) async fn leave(&self, session: &mut Session, entered: Entered, made: &[Object]) -> Result<()> {
        let back: Vec<(ObjectId, String)> =
            self.moving.iter().map(|(id, home)| (*id, aside_of(home))).collect();
        generation::move_objects(session, &back).await?;
        self.aside.give_back(session, entered, made).await
    }

    /// The relations that move, over or away: their readers are waited for.
    pub(super) fn moving_relations(&self) -> Vec<i64> {
        if self.aside.moves_objects() {
            return self.aside.outgoing_relations().to_vec();
        }
        let moving: BTreeSet<ObjectId> = self.moving.iter().map(|(id, _)| *id).collect();
        let is_moving = |object: &&Object| object.is_relation() && moving.contains(&object.id());
        self.objects.iter().filter(is_moving).map(|object| object.oid).collect()
    }
}
