//! A place that has backups: the provider, a bucket, a server with a file.

use std::fmt;
use std::sync::Arc;

use chrono::Utc;

use super::s3::Bucket;
use super::{Backup, BackupState, Remote};
use crate::adapters::http::file::HttpFile;
use crate::adapters::http::scalingo::Database;
use crate::config::{self, BackupSource};
use crate::error::Result;

/// Where backups are. Prints as people call it, without a secret.
#[derive(Debug)]
pub struct Place {
    label: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Provider(Database),
    Bucket { bucket: Bucket, prefix: String },
    File(HttpFile),
}

impl Place {
    /// The place that a source names; none for the live database and for a path.
    ///
    /// # Errors
    /// The provider or the bucket cannot be reached, or does not let us in.
    pub async fn of_source(config: &config::Backup) -> Result<Option<Self>> {
        let place = match &config.source {
            BackupSource::Live | BackupSource::Path(_) => return Ok(None),
            BackupSource::Scalingo => {
                let database = Database::open(&config.scalingo).await?;
                let app = config.scalingo.app.as_deref().unwrap_or_default();
                Self { label: format!("application {app}"), kind: Kind::Provider(database) }
            }
            BackupSource::S3 { bucket, prefix } => Self::bucket(&config.s3, bucket, prefix).await?,
            BackupSource::Url(url) => {
                let name =
                    url.expose().path_segments().and_then(|mut path| path.next_back()).unwrap_or_default();
                let file = HttpFile::new(url.clone(), if name.is_empty() { "the backup" } else { name })?;
                Self { label: url.to_string(), kind: Kind::File(file) }
            }
        };
        Ok(Some(place))
    }

    /// The objects of a bucket whose names begin so.
    ///
    /// # Errors
    /// The bucket cannot be reached, or does not let us in.
    pub async fn bucket(config: &config::S3, bucket: &str, prefix: &str) -> Result<Self> {
        Ok(Self {
            label: format!("s3://{bucket}/{prefix}"),
            kind: Kind::Bucket { bucket: Bucket::open(config, bucket).await?, prefix: prefix.to_owned() },
        })
    }

    /// Its backups, in no order.
    ///
    /// # Errors
    /// It cannot be reached, or does not let us list them.
    pub async fn backups(&self) -> Result<Vec<Backup>> {
        match &self.kind {
            Kind::Provider(database) => database.backups().await,
            Kind::Bucket { bucket, prefix } => {
                let mut backups = bucket.backups(prefix).await?;
                // A whole name is meant, and not those that go on behind it.
                if backups.iter().any(|backup| backup.id == *prefix) {
                    backups.retain(|backup| backup.id == *prefix);
                }
                Ok(backups)
            }
            Kind::File(file) => {
                let object = file.look().await?;
                Ok(vec![Backup {
                    id: object.name.clone(),
                    name: object.name,
                    // A server that does not say is believed to have one of now.
                    taken_at: object.modified.unwrap_or_else(Utc::now),
                    size: object.size,
                    state: BackupState::Done,
                }])
            }
        }
    }

    /// The bytes of one of its backups.
    #[must_use]
    pub fn open(&self, backup: &Backup) -> Arc<dyn Remote> {
        match &self.kind {
            Kind::Provider(database) => Arc::new(database.file(backup)),
            Kind::Bucket { bucket, .. } => Arc::new(bucket.object(&backup.id)),
            Kind::File(file) => Arc::new(file.clone()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}
