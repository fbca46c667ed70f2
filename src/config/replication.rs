//! How the full and incremental stages copy: `BACKUP_MODE`, `RESTORE_FK_CONSTRAINTS`,
//! `SCHEMA_DRIFT`,
//! `INCREMENTAL_SETTLE_TIMEOUT`, `PG_RESTORE_JOBS`, `PG_BIN_DIR`, `ENRICHMENT_DIR`, `WORK_DIR`.

use std::path::PathBuf;
use std::time::Duration;

use super::{BackupModes, Publishing, Reader, SchemaDrift};

/// `RESTORE_FK_CONSTRAINTS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKeys {
    /// Added and checked.
    Validated,
    /// Declared, not checked.
    NotValid,
    /// Left out.
    Omitted,
}

/// The settings of the two replication stages.
#[derive(Debug, Clone)]
pub struct Replication {
    /// The tables that are not simply replaced.
    pub modes: BackupModes,
    /// What becomes of columns that changed in the source, in tables that are not replaced.
    pub drift: SchemaDrift,
    /// How long the incremental stage waits for the source's writers.
    pub settle_timeout: Duration,
    /// What becomes of foreign keys.
    pub foreign_keys: ForeignKeys,
    /// Tables and indexes at work at the same time.
    pub jobs: usize,
    /// The folder of pg_dump and pg_restore, where not found by name.
    pub pg_bin_dir: Option<PathBuf>,
    /// How the new copy becomes the one that readers see.
    pub publishing: Publishing,
    /// The folder of enrichment files.
    pub enrichment_dir: PathBuf,
    /// The folder for temporary files, and for backups while they are read.
    pub work_dir: PathBuf,
}

impl Replication {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            modes: reader.parse("BACKUP_MODE", BackupModes::default(), BackupModes::parse),
            drift: reader.choice("SCHEMA_DRIFT", SchemaDrift::Add, &SchemaDrift::WORDS),
            settle_timeout: reader.duration("INCREMENTAL_SETTLE_TIMEOUT", Duration::from_secs(60)),
            foreign_keys: reader.choice(
                "RESTORE_FK_CONSTRAINTS",
                ForeignKeys::Validated,
                &[
                    ("true", ForeignKeys::Validated),
                    ("not_valid", ForeignKeys::NotValid),
                    ("false", ForeignKeys::Omitted),
                ],
            ),
            jobs: reader.number("PG_RESTORE_JOBS", 4, 1..=64) as usize,
            pg_bin_dir: reader.text("PG_BIN_DIR").map(PathBuf::from),
            publishing: Publishing::read(reader),
            enrichment_dir: PathBuf::from(reader.text("ENRICHMENT_DIR").unwrap_or("sql/enrichment")),
            work_dir: reader.text("WORK_DIR").map_or_else(std::env::temp_dir, PathBuf::from),
        }
    }
}
