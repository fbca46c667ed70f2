//! Step **dependents** and step **publish** of a swap, and what `nightferry rollback` does with the same means.
//!
//! What leans on the replaced objects from outside (views of analysts, functions, materialized views) is made again before the
//! publish, over the new generation, in schemas that nobody reads: [`dependents`]. It happens in a transaction in which
//! everything has the names and the places that it will have; before its end all goes back. So the publish itself
//! ([`exchange`]) only moves and renames, and whatever cannot come back is known before anything is published.

mod dependents;
mod exchange;
pub mod held_back;
pub mod leftovers;
mod patience;
pub mod preview;
mod recreating;
mod returning;
mod surroundings;

use std::collections::BTreeSet;

use self::dependents::Dependents;
use self::exchange::Exchanged;
pub(super) use self::patience::Patience;
use super::aside::Aside;
use crate::adapters::ledger::Ledger;
use crate::adapters::postgres::Database;
use crate::adapters::postgres::catalog::Object;
use crate::config::{ForeignKeys, OnBroken, PublishLock, Publishing};
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::Skipped;
use crate::replication::plan::shorten;

/// Which objects of the warehouse the incoming generation replaces.
pub type MayReplace<'a> = &'a (dyn Fn(&Object) -> bool + Send + Sync);

/// A generation that is to become live.
pub struct Incoming<'a> {
    /// Its number in the ledger.
    pub generation: i64,
    /// Where it is.
    pub aside: &'a Aside,
    /// What it replaces.
    pub may_replace: MayReplace<'a>,
    /// SQL that runs under the names that readers use once it has them, before anybody sees it: each with what it is.
    pub last: Vec<(String, String)>,
    /// The same, but tried: what cannot be done is named.
    pub updates: Vec<(String, String)>,
}

/// What a swap needs of its surroundings.
pub struct Ground<'a> {
    /// The warehouse.
    pub warehouse: &'a Database,
    /// Its ledger.
    pub ledger: &'a Ledger,
    /// The settings of the publish.
    pub settings: &'a Publishing,
    /// What becomes of foreign keys.
    pub foreign_keys: ForeignKeys,
}

/// A swap whose dependents are ready.
pub struct Ready {
    dependents: Dependents,
}

impl Ready {
    /// The copy, and what makes place for it now that the dependents are made.
    #[must_use]
    pub fn aside(&self) -> &Aside {
        &self.dependents.surroundings.aside
    }

    /// What of others cannot come back, or not whole.
    #[must_use]
    pub fn broken(&self) -> &[Skipped] {
        &self.dependents.broken
    }
}

/// What a publish did.
#[derive(Debug)]
pub struct Published {
    /// What was found only now.
    pub notes: Vec<Skipped>,
    /// How long readers may have waited for the publish: from the first lock to the end.
    pub locked: std::time::Duration,
}

/// Makes again what leans on the replaced objects, over the incoming generation, where nobody reads it yet.
///
/// # Errors
/// The warehouse fails, or holds what would be lost and `PUBLISH_ON_BROKEN_DEPENDENTS` is `refuse`.
pub async fn prepare(ground: &Ground<'_>, incoming: &Incoming<'_>) -> Result<Ready> {
    let mut dependents = dependents::make(ground, incoming).await?;
    let patience = Patience::new(ground.settings);
    while !dependents::is_complete(ground, incoming, &dependents).await? {
        if patience.is_over() {
            return Err(changed_for_ever());
        }
        dependents::discard(ground, &dependents).await?;
        dependents = dependents::make(ground, incoming).await?;
    }
    dependents::refresh(ground.warehouse, &mut dependents).await?;
    let broken = &dependents.broken;
    if ground.settings.on_broken == OnBroken::Refuse && !broken.is_empty() {
        let names: Vec<String> =
            broken.iter().map(|skipped| format!("{} ({})", skipped.object, skipped.reason)).collect();
        return Err(Error::new(
            ErrorKind::Refused,
            format!("{} of others would be lost: {}", broken.len(), shorten(&names)),
        )
        .hint("yesterday's copy stays live; mend or drop them, or set PUBLISH_ON_BROKEN_DEPENDENTS=report"));
    }
    Ok(Ready { dependents })
}

/// Makes the incoming generation live, in one short transaction.
///
/// # Errors
/// Its tables are held until the deadline, or the warehouse fails: the live generation stays.
pub async fn publish(ground: &Ground<'_>, incoming: &Incoming<'_>, mut ready: Ready) -> Result<Published> {
    let settings = ground.settings;
    let mut patience = Patience::new(settings);
    let mut waits_for_readers = settings.lock != PublishLock::None;
    let mut notes = Vec::new();
    loop {
        let relations = ready.dependents.relations(waits_for_readers);
        match exchange::attempt(ground, incoming, &ready.dependents, &relations, &patience).await {
            Ok(Exchanged::Done { locked, broken }) => {
                notes.extend(broken);
                exchange::validate_keys(ground.warehouse, &ready.dependents, ground.foreign_keys, &mut notes)
                    .await?;
                return Ok(Published { notes, locked });
            }
            Ok(Exchanged::Changed) if patience.is_over() => {
                return Err(changed_for_ever());
            }
            Ok(Exchanged::Changed)
                if dependents::still_fit(ground, incoming, &mut ready.dependents).await? => {}
            Ok(Exchanged::Changed) => {
                tracing::info!("somebody changed what leans on the copy: it is made again");
                dependents::discard(ground, &ready.dependents).await?;
                let said: BTreeSet<String> =
                    ready.broken().iter().map(|skipped| skipped.object.clone()).collect();
                ready = prepare(ground, incoming).await?;
                notes
                    .extend(ready.broken().iter().filter(|skipped| !said.contains(&skipped.object)).cloned());
            }
            Err(error) => {
                let is_lock = error.kind() == ErrorKind::Timeout;
                // The deadline may come while it is asked who holds the tables: only what the wait says counts.
                let Err(error) = patience.wait(error, ground.warehouse, &relations).await else { continue };
                if !is_lock || !patience.is_over() || !waits_for_readers || settings.lock != PublishLock::Try
                {
                    return Err(error);
                }
                waits_for_readers = false;
                patience.renew(settings.lock_timeout * 5);
                notes.push(Skipped {
                    object: "PUBLISH_LOCK".to_owned(),
                    reason: "published without waiting for readers of the replaced tables: they did not end until \
                             PUBLISH_DEADLINE, and may see tables of both copies in one transaction"
                        .to_owned(),
                    definition: None,
                });
            }
        }
    }
}

fn changed_for_ever() -> Error {
    Error::new(
        ErrorKind::Refused,
        "what leans on the copy was changed again and again until PUBLISH_DEADLINE",
    )
    .hint(
        "yesterday's copy stays live; find out who changes views or grants at this hour, then nightferry restart full-replication",
    )
}
