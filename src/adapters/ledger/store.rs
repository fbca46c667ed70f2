//! The ledger's connection, its migrations and what was adopted.

use std::future::Future;
use std::time::Duration;

use sqlx::migrate::Migrator;
use tokio::sync::Mutex;

use crate::adapters::postgres::{Database, Session, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// What an operator said of a table that was there before nightferry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Never touched.
    Kept,
    /// Replaced where the source has it.
    Replaced,
}

impl Disposition {
    /// The word in the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Replaced => "replaced",
        }
    }
}

/// The ledger of one warehouse. It reconnects by itself: a proxy may cut a connection that is silent for long.
#[derive(Debug)]
pub struct Ledger {
    database: Database,
    session: Mutex<Session>,
}

/// Asks the ledger, or tells it something, and waits no longer than that.
///
/// # Errors
/// Those of the question; the warehouse does not answer in time.
pub async fn in_time<T>(limit: Duration, asking: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, "the warehouse does not answer").hint(
            "is it overloaded, or does a firewall swallow what is sent to the host of TARGET_DATABASE_URL?",
        ))
    })
}

impl Ledger {
    /// Opens the ledger and brings it to this version; creates it at first contact.
    ///
    /// # Errors
    /// The warehouse cannot be reached, or the role may not create a schema.
    pub async fn open(database: &Database) -> Result<Self> {
        let mut session = database.connect().await?;
        let create = "create schema if not exists nightferry";
        // Of a push and a night that are both the first, one fails: it was made under its hands.
        if session.execute(create).await.is_err() {
            session.execute(create).await.map_err(|error| {
                error
                    .context("cannot create the ledger")
                    .hint("grant CREATE on the warehouse database to the role")
            })?;
        }
        // The migrator keeps its own table in the first schema of the path.
        session.execute("set search_path to nightferry").await?;
        // `run` would make every future that opens a ledger impossible to spawn.
        MIGRATOR.run_direct(None, session.raw(), false).await.map_err(|error| {
            Error::new(ErrorKind::Schema, "cannot bring the ledger to this version")
                .hint("was a newer nightferry here before? Run that version, or a newer one")
                .because(error)
        })?;
        session.execute("reset search_path").await?;
        Ok(Self { database: database.clone(), session: Mutex::new(session) })
    }

    /// Opens the ledger where there is one, changing nothing.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn open_existing(database: &Database) -> Result<Option<Self>> {
        let mut session = database.connect().await?;
        let there: bool =
            sqlx::query_scalar("select to_regclass('nightferry.generation_objects') is not null")
                .fetch_one(session.raw())
                .await
                .map_err(|error| failed("cannot look for the ledger", error))?;
        Ok(there.then(|| Self { database: database.clone(), session: Mutex::new(session) }))
    }

    /// The warehouse that it is in.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// A session for one statement; a dead one is replaced first.
    pub(super) async fn session(&self) -> Result<tokio::sync::MutexGuard<'_, Session>> {
        let mut session = self.session.lock().await;
        if sqlx::Connection::ping(session.raw()).await.is_err() {
            *session = self.database.connect().await?;
        }
        Ok(session)
    }

    /// Writes down what an operator accepted at first contact.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn adopt(&self, tables: &[(TableName, Disposition)]) -> Result<()> {
        let mut session = self.session().await?;
        let doing = |error| failed("cannot write the adoption to the ledger", error);
        let (schemas, names): (Vec<_>, Vec<_>) =
            tables.iter().map(|(table, _)| (table.schema.as_str(), table.name.as_str())).unzip();
        let dispositions: Vec<&str> = tables.iter().map(|(_, disposition)| disposition.name()).collect();
        sqlx::query(
            "with mark as (insert into nightferry.warehouse default values on conflict do nothing)
             insert into nightferry.adopted (schema_name, table_name, disposition)
             select * from unnest($1::text[], $2::text[], $3::text[])
             on conflict (schema_name, table_name) do update set disposition = excluded.disposition",
        )
        .bind(schemas)
        .bind(names)
        .bind(dispositions)
        .execute(session.raw())
        .await
        .map_err(doing)?;
        Ok(())
    }

    /// Whether this warehouse is known, and what was adopted.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn adopted(&self) -> Result<Option<Vec<(TableName, Disposition)>>> {
        let mut session = self.session().await?;
        let doing = |error| failed("cannot read the adoption in the ledger", error);
        let known: bool = sqlx::query_scalar("select exists (select from nightferry.warehouse)")
            .fetch_one(session.raw())
            .await
            .map_err(doing)?;
        let rows: Vec<(String, String, bool)> =
            sqlx::query_as("select schema_name, table_name, disposition = 'kept' from nightferry.adopted")
                .fetch_all(session.raw())
                .await
                .map_err(doing)?;
        let disposition = |kept| if kept { Disposition::Kept } else { Disposition::Replaced };
        let tables =
            rows.into_iter().map(|(schema, name, kept)| (TableName::new(schema, name), disposition(kept)));
        Ok(known.then(|| tables.collect()))
    }
}
