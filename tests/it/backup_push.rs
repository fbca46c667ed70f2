//! Dumps that are pushed to a bucket: whole and verified under their name, or not there at all.

use std::ffi::OsStr;
use std::fmt::Write;
use std::process::Child;
use std::time::{Duration, SystemTime};

use nightferry::adapters::objects::Remote;
use nightferry::adapters::objects::s3::Bucket;
use nightferry::config::{S3, Secret};
use sha2::{Digest, Sha256};

use crate::support::compare::{Except, assert_equal};
use crate::support::pushes::{Pushes, text};
use crate::support::s3::{BUCKET, Fault, KEYS, READER_KEYS};
use crate::support::{TestDatabase, TestNight, execute_on, until};

const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const PRIVATE: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Restores an archive by PostgreSQL's own means.
fn restore(database: &TestDatabase, archive: &std::path::Path) {
    let name = database.name();
    let arguments = ["--no-owner", "--no-privileges", "--exit-on-error", "-d", &name].map(OsStr::new);
    database.tool("pg_restore", arguments.into_iter().chain([archive.as_os_str()]));
}

/// Asked as superusers: row security stands between an owner and the rows of what a superuser restored.
async fn is_equal_to_the_source(pushes: &Pushes) {
    let (source, restored) =
        (pushes.night.source_seen_by_superuser(), pushes.night.warehouse_seen_by_superuser());
    assert_equal(source, restored, &Except::nothing()).await;
}

#[tokio::test]
async fn a_pushed_dump_is_restored_into_an_equal_database() {
    let pushes = Pushes::new(TestNight::of_shapes().await);
    let name = pushes.push(&[]).await;
    let file = pushes.server.file(&name);
    restore(pushes.night.warehouse_seen_by_superuser(), &file);
    is_equal_to_the_source(&pushes).await;

    let sha256 = hex(&std::fs::read(&file).unwrap());
    let ledger = "select bucket, name, bytes, sha256, is_encrypted, removed_at is null,
        to_char(taken_at at time zone 'UTC', '\"nightly/app-\"YYYYMMDD-HH24MISS') = name, run_id like '%-backup-push' from nightferry.pushed_backups";
    let bytes = file.metadata().unwrap().len();
    assert_eq!(pushes.night.warehouse.one(ledger).await, format!("backups|{name}|{bytes}|{sha256}|f|t|t|t"));
    let steps = "select step from nightferry.steps where status = 'succeeded' order by step_id";
    assert_eq!(pushes.night.warehouse.rows(steps).await, ["guard", "dump_and_push", "read_back", "publish"]);
    let moved = "select bytes_done from nightferry.steps where step = 'dump_and_push'";
    assert_eq!(pushes.night.warehouse.one(moved).await, bytes.to_string());
    assert_eq!(pushes.server.unfinished(), Vec::<String>::new());
    let left = std::fs::read_dir(pushes.night.path("")).unwrap().count();
    assert_eq!(left, 1, "only the folder of enrichment files is in WORK_DIR");
}

#[tokio::test]
async fn the_sha256_is_in_the_metadata_of_the_object() {
    let pushes = Pushes::of_many_bytes().await;
    let name = pushes.push(&[]).await;
    let sha256 = hex(&std::fs::read(pushes.server.file(&name)).unwrap());
    let [key, secret] = KEYS;
    let settings = S3 {
        endpoint: Some(pushes.server.url().parse().unwrap()),
        region: None,
        keys: Some((key.to_owned(), Secret::new(secret))),
    };
    let object = Bucket::open(&settings, BUCKET).await.unwrap().object(&name).look().await.unwrap();
    assert_eq!(object.sha256, Some(sha256));
    assert!(pushes.server.seen("UploadPart") > 2);
}

#[tokio::test]
async fn an_encrypted_dump_needs_the_private_key_and_is_pushed_without_it() {
    let pushes = Pushes::new(TestNight::of_shapes().await);
    let name = pushes.push(&[("BACKUP_ENCRYPT_TO", PUBLIC)]).await;
    let bytes = std::fs::read(pushes.server.file(&name)).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
    assert!(!bytes.windows(5).any(|window| window == b"PGDMP"));
    assert_eq!(pushes.night.warehouse.one("select is_encrypted from nightferry.pushed_backups").await, "t");

    let path = pushes.night.path("plain.dump");
    let fetch = ["backup", "fetch", &name, "--output", path.to_str().unwrap()];
    let output = pushes.binary(&fetch, &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("BACKUP_DECRYPT_WITH is not set") && !path.exists(), "{}", text(&output));

    let output = pushes.binary(&fetch, &[("BACKUP_DECRYPT_WITH", PRIVATE)]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    restore(pushes.night.warehouse_seen_by_superuser(), &path);
    is_equal_to_the_source(&pushes).await;
}

#[tokio::test]
async fn an_encrypted_dump_is_opened_at_the_read_back_where_the_key_is_there() {
    let pushes = Pushes::of_many_bytes().await;
    let keys = [("BACKUP_ENCRYPT_TO", PUBLIC), ("BACKUP_DECRYPT_WITH", PRIVATE)];
    pushes.push(&keys).await;
    let stranger = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";
    let keys = [("BACKUP_ENCRYPT_TO", stranger), ("BACKUP_DECRYPT_WITH", PRIVATE)];
    let (text, code) = pushes.failing_push(&keys).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no key of BACKUP_DECRYPT_WITH opens") && !text.contains(PRIVATE), "{text}");
}

#[tokio::test]
async fn a_key_that_does_not_parse_pushes_nothing() {
    let pushes = Pushes::new(TestNight::new().await);
    for wrong in ["age1nonsense", PRIVATE, &format!("{PUBLIC},age1x")] {
        let (text, code) = pushes.failing_push(&[("BACKUP_ENCRYPT_TO", wrong)]).await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("BACKUP_ENCRYPT_TO: ") && !text.contains(PRIVATE), "{text}");
    }
    assert_eq!(pushes.server.seen("CreateMultipartUpload"), 0);
}

#[tokio::test]
async fn without_a_bucket_or_a_source_it_says_what_to_set() {
    let pushes = Pushes::new(TestNight::new().await);
    for variable in ["S3_BUCKET_NAME", "SOURCE_DATABASE_URL"] {
        let extra = [
            (variable, ""),
            ("BACKUP_SOURCE", "scalingo"),
            ("SCALINGO_API_TOKEN", "x"),
            ("SCALINGO_APP", "x"),
        ];
        let (text, code) = pushes.failing_push(&extra).await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(&format!("{variable}: not set")), "{text}");
    }
}

#[tokio::test]
async fn no_secret_is_in_the_arguments_the_log_or_the_ledger() {
    let pushes = Pushes::new(TestNight::of_shapes().await);
    let calls = pushes.night.path("enrichment").join("calls");
    let tools = pushes.with_pg_dump(&format!("echo \"$@\" >>{}\nexec $REAL \"$@\"", calls.display()));
    let extra = [
        ("PG_BIN_DIR", tools.to_str().unwrap()),
        ("BACKUP_ENCRYPT_TO", PUBLIC),
        ("BACKUP_DECRYPT_WITH", PRIVATE),
        ("LOG_LEVEL", "trace"),
    ];
    let good = pushes.binary(&["backup", "push"], &extra).await;
    assert_eq!(good.status.code(), Some(0), "{}", text(&good));
    let (bad, _) =
        pushes.failing_push(&[("S3_SECRET_ACCESS_KEY", "wr0ng-s3cr3t"), ("LOG_LEVEL", "trace")]).await;
    let arguments = std::fs::read_to_string(calls).unwrap();
    assert!(arguments.contains("--format=custom"), "{arguments}");
    let ledger = pushes.night.warehouse.dump_text("nightferry");
    assert!(ledger.contains("nightly/app-"));
    let secrets = [
        KEYS[1],
        "wr0ng-s3cr3t",
        PRIVATE,
        &pushes.night.source.password(),
        &pushes.night.warehouse.password(),
    ];
    for (place, said) in
        [("log", &text(&good)), ("log", &bad), ("arguments", &arguments), ("ledger", &ledger)]
    {
        for secret in secrets {
            assert!(!said.contains(secret), "{secret} is in the {place}: {said}");
        }
    }
}

/// A source whose dump has sent 20 MB and then comes to a value that it cannot read as long as the session of the test lives.
async fn held_in_the_middle(pushes: &Pushes) -> sqlx::postgres::PgConnection {
    const LONG_VALUES: &str = "begin; do $$ begin execute (select format('reindex index %s', i.indexrelid::regclass)
        from pg_class c join pg_index i on i.indrelid = c.reltoastrelid where c.oid = 'public.z_long'::regclass); end $$";
    pushes
        .night
        .source_sql(
            "create table z_long (text text);
             insert into z_long select string_agg(md5(n::text), '') from generate_series(1, 4000) n",
        )
        .await;
    let mut session = pushes.night.source_seen_by_superuser().connect().await;
    execute_on(&mut session, LONG_VALUES).await;
    session
}

async fn parts_have_come(pushes: &Pushes, parts: usize) {
    until("parts to be uploaded", async || (pushes.server.seen("UploadPart") >= parts).then_some(())).await;
}

async fn end_of(child: Child) -> (String, Option<i32>) {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    (text(&output), output.status.code())
}

/// The process of this name that this one started.
fn child_of(parent: u32, name: &str) -> u32 {
    let stats = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (command, rest) = stat.split_once('(')?.1.split_once(") ")?;
        let is_it = command == name && rest.split(' ').nth(1)? == parent.to_string();
        is_it.then_some(pid)
    });
    stats.last().unwrap()
}

fn signal(signal: &str, pid: u32) {
    let status = std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_pg_dump_that_is_killed_in_the_middle_leaves_nothing() {
    let pushes = Pushes::of_many_bytes().await;
    let _held = held_in_the_middle(&pushes).await;
    let push = pushes.start_push(&[]);
    parts_have_come(&pushes, 2).await;
    signal("-KILL", child_of(push.id(), "pg_dump"));
    let (text, code) = end_of(push).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("dump_and_push: pg_dump failed (signal: 9 (SIGKILL))"), "{text}");
    pushes.nothing_is_left().await;
    assert_eq!(pushes.night.warehouse.one("select count(*) from nightferry.pushed_backups").await, "0");
}

#[tokio::test]
async fn a_source_that_is_cut_in_the_middle_leaves_nothing() {
    let pushes = Pushes::of_many_bytes().await;
    let _held = held_in_the_middle(&pushes).await;
    let push = pushes.start_push(&[]);
    parts_have_come(&pushes, 2).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and application_name = 'nightferry' and query like 'COPY%'";
    assert_eq!(pushes.night.source_seen_by_superuser().one(cut).await, "1");
    let (text, code) = end_of(push).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("pg_dump failed (exit status: 1)"), "{text}");
    // It may pass: the job is tried again.
    assert_eq!(pushes.night.warehouse.one("select error_kind from nightferry.stages").await, "connection");
    pushes.nothing_is_left().await;
}

#[tokio::test]
async fn a_push_that_is_stopped_leaves_nothing() {
    let pushes = Pushes::of_many_bytes().await;
    let _held = held_in_the_middle(&pushes).await;
    let push = pushes.start_push(&[]);
    parts_have_come(&pushes, 2).await;
    let told = "select bytes_done > 10000000 and bytes_total is null from nightferry.steps where step = 'dump_and_push'";
    let night = &pushes.night;
    until("the ledger to be told", async || (night.warehouse.rows(told).await == ["t"]).then_some(())).await;
    signal("-TERM", push.id());
    let (text, code) = end_of(push).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("stopped by SIGTERM") && text.contains("nothing of this one is left"), "{text}");
    // The parts went before the process did.
    assert_eq!(pushes.server.seen("AbortMultipartUpload"), 2, "that of the guard, and that of the dump");
    pushes.nothing_is_left().await;
    let status = "select status from nightferry.stages";
    assert_eq!(pushes.night.warehouse.one(status).await, "interrupted");
}

#[tokio::test]
async fn a_push_that_is_stopped_after_its_upload_leaves_nothing() {
    let pushes = Pushes::of_many_bytes().await;
    pushes.server.on("CopyObject", .., Fault::Held);
    let push = pushes.start_push(&[]);
    until("the copy", async || (pushes.server.seen("CopyObject") == 1).then_some(())).await;
    assert_eq!(pushes.server.keys().len(), 1);
    signal("-TERM", push.id());
    let (text, code) = end_of(push).await;
    assert_eq!(code, Some(1), "{text}");
    pushes.nothing_is_left().await;
}

#[tokio::test]
async fn a_bucket_that_dies_in_the_middle_has_no_backup_and_the_next_push_ends_well() {
    let mut pushes = Pushes::of_many_bytes().await;
    for operation in ["UploadPart", "CopyObject"] {
        let number = if operation == "UploadPart" { 3 } else { 1 };
        pushes.server.on(operation, number.., Fault::Death);
        let (text, code) = pushes.failing_push(&[]).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("bucket backups at 127.0.0.1:"), "{operation}: {text}");
        let keys = pushes.server.keys();
        assert!(keys.iter().all(|key| key.ends_with(".unverified")), "{operation}: {keys:?}");
        pushes.revive();
        for key in keys {
            std::fs::remove_file(pushes.server.file(&key)).unwrap();
        }
    }
    pushes.push(&[]).await;
}

#[tokio::test]
async fn a_bucket_that_refuses_says_so_before_the_dump() {
    let pushes = Pushes::new(TestNight::new().await);
    let [key, secret] = READER_KEYS;
    let (text, code) = pushes.failing_push(&[("S3_ACCESS_KEY", key), ("S3_SECRET_ACCESS_KEY", secret)]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("guard: cannot write nightly/app-") && text.contains("the key may not do this"),
        "{text}"
    );
    assert!(!text.contains("dump_and_push"), "{text}");
}

#[tokio::test]
async fn damage_on_the_way_is_found_at_the_read_back() {
    let pushes = Pushes::of_many_bytes().await;
    // Without a key of its own an encrypted dump is compared byte by byte.
    for extra in [&[][..], &[("BACKUP_ENCRYPT_TO", PUBLIC)]] {
        pushes.server.on(
            "GetObject",
            pushes.server.seen("GetObject") + 1..=pushes.server.seen("GetObject") + 1,
            Fault::Damaged,
        );
        let (text, code) = pushes.failing_push(extra).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("read_back: "), "{text}");
        pushes.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_leaves_no_backup_and_what_it_left_goes_a_day_later() {
    let pushes = Pushes::of_many_bytes().await;
    pushes.server.on("CopyObject", 1..=1, Fault::Held);
    let mut push = pushes.start_push(&[]);
    until("the copy", async || (pushes.server.seen("CopyObject") == 1).then_some(())).await;
    push.kill().unwrap();
    push.wait().unwrap();
    let left = pushes.server.keys();
    assert!(left.len() == 1 && left[0].ends_with(".unverified"), "{left:?}");
    let output = pushes.binary(&["backup", "list"], &[]).await;
    assert_eq!(text(&output), "There is no backup.\n");

    // Another push may be at work on it.
    next_second().await;
    pushes.push(&[]).await;
    assert!(pushes.server.file(&left[0]).exists());
    let long_ago = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    std::fs::File::open(pushes.server.file(&left[0])).unwrap().set_modified(long_ago).unwrap();
    next_second().await;
    pushes.push(&[]).await;
    assert!(!pushes.server.file(&left[0]).exists());
    let run = "select status from nightferry.runs order by run_id limit 1";
    assert_eq!(pushes.night.warehouse.one(run).await, "interrupted");
}

/// Names have seconds.
async fn next_second() {
    let now = || chrono::Utc::now().timestamp();
    let second = now();
    until("the next second", async || (now() > second).then_some(())).await;
}

#[tokio::test]
async fn the_newest_stay_and_the_ledger_knows_which_went() {
    let pushes = Pushes::new(TestNight::new().await);
    let strangers = ["nightly/app", "nightly/app-eu-20200101-000000", "nightly/app-20200101-000000.gz"];
    let first = pushes.push(&[]).await;
    let ours = ["nightly/app-20200101-000000", "nightly/app-20210101-000000"];
    for name in strangers.into_iter().chain(ours) {
        std::fs::write(pushes.server.file(name), "x").unwrap();
    }
    next_second().await;
    let second = pushes.push(&[("BACKUP_KEEP", "3")]).await;
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> =
            names.iter().map(|&name| name.to_owned()).chain(strangers.map(str::to_owned)).collect();
        names.sort();
        names
    };
    assert_eq!(pushes.server.keys(), sorted(&["nightly/app-20210101-000000", &first, &second]));
    next_second().await;
    let third = pushes.push(&[("BACKUP_KEEP", "1")]).await;
    assert_eq!(pushes.server.keys(), sorted(&[&third]));
    let ledger = "select name, removed_at is not null from nightferry.pushed_backups order by name";
    assert_eq!(
        pushes.night.warehouse.rows(ledger).await,
        [format!("{first}|t"), format!("{second}|t"), format!("{third}|f")]
    );
}

#[tokio::test]
async fn a_push_that_fails_removes_no_old_backup() {
    let pushes = Pushes::new(TestNight::new().await);
    std::fs::create_dir(pushes.server.file("nightly")).unwrap();
    std::fs::write(pushes.server.file("nightly/app-20200101-000000"), "x").unwrap();
    pushes.server.on("GetObject", .., Fault::Denied);
    pushes.failing_push(&[("BACKUP_KEEP", "1")]).await;
    until("the new one to go", async || {
        (pushes.server.keys() == ["nightly/app-20200101-000000"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_old_backup_that_cannot_be_removed_is_told_and_the_push_is_good() {
    let pushes = Pushes::new(TestNight::new().await);
    std::fs::create_dir(pushes.server.file("nightly")).unwrap();
    std::fs::write(pushes.server.file("nightly/app-20200101-000000"), "x").unwrap();
    pushes.server.on("DeleteObject", 2.., Fault::Denied);
    pushes.push(&[("BACKUP_KEEP", "1")]).await;
    let told = "select object from nightferry.skipped";
    assert_eq!(pushes.night.warehouse.one(told).await, "the removal of backup nightly/app-20200101-000000");
}
