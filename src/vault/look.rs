//! Whether a backup could be pushed now, and what was pushed last: for `check`.

use chrono::{DateTime, Utc};

use super::list::Listed;
use crate::adapters::objects::s3::Bucket;
use crate::adapters::objects::{Backup, backup_name};
use crate::config;
use crate::error::Result;

/// The bucket that backups are pushed to.
#[derive(Debug)]
pub struct Looked {
    /// `s3://bucket/prefix`.
    pub place: String,
    /// The newest of those that were pushed.
    pub newest: Option<Listed>,
}

/// Looks into the bucket, and whether it may be written: an upload is begun and aborted. Nothing without a bucket.
///
/// # Errors
/// It cannot be reached, or does not let us list or write.
pub async fn run(config: &config::Backup, now: DateTime<Utc>) -> Result<Option<Looked>> {
    let Some(push) = &config.push else { return Ok(None) };
    let place = format!("s3://{}/{}", push.bucket, push.prefix);
    let bucket = Bucket::open(&config.s3, &push.bucket).await?;
    let pushed = bucket.backups(&push.prefix).await?.into_iter();
    let newest = pushed
        .filter_map(|backup| backup_name::moment_of_ours(&push.prefix, &backup.name).map(|at| (at, backup)))
        .max_by_key(|(at, _)| *at)
        .map(|(taken_at, backup)| Listed::new(place.clone(), Backup { taken_at, ..backup }, now));
    bucket.may_write(&backup_name::at(&push.prefix, now)).await?;
    Ok(Some(Looked { place, newest }))
}
