//! The tables: how big they are, and how they grew. A night counts where its stage ended well; what an increment brought counts in any
//! case, since each table's is committed by itself.

use chrono::{DateTime, Utc};

use super::READING;
use crate::adapters::ledger::reader::{LedgerView, composed};
use crate::error::Result;
use crate::ids::TableName;

/// A table, as a line among others.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TableRow {
    /// The schema.
    pub schema_name: String,
    /// The table.
    pub table_name: String,
    /// The stage that writes it.
    pub stage: String,
    /// How it was treated: `full`, `content`, or a mode of the incremental stage.
    pub treatment: String,
    /// Whether each night writes it whole; else `rows` and `bytes` are what the server's statistics say.
    pub is_whole: bool,
    /// How many rows it has.
    pub rows: Option<i64>,
    /// How many bytes its copy had, or how many it has on the disk.
    pub bytes: Option<i64>,
    /// How many rows it has more than seven nights ago, or was given since then; none where rows are written that it has already.
    pub week: Option<i64>,
    /// The same of thirty nights.
    pub month: Option<i64>,
    /// How many tables there are in all.
    pub tables: i64,
}

/// By what tables are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableOrder {
    /// The biggest first.
    #[default]
    Size,
    /// Those with the most rows first.
    Rows,
    /// Those that grew most in seven nights first.
    Week,
    /// Those that grew most in thirty nights first.
    Month,
    /// By name.
    Name,
}

impl TableOrder {
    fn sql(self) -> &'static str {
        match self {
            Self::Size => "bytes desc nulls last, schema_name, table_name",
            Self::Rows => "rows desc nulls last, schema_name, table_name",
            Self::Week => "week desc nulls last, schema_name, table_name",
            Self::Month => "month desc nulls last, schema_name, table_name",
            Self::Name => "schema_name, table_name",
        }
    }
}

/// Which tables are asked for.
#[derive(Debug, Clone, Default)]
pub struct TableSearch {
    /// A part of `schema.table`, whatever the case; all where it is empty.
    pub text: String,
    /// In which order.
    pub order: TableOrder,
    /// How many.
    pub limit: i64,
    /// How many are passed over.
    pub skip: i64,
}

/// The rows of a table, night after night, the oldest first: all of them, or those that were added.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Sparkline {
    /// The schema.
    pub schema_name: String,
    /// The table.
    pub table_name: String,
    /// The rows of each night.
    pub rows: Vec<i64>,
}

/// What became of a table in one attempt of a stage.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TableHistory {
    /// The run.
    pub run_id: String,
    /// The stage.
    pub stage: String,
    /// How the stage ended.
    pub stage_status: String,
    /// How the table was treated.
    pub treatment: String,
    /// Rows written.
    pub rows_written: i64,
    /// Bytes written.
    pub bytes: i64,
    /// How long it took.
    pub duration_ms: i64,
    /// When that was.
    pub started_at: DateTime<Utc>,
}

/// The good attempts of each stage, counted from the latest one: 0 is last night's. Increments of the others are with the night before
/// them: -1 are those after the last good night.
const GOOD: &str = "good as materialized (
    select * from (
        select run_id, stage, attempt, started_at, status = 'succeeded' as is_good,
            count(*) filter (where status = 'succeeded') over (partition by stage order by started_at desc) - 1 as nights_ago
        from nightferry.stages
        where status = 'succeeded' and stage in ('full-replication', 'learning-content-replication') or stage = 'incremental-replication'
    ) as counted
    where nights_ago <= 30)";

/// By one look at some nights, and no join of tables to themselves: of what a `with` gives the server knows too little to join it well.
const LIST: &str = "
looked as materialized (
    select schema_name, table_name, nights_ago, good.started_at, stage, stage = 'incremental-replication' as is_added, treatment,
        rows_written, bytes
    from good join nightferry.tables using (run_id, stage, attempt)
    where nights_ago in (0, 7, 30) or stage = 'incremental-replication'),
gathered as materialized (
    select schema_name, table_name,
        max(started_at) filter (where nights_ago <= 0 and is_added) as added_at,
        max(started_at) filter (where nights_ago = 0 and not is_added) as written_at,
        max(stage) filter (where nights_ago = 0 and not is_added) as stage,
        max(treatment) filter (where nights_ago = 0 and not is_added) as treatment,
        max(treatment) filter (where nights_ago <= 0 and is_added) as added_treatment,
        max(rows_written) filter (where nights_ago = 0 and not is_added) as rows,
        max(bytes) filter (where nights_ago = 0 and not is_added) as bytes,
        max(rows_written) filter (where nights_ago = 7 and not is_added) as week_ago,
        max(rows_written) filter (where nights_ago = 30 and not is_added) as month_ago,
        case when bool_and(treatment = 'incremental') filter (where nights_ago < 7 and is_added)
            then (sum(rows_written) filter (where nights_ago < 7 and is_added))::bigint end as week_added,
        case when bool_and(treatment = 'incremental') filter (where nights_ago < 30 and is_added)
            then (sum(rows_written) filter (where nights_ago < 30 and is_added))::bigint end as month_added
    from looked group by schema_name, table_name having bool_or(nights_ago <= 0)),
listed as materialized (
    select schema_name, table_name, not is_added as is_whole,
        case when is_added then 'incremental-replication' else stage end as stage,
        case when is_added then added_treatment else gathered.treatment end as treatment,
        case when is_added then statistics.rows else gathered.rows end as rows,
        case when is_added then statistics.bytes else gathered.bytes end as bytes,
        case when is_added then week_added else gathered.rows - week_ago end as week,
        case when is_added then month_added else gathered.rows - month_ago end as month
    from gathered
    cross join lateral (select added_at > coalesce(written_at, '-infinity') is true as is_added) as latest
    left join lateral (
        select nullif(pg_class.reltuples, -1)::bigint as rows, pg_class.relpages * current_setting('block_size')::bigint as bytes
        from pg_class join pg_namespace on pg_namespace.oid = pg_class.relnamespace
        where is_added and pg_namespace.nspname = schema_name and pg_class.relname = table_name) as statistics on true)
select *, count(*) over () as tables from listed
where $1 = '' or position(lower($1) in lower(schema_name || '.' || table_name)) > 0";

impl LedgerView {
    /// The tables that the last good night wrote.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn tables(&mut self, search: &TableSearch) -> Result<Vec<TableRow>> {
        let sql = format!("with {GOOD}, {LIST} order by {} limit $2 offset $3", search.order.sql());
        let query = composed(sql).bind(&search.text).bind(search.limit).bind(search.skip);
        self.all(READING, query).await
    }

    /// How these tables did in the last thirty good nights.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn sparklines(&mut self, tables: &[TableRow]) -> Result<Vec<Sparkline>> {
        let column = |of: fn(&TableRow) -> &str| -> Vec<&str> { tables.iter().map(of).collect() };
        // By the primary key, a row each: their whole history would be four hundred nights.
        let sql = format!(
            "with {GOOD}
             select wanted.schema_name, wanted.table_name, array_agg(found.rows_written order by nights_ago desc) as rows
             from unnest($1::text[], $2::text[], $3::text[]) as wanted (schema_name, table_name, stage)
             join good on good.stage = wanted.stage and good.is_good
             cross join lateral (
                 select rows_written from nightferry.tables
                 where (run_id, stage, attempt) = (good.run_id, good.stage, good.attempt)
                   and (schema_name, table_name) = (wanted.schema_name, wanted.table_name)
                 offset 0) as found
             group by wanted.schema_name, wanted.table_name"
        );
        let query = composed(sql)
            .bind(column(|table| &table.schema_name))
            .bind(column(|table| &table.table_name))
            .bind(column(|table| &table.stage));
        self.all(READING, query).await
    }

    /// What became of a table in the last nights, the latest first.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn table_history(&mut self, table: &TableName, limit: i64) -> Result<Vec<TableHistory>> {
        let query = sqlx::query_as(
            "select run_id, stage, stage_status, treatment, rows_written, bytes,
                    (extract(epoch from duration) * 1000)::bigint as duration_ms, started_at
             from nightferry.table_history where schema_name = $1 and table_name = $2
             order by started_at desc limit $3",
        )
        .bind(&table.schema)
        .bind(&table.name)
        .bind(limit);
        self.all(READING, query).await
    }
}
