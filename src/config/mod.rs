//! The configuration: read from the environment once, typed, with every problem reported at the same time.
//!
//! A `.env` file in the working directory is read where it exists; it never overrides the environment.
//! `sample.env` documents each variable; `tests/architecture.rs` holds the two together.

mod backup;
mod backup_mode;
mod databases;
mod mail;
mod notifications;
mod publishing;
mod queue;
mod reader;
mod replication;
mod reporting;
mod s3;
mod scalingo;
mod schema_export;
mod secret;
mod services;
mod web;

pub use backup::{Backup, BackupSource, ObjectUrl, Push};
pub use backup_mode::{BackupModes, Deletes, Increment, SchemaDrift, TableMode, Way};
pub use databases::{DatabaseUrl, Databases};
pub use mail::{Mail, SmtpTls};
pub use notifications::{Endpoint, Notifications};
pub use publishing::{OnBroken, PublishLock, PublishMode, Publishing};
#[cfg(test)]
pub(crate) use queue::parse_cron;
pub use queue::{OnInterrupted, OnMissed, Queue};
pub(crate) use reader::nearest;
pub use reader::{Problem, Reader, Variables};
pub use replication::{ForeignKeys, Replication};
pub use reporting::Sentry;
pub use s3::S3;
pub use scalingo::Scalingo;
pub use schema_export::SchemaExport;
pub use secret::Secret;
pub(crate) use secret::without_credentials;
pub use services::{Content, Log, LogFormat};
pub use web::{Access, Web};

use url::Url;

use crate::error::Result;

/// All that a command which touches the databases needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data comes from and goes to.
    pub databases: Databases,
    /// How it is copied.
    pub replication: Replication,
    /// Backups, read and pushed.
    pub backup: Backup,
    /// The export of the warehouse's schema.
    pub schema_export: SchemaExport,
    /// The learning-content API.
    pub content: Content,
    /// Who is told.
    pub notifications: Notifications,
    /// The queue, the schedule and the retries.
    pub queue: Queue,
}

/// The host of a URL, with the port where one is written: what may be shown of one that may hold a secret.
pub(crate) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// One configuration error that lists every problem, sorted by variable, each with what to do.
    pub fn load(variables: &Variables) -> Result<Self> {
        let mut reader = Reader::new(variables);
        let databases = Databases::read(&mut reader);
        let config = Self {
            replication: Replication::read(&mut reader),
            backup: Backup::read(&mut reader),
            schema_export: SchemaExport::read(&mut reader, &databases),
            databases,
            content: Content::read(&mut reader),
            notifications: Notifications::read(&mut reader),
            queue: Queue::read(&mut reader),
        };
        if config.replication.modes.increments().next().is_some() && config.databases.source.is_none() {
            reader.problem(
                "SOURCE_DATABASE_URL",
                "not set, but BACKUP_MODE has incremental tables: they are read from the source itself",
            );
        }
        if config.backup.push.as_ref().is_some_and(|push| push.schedule.is_some())
            && config.databases.source.is_none()
        {
            reader.problem(
                "SOURCE_DATABASE_URL",
                "not set, but BACKUP_PUSH_SCHEDULE is: it names what is dumped",
            );
        }
        reader.finish()?;
        Ok(config)
    }
}
