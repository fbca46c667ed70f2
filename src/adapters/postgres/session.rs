//! A database we can reach, and one session on it.
//!
//! Sessions are made without statement time limits of the server's own, with a name that shows in `pg_stat_activity`
//! who is at work, and (PostgreSQL 14 and later) with `client_connection_check_interval`, so that a server notices a
//! client that died in the middle of a long statement.
//!
//! A source may be behind a pooler that gives a session another connection at each transaction, and that connection to others
//! afterwards. There a session is never outside a transaction, which is rolled back at its end with all its settings: what one set
//! would else stay set for an application. For the same reason questions to a source are not `persistent`: a statement
//! that is prepared by name would be found by the next one who takes that name.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::sync::OnceCell;

use super::failure::{connecting, failed};
use super::fence::Fence;
use crate::config::DatabaseUrl;
use crate::error::{Error, ErrorKind, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A database that sessions are opened on. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Database {
    options: PgConnectOptions,
    url: DatabaseUrl,
    role: &'static str,
    is_pooled: Arc<OnceCell<bool>>,
    fence: Option<Fence>,
}

impl Database {
    /// The database behind a URL; `role` (`source`, `warehouse`) names it in errors.
    ///
    /// # Errors
    /// The URL has parameters that the driver does not understand.
    pub fn new(url: &DatabaseUrl, role: &'static str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url.expose()).map_err(|error| {
            // The driver's text may quote the URL; only its kind is kept.
            drop(error);
            Error::new(ErrorKind::Configuration, format!("the {role} URL ({url}) has an unknown parameter"))
        })?;
        let options =
            options.application_name("nightferry").extra_float_digits(None).disable_statement_logging();
        Ok(Self { options, url: url.clone(), role, is_pooled: Arc::default(), fence: None })
    }

    /// Shows `name` as the application name of the sessions to come.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.options = self.options.application_name(name);
        self
    }

    /// Lets sessions in only while the holder of the lock holds it.
    #[must_use]
    pub(super) fn fenced(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// `source` or `warehouse`.
    #[must_use]
    pub fn role(&self) -> &'static str {
        self.role
    }

    /// The URL, for the environment of pg_dump and for messages.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Opens a session.
    ///
    /// # Errors
    /// The server cannot be reached or refuses the role.
    pub async fn connect(&self) -> Result<Session> {
        let is_pooled = self.is_pooled().await?;
        let mut session = Session::new(self.open().await?, is_pooled);
        if is_pooled {
            session.execute("begin").await?;
        }
        session.set(SESSION_SETTINGS).await?;
        if let Some(fence) = &self.fence {
            fence.pass(&mut session).await?;
        }
        Ok(session)
    }

    /// Whether a transaction pooler is in between: then the connection of one session shows up under another, or changes while
    /// that one is in a transaction. Asked of sources only: nothing can be locked or written through one.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn is_pooled(&self) -> Result<bool> {
        if self.role != "source" {
            return Ok(false);
        }
        // On the heap, as the connecting itself: whatever opens a session would carry it along.
        self.is_pooled.get_or_try_init(|| Box::pin(self.look_for_pooler())).await.copied()
    }

    async fn look_for_pooler(&self) -> Result<bool> {
        let open = async || Ok(Session::new(self.open().await?, false));
        let (mut one, mut other) = futures::try_join!(open(), open())?;
        let before = one.backend().await?;
        other.execute("begin").await?;
        let beside = other.backend().await?;
        let after = one.backend().await?;
        other.execute("rollback").await?;
        futures::join!(one.close(), other.close());
        Ok(before == beside || before != after)
    }

    async fn open(&self) -> Result<PgConnection> {
        let doing = || format!("cannot connect to the {} ({})", self.role, self.url);
        tokio::time::timeout(CONNECT_TIMEOUT, Box::pin(PgConnection::connect_with(&self.options)))
            .await
            .map_err(|_| {
                Error::new(ErrorKind::Timeout, doing())
                    .hint("no answer within 30 s: check host, port and firewall")
            })?
            .map_err(|error| connecting(doing(), error))
    }
}

/// Limits that a role or a database may carry are lifted: a night has statements of hours. Dates and floats are
/// written in the one form that every version reads back.
const SESSION_SETTINGS: &str = include_str!("../../../sql/catalog/session_settings.sql");

/// One connection. Dropped in the middle of a COPY, it closes and the server rolls back.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
    in_copy: bool,
    /// Whether it is never outside a transaction.
    is_pooled: bool,
    settings: Vec<String>,
}

impl Session {
    fn new(connection: PgConnection, is_pooled: bool) -> Self {
        Self { connection, in_copy: false, is_pooled, settings: Vec::new() }
    }

    /// Runs statements that change settings, for as long as the session lives.
    ///
    /// # Errors
    /// The server refuses one of them.
    pub async fn set(&mut self, settings: &str) -> Result<()> {
        self.execute(settings).await?;
        self.settings.push(settings.to_owned());
        Ok(())
    }

    /// Begins a transaction that changes nothing, so (`isolation level repeatable read read only`).
    ///
    /// # Errors
    /// The server refuses it.
    pub async fn begin(&mut self, so: &str) -> Result<()> {
        if self.is_pooled {
            let settings = self.settings.join("; ");
            return self.execute(&format!("rollback; begin {so}; {settings}")).await;
        }
        self.execute(&format!("begin {so}")).await
    }

    /// Ends a transaction that changed nothing.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn end(&mut self) -> Result<()> {
        if self.is_pooled { self.begin("").await } else { self.execute("rollback").await }
    }

    async fn backend(&mut self) -> Result<i32> {
        let doing = "cannot ask for the server's process";
        // The simple protocol: it needs no statement that is prepared.
        let row = sqlx::raw_sql("select pg_backend_pid()").fetch_one(&mut self.connection).await;
        row.and_then(|row| row.try_get(0)).map_err(|error| failed(doing, error))
    }

    /// Runs one or more statements without parameters, in one round trip.
    ///
    /// # Errors
    /// The server refuses one of them; none after it ran. Or the session was left in the middle of a COPY.
    pub async fn execute(&mut self, sql: &str) -> Result<()> {
        self.check_usable()?;
        self.connection
            .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await
            .map(|_| ())
            .map_err(|error| failed(summary(sql), error))
    }

    /// Runs one statement, and counts the rows that it inserted, updated or deleted.
    ///
    /// # Errors
    /// The server refuses it. Or the session was left in the middle of a COPY.
    pub async fn affected(&mut self, sql: &str) -> Result<u64> {
        self.check_usable()?;
        self.connection
            .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
            .await
            .map(|done| done.rows_affected())
            .map_err(|error| failed(summary(sql), error))
    }

    /// Marks the session as being in a COPY. Until [`Self::end_copy`] it cannot be used: the driver does not find its
    /// way back from a COPY that broke off, and would take its late answers for those of the next statement.
    pub(in crate::adapters) fn begin_copy(&mut self) -> Result<()> {
        self.check_usable()?;
        self.in_copy = true;
        Ok(())
    }

    /// The COPY has ended, and all of the server's answers were read.
    pub(in crate::adapters) fn end_copy(&mut self) {
        self.in_copy = false;
    }

    fn check_usable(&self) -> Result<()> {
        if !self.in_copy {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Connection,
            "the session was left in the middle of a COPY and must be closed",
        ))
    }

    /// The driver's connection, for the adapters.
    pub(in crate::adapters) fn raw(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Says goodbye. Dropping a session closes it too, without waiting.
    pub async fn close(mut self) {
        if self.is_pooled && !self.in_copy {
            // The connection is somebody else's next.
            let _ = self.execute("rollback").await;
        }
        // Nothing is lost when the goodbye does not arrive.
        let _ = self.connection.close().await;
    }
}

/// The first line of a statement that says something, short enough for an error.
pub(in crate::adapters) fn summary(sql: &str) -> String {
    let says_something =
        |line: &&str| !line.is_empty() && !["--", "savepoint "].iter().any(|start| line.starts_with(start));
    let line = sql.lines().map(str::trim).find(says_something).unwrap_or("");
    let mut short: String = line.chars().take(120).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    format!("statement failed ({short})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_statement_and_not_what_is_around_it() {
        let script = "savepoint attempt;\n-- analysts' own\nCREATE VIEW bi.v AS\n SELECT 1\n;release savepoint attempt";
        assert_eq!(summary(script), "statement failed (CREATE VIEW bi.v AS)");
    }
}
