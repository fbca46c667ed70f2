//! The fence around the lock: only sessions of its present holder write.
//!
//! The lock alone cannot promise that. Its session may end (a restart of a router, an administrator) a moment before its owner
//! notices, and a statement of hours goes on in the server when the machine that sent it is gone. So there are two more
//! advisory locks (PostgreSQL manual, 13.3.5):
//! - the holder's mark: a number of its own that the session of the lock holds, as long as it holds the lock;
//! - the writers' lock: each session that writes for the holder takes a share of it, then looks for the mark, and gives up where it is gone.
//!
//! Whoever takes the lock next ends all that have a share, and begins when none is left: it holds the writers' lock alone for a moment.
//! A session of the one before either had its share by then, and is ended, or looks for the mark later, and does not find it.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::failure::failed;
use crate::error::{Error, ErrorKind, Result};

/// A session that ends by itself (it was closed a moment ago) gets this long before it is ended.
const GRACE: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a writing session is checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fence {
    writers: i64,
    mark: i64,
}

impl Fence {
    /// Puts the mark of a new holder, on the session of the lock. `writers` is the key of the writers' lock.
    pub(super) async fn put(holder: &mut Session, writers: i64) -> Result<Self> {
        let fence = Self { writers, mark: fastrand::i64(..) };
        if take(holder, fence.mark).await? {
            return Ok(fence);
        }
        Err(Error::new(ErrorKind::Internal, "the mark of another holder of the lock was drawn"))
    }

    /// Comes back when no session has a share of the writers' lock, and ends those that have one.
    ///
    /// # Errors
    /// One of them cannot be ended, or does not end in time.
    pub(super) async fn clear(&self, holder: &mut Session, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            if take(holder, self.writers).await? {
                return give_back(holder, self.writers).await;
            }
            if start.elapsed() > limit {
                return Err(Error::new(
                    ErrorKind::Busy,
                    "sessions of an earlier job still work on the warehouse",
                )
                .hint("end them: their application_name begins with nightferry (pg_terminate_backend)"));
            }
            if start.elapsed() > GRACE {
                end_writers(holder, self.writers).await?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets a session in that is to write for the holder.
    ///
    /// # Errors
    /// The holder has lost the lock.
    pub(super) async fn pass(&self, session: &mut Session) -> Result<()> {
        let is_in: bool = sqlx::query_scalar(include_str!("../../../sql/catalog/fence_pass.sql"))
            .bind(self.writers)
            .bind(self.mark)
            .fetch_one(session.raw())
            .await
            .map_err(|error| failed("cannot see whether the lock is still held", error))?;
        if is_in {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Connection, "the lock on the warehouse was lost: another job may have it")
            .hint("nothing more is written; nightferry tries the stage again"))
    }
}

/// Takes an advisory lock of the warehouse, where nobody has it.
pub(super) async fn take(session: &mut Session, key: i64) -> Result<bool> {
    sqlx::query_scalar(include_str!("../../../sql/catalog/lock_take.sql"))
        .bind(key)
        .fetch_one(session.raw())
        .await
        .map_err(|error| failed("cannot take the lock on the warehouse", error))
}

/// Gives it back.
pub(super) async fn give_back(session: &mut Session, key: i64) -> Result<()> {
    sqlx::query_scalar::<_, bool>("select pg_advisory_unlock($1)")
        .bind(key)
        .fetch_one(session.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot free the lock on the warehouse", error))
}

async fn end_writers(holder: &mut Session, writers: i64) -> Result<()> {
    let ended: i64 = sqlx::query_scalar(include_str!("../../../sql/catalog/fence_clear.sql"))
        .bind(writers)
        .fetch_one(holder.raw())
        .await
        .map_err(|error| failed("cannot end the sessions of an earlier job", error))?;
    tracing::debug!(sessions = ended, "sessions of an earlier job were ended");
    Ok(())
}
