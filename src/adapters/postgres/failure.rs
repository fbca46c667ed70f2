//! What a driver's error means for the operator: SQLSTATE to kind and hint (PostgreSQL manual, appendix A).

use crate::error::{Error, ErrorKind};

/// An error of a statement on an open session.
pub(in crate::adapters) fn failed(doing: impl Into<String>, error: sqlx::Error) -> Error {
    let (kind, hint) = classify(&error);
    with_hint(Error::new(kind, doing), hint).because(Cause::from(error))
}

/// An error while connecting: an I/O error is a connection error here whatever it says.
pub(in crate::adapters) fn connecting(doing: impl Into<String>, error: sqlx::Error) -> Error {
    let (kind, hint) = classify(&error);
    let hint = hint.or((kind == ErrorKind::Connection)
        .then_some("check that the server runs and that host, port and sslmode are right"));
    with_hint(Error::new(kind, doing), hint).because(Cause::from(error))
}

fn with_hint(error: Error, hint: Option<&'static str>) -> Error {
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn classify(error: &sqlx::Error) -> (ErrorKind, Option<&'static str>) {
    match error {
        sqlx::Error::Database(database) => from_sqlstate(database.code().as_deref().unwrap_or("")),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Connection, None)
        }
        sqlx::Error::PoolTimedOut => (ErrorKind::Timeout, None),
        sqlx::Error::Configuration(_) => (ErrorKind::Configuration, None),
        _ => (ErrorKind::Internal, None),
    }
}

/// The kind of an SQLSTATE, and a hint where the server's own text does not say what to do.
#[must_use]
pub(super) fn from_sqlstate(code: &str) -> (ErrorKind, Option<&'static str>) {
    match code {
        "28P01" | "28000" => (ErrorKind::Configuration, Some("check user, password and pg_hba.conf")),
        "3D000" => (ErrorKind::Configuration, Some("the database does not exist: check the name in the URL")),
        "42501" => (
            ErrorKind::Privilege,
            Some("grant the role what the message names, or use the owner of the objects"),
        ),
        "55P03" => {
            (ErrorKind::Timeout, Some("another session holds the lock: see pg_locks and pg_stat_activity"))
        }
        "57014" => {
            (ErrorKind::Timeout, Some("the statement was cancelled or reached a time limit of the server"))
        }
        "40001" | "40P01" => (ErrorKind::Timeout, None),
        "53100" => {
            (ErrorKind::Internal, Some("the disk of the server is full: make room, then run the stage again"))
        }
        "53200" => (ErrorKind::Internal, Some("raise max_locks_per_transaction, or memory, on the server")),
        "53300" => (ErrorKind::Connection, Some("the server has no connection left: lower PG_RESTORE_JOBS")),
        "25006" => {
            (ErrorKind::Configuration, Some("the database is read-only: is the URL that of a standby?"))
        }
        _ => match code.get(..2).unwrap_or("") {
            "08" | "57" => (ErrorKind::Connection, None),
            "22" | "23" => (ErrorKind::Data, None),
            "42" | "2B" | "0A" | "3F" => (ErrorKind::Schema, None),
            "53" => (ErrorKind::Unavailable, None),
            "58" | "XX" => (ErrorKind::Internal, None),
            _ => (ErrorKind::Data, None),
        },
    }
}

/// A database error with what the server added to its message (detail, where); other errors as they are.
#[derive(Debug)]
struct Cause(String);

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        let database = match &error {
            sqlx::Error::Database(database) => database,
            // The driver tells of the bytes that it missed; the operator wants to know what that means.
            sqlx::Error::Io(io) if is_closed(io.kind()) => {
                return Self("the server closed the connection".to_owned());
            }
            _ => return Self(error.to_string()),
        };
        let mut text = database.message().to_owned();
        if let Some(postgres) = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            // `detail` of a unique or foreign-key violation quotes a row: personal data stays out of logs.
            if !postgres.code().starts_with("23")
                && let Some(detail) = postgres.detail()
            {
                text = format!("{text} ({detail})");
            }
        }
        if let Some(code) = database.code() {
            text = format!("{text} [{code}]");
        }
        Self(text)
    }
}

fn is_closed(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, UnexpectedEof | BrokenPipe | ConnectionReset | ConnectionAborted)
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_retried_and_a_missing_right_is_not() {
        assert!(from_sqlstate("08006").0.is_retryable());
        assert!(from_sqlstate("57P01").0.is_retryable());
        assert!(!from_sqlstate("42501").0.is_retryable());
        assert!(!from_sqlstate("28P01").0.is_retryable());
    }

    #[test]
    fn a_closed_connection_is_called_so() {
        let eof =
            std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "expected to read 511 bytes, got 76");
        let error = failed("reading", sqlx::Error::Io(eof));
        assert_eq!(error.to_string(), "reading: the server closed the connection");
        assert_eq!(error.kind(), ErrorKind::Connection);
    }
}
