//! What items are called, and what is said of them.

use crate::format;

/// As pg_restore names it: schema `public` goes without saying.
pub(super) fn short(table: &str) -> &str {
    table.strip_prefix("public.").unwrap_or(table)
}

/// As pg_restore names it: `INDEX answers_userid_idx`, `CONSTRAINT answers answers_pkey`.
pub(super) fn built_name(kind: &str, object: &str, table: &str) -> String {
    let table = short(table);
    if kind.ends_with("CONSTRAINT") {
        return format!("{kind} {table} {object}");
    }
    // Only the schema of an index is the table's own.
    match table.split_once('.').filter(|_| kind == "INDEX") {
        Some((schema, _)) => format!("{kind} {schema}.{object}"),
        None => format!("{kind} {object}"),
    }
}

/// What is said of a table besides its name.
pub(super) fn detail(rows: Option<u64>, bytes: Option<u64>) -> String {
    let counted = |rows| format::counted(usize::try_from(rows).unwrap_or(usize::MAX), "row", "rows");
    let rows = rows.map(counted);
    let bytes = bytes.map(format::bytes);
    rows.into_iter().chain(bytes).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nightferry_builds_is_called_as_pg_restore_calls_it() {
        assert_eq!(built_name("INDEX", "answers_idx", "public.answers"), "INDEX answers_idx");
        assert_eq!(built_name("INDEX", "logs_idx", "audit.logs"), "INDEX audit.logs_idx");
        assert_eq!(
            built_name("FK CONSTRAINT", "answers_fk", "public.answers"),
            "FK CONSTRAINT answers answers_fk"
        );
        assert_eq!(built_name("ENRICHMENT", "01_views.sql", "public.x"), "ENRICHMENT 01_views.sql");
    }
}
