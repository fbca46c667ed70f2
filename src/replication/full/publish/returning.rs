//! What a generation that was live before has besides its own objects: dependents that wait for it, and what kept tables use.

use super::dependents::Dependents;
use super::recreating::Making;
use crate::adapters::ledger::ObjectRow;
use crate::adapters::postgres::Session;
use crate::adapters::postgres::catalog::Object;
use crate::adapters::postgres::generation;
use crate::error::Result;
use crate::replication::plan::space;

impl Making {
    /// Brings back what waits outside the replicated schemas under a name that is free: a view that could not be made over the
    /// generation after its own is there again when its own is.
    pub(super) async fn bring_back(
        &mut self,
        session: &mut Session,
        present: &[(Object, String)],
    ) -> Result<()> {
        let outside = present.iter().filter(|(_, home)| !self.homes.contains(home));
        let outside: Vec<&(Object, String)> = outside.collect();
        let homes: Vec<String> = outside.iter().map(|(_, home)| home.clone()).collect();
        let there = generation::there(session, &homes).await?;
        for (object, home) in outside {
            let is_taken = |live: &Object| {
                space(live) == space(object)
                    && live.schema_name == *home
                    && live.object_name == object.object_name
            };
            if there.contains(home) && !self.surroundings.objects.iter().any(is_taken) {
                self.coming.push((object.id(), home.clone()));
                self.returning.push((object.clone(), home.clone()));
            }
        }
        Ok(())
    }
}

/// What stays although it is replaced, since a table that stays uses it; a table that stays is the warehouse's own.
pub(super) fn spared_rows(dependents: &Dependents) -> Vec<ObjectRow> {
    let spared = dependents.surroundings.footprint.spared.iter();
    spared.filter(|object| !object.is_table()).map(ObjectRow::from).collect()
}
