//! The one lock: a session advisory lock on the warehouse, held by a connection that does nothing else; and a second one of the same
//! kind, for pushes, which leave the warehouse alone but not each other
//! (PostgreSQL manual, 9.28.10 and 13.3.5).
//!
//! It guards the resource itself: a worker that lost the warehouse cannot write to it either, and the server frees the
//! lock when the holder's connection ends, however that came about ([`super::fence`] keeps the holder's other sessions from outliving that). The connection must be idle: the server notices
//! the death of a client that waits for nothing at once, and that of one in the middle of a statement much later.
//! It must not go through a pooler in transaction mode.

use std::time::Duration;

use sqlx::Connection;
use tokio::time::Instant;

use super::failure::failed;
use super::fence::{Fence, give_back, take};
use super::ident::literal;
use super::{Database, Session};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::events;

/// The keys, the same for every version: "nightfer" and "nightpsh" in ASCII.
pub(super) const WAREHOUSE: i64 = 0x6e69_6768_7466_6572;
pub(super) const PUSHES: i64 = 0x6e69_6768_7470_7368;
/// Of each, with this added, that of its writers: the capital letter. See [`super::fence`].
const WRITERS: i64 = -0x20;
const TRY_EVERY: Duration = Duration::from_millis(500);
const PING_EVERY: Duration = Duration::from_secs(3);
/// A healthy server answers a ping in milliseconds; one that is silent for so long is as good as gone.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// What the job before left on the server ends within moments once it is told to.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(60);
/// Who waits for the lock says for whom, at once and then this often.
const SAY_EVERY: Duration = Duration::from_secs(600);

/// The warehouse, held. Dropping it frees it too, a little later than [`WarehouseLock::release`].
#[derive(Debug)]
pub struct WarehouseLock {
    session: Session,
    key: i64,
    fence: Fence,
    database: Database,
}

impl WarehouseLock {
    /// Takes the warehouse. `holder` (run, stage, host) is what a loser is told; `wait` says for how long to go on
    /// trying, `None` for ever.
    ///
    /// # Errors
    /// Another job holds it (`Busy`, with its name), or the warehouse cannot be reached.
    pub async fn acquire(database: &Database, holder: &str, wait: Option<Duration>) -> Result<Self> {
        Self::of(WAREHOUSE, database, holder, wait).await
    }

    /// Takes the turn to push a backup, and nothing else of the warehouse.
    ///
    /// # Errors
    /// Those of [`WarehouseLock::acquire`].
    pub async fn acquire_push(database: &Database, holder: &str, wait: Option<Duration>) -> Result<Self> {
        Self::of(PUSHES, database, holder, wait).await
    }

    async fn of(key: i64, database: &Database, holder: &str, wait: Option<Duration>) -> Result<Self> {
        let mut session = database.clone().named("nightferry waiting for the lock").connect().await?;
        session.execute(include_str!("../../../sql/catalog/lock_keepalive.sql")).await?;
        let deadline = wait.map(|wait| Instant::now() + wait);
        let mut say_at = Instant::now();
        while !take(&mut session, key).await? {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(busy(key, holder_of(&mut session, key).await?));
            }
            if Instant::now() >= say_at {
                let error = busy(key, holder_of(&mut session, key).await?);
                tracing::info!("{}: {error}", events::LOCK_WAITING);
                say_at += SAY_EVERY;
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        // 63 bytes are shown, so the short things come first.
        let name = format!("nightferry {} {holder}", clock::now().format("%H:%MZ"));
        session.execute(&format!("set application_name = {}", literal(&name))).await?;
        let fence = Fence::put(&mut session, key + WRITERS).await?;
        fence.clear(&mut session, CLEAR_TIMEOUT).await?;
        Ok(Self { session, key, fence, database: database.clone() })
    }

    /// The database for those who work under this lock: their sessions end with it at the latest, and none begins after it was lost.
    #[must_use]
    pub fn database(&self) -> Database {
        self.database.clone().fenced(self.fence)
    }

    /// Comes back when the lock is lost, with the reason; never while it is held.
    pub async fn lost(&mut self) -> Error {
        loop {
            tokio::time::sleep(PING_EVERY).await;
            let gone = || Error::new(ErrorKind::Connection, "the lock on the warehouse was lost");
            match tokio::time::timeout(PING_TIMEOUT, self.session.raw().ping()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return gone().because(failed("its connection broke", error)),
                Err(_) => return gone().because("the server has not answered for 15 s"),
            }
        }
    }

    /// Frees the warehouse, and comes back when it is free. Statements that still run for its holder are ended first.
    pub async fn release(mut self) {
        if let Err(error) = self.fence.clear(&mut self.session, RELEASE_TIMEOUT).await {
            // The next holder tries again.
            tracing::debug!(error.message = %error, "the sessions of this job could not be ended");
        }
        let unlock = give_back(&mut self.session, self.key);
        // Where that fails, the connection is closed, and the server frees the lock with it.
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, unlock).await;
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, self.session.close()).await;
    }
}

pub(super) async fn holder_of(session: &mut Session, key: i64) -> Result<Option<String>> {
    sqlx::query_scalar(include_str!("../../../sql/catalog/lock_holder.sql"))
        .bind(key)
        .fetch_optional(session.raw())
        .await
        .map_err(|error| failed("cannot see who holds the warehouse", error))
}

fn busy(key: i64, holder: Option<String>) -> Error {
    let at = if key == PUSHES { "another push is at work" } else { "another job holds the warehouse" };
    let holder = holder.as_deref().and_then(|name| name.strip_prefix("nightferry "));
    let text = match holder.and_then(|name| name.split_once(' ')) {
        Some((since, who)) => format!("{at} since {since}: {who}"),
        None => at.to_owned(),
    };
    Error::new(ErrorKind::Busy, text).hint("wait until it has ended, or stop it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loser_is_told_who_holds_the_warehouse_and_since_when() {
        let error = busy(WAREHOUSE, Some("nightferry 04:10Z 20261120T041000Z full on host-1".to_owned()));
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(
            error.to_string(),
            "another job holds the warehouse since 04:10Z: 20261120T041000Z full on host-1"
        );
    }

    #[test]
    fn a_holder_that_has_just_gone_is_not_invented() {
        assert_eq!(busy(WAREHOUSE, None).to_string(), "another job holds the warehouse");
    }
}
