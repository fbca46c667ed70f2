//! Throw-away PostgreSQL clusters: a shared pair for all tests, and clusters of one's own for tests that kill a server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::TestDatabase;
use super::guarded::{Guarded, new_folder};

const SUPERUSER_PASSWORD: &str = "superuser-of-the-tests";

/// A running cluster. Stopped and removed when dropped, or when the test process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Cluster {
    server: Guarded,
    tools: PathBuf,
}

impl Cluster {
    /// The cluster that holds the source databases of all tests.
    pub(crate) fn of_sources() -> &'static Self {
        static SOURCES: OnceLock<Cluster> = OnceLock::new();
        SOURCES.get_or_init(Self::start_own)
    }

    /// The cluster that holds the warehouses of all tests.
    pub(crate) fn of_warehouses() -> &'static Self {
        static WAREHOUSES: OnceLock<Cluster> = OnceLock::new();
        WAREHOUSES.get_or_init(Self::start_own)
    }

    /// A cluster for one test, which may kill it.
    pub(crate) fn start_own() -> Self {
        // A third of what the tests would compute is SCRAM: the clusters of each version have it, and the pooler.
        Self::start_as(&default_tools(), "md5")
    }

    /// A cluster of the version that this folder of programs belongs to.
    pub(crate) fn start_with(tools: &Path) -> Self {
        Self::start_as(tools, "scram-sha-256")
    }

    fn start_as(tools: &Path, authentication: &str) -> Self {
        let environment = [
            ("CLUSTER_PASSWORD", SUPERUSER_PASSWORD),
            ("CLUSTER_AUTH", authentication),
            ("PG_BIN_DIR", tools.to_str().unwrap()),
        ];
        let settings = ["max_connections=200", "max_prepared_transactions=100", "autovacuum=off"];
        let server =
            Guarded::start(include_str!("cluster.sh"), new_folder("cluster"), &settings, &environment);
        Self { server, tools: tools.to_owned() }
    }

    /// Kills the server as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.server.stop();
    }

    /// Kills every process of the server in one moment, with a signal that none of them can answer. The data stays.
    pub(crate) fn crash(&self) {
        self.server.script(include_str!("crash.sh"), &self.environment());
    }

    /// Starts a server that was crashed, on the same data and port. Comes back when it answers.
    pub(crate) fn restart(&self) {
        self.server.script(include_str!("restart.sh"), &self.environment());
    }

    fn environment(&self) -> [(&'static str, &str); 1] {
        [("PG_BIN_DIR", self.tools.to_str().unwrap())]
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    /// The folder of psql, pg_dump and pg_restore of its version.
    pub(crate) fn tools(&self) -> &Path {
        &self.tools
    }

    /// The cluster's folder, for tests of the support itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.server.folder
    }

    /// A fresh database with a fresh owner, who is no superuser and owns its schema public.
    pub(crate) async fn new_database(&self, of: &str) -> TestDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("{of}_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let owner = format!("{name}-owner");
        let password = format!("{name}/s3cr&t+é%");
        let maintenance = self.database("postgres", "postgres", SUPERUSER_PASSWORD);
        maintenance.execute(&format!("create role \"{owner}\" login password '{password}'")).await;
        maintenance.execute(&format!("create database \"{name}\" owner \"{owner}\"")).await;
        let as_superuser = self.database(&name, "postgres", SUPERUSER_PASSWORD);
        // Up to PostgreSQL 14 the schema belongs to the superuser; the owner of a real database owns it.
        as_superuser.execute(&format!("alter schema public owner to \"{owner}\"")).await;
        self.database(&name, &owner, &password)
    }

    /// The same database as its superuser sees it.
    pub(crate) fn as_superuser(&self, database: &TestDatabase) -> TestDatabase {
        self.database(&database.name(), "postgres", SUPERUSER_PASSWORD)
    }

    /// The password of its superuser, for servers that are made from it.
    pub(super) fn superuser_password() -> &'static str {
        SUPERUSER_PASSWORD
    }

    fn database(&self, name: &str, user: &str, password: &str) -> TestDatabase {
        let mut url = url::Url::parse("postgres://127.0.0.1/").unwrap();
        url.set_port(Some(self.port())).unwrap();
        url.set_username(user).unwrap();
        url.set_password(Some(password)).unwrap();
        url.set_path(name);
        TestDatabase::new(url.as_str(), &self.tools)
    }
}

/// The programs that the tests use: `PG_BIN_DIR`, else the newest that the distribution installed.
pub(crate) fn default_tools() -> PathBuf {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS
        .get_or_init(|| {
            let script = format!("{}\nfind_postgres", include_str!("../../../utils/postgres.sh"));
            let found = Command::new("bash").args(["-c", &script]).output().unwrap();
            assert!(found.status.success(), "no PostgreSQL server programs: install them or set PG_BIN_DIR");
            PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
        })
        .clone()
}

/// The folders of programs of other versions, oldest first: `NIGHTFERRY_TEST_PG_BIN_DIRS`, filled by utils/test.sh.
pub(crate) fn versions() -> Vec<PathBuf> {
    let folders = std::env::var_os("NIGHTFERRY_TEST_PG_BIN_DIRS").unwrap_or_default();
    std::env::split_paths(&folders).filter(|folder| folder.join("initdb").exists()).collect()
}

/// The folders of programs of every version, with the default one at the end.
pub(crate) fn all_tools() -> Vec<PathBuf> {
    versions().into_iter().chain([default_tools()]).collect()
}
