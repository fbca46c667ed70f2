//! The indexes and constraints: which take longest, and whether that is new. The files of the enrichment, which are among the ledger's
//! objects, are none of them.

use super::READING;
use crate::adapters::ledger::reader::{LedgerView, composed};
use crate::error::Result;

/// An index or constraint that the last good night built.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct BuiltObject {
    /// `INDEX`, `CONSTRAINT`, `FK CONSTRAINT`, ...
    pub kind: String,
    /// The schema.
    pub schema_name: String,
    /// Its table.
    pub table_name: String,
    /// Its name.
    pub object_name: String,
    /// How long it took.
    pub duration_ms: i64,
    /// How long it took in the middle of the seven good nights before; none where they did not build it.
    pub median_ms: Option<f64>,
    /// How many there are in all.
    pub objects: i64,
}

/// How long the last good night took for all of a kind.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct KindTotal {
    /// The kind.
    pub kind: String,
    /// How many.
    pub objects: i64,
    /// How long one after the other.
    pub duration_ms: i64,
}

/// Which of them are asked for.
#[derive(Debug, Clone, Default)]
pub struct ObjectSearch {
    /// A part of `schema.table` or of the name, whatever the case; all where it is empty.
    pub text: String,
    /// Their kind; all where it is empty.
    pub kind: String,
    /// How many.
    pub limit: i64,
    /// How many are passed over.
    pub skip: i64,
}

const GOOD: &str = "good as materialized (
    select run_id, stage, attempt, row_number() over (order by started_at desc) - 1 as nights_ago
    from nightferry.stages where status = 'succeeded' and stage = 'full-replication'
    order by started_at desc limit 8)";

/// What the last good night built.
const BUILT: &str = "good join nightferry.objects using (run_id, stage, attempt) where nights_ago = 0 and kind <> 'ENRICHMENT'";

impl LedgerView {
    /// The slowest of the last good night.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn objects(&mut self, search: &ObjectSearch) -> Result<Vec<BuiltObject>> {
        let sql = format!(
            "with {GOOD},
             latest as materialized (
                 select objects.*, count(*) over () as in_all
                 from {BUILT} and ($2 = '' or kind = $2)
                   and ($1 = '' or position(lower($1) in lower(schema_name || '.' || table_name || ' ' || object_name)) > 0)
                 order by duration_ms desc, schema_name, object_name limit $3 offset $4),
             before as materialized (
                 select found.*
                 from good cross join lateral (
                     select kind, schema_name, table_name, object_name, duration_ms from nightferry.objects
                     where (run_id, stage, attempt) = (good.run_id, good.stage, good.attempt) offset 0) as found
                 where nights_ago > 0 and found.object_name in (select object_name from latest))
             select latest.kind, latest.schema_name, latest.table_name, latest.object_name, latest.duration_ms,
                 percentile_cont(0.5) within group (order by before.duration_ms) as median_ms, latest.in_all as objects
             from latest left join before using (kind, schema_name, table_name, object_name)
             group by 1, 2, 3, 4, 5, 7 order by 5 desc, 2, 4"
        );
        let query = composed(sql).bind(&search.text).bind(&search.kind).bind(search.limit).bind(search.skip);
        self.all(READING, query).await
    }

    /// How long each kind took in the last good night, the longest first.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn kinds_of_objects(&mut self) -> Result<Vec<KindTotal>> {
        let sql = format!(
            "with {GOOD}
             select kind, count(*) as objects, sum(duration_ms)::bigint as duration_ms
             from {BUILT} group by kind order by 3 desc, 1"
        );
        self.all(READING, composed(sql)).await
    }
}
