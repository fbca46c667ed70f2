//! The API's answer, read record by record: a record becomes a row at once, so that the whole answer is never in memory
//! as JSON values.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::catalog::{Api, Table};
use super::mapping;
use crate::adapters::postgres::bulk::Rows;
use crate::error::{Error, ErrorKind, Result};

/// A table and the rows that the answer has for it; none where its list is missing.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) table: &'static Table,
    pub(super) rows: Option<Rows>,
}

/// Reads an answer.
///
/// # Errors
/// It holds nothing, is no JSON object of lists, or has a record that cannot be a row: its table and position are named.
pub(super) fn read(api: &Api, body: &[u8]) -> Result<Vec<Loaded>> {
    if matches!(body.trim_ascii(), b"" | b"null") {
        return Err(nothing());
    }
    let mut problem = None;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Answer { api, problem: &mut problem }
        .deserialize(&mut deserializer)
        .and_then(|lists| deserializer.end().map(|()| lists));
    let mut lists = match (problem, read) {
        (Some(problem), _) => return Err(problem),
        (None, Ok(lists)) => lists,
        (None, Err(error)) => return Err(unreadable(&error)),
    };
    if lists.is_empty() {
        return Err(nothing());
    }
    Ok(api.tables.iter().map(|table| Loaded { table, rows: lists.remove(table.name) }).collect())
}

fn nothing() -> Error {
    Error::new(ErrorKind::Refused, "the content API answered without any content: nothing was changed")
        .hint("check LCMS_API_URL, and what the API answers")
}

/// An answer that broke off or is a web page may be better next time. serde's text may quote the answer: its place is
/// enough.
fn unreadable(error: &serde_json::Error) -> Error {
    let place = format!("line {}, column {}", error.line(), error.column());
    Error::new(
        ErrorKind::Unavailable,
        format!("the content API answered something else than JSON lists ({place})"),
    )
    .hint("check LCMS_API_URL, and what the API answers")
}

struct Answer<'a> {
    api: &'a Api,
    problem: &'a mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = HashMap<&'static str, Rows>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = HashMap<&'static str, Rows>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list per table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut lists = HashMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some(table) = self.api.tables.iter().find(|table| table.name == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if let Some(rows) = map.next_value_seed(List { table, problem: &mut *self.problem })? {
                lists.insert(table.name, rows);
            }
        }
        Ok(lists)
    }
}

struct List<'a> {
    table: &'static Table,
    problem: &'a mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Option<Rows>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Option<Rows>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<Self::Value, A::Error> {
        let mut rows = Rows::default();
        let mut positions: HashMap<String, usize> = HashMap::new();
        let mut position = 0;
        while let Some(record) = records.next_element::<Value>()? {
            position += 1;
            let problem = match mapping::row(self.table, &record) {
                Err(problem) => problem,
                Ok(row) => {
                    rows.push(&row.cells);
                    match positions.insert(row.id.clone(), position) {
                        None => continue,
                        Some(other) => format!("id {:?} is that of record {other} too", row.id),
                    }
                }
            };
            *self.problem = Some(Error::new(
                ErrorKind::Data,
                format!(
                    "content table {}, record {position}: {problem}: nothing was changed",
                    self.table.name
                ),
            ));
            return Err(A::Error::custom("a record cannot be a row"));
        }
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::LEARNING_CONTENT;
    use super::*;

    fn counts(body: &str) -> Result<Vec<(&'static str, Option<u64>)>> {
        let loaded = read(&LEARNING_CONTENT, body.as_bytes())?;
        Ok(loaded.into_iter().map(|one| (one.table.name, one.rows.map(|rows| rows.count()))).collect())
    }

    #[test]
    fn lists_are_counted_missing_ones_told_apart_and_unknown_ones_passed_over() {
        let counts = counts(
            r#"{"areas": [{"id": "a"}, {"id": "b"}], "courses": [], "tubes": null, "frameworks": [1]}"#,
        )
        .unwrap();
        assert_eq!(counts[0], ("areas", Some(2)));
        assert!(counts.contains(&("courses", Some(0))) && counts.contains(&("tubes", None)));
        assert!(counts.contains(&("skills", None)));
    }

    #[test]
    fn an_answer_without_content_is_refused() {
        for body in ["", " \n", "null", "{}", r#"{"error": "maintenance"}"#, r#"{"areas": null}"#] {
            assert_eq!(counts(body).unwrap_err().kind(), ErrorKind::Refused, "{body:?}");
        }
    }

    #[test]
    fn an_answer_that_broke_off_may_be_asked_for_again_and_is_not_quoted() {
        for body in [
            r#"{"areas": [{"id": "hush"#,
            "<html>hush</html>",
            r#"["hush"]"#,
            r#"{"areas": "hush"}"#,
            "{} hush",
        ] {
            let error = counts(body).unwrap_err();
            assert!(error.kind() == ErrorKind::Unavailable && !error.to_string().contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_wrong_record_is_named_by_table_and_position() {
        let error =
            counts(r#"{"areas": [{"id": "a"}], "skills": [{"id": "s"}, {"name": "x"}]}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("content table skills, record 2: it has no id"), "{error}");
        let error = counts(r#"{"areas": [{"id": "a"}, {"id": "a"}]}"#).unwrap_err();
        assert!(error.to_string().contains("record 2: id \"a\" is that of record 1 too"), "{error}");
    }
}
