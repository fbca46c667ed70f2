//! What the web process reads in the ledger: each question is answered for one page, and kept from becoming a burden to the
//! warehouse: two sessions, read only, with a time limit on the server.

mod indexes;
mod nights;
mod one_night;
mod tables;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use indexes::{BuiltObject, KindTotal, ObjectSearch};
pub use nights::{LiveCopy, NightRow};
pub use one_night::{LeftOut, NightDetail, NightStep, WrittenObject, WrittenTable};
pub use tables::{Sparkline, TableHistory, TableOrder, TableRow, TableSearch};

use super::overview::{self, LedgerState};
use super::store::in_time;
use crate::adapters::postgres::{Database, Session, failed};
use crate::error::{Error, ErrorKind, Result};

/// How many questions are asked at once.
const SESSIONS: usize = 2;
/// What a page is waited for.
const LIMIT: Duration = Duration::from_secs(8);
/// A session of the web process can do no harm, and no long work.
const SETTINGS: &str = "set default_transaction_read_only = on; set statement_timeout = '5s'; set lock_timeout = '2s'; \
     set jit = off; set timezone = 'UTC'";

/// Reads the ledger for people. Its sessions are opened when they are needed, and again when the warehouse was away.
#[derive(Debug)]
pub struct LedgerReader {
    database: Database,
    free: Semaphore,
    idle: Mutex<Vec<Session>>,
}

impl LedgerReader {
    /// A reader that has no session yet.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let database = database.named("nightferry web");
        Self { database, free: Semaphore::new(SESSIONS), idle: Mutex::default() }
    }

    /// Whether the warehouse answers; the ledger may be missing.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn look(&self) -> Result<()> {
        // Beside the others: that they are busy does not mean that the warehouse is away.
        let mut session = self.database.connect().await?;
        let answered = session.execute("select 1").await;
        session.close().await;
        answered
    }

    /// Asks on a session. One on which a question failed, or was given up, is closed.
    async fn ask<T>(&self, question: impl AsyncFnOnce(&mut Session) -> Result<T>) -> Result<T> {
        in_time(LIMIT, async {
            let _free = self.free.acquire().await.map_err(|error| {
                Error::new(ErrorKind::Internal, "the sessions of the web process are gone").because(error)
            })?;
            let mut session = self.session().await?;
            let answer = question(&mut session).await?;
            self.idle().push(session);
            Ok(answer)
        })
        .await
    }

    async fn session(&self) -> Result<Session> {
        let kept = self.idle().pop();
        if let Some(mut session) = kept
            && sqlx::Connection::ping(session.raw()).await.is_ok()
        {
            return Ok(session);
        }
        let mut session = self.database.connect().await?;
        session.set(SETTINGS).await?;
        check_version(&mut session).await?;
        Ok(session)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There must be a ledger that has what is asked for. The web process makes none: it may not write.
async fn check_version(session: &mut Session) -> Result<()> {
    match overview::state(session).await? {
        LedgerState::Ready => Ok(()),
        LedgerState::Older => Err(Error::new(
            ErrorKind::Schema,
            "the ledger was written by an older version of nightferry, which kept less than is shown here",
        )
        .hint("the first night of this version brings it up to date")),
        LedgerState::Missing => {
            Err(Error::new(ErrorKind::Schema, "the warehouse has no ledger yet: no night was here")
                .hint("`nightferry run night` makes one, or the worker at the time of its schedule"))
        }
    }
}

/// An error of a question to the ledger.
fn unread(error: sqlx::Error) -> Error {
    failed("cannot read the ledger", error)
}
