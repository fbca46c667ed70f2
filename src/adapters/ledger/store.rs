//! The ledger's connection, its migrations, its generations and what was adopted.

use sqlx::migrate::Migrator;
use tokio::sync::Mutex;

use crate::adapters::postgres::catalog::Object;
use crate::adapters::postgres::{Database, Session, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{RunId, TableName};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// An object that a generation brought.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct ObjectRow {
    /// The catalog's word for its kind, as `pg_identify_object` gives it.
    pub kind: String,
    /// Its schema.
    pub schema_name: String,
    /// Its name.
    pub object_name: String,
    /// Its whole identity, argument types included.
    pub identity: String,
}

impl From<&Object> for ObjectRow {
    fn from(object: &Object) -> Self {
        Self {
            kind: object.kind.clone(),
            schema_name: object.schema_name.clone(),
            object_name: object.object_name.clone(),
            identity: object.identity.clone(),
        }
    }
}

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

impl Ledger {
    /// Opens the ledger and brings it to this version; creates it at first contact.
    ///
    /// # Errors
    /// The warehouse cannot be reached, or the role may not create a schema.
    pub async fn open(database: &Database) -> Result<Self> {
        let mut session = database.connect().await?;
        session.execute("create schema if not exists nightferry").await.map_err(|error| {
            error
                .context("cannot create the ledger")
                .hint("grant CREATE on the warehouse database to the role")
        })?;
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

    /// A session for one statement; a dead one is replaced first.
    pub(super) async fn session(&self) -> Result<tokio::sync::MutexGuard<'_, Session>> {
        let mut session = self.session.lock().await;
        if sqlx::Connection::ping(session.raw()).await.is_err() {
            *session = self.database.connect().await?;
        }
        Ok(session)
    }

    /// The objects that the live generation brought.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn live_objects(&self) -> Result<Vec<ObjectRow>> {
        sqlx::query_as(
            "select kind, schema_name, object_name, identity
             from nightferry.generation_objects join nightferry.generations using (generation_id)
             where state in ('live', 'next') order by kind, identity",
        )
        .fetch_all(self.session().await?.raw())
        .await
        .map_err(|error| failed("cannot read the generations of the ledger", error))
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

    /// Opens the generation of a night, on the session and in the transaction that makes it: what is in the warehouse and
    /// what the ledger says of it never differ.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn open_generation(
        &self,
        session: &mut Session,
        run: &RunId,
        objects: &[ObjectRow],
    ) -> Result<()> {
        let doing = |error| failed("cannot write the generation to the ledger", error);
        sqlx::query("update nightferry.generations set state = 'dropped' where state in ('live', 'next')")
            .execute(session.raw())
            .await
            .map_err(doing)?;
        sqlx::query(
            "insert into nightferry.generations (run_id, mode, state) values ($1, 'in_place', 'next')",
        )
        .bind(run.as_str())
        .execute(session.raw())
        .await
        .map_err(doing)?;
        add_objects(session, objects).await
    }

    /// Adds what the enrichment made to the generation of this night, in the transaction that made it: the next night
    /// replaces it too.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn extend_generation(&self, session: &mut Session, objects: &[ObjectRow]) -> Result<()> {
        add_objects(session, objects).await
    }

    /// Marks the generation of a run live; the one before it is `dropped` in place, `previous` after a swap.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn publish_generation(&self, run: &RunId) -> Result<()> {
        let mut session = self.session().await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "begin;
             update nightferry.generations set state = 'dropped' where state = 'live';
             update nightferry.generations set state = 'live', published_at = now() where state = 'next' and run_id = {run};
             commit",
            run = crate::adapters::postgres::ident::literal(run.as_str())
        )))
        .execute(session.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot mark the generation live in the ledger", error))
    }
}

async fn add_objects(session: &mut Session, objects: &[ObjectRow]) -> Result<()> {
    let column = |of: fn(&ObjectRow) -> &str| objects.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "insert into nightferry.generation_objects
         select g.generation_id, o.* from nightferry.generations g, unnest($1::text[], $2::text[], $3::text[], $4::text[]) as o
         where g.state = 'next' on conflict do nothing",
    )
    .bind(column(|object| &object.kind))
    .bind(column(|object| &object.schema_name))
    .bind(column(|object| &object.object_name))
    .bind(column(|object| &object.identity))
    .execute(session.raw())
    .await
    .map(|_| ())
    .map_err(|error| failed("cannot write the generation's objects to the ledger", error))
}
