//! The archive reader against the archives that real pg_dumps make, and against what pg_restore says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nightferry::adapters::postgres::Database;
use nightferry::adapters::postgres::archive::{Archive, EntryKind, Format};
use nightferry::adapters::postgres::tools::Tools;
use nightferry::adapters::process;
use nightferry::ids::TableName;

use crate::support::{Cluster, all_tools, ask, default_tools};

/// Every kind of object that a night carries, under names that have misled a parser before.
const ODD: &str = r#"
create schema "audit log";
create schema empty;
create type public."État" as enum ('créé', 'a''b');
create domain "audit log"."two  spaces" as text check (value <> '');
create table public.answers (id bigint generated always as identity primary key, "from" text, "b ""c"", d" int, état public."État");
create table public.answers_archive (id serial primary key);
create table "audit log".answers (id int references public.answers, "a
b" text);
create table public."knowledge-elements" (id int, twice int generated always as (id * 2) stored);
create table public.knowledge_elements (id int);
create table public."line
end; -- x" (id int);
create table public.quizzes (answers text default 'x');
create table public.nothing ();
create table public.parts (day date, n int) partition by range (day);
create table public.parts_1 partition of public.parts for values from ('2026-01-01') to ('2027-01-01');
create index parts_day on public.parts (day);
create view public.v as select a.id, b."a
b" from public.answers a join "audit log".answers b using (id);
create view public.vv as select count(*) from public.v;
create materialized view public.m as select * from public.quizzes;
create function public."f  g"(a int, "b c" text) returns int language sql as 'select 1';
create statistics public.stats on id, "from" from public.answers;
comment on table public."knowledge-elements" is 'l''été; "quoted"
second line';
create rule r as on insert to public.quizzes do also nothing;
insert into public.answers ("from") values ('x'), (E'\\.'), (null);
insert into "audit log".answers values (1, E'a\nb\t\\');
insert into public.quizzes values ('y');
insert into public.parts values ('2026-02-01', 1);
"#;

async fn odd() -> Database {
    odd_on(Cluster::of_sources()).await
}

async fn odd_on(cluster: &Cluster) -> Database {
    let database = cluster.new_database("archive").await.seen_by_the_product();
    database.connect().await.unwrap().execute(ODD).await.unwrap();
    database
}

fn run(program: &Path, arguments: &[&str], database: Option<&Database>) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(database) = database {
        command.envs(database.url().libpq_environment());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Dumps with one version in one format.
pub(crate) fn dump(bin: &Path, database: &Database, folder: &Path, format: Format) -> PathBuf {
    let version = bin.to_string_lossy().replace('/', "_");
    let path = folder.join(format!("{version}.{format:?}"));
    let format = match format {
        Format::Custom => "-Fc",
        Format::Directory => "-Fd",
    };
    run(&bin.join("pg_dump"), &[format, "-f", path.to_str().unwrap()], Some(database));
    path
}

/// The ids that `pg_restore -l` lists, with the rest of their lines.
fn listed(bin: &Path, archive: &Path) -> BTreeMap<i32, String> {
    run(&bin.join("pg_restore"), &["-l", archive.to_str().unwrap()], None)
        .lines()
        .filter_map(|line| {
            let (id, rest) = line.split_once("; ")?;
            Some((id.parse().ok()?, rest.to_owned()))
        })
        .collect()
}

#[tokio::test]
async fn every_version_and_format_is_read_as_pg_restore_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    for bin in all_tools() {
        // A pg_dump refuses servers newer than itself.
        let cluster = Cluster::start_with(&bin);
        let database = odd_on(&cluster).await;
        let mut seen = Vec::new();
        for format in [Format::Custom, Format::Directory] {
            let path = dump(&bin, &database, folder.path(), format);
            let archive = Archive::open(&path).await.unwrap();
            assert_eq!(archive.header.format, format);
            assert_eq!(archive.header.dbname, database.url().database());
            assert!(archive.header.created.is_some());
            // The list leaves out the archive's own settings, and what only --create restores.
            let own = [
                EntryKind::Encoding,
                EntryKind::StdStrings,
                EntryKind::SearchPath,
                EntryKind::Database,
                EntryKind::DatabaseProperties,
            ];
            let ids: BTreeSet<i32> = archive
                .entries
                .iter()
                .filter(|entry| !own.contains(&entry.kind))
                .map(|entry| entry.id)
                .collect();
            let listed = listed(&bin, &path);
            assert_eq!(ids, listed.keys().copied().collect(), "{bin:?} {format:?}");
            for (id, line) in &listed {
                let kind = &archive.entry(*id).unwrap().kind;
                assert!(line.contains(kind.name()), "{kind} is not in {line}");
                assert!(!matches!(kind, EntryKind::Other(_)), "{kind} has no name of its own");
            }
            definitions_are_in_the_script(&bin, &archive);
            seen.push(archive.entries);
        }
        assert_eq!(seen[0], seen[1], "{bin:?}: the two formats differ");
    }
}

fn definitions_are_in_the_script(bin: &Path, archive: &Archive) {
    let script = run(&bin.join("pg_restore"), &["-f", "-", archive.path.to_str().unwrap()], None);
    let mut found = 0;
    for entry in &archive.entries {
        let definition = entry.definition.trim();
        // ENCODING and the like are written in another form; comments on the database need --create.
        if !definition.is_empty() && script.contains(definition) {
            found += 1;
        } else if !definition.is_empty() {
            assert!(
                entry.schema.is_none(),
                "{} {} is not in the script: {definition}",
                entry.kind,
                entry.name
            );
        }
        if let Some(statement) = &entry.copy_statement {
            assert!(script.contains(statement.as_str()), "{statement}");
        }
    }
    assert!(found > 25, "only {found} definitions were found in the script");
}

#[tokio::test]
async fn names_that_look_alike_are_told_apart() {
    let database = odd().await;
    let folder = tempfile::tempdir().unwrap();
    let archive =
        Archive::open(&dump(&default_tools(), &database, folder.path(), Format::Custom)).await.unwrap();
    let data = |schema: &str, name: &str| archive.table_data(&TableName::new(schema, name)).cloned();
    let answers = data("public", "answers").unwrap();
    let others = data("audit log", "answers").unwrap();
    assert_ne!(answers.id, others.id);
    assert_eq!(answers.copy_columns().unwrap(), ["id", "from", "b \"c\", d", "état"]);
    assert_eq!(others.copy_columns().unwrap(), ["id", "a\nb"]);
    assert_eq!(others.copy_target().unwrap().table, TableName::new("audit log", "answers"));
    assert_eq!(data("public", "knowledge-elements").unwrap().copy_columns().unwrap(), ["id"]);
    assert_eq!(data("public", "nothing").unwrap().copy_columns().unwrap(), [""; 0]);
    assert!(data("public", "line\nend; -- x").unwrap().has_data);
    assert_eq!(data("public", "answers_archive_id_seq"), None);
    assert_eq!(data("public", "parts"), None, "a partitioned table has no rows of its own");
    assert!(data("public", "parts_1").is_some());
    assert!(archive.table(&TableName::new("public", "v")).is_none());
}

#[tokio::test]
async fn what_leans_on_a_table_is_found_and_nothing_else() {
    let database = odd().await;
    let folder = tempfile::tempdir().unwrap();
    let archive =
        Archive::open(&dump(&default_tools(), &database, folder.path(), Format::Custom)).await.unwrap();
    let root = archive.table(&TableName::new("audit log", "answers")).unwrap().id;
    let mut found: Vec<String> = archive
        .dependents_of(&BTreeSet::from([root]))
        .into_iter()
        .filter_map(|id| archive.entry(id))
        .map(|entry| format!("{} {}", entry.kind, entry.name))
        .collect();
    found.sort();
    assert_eq!(found, ["FK CONSTRAINT answers answers_id_fkey", "TABLE DATA answers", "VIEW v", "VIEW vv"]);
}

#[tokio::test]
async fn a_live_source_gives_its_schema_as_it_is_in_the_snapshot() {
    let database = odd().await;
    let mut session = database.connect().await.unwrap();
    // The name of the snapshot is seen from outside as the name of the session.
    let export = "do $$ begin perform set_config('application_name', pg_export_snapshot(), false); end $$";
    session.execute("begin isolation level repeatable read read only").await.unwrap();
    session.execute(export).await.unwrap();
    let names = "select application_name from pg_stat_activity where state = 'idle in transaction' \
                 and datname = current_database()";
    let snapshot = ask(&database, names);
    ask(&database, "create table later (id int)");

    let tools = Tools::find(Some(&default_tools())).await.unwrap();
    let limit = Duration::from_secs(60);
    let dumped = process::run(&tools.dump_schema(database.url(), &snapshot, limit), limit).await.unwrap();
    let archive = Archive::read(dumped).await.unwrap();
    assert!(archive.table(&TableName::new("audit log", "answers")).is_some());
    assert!(archive.table(&TableName::new("public", "later")).is_none());
    assert!(archive.entries.iter().all(|entry| !entry.has_data && entry.kind != EntryKind::TableData));
    assert_eq!(archive.encoding, "UTF8");
    let sequence_values = archive.entries.iter().filter(|entry| entry.kind == EntryKind::SequenceSet);
    assert_eq!(sequence_values.count(), 0, "a schema-only dump leaves the sequences' values to the caller");
}

#[tokio::test]
async fn other_files_are_refused_by_what_they_are() {
    let database = odd().await;
    let folder = tempfile::tempdir().unwrap();
    let bin = default_tools();
    let at = |name: &str| folder.path().join(name);
    for (format, name) in [("-Fp", "plain"), ("-Ft", "tar")] {
        let path = at(name);
        run(&bin.join("pg_dump"), &[format, "-f", path.to_str().unwrap()], Some(&database));
    }
    let whole = dump(&bin, &database, folder.path(), Format::Custom);
    std::fs::write(at("cut"), &std::fs::read(whole).unwrap()[..3000]).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    for (name, expected) in [
        ("plain", "it is a plain SQL dump"),
        ("tar", "it is a tar archive"),
        ("cut", "it is cut at its byte "),
        ("folder", "No such file"),
        ("absent", "No such file"),
    ] {
        let error = Archive::open(&at(name)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot read the archive /") && text.contains(expected), "{text}");
        assert!(error.operator_hint().is_some(), "{text}");
    }
}
