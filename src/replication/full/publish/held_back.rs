//! Entries of the archive that need a table that stays: a view over an incremental table, a foreign key onto one. They are made
//! in a transaction in which the kept tables are beside the new ones, and wait with these for the publish.

use std::collections::BTreeSet;

use super::patience::Patience;
use super::surroundings::Surroundings;
use super::{Ground, Incoming};
use crate::adapters::ledger::ObjectRow;
use crate::adapters::postgres::archive::Entry;
use crate::adapters::postgres::catalog::{self, Object};
use crate::adapters::postgres::generation;
use crate::config::ForeignKeys;
use crate::error::Result;
use crate::outcome::Skipped;
use crate::replication::full::aside::begin_script;
use crate::replication::full::leaving::attempt_or_wait;

/// Makes the entries, in their order. Gives what could not be made, or not whole.
///
/// # Errors
/// Somebody holds a kept table until the deadline, or the warehouse fails.
pub async fn make(ground: &Ground<'_>, incoming: &Incoming<'_>, entries: &[&Entry]) -> Result<Vec<Skipped>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut patience = Patience::new(ground.settings);
    loop {
        let mut relations = Vec::new();
        match try_to_make(ground, incoming, entries, &patience, &mut relations).await {
            Err(error) => patience.wait(error, ground.warehouse, &relations).await?,
            made => return made,
        }
    }
}

async fn try_to_make(
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
    entries: &[&Entry],
    patience: &Patience,
    relations: &mut Vec<i64>,
) -> Result<Vec<Skipped>> {
    let stored = ground.ledger.stored_schemas().await?;
    let mut session = begin_script(ground.warehouse).await?;
    let surroundings = Surroundings::read(&mut session, incoming, &stored).await?;
    *relations = surroundings.moving_relations();
    generation::take_turn(&mut session).await?;
    patience.lock(&mut session, relations).await?;
    let entered = surroundings.enter(&mut session).await?;
    let before: BTreeSet<_> = catalog::objects(&mut session).await?.iter().map(Object::id).collect();
    let mut skipped = Vec::new();
    for entry in entries {
        let statement = match statement(entry, ground.foreign_keys) {
            Ok(statement) => statement,
            Err(reason) => {
                skipped.push(left_out(entry, reason));
                continue;
            }
        };
        match attempt_or_wait(&mut session, &statement).await? {
            Ok(()) if entry.kind.name() == "FK CONSTRAINT" => {
                skipped.push(left_out(
                    entry,
                    "declared, not checked: the table that stays may be older".to_owned(),
                ));
            }
            Ok(()) => {}
            Err(error) => skipped.push(left_out(entry, error.to_string())),
        }
    }
    let mut made = catalog::objects(&mut session).await?;
    made.retain(|object| !before.contains(&object.id()));
    let rows: Vec<ObjectRow> = made.iter().map(ObjectRow::from).collect();
    ground.ledger.hand_over(&mut session, incoming.generation, &rows).await?;
    surroundings.leave(&mut session, entered, &made).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(skipped)
}

/// What makes the entry; for a key that is not wanted, why not.
fn statement(entry: &Entry, foreign_keys: ForeignKeys) -> Result<String, String> {
    if entry.kind.name() != "FK CONSTRAINT" {
        return Ok(entry.definition.clone());
    }
    if foreign_keys == ForeignKeys::Omitted {
        return Err("RESTORE_FK_CONSTRAINTS is false".to_owned());
    }
    let declared = entry.definition.trim_end().trim_end_matches(';');
    Ok(if declared.ends_with(" NOT VALID") { declared.to_owned() } else { format!("{declared} NOT VALID") })
}

fn left_out(entry: &Entry, reason: String) -> Skipped {
    Skipped { object: entry.label(), reason, definition: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::postgres::archive::{EntryKind, Section};

    #[test]
    fn a_key_onto_a_kept_table_is_declared_only() {
        let entry = Entry {
            id: 1,
            kind: EntryKind::from_archive("FK CONSTRAINT"),
            section: Section::PostData,
            schema: Some("public".into()),
            name: "a k".into(),
            owner: String::new(),
            definition:
                "ALTER TABLE ONLY public.a ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES public.b(id);\n".into(),
            copy_statement: None,
            dependencies: Vec::new(),
            table_access_method: None,
            tablespace: None,
            has_data: false,
        };
        for mode in [ForeignKeys::Validated, ForeignKeys::NotValid] {
            assert!(statement(&entry, mode).unwrap().ends_with("REFERENCES public.b(id) NOT VALID"));
        }
        assert!(statement(&entry, ForeignKeys::Omitted).is_err());
    }
}
