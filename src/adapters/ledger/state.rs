//! Whether there is a ledger that can be read, and what there is to say where there is none.

use serde::Serialize;

use super::store::MIGRATOR;
use crate::adapters::postgres::{Session, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::format::capital;

/// Whether there is a ledger that this version can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerState {
    /// It can be read.
    Ready,
    /// No night was here yet.
    Missing,
    /// An older version made it, and no night of this one was here yet.
    Older,
}

impl LedgerState {
    /// A ledger is older while a migration of this version has not come to it.
    pub(super) async fn of(session: &mut Session) -> Result<Self> {
        let doing = |error| failed("cannot look for the ledger", error);
        let (is_there, has_versions): (bool, bool) = sqlx::query_as(
            "select to_regclass('nightferry.runs') is not null, to_regclass('nightferry._sqlx_migrations') is not null",
        )
        .fetch_one(session.raw())
        .await
        .map_err(doing)?;
        match (is_there, has_versions) {
            (false, _) => return Ok(Self::Missing),
            (true, false) => return Ok(Self::Older),
            (true, true) => {}
        }
        let version: Option<i64> =
            sqlx::query_scalar("select max(version) from nightferry._sqlx_migrations where success")
                .fetch_one(session.raw())
                .await
                .map_err(doing)?;
        let newest = MIGRATOR.iter().map(|migration| migration.version).max();
        Ok(if version >= newest { Self::Ready } else { Self::Older })
    }

    /// What is wrong with a ledger that cannot be read, and what to do. Who only looks makes none.
    fn words(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Ready => None,
            Self::Missing => Some([
                "the warehouse has no ledger yet: no night was here",
                "`nightferry check` says what is missing; `nightferry run night` makes one, or the worker at the time of its schedule",
            ]),
            Self::Older => Some([
                "the ledger was written by an older version of nightferry, which kept less than is shown here",
                "the next night, or `nightferry adopt`, brings it to this version",
            ]),
        }
    }

    /// The error of who cannot go on without a ledger.
    #[must_use]
    pub fn trouble(self) -> Option<Error> {
        self.words().map(|[wrong, hint]| Error::new(ErrorKind::Schema, wrong).hint(hint))
    }

    /// The same for who can: two sentences.
    #[must_use]
    pub fn sentences(self) -> Option<String> {
        self.words().map(|words| words.map(|words| format!("{}.", capital(words))).join(" "))
    }
}
