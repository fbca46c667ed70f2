//! One throw-away PostgreSQL cluster for the whole binary, a database for each test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nightferry::adapters::postgres::Database;
use nightferry::config::DatabaseUrl;

/// Serves until its standard input is closed, which the kernel does however the tests end. A server refuses root.
const SERVE: &str = r#"
bin=$1 dir=$(mktemp -d /tmp/nightferry-it.XXXXXX)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; as() { runuser -u postgres -- "$@"; }; fi
as "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C -N >/dev/null
as "$bin/pg_ctl" -D "$dir/data" -w -s -l "$dir/log" \
  -o "-c listen_addresses='' -k $dir -c fsync=off -c max_wal_size=4GB -c max_connections=60" start </dev/null || cat "$dir/log" >&2
echo "$dir"
cat >/dev/null
as "$bin/pg_ctl" -D "$dir/data" -s -m immediate stop
rm -rf "$dir"
"#;

pub(crate) struct Cluster {
    folder: String,
    _guard: Child,
}

impl Cluster {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&bin()))
    }

    /// A cluster of its own, of this version.
    pub(crate) fn start(bin: &std::path::Path) -> Self {
        let mut guard = Command::new("sh")
            .args(["-c", SERVE, "serve"])
            .arg(bin)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // An interrupted test run must not take the one that cleans up along.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut folder = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut folder).unwrap();
        let folder = folder.trim().to_owned();
        assert!(!folder.is_empty(), "the cluster did not start");
        Self { folder, _guard: guard }
    }

    pub(crate) fn url(&self, database: &str) -> DatabaseUrl {
        DatabaseUrl::parse(&format!("postgres:///{database}?host={}&user=postgres", self.folder)).unwrap()
    }

    /// A new, empty database.
    pub(crate) async fn database(&self) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut session = Database::new(&self.url("postgres"), "test").unwrap().connect().await.unwrap();
        session.execute(&format!("create database {name} template template0")).await.unwrap();
        Database::new(&self.url(&name), "test").unwrap()
    }
}

/// The server and client programs: `PG_BIN_DIR`, else the newest of Debian's folders.
pub(crate) fn bin() -> PathBuf {
    if let Some(folder) = std::env::var_os("PG_BIN_DIR") {
        return folder.into();
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("bin"))
        .collect();
    found.sort();
    found.pop().unwrap()
}

/// The folders of other versions' programs, where `NIGHTFERRY_TEST_PG_BINS` lists them (separated by colons), and `bin`.
pub(crate) fn all_bins() -> Vec<PathBuf> {
    let others = std::env::var_os("NIGHTFERRY_TEST_PG_BINS").unwrap_or_default();
    std::env::split_paths(&others).filter(|path| !path.as_os_str().is_empty()).chain([bin()]).collect()
}

/// What psql prints for a query, unaligned.
pub(crate) fn ask(database: &Database, sql: &str) -> String {
    let output = Command::new(bin().join("psql"))
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .envs(database.url().libpq_environment())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
