//! Whether the queues can be used, asked without making any.

use super::Queues;
use crate::config;
use crate::error::{Error, ErrorKind, Result};

impl Queues {
    /// Whether there is something to ask: a Redis, or a file that a worker or a command has made.
    #[must_use]
    pub fn are_there(config: &config::Queue) -> bool {
        config.redis_url.is_some() || config.file.exists()
    }

    /// Says hello to Redis; or looks whether the file, or at least its folder, is there. Changes nothing.
    ///
    /// # Errors
    /// Redis cannot be reached or refuses the password, or the file could not be written.
    pub async fn look(config: &config::Queue) -> Result<()> {
        if Self::are_there(config) {
            return Self::open(config).await.map(|_| ());
        }
        let file = &config.file;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| std::path::Path::new("."));
        let can_be_made =
            folder.metadata().is_ok_and(|folder| folder.is_dir() && !folder.permissions().readonly());
        if can_be_made {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Configuration, format!("cannot make the queue's file {}", file.display()))
            .hint("QUEUE_FILE must be in a folder that exists and can be written to"))
    }
}
