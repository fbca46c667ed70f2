//! Which schemas the night fills (pure).

use std::collections::BTreeSet;

use super::{Plan, World};
use crate::adapters::postgres::archive::Entry;

impl Plan {
    /// The schemas in which the night makes something, which it makes themselves, or in which it replaces something.
    #[must_use]
    pub fn schemas(&self, entries: &[Entry], world: &World) -> BTreeSet<String> {
        let carried: BTreeSet<i32> = self.before.iter().chain(&self.after).copied().collect();
        let filled = entries.iter().filter(|entry| carried.contains(&entry.id)).filter_map(|entry| {
            if entry.kind.name() == "SCHEMA" { Some(&entry.name) } else { entry.schema.as_ref() }
        });
        let replaced =
            world.objects.iter().filter(|object| self.may_replace(object)).map(|object| &object.schema_name);
        filled.chain(replaced).filter(|schema| is_replicated(schema)).cloned().collect()
    }
}

/// The ledger's schema and the system's own are nobody's to fill. A cast has no schema.
fn is_replicated(schema: &str) -> bool {
    !schema.is_empty()
        && !["nightferry", "information_schema"].contains(&schema)
        && !schema.starts_with("pg_")
}
