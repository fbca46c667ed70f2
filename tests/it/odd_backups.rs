//! What goes wrong with backups and exports in production, and must not go wrong for the warehouse.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use nightferry::adapters::ledger::Ledger;
use nightferry::error::{Error, ErrorKind};
use nightferry::ids::Stage;

use crate::support::backups::{BROKEN, add_noise, assert_untouched, dump, left, refused};
use crate::support::compare::{Except, assert_equal};
use crate::support::s3::{BUCKET, Fault as S3Fault, KEYS, S3Server};
use crate::support::{Cluster, Fault, FileServer, Manner, ScalingoApi, TestDatabase, TestNight, until};

const TARGET: &str = "DB_SCHEMA_EXPORTER_DATABASE_TARGET";

async fn was_kept(night: &TestNight) -> String {
    let sql = "select string_agg(was_kept::text, ' ' order by run_id) from nightferry.source_backups";
    night.warehouse.one(sql).await
}

/// A night that fails once all is loaded, and leaves its download.
async fn fail_after_the_download(night: &TestNight, source: &[(&str, &str)]) {
    let broken = night.path("enrichment/10_broken.sql");
    std::fs::write(&broken, BROKEN).unwrap();
    refused(night, source).await;
    std::fs::remove_file(broken).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_for_nobody_else_to_read_and_one_that_others_could_write_is_not_believed() {
    let night = TestNight::of_shapes().await;
    let server = FileServer::of(Manner::good(dump(&night))).await;
    let url = server.url();
    let source = [("BACKUP_SOURCE", url.as_str())];
    fail_after_the_download(&night, &source).await;
    let folder = left(&night).pop().unwrap();
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");

    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    night.full(&source).await;
    assert_eq!(was_kept(&night).await, "false false");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_night_downloaded_goes_when_a_later_one_ends_well_whatever_that_read() {
    let night = TestNight::of_shapes().await;
    let server = FileServer::of(Manner::good(dump(&night))).await;
    fail_after_the_download(&night, &[("BACKUP_SOURCE", &server.url())]).await;
    assert_eq!(left(&night).len(), 1);
    night.full(&[]).await;
    assert_eq!(left(&night), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_downloaded_in_part_does_not_fill_the_disk_until_the_next_night() {
    let night = TestNight::of_shapes().await;
    let whole = dump(&night);
    let server = FileServer::of(Manner::good(whole[..whole.len() * 2 / 3].to_vec())).await;
    let error = refused(&night, &[("BACKUP_SOURCE", &server.url())]).await;
    assert!(error.to_string().contains("cut"), "{error}");
    assert_eq!(left(&night), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_in_the_middle_of_a_download_ends_at_once_and_leaves_no_part_of_it() {
    let night = TestNight::of_shapes().await;
    // Larger than what is asked for first.
    add_noise(&night, 500).await;
    let good = Manner::good(dump(&night));
    let size = good.bytes.len();
    let server = FileServer::scripted(move |asked| match asked.range {
        Some((_, to)) if to >= size => good.but(Fault::Stall(100)),
        _ => good.clone(),
    })
    .await;
    let mut child = night
        .command(&["run", "full-replication"], &[("BACKUP_SOURCE", &server.url())])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the download", async || (!left(&night).is_empty()).then_some(())).await;
    until("the last part", async || {
        server.asked().iter().any(|asked| asked.range.is_some_and(|(_, to)| to >= size)).then_some(())
    })
    .await;
    let start = SystemTime::now();
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    child.wait().unwrap();
    assert!(start.elapsed().unwrap() < Duration::from_secs(10), "{:?}", start.elapsed());
    let status = "select status from nightferry.stages";
    assert_eq!(night.warehouse.one(status).await, "interrupted");
    assert_eq!(left(&night), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_while_it_is_read_is_read_again_by_the_next_try() {
    let night = TestNight::of_shapes().await;
    let old = Manner::good(dump(&night));
    let new = Manner { tag: Some("\"second\"".to_owned()), ..old.clone() };
    // Two requests ask what there is, the third one reads the head: replaced after it, and before.
    for after in [3, 2] {
        let (old, new) = (old.clone(), new.clone());
        let manner = move |number| if number < after { old.clone() } else { new.clone() };
        let server = FileServer::scripted(move |asked| manner(asked.number)).await;
        let url = server.url();
        let error = refused(&night, &[("BACKUP_SOURCE", &url)]).await;
        assert!(error.to_string().contains("replaced while it was read"), "{error}");
        assert!(error.kind().is_retryable(), "{} {error}", error.kind().name());
        assert_untouched(&night).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_once_while_a_backup_is_waited_for_is_asked_again() {
    let night = TestNight::of_shapes().await;
    let api = ScalingoApi::start().await;
    let packed = std::process::Command::new("tar")
        .arg("-czC")
        .arg(night.path(""))
        .args(["-f", "-", PathBuf::from(night.archive("custom")).file_name().unwrap().to_str().unwrap()])
        .output();
    api.serve(packed.unwrap().stdout);
    let new = Utc::now() - chrono::TimeDelta::hours(1);
    api.list_backups(&[("new", "pending", new)]);
    let variables = api.variables();
    let mut variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("BACKUP_WAIT", "4s"));
    let finish = async {
        until("the list to be asked for", async || (api.asked("/backups").await > 0).then_some(())).await;
        api.fail_once("/backups", 503, "error_503.html");
        api.list_backups(&[("new", "done", new)]);
    };
    let (result, ()) = tokio::join!(night.try_run(Stage::FullReplication, &variables), finish);
    result.unwrap();
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_a_push_removes_while_a_night_reads_it_is_no_reason_to_give_up() {
    let night = TestNight::of_shapes().await;
    let server = S3Server::start(&night.path("s3"), 0);
    let key = format!("app-{}", (Utc::now() - chrono::TimeDelta::hours(1)).format("%Y%m%d-%H%M%S"));
    std::fs::write(server.file(&key), dump(&night)).unwrap();
    let (source, url) = (format!("s3://{BUCKET}/app"), server.url());
    let variables = in_bucket(&source, &url);
    let reading = night.try_run(Stage::FullReplication, &variables);
    // The head can be read, and what follows it a little later.
    server.on("GetObject", 2..4, S3Fault::Unavailable);
    let removing = async {
        until("the head to be read", async || (server.seen("GetObject") > 1).then_some(())).await;
        std::fs::remove_file(server.file(&key)).unwrap();
    };
    let (result, ()) = tokio::join!(reading, removing);
    let error = result.unwrap_err();
    assert!(error.to_string().contains("it was removed while it was read"), "{error}");
    assert!(error.kind().is_retryable(), "{} {error}", error.kind().name());
    assert_untouched(&night).await;
}

fn in_bucket<'a>(source: &'a str, url: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("BACKUP_SOURCE", source),
        ("S3_ENDPOINT", url),
        ("S3_REGION", "eu-west-1"),
        ("S3_ACCESS_KEY", KEYS[0]),
        ("S3_SECRET_ACCESS_KEY", KEYS[1]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backups_of_an_application_are_not_those_of_another_whose_name_goes_on_behind_it() {
    let night = TestNight::of_shapes().await;
    let server = S3Server::start(&night.path("s3"), 0);
    let put = |key: &str, bytes: &[u8]| {
        let path = server.file(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let at = |hours| (Utc::now() - chrono::TimeDelta::hours(hours)).format("%Y%m%d-%H%M%S");
    put(&format!("nightly/app-{}", at(5)), b"older");
    put(&format!("nightly/app-{}", at(3)), &dump(&night));
    put(&format!("nightly/app-staging-{}", at(1)), b"PGDMP of another application");
    let url = server.url();
    for prefix in ["nightly/app", "nightly/app-"] {
        let source = format!("s3://{BUCKET}/{prefix}");
        night.full(&in_bucket(&source, &url)).await;
    }
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_lacks_a_file_is_named_before_the_warehouse_is_touched() {
    let night = TestNight::of_shapes().await;
    let folder = night.archive("directory");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let lost = files.filter(|path| path.to_str().unwrap().contains(".dat.")).max().unwrap();
    std::fs::remove_file(&lost).unwrap();
    let error = refused(&night, &[("BACKUP_SOURCE", &folder), ("PUBLISH_MODE", "in_place")]).await;
    assert_untouched(&night).await;
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    let name = lost.file_name().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(name.split_once('.').unwrap().0), "{name}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_and_a_night_that_begin_in_one_second_both_open_a_ledger_that_was_not_there() {
    for _ in 0..8 {
        let warehouse = Cluster::of_warehouses().new_database("first").await;
        let database = warehouse.seen_by_the_product();
        let opened = futures::future::join_all((0..10).map(|_| Ledger::open(&database))).await;
        for ledger in opened {
            assert!(ledger.is_ok(), "{}", ledger.unwrap_err());
        }
    }
}

const TABLES: &str = "
    create type feeling as enum ('good', 'bad');
    create domain short as text check (length(value) < 9);
    create sequence numbers;
    create function twice(n int) returns int language sql immutable as 'select 2 * n';
    create function note() returns trigger language plpgsql as 'begin return new; end';
    create table users (id int primary key, name text not null, mood feeling);
    create table parts (id int, at int) partition by range (at);
    create view named as select id, name from users";

async fn exported_night() -> (TestNight, TestDatabase) {
    let night = TestNight::new().await;
    night.source_sql(TABLES).await;
    night.full(&[]).await;
    let target = Cluster::of_sources().new_database("catalog").await;
    export(&night, &target).await.unwrap();
    (night, target)
}

async fn export(night: &TestNight, target: &TestDatabase) -> Result<(), Error> {
    night.try_run(Stage::SchemaExport, &[(TARGET, target.url())]).await.map(drop)
}

#[tokio::test]
async fn whatever_of_others_leans_on_an_export_is_named_and_none_of_it_is_lost() {
    let (night, target) = exported_night().await;
    let superuser = Cluster::of_sources().as_superuser(&target);
    let cases = [
        ("create table \"Their table\" (mood feeling)", "table"),
        ("create table \"Their table\" (moods feeling[])", "table"),
        ("create table \"Their table\" (tag short)", "table"),
        ("create table \"Their table\" (whole users)", "table"),
        ("create table \"Their table\" (id int default nextval('numbers'))", "table"),
        ("create table \"Their table\" (id int check (twice(id) > 2))", "table"),
        ("create table \"Their table\" (id int, two int generated always as (twice(id)) stored)", "table"),
        ("create table \"Their table\" (id int); create index on \"Their table\" (twice(id))", "table"),
        (
            "create table \"Their table\" (id int); create trigger t after insert on \"Their table\" for each row execute function note()",
            "table",
        ),
        (
            "create table \"Their table\" (id int); alter table \"Their table\" enable row level security; create policy p on \"Their table\" using (id in (select id from users))",
            "table",
        ),
        (
            "create table \"Their table\" (id int); create rule r as on insert to \"Their table\" do also select * from users",
            "table",
        ),
        (
            "create table \"Their table\" (id int); create statistics \"Their sums\" on twice(id), (id + 1) from \"Their table\"",
            "table",
        ),
        ("create table \"Their table\" (more int) inherits (users)", "table"),
        ("create table \"Their table\" partition of parts for values from (1) to (9)", "table"),
        ("create sequence \"Their table\" owned by users.id", "sequence"),
        ("create domain \"Their table\" as short", "type"),
        ("create type \"Their table\" as (mood feeling)", "type"),
        ("create materialized view \"Their table\" as select name from named", "materialized view"),
        ("create function \"Their table\"(feeling) returns int language sql as 'select 1'", "routine"),
        (
            "create function \"Their table\"() returns bigint language sql begin atomic; select count(*) from users; end",
            "routine",
        ),
        (
            "create aggregate \"Their table\"(int) (sfunc = int4larger, stype = int, finalfunc = twice)",
            "routine",
        ),
    ];
    let mut wrong = BTreeMap::new();
    for (sql, kind) in cases {
        target.execute(sql).await;
        let shape = "select pg_catalog.string_agg(x, '; ' order by x) from (
            select classid::regclass::text || refclassid::regclass::text || deptype::text as x from pg_depend where objid >= 16384) s";
        let before = target.one(shape).await;
        match export(&night, &target).await {
            Ok(()) => drop(wrong.insert(sql, "was not refused".to_owned())),
            Err(error) if !error.to_string().contains("Their table") => {
                wrong.insert(sql, error.to_string());
            }
            Err(_) => {}
        }
        if target.one(shape).await != before {
            wrong.entry(sql).or_default().push_str(" and something was changed");
        }
        superuser.execute(&format!("drop {kind} if exists \"Their table\" cascade")).await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    export(&night, &target).await.unwrap();
}

#[tokio::test]
async fn what_an_event_trigger_of_the_target_made_during_an_export_is_not_the_exports() {
    let night = TestNight::new().await;
    night.source_sql(TABLES).await;
    night.full(&[]).await;
    let target = Cluster::of_sources().new_database("catalog").await;
    target
        .execute(
            "create schema audit;
             create function audit.shadow() returns event_trigger language plpgsql as $$
             declare made record;
             begin
               for made in select * from pg_event_trigger_ddl_commands() where command_tag = 'CREATE TABLE' and schema_name = 'public' loop
                 execute format('create table if not exists audit.%I (at timestamptz)', split_part(made.object_identity, '.', 2));
               end loop;
             end $$",
        )
        .await;
    Cluster::of_sources()
        .as_superuser(&target)
        .execute("create event trigger shadows on ddl_command_end execute function audit.shadow()")
        .await;
    export(&night, &target).await.unwrap();
    target.execute("insert into audit.users values (now())").await;
    export(&night, &target).await.unwrap();
    assert_eq!(target.one("select count(*) from audit.users").await, "1");
}
