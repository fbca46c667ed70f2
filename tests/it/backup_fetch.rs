//! Backups listed and fetched by hand.

use crate::support::pushes::{Pushes, text};
use crate::support::s3::Fault;
use crate::support::{ScalingoApi, TestNight};

#[tokio::test]
async fn the_newest_is_fetched_as_an_archive_and_never_over_a_file() {
    let pushes = Pushes::of_many_bytes().await;
    let name = pushes.push(&[]).await;
    std::fs::write(pushes.server.file("nightly/app-20200101-000000"), "old").unwrap();
    let path = pushes.night.path("app.dump");
    let fetch = ["backup", "fetch", "--output", path.to_str().unwrap()];
    let output = pushes.binary(&fetch, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output).starts_with(&format!("{name} at s3://backups/nightly/app is now ")),
        "{}",
        text(&output)
    );
    let whole = std::fs::read(pushes.server.file(&name)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), whole);

    std::fs::write(&path, "mine").unwrap();
    let output = pushes.binary(&fetch, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("there is a file"), "{}", text(&output));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let output = pushes.binary(&[&fetch[..], &["--force"]].concat(), &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(std::fs::read(&path).unwrap(), whole);

    // Into a folder under its own name, by a URL that needs no bucket to be set.
    let url = format!("s3://backups/{name}");
    let output =
        pushes.binary(&["backup", "fetch", &url, "--output", "enrichment"], &[("S3_BUCKET_NAME", "")]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let file = format!("enrichment/{}.dump", name.trim_start_matches("nightly/"));
    assert_eq!(std::fs::read(pushes.night.path(&file)).unwrap(), whole);
}

#[tokio::test]
async fn a_fetch_that_fails_leaves_no_file() {
    let pushes = Pushes::of_many_bytes().await;
    let name = pushes.push(&[]).await;
    pushes.server.on("GetObject", pushes.server.seen("GetObject") + 2.., Fault::Denied);
    let output = pushes.binary(&["backup", "fetch", &name], &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains(&format!("the backup {name} at s3://backups/nightly/app: ")),
        "{}",
        text(&output)
    );
    let output = pushes.binary(&["backup", "fetch", "nobody"], &[]).await;
    assert!(text(&output).contains("there is no backup nobody"), "{}", text(&output));
    let files: Vec<_> =
        std::fs::read_dir(pushes.night.path("")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["enrichment"]);
}

#[tokio::test]
async fn damage_is_found_by_the_sha256_of_the_push() {
    let pushes = Pushes::of_many_bytes().await;
    let name = pushes.push(&[]).await;
    pushes.server.on(
        "GetObject",
        pushes.server.seen("GetObject") + 1..=pushes.server.seen("GetObject") + 1,
        Fault::Damaged,
    );
    let output = pushes.binary(&["backup", "fetch", &name], &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(!pushes.night.path(&name).exists());
}

#[tokio::test]
async fn a_list_has_what_was_pushed_and_what_the_source_has() {
    let pushes = Pushes::new(TestNight::new().await);
    let name = pushes.push(&[]).await;
    for other in ["nightly/app-20200101-000000.unverified", "else"] {
        std::fs::write(pushes.server.file(other), "x").unwrap();
    }
    let of_source = [("BACKUP_SOURCE", "s3://backups/els")];
    let output = pushes.binary(&["backup", "list", "--json"], &of_source).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let places: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["place"].as_str().unwrap()))
        .collect();
    assert_eq!(places, [("else", "s3://backups/els"), (name.as_str(), "s3://backups/nightly/app")]);
    assert_eq!(listed[1]["state"], "done");
    assert_eq!(listed[1]["bytes"], pushes.server.file(&name).metadata().unwrap().len());
    assert!(listed[1]["age_seconds"].as_i64().unwrap() < 600, "{listed}");

    let output = pushes.binary(&["backup", "list"], &[("BACKUP_SOURCE", "s3://backups/nightly/app-")]).await;
    assert_eq!(text(&output).matches(&name).count(), 1, "{}", text(&output));
    let output = pushes.binary(&["backup", "list"], &[("S3_BUCKET_NAME", "")]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("there is no place to look for backups in"), "{}", text(&output));
}

#[tokio::test]
async fn a_backup_of_the_provider_is_listed_and_fetched() {
    let pushes = Pushes::new(TestNight::of_shapes().await);
    let api = ScalingoApi::start().await;
    let archive = std::fs::read(pushes.night.archive("custom")).unwrap();
    api.serve(archive.clone());
    api.list_backups(&[("b1", "done", chrono::Utc::now()), ("b2", "running", chrono::Utc::now())]);
    let mut settings: Vec<(&str, String)> = api.variables().to_vec();
    settings.push(("S3_BUCKET_NAME", String::new()));
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let output = pushes.binary(&["backup", "list", "--json"], &settings).await;
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let newest = listed.as_array().unwrap().iter().find(|one| one["state"] == "done").unwrap();
    assert_eq!(newest["place"], format!("application {}", ScalingoApi::APP));
    let output = pushes.binary(&["backup", "fetch", "--output", "fetched.dump"], &settings).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(std::fs::read(pushes.night.path("fetched.dump")).unwrap(), archive);
}
