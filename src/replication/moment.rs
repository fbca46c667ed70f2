//! A side at one moment: every session of it sees the same rows, however long the work takes.

use std::time::Duration;

use crate::adapters::postgres::catalog;
use crate::adapters::postgres::{Database, Session, ident};
use crate::error::{Error, Result};

/// Proxies cut connections that are silent for long.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Names come back qualified, and amounts of money the same whatever the server's language.
const SETTINGS: &str = "set search_path = ''; set lc_monetary = 'C'";

/// A moment of a database, held by one transaction that reads no table: nobody waits for it, in the day either.
#[derive(Debug)]
pub(super) struct Moment {
    shared: Shared,
    /// The session that holds it: for the catalogs.
    pub(super) session: Session,
}

impl Moment {
    /// Takes it.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(super) async fn of(database: Database) -> Result<Self> {
        let mut session = database.connect().await?;
        session.set(SETTINGS).await?;
        session.begin("isolation level repeatable read read only").await?;
        let snapshot = catalog::text(&mut session, "select pg_export_snapshot()").await?;
        Ok(Self { shared: Shared { database, snapshot }, session })
    }

    /// What others need to see the same, while this one is held.
    pub(super) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// As [`Shared::reader`].
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(super) async fn reader(&self, settings: &str) -> Result<Reader> {
        self.shared.reader(settings).await
    }

    /// Holds it, and ends only when it is lost.
    pub(super) async fn hold(&mut self) -> Error {
        loop {
            tokio::time::sleep(KEEPALIVE).await;
            if let Err(error) = self.session.execute("select 1").await {
                return error.context(format!("lost the snapshot of the {}", self.shared.database.role()));
            }
        }
    }
}

/// The way to a moment that another session holds.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    database: Database,
    snapshot: String,
}

impl Shared {
    /// Another session that sees the same, with these settings.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(super) async fn reader(&self, settings: &str) -> Result<Reader> {
        let mut session = self.database.connect().await?;
        session.set(SETTINGS).await?;
        session.set(settings).await?;
        let begin = format!(
            "isolation level repeatable read read only; set transaction snapshot {}",
            ident::literal(&self.snapshot)
        );
        Ok(Reader { session, begin, role: self.database.role() })
    }
}

/// A session that reads tables of a moment, one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) session: Session,
    begin: String,
    role: &'static str,
}

impl Reader {
    /// Begins with a table. Each is read in a transaction of its own, so that none stays locked against a migration while
    /// others are read.
    ///
    /// # Errors
    /// The snapshot is gone.
    pub(super) async fn begin(&mut self) -> Result<()> {
        self.session.begin(&self.begin).await.map_err(|error| {
            error
                .context(format!("cannot share the snapshot of the {}", self.role))
                .hint("is it behind a load balancer or a pooler? Name the server itself")
        })
    }

    /// Lets go of the table.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(super) async fn end(&mut self) -> Result<()> {
        self.session.end().await
    }
}
