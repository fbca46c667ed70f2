//! What was built on the tables, and the enrichment files that were run: too many to be written one at a time, so they are gathered.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::backups::whole;
use super::store::Ledger;
use crate::adapters::postgres::failed;
use crate::error::Result;
use crate::ids::{RunId, Stage};
use crate::outcome::{ObjectOutcome, millis};

/// Those who watch a night see how many indexes there are no later than that.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// One that was built, on which connection, and when.
#[derive(Debug)]
pub(super) struct Built {
    outcome: ObjectOutcome,
    connection: Option<String>,
    ended: Instant,
}

/// Those that are not in the ledger yet.
#[derive(Debug, Default)]
pub(super) struct Gathered(Mutex<(Vec<Built>, Option<Instant>)>);

impl Gathered {
    /// Adds one; gives all of them once it is time to write them.
    pub(super) fn add(&self, outcome: ObjectOutcome, connection: Option<String>) -> Vec<Built> {
        let now = Instant::now();
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.0.push(Built { outcome, connection, ended: now });
        let since = *gathered.1.get_or_insert(now);
        if now.duration_since(since) < WRITE_EVERY {
            return Vec::new();
        }
        gathered.1 = Some(now);
        std::mem::take(&mut gathered.0)
    }

    /// Gives all of them.
    pub(super) fn take(&self) -> Vec<Built> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Ledger {
    pub(super) async fn write_objects(
        &self,
        (run, stage, attempt): (&RunId, Stage, i32),
        built: &[Built],
    ) -> Result<()> {
        if built.is_empty() {
            return Ok(());
        }
        let texts = |of: fn(&Built) -> &str| built.iter().map(of).collect::<Vec<_>>();
        let numbers =
            |of: fn(&Built) -> Duration| built.iter().map(|one| whole(millis(of(one)))).collect::<Vec<_>>();
        // By the server's clock, like the steps around them: that of this machine may be another one. The session may have been
        // waited for.
        let mut session = self.session().await?;
        let connections: Vec<Option<&str>> = built.iter().map(|one| one.connection.as_deref()).collect();
        sqlx::query(
            "insert into nightferry.objects
                (run_id, stage, attempt, kind, schema_name, table_name, object_name, connection, started_at, duration_ms)
             select $1, $2, $3, kind, schema_name, table_name, object_name, connection,
                clock_timestamp() - make_interval(secs => (duration_ms + ended_ms) / 1000.0), duration_ms
             from unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[])
                as built (kind, schema_name, table_name, object_name, connection, duration_ms, ended_ms)",
        )
        .bind(run.as_str())
        .bind(stage.name())
        .bind(attempt)
        .bind(texts(|one| &one.outcome.kind))
        .bind(texts(|one| &one.outcome.table.schema))
        .bind(texts(|one| &one.outcome.table.name))
        .bind(texts(|one| &one.outcome.name))
        .bind(connections)
        .bind(numbers(|one| one.outcome.duration))
        .bind(numbers(|one| one.ended.elapsed()))
        .execute(session.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write to the ledger what was built", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TableName;

    #[test]
    fn they_are_written_together_and_none_waits_for_long() {
        let one = || ObjectOutcome {
            kind: "INDEX".to_owned(),
            table: TableName::new("public", "users"),
            name: "users_email_idx".to_owned(),
            duration: Duration::from_millis(5),
        };
        let gathered = Gathered::default();
        assert!(gathered.add(one(), None).is_empty());
        assert!(gathered.add(one(), Some("index 1".to_owned())).is_empty());
        gathered.0.lock().unwrap().1 = Instant::now().checked_sub(WRITE_EVERY);
        assert_eq!(gathered.add(one(), None).len(), 3, "a second later");
        assert!(gathered.add(one(), None).is_empty());
        assert_eq!(gathered.take().len(), 1, "at the end of the step");
        assert!(gathered.take().is_empty());
    }
}
