//! What is around the replaced objects at this moment: what stays and moves over, and what of others leans on them.

use std::collections::BTreeSet;

use crate::adapters::postgres::Session;
use crate::adapters::postgres::catalog::{self, Object, ObjectId};
use crate::adapters::postgres::generation::{self, aside_of};
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
    /// What stays in a replicated schema and moves over, each with its schema.
    pub(super) moving: Vec<(ObjectId, String)>,
}

impl Surroundings {
    /// Reads them; `stored` are the schemas that nobody reads.
    pub(super) async fn read(
        session: &mut Session,
        aside: &Aside,
        stored: &[String],
        may_replace: impl Fn(&Object) -> bool,
    ) -> Result<Self> {
        let mut objects = catalog::objects(session).await?;
        // What tables of the copy share with what is live stays, as what kept tables use.
        let is_incoming =
            |object: &Object| aside.stored().iter().any(|one| one.stored_as == object.schema_name);
        objects.retain(|object| {
            !stored.contains(&object.schema_name) || object.is_table() && is_incoming(object)
        });
        let mut dependencies = catalog::dependencies(session).await?;
        dependencies.retain(|dependency| !dependency.is_policy);
        let footprint = footprint(&objects, &dependencies, may_replace);
        let homes = aside.homes();
        if aside.moves_objects() {
            let inside = |object: &&Object| homes.contains(&object.schema_name);
            let (classes, oids): (Vec<i64>, Vec<i64>) =
                footprint.rebuilt.iter().map(|object| (object.class, object.oid)).unzip();
            // What belongs to strangers stays, and goes on reading the copy of before.
            let strangers: Vec<(i64, i64)> = catalog::recreations(session, &classes, &oids)
                .await?
                .into_iter()
                .filter(|again| !again.may_move)
                .map(|again| (again.class, again.oid))
                .collect();
            let rebuilt =
                footprint.rebuilt.iter().filter(|object| !strangers.contains(&(object.class, object.oid)));
            let outgoing: Vec<Object> =
                footprint.dropped.iter().chain(rebuilt).filter(inside).cloned().collect();
            let statistics = generation::statistics_of(session, &homes, outgoing.iter()).await?;
            let aside = aside.clone().with_outgoing(&outgoing, statistics);
            return Ok(Self { aside, objects, footprint, moving: Vec::new() });
        }
        let inside = |object: &&Object| homes.contains(&object.schema_name);
        let staying: Vec<&Object> = footprint.staying(&objects).filter(inside).collect();
        let mut moving = generation::extensions_in(session, &homes).await?;
        moving.extend(generation::statistics_of(session, &homes, staying.iter().copied()).await?);
        moving.extend(staying.iter().map(|object| (object.id(), object.schema_name.clone())));
        Ok(Self { aside: aside.clone(), objects, footprint, moving })
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

    /// The moves from the schemas that stepped aside to those that have the names now.
    pub(super) fn over(&self) -> &[(ObjectId, String)] {
        &self.moving
    }

    /// The moves back.
    pub(super) fn back(&self) -> Vec<(ObjectId, String)> {
        self.moving.iter().map(|(id, home)| (*id, aside_of(home))).collect()
    }
}
