//! `nightferry verify --incremental`: the ranges of keys in which the warehouse does not hold what the source has, and with
//! `--repair` what was copied.

use super::{Ending, format, tell};
use crate::config::Config;
use crate::error::Result;
use crate::jobs;
use crate::replication::comparison::Remark;
use crate::replication::incremental::repair::{Repair, RepairedTable};
use crate::replication::incremental::verify::{DifferentRange, Verification, VerifiedTable, verify};

pub(super) async fn run(config: &Config, tables: &[String], repairs: bool, json: bool) -> Result<Ending> {
    let equal = if repairs {
        let repair = jobs::repair(config, tables).await?;
        tell(json, &repair, render_repair)?;
        repair.after.equal
    } else {
        let found = verify(config, tables).await?;
        tell(json, &found, render)?;
        found.equal
    };
    Ok(if equal { Ending::Done } else { Ending::NotInOrder })
}

fn render_repair(repair: &Repair) -> String {
    let lines = repair.repaired.iter().map(|table| format::item(&table.table.to_string(), &repaired(table)));
    let lines: String = lines.collect();
    match repair.repaired.len() {
        0 => format!("Nothing to repair.\n{}", render(&repair.after)),
        tables => {
            let tables = format::counted(tables, "table", "tables");
            format!("Repaired {tables}:\n{lines}\nCompared again: {}", lower(&render(&repair.after)))
        }
    }
}

fn repaired(table: &RepairedTable) -> String {
    format!(
        "{} copied; {} added, {} changed, {} taken out",
        rows(table.copied),
        format::count(table.inserted),
        format::count(table.updated),
        format::count(table.deleted)
    )
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn render(found: &Verification) -> String {
    let tables = format::counted(found.tables.len(), "table", "tables");
    let differences: Vec<String> = found.tables.iter().flat_map(ranges).collect();
    let verdict = match differences.len() {
        0 if found.tables.is_empty() => {
            return "Nothing to compare: BACKUP_MODE has no incremental table.\n".to_owned();
        }
        0 => format!("No difference found in {tables}.\n"),
        many => format!("{} found in {tables}.\n", format::counted(many, "difference", "differences")),
    };
    let mut text =
        format!("{verdict}Compared with the source as it is now: whole rows, by ranges of the key.\n\n");
    text.push_str(&table(found));
    text.push_str(&list("Differences", &differences));
    let notes: Vec<String> = found.notes.iter().map(note).collect();
    text.push_str(&list("Notes", &notes));
    text
}

fn table(found: &Verification) -> String {
    let lines = found.tables.iter().map(|table| {
        [
            table.table.to_string(),
            table.mode.to_owned(),
            match &table.upto {
                Some(upto) => format!("{} up to {}", table.key.join(", "), upto.join(", ")),
                None => "all rows".to_owned(),
            },
            format::count(table.source_rows),
            format::count(table.warehouse_rows),
            table.result.name().to_owned(),
        ]
    });
    format::table(["table", "mode", "compared", "source rows", "warehouse rows", "result"], &[3, 4], lines)
}

fn ranges(table: &VerifiedTable) -> Vec<String> {
    let key = table.key.join(", ");
    let line = |range: &DifferentRange| {
        format::item(&table.table.to_string(), &format!("{key} {}", different(range)))
    };
    table.differences.iter().map(line).collect()
}

/// `12001 to 22000: the source has 10,000 rows, the warehouse 9,987`.
fn different(range: &DifferentRange) -> String {
    let keys = match (&range.from, &range.upto) {
        (Some(from), Some(upto)) if from == upto => from.join(", "),
        (Some(from), Some(upto)) => format!("{} to {}", from.join(", "), upto.join(", ")),
        (Some(from), None) => format!("after {}", from.join(", ")),
        (None, Some(upto)) => format!("up to {}", upto.join(", ")),
        (None, None) => "of all rows".to_owned(),
    };
    if range.source_rows == range.warehouse_rows {
        return format!("{keys}: as many rows, {}, but not the same", format::count(range.source_rows));
    }
    format!(
        "{keys}: the source has {}, the warehouse {}",
        rows(range.source_rows),
        format::count(range.warehouse_rows)
    )
}

fn rows(number: u64) -> String {
    format!("{} {}", format::count(number), if number == 1 { "row" } else { "rows" })
}

fn note(remark: &Remark) -> String {
    format::item(&remark.subject, &remark.text)
}

fn list(heading: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!("\n{heading} ({}):\n{}", lines.len(), lines.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TableName;
    use crate::replication::comparison::Verdict;

    fn bound(texts: &[&str]) -> Option<Vec<String>> {
        Some(texts.iter().map(ToString::to_string).collect())
    }

    fn range(from: &[&str], upto: &[&str], source_rows: u64, warehouse_rows: u64) -> DifferentRange {
        DifferentRange { from: bound(from), upto: bound(upto), source_rows, warehouse_rows }
    }

    fn found(differences: Vec<DifferentRange>) -> Verification {
        let answers = VerifiedTable {
            table: TableName::new("public", "answers"),
            mode: "incremental",
            key: vec!["id".into()],
            upto: bound(&["50000"]),
            source_rows: 50_000,
            warehouse_rows: 49_987,
            result: if differences.is_empty() { Verdict::Equal } else { Verdict::Different },
            differences,
        };
        let equal = answers.result == Verdict::Equal;
        Verification { equal, tables: vec![answers], notes: Vec::new() }
    }

    #[test]
    fn each_range_says_what_is_missing() {
        let differences = vec![
            range(&["12001"], &["22000"], 10_000, 9_987),
            range(&["30001"], &["40000"], 10_000, 10_000),
            range(&["50000"], &["50000"], 1, 0),
        ];
        assert_eq!(
            render(&found(differences)),
            "3 differences found in 1 table.\n\
             Compared with the source as it is now: whole rows, by ranges of the key.\n\
             \n\
             \x20 table           mode         compared        source rows  warehouse rows  result\n\
             \x20 public.answers  incremental  id up to 50000       50,000          49,987  different\n\
             \n\
             Differences (3):\n\
             \x20 public.answers: id 12001 to 22000: the source has 10,000 rows, the warehouse 9,987\n\
             \x20 public.answers: id 30001 to 40000: as many rows, 10,000, but not the same\n\
             \x20 public.answers: id 50000: the source has 1 row, the warehouse 0\n"
        );
    }

    #[test]
    fn a_repair_says_what_it_copied_and_how_it_is_now() {
        let repaired = RepairedTable {
            table: TableName::new("public", "answers"),
            copied: 10_000,
            inserted: 13,
            updated: 2,
            deleted: 0,
        };
        let text = render_repair(&Repair { repaired: vec![repaired], after: found(Vec::new()) });
        let expected = "Repaired 1 table:\n\
             \x20 public.answers: 10,000 rows copied; 13 added, 2 changed, 0 taken out\n\
             \n\
             Compared again: no difference found in 1 table.\n";
        assert!(text.starts_with(expected), "{text}");
        let text = render_repair(&Repair { repaired: Vec::new(), after: found(Vec::new()) });
        assert!(text.starts_with("Nothing to repair.\nNo difference found in 1 table.\n"), "{text}");
    }

    #[test]
    fn nothing_to_compare_is_not_called_equal() {
        let none = Verification { equal: true, tables: Vec::new(), notes: Vec::new() };
        assert!(render(&none).starts_with("Nothing to compare"));
    }
}
