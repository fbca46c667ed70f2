//! A source, a warehouse and a bucket for a test of pushes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use tempfile::TempDir;

use super::TestNight;
use super::s3::S3Server;

/// A night and a bucket beside it.
#[derive(Debug)]
pub(crate) struct Pushes {
    /// The source and the warehouse.
    pub(crate) night: TestNight,
    /// The bucket's server.
    pub(crate) server: S3Server,
    folder: TempDir,
}

impl Pushes {
    /// An empty bucket.
    pub(crate) fn new(night: TestNight) -> Self {
        let folder = TempDir::new().unwrap();
        Self { night, server: S3Server::start(folder.path(), 0), folder }
    }

    /// A source with 20 MB of rows that cannot be compressed, in a table that is dumped first.
    pub(crate) async fn of_many_bytes() -> Self {
        let pushes = Self::new(TestNight::new().await);
        let night = &pushes.night;
        night.source_sql_as_superuser("create extension pgcrypto").await;
        night
            .source_sql("create table a_noise as select n, gen_random_bytes(1000) as noise from generate_series(1, 20000) n")
            .await;
        pushes
    }

    /// Starts a server again that died, on its folder and port.
    pub(crate) fn revive(&mut self) {
        self.server = S3Server::start(self.folder.path(), self.server.port());
    }

    /// The variables of both; `extra` adds and replaces.
    fn with<'a>(&self, extra: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
        let mut all: Vec<(&str, String)> = self.server.settings();
        all.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    }

    /// Runs the binary to its end.
    pub(crate) async fn binary(&self, arguments: &[&str], extra: &[(&str, &str)]) -> Output {
        let all = self.with(extra);
        let pairs: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.night.binary(arguments, &pairs).await
    }

    /// Pushes, which must end well, and gives the name of the backup.
    pub(crate) async fn push(&self, extra: &[(&str, &str)]) -> String {
        let before = self.server.keys();
        let output = self.binary(&["backup", "push"], extra).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let mut new: Vec<String> =
            self.server.keys().into_iter().filter(|key| !before.contains(key)).collect();
        assert_eq!(new.len(), 1, "{new:?}");
        new.remove(0)
    }

    /// Pushes, which must fail, and gives all that was said and the exit code.
    pub(crate) async fn failing_push(&self, extra: &[(&str, &str)]) -> (String, Option<i32>) {
        let output = self.binary(&["backup", "push"], extra).await;
        assert!(!output.status.success(), "{}", text(&output));
        (text(&output), output.status.code())
    }

    /// Starts a push that a test will meddle with.
    pub(crate) fn start_push(&self, extra: &[(&str, &str)]) -> Child {
        let all = self.with(extra);
        let pairs: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut command = self.night.command(&["backup", "push"], &pairs);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A folder of PostgreSQL's tools in which `script` stands for pg_dump; `$REAL` is the real one.
    pub(crate) fn with_pg_dump(&self, script: &str) -> PathBuf {
        let folder = self.folder.path().join("tools");
        std::fs::create_dir_all(&folder).unwrap();
        let real = super::default_tools();
        std::os::unix::fs::symlink(real.join("pg_restore"), folder.join("pg_restore")).unwrap();
        let text = format!("#!/bin/bash\nREAL={}\n{script}\n", real.join("pg_dump").display());
        write_program(&folder.join("pg_dump"), &text);
        folder
    }

    /// Nothing of a push is in the bucket, and nothing on this machine's disk.
    pub(crate) async fn nothing_is_left(&self) {
        super::until("the bucket to be empty", async || {
            (self.server.keys().is_empty() && self.server.unfinished().is_empty()).then_some(())
        })
        .await;
        let files = std::fs::read_dir(self.night.path("")).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["enrichment"], "in WORK_DIR");
    }
}

/// Written by another process: a file that this one has open cannot be run while another test forks.
fn write_program(path: &Path, text: &str) {
    let other = path.with_extension("new");
    let mut child = std::process::Command::new("tee")
        .arg(&other)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(other, path).unwrap();
}

/// All that a process said.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
