//! What a statement of nightferry's own is about, read from its beginning. Pure.

use crate::ids::TableName;

/// What is done, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// What is done.
    pub(super) what: What,
    /// To which table.
    pub(super) table: Option<TableName>,
    /// Which index, constraint or view.
    pub(super) object: Option<String>,
}

/// What a session may be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Rows come in.
    Copy,
    /// An index is built.
    Index,
    /// A constraint is added, with its index where it needs one.
    Constraint,
    /// The rows are held against a foreign key.
    Validation,
    /// Statistics are taken.
    Analyze,
    /// A materialized view is filled.
    Refresh,
    /// Something else.
    Statement,
}

impl What {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Index => "index",
            Self::Constraint => "constraint",
            Self::Validation => "validation",
            Self::Analyze => "analyze",
            Self::Refresh => "refresh",
            Self::Statement => "statement",
        }
    }
}

/// Reads the beginning of a statement. What cannot be understood is a statement about nothing.
pub(super) fn subject(sql: &str) -> Subject {
    let tokens = tokens(sql);
    let mut words = Words { tokens: &tokens };
    read(&mut words).unwrap_or(Subject { what: What::Statement, table: None, object: None })
}

fn read(words: &mut Words<'_>) -> Option<Subject> {
    let found = |what, table, object| Some(Subject { what, table, object });
    match words.keyword()?.as_str() {
        "copy" => found(What::Copy, words.name(), None),
        "analyze" => found(What::Analyze, words.name(), None),
        "refresh" => {
            words.skip(&["materialized", "view", "concurrently"]);
            let view = words.name()?;
            found(What::Refresh, Some(view), None)
        }
        "create" => {
            words.skip(&["unique"]);
            words.expect("index")?;
            words.skip(&["concurrently", "if", "not", "exists"]);
            let index = words.name()?;
            words.expect("on")?;
            words.skip(&["only"]);
            found(What::Index, words.name(), Some(index.name))
        }
        "alter" => {
            words.expect("table")?;
            words.skip(&["if", "exists", "only"]);
            let table = words.name()?;
            let what = match words.keyword()?.as_str() {
                "add" => What::Constraint,
                "validate" => What::Validation,
                _ => return None,
            };
            words.expect("constraint")?;
            found(what, Some(table), words.name().map(|constraint| constraint.name))
        }
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A word as PostgreSQL reads it: in small letters.
    Word(String),
    Quoted(String),
    Other(char),
}

struct Words<'a> {
    tokens: &'a [Token],
}

impl Words<'_> {
    fn next(&mut self) -> Option<&Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn keyword(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(word) => Some(word.clone()),
            _ => None,
        }
    }

    fn expect(&mut self, keyword: &str) -> Option<()> {
        (self.keyword()? == keyword).then_some(())
    }

    fn skip(&mut self, keywords: &[&str]) {
        while let Some(Token::Word(word)) = self.tokens.first()
            && keywords.contains(&word.as_str())
        {
            self.next();
        }
    }

    /// A name, with its schema where one is written.
    fn name(&mut self) -> Option<TableName> {
        let first = self.part()?;
        if self.tokens.first() != Some(&Token::Other('.')) {
            return Some(TableName::new("", first));
        }
        self.next();
        Some(TableName::new(first, self.part()?))
    }

    fn part(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
            Token::Other(_) => None,
        }
    }
}

/// The first words; comments are left out.
fn tokens(sql: &str) -> Vec<Token> {
    const ENOUGH: usize = 16;
    let (mut tokens, mut rest) = (Vec::new(), sql);
    while let Some(first) = rest.chars().next()
        && tokens.len() < ENOUGH
    {
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("--") {
            rest.find('\n').map_or(rest.len(), |end| end + 1)
        } else if first == '"' {
            let Some((name, length)) = quoted(rest) else { break };
            tokens.push(Token::Quoted(name));
            length
        } else if first.is_alphabetic() || first == '_' {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_ascii_lowercase()));
            end
        } else {
            tokens.push(Token::Other(first));
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// A quoted name and its length with the quotes; none where it is cut off.
fn quoted(text: &str) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), 1);
    loop {
        let end = at + text[at..].find('"')?;
        name.push_str(&text[at..end]);
        at = end + 1;
        if !text[at..].starts_with('"') {
            return Some((name, at));
        }
        name.push('"');
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> (What, String, String) {
        let Subject { what, table, object } = subject(sql);
        (what, table.map(|table| table.to_string()).unwrap_or_default(), object.unwrap_or_default())
    }

    fn is(what: What, table: &str, object: &str) -> (What, String, String) {
        (what, table.to_owned(), object.to_owned())
    }

    #[test]
    fn a_statement_is_known_by_its_first_words() {
        let expected = [
            (
                "CREATE UNIQUE INDEX \"users_Email\" ON public__next.users USING btree (email)",
                is(What::Index, "public__next.users", "users_Email"),
            ),
            ("create index concurrently if not exists a on only s.t (x)", is(What::Index, "s.t", "a")),
            (
                "ALTER TABLE ONLY public__next.users ADD CONSTRAINT users_pkey PRIMARY KEY (id)",
                is(What::Constraint, "public__next.users", "users_pkey"),
            ),
            (
                "alter table \"a b\".\"c\"\"d\" validate constraint \"e.f\"",
                is(What::Validation, "a b.c\"d", "e.f"),
            ),
            ("-- why\nanalyze \"public__next\".\"t\"", is(What::Analyze, "public__next.t", "")),
            ("COPY \"public\".\"t\" (\"a\") FROM STDIN", is(What::Copy, "public.t", "")),
            ("refresh materialized view s.v", is(What::Refresh, "s.v", "")),
        ];
        for (sql, expected) in expected {
            assert_eq!(read(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_something_else_or_cut_off_is_a_statement() {
        let cut = [
            "create index \"cut",
            "alter table \"t",
            "alter table t rename to u",
            "select 1",
            "",
            "é.\"",
            "alter",
        ];
        for sql in cut {
            assert_eq!(read(sql).0, What::Statement, "{sql}");
        }
    }
}
