//! The configuration: read from the environment once, typed, with every problem reported at the same time.
//!
//! A `.env` file in the working directory is read where it exists; it never overrides the environment.
//! `sample.env` documents each variable; `tests/architecture.rs` holds the two together.

mod backup_mode;
mod databases;
mod notifications;
mod publishing;
mod queue;
mod reader;
mod replication;
mod secret;
mod services;

pub use backup_mode::{BackupModes, Deletes, Increment, SchemaDrift, TableMode, Way};
pub use databases::{DatabaseUrl, Databases};
pub use notifications::{Endpoint, Notifications};
pub use publishing::{OnBroken, PublishLock, PublishMode, Publishing};
pub use queue::{OnInterrupted, Queue};
pub(crate) use reader::nearest;
pub use reader::{Problem, Reader, Variables};
pub use replication::{BackupSource, ForeignKeys, Replication};
pub use secret::Secret;
pub use services::{Content, Log, LogFormat, Web};

use crate::error::Result;

/// All that a command which touches the databases needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data comes from and goes to.
    pub databases: Databases,
    /// How it is copied.
    pub replication: Replication,
    /// The learning-content API.
    pub content: Content,
    /// Who is told.
    pub notifications: Notifications,
    /// The queue, the schedule and the retries.
    pub queue: Queue,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// One configuration error that lists every problem, sorted by variable, each with what to do.
    pub fn load(variables: &Variables) -> Result<Self> {
        let mut reader = Reader::new(variables);
        let config = Self {
            replication: Replication::read(&mut reader),
            databases: Databases::read(&mut reader),
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
        reader.finish()?;
        Ok(config)
    }
}
