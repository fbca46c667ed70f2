//! The provider's API: what it answers, every refusal that it documents, tokens and links that expire, and secrets that are nowhere.

use std::sync::Arc;

use chrono::Utc;
use futures::TryStreamExt;
use nightferry::adapters::http::scalingo::{BackupFile, Database};
use nightferry::adapters::objects::{BackupState, Download, Object, Pace, Remote};
use nightferry::config::Secret;
use nightferry::error::{Error, ErrorKind};
use serde_json::json;
use tokio::io::AsyncReadExt;
use wiremock::ResponseTemplate;

use crate::support::ScalingoApi;

async fn open(api: &ScalingoApi) -> Result<Database, Error> {
    Database::open(&api.config()).await
}

/// The archive of the newest backup, of this many bytes that are all different.
async fn archive(api: &ScalingoApi, size: usize) -> (BackupFile, Vec<u8>) {
    let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
    api.serve(bytes.clone());
    api.list_backups(&[("b1", "done", Utc::now())]);
    let database = open(api).await.unwrap();
    let backups = database.backups().await.unwrap();
    assert_eq!(backups[0].size, Some(size as u64));
    (database.file(&backups[0]), bytes)
}

async fn read(file: &BackupFile, object: &Object, from: u64, to: u64) -> Result<Vec<u8>, Error> {
    let body = file.read(object, from, Some(to)).await?;
    Ok(body.try_collect::<Vec<_>>().await?.concat())
}

#[tokio::test]
async fn the_backups_of_the_one_postgresql_are_listed_with_their_states() {
    let api = ScalingoApi::start().await;
    let database = open(&api).await.unwrap();
    assert_eq!(database.addon().id, ScalingoApi::ADDON);
    assert_eq!(database.addon().resource_id, "my-app-4127");

    let backups = database.backups().await.unwrap();

    let states: Vec<BackupState> = backups.iter().map(|backup| backup.state).collect();
    use BackupState::{Done, Failed, Pending};
    assert_eq!(states, [Pending, Pending, Pending, Failed, Done]);
    let done = &backups[4];
    assert_eq!(
        (done.id.as_str(), done.name.as_str()),
        ("673daf004ffb090be1ac3ce1", "20260902010000_my-app-4127")
    );
    assert_eq!(
        (done.taken_at.to_rfc3339().as_str(), done.size),
        ("2026-09-02T01:00:00.178+00:00", Some(17_484_513_608))
    );
    assert_eq!(backups[0].size, None);
    database.backups().await.unwrap();
    assert_eq!((api.asked("/exchange").await, api.asked("/token").await), (1, 1), "tokens are kept");
}

#[tokio::test]
async fn an_addon_is_found_by_its_id_its_resource_or_its_provider() {
    let api = ScalingoApi::start().await;
    for name in [ScalingoApi::ADDON, "my-app-4127", "PostgreSQL"] {
        let mut config = api.config();
        config.addon = Some(name.to_owned());
        let database = Database::open(&config).await.unwrap();
        assert_eq!(database.addon().id, ScalingoApi::ADDON, "{name}");
    }
    let mut config = api.config();
    config.addon = Some("mysql".to_owned());
    let error = Database::open(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error.to_string().contains("no addon \"mysql\", but ad-5415beca646173000b015000 (Scalingo Redis"),
        "{error}"
    );
    api.list_addons(&json!({ "addons": [] }));
    let error = open(&api).await.unwrap_err();
    assert!(error.to_string().contains("my-app has no PostgreSQL addon, but none at all"), "{error}");
}

#[tokio::test]
async fn tokens_that_expired_are_got_again() {
    let api = ScalingoApi::start().await;
    let database = open(&api).await.unwrap();
    database.backups().await.unwrap();
    api.expire_tokens();
    assert_eq!(database.backups().await.unwrap().len(), 5);
    assert_eq!(
        (api.asked("/exchange").await, api.asked("/token").await),
        (2, 3),
        "one addon token was refused for its bearer"
    );
}

#[tokio::test]
async fn a_token_that_is_refused_again_at_once_is_not_asked_for_forever() {
    let api = ScalingoApi::start().await;
    let database = open(&api).await.unwrap();
    for _ in 0..2 {
        api.fail_once("/backups", 401, "error_401.json");
    }
    let error = database.backups().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.operator_hint().unwrap().contains("SCALINGO_API_TOKEN"), "{error}");
    assert_eq!(api.asked("/backups").await, 2);
}

#[tokio::test]
async fn every_documented_refusal_is_a_sentence_with_a_hint() {
    let api = ScalingoApi::start().await;
    let database = open(&api).await.unwrap();
    for (status, body, kind, said, hint) in [
        (
            400,
            "error_400.json",
            ErrorKind::Rejected,
            "400 Bad Request: There was a problem in the JSON",
            "please report it",
        ),
        (
            402,
            "error_402.json",
            ErrorKind::Rejected,
            "Sorry, you need to verify",
            "https://my.scalingo.com/apps/billing",
        ),
        (403, "error_403.json", ErrorKind::Rejected, "you are not allowed", "collaborator"),
        (404, "error_404.json", ErrorKind::Rejected, "404 Not Found: app not found", "SCALINGO_REGION"),
        (409, "error_409.json", ErrorKind::Unavailable, "An operation is already running", "tried again"),
        (
            422,
            "error_422.json",
            ErrorKind::Rejected,
            "app missing field name should contain",
            "please report it",
        ),
        (
            429,
            "error_429.txt",
            ErrorKind::Unavailable,
            "429 Too Many Requests: Retry later",
            "60 requests a minute",
        ),
        (
            500,
            "error_500.json",
            ErrorKind::Unavailable,
            "Internal error occured, we're on it!",
            "tried again",
        ),
        (503, "error_503.html", ErrorKind::Unavailable, "503 Service Unavailable", "tried again"),
        (200, "error_503.html", ErrorKind::Unavailable, "something that is not JSON", "SCALINGO_REGION"),
        (200, "addons.json", ErrorKind::Data, "is not as documented", "please report it"),
    ] {
        api.fail_once("/backups", status, body);
        let error = database.backups().await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(
            text.starts_with("cannot list the backups of the addon ad-6520cfdb757284001c126111: "),
            "{text}"
        );
        assert!(text.contains(said) && !text.contains('\n') && !text.contains('<'), "{text}");
        assert!(error.operator_hint().unwrap().contains(hint), "{text}: {:?}", error.operator_hint());
    }
    assert_eq!(database.backups().await.unwrap().len(), 5);
}

#[tokio::test]
async fn each_of_the_requests_says_which_one_failed_and_none_says_a_token() {
    for (path_end, doing) in [
        ("/exchange", "cannot exchange the API token"),
        ("/addons", "cannot list the addons of the application my-app"),
        ("/token", "cannot get a token for the addon ad-6520cfdb757284001c126111"),
        ("/backups", "cannot list the backups of the addon"),
        ("/archive", "cannot get the download link of the backup 2"),
    ] {
        let api = ScalingoApi::start().await;
        // What a server must not do, but may: repeat what it was sent.
        let gossip =
            json!({ "error": format!("refused: {} bearer-t0ken-1 addon-t0ken-1", ScalingoApi::TOKEN) });
        api.answer_once(path_end, ResponseTemplate::new(403).set_body_json(gossip));
        let error = first_failure(&api).await;
        assert!(error.to_string().starts_with(doing), "{error}");
        let sent = match path_end {
            "/exchange" => ScalingoApi::TOKEN,
            "/addons" | "/token" => "bearer-t0ken-1",
            _ => "addon-t0ken-1",
        };
        let seen = format!("{error} {error:?}");
        assert!(seen.contains("***") && !seen.contains(sent), "{path_end}: {seen}");
    }
}

async fn first_failure(api: &ScalingoApi) -> Error {
    let went = async {
        let database = open(api).await?;
        let backups = database.backups().await?;
        database.file(&backups[4]).look().await
    };
    went.await.unwrap_err()
}

#[tokio::test]
async fn a_wrong_api_token_is_named_by_its_variable_only() {
    let api = ScalingoApi::start().await;
    let mut config = api.config();
    config.token = Some(Secret::new("tk-us-wr0ng"));
    let error = Database::open(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().ends_with("401 Unauthorized: Invalid credentials"), "{error}");
    assert!(error.operator_hint().unwrap().starts_with("check SCALINGO_API_TOKEN"));
    assert!(!format!("{error:?} {config:?}").contains("wr0ng"));
}

#[tokio::test]
async fn an_unknown_application_leads_to_its_variables() {
    let api = ScalingoApi::start().await;
    let mut config = api.config();
    config.app = Some("another-app".to_owned());
    let error = Database::open(&config).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("application another-app: 127.0.0.1 answered 404 Not Found: app not found"),
        "{error}"
    );
    assert!(error.operator_hint().unwrap().contains("SCALINGO_APP and SCALINGO_REGION"));
}

#[tokio::test]
async fn a_redirect_takes_no_token_elsewhere() {
    let (api, elsewhere) = (ScalingoApi::start().await, ScalingoApi::start().await);
    let [.., (_, there)] = elsewhere.variables();
    api.answer_once(
        "/addons",
        ResponseTemplate::new(302).insert_header("location", format!("{there}/v1/apps")),
    );
    let error = open(&api).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.operator_hint().unwrap().contains("SCALINGO_API_URL"));
    assert_eq!(elsewhere.asked("").await, 0);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_named_and_tried_again() {
    let api = ScalingoApi::start().await;
    let mut config = api.config();
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.auth_url = format!("http://{free}").parse().unwrap();
    let error = Database::open(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(
        error.to_string().starts_with("cannot exchange the API token: no whole answer from 127.0.0.1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_link_that_expires_in_the_middle_of_a_download_is_replaced() {
    let api = ScalingoApi::start().await;
    let (file, bytes) = archive(&api, 1000).await;
    let object = file.look().await.unwrap();
    assert_eq!((object.size, object.has_ranges), (Some(1000), true));
    assert_eq!(object.tag.as_deref(), Some("\"archive-1000\""));
    api.let_links_expire_after(2);
    api.expire_tokens();
    let mut got = Vec::new();
    for from in (0..1000).step_by(100) {
        got.extend(read(&file, &object, from, from + 100).await.unwrap());
    }
    assert_eq!(got, bytes);
    assert_eq!(
        api.asked("/archive").await,
        1 + 1 + 4,
        "the link of the look, one refused for its token, one more for each two parts"
    );
}

#[tokio::test]
async fn readers_that_find_the_link_expired_at_once_ask_for_one_new_one() {
    let api = ScalingoApi::start().await;
    let (file, bytes) = archive(&api, 400).await;
    let object = file.look().await.unwrap();
    let before = api.asked("/archive").await;
    api.expire_link();
    let parts = (0..4).map(|part| read(&file, &object, part * 100, part * 100 + 100));
    assert_eq!(futures::future::try_join_all(parts).await.unwrap().concat(), bytes);
    assert_eq!(api.asked("/archive").await, before + 1);
}

#[tokio::test]
async fn a_download_goes_on_when_link_and_tokens_expire_in_the_middle() {
    let api = ScalingoApi::start().await;
    let (file, bytes) = archive(&api, 3 << 20).await;
    let object = file.look().await.unwrap();
    let pace = Pace { part_bytes: 64 << 10, ..Pace::default() };
    let mut download = Download::with_pace(Arc::new(file), object, pace);
    let mut got = vec![0; 100_000];
    download.read_exact(&mut got).await.unwrap();

    // No more than a few parts are ahead of the reader: most of the archive is asked for from now on.
    api.expire_link();
    api.expire_tokens();
    download.read_to_end(&mut got).await.unwrap();

    assert!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
    assert_eq!((api.asked("/exchange").await, api.asked("/archive").await), (2, 3));
}

#[tokio::test]
async fn a_new_link_that_is_refused_as_well_is_an_error_without_the_link() {
    let api = ScalingoApi::start().await;
    let (file, _) = archive(&api, 10).await;
    api.let_links_expire_after(0);
    let error = file.look().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    assert_eq!(api.asked("/archive").await, 2);
    let seen = format!("{error} {error:?} {file:?}");
    for token in api.tokens() {
        assert!(!seen.contains(&token), "{token} in {seen}");
    }
}
