//! What stands in the catalogs of some schemas beside the rows: owners, rights, comments, labels, definitions. For tests
//! that say "the same after as before"; it tells more than `compare`, which compares two databases of different owners.

use super::TestDatabase;
use super::database::execute_on;

/// One line for each thing that is so, sorted. Two lists are equal where nobody could tell the difference.
pub(crate) async fn standing(database: &TestDatabase, schemas: &[&str]) -> Vec<String> {
    let mut session = database.connect().await;
    execute_on(&mut session, "set search_path = ''").await;
    let schemas: Vec<String> = schemas.iter().map(|schema| (*schema).to_owned()).collect();
    let mut lines: Vec<String> = sqlx::query_scalar(include_str!("standing.sql"))
        .bind(schemas)
        .fetch_all(&mut session)
        .await
        .unwrap_or_else(|error| panic!("{error}\nin standing.sql"));
    lines.sort();
    lines
}

/// Panics with the lines that went (`-`) and those that came (`+`).
pub(crate) fn assert_unchanged(before: &[String], after: &[String]) {
    let went = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let came = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    let changes: Vec<String> = went.chain(came).collect();
    assert!(before == after, "{} changes:\n{}", changes.len(), changes.join("\n"));
}
