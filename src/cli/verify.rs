//! `nightferry verify`: does the warehouse hold what the source has? Changes nothing, unless it is told to repair.

use clap::Args;

use super::{Ending, format, log_to_stderr, settings::Settings, tell, verify_incremental};
use crate::error::Result;
use crate::replication::comparison::{self, Comparison, Reference, Remark, Request};

/// Compare the warehouse with the source, table by table, without changing anything.
///
/// Counts the rows on both sides and compares columns, indexes, constraints, foreign keys and triggers of the tables that
/// the full stage replaces; without TABLE also which views, materialized views and sequences are there. What only the
/// warehouse has is no difference. Rows that changed in the source since the night are differences too: best on a source
/// that is at rest, or soon after the night.
///
/// Where BACKUP_SOURCE is an archive, the warehouse is compared with what the ledger says that the last full stage wrote.
///
/// With --incremental it is the other tables that are compared: those that BACKUP_MODE gives to the incremental stage. Their whole
/// rows are compared by ranges of the key, up to the settled bound where they only grow, and the ranges that differ are named.
///
/// Exits with 1 when there is a difference.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Compare these tables only (schema.table, or table in schema public).
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// Also compare the contents of this share of the rows, 1 to 100: those whose key falls into that many of 100 classes
    /// are hashed on both sides. Reads every table whole.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100), conflicts_with = "incremental")]
    sample: Option<u8>,
    /// Compare the tables of the incremental stage, row by row. Reads them whole.
    #[arg(long)]
    incremental: bool,
    /// Copy the ranges that differ, then compare again. Takes the warehouse's lock, so that it never works beside a night.
    #[arg(long, requires = "incremental")]
    repair: bool,
    /// Answer in JSON: equal, compared_with, sample, tables, differences, not_compared, notes; with --incremental equal, tables
    /// with their differences, notes, and after a repair repaired.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry verify
  nightferry verify --sample 10
  nightferry verify users reporting.sessions --sample 100
  nightferry verify --incremental
  nightferry verify --incremental answers --repair
  nightferry verify --json | jq -r '.differences[].subject'";

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    if arguments.incremental {
        let Arguments { tables, repair, json, .. } = arguments;
        return verify_incremental::run(&config, tables, *repair, *json).await;
    }
    let request = Request { tables: arguments.tables.clone(), sample: arguments.sample };
    let comparison = comparison::compare(&config, &request).await?;
    tell(arguments.json, &comparison, render)?;
    Ok(if comparison.equal { Ending::Done } else { Ending::NotInOrder })
}

fn render(comparison: &Comparison) -> String {
    let mut text = heading(comparison);
    if !comparison.tables.is_empty() {
        text.push('\n');
        text.push_str(&tables(comparison));
    }
    text.push_str(&list("Differences", &comparison.differences));
    text.push_str(&list("Not compared", &comparison.not_compared));
    text.push_str(&list("Notes", &comparison.notes));
    text
}

/// The verdict in a sentence, and what it stands on in another.
fn heading(comparison: &Comparison) -> String {
    let tables = format::counted(comparison.tables.len(), "table", "tables");
    let verdict = match comparison.differences.len() {
        0 if comparison.tables.is_empty() => "Nothing to compare.\n".to_owned(),
        0 => format!("No difference found in {tables}.\n"),
        many => format!("{} found in {tables}.\n", format::counted(many, "difference", "differences")),
    };
    let basis = match &comparison.compared_with {
        Reference::Source => "Compared with the source as it is now",
        Reference::Written { run, ended_at } => {
            let ended = ended_at.format("%Y-%m-%d %H:%M UTC");
            return format!(
                "{verdict}Compared with what the full stage of run {run} wrote, as the ledger has it (it ended {ended}).\n\
                 An archive cannot be counted cheaply; columns, indexes, constraints and triggers are not compared.\n"
            );
        }
    };
    match comparison.sample {
        None => format!("{verdict}{basis}; the rows were counted, not read (see --sample).\n"),
        Some(percent) => format!("{verdict}{basis}; {percent} % of the rows were hashed on both sides.\n"),
    }
}

fn tables(comparison: &Comparison) -> String {
    let rows = |rows: Option<u64>| rows.map_or_else(|| "-".to_owned(), format::count);
    let lines = comparison.tables.iter().map(|compared| {
        [
            compared.table.to_string(),
            rows(compared.source_rows),
            rows(compared.warehouse_rows),
            compared.result.name().to_owned(),
        ]
    });
    let expected = match comparison.compared_with {
        Reference::Source => "source rows",
        Reference::Written { .. } => "rows written",
    };
    format::table(["table", expected, "warehouse rows", "result"], &[1, 2], lines)
}

fn list(heading: &str, remarks: &[Remark]) -> String {
    if remarks.is_empty() {
        return String::new();
    }
    let items: String = remarks.iter().map(|remark| format::item(&remark.subject, &remark.text)).collect();
    format!("\n{heading} ({}):\n{items}", remarks.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TableName;
    use crate::replication::comparison::{ComparedTable, Verdict};

    fn table(
        name: &str,
        source_rows: Option<u64>,
        warehouse_rows: Option<u64>,
        result: Verdict,
    ) -> ComparedTable {
        ComparedTable { table: TableName::new("public", name), source_rows, warehouse_rows, result }
    }

    fn comparison() -> Comparison {
        Comparison {
            equal: true,
            compared_with: Reference::Source,
            sample: None,
            tables: vec![table("users", Some(1_000), Some(1_000), Verdict::Equal)],
            differences: Vec::new(),
            not_compared: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_verdict_comes_first_then_each_table_then_what_differs() {
        let found = Comparison {
            equal: false,
            sample: Some(10),
            tables: vec![
                table("events", None, None, Verdict::Equal),
                table("gone", Some(7), None, Verdict::Missing),
                table("users", Some(1_000), Some(999), Verdict::Different),
            ],
            differences: vec![
                Remark::new("table public.gone", "the warehouse lacks it"),
                Remark::new("table public.users", "the source has 1000 rows, the warehouse 999"),
            ],
            not_compared: vec![Remark::new("table public.answers", "incremental in BACKUP_MODE")],
            notes: vec![Remark::new("view public.v", "left out by the night: needs answers")],
            ..comparison()
        };
        assert_eq!(
            render(&found),
            "2 differences found in 3 tables.\n\
             Compared with the source as it is now; 10 % of the rows were hashed on both sides.\n\
             \n\
             \x20 table          source rows  warehouse rows  result\n\
             \x20 public.events            -               -  equal\n\
             \x20 public.gone              7               -  missing\n\
             \x20 public.users         1,000             999  different\n\
             \n\
             Differences (2):\n\
             \x20 table public.gone: the warehouse lacks it\n\
             \x20 table public.users: the source has 1000 rows, the warehouse 999\n\
             \n\
             Not compared (1):\n\
             \x20 table public.answers: incremental in BACKUP_MODE\n\
             \n\
             Notes (1):\n\
             \x20 view public.v: left out by the night: needs answers\n"
        );
    }

    #[test]
    fn a_comparison_with_the_ledger_says_so() {
        let ended_at = chrono::DateTime::from_timestamp(1_795_147_800, 0).unwrap();
        let compared_with = Reference::Written { run: "20261120T041000Z".to_owned(), ended_at };
        assert_eq!(
            render(&Comparison { compared_with, ..comparison() }),
            "No difference found in 1 table.\n\
             Compared with what the full stage of run 20261120T041000Z wrote, as the ledger has it (it ended 2026-11-20 04:10 UTC).\n\
             An archive cannot be counted cheaply; columns, indexes, constraints and triggers are not compared.\n\
             \n\
             \x20 table         rows written  warehouse rows  result\n\
             \x20 public.users         1,000           1,000  equal\n"
        );
    }

    #[test]
    fn nothing_to_compare_is_not_called_equal() {
        let text = render(&Comparison { tables: Vec::new(), ..comparison() });
        assert!(text.starts_with("Nothing to compare.\n"), "{text}");
    }
}
