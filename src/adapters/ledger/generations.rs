//! The generations: what each brought, which one is live, and where the others are.
//!
//! What changes them runs on the session, and in the transaction, that changes the warehouse: the two never differ.

use chrono::{DateTime, Utc};

use super::store::Ledger;
use crate::adapters::postgres::catalog::Object;
use crate::adapters::postgres::generation::Stored;
use crate::adapters::postgres::{Session, failed};
use crate::error::Result;
use crate::ids::RunId;

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

/// A schema that holds a generation which nobody reads.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredSchema {
    /// Whose it is.
    pub generation_id: i64,
    /// `next`: of a night that has not ended, or did not end well; `previous`: what was live before.
    pub state: String,
    /// The name that readers use.
    pub schema_name: String,
    /// The name that it has now.
    pub stored_as: String,
    /// Whether the schema is replicated; if not, only views and functions of others are in it.
    pub is_replicated: bool,
}

impl StoredSchema {
    /// Its two names.
    #[must_use]
    pub fn names(&self) -> Stored {
        Stored { home: self.schema_name.clone(), stored_as: self.stored_as.clone() }
    }
}

/// A generation as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Generation {
    /// Its number.
    pub generation_id: i64,
    /// The run that made it; none for what was there before nightferry.
    pub run_id: Option<String>,
    /// `swap` or `in_place`.
    pub mode: String,
    /// `next`, `live` or `previous`.
    pub state: String,
    /// Whether its objects change schemas when it changes places with another.
    pub moves_objects: bool,
    /// When its building began.
    pub created_at: DateTime<Utc>,
    /// When it became live.
    pub published_at: Option<DateTime<Utc>>,
}

/// How a generation comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth<'a> {
    /// In the place of the live one, which is gone.
    InPlace,
    /// In schemas of its own.
    Aside {
        /// Where.
        stored: &'a [Stored],
        /// Whether its objects will move to the schemas of readers, which keep their names.
        moves_objects: bool,
    },
}

impl Ledger {
    /// The objects under the names that readers use: those of the live generation, and of one that is being made, or was left
    /// unfinished, in its place.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn live_objects(&self) -> Result<Vec<ObjectRow>> {
        sqlx::query_as(
            "select distinct kind, schema_name, object_name, identity
             from nightferry.generation_objects join nightferry.generations using (generation_id)
             where state = 'live' or state = 'next' and mode = 'in_place' order by kind, identity",
        )
        .fetch_all(self.session().await?.raw())
        .await
        .map_err(|error| failed("cannot read the generations of the ledger", error))
    }

    /// The objects that one generation brought.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn objects_of(&self, generation: i64) -> Result<Vec<ObjectRow>> {
        sqlx::query_as(
            "select kind, schema_name, object_name, identity from nightferry.generation_objects
             where generation_id = $1 order by kind, identity",
        )
        .bind(generation)
        .fetch_all(self.session().await?.raw())
        .await
        .map_err(|error| failed("cannot read a generation of the ledger", error))
    }

    /// The generations that are there, the newest first.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn generations(&self) -> Result<Vec<Generation>> {
        sqlx::query_as(
            "select generation_id, run_id, mode, state, moves_objects, created_at, published_at
             from nightferry.generations where state <> 'dropped' order by generation_id desc",
        )
        .fetch_all(self.session().await?.raw())
        .await
        .map_err(|error| failed("cannot read the generations of the ledger", error))
    }

    /// The schemas of the generations that nobody reads. None in a ledger of a version that knew none.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn stored(&self) -> Result<Vec<StoredSchema>> {
        let mut session = self.session().await?;
        let doing = |error| failed("cannot read where the generations are", error);
        let known: bool = sqlx::query_scalar("select to_regclass('nightferry.stored_schemas') is not null")
            .fetch_one(session.raw())
            .await
            .map_err(doing)?;
        if !known {
            return Ok(Vec::new());
        }
        sqlx::query_as(
            "select generation_id, state, schema_name, stored_as, is_replicated
             from nightferry.stored_schemas join nightferry.generations using (generation_id) order by stored_as",
        )
        .fetch_all(session.raw())
        .await
        .map_err(doing)
    }

    /// The names that these schemas have now.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn stored_schemas(&self) -> Result<Vec<String>> {
        Ok(self.stored().await?.into_iter().map(|schema| schema.stored_as).collect())
    }

    /// Opens the generation of a night, and gives its number.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn open_generation(
        &self,
        session: &mut Session,
        run: &RunId,
        birth: Birth<'_>,
        objects: &[ObjectRow],
    ) -> Result<i64> {
        let doing = |error| failed("cannot write the generation to the ledger", error);
        let (mode, stored, moves_objects) = match birth {
            Birth::InPlace => ("in_place", &[][..], false),
            Birth::Aside { stored, moves_objects } => ("swap", stored, moves_objects),
        };
        // What a night in place left unfinished is what readers see.
        let change = match birth {
            Birth::InPlace => "set state = 'dropped' where state in ('live', 'next')",
            Birth::Aside { .. } => "set state = 'live' where state = 'next' and mode = 'in_place'",
        };
        session.execute(&format!("update nightferry.generations {change}")).await?;
        let generation: i64 = sqlx::query_scalar(
            "insert into nightferry.generations (run_id, mode, moves_objects, state) values ($1, $2, $3, 'next') returning generation_id",
        )
        .bind(run.as_str())
        .bind(mode)
        .bind(moves_objects)
        .fetch_one(session.raw())
        .await
        .map_err(doing)?;
        self.store_schemas(session, generation, stored, true).await?;
        self.hand_over(session, generation, objects).await?;
        Ok(generation)
    }

    /// Writes down where schemas of a generation are.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn store_schemas(
        &self,
        session: &mut Session,
        generation: i64,
        stored: &[Stored],
        is_replicated: bool,
    ) -> Result<()> {
        sqlx::query(
            "insert into nightferry.stored_schemas (generation_id, schema_name, stored_as, is_replicated)
             select $1, s.home, s.stored_as, $4 from unnest($2::text[], $3::text[]) as s (home, stored_as)
             on conflict (stored_as) do nothing",
        )
        .bind(generation)
        .bind(stored.iter().map(|one| one.home.as_str()).collect::<Vec<_>>())
        .bind(stored.iter().map(|one| one.stored_as.as_str()).collect::<Vec<_>>())
        .bind(is_replicated)
        .execute(session.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write to the ledger where a generation is", error))
    }

    /// Adds objects to the generation that is being made: the next night replaces them too.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn extend_generation(&self, session: &mut Session, objects: &[ObjectRow]) -> Result<()> {
        let next: Option<i64> =
            sqlx::query_scalar("select generation_id from nightferry.generations where state = 'next'")
                .fetch_optional(session.raw())
                .await
                .map_err(|error| failed("cannot read the generations of the ledger", error))?;
        match next {
            Some(next) => self.hand_over(session, next, objects).await,
            None => Ok(()),
        }
    }

    /// Marks the generation that a run made in place as live.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn publish_in_place(&self, run: &RunId) -> Result<()> {
        sqlx::query(
            "update nightferry.generations set state = 'live', published_at = now() where state = 'next' and run_id = $1",
        )
        .bind(run.as_str())
        .execute(self.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot mark the generation live in the ledger", error))
    }

    /// Exchanges the live generation for a stored one, which becomes live. What was live is the previous one from now on, in
    /// these schemas (replicated or not); `before` are its objects where no night had made it.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn exchange_generations(
        &self,
        session: &mut Session,
        incoming: i64,
        outgoing: &[(Stored, bool)],
        before: &[ObjectRow],
    ) -> Result<()> {
        let doing = |error| failed("cannot exchange the generations in the ledger", error);
        let live: Option<i64> = sqlx::query_scalar(
            "update nightferry.generations set state = case when $1 then 'dropped' else 'previous' end
             where state = 'live' returning generation_id",
        )
        .bind(outgoing.is_empty())
        .fetch_optional(session.raw())
        .await
        .map_err(doing)?;
        let outgoing_generation = match live {
            Some(live) => live,
            None if outgoing.is_empty() => incoming,
            None => sqlx::query_scalar(
                "insert into nightferry.generations (mode, state) values ('in_place', 'previous') returning generation_id",
            )
            .fetch_one(session.raw())
            .await
            .map_err(doing)?,
        };
        sqlx::query("delete from nightferry.stored_schemas where generation_id = $1")
            .bind(incoming)
            .execute(session.raw())
            .await
            .map_err(doing)?;
        for (stored, is_replicated) in outgoing {
            self.store_schemas(session, outgoing_generation, std::slice::from_ref(stored), *is_replicated)
                .await?;
        }
        if live.is_none() {
            self.hand_over(session, outgoing_generation, before).await?;
        }
        sqlx::query("update nightferry.generations set state = 'live', published_at = clock_timestamp() where generation_id = $1")
            .bind(incoming)
            .execute(session.raw())
            .await
            .map(|_| ())
            .map_err(doing)
    }

    /// Writes down that a generation is gone.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn drop_generation(&self, session: &mut Session, generation: i64) -> Result<()> {
        sqlx::query(
            "with gone as (delete from nightferry.stored_schemas where generation_id = $1)
             update nightferry.generations set state = 'dropped' where generation_id = $1 and state <> 'live'",
        )
        .bind(generation)
        .execute(session.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write to the ledger that a generation is gone", error))
    }

    /// Adds objects to a generation: what it brought, or has from another.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn hand_over(
        &self,
        session: &mut Session,
        generation: i64,
        objects: &[ObjectRow],
    ) -> Result<()> {
        let column = |of: fn(&ObjectRow) -> &str| objects.iter().map(of).collect::<Vec<_>>();
        sqlx::query(
            "insert into nightferry.generation_objects
             select $1, o.* from unnest($2::text[], $3::text[], $4::text[], $5::text[]) as o on conflict do nothing",
        )
        .bind(generation)
        .bind(column(|object| &object.kind))
        .bind(column(|object| &object.schema_name))
        .bind(column(|object| &object.object_name))
        .bind(column(|object| &object.identity))
        .execute(session.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write the generation's objects to the ledger", error))
    }
}
