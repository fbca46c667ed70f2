//! The one error type: what kind it is, what was being done, what the operator can do, and what caused it.
//!
//! The kind alone decides whether trying again can help. Texts are lowercase, without a full stop and without a
//! secret: they end up in logs, in the ledger, in the queue and in webhooks.

use std::error::Error as StdError;
use std::fmt;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure this is; it answers "retry or not".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A variable or an argument is missing or wrong.
    Configuration,
    /// A guard said no: the same database twice, a warehouse that was not adopted, content that lost a table.
    Refused,
    /// The role may not do this.
    Privilege,
    /// The two sides do not fit: a missing table, an object that cannot be created, a column that is gone.
    Schema,
    /// Values that cannot be stored or read.
    Data,
    /// Counts or objects differ after the copy.
    Verification,
    /// pg_dump or pg_restore is missing, too old, or failed.
    Tool,
    /// A connection could not be made or broke.
    Connection,
    /// Something took longer than it was given, a lock included.
    Timeout,
    /// A peer answered with a server error (HTTP 5xx or 429).
    Unavailable,
    /// A peer refused the request (HTTP 4xx).
    Rejected,
    /// Another job holds the warehouse.
    Busy,
    /// The process was asked to stop, or died, in the middle.
    Interrupted,
    /// An operator cancelled it.
    Cancelled,
    /// Everything else: a file that cannot be written, a bug.
    Internal,
}

impl ErrorKind {
    /// Whether the same work can succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Connection | Self::Timeout | Self::Unavailable | Self::Busy | Self::Internal)
    }

    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::Configuration,
        Self::Refused,
        Self::Privilege,
        Self::Schema,
        Self::Data,
        Self::Verification,
        Self::Tool,
        Self::Connection,
        Self::Timeout,
        Self::Unavailable,
        Self::Rejected,
        Self::Busy,
        Self::Interrupted,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The stable name used in the ledger, in logs and in webhooks.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Refused => "refused",
            Self::Privilege => "privilege",
            Self::Schema => "schema",
            Self::Data => "data",
            Self::Verification => "verification",
            Self::Tool => "tool",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Rejected => "rejected",
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// An error with its kind, its context, a hint and its cause. `Display` prints the whole sentence, cause included.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind; `context` says what was being done or what is wrong.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), hint: None, source: None }
    }

    /// What the operator can do about it; an empty text is none.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        self
    }

    /// More of what the operator must know, behind what there is.
    #[must_use]
    pub fn also_hint(self, more: &str) -> Self {
        let hint = match &self.hint {
            Some(hint) => format!("{hint}; {more}"),
            None => more.to_owned(),
        };
        self.hint(hint)
    }

    /// What caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts what was being done in front, keeping kind, hint and cause.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.context = format!("{doing}: {}", self.context);
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The hint for the operator, where there is one.
    #[must_use]
    pub fn operator_hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        let mut cause = self.source.as_deref().map(|source| source as &dyn StdError);
        let mut said = self.context.clone();
        while let Some(error) = cause {
            let text = error.to_string();
            // Libraries often repeat their cause in their own text; say it once.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_what_was_being_done_and_each_cause_once() {
        let io = std::io::Error::other("disk full");
        let error = Error::new(ErrorKind::Internal, "cannot write toc").because(io).context("fetch");
        assert_eq!(error.to_string(), "fetch: cannot write toc: disk full");
    }

    #[test]
    fn a_hint_that_says_nothing_is_none() {
        let error = Error::new(ErrorKind::Refused, "no").hint(String::new());
        assert_eq!(error.operator_hint(), None);
        assert_eq!(error.also_hint("do this").operator_hint(), Some("do this"));
    }

    #[test]
    fn what_can_never_succeed_is_not_retried() {
        for kind in [ErrorKind::Configuration, ErrorKind::Privilege, ErrorKind::Schema, ErrorKind::Refused] {
            assert!(!kind.is_retryable(), "{}", kind.name());
        }
        assert!(ErrorKind::Connection.is_retryable() && ErrorKind::Unavailable.is_retryable());
    }
}
