//! A JSON record to the values of a row. Numbers keep the digits that the API wrote.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::{Map, Value};

use super::catalog::{Column, From, Kind, Table};
use crate::adapters::postgres::bulk::Cell;

/// A row: its id, and its cells with the id first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) cells: Vec<Cell>,
}

/// Maps one record. What is wrong with it comes back as a sentence, to be put behind the record's place.
pub(super) fn row(table: &Table, record: &Value) -> Result<Row, String> {
    let Value::Object(record) = record else { return Err("it is not an object".to_owned()) };
    let id = match record.get("id").and_then(first).map(plain) {
        Some(id) if !id.is_empty() => stored(id)?,
        _ => return Err("it has no id".to_owned()),
    };
    let mut cells = vec![Cell::Scalar(id.clone())];
    for column in table.columns {
        let cell = cell(column, record)
            .map_err(|problem| format!("id {id:?}, column {:?}: {problem}", column.name))?;
        cells.push(cell);
    }
    Ok(Row { id, cells })
}

fn cell(column: &Column, record: &Map<String, Value>) -> Result<Cell, String> {
    let truth = |truth: bool| Ok(Cell::Scalar(truth.to_string()));
    let value = match column.from {
        From::Null => return Ok(Cell::Null),
        From::Constant(text) => return Ok(Cell::Scalar(text.to_owned())),
        From::IsTrue(member) => return truth(record.get(member).and_then(first) == Some(&Value::Bool(true))),
        From::IsPresent(member) => return truth(record.get(member).and_then(first).is_some_and(is_present)),
        From::ListOf(member) => {
            return record.get(member).and_then(first).map_or(Ok(Cell::Null), |value| list([value]));
        }
        From::Member(member) => record.get(member),
        From::Within(member, inner) => record.get(member).and_then(|value| value.get(inner)),
    };
    match (column.kind, value) {
        (Kind::TextList, None | Some(Value::Null)) => Ok(Cell::Null),
        (Kind::TextList, Some(Value::Array(elements))) => list(elements),
        (Kind::TextList, Some(value)) => list([value]),
        (kind, value) => match value.and_then(first) {
            None if kind == Kind::Boolean => truth(false),
            None => Ok(Cell::Null),
            Some(value) => scalar(kind, value).map(Cell::Scalar),
        },
    }
}

/// The value of a scalar column: a list gives its first element; null is no value.
fn first(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(elements) => elements.first().and_then(first),
        Value::Null => None,
        value => Some(value),
    }
}

fn is_present(value: &Value) -> bool {
    !matches!(value, Value::String(text) if text.is_empty()) && *value != Value::Bool(false)
}

fn list<'a>(elements: impl IntoIterator<Item = &'a Value>) -> Result<Cell, String> {
    let element = |value: &Value| if value.is_null() { Ok(None) } else { stored(plain(value)).map(Some) };
    elements.into_iter().map(element).collect::<Result<_, _>>().map(Cell::List)
}

/// A value as text: a string is itself, a number its digits, anything else its JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Text as PostgreSQL stores it, which is without NUL.
fn stored(text: String) -> Result<String, String> {
    if text.contains('\0') {
        Err("it has a NUL character, which a database cannot store".to_owned())
    } else {
        Ok(text)
    }
}

fn scalar(kind: Kind, value: &Value) -> Result<String, String> {
    let text = stored(plain(value))?;
    let number = || match value {
        Value::Number(_) | Value::String(_) => {
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
        }
        _ => None,
    };
    let ok = match kind {
        Kind::Text | Kind::TextList => true,
        Kind::Boolean => value.is_boolean(),
        Kind::SmallInt => return small(&text, number()).ok_or_else(|| misfit(kind, &text)),
        Kind::Numeric => number().is_some(),
        // What rounds to 10 at the fifth decimal has one digit too many.
        Kind::PixValue => number().is_some_and(|number| number.abs() < 9.999_995),
        Kind::Timestamp => value.is_string() && is_time(&text),
    };
    if ok { Ok(text) } else { Err(misfit(kind, &text)) }
}

/// `3`, and `3.0` too: JSON does not tell them apart.
fn small(text: &str, number: Option<f64>) -> Option<String> {
    let whole = text.trim().parse::<i16>().ok().map(|whole| whole.to_string());
    let from_decimal = || {
        number
            .filter(|number| number.fract() == 0.0 && (-32768.0..=32767.0).contains(number))
            .map(|number| format!("{number:.0}"))
    };
    whole.or_else(from_decimal)
}

/// The forms that the server reads the same whatever its settings are.
fn is_time(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
        || ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
            .iter()
            .any(|form| NaiveDateTime::parse_from_str(text, form).is_ok())
}

fn misfit(kind: Kind, text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?} is not a {}", kind.type_name())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(kind: Kind, from: From, record: Value) -> Result<Cell, String> {
        cell(&Column { name: "c", kind, from }, record.as_object().unwrap())
    }

    fn member(kind: Kind, value: Value) -> Result<Cell, String> {
        one(kind, From::Member("m"), json!({ "m": value }))
    }

    fn scalar_of(text: &str) -> Result<Cell, String> {
        Ok(Cell::Scalar(text.to_owned()))
    }

    fn list_of(elements: &[&str]) -> Result<Cell, String> {
        Ok(Cell::List(elements.iter().map(|element| Some((*element).to_owned())).collect()))
    }

    #[test]
    fn a_list_keeps_every_element_whole() {
        assert_eq!(
            member(Kind::TextList, json!(["https://x/?a=1,2", "", "{\"}", "NULL"])),
            list_of(&["https://x/?a=1,2", "", "{\"}", "NULL"])
        );
        assert_eq!(member(Kind::TextList, json!([])), Ok(Cell::List(vec![])));
        assert_eq!(member(Kind::TextList, json!([null, 1])), Ok(Cell::List(vec![None, Some("1".into())])));
        assert_eq!(member(Kind::TextList, json!("alone")), list_of(&["alone"]));
        assert_eq!(one(Kind::TextList, From::Member("m"), json!({})), Ok(Cell::Null));
    }

    #[test]
    fn a_scalar_column_takes_the_first_element_of_a_list() {
        assert_eq!(member(Kind::Text, json!(["a,b", "c"])), scalar_of("a,b"));
        assert_eq!(member(Kind::Text, json!([])), Ok(Cell::Null));
        assert_eq!(member(Kind::Boolean, json!([true])), scalar_of("true"));
    }

    #[test]
    fn a_missing_or_null_boolean_is_false() {
        assert_eq!(one(Kind::Boolean, From::Member("m"), json!({})), scalar_of("false"));
        assert_eq!(member(Kind::Boolean, json!(null)), scalar_of("false"));
        assert_eq!(one(Kind::Boolean, From::IsTrue("m"), json!({"m": "true"})), scalar_of("false"));
        assert!(member(Kind::Boolean, json!("yes")).unwrap_err().contains("is not a boolean"));
    }

    #[test]
    fn presence_needs_something_that_is_not_empty() {
        let present = |value: Value| one(Kind::Boolean, From::IsPresent("m"), json!({ "m": value }));
        assert_eq!(present(json!("https://x")), scalar_of("true"));
        for absent in [json!(""), json!(null), json!([])] {
            assert_eq!(present(absent), scalar_of("false"));
        }
    }

    #[test]
    fn a_missing_translation_is_null() {
        let title = |record| one(Kind::Text, From::Within("name_i18n", "fr"), record);
        assert_eq!(title(json!({"name_i18n": {"fr": "Été"}})), scalar_of("Été"));
        for record in [
            json!({}),
            json!({"name_i18n": null}),
            json!({"name_i18n": {"en": "x"}}),
            json!({"name_i18n": 3}),
        ] {
            assert_eq!(title(record), Ok(Cell::Null));
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let exact: Value = serde_json::from_str("0.1000000000000000055511151231257827").unwrap();
        assert_eq!(member(Kind::Numeric, exact), scalar_of("0.1000000000000000055511151231257827"));
        let big: Value = serde_json::from_str("9007199254740993").unwrap();
        assert_eq!(member(Kind::Text, big), scalar_of("9007199254740993"));
        assert_eq!(member(Kind::SmallInt, json!(3.0)), scalar_of("3"));
    }

    #[test]
    fn what_does_not_fit_its_type_is_said_so() {
        let misfits = [
            (Kind::SmallInt, json!(40000)),
            (Kind::SmallInt, json!(1.5)),
            (Kind::Numeric, json!("NaN")),
            (Kind::Numeric, json!(true)),
            (Kind::PixValue, json!(10)),
            (Kind::Timestamp, json!("yesterday")),
            (Kind::Timestamp, json!(20240101)),
        ];
        for (kind, value) in misfits {
            assert!(member(kind, value.clone()).unwrap_err().contains("is not a"), "{kind:?} {value}");
        }
        assert!(member(Kind::Text, json!("a\0b")).unwrap_err().contains("NUL"));
        assert_eq!(
            member(Kind::Timestamp, json!("2024-01-01T00:30:00.000Z")),
            scalar_of("2024-01-01T00:30:00.000Z")
        );
    }

    #[test]
    fn a_list_of_one_member_is_null_without_it() {
        let ids = |record| one(Kind::TextList, From::ListOf("skillId"), record);
        assert_eq!(ids(json!({"skillId": "s1"})), list_of(&["s1"]));
        assert_eq!(ids(json!({})), Ok(Cell::Null));
    }

    #[test]
    fn a_record_needs_an_id_and_is_named_by_it() {
        let table = Table {
            name: "t",
            columns: &[Column { name: "n", kind: Kind::SmallInt, from: From::Member("n") }],
            indexed: &[],
        };
        assert_eq!(row(&table, &json!({"id": "r1", "n": 2})).unwrap().id, "r1");
        for record in [json!({"n": 1}), json!({"id": ""}), json!({"id": null})] {
            assert_eq!(row(&table, &record).unwrap_err(), "it has no id");
        }
        assert_eq!(row(&table, &json!([])).unwrap_err(), "it is not an object");
        let problem = row(&table, &json!({"id": "r1", "n": "x"})).unwrap_err();
        assert_eq!(problem, "id \"r1\", column \"n\": \"x\" is not a smallint");
    }
}
