//! `nightferry plan`: what a night would do, table by table. Changes nothing.

use clap::Args;

use super::{Ending, check, format, log_to_stderr, settings::Settings, tell};
use crate::error::Result;
use crate::replication::preflight::{self, Inspection};

/// Say what a night would do with each table, without changing anything.
///
/// Also how it would be published, what it would replace and what it would leave out.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Answer in JSON: problems, notes, tables, publish, would_drop, left_out.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry plan
  nightferry plan --json | jq -r '.would_drop[]'";

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    let inspection = preflight::inspect(&config).await?;
    tell(arguments.json, &inspection, render)?;
    Ok(Ending::Done)
}

fn render(inspection: &Inspection) -> String {
    let mut text = check::render(inspection, &[]);
    text.push_str(&tables(inspection));
    let is_swap = inspection.publish.as_ref().is_some_and(|publish| publish.mode == "swap");
    let when = if is_swap { "Replaced at the publish" } else { "Dropped before the new copy is built" };
    text.push_str(&format!("\n{when}:\n"));
    if inspection.would_drop.is_empty() {
        text.push_str("  nothing\n");
    }
    for object in &inspection.would_drop {
        text.push_str(&format!("  {object}\n"));
    }
    if !inspection.left_out.is_empty() {
        text.push_str("\nLeft out:\n");
        for skipped in &inspection.left_out {
            text.push_str(&format::item(&skipped.object, &skipped.reason));
        }
    }
    text
}

fn tables(inspection: &Inspection) -> String {
    let rows = inspection.tables.iter().map(|planned| {
        [
            planned.table.to_string(),
            planned.treatment.to_owned(),
            planned.rows_estimate.map_or_else(|| "?".to_owned(), estimate(format::count)),
            planned.bytes_estimate.map_or_else(|| "?".to_owned(), estimate(format::bytes)),
            planned.reason.to_owned(),
        ]
    });
    let heading = format!("\nTables ({}):\n", inspection.tables.len());
    heading + &format::table(["table", "treatment", "rows, about", "size, about", "why"], &[2, 3], rows)
}

/// Estimates are never negative once they are known.
fn estimate(form: fn(u64) -> String) -> impl Fn(i64) -> String {
    move |number| form(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TableName;
    use crate::outcome::Skipped;
    use crate::replication::preflight::PlannedTable;
    use crate::replication::publishing::Publishes;

    #[test]
    fn a_plan_says_what_becomes_of_each_table_and_what_is_dropped() {
        let planned = |name: &str, treatment, rows_estimate, reason| PlannedTable {
            table: TableName::new("public", name),
            treatment,
            rows_estimate,
            bytes_estimate: rows_estimate.map(|rows| rows * 100),
            reason,
        };
        let mut inspection = Inspection {
            tables: vec![
                planned("users", "full", Some(1_234_567), ""),
                planned("answers", "incremental", None, "BACKUP_MODE"),
            ],
            publish: Some(Publishes {
                mode: "in_place",
                way: None,
                schemas: Vec::new(),
                reasons: Vec::new(),
            }),
            would_drop: vec!["table public.users".to_owned()],
            left_out: vec![Skipped {
                object: "publication p".to_owned(),
                reason: "not carried".to_owned(),
                definition: None,
            }],
            problems: Vec::new(),
            notes: Vec::new(),
        };
        assert_eq!(
            render(&inspection),
            "No problem found: a night can run.\n\
             \n\
             Tables (2):\n\
             \x20 table           treatment    rows, about  size, about  why\n\
             \x20 public.users    full           1,234,567     123.5 MB\n\
             \x20 public.answers  incremental            ?            ?  BACKUP_MODE\n\
             \n\
             Dropped before the new copy is built:\n\
             \x20 table public.users\n\
             \n\
             Left out:\n\
             \x20 publication p: not carried\n"
        );
        let schemas = vec!["public".to_owned()];
        inspection.publish =
            Some(Publishes { mode: "swap", way: Some("rename"), schemas, reasons: Vec::new() });
        assert!(render(&inspection).contains("\n\nReplaced at the publish:\n  table public.users\n"));
    }
}
