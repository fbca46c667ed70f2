//! The rules of the house that the compiler does not know, and for each of them the proof that it can fail.
//!
//! The rings, imports pointing down only: entrances (`cli`, `web`, `report`), orchestration (`jobs`), capabilities
//! (`replication`, later `vault`, `wal`, `cluster`), `adapters`, and the foundation. The unit tests of a file are not
//! held to the rules.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders and files of src, from the top ring down.
const RINGS: [&[&str]; 5] = [
    &["cli", "web", "report"],
    &["jobs"],
    &["replication", "vault", "wal", "cluster"],
    &["adapters"],
    &["config", "error", "events", "ids", "clock", "telemetry", "outcome", "notice", "format", "timeline"],
];

/// The one sideways import of the entrances: the command line starts the web process and prints reports.
const ENTRANCES_OF_THE_COMMAND_LINE: [&str; 2] = ["web", "report"];

/// Libraries that one folder hides from all others, each with those that begin with its name: `apalis`, `apalis_core`.
const VENDORS: [(&str, &str); 17] = [
    ("apalis", "src/adapters/queue/"),
    ("redis", "src/adapters/queue/"),
    ("reqwest", "src/adapters/http"),
    ("aws", "src/adapters/objects/"),
    ("sqlx", "src/adapters/"),
    ("lettre", "src/adapters/mail.rs"),
    ("sentry", "src/adapters/reporting.rs"),
    ("actix_web", "src/web/"),
    ("askama", "src/web/"),
    ("prometheus_client", "src/web/metrics.rs"),
    ("clap", "src/cli/"),
    ("indicatif", "src/cli/"),
    ("dotenvy", "src/config/"),
    ("aho_corasick", "src/report/"),
    ("memchr", "src/report/"),
    ("flate2", "src/report/"),
    ("tracing_bunyan_formatter", "src/telemetry"),
];

const LONGEST_FILE: usize = 400;

// ---- the rules -------------------------------------------------------------------------------------------------

/// Imports point down, or stay in their folder.
fn upward_or_sideways(source: &Source) -> Vec<String> {
    let Some(from) = source.module().into_iter().next().filter(|_| !source.is_root()) else { return vec![] };
    let imported = source.paths().into_iter().filter_map(|path| source.folder_of_crate(&path));
    let allowed = |to: &String| match (ring(&from), ring(to)) {
        _ if from == *to => true,
        (Some(above), Some(below)) if above < below => true,
        // Plain values are made of plain values.
        (Some(left), Some(right)) if left == right && left == RINGS.len() - 1 => true,
        _ => from == "cli" && ENTRANCES_OF_THE_COMMAND_LINE.contains(&to.as_str()),
    };
    let forbidden: BTreeSet<String> = imported.filter(|to| !allowed(to)).collect();
    forbidden.into_iter().map(|to| format!("{}: imports crate::{to}", source.path)).collect()
}

/// The environment is read in src/config only.
fn environment_read(source: &Source) -> Vec<String> {
    if source.path.starts_with("src/config/") {
        return vec![];
    }
    source.complain("reads the environment", |path| path.starts_with("std::env") || path.starts_with("env::"))
}

/// Processes are started in one file only. To exit is no start.
fn process_started(source: &Source) -> Vec<String> {
    if source.path == "src/adapters/process.rs" {
        return vec![];
    }
    source.complain("starts processes", |path| {
        let harmless = ["ExitCode", "exit", "id", "abort"].map(|name| format!("std::process::{name}"));
        path.starts_with("tokio::process")
            || path.starts_with("std::os::unix::process")
            || (path.starts_with("std::process") && !harmless.iter().any(|name| path.starts_with(name)))
    })
}

/// A library stays behind its folder.
fn vendor_outside(source: &Source) -> Vec<String> {
    source.complain("uses a library of another folder", |path| {
        let library = path.split("::").next().unwrap_or_default();
        VENDORS.iter().any(|(name, folder)| {
            let is_it =
                library.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
            is_it && !source.path.starts_with(folder)
        })
    })
}

/// A file can be read in one sitting.
fn too_long(source: &Source) -> Vec<String> {
    let long = source.lines > LONGEST_FILE;
    long.then(|| format!("{}: {} lines without its tests", source.path, source.lines)).into_iter().collect()
}

/// Variables that only one of the two knows: the literals of src/config that are names, and the lines of sample.env.
fn undocumented_or_unread(config: &[Source], sample: &str) -> Vec<String> {
    let is_name = |text: &str| {
        text.len() > 1
            && text.starts_with(|first: char| first.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    // libpq's own, which are written for a child and never read: PGHOST, PGPASSWORD, ...
    let of_libpq = |text: &str| text.starts_with("PG") && !text.contains('_');
    let read: BTreeSet<&str> = config
        .iter()
        .flat_map(|source| source.literals.iter().map(String::as_str))
        .filter(|text| is_name(text) && !of_libpq(text))
        .collect();
    let documented: BTreeSet<&str> = sample
        .lines()
        .filter_map(|line| line.trim_start_matches('#').trim().split_once('='))
        .map(|(name, _)| name)
        .filter(|name| is_name(name))
        .collect();
    let undocumented = read.difference(&documented).map(|name| format!("{name}: not in sample.env"));
    let unread = documented.difference(&read).map(|name| format!("{name}: not read by src/config"));
    undocumented.chain(unread).collect()
}

/// Files of sql/ that no source includes. Those of sql/enrichment are found at run time.
fn unused_sql(files: &[String], sources: &[Source]) -> Vec<String> {
    // By its whole name: the path may be put together from a folder and a name.
    let name_of = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let used = |file: &str| {
        sources.iter().flat_map(|source| &source.literals).any(|text| name_of(text) == name_of(file))
    };
    let unused = |file: &&String| !file.starts_with("sql/enrichment/") && !used(file);
    files.iter().filter(unused).map(|file| format!("{file}: nothing includes it")).collect()
}

fn ring(folder: &str) -> Option<usize> {
    RINGS.iter().position(|folders| folders.contains(&folder))
}

// ---- the house ---------------------------------------------------------------------------------------------------

fn hold(rule: fn(&Source) -> Vec<String>) {
    let broken: Vec<String> = sources("src").iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn imports_point_down_only() {
    hold(upward_or_sideways);
}

#[test]
fn every_folder_has_its_ring() {
    let homeless: Vec<Source> = sources("src")
        .into_iter()
        .filter(|source| {
            !source.is_root() && source.module().first().and_then(|folder| ring(folder)).is_none()
        })
        .collect();
    assert!(homeless.is_empty(), "{:?}", homeless.iter().map(|source| &source.path).collect::<Vec<_>>());
}

#[test]
fn the_environment_is_read_in_config_only() {
    hold(environment_read);
}

#[test]
fn processes_are_started_in_one_place_only() {
    hold(process_started);
}

#[test]
fn libraries_stay_in_their_adapter() {
    hold(vendor_outside);
}

#[test]
fn no_file_is_too_long() {
    hold(too_long);
}

#[test]
fn sample_env_and_the_code_know_the_same_variables() {
    let sample = fs::read_to_string(root().join("sample.env")).unwrap();
    let broken = undocumented_or_unread(&sources("src/config"), &sample);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_file_of_sql_is_used() {
    let files = files_under("sql", "sql");
    assert!(files.len() > 3, "{files:?}");
    let broken = unused_sql(&files, &sources("src"));
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

// ---- each rule can fail --------------------------------------------------------------------------------------------

#[test]
fn an_import_upward_or_sideways_is_seen_in_every_spelling() {
    let broken = |path, text| upward_or_sideways(&Source::new(path, text));
    assert_eq!(broken("src/jobs/run.rs", "use crate::cli::say;"), ["src/jobs/run.rs: imports crate::cli"]);
    assert_eq!(broken("src/error.rs", "fn f() -> crate::jobs::Jobs {}").len(), 1);
    assert_eq!(
        broken("src/vault/mod.rs", "use crate::{error::Error, replication::{full, plan as p}};").len(),
        1
    );
    assert_eq!(broken("src/adapters/queue/mod.rs", "use super::super::jobs::Job;").len(), 1);
    assert_eq!(broken("src/web/mod.rs", "pub use crate::cli as c;").len(), 1);
    assert_eq!(broken("src/cli/web.rs", "use crate::web; use crate::jobs;"), Vec::<String>::new());
    assert_eq!(
        broken("src/jobs/run.rs", "// use crate::cli;\nuse crate::config::Config;\nlet s = \"crate::web\";"),
        Vec::<String>::new()
    );
    assert_eq!(
        broken("src/jobs/a/b.rs", "use super::super::flow; use super::c; use self::d;"),
        Vec::<String>::new()
    );
    assert_eq!(
        broken("src/error.rs", "use crate::ids::RunId;\n#[cfg(test)]\nmod tests {\n use crate::jobs; }"),
        Vec::<String>::new()
    );
}

#[test]
fn an_environment_that_is_read_elsewhere_is_seen() {
    let broken = |path, text| environment_read(&Source::new(path, text)).len();
    assert_eq!(broken("src/jobs/run.rs", "let home = std::env::var(\"HOME\");"), 1);
    assert_eq!(broken("src/jobs/run.rs", "use std::{env, fs};"), 1);
    assert_eq!(broken("src/config/reader.rs", "std::env::vars_os()"), 0);
    assert_eq!(
        broken("src/cli/mod.rs", "env!(\"CARGO_PKG_VERSION\"); let u = 'u'; let q = '\"'; // std::env"),
        0
    );
}

#[test]
fn a_process_that_is_started_elsewhere_is_seen() {
    let broken = |path, text| process_started(&Source::new(path, text)).len();
    assert_eq!(broken("src/cli/run.rs", "std::process::Command::new(\"psql\")"), 1);
    assert_eq!(broken("src/cli/run.rs", "use std::process::{Command, ExitCode};"), 1);
    assert_eq!(broken("src/adapters/postgres/tools.rs", "use tokio::process::Command;"), 1);
    assert_eq!(broken("src/main.rs", "use std::process::ExitCode; std::process::exit(1)"), 0);
    assert_eq!(broken("src/adapters/postgres/tools.rs", "use crate::adapters::process::Command;"), 0);
    assert_eq!(broken("src/adapters/process.rs", "tokio::process::Command::new(p)"), 0);
}

#[test]
fn a_library_outside_its_folder_is_seen() {
    let broken = |path, text| vendor_outside(&Source::new(path, text)).len();
    assert_eq!(broken("src/jobs/flow.rs", "use apalis_core::task::Task;"), 1);
    assert_eq!(broken("src/replication/plan.rs", "fn f(c: &mut sqlx::PgConnection) {}"), 1);
    assert_eq!(broken("src/replication/content.rs", "reqwest::get(url)"), 1);
    assert_eq!(broken("src/adapters/http/client.rs", "reqwest::get(url)"), 0);
    assert_eq!(broken("src/jobs/flow.rs", "use clapboard::Board;"), 0);
}

#[test]
fn a_long_file_is_seen_and_its_tests_do_not_count() {
    let code = "fn f() {}\n".repeat(LONGEST_FILE);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
    assert_eq!(too_long(&Source::new("src/ids.rs", &format!("{code}{tests}"))), Vec::<String>::new());
    assert_eq!(too_long(&Source::new("src/ids.rs", &format!("{code}fn g() {{}}\n{tests}"))).len(), 1);
}

#[test]
fn a_variable_that_only_one_side_knows_is_seen() {
    let config = Source::new(
        "src/config/x.rs",
        r#"reader.text("SCHEDULE"); reader.number("NEW_ONE", 4); ("PGHOST", h)"#,
    );
    let sample = "# When it runs.\n# Default: SCHEDULE is none\n#SCHEDULE=10 5 * * *\nOLD_ONE=\n";
    assert_eq!(
        undocumented_or_unread(&[config], sample),
        ["NEW_ONE: not in sample.env", "OLD_ONE: not read by src/config"]
    );
}

#[test]
fn sql_that_nothing_includes_is_seen() {
    let files = ["sql/catalog/a.sql", "sql/catalog/b.sql", "sql/enrichment/01_x.sql"].map(str::to_owned);
    let source = Source::new(
        "src/adapters/x.rs",
        "const A: &str = include_str!(\"../../sql/catalog/a.sql\"); // b.sql",
    );
    assert_eq!(unused_sql(&files, &[source]), ["sql/catalog/b.sql: nothing includes it"]);
}

// ---- reading sources ---------------------------------------------------------------------------------------------

/// A source file: its code without comments, strings and unit tests, and its string literals apart.
struct Source {
    path: String,
    code: String,
    literals: Vec<String>,
    lines: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let (code, literals) = code_and_literals(text);
        Self { path: path.to_owned(), code, literals, lines: text.lines().count() }
    }

    fn is_root(&self) -> bool {
        matches!(self.path.as_str(), "src/main.rs" | "src/lib.rs")
    }

    /// The module that the file is, from the crate down: `src/jobs/mod.rs` is `jobs`.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').map(str::to_owned).collect()
    }

    /// The top folder of this crate that a path leads to; none when it stays in this file's folder or leaves the crate.
    fn folder_of_crate(&self, path: &str) -> Option<String> {
        let mut segments = path.split("::").peekable();
        if segments.next_if_eq(&"crate").is_some() {
            return segments.next().map(str::to_owned);
        }
        let supers = segments.clone().take_while(|segment| *segment == "super").count();
        if supers > 0 && supers >= self.module().len() {
            segments.nth(supers).map(str::to_owned)
        } else {
            None
        }
    }

    /// Every path that the code names: those of `use`, one for each leaf, and those in the middle of the code.
    fn paths(&self) -> Vec<String> {
        let (mut paths, mut inline) = (Vec::new(), String::new());
        let mut text = self.code.as_str();
        while let Some(start) = find_use(text) {
            inline.push_str(&text[..start]);
            let end = text[start..].find(';').map_or(text.len(), |end| start + end);
            expand(&text[start + "use ".len()..end], "", &mut paths);
            text = &text[end..];
        }
        inline.push_str(text);
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let words = inline.split(|c| !is_part(c)).map(|word| word.trim_matches(':'));
        paths.extend(words.filter(|word| word.contains("::")).map(str::to_owned));
        paths
    }

    fn complain(&self, what: &str, is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
        let wrong: BTreeSet<String> = self.paths().into_iter().filter(|path| is_wrong(path)).collect();
        wrong.into_iter().map(|path| format!("{}: {what} ({path})", self.path)).collect()
    }
}

/// Where the next `use` begins that is a word of its own.
fn find_use(text: &str) -> Option<usize> {
    text.match_indices("use ").map(|(at, _)| at).find(|at| {
        !text[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '#')
    })
}

/// The leaves of a use tree: `a::{b, c::{d, e as f}}` is `a::b`, `a::c::d`, `a::c::e`.
fn expand(tree: &str, prefix: &str, paths: &mut Vec<String>) {
    let mut depth = 0;
    let parts = tree.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((before, inner)) => {
                let inner = inner.strip_suffix('}').unwrap_or(inner);
                expand(inner, &format!("{prefix}{}", before.trim()), paths);
            }
            None => paths.push(format!("{prefix}{}", part.split(" as ").next().unwrap_or(part).trim())),
        }
    }
}

/// Takes comments and strings out of Rust code; gives the strings apart.
fn code_and_literals(text: &str) -> (String, Vec<String>) {
    let (mut code, mut literals) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some((literal, length)) = raw_string(rest, &code).or_else(|| plain_string(rest)) {
            literals.push(literal);
            length
        } else if let Some(length) = character(rest) {
            length
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    (code, literals)
}

fn plain_string(rest: &str) -> Option<(String, usize)> {
    let inner = rest.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((inner[..end].to_owned(), end + 2))
}

fn raw_string(rest: &str, before: &str) -> Option<(String, usize)> {
    let inner =
        rest.strip_prefix('r').filter(|_| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'))?;
    let hashes: String = inner.chars().take_while(|c| *c == '#').collect();
    let inner = inner.strip_prefix(hashes.as_str())?.strip_prefix('"')?;
    let closing = format!("\"{hashes}");
    let end = inner.find(&closing)?;
    Some((inner[..end].to_owned(), 1 + hashes.len() + 1 + end + closing.len()))
}

/// A character literal, which may be a quote; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let mut inner = rest.strip_prefix('\'')?.chars();
    let first = inner.next()?;
    if first == '\\' {
        return rest[2..].find('\'').map(|end| end + 3).or(Some(rest.len()));
    }
    (inner.next() == Some('\'')).then(|| first.len_utf8() + 2)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let files = files_under(folder, "rs");
    assert!(files.len() > 5, "{folder} has no sources: {files:?}");
    files.iter().map(|path| Source::new(path, &fs::read_to_string(root().join(path)).unwrap())).collect()
}

/// The files of a folder and of those in it, as paths from the root of the package, sorted.
fn files_under(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_under(&path, extension));
        } else if Path::new(&path).extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
