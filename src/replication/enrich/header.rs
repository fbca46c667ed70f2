//! The header of an enrichment file: the comment lines at its top that say when it is run.
//!
//! ```sql
//! -- needs: organization-learners, "a name, with a comma", audit.log
//! -- unless: schooling-registrations
//! -- not for kept tables
//! ```
//! Names are written as the catalog spells them, apart by commas; in double quotes (doubled within) where they hold a
//! comma, a dot or a quote. `needs` must be there, and may be empty. Other comment lines are only comments.

use crate::ids::TableName;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Header {
    /// What must be there: tables or views.
    pub(super) needs: Vec<TableName>,
    /// The tables that must not be there.
    pub(super) unless: Vec<TableName>,
    /// Whether a kept table among the needed ones means that the file is not run.
    pub(super) not_for_kept: bool,
}

/// Reads the header of a file; bare names are of `schema`.
pub(super) fn parse(sql: &str, schema: &str) -> Result<Header, String> {
    let mut header = Header::default();
    let mut says_needs = false;
    let lines = sql.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with("--"));
    for line in lines {
        let comment = line.trim_start_matches('-').trim();
        if let Some(names) = comment.strip_prefix("needs:") {
            header.needs.extend(list(names, schema)?);
            says_needs = true;
        } else if let Some(names) = comment.strip_prefix("unless:") {
            header.unless.extend(list(names, schema)?);
        } else if comment == "not for kept tables" {
            header.not_for_kept = true;
        }
    }
    if says_needs {
        Ok(header)
    } else {
        Err("its header does not name the tables it needs: write a line such as -- needs: users".to_owned())
    }
}

fn list(text: &str, schema: &str) -> Result<Vec<TableName>, String> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (first, behind) = part(rest)?;
        let (name, behind) = match behind.strip_prefix('.') {
            None => (TableName::new(schema, first), behind),
            Some(behind) => {
                let (second, behind) = part(behind)?;
                (TableName::new(first, second), behind)
            }
        };
        names.push(name);
        rest = match behind.strip_prefix(',').map(str::trim) {
            Some("") => return Err(format!("a comma without a name behind it: {text:?}")),
            Some(rest) => rest,
            None if behind.is_empty() => "",
            None => {
                return Err(format!("cannot understand {behind:?}: put names with dots in double quotes"));
            }
        };
    }
    Ok(names)
}

/// The first part of a name, and what is behind it.
fn part(text: &str) -> Result<(String, &str), String> {
    let text = text.trim_start();
    if let Some(quoted) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut characters = quoted.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            if character != '"' {
                name.push(character);
            } else if characters.next_if(|(_, next)| *next == '"').is_some() {
                name.push('"');
            } else {
                return Ok((name, quoted[at + 1..].trim_start()));
            }
        }
        return Err(format!("a double quote that does not end: {text:?}"));
    }
    let end = text.find([',', '.', '"']).unwrap_or(text.len());
    let name = text[..end].trim();
    if name.is_empty() {
        Err(format!("a name is missing before {text:?}"))
    } else {
        Ok((name.to_owned(), &text[end..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(names: &str) -> Result<Vec<String>, String> {
        let header = parse(&format!("-- needs: {names}\nselect 1;\n-- needs: late"), "public")?;
        Ok(header.needs.iter().map(|table| format!("{}/{}", table.schema, table.name)).collect())
    }

    #[test]
    fn names_may_be_odd() {
        assert_eq!(
            needs("users, knowledge-elements").unwrap(),
            ["public/users", "public/knowledge-elements"]
        );
        assert_eq!(
            needs(r#""a, ""b"".c" , audit.log,"my schema"."été""#).unwrap(),
            ["public/a, \"b\".c", "audit/log", "my schema/été"]
        );
        assert_eq!(needs("").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_not_a_list_of_names_is_said_so() {
        for wrong in ["a,", ", a", "a.b.c", "\"a", "a. ,b", "a\"b\""] {
            assert!(needs(wrong).is_err(), "{wrong}");
        }
        assert!(parse("create index i on t (c)", "public").unwrap_err().contains("-- needs: users"));
    }

    #[test]
    fn the_header_ends_where_the_statements_begin() {
        let header = parse(
            "-- why\n\n-- needs: a\n-- unless: b\n-- not for kept tables\nselect 1;\n-- unless: c",
            "s",
        );
        assert_eq!(
            header.unwrap(),
            Header {
                needs: vec![TableName::new("s", "a")],
                unless: vec![TableName::new("s", "b")],
                not_for_kept: true
            }
        );
    }
}
