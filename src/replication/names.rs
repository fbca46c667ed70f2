//! Table names as operators write them, `table` or `schema.table`, found among the tables that are there.

use crate::config::nearest;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;

/// The table that was meant: the one of this name in schema `public`, else the only one of this name, else the one
/// whose schema and name are written out.
///
/// # Errors
/// There is none (the nearest one is named), or several schemas have one.
pub(crate) fn resolve(written: &str, tables: &[TableName]) -> Result<TableName> {
    let named: Vec<&TableName> = tables.iter().filter(|table| table.name == written).collect();
    let in_public = named.iter().find(|table| table.schema == "public");
    match (in_public, named.as_slice()) {
        (Some(table), _) => return Ok((*table).clone()),
        (None, [table]) => return Ok((*table).clone()),
        (None, [_, _, ..]) => {
            let all = named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("table {written:?} is in several schemas: write one of {all}"),
            ));
        }
        (None, []) => {}
    }
    tables.iter().find(|table| table.to_string() == written).cloned().ok_or_else(|| unknown(written, tables))
}

fn unknown(written: &str, tables: &[TableName]) -> Error {
    let whole: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let candidates = tables.iter().map(|table| table.name.as_str()).chain(whole.iter().map(String::as_str));
    let error = Error::new(ErrorKind::Schema, format!("there is no table {written:?}"));
    match nearest(written, candidates) {
        Some(near) => error.hint(format!("did you mean {near:?}?")),
        None => error.hint("write table (of schema public) or schema.table, as the catalog spells them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Vec<TableName> {
        [
            ("public", "answers"),
            ("audit", "answers"),
            ("audit", "log"),
            ("a", "x"),
            ("b", "x"),
            ("public", "a.b"),
        ]
        .map(|(schema, name)| TableName::new(schema, name))
        .to_vec()
    }

    #[test]
    fn a_bare_name_is_that_of_public_else_the_only_one() {
        let found = |written| resolve(written, &tables()).unwrap().to_string();
        assert_eq!(found("answers"), "public.answers");
        assert_eq!(found("audit.answers"), "audit.answers");
        assert_eq!(found("log"), "audit.log");
        assert_eq!(found("a.b"), "public.a.b");
    }

    #[test]
    fn what_is_not_there_or_there_twice_is_an_error_that_says_what_to_write() {
        let error = resolve("x", &tables()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("a.x, b.x"), "{error}");
        let error = resolve("answer", &tables()).unwrap_err();
        assert_eq!(error.operator_hint(), Some("did you mean \"answers\"?"));
        assert_eq!(resolve("Answers_", &[]).unwrap_err().kind(), ErrorKind::Schema);
    }
}
