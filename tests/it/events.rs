//! docs/events.md says of every event what the code says: its name, its level, its fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const INTRODUCTION: &str = "\
# Events in the log

Logs are one JSON object a line, in the form of bunyan: `time` (UTC, milliseconds), `level` (50 error, 40 warning, 30 information),
`hostname`, `pid`, `msg`. `msg` is the name of an event, or a sentence. The lines of a stage have `run` and `stage` too. Fields that end
in `_ms` are milliseconds, those in `bytes` bytes; `error.kind` is one of a few words, `error.message` a sentence, `hint` what to do.
Names and fields stay as they are; new ones may come.

`nightferry logs` reads these lines and says where the time went.

";

struct Event {
    name: String,
    /// What its comment says of it, and the fields that the comment names.
    meaning: String,
    told_fields: BTreeSet<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The constants of events.rs, in their order.
fn events() -> Vec<(String, Event)> {
    let text = std::fs::read_to_string(root().join("src/events.rs")).unwrap();
    let mut events = Vec::new();
    let mut comment = String::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("/// ") {
            comment = format!("{comment} {words}").trim().to_owned();
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let (constant, name) = constant.split_once(": &str = \"").unwrap();
            let name = name.trim_end_matches("\";").to_owned();
            let (meaning, fields) = comment.split_once("; field").unwrap_or((&comment, ""));
            let told_fields = fields.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let meaning = format!("{}.", meaning.trim_end_matches('.'));
            events.push((constant.to_owned(), Event { name, meaning, told_fields }));
            comment.clear();
        }
    }
    events
}

/// The levels and the fields with which each constant is logged, over all places.
fn logged() -> BTreeMap<String, (BTreeSet<&'static str>, BTreeSet<String>)> {
    let mut logged: BTreeMap<String, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
    for path in sources(&root().join("src")) {
        let text = std::fs::read_to_string(path).unwrap();
        for (start, _) in text.match_indices("tracing::") {
            let call = &text[start + "tracing::".len()..];
            let Some(level) =
                ["info", "warn", "error"].into_iter().find(|level| call.starts_with(&format!("{level}!(")))
            else {
                continue;
            };
            let call = &call[level.len() + 2..end_of_call(call)];
            let Some((_, constant)) = call.split_once("events::") else { continue };
            let constant: String =
                constant.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            let entry = logged.entry(constant).or_default();
            entry.0.insert(level);
            entry.1.extend(fields(call));
        }
    }
    logged
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Where the parenthesis is closed that `call` opens.
fn end_of_call(call: &str) -> usize {
    let mut depth = 0;
    for (at, c) in call.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return at,
            ')' => depth -= 1,
            _ => {}
        }
    }
    panic!("a call that does not end: {call}");
}

/// The names before the format text: `name = value`, `%name`, `name`.
fn fields(call: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let (mut depth, mut part) = (0, String::new());
    for c in call.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                fields.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    let named =
        fields.iter().map(|field| field.split(" = ").next().unwrap().trim().trim_start_matches(['%', '?']));
    named.take_while(|name| !name.starts_with('"')).map(str::to_owned).collect()
}

#[test]
fn every_event_is_logged_with_the_fields_that_its_comment_names() {
    let logged = logged();
    let mut wrong = Vec::new();
    for (constant, event) in events() {
        match logged.get(&constant) {
            None => wrong.push(format!("{constant}: nothing logs it")),
            Some((_, fields)) if *fields != event.told_fields => {
                wrong.push(format!(
                    "{constant}: logged with {fields:?}, its comment names {:?}",
                    event.told_fields
                ));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numbers_have_their_unit_in_their_name() {
    const WITHOUT: [&str; 8] = ["duration", "delay", "pause", "late", "locked", "size", "length", "elapsed"];
    for (constant, (_, fields)) in logged() {
        for field in fields {
            assert!(
                !WITHOUT.contains(&field.as_str()),
                "{constant}: {field} needs a unit, such as {field}_ms"
            );
        }
    }
}

#[test]
fn the_page_has_every_event() {
    let logged = logged();
    let mut page = format!("{INTRODUCTION}| event | level | meaning | fields |\n| --- | --- | --- | --- |\n");
    for (constant, event) in events() {
        let (levels, fields) = &logged[&constant];
        let levels: Vec<&str> = levels.iter().copied().collect();
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        page.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            event.name,
            levels.join(", "),
            event.meaning,
            fields.join(", ")
        ));
    }
    let path = root().join("docs/events.md");
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "{} should be:\n{page}", path.display());
}
