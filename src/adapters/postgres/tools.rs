//! pg_dump and pg_restore: which ones, of what version, and with which arguments.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ulid::Ulid;

use super::archive::Header;
use crate::adapters::process::{self, Command};
use crate::config::DatabaseUrl;
use crate::error::{Error, ErrorKind, Result};

/// Where Debian and Ubuntu put the versions side by side.
const INSTALLED: &str = "/usr/lib/postgresql";

const VERSION_DEADLINE: Duration = Duration::from_secs(30);

/// A version of PostgreSQL. Up to 9.6 the first two numbers were the major version; here 9 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 15 of 15.4.
    pub major: u32,
    /// 4 of 15.4; 0 in a version under development.
    pub minor: u32,
}

impl Version {
    /// From `server_version_num` (150004).
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        if number >= 100_000 {
            Self { major: number / 10_000, minor: number % 10_000 }
        } else {
            Self { major: number / 10_000, minor: number / 100 % 100 }
        }
    }

    /// From `15.4 (Debian 15.4-1)`, `18beta1`, or what `pg_dump --version` prints.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.rsplit_once("(PostgreSQL) ").map_or(text, |(_, version)| version).trim_start();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let has_minor = text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('.');
        let minor = numbers.next().filter(|_| has_minor).and_then(|minor| minor.parse().ok()).unwrap_or(0);
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A pair of client tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// Empty: found by the shell's path.
    folder: PathBuf,
    version: Version,
}

impl Tools {
    /// The tools of `folder` (`PG_BIN_DIR`); without one the newest of those in Debian's folders and on the path.
    ///
    /// # Errors
    /// There are none, or they do not answer.
    pub async fn find(folder: Option<&Path>) -> Result<Self> {
        match folder {
            Some(folder) => Self::at(folder.to_owned()).await,
            None => Self::newest(Path::new(INSTALLED)).await,
        }
    }

    async fn newest(installed: &Path) -> Result<Self> {
        let on_path = Self::at(PathBuf::new()).await;
        for folder in versions_in(installed) {
            // A server package without its client is passed over.
            if let Ok(tools) = Self::at(folder).await {
                return match on_path {
                    Ok(on_path) if on_path.version > tools.version => Ok(on_path),
                    _ => Ok(tools),
                };
            }
        }
        on_path
    }

    async fn at(folder: PathBuf) -> Result<Self> {
        let dump = answer(&folder, "pg_dump").await?;
        let restore = answer(&folder, "pg_restore").await?;
        Ok(Self { folder, version: dump.min(restore) })
    }

    /// The version of both; of the older one where they differ.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether this pg_dump can read this server.
    ///
    /// # Errors
    /// The server is newer: the text names both versions, the hint what to install.
    pub fn check_server(&self, server: Version) -> Result<()> {
        if server.major <= self.version.major {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Tool,
            format!("the source is PostgreSQL {server}, but pg_dump is {}", self.version),
        )
        .hint(install(server.major)))
    }

    /// Whether this pg_restore can read this archive.
    ///
    /// # Errors
    /// The archive's format is newer: the text names both versions, the hint what to install.
    pub fn check_archive(&self, header: &Header) -> Result<()> {
        let needed = header.version.pg_restore();
        if needed <= self.version.major {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Tool,
            format!(
                "the archive was made by pg_dump {} (archive version {}), but pg_restore is {}",
                header.dump_version, header.version, self.version
            ),
        )
        .hint(install(needed)))
    }

    /// Writes the schema of a live source, as it is in an exported snapshot, to a custom-format file.
    ///
    /// The password travels in the environment. A definition that pg_dump would wait for longer than `lock_timeout`
    /// is an error, not a night spent waiting.
    #[must_use]
    pub fn dump_schema(
        &self,
        source: &DatabaseUrl,
        snapshot: &str,
        lock_timeout: Duration,
        file: &Path,
    ) -> Command {
        let mut file_argument = OsString::from("--file=");
        file_argument.push(file);
        let mut environment = source.libpq_environment();
        environment.extend([
            ("PGCONNECT_TIMEOUT", "30".to_owned()),
            ("PGAPPNAME", "nightferry".to_owned()),
            ("LC_ALL", "C".to_owned()),
        ]);
        Command {
            program: self.program("pg_dump"),
            arguments: vec![
                "--format=custom".into(),
                "--compress=0".into(),
                "--schema-only".into(),
                "--no-privileges".into(),
                "--no-password".into(),
                "--encoding=UTF8".into(),
                format!("--snapshot={snapshot}").into(),
                format!("--lock-wait-timeout={}", lock_timeout.as_millis()).into(),
                file_argument,
            ],
            environment,
        }
    }

    /// Writes the rows of the entries in `list` to standard output.
    #[must_use]
    pub fn restore_rows(&self, archive: &Path, list: &Path) -> Command {
        let mut list_argument = OsString::from("--use-list=");
        list_argument.push(list);
        Command {
            program: self.program("pg_restore"),
            arguments: vec![
                "--data-only".into(),
                list_argument,
                "--file=-".into(),
                // A name that begins with a hyphen is still a name.
                "--".into(),
                archive.into(),
            ],
            environment: BTreeMap::from([("LC_ALL", "C".to_owned())]),
        }
    }

    fn program(&self, name: &str) -> OsString {
        // Joined to an empty folder, a name stays a name.
        self.folder.join(name).into_os_string()
    }
}

fn install(major: u32) -> String {
    format!("install postgresql-client-{major} or newer, or name the folder of its tools in PG_BIN_DIR")
}

/// The `bin` folders of the installed versions, newest first.
fn versions_in(installed: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(installed)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

async fn answer(folder: &Path, name: &str) -> Result<Version> {
    let command = Command {
        program: folder.join(name).into_os_string(),
        arguments: vec!["--version".into()],
        environment: BTreeMap::from([("LC_ALL", "C".to_owned())]),
    };
    let output = process::run(&command, VERSION_DEADLINE).await?;
    let text = String::from_utf8_lossy(&output);
    Version::parse(&text).ok_or_else(|| {
        Error::new(ErrorKind::Tool, format!("{name} --version answers {:?}", text.trim()))
            .hint("is PG_BIN_DIR the folder of PostgreSQL's client tools?")
    })
}

/// A file that names entries of an archive for pg_restore, by their numbers alone. Dropped, it is removed.
#[derive(Debug)]
pub struct RestoreList(PathBuf);

impl RestoreList {
    /// Writes the file, under a name of its own.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn write(work_dir: &Path, entries: &[i32]) -> Result<Self> {
        let path = work_dir.join(format!("nightferry-{}.list", Ulid::generate()));
        let text: String = entries.iter().map(|id| format!("{id};\n")).collect();
        tokio::fs::write(&path, text).await.map_err(|error| {
            Error::new(ErrorKind::Internal, format!("cannot write {}", path.display()))
                .hint("is WORK_DIR a writable folder with room in it?")
                .because(error)
        })?;
        Ok(Self(path))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RestoreList {
    fn drop(&mut self) {
        // A few bytes left in a temporary folder are no reason to fail.
        let _ = std::fs::remove_file(&self.0);
    }
}
