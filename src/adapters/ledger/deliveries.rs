//! Which endpoints were told of an event, so that one that is told again goes to the others only.

use std::collections::HashSet;

use super::store::Ledger;
use crate::adapters::postgres::failed;
use crate::error::Result;
use crate::ids::RunId;

impl Ledger {
    /// The hashes of the endpoints that were told under this delivery id.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn deliveries(&self, delivery_id: &str) -> Result<HashSet<String>> {
        let hashes: Vec<String> =
            sqlx::query_scalar("select endpoint_hash from nightferry.deliveries where delivery_id = $1")
                .bind(delivery_id)
                .fetch_all(self.session().await?.raw())
                .await
                .map_err(|error| failed("cannot read the deliveries of the ledger", error))?;
        Ok(hashes.into_iter().collect())
    }

    /// Writes down that an endpoint was told.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn record_delivery(&self, run: &RunId, delivery_id: &str, endpoint_hash: &str) -> Result<()> {
        sqlx::query(
            "insert into nightferry.deliveries (run_id, delivery_id, endpoint_hash) values ($1, $2, $3) on conflict do nothing",
        )
        .bind(run.as_str())
        .bind(delivery_id)
        .bind(endpoint_hash)
        .execute(self.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write a delivery to the ledger", error))
    }
}
