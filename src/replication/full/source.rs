//! Where the full stage reads from: the live database under one exported snapshot, or a pg_dump archive. Both give the same
//! two things: an archive with the schema, and the rows of one table as a COPY stream.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::rows::RowReader;
use crate::adapters::ledger::Recorder;
use crate::adapters::postgres::archive::Archive;
use crate::adapters::postgres::catalog::{self, SequenceValue, TableSize};
use crate::adapters::postgres::tools::{Tools, Version};
use crate::adapters::postgres::{Database, Session};
use crate::adapters::process;
use crate::config::{BackupSource, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::TableName;
use crate::replication::backup::{Found, Purpose, RunFolder};
use crate::replication::plan::Finding;

/// How long the source's locks are waited for: a migration that runs at night may hold one.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long pg_dump may take for a schema.
const SCHEMA_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// Proxies cut connections that are silent for long.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What the schema alone does not say.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The sequences' values.
    pub sequences: Vec<SequenceValue>,
    /// The materialized views that hold rows.
    pub populated: BTreeSet<TableName>,
}

/// An opened source.
#[derive(Debug)]
pub struct Source {
    /// Its schema.
    pub archive: Arc<Archive>,
    /// What the schema alone does not say.
    pub facts: Facts,
    /// Its tables' sizes, largest first; an archive does not say.
    pub sizes: Vec<TableSize>,
    /// What it has that is not carried and not in the archive: `3 large objects`.
    pub not_carried: Vec<(String, i64)>,
    rows: Rows,
    tools: Tools,
    work_dir: PathBuf,
}

#[derive(Debug)]
enum Rows {
    Live {
        database: Box<Database>,
        snapshot: Snapshot,
    },
    /// Not here yet: only the head was read.
    Found(Box<Found>),
    Archive(Option<RunFolder>),
}

impl Source {
    /// Opens the source; of a backup only the head is read. The warehouse is not touched.
    ///
    /// # Errors
    /// It cannot be reached or read, the tools do not fit its version, or `WORK_DIR` cannot be written to.
    pub async fn open(config: &Config, tools: &Tools, purpose: Purpose) -> Result<Self> {
        check_folder(&config.replication.work_dir).await?;
        match &config.backup.source {
            BackupSource::Live => Self::open_live(config, tools).await,
            _ => Self::open_backup(config, tools, purpose).await,
        }
    }

    async fn open_live(config: &Config, tools: &Tools) -> Result<Self> {
        let url = config.databases.source.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "SOURCE_DATABASE_URL: not set, but BACKUP_SOURCE is live")
        })?;
        let database = Database::new(url, "source")?;
        let mut session = database.connect().await?;
        let identity = catalog::identity(&mut session).await?;
        tools.check_server(Version::from_number(identity.server_version.unsigned_abs()))?;
        let snapshot = Snapshot::take(session).await?;
        let dump = tools.dump_schema(url, &snapshot.name, LOCK_WAIT);
        let archive = Archive::read(process::run(&dump, SCHEMA_DEADLINE).await?).await?;
        let mut session = snapshot.session.lock().await;
        let (populated, sequences) = catalog::carried_facts(&mut session).await?;
        let sizes = catalog::sizes(&mut session).await?;
        let not_carried = catalog::not_carried(&mut session).await?;
        drop(session);
        Ok(Self {
            archive: Arc::new(archive),
            facts: Facts { sequences, populated: populated.into_iter().collect() },
            sizes,
            not_carried,
            rows: Rows::Live { database: Box::new(database), snapshot },
            tools: tools.clone(),
            work_dir: config.replication.work_dir.clone(),
        })
    }

    async fn open_backup(config: &Config, tools: &Tools, purpose: Purpose) -> Result<Self> {
        let found = Found::find(&config.backup, purpose).await?;
        let archive = found.head().await?;
        tools.check_archive(&archive.header)?;
        Ok(Self {
            facts: facts_of(&archive),
            archive: Arc::new(archive),
            sizes: Vec::new(),
            not_carried: Vec::new(),
            rows: Rows::Found(Box::new(found)),
            tools: tools.clone(),
            work_dir: config.replication.work_dir.clone(),
        })
    }

    /// The backup that was found and is not here yet.
    #[must_use]
    pub fn found(&self) -> Option<&Found> {
        match &self.rows {
            Rows::Found(found) => Some(found),
            _ => None,
        }
    }

    /// Whether there is room for what has to be fetched.
    ///
    /// # Errors
    /// There is not.
    pub fn fits(&self) -> Result<()> {
        self.found().map_or(Ok(()), |found| found.fits(&self.work_dir))
    }

    /// Fetches the whole of a backup, and checks that nothing of it is missing.
    ///
    /// # Errors
    /// It cannot be fetched, is cut, or was replaced since its head was read.
    pub async fn fetch(&mut self, recorder: &Recorder) -> Result<()> {
        let Some(found) = self.found() else { return Ok(()) };
        let fetched = found.fetch(&self.work_dir, recorder.run(), recorder.meter()).await?;
        if fetched.archive.header != self.archive.header {
            let text = format!("the backup {} was replaced while it was read", found.name);
            return Err(Error::new(ErrorKind::Unavailable, text).hint("restart the stage"));
        }
        recorder.source_backup(&fetched.record).await?;
        self.archive = Arc::new(fetched.archive);
        self.rows = Rows::Archive(fetched.folder);
        Ok(())
    }

    /// Removes what was fetched, now or for a night that failed: this one has ended well. Dropped without, it stays for the next try.
    pub fn discard(self) {
        if let Rows::Archive(Some(folder)) = self.rows {
            folder.remove();
        }
        RunFolder::remove_left(&self.work_dir);
    }

    /// Opens `jobs` readers of rows; all of them see the same moment of the source.
    ///
    /// # Errors
    /// The source cannot be reached, or its snapshot is gone.
    pub async fn readers(&self, jobs: usize) -> Result<Vec<RowReader>> {
        let mut readers = Vec::with_capacity(jobs);
        for _ in 0..jobs {
            readers.push(match &self.rows {
                Rows::Live { database, snapshot } => {
                    RowReader::Live(Box::new(snapshot.share(database).await?))
                }
                Rows::Archive(_) => RowReader::Archive {
                    tools: self.tools.clone(),
                    archive: self.archive.clone(),
                    work_dir: self.work_dir.clone(),
                },
                Rows::Found(_) => {
                    return Err(Error::new(ErrorKind::Internal, "the backup was not fetched"));
                }
            });
        }
        Ok(readers)
    }

    /// The tables to load of which an archive has no rows: made without them, or by other means than COPY.
    pub(crate) fn missing_rows<'a>(&self, tables: impl Iterator<Item = &'a TableName>) -> Vec<Finding> {
        if self.is_live() {
            return Vec::new();
        }
        let has_rows = |table: &TableName| {
            self.archive.table_data(table).is_some_and(|entry| entry.has_data && entry.copy_target().is_ok())
        };
        // A partitioned table has none of its own.
        let is_partitioned = |table: &TableName| {
            self.archive
                .table(table)
                .is_some_and(|entry| entry.definition.lines().any(|line| line.starts_with("PARTITION BY ")))
        };
        tables
            .filter(|table| !has_rows(table) && !is_partitioned(table))
            .map(|table| {
                let hint = "make the archive without --schema-only, --exclude-table-data and --inserts, or give the table mode none";
                Finding::new(format!("table {table}"), "the archive has no rows of it that can be copied", hint)
            })
            .collect()
    }

    /// Whether the rows come from a running server.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.rows, Rows::Live { .. })
    }
}

/// A moment of the source, held by one transaction: as long as it lives, others can read the same moment, and nobody
/// can truncate, rewrite or drop a table (those would show as empty in an older snapshot).
#[derive(Debug)]
struct Snapshot {
    name: String,
    session: Arc<Mutex<Session>>,
    keepalive: JoinHandle<()>,
}

impl Snapshot {
    async fn take(mut session: Session) -> Result<Self> {
        session.begin("isolation level repeatable read read only").await?;
        let name = catalog::text(&mut session, "select pg_export_snapshot()").await?;
        let tables =
            catalog::names(&mut session, include_str!("../../../sql/catalog/readable_tables.sql")).await?;
        if !tables.is_empty() {
            let wait = LOCK_WAIT.as_millis();
            session
                .execute(&format!(
                    "set local lock_timeout = {wait}; lock table {} in access share mode",
                    tables.join(", ")
                ))
                .await
                .map_err(|error| error.context("cannot hold the source's tables"))?;
        }
        let session = Arc::new(Mutex::new(session));
        let kept = session.clone();
        let keepalive = tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEEPALIVE).await;
                if kept.lock().await.execute("select 1").await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { name, session, keepalive })
    }

    async fn share(&self, database: &Database) -> Result<Session> {
        let mut session = database.connect().await?;
        let name = crate::adapters::postgres::ident::literal(&self.name);
        session
            .begin(&format!("isolation level repeatable read read only; set transaction snapshot {name}"))
            .await
            .map_err(|error| {
                error
                    .context("cannot share the source's snapshot")
                    .hint("is the source behind a load balancer or a pooler? Name the server itself")
            })?;
        Ok(session)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.keepalive.abort();
    }
}

/// Whether temporary files can be written, found out before the rows of an archive need one.
async fn check_folder(folder: &Path) -> Result<()> {
    let file = TemporaryFile::new(folder, "can-write");
    tokio::fs::write(&file.0, "").await.map_err(|error| {
        Error::new(ErrorKind::Configuration, format!("cannot write to WORK_DIR {}", folder.display()))
            .hint("set WORK_DIR to a folder that is there and can be written to")
            .because(error)
    })
}

/// A file that goes when it is dropped.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(folder: &Path, name: &str) -> Self {
        Self(folder.join(format!("nightferry-{}-{name}", ulid::Ulid::generate())))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Where it could not be made, there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What an archive with rows says by itself.
fn facts_of(archive: &Archive) -> Facts {
    let mut facts = Facts::default();
    for entry in &archive.entries {
        let Some(name) = entry.table_name() else { continue };
        match entry.kind.name() {
            "SEQUENCE SET" => {
                facts.sequences.extend(setval(&entry.definition).map(|(value, is_called)| SequenceValue {
                    sequence: name,
                    value,
                    is_called,
                }));
            }
            "MATERIALIZED VIEW DATA" => {
                facts.populated.insert(name);
            }
            _ => {}
        }
    }
    facts
}

/// The two last arguments of `SELECT pg_catalog.setval('public.s', 42, true);`, the one form that pg_dump writes.
fn setval(definition: &str) -> Option<(i64, bool)> {
    let mut arguments = definition.trim().strip_suffix(");")?.rsplit(", ");
    let is_called = arguments.next()?.parse().ok()?;
    Some((arguments.next()?.parse().ok()?, is_called))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_told_before_the_source_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for source in ["live", "/nowhere/archive.dump"] {
            for wrong in [folder.path().join("missing"), file.clone()] {
                let variables = Variables::from_pairs([
                    ("SOURCE_DATABASE_URL", "postgres://u@127.0.0.1:1/nobody"),
                    ("TARGET_DATABASE_URL", "postgres://u@127.0.0.1:1/nobody"),
                    ("BACKUP_SOURCE", source),
                    ("WORK_DIR", wrong.to_str().unwrap()),
                ]);
                let tools = Tools::find(None).await.unwrap();
                let error = Source::open(&Config::load(&variables).unwrap(), &tools, Purpose::Look)
                    .await
                    .unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
                assert!(error.to_string().contains(&format!("WORK_DIR {}", wrong.display())), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn a_folder_that_can_be_written_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        check_folder(folder.path()).await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_sequence_value_is_read_from_behind_whatever_the_name_holds() {
        assert_eq!(
            setval("SELECT pg_catalog.setval('public.\"a, 1, false\"', -42, true);\n\n"),
            Some((-42, true))
        );
        assert_eq!(setval("SELECT 1;"), None);
    }
}
