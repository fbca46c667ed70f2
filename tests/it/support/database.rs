//! One database of a test: statements, rows as text, scripts and dumps.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nightferry::adapters::postgres::Database;
use nightferry::config::DatabaseUrl;
use sqlx::postgres::{PgConnection, PgRow, PgValueFormat};
use sqlx::{AssertSqlSafe, Connection, Executor, Row, ValueRef};

use super::default_tools;

/// A database and the role that it is seen through.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    url: DatabaseUrl,
    tools: PathBuf,
}

impl TestDatabase {
    pub(super) fn new(url: &str, tools: &Path) -> Self {
        Self { url: DatabaseUrl::parse(url).unwrap(), tools: tools.to_owned() }
    }

    /// The same database as it is reached through another port: of a standby, of a pooler.
    pub(super) fn at_port(&self, port: u16) -> Self {
        let mut url = url::Url::parse(self.url()).unwrap();
        url.set_port(Some(port)).unwrap();
        Self::new(url.as_str(), &self.tools)
    }

    /// Its server's port.
    pub(crate) fn port(&self) -> u16 {
        url::Url::parse(self.url()).unwrap().port().unwrap()
    }

    /// Its URL through another port: of a proxy.
    pub(crate) fn url_at(&self, port: u16) -> String {
        self.at_port(port).url().to_owned()
    }

    /// Its URL, password included.
    pub(crate) fn url(&self) -> &str {
        self.url.expose()
    }

    /// The same for the product's own functions.
    pub(crate) fn seen_by_the_product(&self) -> Database {
        Database::new(&self.url, "test").unwrap()
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.url.database()
    }

    /// The role that it is seen through.
    pub(crate) fn user(&self) -> String {
        self.url.user()
    }

    /// The password in clear, to look for it where it must not be.
    pub(crate) fn password(&self) -> String {
        self.url.libpq_environment()["PGPASSWORD"].clone()
    }

    /// A session of its own.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(self.url()).await.expect("the database of a test cannot be reached")
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut session = self.connect().await;
        execute_on(&mut session, sql).await;
        session.close().await.unwrap();
    }

    /// The rows of a query as text: columns joined by `|`, null as nothing, as `psql -At` prints them.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let mut session = self.connect().await;
        let rows = rows_on(&mut session, sql).await;
        session.close().await.unwrap();
        rows
    }

    /// The only row of a query as text.
    pub(crate) async fn one(&self, sql: &str) -> String {
        let mut rows = self.rows(sql).await;
        assert_eq!(rows.len(), 1, "one row expected of {sql}");
        rows.remove(0)
    }

    /// Runs a script with psql, which stops at the first error.
    pub(crate) fn psql_file(&self, path: &Path) {
        let path = path.as_os_str();
        self.tool(
            "psql",
            ["-X".as_ref(), "-q".as_ref(), "-v".as_ref(), "ON_ERROR_STOP=1".as_ref(), "-f".as_ref(), path],
        );
    }

    /// Dumps it into `path`; `format` is pg_dump's `custom` or `directory`.
    pub(crate) fn dump(&self, format: &str, path: &Path) {
        let format = format!("--format={format}");
        self.tool("pg_dump", [OsStr::new(&format), "--file".as_ref(), path.as_os_str()]);
    }

    /// A custom-format dump as it comes through a pipe: without the places of the rows, which a file has.
    pub(crate) fn piped_dump(&self) -> Vec<u8> {
        let mut command = Command::new(self.tools.join("pg_dump"));
        let output = command.arg("-Fc").envs(self.url.libpq_environment()).output().unwrap();
        assert!(output.status.success(), "pg_dump failed: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// One schema of it, definitions and rows, as pg_dump's text.
    pub(crate) fn dump_text(&self, schema: &str) -> String {
        self.tool("pg_dump", ["--schema".as_ref(), OsStr::new(schema)])
    }

    /// Runs a client program on it; panics with the program's words when it fails.
    pub(crate) fn tool<'a>(&self, program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> String {
        let output = Command::new(self.tools.join(program))
            .args(arguments)
            .envs(self.url.libpq_environment())
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} failed: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What psql prints for a query, unaligned: for tests that hold the product's own `Database`.
pub(crate) fn ask(database: &Database, sql: &str) -> String {
    let arguments = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql].map(OsStr::new);
    let database = TestDatabase { url: database.url().clone(), tools: default_tools() };
    database.tool("psql", arguments).trim_end().to_owned()
}

/// Runs statements on a session.
pub(crate) async fn execute_on(session: &mut PgConnection, sql: &str) {
    session
        .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
}

/// The rows of a query as text.
pub(crate) async fn rows_on(session: &mut PgConnection, sql: &str) -> Vec<String> {
    let rows = session
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
    rows.iter().map(text_of).collect()
}

fn text_of(row: &PgRow) -> String {
    let column = |index| {
        let value = row.try_get_raw(index).unwrap();
        if value.is_null() {
            return String::new();
        }
        assert_eq!(value.format(), PgValueFormat::Text, "a statement without parameters answers in text");
        value.as_str().unwrap().to_owned()
    };
    (0..row.len()).map(column).collect::<Vec<_>>().join("|")
}
