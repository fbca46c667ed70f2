//! The summary at the end of `nightferry run`: from the outcomes to text, nothing else.

use std::cmp::Reverse;

use super::format::{bytes, count, counted, duration, item, table};
use crate::ids::Stage;
use crate::outcome::{ObjectOutcome, StageOutcome};

/// How many indexes and constraints are named; the others are only counted.
const SLOWEST: usize = 20;

/// What the stages did, in their order; the last one may have failed.
pub(super) fn render(outcomes: &[(Stage, StageOutcome)], last_failed: bool) -> String {
    let last = outcomes.len();
    let numbered = outcomes.iter().zip(1..);
    numbered
        .map(|((stage, outcome), number)| of_stage(*stage, outcome, last_failed && number == last))
        .collect()
}

fn of_stage(stage: Stage, outcome: &StageOutcome, failed: bool) -> String {
    let headline = match (failed, outcome.tables.is_empty()) {
        (false, _) => headline(outcome),
        (true, true) => "failed".to_owned(),
        (true, false) => format!("failed after {}", headline(outcome)),
    };
    let mut text = format!("\n{stage}: {headline}\n");
    if !outcome.steps.is_empty() {
        let rows = outcome.steps.iter().map(|step| [step.step.to_owned(), duration(step.duration)]);
        text.push('\n');
        text.push_str(&table(["step", "time"], &[1], rows));
    }
    text.push_str(&tables(outcome));
    text.push_str(&objects(&outcome.objects));
    if !outcome.skipped.is_empty() {
        text.push_str("\n  left out\n");
        for skipped in &outcome.skipped {
            text.push_str(&item(&skipped.object, &skipped.reason));
        }
    }
    text
}

fn headline(outcome: &StageOutcome) -> String {
    if outcome.tables.is_empty() {
        return "done".to_owned();
    }
    let rows: u64 = outcome.tables.iter().map(|table| table.rows).sum();
    let size: u64 = outcome.tables.iter().map(|table| table.bytes).sum();
    let tables = counted(outcome.tables.len(), "table", "tables");
    let rows = if rows == 1 { "1 row".to_owned() } else { format!("{} rows", count(rows)) };
    format!("{tables}, {rows}, {}", bytes(size))
}

/// The tables, the slowest first.
fn tables(outcome: &StageOutcome) -> String {
    if outcome.tables.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<_> = outcome.tables.iter().collect();
    sorted.sort_by_key(|table| (Reverse(table.duration), table.table.clone()));
    let rows = sorted.into_iter().map(|table| {
        [
            table.table.to_string(),
            table.treatment.to_owned(),
            count(table.rows),
            bytes(table.bytes),
            duration(table.duration),
        ]
    });
    format!("\n{}", self::table(["table", "treatment", "rows", "size", "time"], &[2, 3, 4], rows))
}

/// The indexes and constraints, the slowest first.
fn objects(objects: &[ObjectOutcome]) -> String {
    if objects.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<_> = objects.iter().collect();
    sorted.sort_by_key(|object| (Reverse(object.duration), &object.table, &object.name));
    let others = sorted.split_off(sorted.len().min(SLOWEST));
    let rows = sorted.into_iter().map(|object| {
        [
            object.name.clone(),
            object.kind.to_lowercase(),
            object.table_label().unwrap_or_default(),
            duration(object.duration),
        ]
    });
    let mut text = format!("\n{}", table(["index or constraint", "kind", "table", "time"], &[3], rows));
    if !others.is_empty() {
        let time = others.iter().map(|object| object.duration).sum();
        text.push_str(&format!("  and {} more, {} in all\n", count(others.len() as u64), duration(time)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TableName;
    use crate::outcome::{Skipped, StepOutcome, TableOutcome};
    use std::time::Duration;

    fn step(step: &'static str, millis: u64) -> StepOutcome {
        StepOutcome { step, duration: Duration::from_millis(millis) }
    }

    fn copied(name: &str, rows: u64, bytes: u64, millis: u64) -> TableOutcome {
        let duration = Duration::from_millis(millis);
        TableOutcome { table: TableName::new("public", name), treatment: "full", rows, bytes, duration }
    }

    fn built(kind: &str, name: &str, millis: u64) -> ObjectOutcome {
        let table = TableName::new("public", "users");
        ObjectOutcome {
            kind: kind.to_owned(),
            table,
            name: name.to_owned(),
            duration: Duration::from_millis(millis),
        }
    }

    #[test]
    fn a_stage_is_told_by_steps_tables_indexes_and_what_was_left_out() {
        let outcome = StageOutcome {
            steps: vec![step("guard", 210), step("load", 61_000)],
            tables: vec![copied("areas", 1, 90, 20), copied("users", 300_000, 45_300_000, 2_100)],
            objects: vec![built("CONSTRAINT", "users_pkey", 300), built("INDEX", "users_email_idx", 1_900)],
            skipped: vec![Skipped {
                object: "view public.v".to_owned(),
                reason: "needs public.answers, which is not copied".to_owned(),
                definition: None,
            }],
        };
        assert_eq!(
            render(&[(Stage::FullReplication, outcome)], false),
            "\n\
             full-replication: 2 tables, 300,001 rows, 45.3 MB\n\
             \n\
             \x20 step         time\n\
             \x20 guard      0.21 s\n\
             \x20 load   1 min 01 s\n\
             \n\
             \x20 table         treatment     rows     size    time\n\
             \x20 public.users  full       300,000  45.3 MB  2.10 s\n\
             \x20 public.areas  full             1     90 B  0.02 s\n\
             \n\
             \x20 index or constraint  kind        table           time\n\
             \x20 users_email_idx      index       public.users  1.90 s\n\
             \x20 users_pkey           constraint  public.users  0.30 s\n\
             \n\
             \x20 left out\n\
             \x20 view public.v: needs public.answers, which is not copied\n"
        );
    }

    #[test]
    fn a_stage_that_wrote_nothing_is_a_line() {
        let nothing = [(Stage::Notification, StageOutcome::default())];
        assert_eq!(render(&nothing, false), "\nnotification: done\n");
        assert_eq!(render(&nothing, true), "\nnotification: failed\n");
    }

    #[test]
    fn many_indexes_are_counted_beyond_the_slowest() {
        let names: Vec<String> = (0..25).map(|at| format!("i{at:02}")).collect();
        let outcome = StageOutcome {
            objects: names.iter().map(|name| built("INDEX", name, 10)).collect(),
            ..StageOutcome::default()
        };
        let text = render(&[(Stage::FullReplication, outcome)], false);
        assert!(text.contains("i19") && !text.contains("i20"), "{text}");
        assert!(text.ends_with("  and 5 more, 0.05 s in all\n"), "{text}");
    }
}
