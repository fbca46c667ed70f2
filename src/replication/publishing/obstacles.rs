//! What stands against a swap: schemas, extensions and objects that this role cannot move, and names that are taken (pure).

use std::collections::{BTreeMap, BTreeSet};

use crate::adapters::postgres::archive::Entry;
use crate::adapters::postgres::catalog::{self, Extension, ForeignObject, Object, ObjectId, SwapFacts};
use crate::adapters::postgres::generation::{ASIDE, NEXT, PREVIOUS};
use crate::adapters::postgres::ident;
use crate::replication::plan::{Finding, Plan, World, shorten};

/// The longest name that PostgreSQL keeps whole, in bytes.
const LONGEST_NAME: usize = 63;
/// Where extensions are out of the way of a swap.
const OWN_SCHEMA: &str =
    "CREATE SCHEMA IF NOT EXISTS extensions; GRANT USAGE ON SCHEMA extensions TO PUBLIC;";

/// Why these schemas cannot be renamed.
pub(super) fn against_renaming(
    schemas: &BTreeSet<String>,
    plan: &Plan,
    world: &World,
    facts: &SwapFacts,
) -> Vec<Finding> {
    let mut found = foreign_schemas(schemas, facts);
    found.extend(extensions(schemas, facts));
    found.extend(objects_of_others(schemas, plan, world, facts));
    let staying = |object: &&Object| schemas.contains(&object.schema_name) && !plan.may_replace(object);
    found.extend(stuck_types(facts, world.objects.iter().filter(staying)));
    found.extend(borrowed_sequences(plan, world, facts));
    found
}

/// A sequence that belongs to a column of a kept table cannot be lent to the copy while the schemas have each other's names.
fn borrowed_sequences(plan: &Plan, world: &World, facts: &SwapFacts) -> Vec<Finding> {
    let objects: BTreeMap<ObjectId, &Object> =
        world.objects.iter().map(|object| (object.id(), object)).collect();
    let kept_owner = |sequence: ObjectId| {
        let owners = facts.dependencies.iter().filter(|leaning| leaning.from == sequence);
        let mut owners = owners.filter_map(|leaning| objects.get(&leaning.to));
        owners.any(|owner| owner.is_table() && !plan.may_replace(owner))
    };
    let mut found = Vec::new();
    for leaning in &facts.dependencies {
        let (Some(from), Some(to)) = (objects.get(&leaning.from), objects.get(&leaning.to)) else { continue };
        if to.kind == "sequence" && from.is_table() && plan.may_replace(from) && kept_owner(leaning.to) {
            found.push(Finding::new(
                from.label(),
                format!("it draws from {}, which belongs to a table that stays", to.label()),
                "give it a sequence of its own in the source",
            ));
        }
    }
    found
}

/// Why objects cannot move from schema to schema.
pub(super) fn against_moving(
    entries: &[Entry],
    schemas: &BTreeSet<String>,
    plan: &Plan,
    world: &World,
    facts: &SwapFacts,
) -> Vec<Finding> {
    let going = |object: &&Object| schemas.contains(&object.schema_name) && plan.may_replace(object);
    let mut found = stuck_types(facts, world.objects.iter().filter(going));
    let comes = |entry: &&Entry| {
        entry.kind.name() == "TYPE"
            && entry.definition.contains(" AS RANGE (")
            && plan.before.contains(&entry.id)
    };
    if found.is_empty() && !facts.is_superuser {
        found.extend(entries.iter().filter(comes).map(|entry| stuck_type(&entry.label().to_lowercase())));
    }
    found
}

fn stuck_types<'a>(facts: &SwapFacts, objects: impl Iterator<Item = &'a Object>) -> Vec<Finding> {
    let is_stuck = |object: &&Object| facts.stuck_types.contains(&object.id());
    objects.filter(is_stuck).map(|object| stuck_type(&object.label())).collect()
}

/// PostgreSQL gives a range type's constructors to the superuser, whoever makes the type.
fn stuck_type(label: &str) -> Finding {
    Finding::new(
        label,
        "a range type, whose constructor functions only a superuser can move to another schema",
        "make it possible to rename the schemas, or give range types a schema of their own in the source",
    )
}

/// Why nothing can be built beside them.
pub(super) fn against_a_swap(
    schemas: &BTreeSet<String>,
    plan: &Plan,
    world: &World,
    facts: &SwapFacts,
) -> Vec<Finding> {
    // What leans on the copy from elsewhere is made again in schemas named after its own.
    let leaning = leaning_on_the_copy(plan, world, facts);
    let is_made_again = |object: &&Object| {
        leaning.contains(&object.id())
            && matches!(object.kind.as_str(), "view" | "materialized view" | "function" | "procedure")
    };
    let elsewhere = world.objects.iter().filter(is_made_again).map(|object| object.schema_name.clone());
    let schemas: &BTreeSet<String> = &schemas.iter().cloned().chain(elsewhere).collect();
    let long = schemas.iter().filter_map(|schema| too_long(schema));
    long.chain(schemas.iter().flat_map(|schema| taken_names(schema, schemas, world))).collect()
}

/// Up to PostgreSQL 14 `public` belongs to the superuser.
fn foreign_schemas(schemas: &BTreeSet<String>, facts: &SwapFacts) -> Vec<Finding> {
    let foreign = facts.foreign_schemas.iter().filter(|schema| schemas.contains(&schema.name));
    foreign
        .map(|schema| {
            Finding::new(
                format!("schema {}", schema.name),
                format!("it belongs to {}, and only its owner may rename it", schema.owner),
                format!(
                    "as an administrator: ALTER SCHEMA {} OWNER TO {};",
                    ident::ident(&schema.name),
                    ident::ident(&facts.role)
                ),
            )
        })
        .collect()
}

fn extensions(schemas: &BTreeSet<String>, facts: &SwapFacts) -> Vec<Finding> {
    let inside = |extension: &&Extension| extension.reaches_into.iter().any(|name| schemas.contains(name));
    facts.extensions.iter().filter(inside).filter_map(stuck).collect()
}

/// The dump names an extension's types and functions with their schema: it must have the same one on both sides.
fn stuck(extension: &Extension) -> Option<Finding> {
    let name = ident::ident(&extension.name);
    let is_in_one_schema = extension.reaches_into == [extension.schema_name.as_str()];
    let (text, hint) = if !extension.is_relocatable || !is_in_one_schema {
        (
            "its author does not let it move to another schema",
            format!(
                "it must be made in a schema of its own, as an administrator and on both sides: {OWN_SCHEMA} CREATE EXTENSION \
                 {name} SCHEMA extensions; (to drop the one that is there takes the columns that use it along)"
            ),
        )
    } else if !extension.is_owned {
        (
            "this role may not move it: it or one of its members belongs to another role",
            format!(
                "give it a schema of its own, as an administrator and on both sides: {OWN_SCHEMA} ALTER EXTENSION {name} SET \
                 SCHEMA extensions;"
            ),
        )
    } else {
        return None;
    };
    let subject = format!("extension {}", extension.name);
    Some(Finding::new(subject, format!("it is in schema {}, and {text}", extension.schema_name), hint))
}

/// What stays is moved over, which takes its ownership.
fn objects_of_others(
    schemas: &BTreeSet<String>,
    plan: &Plan,
    world: &World,
    facts: &SwapFacts,
) -> Vec<Finding> {
    let objects: BTreeMap<ObjectId, &Object> =
        world.objects.iter().map(|object| (object.id(), object)).collect();
    let mut by_owner: BTreeMap<&str, Vec<(&ForeignObject, &Object)>> = BTreeMap::new();
    for foreign in &facts.foreign_objects {
        let Some(object) = objects.get(&foreign.id()) else { continue };
        if schemas.contains(&object.schema_name) && !plan.may_replace(object) {
            by_owner.entry(&foreign.owner).or_default().push((foreign, object));
        }
    }
    by_owner.into_iter().map(|(owner, theirs)| of_one_owner(owner, &theirs, facts)).collect()
}

fn of_one_owner(owner: &str, theirs: &[(&ForeignObject, &Object)], facts: &SwapFacts) -> Finding {
    let labels: Vec<String> = theirs.iter().map(|(_, object)| object.label()).collect();
    let (subject, text) = match labels.as_slice() {
        [one] => (one.clone(), format!("it belongs to {owner}: this role cannot move it over")),
        many => {
            (format!("objects of {owner}"), format!("this role cannot move them over: {}", shorten(many)))
        }
    };
    // Nobody should become a superuser for this.
    let mut hint = if theirs.iter().any(|(foreign, _)| foreign.is_superusers) {
        let statements = theirs.iter().map(|(_, object)| give_away(object, &facts.role));
        format!("as an administrator: {}", statements.collect::<Vec<_>>().join(" "))
    } else {
        format!("as an administrator: GRANT {} TO {};", ident::ident(owner), ident::ident(&facts.role))
    };
    hint.push_str(" or move what stays to a schema that is not replicated");
    Finding::new(subject, text, hint)
}

/// The statement after which an object is in nobody's way. Two kinds have no owner: only a superuser may have them.
fn give_away(object: &Object, role: &str) -> String {
    let (kind, identity) = (object.kind.to_uppercase(), &object.identity);
    match object.kind.as_str() {
        "text search parser" | "text search template" => {
            format!("{OWN_SCHEMA} ALTER {kind} {identity} SET SCHEMA extensions;")
        }
        _ => format!("ALTER {kind} {identity} OWNER TO {};", ident::ident(role)),
    }
}

/// What of others leans on what is replaced, at whatever distance, or has a foreign key to it: this role cannot make it again.
pub(super) fn left_behind(plan: &Plan, world: &World, facts: &SwapFacts) -> Vec<Finding> {
    let leaning = leaning_on_the_copy(plan, world, facts);
    let is_leaning = |foreign: &&ForeignObject| leaning.contains(&foreign.id());
    let mut found = Vec::new();
    for foreign in facts.foreign_objects.iter().filter(is_leaning) {
        let Some(object) = world.objects.iter().find(|object| object.id() == foreign.id()) else { continue };
        found.push(Finding::new(
            object.label(),
            format!("it belongs to {}: it cannot follow to the new copy", foreign.owner),
            format!(
                "as an administrator: GRANT {} TO {};",
                ident::ident(&foreign.owner),
                ident::ident(&facts.role)
            ),
        ));
    }
    found
}

/// Everything that leans on what is replaced, at whatever distance, and the tables with a foreign key to it.
fn leaning_on_the_copy(plan: &Plan, world: &World, facts: &SwapFacts) -> BTreeSet<ObjectId> {
    let replaced: BTreeSet<ObjectId> =
        world.objects.iter().filter(|object| plan.may_replace(object)).map(Object::id).collect();
    let mut found: BTreeSet<ObjectId> =
        catalog::leaning_on(&facts.dependencies, replaced.iter().copied()).into_iter().collect();
    let keys = facts.dependencies.iter().filter(|leans| leans.is_foreign_key && replaced.contains(&leans.to));
    found.extend(keys.map(|leans| leans.from));
    found.difference(&replaced).copied().collect()
}

fn too_long(schema: &str) -> Option<Finding> {
    let longest = [NEXT, PREVIOUS, ASIDE].iter().map(|ending| ending.len()).max().unwrap_or(0);
    let room = LONGEST_NAME - longest;
    (schema.len() > room).then(|| {
        let text =
            format!("its name has {} bytes; with {ASIDE} behind it there is room for {room}", schema.len());
        Finding::new(format!("schema {schema}"), text, "give it a shorter name in the source")
    })
}

/// A schema that nobody of us made, under a name that the swap needs.
fn taken_names(schema: &str, schemas: &BTreeSet<String>, world: &World) -> Vec<Finding> {
    let needed = [NEXT, PREVIOUS, ASIDE].map(|ending| format!("{schema}{ending}"));
    let taken = needed.into_iter().filter_map(|name| {
        let (text, hint) = if schemas.contains(&name) {
            ("the source has a schema of a name that the swap needs", "rename it in the source".to_owned())
        } else if world.schemas.contains(&name) && !world.stored_schemas.contains(&name) {
            let quoted = ident::ident(&name);
            let hint =
                format!("rename it, or drop it where nobody needs it: ALTER SCHEMA {quoted} RENAME TO ...;");
            ("no night made it, but the swap needs its name", hint)
        } else {
            return None;
        };
        Some(Finding::new(format!("schema {name}"), text, hint))
    });
    taken.collect()
}
