//! The one way to the environment: a lookup that is injected, and a reader that collects every problem.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// The variables, wherever they came from.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The process environment, completed by the `.env` file of the working directory where there is one.
    ///
    /// # Errors
    /// The `.env` file cannot be read or understood.
    pub fn from_process() -> Result<Self> {
        let mut variables = BTreeMap::new();
        match dotenvy::dotenv_iter() {
            Ok(entries) => {
                for entry in entries {
                    let (name, value) = entry.map_err(|error| unreadable(&error))?;
                    variables.insert(name, value);
                }
            }
            Err(error) if error.not_found() => {}
            Err(error) => return Err(unreadable(&error)),
        }
        variables.extend(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        Ok(Self(variables))
    }

    /// A fixed set, for tests.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The value of a variable; an empty one counts as unset.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

fn unreadable(error: &dotenvy::Error) -> Error {
    // The library's text quotes the line, which may hold a password.
    let what = match error {
        dotenvy::Error::Io(io) => io.to_string(),
        dotenvy::Error::LineParse(_, at) => format!("a line cannot be understood at its character {at}"),
        _ => "it cannot be understood".to_owned(),
    };
    Error::new(ErrorKind::Configuration, format!(".env: {what}"))
        .hint("write NAME=value, one a line, quoted where the value has spaces")
}

/// What is wrong with one variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong and what to write instead. Never quotes a secret.
    pub text: String,
}

/// Reads variables into types and keeps what was wrong.
#[derive(Debug)]
pub struct Reader<'a> {
    variables: &'a Variables,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of these variables.
    #[must_use]
    pub fn new(variables: &'a Variables) -> Self {
        Self { variables, problems: Vec::new() }
    }

    /// The text of a variable, if set.
    pub fn text(&mut self, variable: &'static str) -> Option<&'a str> {
        self.variables.get(variable)
    }

    /// Notes a problem.
    pub fn problem(&mut self, variable: &'static str, text: impl Into<String>) {
        self.problems.push(Problem { variable, text: text.into() });
    }

    /// Parses a variable, or takes the default where it is unset or wrong (a wrong one is a problem).
    pub fn parse<T>(
        &mut self,
        variable: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        match self.text(variable).map(parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(text)) => {
                self.problem(variable, text);
                default
            }
        }
    }

    /// A whole number between two bounds.
    pub fn number(
        &mut self,
        variable: &'static str,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> u32 {
        self.parse(variable, default, |text| {
            text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
                format!("{text:?} is not a whole number from {} to {}", range.start(), range.end())
            })
        })
    }

    /// A duration as people write it: `30s`, `15m`, `24h`.
    pub fn duration(&mut self, variable: &'static str, default: Duration) -> Duration {
        self.parse(variable, default, |text| {
            humantime::parse_duration(text)
                .map_err(|_| format!("{text:?} is not a duration: write 30s, 15m or 24h"))
        })
    }

    /// A number of bytes as people write it: `500MB`, `20GB`, `1.5TB` (powers of 1000), `20GiB` (of 1024).
    pub fn bytes(&mut self, variable: &'static str) -> Option<u64> {
        self.parse(variable, None, |text| {
            parse_bytes(text)
                .map(Some)
                .ok_or_else(|| format!("{text:?} is not a size: write 500MB, 20GB or 20GiB"))
        })
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy>(&mut self, variable: &'static str, default: T, choices: &[(&str, T)]) -> T {
        self.parse(variable, default, |text| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                format!("{text:?} is not one of {}", words.join(", "))
            })
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// There were problems; all of them are in the one error, sorted by variable.
    pub fn finish(mut self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        self.problems.sort();
        self.problems.dedup();
        let lines: Vec<String> =
            self.problems.iter().map(|problem| format!("{}: {}", problem.variable, problem.text)).collect();
        Err(Error::new(ErrorKind::Configuration, lines.join("\n")).hint("sample.env documents each variable"))
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    text.parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64()).filter(|bytes| *bytes > 0)
}

/// The candidate nearest to what was written, when it is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(written, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.6)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once_sorted_by_variable() {
        let variables = Variables::from_pairs([("PG_RESTORE_JOBS", "many"), ("LCMS_TIMEOUT", "3 apples")]);
        let mut reader = Reader::new(&variables);
        assert_eq!(reader.number("PG_RESTORE_JOBS", 4, 1..=64), 4);
        assert_eq!(reader.duration("LCMS_TIMEOUT", Duration::from_secs(180)), Duration::from_secs(180));
        let text = reader.finish().unwrap_err().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("LCMS_TIMEOUT: \"3 apples\"") && lines[1].starts_with("PG_RESTORE_JOBS:"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variables = Variables::from_pairs([("PORT", "  ")]);
        assert_eq!(variables.get("PORT"), None);
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        for (text, bytes) in
            [("500MB", 500_000_000), ("1.5 GB", 1_500_000_000), ("20GiB", 20 << 30), ("1gb", 1_000_000_000)]
        {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for wrong in ["many", "GB", "-1GB", "1XB", "1.2.3GB", "0MB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_word() {
        assert_eq!(nearest("incrementale", ["incremental", "none"]), Some("incremental"));
        assert_eq!(nearest("xyz", ["incremental", "none"]), None);
    }
}
