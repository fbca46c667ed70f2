//! The one place that quotes SQL: identifiers and literals (PostgreSQL manual, 4.1.1 and 4.1.2).

use crate::ids::TableName;

/// A quoted identifier. Always quoted: a name that needs no quotes today is a keyword tomorrow.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A schema-qualified, quoted name.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// A table's qualified, quoted name.
#[must_use]
pub fn table(name: &TableName) -> String {
    qualified(&name.schema, &name.name)
}

/// A comma-separated list of quoted identifiers.
#[must_use]
pub fn columns<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| ident(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A string literal, whatever `standard_conforming_strings` says.
#[must_use]
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_capitals_hyphens_quotes_and_spaces() {
        assert_eq!(ident("knowledge-elements"), "\"knowledge-elements\"");
        assert_eq!(ident("a\"b c"), "\"a\"\"b c\"");
        assert_eq!(qualified("été", "Order"), "\"été\".\"Order\"");
        assert_eq!(columns(&["id", "userId"]), "\"id\", \"userId\"");
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(literal("l'eau"), "'l''eau'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }
}
