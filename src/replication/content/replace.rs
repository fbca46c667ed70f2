//! All content tables, replaced in one transaction.
//!
//! The rows go into temporary tables first. Then each table is brought to the same rows: what is gone is deleted, what
//! differs is updated, what is new is inserted. Readers are never kept waiting and see yesterday's rows until the
//! commit; views, grants and foreign keys on the tables stay; and a night without changes leaves no dead rows.

use std::time::Instant;

use super::answer::Loaded;
use super::catalog::Table;
use super::standing::{Found, Standing, columns, definition, recorded, standing};
use crate::adapters::ledger::{ContentTable, Ledger, record_content_table};
use crate::adapters::postgres::bulk::{Rows, copy_rows};
use crate::adapters::postgres::columns::{Relation, columns_of, indexes_of, relations, text};
use crate::adapters::postgres::ident::{columns as quoted_columns, ident, qualified, table as quoted};
use crate::adapters::postgres::{Database, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::outcome::TableOutcome;

const SCHEMA: &str = "public";

/// Replaces the rows of every table that the answer has, in one transaction, and says when each was done. On an error nothing
/// has changed.
///
/// # Errors
/// A table would lose all its rows, or is not ours (all such tables are named), or the warehouse fails.
pub(super) async fn replace(
    warehouse: &Database,
    ledger: &Ledger,
    loaded: &[Loaded],
) -> Result<Vec<(TableOutcome, Instant)>> {
    let mut session = warehouse.connect().await?;
    // On an error the session is dropped, and the server rolls back.
    session.execute("begin; set local lock_timeout = '30s'").await?;
    let plans = look(&mut session, ledger, loaded).await?;
    refuse_losses(&mut session, &plans).await?;
    let mut outcomes = Vec::new();
    for plan in &plans {
        let start = Instant::now();
        let Some(rows) = &plan.loaded.rows else { continue };
        bring(&mut session, plan, rows).await.map_err(|error| error.context(&plan.name))?;
        let outcome = TableOutcome {
            table: plan.name.clone(),
            treatment: "content",
            rows: rows.count(),
            bytes: rows.bytes(),
            duration: start.elapsed(),
        };
        outcomes.push((outcome, Instant::now()));
    }
    session.execute("commit").await?;
    for (outcome, _) in &outcomes {
        tidy(&mut session, &outcome.table).await;
    }
    session.close().await;
    Ok(outcomes)
}

struct Plan<'a> {
    name: TableName,
    loaded: &'a Loaded,
    /// Whether it is there already.
    exists: bool,
    /// What makes it, or gives it today's columns.
    statements: Vec<String>,
}

async fn look<'a>(session: &mut Session, ledger: &Ledger, loaded: &'a [Loaded]) -> Result<Vec<Plan<'a>>> {
    let there = relations(session).await?;
    let made = ledger.content_tables().await?;
    let live = ledger.live_objects().await?;
    let mut plans = Vec::new();
    let mut foreign = Vec::new();
    for one in loaded {
        let name = TableName::new(SCHEMA, one.table.name);
        let kind =
            there.iter().find(|relation: &&Relation| relation.name == name).map(|relation| relation.kind);
        let actual = columns_of(session, &name).await?;
        let found = Found {
            kind,
            columns: &actual,
            replicated: live
                .iter()
                .any(|object| object.schema_name == SCHEMA && object.object_name == name.name),
            made: made.iter().find(|made| made.table == name).map(|made| made.columns.as_slice()),
        };
        let (exists, statements) = match standing(&name, one.table, found) {
            Standing::Create(statement) => (false, vec![statement]),
            Standing::Ours(statements) => (true, statements),
            Standing::Foreign(reason) => {
                foreign.push(format!("{name}: {reason}"));
                continue;
            }
        };
        plans.push(Plan { name, loaded: one, exists, statements });
    }
    if foreign.is_empty() { Ok(plans) } else { Err(not_ours(&foreign)) }
}

fn not_ours(foreign: &[String]) -> Error {
    Error::new(
        ErrorKind::Refused,
        format!(
            "content tables would replace what is not theirs ({}): nothing was changed",
            foreign.join("; ")
        ),
    )
    .hint("rename or drop what has the name, or exclude the table of the source, then run the stage again")
}

/// An empty or missing list is believed only where there was nothing to lose.
async fn refuse_losses(session: &mut Session, plans: &[Plan<'_>]) -> Result<()> {
    let mut losses = Vec::new();
    for plan in plans.iter().filter(|plan| plan.exists) {
        let what = match &plan.loaded.rows {
            None => "missing",
            Some(rows) if rows.count() == 0 => "empty",
            Some(_) => continue,
        };
        let sql = format!("select '' from {} limit 1", quoted(&plan.name));
        if text(session, &sql, format!("cannot look into {}", plan.name)).await?.is_some() {
            losses.push(format!("{} ({what})", plan.loaded.table.name));
        }
    }
    if losses.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "the content API has nothing for tables that had rows: {}: nothing was changed",
            losses.join(", ")
        ),
    )
    .hint("check what the API answers; where a list is meant to be empty, delete the table's rows once"))
}

async fn bring(session: &mut Session, plan: &Plan<'_>, rows: &Rows) -> Result<()> {
    let table = plan.loaded.table;
    for statement in &plan.statements {
        session.execute(statement).await.map_err(|error| {
            error.hint(
                "a view that uses a column which changes must be dropped first and made again afterwards",
            )
        })?;
    }
    let indexes = indexes_of(session, &plan.name).await?;
    for column in table.indexed {
        let index = format!("{}_{column}_idx", table.name);
        if !indexes.contains(&index) {
            let create =
                format!("create index {} on {} ({})", ident(&index), quoted(&plan.name), ident(column));
            session.execute(&create).await?;
        }
    }
    let staging = qualified("pg_temp", table.name);
    session.execute(&stage(table, &staging)).await?;
    let names: Vec<&str> = columns(table).map(|(name, _)| name).collect();
    let copied =
        copy_rows(session, &format!("copy {staging} ({}) from stdin", quoted_columns(&names)), rows).await?;
    session.execute(&merge(&plan.name, &staging, &names)).await?;
    verify(session, &plan.name, copied, rows.count()).await?;
    let made = ContentTable { table: plan.name.clone(), columns: recorded(table) };
    record_content_table(session, &made).await
}

fn stage(table: &Table, staging: &str) -> String {
    let definitions: Vec<String> = columns(table).map(definition).collect();
    format!("create temporary table {staging} ({}) on commit drop", definitions.join(", "))
}

/// `*<>` compares rows byte by byte (PostgreSQL manual, 9.25.6): null equals null, and 1.0 differs from 1.00.
fn merge(name: &TableName, staging: &str, names: &[&str]) -> String {
    let target = quoted(name);
    let of = |table: &str| {
        names.iter().map(|name| format!("{table}.{}", ident(name))).collect::<Vec<_>>().join(", ")
    };
    let set: Vec<String> =
        names.iter().skip(1).map(|name| format!("{0} = excluded.{0}", ident(name))).collect();
    format!(
        "delete from {target} t where not exists (select from {staging} s where s.\"id\" = t.\"id\");
         insert into {target} as t ({columns}) select {columns} from {staging}
         on conflict (\"id\") do update set {set} where row({old})::record *<> row({new})::record",
        columns = quoted_columns(names),
        set = set.join(", "),
        old = of("t"),
        new = of("excluded"),
    )
}

async fn verify(session: &mut Session, name: &TableName, copied: u64, wanted: u64) -> Result<()> {
    let sql = format!("select count(*)::text from {}", quoted(name));
    let counted = text(session, &sql, format!("cannot count {name}")).await?.unwrap_or_default();
    if copied == wanted && counted == wanted.to_string() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Verification,
        format!("the API has {wanted} records, {copied} were copied and {counted} are in the table"),
    )
    .hint("is there a trigger or a rule on the table?"))
}

/// Dead rows away and the planner told. The rows are safe already: a failure is only worth a line.
async fn tidy(session: &mut Session, name: &TableName) {
    if let Err(error) = session.execute(&format!("vacuum (analyze) {}", quoted(name))).await {
        tracing::warn!(table = %name, error.message = %error, "cannot vacuum a content table");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_deletes_what_is_gone_and_writes_only_what_differs() {
        let sql = merge(&TableName::new("public", "areas"), "\"pg_temp\".\"areas\"", &["id", "name"]);
        let lines: Vec<&str> = sql.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                r#"delete from "public"."areas" t where not exists (select from "pg_temp"."areas" s where s."id" = t."id");"#,
                r#"insert into "public"."areas" as t ("id", "name") select "id", "name" from "pg_temp"."areas""#,
                r#"on conflict ("id") do update set "name" = excluded."name" where row(t."id", t."name")::record *<> row(excluded."id", excluded."name")::record"#,
            ]
        );
    }
}
