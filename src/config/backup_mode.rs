//! `BACKUP_MODE`: a JSON object, table name to mode. `{"answers":"incremental","logs":"none"}`.

use serde_json::Value;

use super::reader::nearest;

/// What the stages do with a table that is not simply replaced every night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableMode {
    /// Appended by key every night. `key` is the column that grows; `id` unless said otherwise.
    Incremental {
        /// The column that grows.
        key: String,
    },
    /// Neither copied nor touched.
    None,
}

/// The modes by table, in the order written. A name is `table` or `schema.table`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupModes(Vec<(String, TableMode)>);

const MODES: [&str; 2] = ["incremental", "none"];

impl BackupModes {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = r#"write {"answers":"incremental","logs":"none"}"#;
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("not JSON ({error}): {FORM}"))?;
        let Value::Object(tables) = value else { return Err(format!("not a JSON object: {FORM}")) };
        let mut modes = Vec::with_capacity(tables.len());
        let mut problems = Vec::new();
        for (table, mode) in tables {
            match parse_mode(&mode) {
                Ok(mode) => modes.push((table, mode)),
                Err(problem) => problems.push(format!("table {table:?}: {problem}")),
            }
        }
        if problems.is_empty() { Ok(Self(modes)) } else { Err(problems.join("; ")) }
    }

    /// The tables and their modes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TableMode)> {
        self.0.iter().map(|(table, mode)| (table.as_str(), mode))
    }

    /// Whether any table is appended.
    #[must_use]
    pub fn has_incremental(&self) -> bool {
        self.0.iter().any(|(_, mode)| matches!(mode, TableMode::Incremental { .. }))
    }
}

fn parse_mode(mode: &Value) -> Result<TableMode, String> {
    let (word, options) = match mode {
        Value::String(word) => (word.as_str(), None),
        Value::Object(options) => match options.get("mode") {
            Some(Value::String(word)) => (word.as_str(), Some(options)),
            _ => return Err("\"mode\" is missing".to_owned()),
        },
        _ => return Err(format!("its mode is neither a word nor an object: one of {}", MODES.join(", "))),
    };
    let allowed: &[&str] = if word == "incremental" { &["mode", "key"] } else { &["mode"] };
    if let Some(option) =
        options.into_iter().flat_map(|options| options.keys()).find(|key| !allowed.contains(&key.as_str()))
    {
        return Err(format!("unknown option {option:?} for mode {word}"));
    }
    match word {
        "incremental" => {
            let key = match options.and_then(|options| options.get("key")) {
                None => "id".to_owned(),
                Some(Value::String(key)) if !key.is_empty() => key.clone(),
                Some(_) => return Err("\"key\" is not a column name".to_owned()),
            };
            Ok(TableMode::Incremental { key })
        }
        "none" => Ok(TableMode::None),
        _ => Err(match nearest(word, MODES) {
            Some(near) => format!("unknown mode {word:?}: did you mean {near:?}?"),
            None => format!("unknown mode {word:?}: one of {}", MODES.join(", ")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_words_or_objects() {
        let modes = BackupModes::parse(
            r#"{"answers":"incremental","logs":"none","k":{"mode":"incremental","key":"uuid"}}"#,
        )
        .unwrap();
        let modes: Vec<_> = modes.iter().collect();
        assert!(modes.contains(&("answers", &TableMode::Incremental { key: "id".into() })));
        assert!(modes.contains(&("k", &TableMode::Incremental { key: "uuid".into() })));
        assert!(modes.contains(&("logs", &TableMode::None)));
    }

    #[test]
    fn an_unknown_mode_is_an_error_that_names_the_nearest_one() {
        let text = BackupModes::parse(r#"{"answers":"incrementale","logs":"nope-at-all"}"#).unwrap_err();
        assert!(
            text.contains("did you mean \"incremental\"?") && text.contains("one of incremental, none"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_an_object_says_how_to_write_it() {
        assert!(BackupModes::parse("[1]").unwrap_err().contains("\"answers\":\"incremental\""));
        assert!(
            BackupModes::parse(r#"{"a":{"mode":"none","key":"x"}}"#)
                .unwrap_err()
                .contains("unknown option \"key\"")
        );
    }
}
