//! A database we can reach, and one session on it.
//!
//! Sessions are made without statement time limits of the server's own, with a name that shows in `pg_stat_activity`
//! who is at work, and (PostgreSQL 14 and later) with `client_connection_check_interval`, so that a server notices a
//! client that died in the middle of a long statement.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::failure::{connecting, failed};
use crate::config::DatabaseUrl;
use crate::error::{Error, ErrorKind, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A database that sessions are opened on. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Database {
    options: PgConnectOptions,
    url: DatabaseUrl,
    role: &'static str,
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
        let options = options.application_name("nightferry").disable_statement_logging();
        Ok(Self { options, url: url.clone(), role })
    }

    /// Shows `name` as the application name of the sessions to come.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.options = self.options.application_name(name);
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
        let doing = || format!("cannot connect to the {} ({})", self.role, self.url);
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options))
            .await
            .map_err(|_| {
                Error::new(ErrorKind::Timeout, doing())
                    .hint("no answer within 30 s: check host, port and firewall")
            })?
            .map_err(|error| connecting(doing(), error))?;
        let mut session = Session { connection, in_copy: false };
        session.execute(SESSION_SETTINGS).await?;
        Ok(session)
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
}

impl Session {
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
    pub async fn close(self) {
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
