//! COPY streams between real servers, and out of real archives: what arrives, and what does not when a side breaks.

use std::collections::BTreeMap;
use std::time::Duration;

use nightferry::adapters::postgres::archive::{Archive, Format};
use nightferry::adapters::postgres::copy::{Copied, archive_table, pipe, pour};
use nightferry::adapters::postgres::tools::Tools;
use nightferry::adapters::postgres::{Database, Session};
use nightferry::adapters::process::{Command, Running};
use nightferry::error::{Error, ErrorKind, Result};
use nightferry::ids::TableName;

use crate::archive::dump;
use crate::support::{Cluster, all_tools, ask, default_tools};

const LIMIT: Duration = Duration::from_secs(60);

/// Values that a careless reader of text would take for something else.
const ODD: &str = r#"
create table odd (id int primary key, t text, b bytea, a text[], j jsonb, n numeric, at timestamptz);
insert into odd values
  (1, E'\\.', '\x00ff0a5c2e0a', array['a,b', E'\\.', null, ''], '{}', 'NaN', 'infinity'),
  (2, E'line\nend\r\n\\.\n', '', '{}', null, 0.00000000000000000001, '2026-03-29 02:30+01'),
  (3, E'tab\tback\\slash\\N', null, null, 'null', 1e40, '0044-03-15 BC'),
  (4, null, null, null, null, null, null), (5, '', '\x5c2e', '{{1,2},{3,4}}', E'"\\n"', -1, 'epoch'),
  (6, 'été ☃ 𝄞', convert_to('été', 'latin1'), '[2:3]={x,y}', '{"a": [1]}', 12345.678900, now());
"#;

/// A database with `sql` in it, and one with the same tables without rows.
async fn pair(sql: &str, tables: &str) -> (Database, Database) {
    let (source, target) = (
        Cluster::of_sources().new_database("copy").await.seen_by_the_product(),
        Cluster::of_sources().new_database("copy").await.seen_by_the_product(),
    );
    source.connect().await.unwrap().execute(sql).await.unwrap();
    let mut session = target.connect().await.unwrap();
    session.execute(sql).await.unwrap();
    session.execute(&format!("truncate {tables}")).await.unwrap();
    (source, target)
}

async fn begun(target: &Database) -> Session {
    let mut session = target.connect().await.unwrap();
    session.execute("begin").await.unwrap();
    session
}

/// Pipes and commits.
async fn carry(source: &Database, target: &Database, table: &str, format: &str) -> Result<Copied> {
    let mut from = source.connect().await?;
    let mut to = begun(target).await;
    to.execute(&format!("truncate {table}")).await?;
    let copied = pipe(
        &mut from,
        &format!("copy {table} to stdout (format {format})"),
        &mut to,
        &format!("copy {table} from stdin (format {format}, freeze)"),
    )
    .await?;
    // Both sessions go on as if nothing had been.
    from.execute("select 1").await?;
    to.execute("commit").await?;
    Ok(copied)
}

fn sum(database: &Database, table: &str) -> String {
    ask(database, &format!("select count(*), md5(string_agg(t::text, '|' order by t::text)) from {table} t"))
}

#[tokio::test]
async fn odd_values_arrive_as_they_were_in_both_formats() {
    let (source, target) = pair(ODD, "odd").await;
    for format in ["text", "binary"] {
        assert_eq!(carry(&source, &target, "odd", format).await.unwrap().rows, 6);
        assert_eq!(sum(&source, "odd"), sum(&target, "odd"), "{format}");
    }
}

#[tokio::test]
async fn empty_tables_and_tables_without_columns_arrive() {
    let sql = "create table e (id int, t text); create table z (); insert into z default values; \
               insert into z default values";
    let (source, target) = pair(sql, "e, z").await;
    for format in ["text", "binary"] {
        assert_eq!(carry(&source, &target, "e", format).await.unwrap(), Copied { rows: 0, bytes: 0 });
        assert_eq!(carry(&source, &target, "z", format).await.unwrap().rows, 2, "{format}");
        assert_eq!(ask(&target, "select (select count(*) from e), (select count(*) from z)"), "0|2");
    }
}

#[tokio::test]
async fn huge_rows_and_streams_of_many_statements_arrive() {
    let sql = "create table h (id int, t text);
        insert into h select i, repeat(chr(64 + i), 30000000) from generate_series(1, 2) i;
        insert into h select i, repeat(md5(i::text), 3) from generate_series(3, 200000) i";
    let (source, target) = pair(sql, "h").await;
    for format in ["text", "binary"] {
        let copied = carry(&source, &target, "h", format).await.unwrap();
        assert_eq!(copied.rows, 200_000);
        assert!(copied.bytes > 75_000_000);
        let lines = "select count(*), sum(length(t)), sum(hashtext(t)) from h";
        assert_eq!(ask(&source, lines), ask(&target, lines), "{format}");
        assert_eq!(ask(&target, "select count(*) from h where xmin <> (select xmin from h limit 1)"), "0");
    }
}

/// Waits until what psql answers passes, or fails.
async fn until(database: &Database, sql: &str, passes: impl Fn(&str) -> bool) {
    let work = async {
        while !passes(&ask(database, sql)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| panic!("{sql} did not come to pass"));
}

#[tokio::test]
async fn a_source_killed_in_mid_stream_leaves_the_target_unchanged() {
    for format in ["text", "binary"] {
        let (source, target) = pair("create table k (id int, t text)", "k").await;
        target.connect().await.unwrap().execute("insert into k values (0, 'old')").await.unwrap();
        let mut from = source.clone().named("to be killed").connect().await.unwrap();
        let mut to = begun(&target).await;
        let out = format!(
            "copy (select generate_series(1, 2000000000), repeat('x', 500)) to stdout (format {format})"
        );
        let into = format!("copy k from stdin (format {format})");
        let kill = async {
            until(&target, "select coalesce(sum(tuples_processed), 0) from pg_stat_progress_copy where datname = current_database()", |rows| {
                rows.parse::<u64>().unwrap() > 1000
            })
            .await;
            ask(
                &source,
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'to be killed'",
            );
        };
        let (copied, ()) = tokio::join!(pipe(&mut from, &out, &mut to, &into), kill);
        let error = copied.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection);
        // The server's last words are lost where its buffers were full.
        let text = error.to_string();
        let reasons =
            ["terminating connection due to administrator command", "the server closed the connection"];
        assert!(reasons.iter().any(|reason| text.contains(reason)), "{text}");
        // Whatever is tried, nothing of it can be committed.
        to.execute("commit").await.unwrap();
        assert_eq!(ask(&target, "select * from k"), "0|old");
        let error = from.execute("select 1").await.unwrap_err();
        assert!(error.to_string().contains("in the middle of a COPY"), "{error}");
    }
}

#[tokio::test]
async fn a_row_that_the_target_refuses_stops_the_read_long_before_its_end() {
    let (source, target) = pair("create table u (id int primary key, t text)", "u").await;
    target.connect().await.unwrap().execute("insert into u values (7, 'old')").await.unwrap();
    let mut from = source.connect().await.unwrap();
    let mut to = begun(&target).await;
    // Hours, if it were read to its end (and streamed by the server: a set in the FROM clause would be stored first).
    let out = "copy (select generate_series(1, 2000000000), repeat('x', 500)) to stdout";
    let work = pipe(&mut from, out, &mut to, "copy u from stdin");
    let error = tokio::time::timeout(LIMIT, work).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error.to_string().contains("duplicate key value violates unique constraint \"u_pkey\""),
        "{error}"
    );
    to.execute("rollback").await.unwrap();
    assert_eq!(ask(&target, "select id from u"), "7");
}

#[tokio::test]
async fn a_target_killed_in_mid_stream_ends_the_read() {
    let (source, target) = pair("create table k (id int)", "k").await;
    let mut from = source.connect().await.unwrap();
    let mut to = target.clone().named("target to be killed").connect().await.unwrap();
    to.execute("begin").await.unwrap();
    let kill = async {
        until(
            &target,
            "select count(*) from pg_stat_progress_copy where datname = current_database()",
            |copies| copies == "1",
        )
        .await;
        ask(
            &target,
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'target to be killed'",
        );
    };
    let out = "copy (select generate_series(1, 2000000000)) to stdout";
    let work = async { tokio::join!(pipe(&mut from, out, &mut to, "copy k from stdin"), kill) };
    let (copied, ()) = tokio::time::timeout(LIMIT, work).await.unwrap();
    let error = copied.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(to.execute("select 1").await.is_err());
}

#[tokio::test]
async fn a_pipe_is_refused_where_it_could_be_half_committed_or_misread() {
    let (source, target) = pair("create table p (id int); insert into p values (1)", "p").await;
    let mut from = source.connect().await.unwrap();
    let mut outside = target.connect().await.unwrap();
    let error = pipe(&mut from, "copy p to stdout", &mut outside, "copy p from stdin").await.unwrap_err();
    assert!(error.to_string().contains("within a transaction only"), "{error}");

    let mut from = source.connect().await.unwrap();
    let mut to = begun(&target).await;
    let error =
        pipe(&mut from, "copy p to stdout", &mut to, "copy p from stdin (format binary)").await.unwrap_err();
    assert!(error.to_string().contains("one side copies binary rows and the other text"), "{error}");
    to.execute("commit").await.unwrap();

    let mut from = source.connect().await.unwrap();
    let mut to = begun(&target).await;
    let error = pipe(&mut from, "copy absent to stdout", &mut to, "copy p from stdin").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("copy absent to stdout"), "{error}");
    to.execute("commit").await.unwrap();

    let mut from = source.connect().await.unwrap();
    let mut to = begun(&target).await;
    let error = pipe(&mut from, "copy p to stdout", &mut to, "copy absent from stdin").await.unwrap_err();
    assert!(error.to_string().contains("copy absent from stdin"), "{error}");
    assert_eq!(ask(&target, "select count(*) from p"), "0");
}

#[tokio::test]
async fn rows_that_the_target_drops_in_silence_are_noticed() {
    let sql = "create table d (id int); insert into d select generate_series(1, 10)";
    let (source, target) = pair(sql, "d").await;
    let trigger = "create function drop_one() returns trigger language plpgsql as
        'begin if new.id = 3 then return null; end if; return new; end';
        create trigger t before insert on d for each row execute function drop_one()";
    target.connect().await.unwrap().execute(trigger).await.unwrap();
    let error = carry(&source, &target, "d", "text").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification);
    assert_eq!(error.to_string(), "10 rows were read, but 9 were written");
}

#[tokio::test]
async fn every_archive_gives_its_rows_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for bin in all_tools() {
        let cluster = Cluster::start_with(&bin);
        let source = cluster.new_database("copy").await.seen_by_the_product();
        let more = "create schema \"S x\"; create table \"S x\".\"a\nb\" (\"c d\" int, \"from\" text);
            insert into \"S x\".\"a\nb\" select i, md5(i::text) from generate_series(1, 200000) i;
            create table none_yet (id int)";
        let sql = format!("{ODD}; {more}");
        source.connect().await.unwrap().execute(&sql).await.unwrap();
        let target = cluster.new_database("copy").await.seen_by_the_product();
        let tools = Tools::find(Some(&bin)).await.unwrap();
        for format in [Format::Custom, Format::Directory] {
            let path = dump(&bin, &source, folder.path(), format);
            let archive = Archive::open(&path).await.unwrap();
            tools.check_archive(&archive.header).unwrap();
            let mut to = target.connect().await.unwrap();
            to.execute(&format!("drop schema public cascade; create schema public; drop schema if exists \"S x\" cascade; {sql}")).await.unwrap();
            to.execute("begin; truncate odd, \"S x\".\"a\nb\"").await.unwrap();
            for (schema, name, rows) in
                [("public", "odd", 6), ("S x", "a\nb", 200_000), ("public", "none_yet", 0)]
            {
                let entry = archive.table_data(&TableName::new(schema, name)).unwrap();
                let into = format!("copy \"{schema}\".\"{name}\" from stdin");
                let copied =
                    archive_table(&tools, &archive, entry, folder.path(), &mut to, &into).await.unwrap();
                assert_eq!(copied.rows, rows, "{bin:?} {format:?} {name}");
            }
            to.execute("commit").await.unwrap();
            for table in ["odd", "\"S x\".\"a\nb\""] {
                assert_eq!(sum(&source, table), sum(&target, table), "{bin:?} {format:?} {table}");
            }
        }
    }
    let left = std::fs::read_dir(folder.path()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "list")
    });
    assert_eq!(left.count(), 0, "list files are left behind");
}

#[tokio::test]
async fn an_archive_in_latin1_is_read_in_its_own_encoding() {
    let (source, target) = pair("create table l (t text); insert into l values ('été'), ('où')", "l").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.dump");
    let status = std::process::Command::new(default_tools().join("pg_dump"))
        .args(["-Fc", "-E", "LATIN1", "-f"])
        .arg(&path)
        .envs(source.url().libpq_environment())
        .status()
        .unwrap();
    assert!(status.success());
    let archive = Archive::open(&path).await.unwrap();
    let entry = archive.table_data(&TableName::new("public", "l")).unwrap();
    let into = format!("copy l from stdin ({})", archive.encoding_option().unwrap());
    let tools = Tools::find(Some(&default_tools())).await.unwrap();
    let mut to = begun(&target).await;
    archive_table(&tools, &archive, entry, folder.path(), &mut to, &into).await.unwrap();
    to.execute("commit").await.unwrap();
    assert_eq!(sum(&source, "l"), sum(&target, "l"));
}

#[tokio::test]
async fn an_archive_cut_in_its_rows_leaves_the_target_unchanged() {
    let sql = "create table c (id int, t text); insert into c select i, md5(i::text) from generate_series(1, 100000) i";
    let (source, target) = pair(sql, "c").await;
    let folder = tempfile::tempdir().unwrap();
    let path = dump(&default_tools(), &source, folder.path(), Format::Custom);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
    let archive = Archive::open(&path).await.unwrap();
    let entry = archive.table_data(&TableName::new("public", "c")).unwrap();
    let tools = Tools::find(Some(&default_tools())).await.unwrap();
    let mut to = begun(&target).await;
    let error = archive_table(&tools, &archive, entry, folder.path(), &mut to, "copy c from stdin")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tool);
    assert!(error.to_string().contains("pg_restore failed"), "{error}");
    to.execute("commit").await.unwrap();
    assert_eq!(ask(&target, "select count(*) from c"), "0");
}

/// Pours what a script prints as if it were pg_restore, then commits.
async fn poured(target: &Database, script: &str) -> Result<Copied> {
    let command = Command {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: BTreeMap::new(),
    };
    let mut to = begun(target).await;
    let copied = async {
        let mut restore = Running::start(&command)?;
        pour(&mut restore, "COPY public.s (id) FROM stdin;\n", &mut to, "copy s from stdin").await
    };
    let copied: Result<Copied, Error> = tokio::time::timeout(LIMIT, copied).await.unwrap();
    to.execute("commit").await.unwrap();
    copied
}

#[tokio::test]
async fn a_pg_restore_that_breaks_writes_nothing_however_far_it_came() {
    let target = Cluster::of_sources().new_database("copy").await.seen_by_the_product();
    target.connect().await.unwrap().execute("create table s (id int)").await.unwrap();
    const HEAD: &str = r"printf -- '--\n-- x\n\nSET a;\nCOPY public.s (id) FROM stdin;\n'";
    const END: &str = r"printf '\\.\n\n\n--\n'";
    for (script, expected) in [
        (format!("{HEAD}; seq 1 100000; kill -9 $$"), "signal: 9"),
        (format!("{HEAD}; seq 1 100000"), "pg_restore ended in the middle of the rows"),
        (format!("{HEAD}; seq 1 10; printf '\\\\.'"), "pg_restore ended in the middle of the rows"),
        (format!("{HEAD}; seq 1 10; {END}; echo late trouble >&2; exit 1"), "late trouble"),
        ("echo early trouble >&2; exit 1".to_owned(), "early trouble"),
        ("echo SET a".to_owned(), "pg_restore ended in the middle of the rows"),
        ("yes SET a".to_owned(), "other rows than those asked for"),
    ] {
        let error = poured(&target, &script).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tool, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(ask(&target, "select count(*) from s"), "0", "{script}");
    }
    let copied = poured(&target, &format!("{HEAD}; seq 1 3; sleep 0.1; seq 4 100000; {END}")).await.unwrap();
    assert_eq!(copied, Copied { rows: 100_000, bytes: 588_895 });
    assert_eq!(ask(&target, "select count(*), sum(id) from s"), "100000|5000050000");
}
