//! The backups that there are: those that were pushed, and those of the source.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::adapters::objects::place::Place;
use crate::adapters::objects::{Backup, BackupState};
use crate::config::{self, BackupSource};
use crate::error::{Error, ErrorKind, Result};

/// A backup in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Where it is: `s3://bucket/prefix`, `application app`.
    pub place: String,
    /// What it is fetched by.
    pub name: String,
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// How long ago that is.
    pub age_seconds: i64,
    /// Its bytes there.
    pub bytes: Option<u64>,
    /// How it stands.
    pub state: BackupState,
}

/// The backups of each place that the configuration names, the newest first.
///
/// # Errors
/// No place is named, or one cannot be reached.
pub async fn run(config: &config::Backup, now: DateTime<Utc>) -> Result<Vec<Listed>> {
    let found = all(config).await?;
    Ok(found.into_iter().map(|(place, backup)| Listed::new(place.to_string(), backup, now)).collect())
}

impl Listed {
    pub(super) fn new(place: String, backup: Backup, now: DateTime<Utc>) -> Self {
        Self {
            place,
            age_seconds: (now - backup.taken_at).num_seconds(),
            name: backup.name,
            taken_at: backup.taken_at,
            bytes: backup.size,
            state: backup.state,
        }
    }
}

pub(super) type Found = (std::sync::Arc<Place>, Backup);

/// All backups and where each is, the newest first.
pub(super) async fn all(config: &config::Backup) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for place in places(config).await? {
        let place = std::sync::Arc::new(place);
        found.extend(place.backups().await?.into_iter().map(|backup| (place.clone(), backup)));
    }
    found.sort_by(|(_, left), (_, right)| (right.taken_at, &right.id).cmp(&(left.taken_at, &left.id)));
    Ok(found)
}

async fn places(config: &config::Backup) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    if let Some(push) = &config.push {
        places.push(Place::bucket(&config.s3, &push.bucket, &push.prefix).await?);
    }
    if !is_where_pushes_go(config) {
        places.extend(Place::of_source(config).await?);
    }
    if places.is_empty() {
        return Err(Error::new(ErrorKind::Configuration, "there is no place to look for backups in").hint(
            "set S3_BUCKET_NAME, or BACKUP_SOURCE to scalingo, s3://bucket/prefix or https://host/file",
        ));
    }
    Ok(places)
}

/// Whether the source is what is pushed: its backups are not to be listed twice.
fn is_where_pushes_go(config: &config::Backup) -> bool {
    let Some(push) = &config.push else { return false };
    match &config.source {
        BackupSource::S3 { bucket, prefix } => *bucket == push.bucket && prefix.starts_with(&push.prefix),
        _ => false,
    }
}
