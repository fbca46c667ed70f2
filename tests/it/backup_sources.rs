//! Nights that read a backup instead of the live database: from the provider, from a bucket, from a server, from a wrapped file.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use nightferry::error::ErrorKind;
use nightferry::ids::Stage;

use crate::support::backups::{BROKEN, add_noise, assert_untouched, dump, left, refused};
use crate::support::compare::{Except, assert_equal};
use crate::support::s3::{BUCKET, KEYS, S3Server};
use crate::support::{Fault, FileServer, Manner, ScalingoApi, TestNight, until};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn pairs<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The same as the provider has it.
fn tar_gz(night: &TestNight) -> Vec<u8> {
    night.archive("custom");
    let packed =
        Command::new("tar").arg("-czC").arg(night.path("")).args(["-f", "-", "custom.archive"]).output();
    packed.unwrap().stdout
}

async fn noted(night: &TestNight) -> String {
    let sql = "select source, name, taken_at is not null, bytes, archive_bytes, was_kept from nightferry.source_backups order by attempt desc, run_id desc limit 1";
    night.warehouse.one(sql).await
}

struct Objects {
    server: S3Server,
    variables: Vec<(&'static str, String)>,
}

impl Objects {
    fn of(night: &TestNight, prefix: &str) -> Self {
        let server = S3Server::start(&night.path("s3"), 0);
        let [key, secret] = KEYS;
        let variables = vec![
            ("BACKUP_SOURCE", format!("s3://{BUCKET}/{prefix}")),
            ("S3_ENDPOINT", server.url()),
            ("S3_REGION", "eu-west-1".to_owned()),
            ("S3_ACCESS_KEY", key.to_owned()),
            ("S3_SECRET_ACCESS_KEY", secret.to_owned()),
        ];
        Self { server, variables }
    }

    fn put(&self, key: &str, bytes: &[u8], age: Duration) {
        write_aged(&self.server.file(key), bytes, age);
    }
}

fn write_aged(path: &Path, bytes: &[u8], age: Duration) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_newest_backup_gives_the_same_warehouse_as_live() {
    let night = TestNight::of_shapes().await;
    let api = ScalingoApi::start().await;
    let archive = tar_gz(&night);
    api.serve(archive.clone());
    let now = Utc::now();
    let ago = |hours| now - chrono::TimeDelta::hours(hours);
    api.list_backups(&[("old", "done", ago(27)), ("new", "done", ago(3)), ("bad", "error", ago(1))]);
    let outcome = night.full(&pairs(&api.variables())).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
    let steps: Vec<&str> = outcome.steps.iter().map(|step| step.step).take(4).collect();
    assert_eq!(steps, ["fetch", "guard", "backup", "schema"]);
    let dumped = std::fs::metadata(night.path("custom.archive")).unwrap().len();
    let noted = noted(&night).await;
    assert!(noted.starts_with(&format!("scalingo|{}", ago(3).format("%Y%m%d%H%M%S"))), "{noted}");
    assert!(noted.ends_with(&format!("|t|{}|{dumped}|f", archive.len())), "{noted}");
    assert_eq!(left(&night).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_object_of_a_bucket_gives_the_same_warehouse_as_live() {
    let night = TestNight::of_shapes().await;
    let objects = Objects::of(&night, "nightly/app-");
    objects.put("nightly/app-1", b"yesterday's", 20 * HOUR);
    objects.put("nightly/app-2", &dump(&night), HOUR);
    objects.put("nightly/app-3.unverified", b"not finished", Duration::ZERO);
    objects.put("nightly/other", b"another prefix", Duration::ZERO);
    night.full(&pairs(&objects.variables)).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
    assert!(noted(&night).await.starts_with("s3|nightly/app-2|"), "{}", noted(&night).await);
    assert_eq!(left(&night).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_on_a_server_gives_the_same_warehouse_as_live() {
    let night = TestNight::of_shapes().await;
    let archive = dump(&night);
    let server = FileServer::of(Manner::good(archive.clone())).await;
    let url = format!("{}?signature=hush", server.url());
    let outcome = night.full(&[("BACKUP_SOURCE", &url), ("SOURCE_DATABASE_URL", "")]).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
    assert!(!format!("{outcome:?}{}", noted(&night).await).contains("hush"));
    let moved = "select bytes_done, bytes_total from nightferry.steps where step = 'backup'";
    assert_eq!(night.warehouse.one(moved).await, format!("{0}|{0}", archive.len()));
    assert_eq!(left(&night).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_file_gives_the_same_warehouse_as_live() {
    let night = TestNight::of_shapes().await;
    let path = night.path("backup");
    std::fs::write(&path, tar_gz(&night)).unwrap();
    night.full(&[("BACKUP_SOURCE", path.to_str().unwrap())]).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
    assert!(noted(&night).await.starts_with("path|backup|t|"), "{}", noted(&night).await);
    assert_eq!(left(&night).len(), 0);
    assert!(path.exists(), "what is not ours stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_night_downloaded_is_not_downloaded_again() {
    let night = TestNight::of_shapes().await;
    let server = FileServer::of(Manner::good(dump(&night))).await;
    let url = server.url();
    let source = [("BACKUP_SOURCE", url.as_str())];
    let broken = night.path("enrichment/10_broken.sql");
    std::fs::write(&broken, BROKEN).unwrap();
    let error = refused(&night, &source).await;
    assert!(error.to_string().contains("division by zero"), "{error}");
    assert_eq!(left(&night).len(), 1);
    let first = server.sent();
    std::fs::remove_file(broken).unwrap();
    night.full(&source).await;
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;
    assert!(noted(&night).await.ends_with("|t"), "{}", noted(&night).await);
    let second = server.sent() - first;
    assert!(second < first, "only the head was read again: {first} bytes, then {second}");
    assert_eq!(left(&night).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_download_gives_way_to_a_newer_backup() {
    let night = TestNight::of_shapes().await;
    let objects = Objects::of(&night, "app-");
    objects.put("app-1", &dump(&night), 2 * HOUR);
    let broken = night.path("enrichment/10_broken.sql");
    std::fs::write(&broken, BROKEN).unwrap();
    refused(&night, &pairs(&objects.variables)).await;
    assert_eq!(left(&night).len(), 1);
    std::fs::remove_file(broken).unwrap();
    night.source_sql("create table newer (id int); insert into newer values (7)").await;
    objects.put("app-2", &dump(&night), HOUR);
    night.full(&pairs(&objects.variables)).await;
    assert_eq!(night.warehouse.one("select id from newer").await, "7");
    assert_eq!(left(&night).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_being_made_is_waited_for() {
    let night = TestNight::of_shapes().await;
    let api = ScalingoApi::start().await;
    api.serve(tar_gz(&night));
    let ago = |hours| Utc::now() - chrono::TimeDelta::hours(hours);
    let (old, new) = (("old", "done", ago(30)), ago(1));
    api.list_backups(&[old, ("new", "pending", new)]);
    let mut variables =
        pairs(&api.variables()).iter().map(|(n, v)| (*n, (*v).to_owned())).collect::<Vec<_>>();
    variables.push(("BACKUP_WAIT", "2s".to_owned()));
    let variables = pairs(&variables);
    let finish = async {
        until("the list to be asked for", async || (api.asked("/backups").await > 0).then_some(())).await;
        api.list_backups(&[old, ("new", "done", new)]);
    };
    let (result, ()) = tokio::join!(night.try_run(Stage::FullReplication, &variables), finish);
    result.unwrap();
    assert_equal(&night.source, &night.warehouse, &Except::nothing()).await;

    api.list_backups(&[old, ("newer", "running", Utc::now())]);
    let error = refused(&night, &variables).await;
    assert!(error.to_string().contains("is still being made after 2s"), "{error}");
    assert!(error.operator_hint().unwrap().contains("BACKUP_WAIT"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_too_old_is_refused_and_the_warehouse_is_as_it_was() {
    let night = TestNight::of_shapes().await;
    let objects = Objects::of(&night, "app-");
    objects.put("app-1", &dump(&night), 25 * HOUR);
    let error = refused(&night, &pairs(&objects.variables)).await;
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("app-1, is 1day 1h old, and BACKUP_MAX_AGE is 1day"), "{error}");
    assert_untouched(&night).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_dump_is_named_before_the_warehouse_is_touched() {
    let night = TestNight::of_shapes().await;
    let whole = dump(&night);
    let cut = whole[..whole.len() - whole.len() / 3].to_vec();
    let page = b"<!DOCTYPE html><html><body>Sign in</body></html>".to_vec();
    for (bytes, said) in [(cut, "cut"), (page, "HTML"), (Vec::new(), "empty")] {
        let server = FileServer::of(Manner::good(bytes.clone())).await;
        let file = night.path("archive");
        std::fs::write(&file, bytes).unwrap();
        for source in [server.url().as_str(), file.to_str().unwrap()] {
            let error = refused(&night, &[("BACKUP_SOURCE", source)]).await;
            assert!(error.to_string().contains(said), "{said}: {error}");
            assert!(!error.kind().is_retryable(), "{error}");
            assert_untouched(&night).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_plan_read_the_head_alone_and_say_how_old_and_how_big_the_backup_is() {
    let night = TestNight::new().await;
    add_noise(&night, 2000).await;
    let archive = dump(&night);
    let size = bytesize::ByteSize(archive.len() as u64).display().si().to_string();
    assert!(archive.len() > 6_000_000);
    let server = FileServer::of(Manner::good(archive)).await;
    let url = server.url();
    let output = night.binary(&["check"], &[("BACKUP_SOURCE", &url)]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("BACKUP_SOURCE: ") && text.contains(" old)") && text.contains(&size), "{text}");
    let output = night.binary(&["plan"], &[("BACKUP_SOURCE", &url)]).await;
    assert!(String::from_utf8(output.stdout).unwrap().contains("public.big"));
    assert!(server.sent() < 4_000_000, "{} bytes", server.sent());
    assert_eq!(left(&night).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_wrong_with_a_place_and_what_to_do() {
    let night = TestNight::of_shapes().await;
    let objects = Objects::of(&night, "app-");
    let wrong = |name: &str, value: &str| {
        let mut variables = objects.variables.clone();
        variables.retain(|(other, _)| *other != name);
        let name = objects.variables.iter().find(|(other, _)| *other == name).unwrap().0;
        variables.push((name, value.to_owned()));
        variables
    };
    let cases = [
        (objects.variables.clone(), "there is no finished backup"),
        (wrong("BACKUP_SOURCE", "s3://elsewhere/app-"), "elsewhere"),
        (wrong("S3_SECRET_ACCESS_KEY", "hush"), "S3_SECRET_ACCESS_KEY"),
        (wrong("S3_ENDPOINT", "http://127.0.0.1:1"), "127.0.0.1:1"),
    ];
    for (variables, said) in cases {
        let output = night.binary(&["check"], &pairs(&variables)).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}: {text}");
        assert!(text.contains(said) && !text.contains("hush") && !text.contains(KEYS[1]), "{said}: {text}");
    }
    let gone = FileServer::of(Manner::good(b"PGDMP".to_vec()).but(Fault::Status(404))).await;
    let output = night.binary(&["check"], &[("BACKUP_SOURCE", &gone.url())]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("404") && text.contains("hint: "), "{text}");
}
