//! What leans on the replaced objects, made again in one transaction in which everything has its name and place.

use std::collections::BTreeSet;

use super::surroundings::Surroundings;
use crate::adapters::postgres::Session;
use crate::adapters::postgres::catalog::{self, Object, ObjectId, Recreation};
use crate::adapters::postgres::generation::{self, Stored, aside_of};
use crate::adapters::postgres::ident::ident;
use crate::error::Result;
use crate::outcome::Skipped;
use crate::replication::full::leaving::{self, attempt_or_wait, unless_locked};

/// What is made again in one transaction.
pub(super) struct Making {
    pub(super) surroundings: Surroundings,
    pub(super) homes: Vec<String>,
    pub(super) again: Vec<(Object, Recreation)>,
    /// Of these, what is there already: (the old one, the ready one).
    pub(super) ready: Vec<(Object, ObjectId)>,
    /// What waits outside the replicated schemas and readers do not have: it could not come along when its generation left.
    pub(super) returning: Vec<(Object, String)>,
    pub(super) coming: Vec<(ObjectId, String)>,
    pub(super) made: Vec<ObjectId>,
    pub(super) to_fill: Vec<ObjectId>,
    pub(super) broken: Vec<Skipped>,
}

impl Making {
    pub(super) fn new(surroundings: Surroundings) -> Self {
        let footprint = &surroundings.footprint;
        let mut again = Vec::new();
        let mut broken: Vec<Skipped> =
            footprint.lost.iter().map(|object| leaving::skipped(object, leaving::LOST, None)).collect();
        for object in &footprint.rebuilt {
            match surroundings.recreations.iter().find(|again| again.id() == object.id()) {
                Some(recreation) if recreation.may_move => again.push((object.clone(), recreation.clone())),
                Some(recreation) => {
                    let reason = format!(
                        "it belongs to {}, or this role may not create in its schema: it goes on reading the previous copy, and goes with it",
                        recreation.owner
                    );
                    broken.push(leaving::skipped(object, &reason, recreation.definition.clone()));
                }
                None => {}
            }
        }
        Self {
            homes: surroundings.aside.homes(),
            surroundings,
            again,
            ready: Vec::new(),
            returning: Vec::new(),
            coming: Vec::new(),
            made: Vec::new(),
            to_fill: Vec::new(),
            broken,
        }
    }

    /// Leaves out what the incoming generation has already.
    pub(super) fn leave_ready_ones(&mut self, present: &[(Object, String)]) {
        let (homes, ready, coming) = (&self.homes, &mut self.ready, &mut self.coming);
        self.again.retain(|(object, _)| {
            let is_it = |(other, home): &&(Object, String)| {
                other.kind == object.kind
                    && *home == object.schema_name
                    && other.object_name == object.object_name
            };
            let Some((found, home)) = present.iter().find(is_it) else { return true };
            if !homes.contains(home) {
                coming.push((found.id(), home.clone()));
            }
            ready.push((object.clone(), found.id()));
            false
        });
    }

    /// What goes outside the replicated schemas; within them, it goes with its schema.
    pub(super) fn going(&self) -> Vec<(Object, String)> {
        let again = self.again.iter().map(|(object, _)| object);
        again
            .chain(self.ready.iter().map(|(object, _)| object))
            .filter(|object| !self.homes.contains(&object.schema_name))
            .map(|object| (object.clone(), object.schema_name.clone()))
            .collect()
    }

    /// The same by their addresses.
    pub(super) fn going_ids(&self) -> Vec<(ObjectId, String)> {
        self.going().into_iter().map(|(object, schema)| (object.id(), schema)).collect()
    }

    /// Takes the old ones out of the way; the ready ones take their places, so that others can lean on them.
    pub(super) async fn step_aside(&self, session: &mut Session) -> Result<()> {
        give_way(session, &self.going_ids(), &self.coming).await
    }

    pub(super) async fn recreate(&mut self, session: &mut Session) -> Result<()> {
        let before: BTreeSet<ObjectId> = catalog::objects(session).await?.iter().map(Object::id).collect();
        let mut made = Vec::new();
        // All in one go: what fails is found one by one.
        let script: Option<Vec<String>> =
            self.again.iter().map(|(_, again)| leaving::script(again)).collect();
        let in_one_go = match script {
            Some(script) if !script.is_empty() => {
                attempt_or_wait(session, &script.join(";\n")).await?.is_ok()
            }
            _ => false,
        };
        for (object, again) in &self.again {
            let result =
                if in_one_go { Ok(()) } else { unless_locked(leaving::make(session, again).await?)? };
            match result {
                Ok(()) => made.push((object.clone(), again.is_populated)),
                Err(error) => {
                    let reason = format!("it leans on a replaced object and cannot come back: {error}");
                    self.broken.push(leaving::skipped(object, &reason, again.definition.clone()));
                }
            }
        }
        let now = catalog::objects(session).await?;
        for (object, is_populated) in made {
            let is_it = |other: &&Object| {
                !before.contains(&other.id())
                    && other.kind == object.kind
                    && other.identity == object.identity
            };
            let Some(found) = now.iter().find(is_it) else { continue };
            self.made.push(found.id());
            if is_populated {
                self.to_fill.push(found.id());
            }
            if !self.homes.contains(&object.schema_name) {
                self.coming.push((found.id(), object.schema_name.clone()));
            }
        }
        Ok(())
    }

    /// What was made in the replicated schemas.
    pub(super) async fn made_inside(&self, session: &mut Session) -> Result<Vec<Object>> {
        let mut objects = catalog::objects(session).await?;
        objects.retain(|object| self.made.contains(&object.id()) && self.homes.contains(&object.schema_name));
        Ok(objects)
    }

    /// Puts the new ones where nobody reads them, and the old ones back.
    pub(super) async fn step_back(
        &self,
        session: &mut Session,
        mut waiting: Vec<Stored>,
    ) -> Result<Vec<Stored>> {
        let going = self.going_ids();
        let schemas = schemas_of(&going);
        for schema in &schemas {
            if waiting.iter().all(|one| one.home != *schema) {
                let next = Stored::next(schema);
                session.execute(&format!("create schema {}", ident(&next.stored_as))).await?;
                waiting.push(next);
            }
        }
        let place = |home: &String| {
            waiting
                .iter()
                .find(|one| one.home == *home)
                .map_or_else(|| home.clone(), |one| one.stored_as.clone())
        };
        let away: Vec<(ObjectId, String)> = self.coming.iter().map(|(id, home)| (*id, place(home))).collect();
        generation::move_objects(session, &away).await?;
        generation::move_objects(session, &going).await?;
        for schema in &schemas {
            session.execute(&format!("drop schema {}", ident(&aside_of(schema)))).await?;
        }
        Ok(waiting)
    }
}

/// The schemas of these objects.
pub(super) fn schemas_of(objects: &[(ObjectId, String)]) -> BTreeSet<String> {
    objects.iter().map(|(_, schema)| schema.clone()).collect()
}

/// Takes what goes out of its schemas, and puts what comes into them.
pub(super) async fn give_way(
    session: &mut Session,
    going: &[(ObjectId, String)],
    coming: &[(ObjectId, String)],
) -> Result<()> {
    for schema in schemas_of(going) {
        session.execute(&format!("create schema {}", ident(&aside_of(&schema)))).await?;
    }
    let away: Vec<(ObjectId, String)> = going.iter().map(|(id, schema)| (*id, aside_of(schema))).collect();
    generation::move_objects(session, &away).await?;
    generation::move_objects(session, coming).await
}
