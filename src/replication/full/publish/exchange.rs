//! The publish: one short transaction that gives the incoming generation the names that readers use.

use std::time::Duration;

use super::dependents::{Dependents, replaced_rows};
use super::patience::Patience;
use super::recreating::{give_way, schemas_of};
use super::returning::spared_rows;
use super::{Ground, Incoming};
use crate::adapters::postgres::generation::{self, Stored, aside_of, previous_of, rename};
use crate::adapters::postgres::ident::ident;
use crate::adapters::postgres::{Database, Session};
use crate::config::{ForeignKeys, OnBroken};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Skipped;
use crate::replication::full::aside::begin_script;
use crate::replication::full::leaving::{self, attempt_or_wait};

/// How one turn ended.
pub(super) enum Exchanged {
    /// The incoming generation is live.
    Done { locked: Duration, broken: Vec<Skipped> },
    /// Something that leans on the copy was changed since it was made again: nothing was done.
    Changed,
}

/// One turn: locks everything that moves and exchanges the generations, or leaves all as it was.
///
/// # Errors
/// A lock cannot be had in this turn (`Timeout`), or a statement fails.
pub(super) async fn attempt(
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
    dependents: &Dependents,
    relations: &[i64],
    patience: &Patience,
) -> Result<Exchanged> {
    let mut session = begin_script(ground.warehouse).await?;
    // Asked for once before others wait: the second answer is quick.
    generation::fingerprint(&mut session, &dependents.unread).await?;
    generation::take_turn(&mut session).await?;
    let start = patience.lock(&mut session, relations).await?;
    if generation::fingerprint(&mut session, &dependents.unread).await? != dependents.fingerprint {
        session.execute("rollback").await?;
        session.close().await;
        return Ok(Exchanged::Changed);
    }
    let outgoing = move_generations(&mut session, dependents).await?;
    let broken = make_last(&mut session, ground, incoming, dependents).await?;
    ground
        .ledger
        .exchange_generations(&mut session, incoming.generation, &outgoing, &replaced_rows(dependents))
        .await?;
    // What tables that stay use came over with them: the next night must know it for what a night brought.
    ground.ledger.hand_over(&mut session, incoming.generation, &spared_rows(dependents)).await?;
    // Once it is published it stays published, and so does all that was written before.
    session.execute("set local synchronous_commit = on; commit").await?;
    let locked = start.elapsed();
    session.close().await;
    Ok(Exchanged::Done { locked, broken })
}

/// Moves and renames; gives where the outgoing generation is now.
async fn move_generations(session: &mut Session, dependents: &Dependents) -> Result<Vec<(Stored, bool)>> {
    let aside = &dependents.surroundings.aside;
    let homes = aside.homes();
    let _stays = dependents.surroundings.enter(session).await?;
    if aside.moves_objects() {
        for one in aside.stored() {
            session.execute(&format!("drop schema {}", ident(&one.stored_as))).await?;
        }
    }
    let mut outgoing = Vec::new();
    for home in
        generation::there(session, &homes.iter().map(|home| aside_of(home)).collect::<Vec<_>>()).await?
    {
        let Some(home) = homes.iter().find(|name| aside_of(name) == home) else { continue };
        // Nothing of a generation was in it: an empty schema is no copy.
        let held_nothing = dependents.surroundings.footprint.dropped.is_empty();
        let aside = aside_of(home);
        if held_nothing && leaving::attempt(session, &format!("drop schema {}", ident(&aside))).await?.is_ok()
        {
            continue;
        }
        session.execute(&rename(&aside, &previous_of(home))).await?;
        outgoing.push((Stored::previous(home), true));
    }
    outgoing.extend(exchange_outside(session, dependents).await?);
    Ok(outgoing)
}

/// Exchanges the dependents outside the replicated schemas.
async fn exchange_outside(session: &mut Session, dependents: &Dependents) -> Result<Vec<(Stored, bool)>> {
    give_way(session, &dependents.going, &dependents.coming).await?;
    // What waited there and was not wanted any more has no place to go to.
    for waiting in &dependents.outside {
        session.execute(&format!("drop schema {} cascade", ident(&waiting.stored_as))).await?;
    }
    let mut outgoing = Vec::new();
    for schema in schemas_of(&dependents.going) {
        session.execute(&rename(&aside_of(&schema), &previous_of(&schema))).await?;
        outgoing.push((Stored::previous(&schema), false));
    }
    Ok(outgoing)
}

/// What can only be made once everything has its name: keys and policies of tables that stay, publications, and what the
/// incoming generation brings for the last moment.
async fn make_last(
    session: &mut Session,
    ground: &Ground<'_>,
    incoming: &Incoming<'_>,
    dependents: &Dependents,
) -> Result<Vec<Skipped>> {
    let mut broken = Vec::new();
    for (what, statement) in &incoming.last {
        session.execute(statement).await.map_err(|error| error.context(what))?;
    }
    for (what, statement) in &incoming.updates {
        if let Err(error) = attempt_or_wait(session, statement).await? {
            broken.push(Skipped {
                object: what.clone(),
                reason: format!(
                    "a table that stays uses the one that is there, and it cannot follow the source: {error}"
                ),
                definition: Some(statement.clone()),
            });
        }
    }
    for key in &dependents.keys {
        if let Err(error) = attempt_or_wait(session, &key.drop).await? {
            broken.push(lost(&key.label, &error, &key.add));
            continue;
        }
        let script: Vec<&str> =
            std::iter::once(&key.add).chain(&key.comment).map(|text| text.trim_end_matches(';')).collect();
        let made = if ground.foreign_keys == ForeignKeys::Omitted {
            Err(Error::new(ErrorKind::Refused, "RESTORE_FK_CONSTRAINTS is false"))
        } else {
            attempt_or_wait(session, &script.join("; ")).await?
        };
        if let Err(error) = made {
            broken.push(lost(&key.label, &error, &key.add));
        }
    }
    for policy in &dependents.policies {
        if let Err(error) = attempt_or_wait(session, &policy.drop).await? {
            broken.push(lost(&policy.label, &error, &policy.create));
            continue;
        }
        let script: Vec<&str> = std::iter::once(&policy.create)
            .chain(&policy.comment)
            .map(|text| text.trim_end_matches(';'))
            .collect();
        if let Err(error) = attempt_or_wait(session, &script.join("; ")).await? {
            if policy.is_restrictive {
                // Without it, readers would see rows that it hides.
                return Err(error
                    .context(format!("{} cannot come back", policy.label))
                    .hint("yesterday's copy stays live; mend or drop the policy, then nightferry restart full-replication"));
            }
            broken.push(lost(&policy.label, &error, &policy.create));
        }
    }
    for publication in &dependents.publications {
        let made = if publication.may_alter {
            attempt_or_wait(session, &publication.statement).await?
        } else {
            Err(Error::new(ErrorKind::Privilege, "it belongs to another role"))
        };
        if let Err(error) = made {
            broken.push(lost(&publication.label, &error, &publication.statement));
        }
    }
    match broken.first() {
        Some(first) if ground.settings.on_broken == OnBroken::Refuse => Err(Error::new(
            ErrorKind::Refused,
            format!(
                "{} of others would be lost, {} ({}) among them",
                broken.len(),
                first.object,
                first.reason
            ),
        )
        .hint("yesterday's copy stays live; mend it, or set PUBLISH_ON_BROKEN_DEPENDENTS=report")),
        _ => Ok(broken),
    }
}

fn lost(object: &str, error: &Error, definition: &str) -> Skipped {
    Skipped {
        object: object.to_owned(),
        reason: format!("it cannot come back: {error}"),
        definition: Some(definition.to_owned()),
    }
}

/// Checks the keys of tables that stay, where they were checked before: readers go on meanwhile.
pub(super) async fn validate_keys(
    warehouse: &Database,
    dependents: &Dependents,
    foreign_keys: ForeignKeys,
    notes: &mut Vec<Skipped>,
) -> Result<()> {
    if foreign_keys != ForeignKeys::Validated {
        return Ok(());
    }
    let mut session = warehouse.connect().await?;
    for key in &dependents.keys {
        let Some(validate) = &key.validate else { continue };
        if notes.iter().any(|note| note.object == key.label) {
            continue;
        }
        if let Err(error) = session.execute(validate).await {
            notes.push(Skipped {
                object: key.label.clone(),
                reason: format!("declared, not checked: {error}"),
                definition: None,
            });
        }
    }
    session.close().await;
    Ok(())
}
