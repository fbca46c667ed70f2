//! A bucket of a real S3 server: written, listed, read, copied, and every way in which it refuses.

use std::io::Cursor;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::TryStreamExt;
use nightferry::adapters::objects::s3::{Bucket, Original};
use nightferry::adapters::objects::{Object, Remote, into_io};
use nightferry::config::{S3, Secret};
use nightferry::error::{Error, ErrorKind};
use tempfile::TempDir;
use tokio::io::{AsyncRead, ReadBuf};

use crate::support::pushes::text;
use crate::support::s3::{BUCKET, Fault, KEYS, READER_KEYS, S3Server};
use crate::support::until;

/// A server, and the folder that goes with it.
struct Ground {
    server: S3Server,
    folder: TempDir,
}

impl Ground {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { server: S3Server::start(folder.path(), 0), folder }
    }

    fn settings(&self, [key, secret]: [&str; 2]) -> S3 {
        let endpoint = Some(self.server.url().parse().unwrap());
        S3 { endpoint, region: None, keys: Some((key.to_owned(), Secret::new(secret))) }
    }

    async fn open(&self, keys: [&str; 2], bucket: &str) -> Bucket {
        Bucket::open(&self.settings(keys), bucket).await.unwrap()
    }

    async fn bucket(&self) -> Bucket {
        self.open(KEYS, BUCKET).await
    }

    /// The server sees a connection that is gone a moment later.
    async fn nothing_is_unfinished(&self) {
        until("unfinished uploads to go", async || self.server.unfinished().is_empty().then_some(())).await;
    }
}

/// Bytes of which no part is like another.
fn bytes(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

async fn read(remote: &impl Remote, object: &Object, from: u64, to: Option<u64>) -> Result<Vec<u8>, Error> {
    let pieces: Vec<bytes::Bytes> = remote.read(object, from, to).await?.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn what_is_uploaded_is_read_back_whole_and_in_ranges() {
    let ground = Ground::new();
    let bucket = ground.bucket().await;
    let content = bytes(20 * 1024 * 1024 + 17);
    let written = bucket.upload("nightly/é app+1", Cursor::new(&content)).await.unwrap();
    assert_eq!(written.bytes, content.len() as u64);
    assert_eq!(ground.server.seen("UploadPart"), 3);

    let remote = bucket.object("nightly/é app+1");
    let object = remote.look().await.unwrap();
    assert_eq!((object.name.as_str(), object.size), ("nightly/é app+1", Some(content.len() as u64)));
    assert!(object.tag.is_some() && object.modified.is_some() && object.has_ranges, "{object:?}");
    assert_eq!(read(&remote, &object, 0, None).await.unwrap(), content);
    assert_eq!(read(&remote, &object, 7, Some(4_000_000)).await.unwrap(), content[7..4_000_000]);
    assert_eq!(read(&remote, &object, 20_000_000, None).await.unwrap(), content[20_000_000..]);
    assert_eq!(read(&remote, &object, 0, Some(1)).await.unwrap(), content[..1]);
    assert_eq!(read(&remote, &object, 5, Some(5)).await.unwrap(), Vec::<u8>::new());
}

#[tokio::test]
async fn an_object_of_no_bytes_is_one_too() {
    let ground = Ground::new();
    let bucket = ground.bucket().await;
    bucket.upload("empty", tokio::io::empty()).await.unwrap();
    let remote = bucket.object("empty");
    let object = remote.look().await.unwrap();
    assert_eq!(object.size, Some(0));
    assert_eq!(read(&remote, &object, 0, None).await.unwrap(), Vec::<u8>::new());
}

#[tokio::test]
async fn a_copy_has_the_same_bytes_and_the_metadata_that_only_the_end_knows() {
    let ground = Ground::new();
    let bucket = ground.bucket().await;
    let content = bytes(9 * 1024 * 1024);
    let written = bucket.upload("app-20261120-010203.unverified", Cursor::new(&content)).await.unwrap();
    let tag = bucket.object("app-20261120-010203.unverified").look().await.unwrap().tag;
    let from = Original { key: "app-20261120-010203.unverified", tag: tag.as_deref(), size: written.bytes };
    let metadata = [("sha256", written.sha256.as_str())];
    bucket.copy(from, "nightly/app é-20261120-010203", &metadata).await.unwrap();
    bucket.copy_in_parts(from, "in-parts", &metadata, 5 * 1024 * 1024).await.unwrap();
    assert_eq!((ground.server.seen("CopyObject"), ground.server.seen("UploadPartCopy")), (1, 2));
    for name in ["nightly/app é-20261120-010203", "in-parts"] {
        let remote = bucket.object(name);
        let object = remote.look().await.unwrap();
        assert_eq!(object.sha256.as_ref(), Some(&written.sha256));
        assert_eq!(read(&remote, &object, 0, None).await.unwrap(), content);
    }
    let other = Original { tag: Some("\"another\""), ..from };
    let error = bucket.copy(other, "other", &metadata).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(ground.server.unfinished(), Vec::<String>::new());
}

#[tokio::test]
async fn a_list_has_every_finished_object_below_a_prefix_over_all_its_pages() {
    let ground = Ground::new();
    std::fs::create_dir(ground.server.file("nightly")).unwrap();
    let names: Vec<String> = (0..1_203).map(|number| format!("nightly/app-{number:04}")).collect();
    for name in names.iter().map(String::as_str).chain(["other", "nightly/app-20261120-010203.unverified"]) {
        std::fs::write(ground.server.file(name), name).unwrap();
    }
    let listed = ground.bucket().await.backups("nightly/app-").await.unwrap();
    assert_eq!(listed.iter().map(|backup| backup.id.clone()).collect::<Vec<_>>(), names);
    assert!(listed.iter().all(|backup| backup.size == Some(16)), "{listed:?}");
    assert_eq!(ground.server.seen("ListObjectsV2"), 2);
    ground.bucket().await.delete("nightly/app-0000").await.unwrap();
    ground.bucket().await.delete("nightly/never-there").await.unwrap();
    assert_eq!(ground.bucket().await.backups("nightly/app-").await.unwrap().len(), names.len() - 1);
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_no_mixture() {
    let ground = Ground::new();
    let bucket = ground.bucket().await;
    bucket.upload("app", Cursor::new(bytes(100))).await.unwrap();
    let remote = bucket.object("app");
    let object = remote.look().await.unwrap();
    bucket.upload("app", Cursor::new(bytes(90))).await.unwrap();
    let error = read(&remote, &object, 10, Some(50)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("was replaced while it was read"), "{error}");
}

/// What the service says of each wrong setting, in which words, and what the operator is told to do.
#[tokio::test]
async fn each_refusal_says_what_is_wrong_and_never_a_secret() {
    let ground = Ground::new();
    ground.bucket().await.upload("there", Cursor::new(bytes(10))).await.unwrap();
    let [key, secret] = KEYS;
    for (keys, name, what, hint, kind) in [
        (
            [key, "wr0ng-s3cr3t"],
            BUCKET,
            "the signature is wrong",
            "S3_SECRET_ACCESS_KEY",
            ErrorKind::Configuration,
        ),
        (["NOBODY", secret], BUCKET, "the key is not known", "S3_ACCESS_KEY", ErrorKind::Configuration),
        (KEYS, "nowhere", "there is no such bucket", "S3_BUCKET_NAME", ErrorKind::Configuration),
    ] {
        let bucket = ground.open(keys, name).await;
        let error = bucket.backups("").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().starts_with(&format!("cannot list bucket {name} at 127.0.0.1:")),
            "{error}"
        );
        let text = format!("{error} {} {error:?}", error.operator_hint().unwrap());
        assert!(text.contains(what) && text.contains(hint), "{text}");
        assert!(!text.contains(secret) && !text.contains("wr0ng"), "{text}");
        if name == BUCKET {
            // An answer to HEAD has no body: the reason is asked for.
            let error = bucket.object("there").look().await.unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }
    let error = ground.bucket().await.object("missing").look().await.unwrap_err();
    assert!(error.to_string().contains("there is no such object (NoSuchKey)"), "{error}");
    let reader = ground.open(READER_KEYS, BUCKET).await;
    reader.object("there").look().await.unwrap();
    let error = reader.may_write("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Privilege);
    assert!(error.operator_hint().unwrap().contains("s3:PutObject"), "{error}");
}

#[tokio::test]
async fn whether_one_may_write_is_found_without_writing() {
    let ground = Ground::new();
    ground.bucket().await.may_write("x").await.unwrap();
    assert_eq!(ground.server.keys(), Vec::<String>::new());
    assert_eq!(ground.server.unfinished(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_connection_error_with_its_host() {
    let mut ground = Ground::new();
    let bucket = ground.bucket().await;
    ground.server.die();
    let error = bucket.backups("").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(error.to_string().contains("at 127.0.0.1:"), "{error}");
    assert!(error.operator_hint().unwrap().contains("S3_ENDPOINT"));
}

#[tokio::test]
async fn a_server_error_is_asked_again() {
    let ground = Ground::new();
    ground.server.on("UploadPart", 2..=3, Fault::Unavailable);
    ground.server.on("CompleteMultipartUpload", 1..=1, Fault::Unavailable);
    let content = bytes(17 * 1024 * 1024);
    ground.bucket().await.upload("app", Cursor::new(&content)).await.unwrap();
    assert_eq!(std::fs::read(ground.server.file("app")).unwrap(), content);
    assert_eq!(ground.server.seen("UploadPart"), 5);
}

/// So many bytes, then an error or nothing any more.
struct Cut {
    left: usize,
    then: Option<Error>,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let size = buffer.remaining().min(self.left);
        if size == 0 {
            return self.then.take().map_or(Poll::Pending, |error| Poll::Ready(Err(into_io(error))));
        }
        buffer.initialize_unfilled_to(size).fill(7);
        buffer.advance(size);
        self.left -= size;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_stream_that_fails_leaves_nothing_and_its_error_is_given() {
    let ground = Ground::new();
    let failure = Error::new(ErrorKind::Tool, "pg_dump failed").hint("ask it why");
    let error = ground
        .bucket()
        .await
        .upload("app", Cut { left: 50 * 1024 * 1024, then: Some(failure) })
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Tool, "pg_dump failed"));
    assert_eq!(error.operator_hint(), Some("ask it why"));
    assert!(ground.server.seen("UploadPart") >= 1);
    assert_eq!(ground.server.keys(), Vec::<String>::new());
    ground.nothing_is_unfinished().await;
}

#[tokio::test]
async fn an_upload_that_is_dropped_is_aborted() {
    let ground = Ground::new();
    let bucket = ground.bucket().await;
    let upload = bucket.upload("app", Cut { left: 20 * 1024 * 1024, then: None });
    let dropped = async {
        until("two parts to arrive", async || (ground.server.seen("UploadPart") == 2).then_some(())).await;
    };
    tokio::select! {
        result = upload => panic!("{result:?}"),
        () = dropped => {}
    }
    ground.nothing_is_unfinished().await;
    assert_eq!(ground.server.seen("AbortMultipartUpload"), 1);
    assert_eq!(ground.server.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_part_that_is_refused_ends_the_upload_and_leaves_nothing() {
    let ground = Ground::new();
    ground.server.on("UploadPart", 3.., Fault::Denied);
    let error = ground.bucket().await.upload("app", Cursor::new(bytes(40 * 1024 * 1024))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Privilege, "{error}");
    assert!(error.to_string().contains("of app to bucket backups at 127.0.0.1:"), "{error}");
    ground.nothing_is_unfinished().await;
}

#[tokio::test]
async fn what_killed_pushes_left_is_removed_when_it_is_old_and_ours() {
    let ground = Ground::new();
    let bucket = ground.bucket().await;
    let ours = ["app-20261118-010203.unverified", "app-20261119-010203.unverified"];
    let others = ["app-20261118-010203", "app-eu-20261118-010203.unverified", "app-x.unverified", "app"];
    for name in ours.into_iter().chain(others) {
        std::fs::write(ground.server.file(name), "x").unwrap();
    }
    let now = chrono::Utc::now();
    let day = chrono::TimeDelta::days(1);
    assert_eq!(bucket.remove_leftovers("app", now - day).await.unwrap(), 0);
    assert_eq!(bucket.remove_leftovers("app", now + day).await.unwrap(), 2);
    let mut left = others.map(str::to_owned);
    left.sort();
    assert_eq!(ground.server.keys(), left);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_no_end() {
    let mut ground = Ground::new();
    let bucket = ground.bucket().await;
    bucket.upload("app", Cursor::new(bytes(30 * 1024 * 1024))).await.unwrap();
    let remote = bucket.object("app");
    let object = remote.look().await.unwrap();
    let body = remote.read(&object, 0, None).await.unwrap();
    ground.server.die();
    let error = body.try_fold(0, async |sum, bytes| Ok(sum + bytes.len())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(error.to_string().contains("the reading of app from bucket backups"), "{error}");
}

#[tokio::test]
async fn a_stream_of_many_parts_is_read_no_faster_than_it_is_sent() {
    let ground = Ground::new();
    ground.server.on("UploadPart", .., Fault::Held);
    let bucket = ground.bucket().await;
    let mut taken = Counted::default();
    tokio::select! {
        result = bucket.upload("app", &mut taken) => panic!("{result:?}"),
        () = async {
            until("four parts to be held", async || (ground.server.seen("UploadPart") == 4).then_some(())).await;
            // The fifth is read and waits for room.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        } => {}
    }
    assert!(taken.bytes <= 5 * 8 * 1024 * 1024, "{} bytes are in memory", taken.bytes);
}

/// Bytes without an end, counted.
#[derive(Default)]
struct Counted {
    bytes: u64,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let size = buffer.remaining();
        buffer.initialize_unfilled().fill(7);
        buffer.advance(size);
        self.bytes += size as u64;
        Poll::Ready(Ok(()))
    }
}

/// `backup list` with AWS's chain instead of keys of our own.
async fn list_by_chain(ground: &Ground, extra: &[(&str, &str)]) -> std::process::Output {
    let url = ground.server.url();
    let settings = [
        ("S3_ENDPOINT", url.as_str()),
        ("S3_BUCKET_NAME", BUCKET),
        ("SOURCE_DATABASE_URL", "postgres://nobody@127.0.0.1:1/app"),
        ("TARGET_DATABASE_URL", "postgres://nobody@127.0.0.1:1/dw"),
        // The machine's role is asked for by a request to the network.
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nightferry"));
    command.args(["backup", "list"]).env_clear().envs(settings).envs(extra.iter().copied());
    command.current_dir(ground.folder.path());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn without_keys_the_chain_of_aws_is_asked() {
    let ground = Ground::new();
    let [key, secret] = KEYS;
    let output =
        list_by_chain(&ground, &[("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)]).await;
    assert_eq!(text(&output), "There is no backup.\n");
    let output = list_by_chain(&ground, &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("nothing gives a key\nhint: set S3_ACCESS_KEY"), "{}", text(&output));
    let keys = [("S3_ENDPOINT", ""), ("S3_ACCESS_KEY", key), ("S3_SECRET_ACCESS_KEY", secret)];
    let output = list_by_chain(&ground, &keys).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("nothing names the region of the bucket\nhint: set S3_REGION"),
        "{}",
        text(&output)
    );
}
