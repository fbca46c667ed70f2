//! Which table a written name means, and which are its partitions (pure). Names are compared whole: `answers` is never `answers_archive`.

use std::collections::BTreeSet;

use crate::ids::TableName;

/// Finds the table that `written` means among the `tables`: `schema.table`, or a name that is in `public` or in one
/// schema only.
///
/// # Errors
/// There is none or more than one, in words that name the nearest.
pub fn resolve(written: &str, tables: &[TableName]) -> Result<TableName, String> {
    if let Some(table) = tables.iter().find(|table| table.schema == "public" && table.name == written) {
        return Ok(table.clone());
    }
    if let Some(table) = tables.iter().find(|table| table.to_string() == written) {
        return Ok(table.clone());
    }
    let named: Vec<&TableName> = tables.iter().filter(|table| table.name == written).collect();
    match named.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(match nearest(written, tables) {
            Some(near) => format!("the source has no table {written:?}: did you mean {near:?}?"),
            None => format!("the source has no table {written:?}"),
        }),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(format!("{written:?} is the name of several tables: write one of {}", names.join(", ")))
        }
    }
}

/// Adds the partitions of the tables, and theirs; each partition comes with its parent.
pub(super) fn add_partitions(tables: &mut BTreeSet<TableName>, partitions: &[(TableName, TableName)]) {
    loop {
        let before = tables.len();
        for (partition, parent) in partitions {
            if tables.contains(parent) {
                tables.insert(partition.clone());
            }
        }
        if tables.len() == before {
            return;
        }
    }
}

fn nearest(written: &str, tables: &[TableName]) -> Option<String> {
    let score = |candidate: &str| strsim::normalized_damerau_levenshtein(written, candidate);
    // From behind, since the last of equals wins: the first table is the nearest.
    tables
        .iter()
        .rev()
        .map(|table| {
            let short = if table.schema == "public" { table.name.clone() } else { table.to_string() };
            (score(&short).max(score(&table.name)), short)
        })
        .filter(|(similarity, _)| *similarity > 0.6)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Vec<TableName> {
        [
            ("public", "answers"),
            ("audit", "answers"),
            ("public", "answers_archive"),
            ("a", "logs"),
            ("b", "logs"),
            ("a", "only"),
        ]
        .map(|(schema, name)| TableName::new(schema, name))
        .to_vec()
    }

    #[test]
    fn a_bare_name_means_public_first_then_the_one_schema_that_has_it() {
        assert_eq!(resolve("answers", &tables()), Ok(TableName::new("public", "answers")));
        assert_eq!(resolve("audit.answers", &tables()), Ok(TableName::new("audit", "answers")));
        assert_eq!(resolve("only", &tables()), Ok(TableName::new("a", "only")));
    }

    #[test]
    fn an_ambiguous_name_and_an_unknown_one_say_what_to_write() {
        assert!(resolve("logs", &tables()).unwrap_err().contains("a.logs, b.logs"));
        assert!(resolve("answer", &tables()).unwrap_err().contains("did you mean \"answers\"?"));
        assert!(resolve("Answers", &tables()).is_err(), "case matters");
    }
}
