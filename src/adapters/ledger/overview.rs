//! What the ledger says to those who watch: what runs, how earlier nights went. Each question is answered in few rows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::history::AttemptLine;
use super::reader::LedgerView;
use crate::adapters::postgres::activity::{Activity, Holder, activity, lock_holders};
use crate::error::Result;

/// A step of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct StepLine {
    /// Its name.
    pub step: String,
    /// `running`, `succeeded`, `failed`, `interrupted`.
    pub status: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Bytes of a download or a push so far.
    pub bytes_done: Option<i64>,
    /// Of so many, where that is known.
    pub bytes_total: Option<i64>,
}

/// When a stage, or the `night`, last ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct LastSuccess {
    /// The stage, or `night`.
    pub stage: String,
    /// Its run.
    pub run_id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}

impl LedgerView {
    /// What nightferry's sessions are doing.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn activity(&mut self) -> Result<Vec<Activity>> {
        activity(&mut self.session).await
    }

    /// Who holds the warehouse, and whose turn it is to push.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn lock_holders(&mut self) -> Result<(Option<Holder>, Option<Holder>)> {
        lock_holders(&mut self.session).await
    }

    /// The steps of an attempt, in their order.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn steps(&mut self, of: &AttemptLine) -> Result<Vec<StepLine>> {
        let query = sqlx::query_as(
            "select step, status, started_at, ended_at, bytes_done, bytes_total from nightferry.steps
             where run_id = $1 and stage = $2 and attempt = $3 order by step_id",
        )
        .bind(&of.run_id)
        .bind(&of.stage)
        .bind(of.attempt);
        self.all("cannot read the steps of the ledger", query).await
    }

    /// The home name of each schema that is stored under another one: `public__next` is `public`.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn homes(&mut self) -> Result<BTreeMap<String, String>> {
        let query = sqlx::query_as("select stored_as, schema_name from nightferry.stored_schemas");
        let rows: Vec<(String, String)> =
            self.all("cannot read the stored schemas in the ledger", query).await?;
        Ok(rows.into_iter().collect())
    }

    /// When each stage, and the night, last ended well.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn last_success(&mut self) -> Result<Vec<LastSuccess>> {
        let query = sqlx::query_as(
            "select stage, run_id, started_at, ended_at from nightferry.last_success order by started_at, stage",
        );
        self.all("cannot read in the ledger what ended well", query).await
    }
}
