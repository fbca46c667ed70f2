//! A real S3 server in the test's own process: its objects are files of a folder, signatures are checked, and requests of a test's
//! choice are refused, held, or the end of it.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The key that may do everything, and its secret.
pub(crate) const KEYS: [&str; 2] = ["TESTKEY", "s3cr3t-of-the-bucket"];
/// The key that may only read, and its secret.
pub(crate) const READER_KEYS: [&str; 2] = ["READERKEY", "s3cr3t-of-a-reader"];
/// The bucket that is there from the start.
pub(crate) const BUCKET: &str = "backups";

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A server error, which may pass.
    Unavailable,
    /// It is not allowed.
    Denied,
    /// It is never answered.
    Held,
    /// The server is gone, with all that it was doing.
    Death,
    /// The object was damaged on the server's disk: one bit is another one.
    Damaged,
}

/// A server. Gone when dropped.
#[derive(Debug)]
pub(crate) struct S3Server {
    runtime: Option<Runtime>,
    gate: Arc<Gate>,
    folder: PathBuf,
    port: u16,
}

/// From which request to which.
type Calls = (Bound<usize>, Bound<usize>);

#[derive(Debug, Default)]
struct Gate {
    dead: CancellationToken,
    seen: Mutex<BTreeMap<String, usize>>,
    faults: Mutex<Vec<(String, Calls, Fault)>>,
}

impl S3Server {
    /// Starts a server whose files are in `folder`, on this port; 0 is a free one.
    pub(crate) fn start(folder: &Path, port: u16) -> Self {
        std::fs::create_dir_all(folder.join(BUCKET)).unwrap();
        let gate = Arc::new(Gate::default());
        let mut keys = SimpleAuth::new();
        for [key, secret] in [KEYS, READER_KEYS] {
            keys.register(key.to_owned(), secret.into());
        }
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
        service.set_auth(keys);
        service.set_access(Access { gate: gate.clone(), folder: folder.to_owned() });
        // Threads of its own: a test may block its own thread.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(serve(listener, service.build(), gate.dead.clone()));
        Self { runtime: Some(runtime), gate, folder: folder.to_owned(), port }
    }

    /// The settings of a push into it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("S3_ENDPOINT", self.url()),
            ("S3_ACCESS_KEY", KEYS[0].to_owned()),
            ("S3_SECRET_ACCESS_KEY", KEYS[1].to_owned()),
            ("S3_BUCKET_NAME", BUCKET.to_owned()),
            ("S3_OBJECT_NAME_PREFIX", "nightly/app".to_owned()),
        ]
    }

    /// The port that it answers on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The value for `S3_ENDPOINT`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What requests for this operation (`UploadPart`) meet, by their number from 1 on; the SDK's own new tries count.
    pub(crate) fn on(&self, operation: &str, calls: impl RangeBounds<usize>, fault: Fault) {
        let calls = (calls.start_bound().cloned(), calls.end_bound().cloned());
        self.gate.faults.lock().unwrap().push((operation.to_owned(), calls, fault));
    }

    /// How many requests for this operation have come.
    pub(crate) fn seen(&self, operation: &str) -> usize {
        self.gate.seen.lock().unwrap().get(operation).copied().unwrap_or_default()
    }

    /// A file of the bucket: the bytes of an object, whatever wrote them.
    pub(crate) fn file(&self, key: &str) -> PathBuf {
        self.folder.join(BUCKET).join(key)
    }

    /// The keys of the bucket's objects, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let bucket = self.folder.join(BUCKET);
        let mut keys = Vec::new();
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    keys.push(entry.path().strip_prefix(&bucket).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        keys.sort();
        keys
    }

    /// What there is of uploads that were neither finished nor aborted: their parts, and what they begin with. A part that was on its way when
    /// its upload was aborted is not counted: this server keeps its file where others refuse it.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_late = |name: &str| {
            let upload = name.strip_prefix(".upload_id-").and_then(|rest| rest.split_once(".part-"));
            upload.is_some_and(|(id, _)| !self.folder.join(format!(".upload-{id}.json")).exists())
        };
        let is_of_upload = |name: &String| name.starts_with(".upload") || name.starts_with(".tmp.");
        names.filter(is_of_upload).filter(|name| !is_late(name)).collect()
    }

    /// Ends at once, as a killed process does: connections break, and nobody listens any more.
    pub(crate) fn die(&mut self) {
        self.gate.dead.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.die();
    }
}

async fn serve(listener: std::net::TcpListener, service: S3Service, dead: CancellationToken) {
    let listener = TcpListener::from_std(listener).unwrap();
    let accept = async {
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            // As every server does: the last bytes of an answer are not to wait for the peer's word.
            let _ = socket.set_nodelay(true);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone());
            tokio::spawn(dead.clone().run_until_cancelled_owned(connection));
        }
    };
    dead.run_until_cancelled(accept).await;
}

struct Access {
    gate: Arc<Gate>,
    folder: PathBuf,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = request.s3_op().name().to_owned();
        let fault = self.gate.fault(&operation);
        let is_read = ["Get", "Head", "List"].iter().any(|verb| operation.starts_with(verb));
        match (request.credentials().map(|keys| keys.access_key.as_str()), fault) {
            (None, _) | (_, Some(Fault::Denied)) => Err(s3_error!(AccessDenied)),
            (Some(key), _) if key == READER_KEYS[0] && !is_read => Err(s3_error!(AccessDenied)),
            (_, None) => Ok(()),
            (_, Some(Fault::Unavailable)) => Err(s3_error!(ServiceUnavailable, "one moment")),
            (_, Some(Fault::Held)) => std::future::pending().await,
            (_, Some(Fault::Damaged)) => {
                let (_, key) = request.s3_path().as_object().unwrap();
                let path = self.folder.join(BUCKET).join(key);
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(path, bytes).unwrap();
                Ok(())
            }
            (_, Some(Fault::Death)) => {
                self.gate.dead.cancel();
                std::future::pending().await
            }
        }
    }
}

impl Gate {
    fn fault(&self, operation: &str) -> Option<Fault> {
        let mut seen = self.seen.lock().unwrap();
        let number = seen.entry(operation.to_owned()).or_default();
        *number += 1;
        let faults = self.faults.lock().unwrap();
        faults
            .iter()
            .find(|(name, calls, _)| name == operation && calls.contains(number))
            .map(|(_, _, fault)| *fault)
    }
}
