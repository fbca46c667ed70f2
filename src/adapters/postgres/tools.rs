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

const PROGRAMS: [&str; 2] = ["pg_dump", "pg_restore"];

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
            Some(folder) => {
                let named = |error: Error| error.context(format!("PG_BIN_DIR {}", folder.display()));
                for program in PROGRAMS.map(|name| folder.join(name)) {
                    if !program.is_file() {
                        return Err(missing(&program));
                    }
                }
                Self::at(folder.to_owned()).await.map_err(named)
            }
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
        let [dump, restore] = PROGRAMS;
        let dump = answer(&folder, dump).await?;
        let restore = answer(&folder, restore).await?;
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

    /// Writes the schema of a live source, as it is in an exported snapshot, to standard output, in the custom format: no file
    /// is left of a night that is killed, and a pg_dump that nobody listens to any more ends.
    ///
    /// The password travels in the environment. A definition that pg_dump would wait for longer than `lock_timeout`
    /// is an error, not a night spent waiting.
    #[must_use]
    pub fn dump_schema(&self, source: &DatabaseUrl, snapshot: &str, lock_timeout: Duration) -> Command {
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
            ],
            environment: connection(source),
        }
    }

    /// Writes the whole of a live source to standard output, in the custom format: rows, owners and privileges, so that all of it can be had back.
    ///
    /// As [`Tools::dump_schema`] otherwise.
    #[must_use]
    pub fn dump(&self, source: &DatabaseUrl, lock_timeout: Duration) -> Command {
        Command {
            program: self.program("pg_dump"),
            arguments: vec![
                "--format=custom".into(),
                "--no-password".into(),
                format!("--lock-wait-timeout={}", lock_timeout.as_millis()).into(),
            ],
            environment: connection(source),
        }
    }

    /// Lists what is in the archive that standard input gives.
    #[must_use]
    pub fn list_archive(&self) -> Command {
        Command {
            program: self.program("pg_restore"),
            arguments: vec!["--list".into()],
            environment: BTreeMap::from([("LC_ALL", "C".to_owned())]),
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

/// How a tool reaches a database: nothing of it stands in its arguments.
fn connection(database: &DatabaseUrl) -> BTreeMap<&'static str, String> {
    let mut environment = database.libpq_environment();
    environment.extend([
        ("PGCONNECT_TIMEOUT", "30".to_owned()),
        ("PGAPPNAME", "nightferry".to_owned()),
        ("LC_ALL", "C".to_owned()),
    ]);
    environment
}

fn missing(program: &Path) -> Error {
    Error::new(ErrorKind::Tool, format!("PG_BIN_DIR: there is no {}", program.display()))
        .hint("PG_BIN_DIR names the folder of pg_dump and pg_restore; unset it to have them found")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::postgres::archive::{Format, FormatVersion};

    fn tools(major: u32) -> Tools {
        Tools { folder: "/pg/bin".into(), version: Version { major, minor: 4 } }
    }

    fn arguments(command: &Command) -> Vec<&str> {
        command.arguments.iter().map(|argument| argument.to_str().unwrap()).collect()
    }

    #[test]
    fn a_dump_gives_its_password_to_the_environment_only() {
        let url = DatabaseUrl::parse("postgres://me:canary@db:6543/app?sslmode=require").unwrap();
        let command = tools(15).dump_schema(&url, "00000003-0000001B-1", Duration::from_secs(90));
        assert_eq!(command.program, "/pg/bin/pg_dump");
        assert_eq!(
            arguments(&command),
            [
                "--format=custom",
                "--compress=0",
                "--schema-only",
                "--no-privileges",
                "--no-password",
                "--encoding=UTF8",
                "--snapshot=00000003-0000001B-1",
                "--lock-wait-timeout=90000",
            ]
        );
        let environment: Vec<(&str, &str)> =
            command.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            environment,
            [
                ("LC_ALL", "C"),
                ("PGAPPNAME", "nightferry"),
                ("PGCONNECT_TIMEOUT", "30"),
                ("PGDATABASE", "app"),
                ("PGHOST", "db"),
                ("PGPASSWORD", "canary"),
                ("PGPORT", "6543"),
                ("PGSSLMODE", "require"),
                ("PGUSER", "me"),
            ]
        );
    }

    #[test]
    fn a_backup_holds_everything_and_its_password_is_in_the_environment_only() {
        let url = DatabaseUrl::parse("postgres://me:canary@db:6543/app").unwrap();
        let command = tools(15).dump(&url, Duration::from_secs(60));
        assert_eq!(arguments(&command), ["--format=custom", "--no-password", "--lock-wait-timeout=60000"]);
        assert_eq!(command.environment.get("PGPASSWORD").map(String::as_str), Some("canary"));
        assert_eq!(arguments(&tools(15).list_archive()), ["--list"]);
    }

    #[test]
    fn rows_are_read_by_a_list_and_connect_to_nothing() {
        let command = tools(15).restore_rows(Path::new("-odd.dump"), Path::new("/tmp/x.list"));
        assert_eq!(command.program, "/pg/bin/pg_restore");
        assert_eq!(
            arguments(&command),
            ["--data-only", "--use-list=/tmp/x.list", "--file=-", "--", "-odd.dump"]
        );
        assert_eq!(command.environment, BTreeMap::from([("LC_ALL", "C".to_owned())]));
    }

    #[test]
    fn versions_are_read_in_all_their_spellings() {
        for (text, major, minor) in [
            ("pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", 15, 20),
            ("15.4 (Debian 15.4-1.pgdg120+1)", 15, 4),
            ("19devel", 19, 0),
            ("pg_dump (PostgreSQL) 18beta1", 18, 0),
            ("9.6.24", 9, 6),
        ] {
            assert_eq!(Version::parse(text), Some(Version { major, minor }), "{text}");
        }
        assert_eq!(Version::parse("pg_dump of something else"), None);
        assert_eq!(Version::from_number(150_004), Version { major: 15, minor: 4 });
        assert_eq!(Version::from_number(90_624), Version { major: 9, minor: 6 });
    }

    #[test]
    fn a_newer_server_or_archive_is_refused_with_what_to_install() {
        let tools = tools(15);
        tools.check_server(Version { major: 15, minor: 99 }).unwrap();
        tools.check_server(Version { major: 9, minor: 6 }).unwrap();
        let error = tools.check_server(Version { major: 17, minor: 2 }).unwrap_err();
        assert_eq!(error.to_string(), "the source is PostgreSQL 17.2, but pg_dump is 15.4");
        assert!(error.operator_hint().unwrap().contains("postgresql-client-17"));

        let mut header = Header {
            version: FormatVersion { major: 1, minor: 14 },
            format: Format::Custom,
            dbname: "app".into(),
            server_version: "16.1".into(),
            dump_version: "16.3".into(),
            created: None,
        };
        tools.check_archive(&header).unwrap();
        header.version.minor = 15;
        let error = tools.check_archive(&header).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the archive was made by pg_dump 16.3 (archive version 1.15), but pg_restore is 15.4"
        );
        assert!(error.operator_hint().unwrap().contains("postgresql-client-16"));
    }

    /// A folder like Debian's, with scripts that answer as the tools do.
    fn install_in(folder: &Path, version: u32, names: &[&str]) {
        let bin = folder.join(version.to_string()).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for name in names {
            // Written by another process: a file that this one has open cannot be run while another test forks.
            let write = r#"printf '#!/bin/sh\necho "%s (PostgreSQL) %s.1"\n' "$2" "$3" >"$1"; chmod +x "$1""#;
            let status = std::process::Command::new("sh")
                .args(["-c", write, "sh"])
                .arg(bin.join(name))
                .args([name.to_string(), version.to_string()])
                .status()
                .unwrap();
            assert!(status.success());
        }
    }

    #[tokio::test]
    async fn the_newest_complete_version_is_taken_and_numbers_are_not_compared_as_text() {
        let folder = tempfile::tempdir().unwrap();
        install_in(folder.path(), 9, &["pg_dump", "pg_restore"]);
        install_in(folder.path(), 950, &["pg_dump", "pg_restore"]);
        install_in(folder.path(), 1000, &["pg_dump"]);
        let tools = Tools::newest(folder.path()).await.unwrap();
        assert_eq!(tools.version(), Version { major: 950, minor: 1 });
        assert_eq!(tools.folder, folder.path().join("950/bin"));
    }

    #[tokio::test]
    async fn a_named_folder_without_the_tools_is_an_error_and_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let error = Tools::find(Some(folder.path())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tool);
        let program = folder.path().join("pg_dump");
        let text = error.to_string();
        assert!(text.contains("PG_BIN_DIR") && text.contains(&program.display().to_string()), "{error}");
        assert!(error.operator_hint().unwrap().contains("PG_BIN_DIR"), "{error}");
    }

    #[tokio::test]
    async fn a_list_holds_numbers_alone_and_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let list = RestoreList::write(folder.path(), &[12, 7]).await.unwrap();
        assert_eq!(std::fs::read_to_string(list.path()).unwrap(), "12;\n7;\n");
        drop(list);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
