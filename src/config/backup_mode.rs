//! `BACKUP_MODE`: a JSON object, table name to mode. `{"answers":"incremental","logs":"none"}`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::reader::nearest;

/// What the stages do with a table that is not simply replaced every night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableMode {
    /// Brought up to date by the incremental stage.
    Incremental(Increment),
    /// Neither copied nor touched.
    None,
}

/// How the incremental stage brings a table up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Increment {
    /// Which rows it copies.
    pub way: Way,
    /// What becomes of columns that changed, where it is not as `SCHEMA_DRIFT` says.
    pub drift: Option<SchemaDrift>,
    /// How long after a key or cursor was made its row may still be committed, where no sequence tells.
    pub overlap: Option<Duration>,
}

/// Which rows the incremental stage copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// `incremental`: the rows that were added, by a key that grows. The columns of the key; `id` unless said otherwise.
    Append {
        /// The columns of the key, the deciding one first.
        key: Vec<String>,
    },
    /// `upsert`: the rows that were added or changed, by a column that grows with each change.
    Upsert {
        /// The column that grows with each change.
        cursor: String,
        /// The columns that tell rows apart; none for the primary key.
        key: Vec<String>,
    },
    /// `reconcile`: what is different, found by hashes.
    Reconcile {
        /// The columns that tell rows apart; none for the primary key.
        key: Vec<String>,
        /// What becomes of rows that the source does not have any more.
        deletes: Deletes,
    },
}

impl Way {
    /// The mode's word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Append { .. } => "incremental",
            Self::Upsert { .. } => "upsert",
            Self::Reconcile { .. } => "reconcile",
        }
    }
}

/// What becomes of rows that the source does not have any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// They are deleted.
    Delete,
    /// They are marked.
    Mark,
}

/// `SCHEMA_DRIFT`: what becomes of a column that changed in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaDrift {
    /// The warehouse's table follows.
    Add,
    /// The warehouse's table stays as it is; what both have is copied.
    Ignore,
    /// The stage fails before anything is written.
    Fail,
}

impl SchemaDrift {
    pub(super) const WORDS: [(&str, Self); 3] =
        [("add", Self::Add), ("ignore", Self::Ignore), ("fail", Self::Fail)];
}

/// The modes by table, in the order written. A name is `table` or `schema.table`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupModes(Vec<(String, TableMode)>);

/// Each mode with its options.
const MODES: [(&str, &[&str]); 4] = [
    ("incremental", &["mode", "key", "overlap", "drift"]),
    ("upsert", &["mode", "cursor", "key", "overlap", "drift"]),
    ("reconcile", &["mode", "key", "deletes", "drift"]),
    ("none", &["mode"]),
];

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

    /// The tables of the incremental stage.
    pub fn increments(&self) -> impl Iterator<Item = (&str, &Increment)> {
        self.iter().filter_map(|(table, mode)| match mode {
            TableMode::Incremental(increment) => Some((table, increment)),
            TableMode::None => None,
        })
    }
}

fn parse_mode(mode: &Value) -> Result<TableMode, String> {
    let no_options = Map::new();
    let (word, options) = match mode {
        Value::String(word) => (word.as_str(), &no_options),
        Value::Object(options) => match options.get("mode") {
            Some(Value::String(word)) => (word.as_str(), options),
            _ => return Err("\"mode\" is missing".to_owned()),
        },
        _ => return Err(format!("its mode is neither a word nor an object: one of {}", words())),
    };
    let Some((_, allowed)) = MODES.iter().find(|(name, _)| *name == word) else {
        return Err(match nearest(word, MODES.map(|(name, _)| name)) {
            Some(near) => format!("unknown mode {word:?}: did you mean {near:?}?"),
            None => format!("unknown mode {word:?}: one of {}", words()),
        });
    };
    if let Some(option) = options.keys().find(|key| !allowed.contains(&key.as_str())) {
        return Err(format!("unknown option {option:?} for mode {word}"));
    }
    if word == "none" {
        return Ok(TableMode::None);
    }
    let key = columns(options)?;
    let way = match word {
        "upsert" => match options.get("cursor") {
            Some(Value::String(cursor)) if !cursor.is_empty() => Way::Upsert { cursor: cursor.clone(), key },
            Some(_) => return Err("\"cursor\" is not a column name".to_owned()),
            None => {
                let example = r#"{"mode":"upsert","cursor":"updatedAt"}"#;
                return Err(format!("mode upsert needs the column that grows with each change: {example}"));
            }
        },
        "reconcile" => {
            let deletes =
                choice(options, "deletes", &[("delete", Deletes::Delete), ("mark", Deletes::Mark)])?;
            Way::Reconcile { key, deletes: deletes.unwrap_or(Deletes::Delete) }
        }
        _ => Way::Append { key: if key.is_empty() { vec!["id".to_owned()] } else { key } },
    };
    let overlap = match options.get("overlap") {
        None => None,
        Some(Value::String(text)) => Some(
            humantime::parse_duration(text)
                .map_err(|_| format!("\"overlap\" is not a duration ({text:?}): write 30m or 24h"))?,
        ),
        Some(_) => return Err("\"overlap\" is not a duration: write \"30m\" or \"24h\"".to_owned()),
    };
    let drift = choice(options, "drift", &SchemaDrift::WORDS)?;
    Ok(TableMode::Incremental(Increment { way, drift, overlap }))
}

fn words() -> String {
    MODES.map(|(name, _)| name).join(", ")
}

/// `"key"`: a column, or a list of them.
fn columns(options: &Map<String, Value>) -> Result<Vec<String>, String> {
    let wrong = || "\"key\" is neither a column name nor a list of column names".to_owned();
    let names = match options.get("key") {
        None => return Ok(Vec::new()),
        Some(Value::Array(names)) if !names.is_empty() => names.as_slice(),
        Some(name @ Value::String(_)) => std::slice::from_ref(name),
        Some(_) => return Err(wrong()),
    };
    let mut columns: Vec<String> = Vec::new();
    for name in names {
        match name.as_str() {
            Some(name) if !name.is_empty() && columns.iter().all(|other| other != name) => {
                columns.push(name.to_owned());
            }
            _ => return Err(wrong()),
        }
    }
    Ok(columns)
}

fn choice<T: Copy>(
    options: &Map<String, Value>,
    option: &str,
    choices: &[(&str, T)],
) -> Result<Option<T>, String> {
    let Some(written) = options.get(option) else { return Ok(None) };
    let found = choices.iter().find(|(word, _)| written.as_str() == Some(*word)).map(|(_, value)| *value);
    let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| format!("{option:?} is not one of {}", words()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> TableMode {
        let modes = BackupModes::parse(&format!(r#"{{"t":{text}}}"#)).unwrap();
        modes.iter().next().unwrap().1.clone()
    }

    fn way(text: &str) -> Way {
        let TableMode::Incremental(increment) = mode(text) else { panic!("{text} is not incremental") };
        increment.way
    }

    fn problem(text: &str) -> String {
        BackupModes::parse(&format!(r#"{{"t":{text}}}"#)).unwrap_err()
    }

    #[test]
    fn modes_are_words_or_objects() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(way(r#""incremental""#), Way::Append { key: names(&["id"]) });
        assert_eq!(way(r#"{"mode":"incremental","key":"uuid"}"#), Way::Append { key: names(&["uuid"]) });
        assert_eq!(
            way(r#"{"mode":"incremental","key":["createdAt","id"]}"#),
            Way::Append { key: names(&["createdAt", "id"]) }
        );
        assert_eq!(
            way(r#"{"mode":"upsert","cursor":"updatedAt"}"#),
            Way::Upsert { cursor: "updatedAt".into(), key: Vec::new() }
        );
        assert_eq!(way(r#""reconcile""#), Way::Reconcile { key: Vec::new(), deletes: Deletes::Delete });
        assert_eq!(
            way(r#"{"mode":"reconcile","deletes":"mark"}"#),
            Way::Reconcile { key: Vec::new(), deletes: Deletes::Mark }
        );
        assert_eq!(mode(r#""none""#), TableMode::None);
    }

    #[test]
    fn options_go_with_their_table() {
        let TableMode::Incremental(increment) =
            mode(r#"{"mode":"incremental","overlap":"24h","drift":"fail"}"#)
        else {
            panic!("not incremental")
        };
        assert_eq!(increment.overlap, Some(Duration::from_secs(86_400)));
        assert_eq!(increment.drift, Some(SchemaDrift::Fail));
    }

    #[test]
    fn an_unknown_mode_is_an_error_that_names_the_nearest_one() {
        let text = BackupModes::parse(r#"{"answers":"incrementale","logs":"nope-at-all"}"#).unwrap_err();
        assert!(
            text.contains("did you mean \"incremental\"?")
                && text.contains("one of incremental, upsert, reconcile, none"),
            "{text}"
        );
    }

    #[test]
    fn what_is_written_wrong_says_how_to_write_it() {
        assert!(BackupModes::parse("[1]").unwrap_err().contains("\"answers\":\"incremental\""));
        for (written, expected) in [
            (r#"{"mode":"none","key":"x"}"#, "unknown option \"key\" for mode none"),
            (r#"{"mode":"upsert"}"#, r#"{"mode":"upsert","cursor":"updatedAt"}"#),
            (r#"{"mode":"incremental","key":["a","a"]}"#, "a list of column names"),
            (r#"{"mode":"incremental","overlap":"a day"}"#, "write 30m or 24h"),
            (r#"{"mode":"reconcile","deletes":"keep"}"#, "\"deletes\" is not one of delete, mark"),
            (r#"{"mode":"reconcile","drift":1}"#, "\"drift\" is not one of add, ignore, fail"),
        ] {
            let text = problem(written);
            assert!(text.contains(expected), "{written}: {text}");
        }
    }
}
