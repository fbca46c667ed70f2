//! Files from a server over HTTP: with ranges and without, cut, stalled, replaced, refused; and what is wrapped inside.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nightferry::adapters::http::file::HttpFile;
use nightferry::adapters::objects::{Download, Object, Pace, Remote, from_io, unwrap};
use nightferry::adapters::postgres::archive::{Archive, Checked};
use nightferry::config::ObjectUrl;
use nightferry::error::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::support::{Asked, End, Fault, FileServer, Manner, TestNight, until};

/// Some parts of the test's pace, and no round number.
const SIZE: usize = 1_234_567;

fn content() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(3);
    std::iter::repeat_with(|| random.u8(..)).take(SIZE).collect()
}

fn pace() -> Pace {
    Pace { part_bytes: 100_000, parts: 4, tries: 4, first_pause: Duration::from_millis(1) }
}

fn file_at(url: &str) -> Arc<HttpFile> {
    let file = HttpFile::new(ObjectUrl::parse(url).unwrap(), "backup.dump").unwrap();
    Arc::new(file.stall_timeout(Duration::from_secs(30)))
}

/// Downloads all of it.
async fn fetch(file: Arc<HttpFile>) -> Result<Vec<u8>> {
    let object = file.look().await?;
    fetch_object(file, object).await
}

async fn fetch_object(file: Arc<HttpFile>, object: Object) -> Result<Vec<u8>> {
    let mut download = Download::with_pace(file, object, pace());
    let progress = download.progress();
    let mut bytes = Vec::new();
    download.read_to_end(&mut bytes).await.map_err(|error| from_io(error, "reading"))?;
    assert_eq!(progress.bytes(), bytes.len() as u64);
    Ok(bytes)
}

/// What a server is refused with; every error has a hint, names the host and no secret.
async fn refused(server: &FileServer) -> Error {
    let error = fetch(file_at(&server.url())).await.unwrap_err();
    let text = format!("{error} {:?} {error:?}", error.operator_hint());
    assert!(error.operator_hint().is_some() && !text.contains("hush") && !text.contains("s3cret"), "{text}");
    error
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_file_comes_in_parts_side_by_side_and_in_order() {
    let server = FileServer::of(Manner::good(content())).await;
    let file = file_at(&server.url());
    let object = file.look().await.unwrap();
    assert_eq!(
        (object.size, object.has_ranges, object.tag.as_deref(), object.sha256.as_deref()),
        (Some(SIZE as u64), true, Some("\"first\""), None)
    );
    assert!(fetch_object(file, object).await.unwrap() == content());
    assert!((2..=5).contains(&server.most_open()), "{}", server.most_open());
    let ranges: BTreeSet<(usize, usize)> =
        server.asked()[1..].iter().map(|asked| asked.range.unwrap()).collect();
    assert_eq!(ranges.len(), server.asked().len() - 1, "a part was asked for twice");
    assert_eq!(ranges.first().unwrap().0, 0);
    assert_eq!(ranges.last().unwrap().1, SIZE);
    let plain = |asked: &Asked| {
        asked.headers["accept-encoding"] == "identity" && !asked.headers.contains_key("referer")
    };
    assert!(server.asked().iter().all(plain));
}

#[tokio::test]
async fn a_file_comes_whole_from_a_server_without_ranges_however_it_ends() {
    for (end, size) in [(End::Length, Some(SIZE as u64)), (End::Chunked, None), (End::Closing, None)] {
        let server = FileServer::of(Manner { ranges: false, end, ..Manner::good(content()) }).await;
        let file = file_at(&server.url());
        let object = file.look().await.unwrap();
        assert_eq!((object.size, object.has_ranges), (size, false), "{end:?}");
        assert!(fetch_object(file, object).await.unwrap() == content(), "{end:?}");
        assert_eq!(server.asked().len(), 2);
    }
}

#[tokio::test]
async fn an_empty_file_is_empty() {
    for ranges in [true, false] {
        let server = FileServer::of(Manner { ranges, ..Manner::good(Vec::new()) }).await;
        assert_eq!(fetch(file_at(&server.url())).await.unwrap(), [0; 0]);
    }
}

#[tokio::test]
async fn fifty_cuts_at_random_places_change_nothing() {
    let good =
        Manner { headers: vec![("x-amz-meta-sha256".into(), hex(&content()))], ..Manner::good(content()) };
    let mut random = fastrand::Rng::with_seed(50);
    let mut cuts = 0;
    let server = FileServer::scripted(move |asked| {
        let (from, to) = asked.range.unwrap();
        // A single byte cannot be cut.
        if asked.number == 0 || cuts == 50 || to - from == 1 {
            return good.clone();
        }
        cuts += 1;
        good.but(Fault::Cut(random.usize(1..to - from)))
    })
    .await;
    assert!(fetch(file_at(&server.url())).await.unwrap() == content());
    let asked = server.asked();
    let ends: BTreeSet<usize> = asked[1..].iter().map(|asked| asked.range.unwrap().1).collect();
    assert_eq!(asked.len(), 1 + ends.len() + 50, "each cut is one more request");
    assert!(
        server.sent() < SIZE as u64 + 100_000,
        "what had come was not asked for again: {}",
        server.sent()
    );
}

#[tokio::test]
async fn a_cut_without_ranges_begins_anew_while_nothing_came_and_is_said_after() {
    let good = Manner { ranges: false, ..Manner::good(content()) };
    let manner = good.clone();
    let server = FileServer::scripted(move |asked| match asked.number {
        1 | 2 => manner.but(Fault::Cut(0)),
        _ => manner.clone(),
    })
    .await;
    assert!(fetch(file_at(&server.url())).await.unwrap() == content());
    for end in [End::Length, End::Chunked] {
        let server = FileServer::of(Manner { end, ..good.but(Fault::Cut(400_000)) }).await;
        let error = refused(&server).await;
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        assert!(error.operator_hint().unwrap().contains("takes no ranges"), "{error:?}");
        assert_eq!(server.asked().len(), 2);
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_in_the_middle_is_never_mixed() {
    let first = Manner::good(content());
    let other: Vec<u8> = content().iter().map(|byte| !byte).collect();
    let second = Manner { tag: Some("\"second\"".into()), bytes: Arc::new(other.clone()), ..first.clone() };
    let day = |day| Some(format!("Fri, {day} Nov 2026 04:10:05 GMT"));
    let dated = |manner: &Manner, date| Manner { tag: None, modified: day(date), ..manner.clone() };
    let longer = Manner { bytes: Arc::new([other, vec![1]].concat()), tag: None, ..first.clone() };
    for (before, after) in [
        (first.clone(), second.clone()),
        (dated(&first, 13), dated(&second, 20)),
        (Manner { tag: None, ..first.clone() }, longer),
        // A server that tells nothing, and one that only says what has the same meaning.
        (Manner { tag: Some("W/\"a\"".into()), ..dated(&first, 13) }, dated(&second, 20)),
    ] {
        for conditions in [true, false] {
            let (before, mut after) = (before.clone(), after.clone());
            after.conditions = conditions;
            let server = FileServer::scripted(
                move |asked| {
                    if asked.number < 4 { before.clone() } else { after.clone() }
                },
            )
            .await;
            let error = refused(&server).await;
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            assert!(error.to_string().contains("was replaced while it was read"), "{error}");
            assert!(error.to_string().contains(&server.host()), "{error}");
        }
    }
}

#[tokio::test]
async fn a_weak_tag_is_no_reason_not_to_read() {
    let server = FileServer::of(Manner { tag: Some("W/\"a\"".into()), ..Manner::good(content()) }).await;
    assert!(fetch(file_at(&server.url())).await.unwrap() == content());
}

#[tokio::test]
async fn a_server_that_recovers_is_waited_for_and_one_that_does_not_is_given_up() {
    let good = Manner::good(content());
    let manner = good.clone();
    let mut failures = 0;
    let server = FileServer::scripted(move |asked| {
        failures += usize::from(asked.number > 0);
        match failures {
            1 => manner.but(Fault::Status(503)),
            2 => manner.but(Fault::Status(429)),
            3 => manner.but(Fault::Shifted(1)),
            _ => manner.clone(),
        }
    })
    .await;
    assert!(fetch(file_at(&server.url())).await.unwrap() == content());

    let server =
        FileServer::scripted(
            move |asked| {
                if asked.number == 0 { good.clone() } else { good.but(Fault::Status(503)) }
            },
        )
        .await;
    let error = refused(&server).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.to_string(),
        format!("cannot read backup.dump from {}: it answered 503 Service Unavailable", server.host())
    );
    assert_eq!(server.asked().len(), 1 + 4, "four tries without a byte");
}

#[tokio::test]
async fn a_connection_that_stalls_is_left_and_the_part_goes_on_from_there() {
    let good = Manner::good(content());
    let manner = good.clone();
    let server = FileServer::scripted(move |asked| match asked.number {
        2 => manner.but(Fault::Stall(70_000)),
        _ => manner.clone(),
    })
    .await;
    let impatient = |server: &FileServer| {
        let file = HttpFile::new(ObjectUrl::parse(&server.url()).unwrap(), "backup.dump").unwrap();
        Arc::new(file.stall_timeout(Duration::from_millis(300)))
    };
    assert!(fetch(impatient(&server)).await.unwrap() == content());
    let stalled = server.asked()[2].range.unwrap();
    let goes_on = |asked: &Asked| asked.range == Some((stalled.0 + 70_000, stalled.1));
    assert!(server.asked().iter().any(goes_on), "{:?}", server.asked());

    let server = FileServer::of(good.but(Fault::Stall(0))).await;
    let file = impatient(&server);
    let object = file.look().await.unwrap();
    let error = fetch_object(file, object).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().ends_with("no byte came for 300ms"), "{error}");
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    for (status, hint) in [
        (401, "user and password"),
        (403, "ask for a new one"),
        (404, "check the path"),
        (410, "has expired"),
        (400, "open the address in a browser"),
    ] {
        let server = FileServer::of(Manner::good(content()).but(Fault::Status(status))).await;
        let error = refused(&server).await;
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        assert!(error.operator_hint().unwrap().contains(hint), "{error:?}");
        assert!(error.to_string().contains(&server.host()), "{error}");
        assert_eq!(server.asked().len(), 1, "{status} is not tried again");
    }
    let server = FileServer::of(Manner::good(content())).await;
    let url = server.url();
    drop(server);
    let error = fetch(file_at(&url)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Connection && error.operator_hint().is_some(), "{error:?}");
}

#[tokio::test]
async fn a_sum_that_does_not_fit_is_an_error_at_the_end_and_one_that_fits_is_none() {
    for (sum, fits) in [(hex(&content()), true), (hex(b"other"), false)] {
        for ranges in [true, false] {
            let headers = vec![("X-Amz-Meta-Sha256".to_owned(), sum.to_uppercase())];
            let server = FileServer::of(Manner { headers, ranges, ..Manner::good(content()) }).await;
            if fits {
                assert!(fetch(file_at(&server.url())).await.unwrap() == content());
            } else {
                let error = refused(&server).await;
                assert_eq!(error.kind(), ErrorKind::Data);
                assert!(error.to_string().contains("differs") && error.to_string().contains(&sum), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_is_followed_and_the_password_goes_to_its_own_host_only() {
    let target = FileServer::of(Manner::good(content())).await;
    let first = FileServer::of(Manner::good(Vec::new()).but(Fault::Redirect(target.url()))).await;
    let url = first.url().replace("http://", "http://me:hush@");
    assert!(fetch(file_at(&url)).await.unwrap() == content());
    assert!(first.asked().iter().all(|asked| asked.headers["authorization"].starts_with("Basic ")));
    assert!(target.asked().iter().all(|asked| !asked.headers.contains_key("authorization")));
    assert!(target.asked().iter().all(|asked| !asked.headers.contains_key("referer")));
    let circle = FileServer::of(Manner::good(Vec::new()).but(Fault::Redirect("/again".into()))).await;
    let error = refused(&circle).await;
    assert!(
        error.kind() == ErrorKind::Rejected && error.to_string().contains("redirects too often"),
        "{error}"
    );
}

#[tokio::test]
async fn who_wants_the_head_only_causes_little_traffic() {
    let server = FileServer::of(Manner::good(content())).await;
    let file = file_at(&server.url());
    let object = file.look().await.unwrap();
    let mut download = Download::start(Arc::clone(&file) as Arc<dyn Remote>, object);
    download.read_exact(&mut [0; 200_000]).await.unwrap();
    // A request that comes back: others that were sent before it would have come too.
    file.look().await.unwrap();
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.range.unwrap()).collect();
    assert_eq!(ranges, [(0, 1), (0, 256 * 1024), (0, 1)]);
}

#[tokio::test]
async fn a_download_that_is_dropped_leaves_no_connection() {
    let good = Manner::good(content());
    let server =
        FileServer::scripted(
            move |asked| {
                if asked.number < 2 { good.clone() } else { good.but(Fault::Stall(10)) }
            },
        )
        .await;
    let file = file_at(&server.url());
    let object = file.look().await.unwrap();
    let mut download = Download::start(file, object);
    download.read_exact(&mut vec![0; 256 * 1024 + 10]).await.unwrap();
    until("all parts to be asked for", async || (server.asked().len() == 5).then_some(())).await;
    assert!(server.open() >= 3);
    drop(download);
    until("the connections to end", async || (server.open() <= 1).then_some(())).await;
}

/// A real dump as it comes through a pipe, large objects in it, packed as the provider packs.
async fn packed_dump(night: &TestNight) -> (Vec<u8>, Vec<u8>) {
    night
        .source_sql(
            "select lo_from_bytea(0, convert_to(repeat('object ', 9000), 'UTF8')) from generate_series(1, 3)",
        )
        .await;
    let dump = night.source.piped_dump();
    std::fs::write(night.path("20261120.pgsql"), &dump).unwrap();
    let arguments =
        ["-C", night.path("").to_str().unwrap(), "-czf", "-", "20261120.pgsql"].map(str::to_owned);
    let packed = Command::new("tar").args(arguments).stderr(Stdio::inherit()).output().unwrap();
    assert!(packed.status.success());
    (dump, packed.stdout)
}

async fn unpack(server: &FileServer) -> Result<(Vec<u8>, Archive)> {
    let file = file_at(&server.url());
    let object = file.look().await?;
    let unwrapped = unwrap(Download::with_pace(file, object, pace()), &[]).await?;
    assert_eq!(unwrapped.wrappings(), ["gzip", "tar"]);
    let (mut checked, mut bytes) = (Checked::new(unwrapped), Vec::new());
    checked.read_to_end(&mut bytes).await.map_err(|error| from_io(error, "reading"))?;
    Ok((bytes, checked.into_archive().unwrap()))
}

#[tokio::test]
async fn a_packed_dump_is_unpacked_and_checked_while_it_comes_and_its_head_can_be_had_alone() {
    let night = TestNight::of_shapes().await;
    let (dump, packed) = packed_dump(&night).await;
    let server = FileServer::of(Manner::good(packed)).await;
    let (bytes, archive) = unpack(&server).await.unwrap();
    assert!(bytes == dump);
    assert_eq!(archive.header.dbname, night.source.name());
    let file = file_at(&server.url());
    let object = file.look().await.unwrap();
    let head = Archive::read_head(unwrap(Download::start(file, object), &[]).await.unwrap()).await.unwrap();
    assert_eq!(head.entries, archive.entries);
}

#[tokio::test]
async fn a_dump_that_was_cut_where_it_was_made_is_named_wherever_that_was() {
    let night = TestNight::of_shapes().await;
    let (dump, _) = packed_dump(&night).await;
    let path = night.path("cut.dump");
    let mut random = fastrand::Rng::with_seed(9);
    std::fs::write(&path, &dump).unwrap();
    Archive::check(&path).await.unwrap();
    // The last block is that of the large objects or of a table; without its end nothing is whole.
    for length in std::iter::repeat_with(|| random.usize(600..dump.len())).take(40).chain([dump.len() - 1]) {
        std::fs::File::create(&path).unwrap().write_all(&dump[..length]).unwrap();
        let error = Archive::check(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("it is cut at its byte "), "{error}");
    }
}

#[tokio::test]
async fn a_dump_is_whole_in_every_way_that_pg_dump_writes_it() {
    let night = TestNight::of_shapes().await;
    packed_dump(&night).await;
    for options in
        [&["-Z0"][..], &["-Z9"], &["--schema-only"], &["--data-only"], &["--blobs"], &["--inserts"]]
    {
        let path = night.path("options.dump");
        let arguments = ["-Fc", "-f", path.to_str().unwrap()].into_iter().chain(options.iter().copied());
        night.source.tool("pg_dump", arguments.map(std::ffi::OsStr::new));
        Archive::check(&path).await.unwrap_or_else(|error| panic!("{options:?}: {error}"));
    }
}
