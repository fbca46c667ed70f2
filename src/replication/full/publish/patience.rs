//! How long locks are tried: in short turns, between which everybody else goes on.

use std::time::Duration;

use tokio::time::Instant;

use crate::adapters::postgres::generation::{self, Holder};
use crate::adapters::postgres::{Database, Session, catalog};
use crate::config::Publishing;
use crate::error::{Error, ErrorKind, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The shares of the limit that the turns take, one after the other: where readers hold tables in another order than ours, a short
/// turn costs little, and many of them find the moment in which all is free.
const SHARES: [f64; 4] = [0.125, 0.25, 0.5, 1.0];
/// Of the server's deadlock_timeout: a reader whom we keep waiting for longer may be chosen to die for a deadlock with us.
const SHARE_OF_DEADLOCK_TIMEOUT: f64 = 0.8;

/// Turns of locking until a deadline.
#[derive(Debug)]
pub(in crate::replication::full) struct Patience {
    limit: Duration,
    deadline: Instant,
    pause: Duration,
    /// Automatic maintenance only gives way to one who waits longer than deadlock_timeout.
    is_for_maintenance: bool,
    turn: usize,
}

impl Patience {
    pub(in crate::replication::full) fn new(settings: &Publishing) -> Self {
        Self {
            limit: settings.lock_timeout,
            deadline: Instant::now() + settings.deadline,
            pause: FIRST_PAUSE,
            is_for_maintenance: false,
            turn: 0,
        }
    }

    /// Locks relations in the open transaction, in one turn. Gives the moment from which others may wait.
    ///
    /// # Errors
    /// Somebody holds one of them (`Timeout`).
    pub(in crate::replication::full) async fn lock(
        &self,
        session: &mut Session,
        relations: &[i64],
    ) -> Result<std::time::Instant> {
        let deadlock_timeout =
            catalog::text(session, "select setting from pg_settings where name = 'deadlock_timeout'").await?;
        let below = deadlock_timeout.parse().map_or(self.limit, Duration::from_millis);
        let limit = if self.is_for_maintenance {
            self.limit
        } else {
            self.limit.min(below.mul_f64(SHARE_OF_DEADLOCK_TIMEOUT)).mul_f64(SHARES[self.turn % SHARES.len()])
        };
        generation::lock_relations(session, relations, limit).await
    }

    /// Whether the deadline has come.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Starts again with another deadline.
    pub(super) fn renew(&mut self, deadline: Duration) {
        self.deadline = Instant::now() + deadline;
        self.pause = FIRST_PAUSE;
    }

    /// After a turn that ended in `error`: waits a little, so that whoever queued behind us can go on.
    ///
    /// # Errors
    /// It was no lock that failed, or the deadline has come: then the error names who holds the relations.
    pub(in crate::replication::full) async fn wait(
        &mut self,
        error: Error,
        warehouse: &Database,
        relations: &[i64],
    ) -> Result<()> {
        if error.kind() != ErrorKind::Timeout {
            return Err(error);
        }
        let mut session = warehouse.connect().await?;
        let holders = generation::holders(&mut session, relations).await?;
        session.close().await;
        if self.is_over() {
            return Err(held(&holders));
        }
        self.is_for_maintenance = holders.iter().any(|holder| holder.is_maintenance);
        let pause = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        tracing::info!(held_by = %names(&holders), pause_ms = crate::outcome::millis(pause), "{}", crate::events::PUBLISH_WAITS);
        tokio::time::sleep_until((Instant::now() + pause).min(self.deadline)).await;
        self.turn += 1;
        if self.turn.is_multiple_of(SHARES.len()) {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}

fn names(holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(|holder| holder.label.clone()).collect();
    if names.is_empty() { "nobody any more".to_owned() } else { crate::replication::plan::shorten(&names) }
}

fn held(holders: &[Holder]) -> Error {
    let end: Vec<String> =
        holders.iter().map(|holder| format!("select pg_terminate_backend({});", holder.pid)).collect();
    let hint = if end.is_empty() {
        "yesterday's copy stays live; nightferry restart full-replication".to_owned()
    } else {
        format!(
            "yesterday's copy stays live; wait for these sessions or end them ({}), then nightferry restart full-replication",
            end.join(" ")
        )
    };
    Error::new(
        ErrorKind::Refused,
        format!(
            "the new copy could not be published until PUBLISH_DEADLINE: tables are held by {}",
            names(holders)
        ),
    )
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_in_the_way_is_named_with_what_ends_it() {
        let holder = Holder { pid: 4785, is_maintenance: false, label: "process 4785 of bi".to_owned() };
        let error = held(&[holder]);
        assert!(error.to_string().ends_with("tables are held by process 4785 of bi"), "{error}");
        assert!(error.operator_hint().unwrap().contains("(select pg_terminate_backend(4785);)"), "{error:?}");
        assert!(!held(&[]).operator_hint().unwrap().contains("pg_terminate_backend"));
    }
}
