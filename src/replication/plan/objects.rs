//! Which objects of the warehouse the night may replace, and which stand in its way (pure).

use std::collections::BTreeSet;

use super::{Finding, Plan, World, shorten};
use crate::adapters::ledger::Disposition;
use crate::adapters::postgres::archive::Entry;
use crate::adapters::postgres::catalog::Object;
use crate::adapters::postgres::ident;

impl Plan {
    /// Last night's objects, and at first contact what the operator accepted; never a table that is kept now.
    pub(super) fn find_replaceable(&mut self, entries: &[Entry], world: &World) {
        let arriving: BTreeSet<(Space, String, String)> = entries.iter().filter_map(arrives_as).collect();
        for object in &world.objects {
            let key = (object.kind.clone(), object.identity.clone());
            let name = object.name();
            let kept = object.is_table()
                && self.treatments.get(&name).is_some_and(|treatment| !treatment.is_loaded());
            let accepted = world.adopted.is_some()
                && arriving.contains(&place(object))
                && match world.disposition(&name) {
                    Some(disposition) => disposition == Disposition::Replaced,
                    // Views, types and functions that came with accepted tables.
                    None => world.brought.is_empty() && !object.is_table(),
                };
            if !kept && (world.brought.contains(&key) || accepted) {
                self.replaceable.insert(key);
            }
        }
    }

    pub(super) fn refuse_what_is_not_ours(&mut self, entries: &[Entry], world: &World) {
        let schemas: BTreeSet<&str> = self.treatments.keys().map(|table| table.schema.as_str()).collect();
        let arriving: BTreeSet<_> =
            entries.iter().filter(|entry| self.before.contains(&entry.id)).filter_map(arrives_as).collect();
        let stands_in_the_way = |object: &&Object| {
            (object.is_table() && schemas.contains(object.schema_name.as_str())
                || object.is_relation() && arriving.contains(&place(object)))
                && !world.content_tables.contains(&object.name())
        };
        let foreign: Vec<String> =
            world.objects.iter().filter(stands_in_the_way).map(|object| object.identity.clone()).collect();
        for schema in schemas.iter().filter(|schema| world.closed_schemas.contains(**schema)) {
            self.problems.push(Finding::new(
                format!("schema {schema}"),
                "the role may not create anything in this schema of the warehouse",
                format!("as its owner: GRANT CREATE ON SCHEMA {} TO the role", ident::ident(schema)),
            ));
        }
        if world.adopted.is_none() {
            if !foreign.is_empty() {
                let text = format!(
                    "it already has {} tables or views where the night makes its own: {}",
                    foreign.len(),
                    shorten(&foreign)
                );
                self.problems.push(Finding::new(
                    "warehouse",
                    text,
                    "if this is the right database, list and accept them: nightferry adopt",
                ));
            }
            return;
        }
        let collides = |object: &&Object| {
            // A type or function that stays because a kept table uses it is found later; only relations collide for sure.
            let key = place(object);
            object.is_relation() && !self.may_replace(object) && arriving.contains(&key)
        };
        let collisions = world.objects.iter().filter(collides).map(|object| {
            Finding::new(
                object.label(),
                "the source brings an object of this name, but this one is the warehouse's own",
                "rename it, or accept that it is replaced: nightferry adopt",
            )
        });
        let collisions: Vec<Finding> = collisions.collect();
        self.problems.extend(collisions);
    }
}

/// Names collide within a space: relations with relations, types with types, functions with functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::replication) enum Space {
    Relation,
    Type,
    Function,
    Other,
}

/// The space of an object's name.
pub(in crate::replication) fn space(object: &Object) -> Space {
    match object.kind.as_str() {
        "type" => Space::Type,
        "function" | "procedure" | "aggregate" => Space::Function,
        _ if object.is_relation() => Space::Relation,
        _ => Space::Other,
    }
}

/// Where an object of the warehouse is: its space, schema and name.
pub(in crate::replication) fn place(object: &Object) -> (Space, String, String) {
    (space(object), object.schema_name.clone(), object.object_name.clone())
}

/// Where the object of an entry will be.
pub(in crate::replication) fn arrives_as(entry: &Entry) -> Option<(Space, String, String)> {
    let space = match entry.kind.name() {
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" => Space::Relation,
        "TYPE" | "SHELL TYPE" | "DOMAIN" => Space::Type,
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => Space::Function,
        _ => return None,
    };
    Some((space, entry.schema.clone()?, entry.name.clone()))
}
