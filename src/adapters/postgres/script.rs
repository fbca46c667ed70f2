//! SQL of others: a file, run whole, with the place of an error in it; and the settings for an archive's.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Executor};

use super::{Session, failed};
use crate::error::Result;

/// The settings of pg_restore, for the transaction in which an archive's SQL runs.
pub const SCRIPT_SETTINGS: &str = include_str!("../../../sql/catalog/script_settings.sql");

/// Runs the statements of a file; `name` names it in errors, with the line where the server tells it.
///
/// # Errors
/// The server refuses one of the statements.
pub async fn run_script(session: &mut Session, name: &str, sql: &str) -> Result<()> {
    session.raw().execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(|_| ()).map_err(|error| {
        let place = position(&error).map_or_else(String::new, |at| format!(", line {}", line_of(sql, at)));
        failed(format!("{name}{place}"), error)
    })
}

fn position(error: &sqlx::Error) -> Option<usize> {
    match error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.position()? {
        PgErrorPosition::Original(at) => Some(at),
        PgErrorPosition::Internal { .. } => None,
    }
}

/// The line of the server's position, which counts characters from 1.
fn line_of(sql: &str, position: usize) -> usize {
    1 + sql.chars().take(position.saturating_sub(1)).filter(|character| *character == '\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_in_characters_becomes_a_line() {
        let sql = "-- é\nselect 1;\nselect x";
        assert_eq!(line_of(sql, 1), 1);
        assert_eq!(line_of(sql, sql.chars().count()), 3);
    }
}
