//! Reads the ledger for people: for the pages and the measures of the web process, for `status` and `history`, for the bars of a command.
//!
//! Few sessions, which can only read and may not take long: a look must not be felt by the night that it looks at. They are kept for the
//! next question, and opened again when the warehouse was away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow};
use tokio::sync::Semaphore;

use super::state::LedgerState;
use super::store::in_time;
use crate::adapters::postgres::{Database, Session, failed};
use crate::error::{Error, ErrorKind, Result};

/// How many questions are asked at once.
const SESSIONS: usize = 2;
/// What an answer is waited for.
const LIMIT: Duration = Duration::from_secs(8);
/// A kept session that says nothing for so long was forgotten on the way, by a proxy or a firewall.
const PING_LIMIT: Duration = Duration::from_secs(1);
const SETTINGS: &str = "set default_transaction_read_only = on; set statement_timeout = '5s'; set lock_timeout = '2s'; set jit = off";

/// Lends sessions on the ledger, one for each question.
#[derive(Debug)]
pub struct LedgerReader {
    database: Database,
    free: Semaphore,
    idle: Mutex<Vec<LedgerView>>,
}

impl LedgerReader {
    /// A reader that has no session yet. They will show themselves as `name` in `pg_stat_activity`.
    #[must_use]
    pub fn new(database: Database, name: &str) -> Self {
        Self { database: database.named(name), free: Semaphore::new(SESSIONS), idle: Mutex::default() }
    }

    /// Asks, and waits for the answer no longer than 8 s. Whoever gives up earlier does no harm: a session on which a question failed,
    /// or was left in the middle, is closed.
    ///
    /// # Errors
    /// Those of the question; the warehouse cannot be reached, or does not answer in time.
    pub async fn ask<T>(&self, question: impl AsyncFnOnce(&mut LedgerView) -> Result<T>) -> Result<T> {
        in_time(LIMIT, async {
            let _free = self.free.acquire().await.map_err(|error| {
                Error::new(ErrorKind::Internal, "the sessions of the reader are gone").because(error)
            })?;
            let mut view = self.view().await?;
            let answer = question(&mut view).await?;
            self.idle().push(view);
            Ok(answer)
        })
        .await
    }

    /// Asks what cannot be answered without a ledger of this version.
    ///
    /// # Errors
    /// Those of [`LedgerReader::ask`]; there is no such ledger.
    pub async fn read<T>(&self, question: impl AsyncFnOnce(&mut LedgerView) -> Result<T>) -> Result<T> {
        self.ask(async |view| match view.state().await?.trouble() {
            None => question(view).await.map(Ok),
            // That is an answer, too: the session is kept.
            Some(trouble) => Ok(Err(trouble)),
        })
        .await?
    }

    /// Whether the warehouse answers; the ledger may be missing.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn look(&self) -> Result<()> {
        let Ok(_free) = self.free.try_acquire() else {
            // Beside the others: that they are busy does not mean that the warehouse is away.
            self.database.connect().await?.close().await;
            return Ok(());
        };
        let view = self.view().await?;
        self.idle().push(view);
        Ok(())
    }

    async fn view(&self) -> Result<LedgerView> {
        let kept = self.idle().pop();
        if let Some(mut view) = kept
            && view.answers().await
        {
            return Ok(view);
        }
        LedgerView::open(&self.database).await
    }

    fn idle(&self) -> MutexGuard<'_, Vec<LedgerView>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ledger and the warehouse around it, on one session. What can be asked stands in the files of this folder, by who asks it.
#[derive(Debug)]
pub struct LedgerView {
    pub(super) session: Session,
    is_ready: bool,
}

/// A question to the ledger.
pub(super) type Query<'a, T> = QueryAs<'a, Postgres, T, PgArguments>;

/// A question whose words were put together: of those of this program, and never of what somebody has typed.
pub(super) fn composed<'a, T: Row>(sql: String) -> Query<'a, T> {
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
}

impl LedgerView {
    async fn open(database: &Database) -> Result<Self> {
        let mut session = database.connect().await?;
        session.set(SETTINGS).await?;
        Ok(Self { session, is_ready: false })
    }

    async fn answers(&mut self) -> bool {
        let ping = tokio::time::timeout(PING_LIMIT, self.session.raw().ping());
        ping.await.is_ok_and(|answer| answer.is_ok())
    }

    /// Whether the ledger can be read; asked anew where it could not.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn state(&mut self) -> Result<LedgerState> {
        if self.is_ready {
            return Ok(LedgerState::Ready);
        }
        let state = LedgerState::of(&mut self.session).await?;
        self.is_ready = state == LedgerState::Ready;
        Ok(state)
    }

    /// All rows of an answer; `doing` is what an error says.
    pub(super) async fn all<T: Row>(&mut self, doing: &str, query: Query<'_, T>) -> Result<Vec<T>> {
        query.fetch_all(self.session.raw()).await.map_err(|error| failed(doing, error))
    }

    /// The one row of an answer.
    pub(super) async fn one<T: Row>(&mut self, doing: &str, query: Query<'_, T>) -> Result<T> {
        query.fetch_one(self.session.raw()).await.map_err(|error| failed(doing, error))
    }

    /// The first row of an answer that may have none.
    pub(super) async fn first<T: Row>(&mut self, doing: &str, query: Query<'_, T>) -> Result<Option<T>> {
        query.fetch_optional(self.session.raw()).await.map_err(|error| failed(doing, error))
    }
}

/// What an answer is made of.
pub(super) trait Row: for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T: for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}
