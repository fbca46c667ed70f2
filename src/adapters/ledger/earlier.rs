//! What the ledger tells of earlier nights, for those who want to know how long this one will take.

use super::history::AttemptLine;
use super::reader::LedgerView;
use crate::error::Result;

/// An attempt of an earlier night that ended well, one of the last few of its stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneNight {
    /// Its run.
    pub run_id: String,
    /// The stage.
    pub stage: String,
    /// The attempt.
    pub attempt: i32,
    /// How long it took.
    pub duration_ms: i64,
    /// How many tables it wrote, their rows and bytes.
    pub written: (i64, i64, i64),
    /// How long its steps took, in their order.
    pub steps: Vec<(String, i64)>,
}

/// What a step had to do in an earlier night, in milliseconds of its connections together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Work {
    /// In all.
    pub total_ms: i64,
    /// Of what is done by now.
    pub done_ms: i64,
}

/// What an earlier night tells of a table, index or constraint.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Expected {
    /// The schema.
    pub schema_name: String,
    /// The table.
    pub table_name: String,
    /// The index or constraint; empty for the table itself.
    pub object_name: String,
    /// How many rows it had.
    pub rows: i64,
    /// How long it took.
    pub duration_ms: i64,
}

impl LedgerView {
    /// The last few attempts of each stage that ended well, other than those of `run`, the youngest first.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn done_nights(&mut self, run: &str, of_each: i64) -> Result<Vec<DoneNight>> {
        type Row = (String, String, i32, i64, i64, i64, i64, Option<String>, Option<i64>);
        let query = sqlx::query_as(
            "with done as (
                select *, row_number() over (partition by stage order by started_at desc) as place
                from nightferry.stages where status = 'succeeded' and run_id <> $1)
             select run_id, stage, attempt, (extract(epoch from done.ended_at - done.started_at) * 1000)::bigint,
                    tables_written, rows_written, bytes_written,
                    steps.step, (extract(epoch from steps.ended_at - steps.started_at) * 1000)::bigint
             from done left join nightferry.steps using (run_id, stage, attempt)
             where place <= $2 order by stage, place, step_id",
        )
        .bind(run)
        .bind(of_each);
        let rows: Vec<Row> = self.all("cannot read the earlier nights of the ledger", query).await?;
        let mut nights: Vec<DoneNight> = Vec::new();
        for (run_id, stage, attempt, duration_ms, tables, rows, bytes, step, step_ms) in rows {
            let step = step.zip(step_ms);
            match nights.last_mut() {
                Some(last) if (&last.run_id, &last.stage, last.attempt) == (&run_id, &stage, attempt) => {
                    last.steps.extend(step);
                }
                _ => nights.push(DoneNight {
                    run_id,
                    stage,
                    attempt,
                    duration_ms,
                    written: (tables, rows, bytes),
                    steps: step.into_iter().collect(),
                }),
            }
        }
        Ok(nights)
    }

    /// What a step had to do in an earlier night, and how much of that this attempt has done.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn work(&mut self, earlier: &DoneNight, of: &AttemptLine, step: &str) -> Result<Work> {
        let query = sqlx::query_as(include_str!("../../../sql/catalog/work_of_step.sql"))
            .bind(&earlier.run_id)
            .bind(&earlier.stage)
            .bind(earlier.attempt)
            .bind(step)
            .bind(&of.run_id)
            .bind(of.attempt);
        self.one("cannot read what the step did in earlier nights", query).await
    }

    /// What an earlier night tells of these tables and what is built on them (schema, table, and index or constraint, empty for the
    /// table itself).
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn expected(
        &mut self,
        earlier: &DoneNight,
        names: &[(String, String, String)],
    ) -> Result<Vec<Expected>> {
        let of = |part: fn(&(String, String, String)) -> &String| -> Vec<&str> {
            names.iter().map(|name| part(name).as_str()).collect()
        };
        let query = sqlx::query_as(include_str!("../../../sql/catalog/expected_work.sql"))
            .bind(&earlier.run_id)
            .bind(&earlier.stage)
            .bind(earlier.attempt)
            .bind(of(|name| &name.0))
            .bind(of(|name| &name.1))
            .bind(of(|name| &name.2));
        self.all("cannot read what tables took in earlier nights", query).await
    }
}
