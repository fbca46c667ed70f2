//! `COPY schema.table (a, "b c") FROM stdin;`, as pg_dump writes it before a table's rows (manual, 4.1.1 for names).

use std::iter::Peekable;
use std::str::Chars;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;

/// The table and the columns of a dump's COPY statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStatement {
    /// The table; with `--load-via-partition-root` it is the partition's root.
    pub table: TableName,
    /// The columns, in the order of the rows; none for a table without columns.
    pub columns: Vec<String>,
}

impl CopyStatement {
    /// Reads the statement.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(statement: &str) -> Result<Self> {
        Scanner { rest: statement.chars().peekable() }.copy().ok_or_else(|| {
            Error::new(ErrorKind::Schema, format!("unknown COPY statement ({})", statement.trim()))
        })
    }
}

struct Scanner<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Scanner<'_> {
    fn copy(mut self) -> Option<CopyStatement> {
        self.keyword("copy")?;
        let schema = self.name()?;
        self.symbol('.')?;
        let table = TableName::new(schema, self.name()?);
        let mut columns = Vec::new();
        if self.symbol('(').is_some() {
            columns.push(self.name()?);
            while self.symbol(',').is_some() {
                columns.push(self.name()?);
            }
            self.symbol(')')?;
        }
        self.keyword("from")?;
        self.keyword("stdin")?;
        self.symbol(';')?;
        self.skip_spaces();
        self.rest.next().is_none().then_some(CopyStatement { table, columns })
    }

    fn skip_spaces(&mut self) {
        while self.rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
    }

    fn symbol(&mut self, symbol: char) -> Option<char> {
        self.skip_spaces();
        self.rest.next_if_eq(&symbol)
    }

    /// A keyword is an unquoted name: a column `"from"` is not one.
    fn keyword(&mut self, keyword: &str) -> Option<()> {
        self.skip_spaces();
        (self.rest.peek() != Some(&'"') && self.name()? == keyword).then_some(())
    }

    fn name(&mut self) -> Option<String> {
        self.skip_spaces();
        if self.rest.next_if_eq(&'"').is_some() {
            return self.quoted();
        }
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
            name.push(c.to_ascii_lowercase());
        }
        (!name.is_empty()).then_some(name)
    }

    fn quoted(&mut self) -> Option<String> {
        let mut name = String::new();
        loop {
            match self.rest.next()? {
                '"' if self.rest.next_if_eq(&'"').is_some() => name.push('"'),
                '"' => return Some(name),
                c => name.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(statement: &str) -> Option<(String, String, Vec<String>)> {
        let CopyStatement { table, columns } = CopyStatement::parse(statement).ok()?;
        Some((table.schema, table.name, columns))
    }

    fn found(schema: &str, table: &str, columns: &[&str]) -> Option<(String, String, Vec<String>)> {
        Some((schema.into(), table.into(), columns.iter().map(|&name| name.into()).collect()))
    }

    #[test]
    fn names_are_read_with_their_quotes_commas_and_line_ends() {
        assert_eq!(
            parse("COPY public.answers (id, \"userId\") FROM stdin;\n"),
            found("public", "answers", &["id", "userId"])
        );
        assert_eq!(
            parse("COPY \"my.schema\".\"a \"\"b\"\"\nc\" (\"x, y)\", \"from\", été) FROM stdin;\n"),
            found("my.schema", "a \"b\"\nc", &["x, y)", "from", "été"])
        );
    }

    #[test]
    fn a_table_without_columns_has_no_list() {
        assert_eq!(parse("COPY public.empty  FROM stdin;\n"), found("public", "empty", &[]));
    }

    #[test]
    fn anything_else_is_refused() {
        for statement in [
            "",
            "COPY answers (id) FROM stdin;",
            "COPY public.answers (id) WITH OIDS FROM stdin;",
            "COPY public.answers (id FROM stdin;",
            "COPY public.answers (id) FROM stdin; DROP TABLE x;",
            "\"COPY\" public.answers (id) FROM stdin;",
            "COPY public.\"answers (id) FROM stdin;",
        ] {
            assert_eq!(parse(statement), None, "{statement}");
        }
    }
}
