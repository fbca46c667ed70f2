//! What replacing objects in place takes away, and what must come back (pure).
//!
//! A night may only drop what the last night brought, or what an operator accepted as replaced. Everything else in the
//! warehouse stays; what of it leans on a dropped object is found here, so that it is named, made again, or spared.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::adapters::postgres::catalog::{Dependency, Object, ObjectId};

/// What a night in place does to a warehouse.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Dropped, to be made again from the archive.
    pub dropped: Vec<Object>,
    /// Replaceable, but a table that stays uses it: it stays too, and the archive's is not made.
    pub spared: Vec<Object>,
    /// Views and functions of others that lean on dropped objects: made again at once, in this order.
    pub rebuilt: Vec<Object>,
    /// What leans on dropped objects and cannot be made again.
    pub lost: Vec<Object>,
    /// Tables that stay whose foreign keys to dropped tables go: (the table, the one it refers to).
    pub cut_foreign_keys: Vec<(Object, Object)>,
    /// Tables that stay but are a part or a child of a dropped table: the night cannot go on.
    pub conflicts: Vec<(Object, Object)>,
}

impl Footprint {
    /// Of all objects, those that are neither dropped nor made again nor lost.
    pub(super) fn staying<'a>(&self, objects: &'a [Object]) -> impl Iterator<Item = &'a Object> + use<'a> {
        let going: BTreeSet<ObjectId> =
            self.dropped.iter().chain(&self.rebuilt).chain(&self.lost).map(Object::id).collect();
        objects.iter().filter(move |object| !going.contains(&object.id()))
    }
}

/// Decides what replacing the `replaceable` objects means for all the others.
pub(super) fn footprint(
    objects: &[Object],
    dependencies: &[Dependency],
    replaceable: impl Fn(&Object) -> bool,
) -> Footprint {
    let graph = Graph::new(objects, dependencies);
    let mut dropped: BTreeSet<ObjectId> =
        objects.iter().filter(|object| replaceable(object)).map(Object::id).collect();
    let mut footprint = Footprint::default();
    let staying: Vec<&Object> =
        objects.iter().filter(|object| object.is_table() && !dropped.contains(&object.id())).collect();
    for table in staying {
        graph.spare(table, &mut dropped, &mut footprint);
    }
    for (from, to) in &graph.foreign_keys {
        if dropped.contains(to) && !dropped.contains(from) {
            footprint.cut_foreign_keys.push((graph.object(*from), graph.object(*to)));
        }
    }
    let leaning = graph.leaning_on(&dropped);
    for object in graph.in_order(&leaning) {
        let again = matches!(object.kind.as_str(), "view" | "materialized view" | "function" | "procedure");
        if again {
            footprint.rebuilt.push(object)
        } else if !object.is_table() {
            footprint.lost.push(object)
        }
    }
    footprint.dropped = dropped.iter().map(|id| graph.object(*id)).collect();
    footprint
}

struct Graph<'a> {
    objects: HashMap<ObjectId, &'a Object>,
    uses: BTreeMap<ObjectId, Vec<ObjectId>>,
    used_by: BTreeMap<ObjectId, Vec<ObjectId>>,
    foreign_keys: Vec<(ObjectId, ObjectId)>,
}

impl<'a> Graph<'a> {
    fn new(objects: &'a [Object], dependencies: &[Dependency]) -> Self {
        let objects: HashMap<ObjectId, &Object> =
            objects.iter().map(|object| (object.id(), object)).collect();
        let mut graph =
            Self { objects, uses: BTreeMap::new(), used_by: BTreeMap::new(), foreign_keys: Vec::new() };
        for dependency in dependencies {
            let (from, to) = (dependency.from, dependency.to);
            if !graph.objects.contains_key(&from) || !graph.objects.contains_key(&to) {
                continue;
            }
            if dependency.is_foreign_key {
                graph.foreign_keys.push((from, to));
            } else {
                graph.uses.entry(from).or_default().push(to);
                graph.used_by.entry(to).or_default().push(from);
            }
        }
        graph
    }

    fn object(&self, id: ObjectId) -> Object {
        self.objects[&id].clone()
    }

    /// Takes what a staying table uses out of the dropped set, through everything that uses something itself.
    fn spare(&self, table: &Object, dropped: &mut BTreeSet<ObjectId>, footprint: &mut Footprint) {
        let mut open = vec![table.id()];
        let mut seen = HashSet::from([table.id()]);
        // A sequence that is owned by the table would go or stay with it; nothing in the table says that it uses it.
        for owned in self.used_by.get(&table.id()).into_iter().flatten() {
            if self.objects[owned].kind == "sequence" && dropped.remove(owned) {
                footprint.spared.push(self.objects[owned].clone());
            }
        }
        while let Some(id) = open.pop() {
            for used in self.uses.get(&id).into_iter().flatten().filter(|used| seen.insert(**used)) {
                let object = self.objects[used];
                if dropped.contains(used) && (object.is_table() || object.kind.ends_with("view")) {
                    footprint.conflicts.push((table.clone(), object.clone()));
                    continue;
                }
                if dropped.remove(used) {
                    footprint.spared.push(object.clone());
                }
                open.push(*used);
            }
        }
    }

    fn leaning_on(&self, dropped: &BTreeSet<ObjectId>) -> BTreeSet<ObjectId> {
        let mut leaning = BTreeSet::new();
        let mut open: Vec<ObjectId> = dropped.iter().copied().collect();
        while let Some(id) = open.pop() {
            for user in self.used_by.get(&id).into_iter().flatten() {
                if !dropped.contains(user) && !self.objects[user].is_table() && leaning.insert(*user) {
                    open.push(*user);
                }
            }
        }
        leaning
    }

    /// The objects with everything they use in front of them.
    fn in_order(&self, ids: &BTreeSet<ObjectId>) -> Vec<Object> {
        fn visit(
            graph: &Graph<'_>,
            id: ObjectId,
            ids: &BTreeSet<ObjectId>,
            done: &mut HashSet<ObjectId>,
            out: &mut Vec<Object>,
        ) {
            if !ids.contains(&id) || !done.insert(id) {
                return;
            }
            for used in graph.uses.get(&id).into_iter().flatten() {
                visit(graph, *used, ids, done, out);
            }
            out.push(graph.object(id));
        }
        let (mut done, mut out) = (HashSet::new(), Vec::new());
        for id in ids {
            visit(self, *id, ids, &mut done, &mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(oid: i64, kind: &str, name: &str) -> Object {
        Object {
            class: 1,
            oid,
            kind: kind.into(),
            schema_name: "public".into(),
            object_name: name.into(),
            identity: format!("public.{name}"),
        }
    }

    fn leans(from: i64, to: i64) -> Dependency {
        Dependency {
            from: ObjectId { class: 1, oid: from },
            to: ObjectId { class: 1, oid: to },
            is_foreign_key: false,
            is_policy: false,
        }
    }

    fn names(objects: &[Object]) -> Vec<&str> {
        objects.iter().map(|object| object.object_name.as_str()).collect()
    }

    #[test]
    fn views_over_views_of_others_come_back_in_their_order() {
        let objects = [object(1, "table", "users"), object(2, "view", "top"), object(3, "view", "middle")];
        let found = footprint(&objects, &[leans(2, 3), leans(3, 1)], |object| object.object_name == "users");
        assert_eq!(names(&found.dropped), ["users"]);
        assert_eq!(names(&found.rebuilt), ["middle", "top"]);
    }

    #[test]
    fn a_type_that_a_kept_table_uses_stays_and_so_does_what_the_type_uses() {
        let objects = [
            object(1, "table", "answers"),
            object(2, "type", "positive"),
            object(3, "function", "check_it(integer)"),
            object(4, "type", "mood"),
        ];
        let found =
            footprint(&objects, &[leans(1, 2), leans(2, 3)], |object| object.object_name != "answers");
        assert_eq!(names(&found.dropped), ["mood"]);
        assert_eq!(names(&found.spared), ["positive", "check_it(integer)"]);
    }

    #[test]
    fn a_foreign_key_of_a_kept_table_is_cut_and_named() {
        let objects = [object(1, "table", "users"), object(2, "table", "answers")];
        let key = Dependency { is_foreign_key: true, ..leans(2, 1) };
        let found = footprint(&objects, &[key], |object| object.object_name == "users");
        assert_eq!(found.cut_foreign_keys.len(), 1);
        assert!(found.conflicts.is_empty() && found.rebuilt.is_empty());
    }

    #[test]
    fn a_kept_partition_of_a_replaced_table_is_a_conflict() {
        let objects = [object(1, "table", "events"), object(2, "table", "events_of_mine")];
        let found = footprint(&objects, &[leans(2, 1)], |object| object.object_name == "events");
        assert_eq!(found.conflicts.len(), 1);
    }

    #[test]
    fn what_cannot_be_made_again_is_named_as_lost() {
        let objects = [object(1, "type", "mood"), object(2, "aggregate", "best(mood)")];
        let found = footprint(&objects, &[leans(2, 1)], |object| object.object_name == "mood");
        assert_eq!(names(&found.lost), ["best(mood)"]);
    }
}
