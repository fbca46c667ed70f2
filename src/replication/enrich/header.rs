//! The header of an enrichment file: the comment lines at its top that say when it is run.
//!
//! ```sql
//! -- needs: organization-learners, "a name, with a comma", audit.log
//! -- unless: schooling-registrations
//! -- not for kept tables
//! ```
//! Names are written as the catalog spells them, apart by commas; in double quotes (doubled within) where they hold a
//! comma, a dot or a quote. `needs` must be there, and may be empty. Other comment lines are only comments, but one that
//! looks like one of these and is none of them is an error: it would be a rule that nobody follows.

use crate::config::nearest;
use crate::ids::TableName;

const NOT_FOR_KEPT: &str = "not for kept tables";

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
    for (line, number) in lines.zip(1_u32..) {
        let comment = line.trim_start_matches('-').trim();
        let named = |names| list(names, schema).map_err(|problem| format!("line {number}: {problem}"));
        if let Some(names) = comment.strip_prefix("needs:") {
            header.needs.extend(named(names)?);
            says_needs = true;
        } else if let Some(names) = comment.strip_prefix("unless:") {
            header.unless.extend(named(names)?);
        } else if comment == NOT_FOR_KEPT {
            header.not_for_kept = true;
        } else if let Some(form) = meant(comment) {
            return Err(format!("line {number}: cannot understand {line:?}: write a line such as {form}"));
        }
    }
    if says_needs {
        Ok(header)
    } else {
        Err("its header does not name the tables it needs: write a line such as -- needs: users".to_owned())
    }
}

/// The form that a comment resembles without being of it. Prose may hold the words, but not begin with them.
fn meant(comment: &str) -> Option<&'static str> {
    const FORMS: [(&str, &str); 3] =
        [("needs", "-- needs: users"), ("unless", "-- unless: users"), ("not for", "-- not for kept tables")];
    let comment = comment.to_lowercase();
    let begins_with = |word: &str| {
        comment.strip_prefix(word).is_some_and(|behind| !behind.starts_with(char::is_alphanumeric))
    };
    let form = FORMS.iter().find(|(word, _)| begins_with(word)).or_else(|| {
        let before_colon = comment.split_once(':').map(|(before, _)| before.trim());
        let near = before_colon
            .and_then(|word| nearest(word, FORMS.iter().map(|(word, _)| *word)))
            .or_else(|| nearest(&comment, [NOT_FOR_KEPT]).and(Some("not for")))?;
        FORMS.iter().find(|(word, _)| *word == near)
    });
    form.map(|(_, form)| *form)
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
    fn a_line_that_is_almost_a_rule_is_refused_with_its_number_and_the_right_form() {
        for (wrong, form) in [
            ("-- not for kept tables   some text", "-- not for kept tables"),
            ("-- not for kept table", "-- not for kept tables"),
            ("-- nor for kept tables", "-- not for kept tables"),
            ("-- Not for kept tables", "-- not for kept tables"),
            ("-- unles: x", "-- unless: users"),
            ("-- unless x", "-- unless: users"),
            ("-- need: x", "-- needs: users"),
            ("-- needs : x", "-- needs: users"),
            ("--Needs: x", "-- needs: users"),
        ] {
            let problem = parse(&format!("-- why\n-- needs: a\n{wrong}\nselect 1"), "s").unwrap_err();
            assert!(problem.starts_with("line 3: ") && problem.ends_with(form), "{problem}");
            assert!(problem.contains(wrong), "{problem}");
        }
        assert!(parse("\n-- needs: a,", "s").unwrap_err().starts_with("line 2: "));
    }

    #[test]
    fn prose_may_say_what_it_likes() {
        for prose in [
            "-- Rows by day, newest first: the date of the timestamp as analysts in Paris read it.",
            "-- The report needs it, unless the table is kept; not for analysts.",
            "-- note: see the wiki",
            "-- see: https://example.net/tables",
            "-- needless to say",
            "-- not forgotten",
            "-- the tables that are kept",
            "--",
            "-- indexes: two of them",
        ] {
            assert!(parse(&format!("{prose}\n-- needs: a"), "s").is_ok(), "{prose}");
        }
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
