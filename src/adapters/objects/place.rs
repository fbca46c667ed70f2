//! A place that has backups: the provider, a bucket, a server with a file.

use std::fmt;
use std::sync::Arc;

use chrono::Utc;
use url::Url;

use super::s3::Bucket;
use super::{Backup, BackupState, Remote, backup_name};
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
                let file = HttpFile::new(url.clone(), file_name(url.expose()))?;
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
            Kind::Bucket { bucket, prefix } => Ok(meant(prefix, bucket.backups(prefix).await?)),
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

/// What a file at a URL is called: by the end of its path where that is the name of a file, and no token of a link that was shared.
fn file_name(url: &Url) -> &str {
    let name = url.path_segments().and_then(|mut path| path.next_back()).unwrap_or_default();
    let is_kind =
        |kind: &str| matches!(kind.len(), 1..=8) && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_file = name.rsplit_once('.').is_some_and(|(_, kind)| is_kind(kind));
    if is_file { name } else { "the backup" }
}

/// Those that a prefix means. Where it is a whole name, or what pushes begin their names with, it does not mean those that go on otherwise:
/// beside `app-20261120-010000` lies `app-staging-20261120-020000`, which is of another application.
fn meant(prefix: &str, mut backups: Vec<Backup>) -> Vec<Backup> {
    let pushed_as = prefix.strip_suffix('-').unwrap_or(prefix);
    let is_named: fn(&str, &Backup) -> bool = |prefix, backup| backup.id == prefix;
    let is_pushed: fn(&str, &Backup) -> bool =
        |prefix, backup| backup_name::moment_of_ours(prefix, &backup.id).is_some();
    for (prefix, is_meant) in [(prefix, is_named), (pushed_as, is_pushed)] {
        if backups.iter().any(|backup| is_meant(prefix, backup)) {
            backups.retain(|backup| is_meant(prefix, backup));
        }
    }
    backups
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant_of(prefix: &str, keys: &[&str]) -> Vec<String> {
        let backup = |key: &&str| Backup {
            id: (*key).to_owned(),
            name: (*key).to_owned(),
            taken_at: Utc::now(),
            size: None,
            state: BackupState::Done,
        };
        meant(prefix, keys.iter().map(backup).collect()).into_iter().map(|backup| backup.id).collect()
    }

    #[test]
    fn a_token_in_a_path_is_no_name() {
        let name = |url: &str| file_name(&Url::parse(url).unwrap()).to_owned();
        assert_eq!(name("https://h/x/app.tar.gz?signature=hush"), "app.tar.gz");
        assert_eq!(name("https://h/share/eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2"), "the backup");
        assert_eq!(name("https://h/d/7d1f0c9a"), "the backup");
        assert_eq!(name("https://h"), "the backup");
    }

    #[test]
    fn a_prefix_does_not_mean_an_application_whose_name_goes_on_behind_it() {
        let (ours, theirs) = ("n/app-20261120-010000", "n/app-staging-20261120-020000");
        assert_eq!(meant_of("n/app", &[ours, theirs]), [ours]);
        assert_eq!(meant_of("n/app-", &[ours, theirs]), [ours]);
        assert_eq!(meant_of("n/app-s", &[theirs]), [theirs]);
        assert_eq!(meant_of("n/", &[ours, theirs]), [ours, theirs]);
        assert_eq!(meant_of("dump", &["dump-monday", "dump.2"]), ["dump-monday", "dump.2"]);
        assert_eq!(meant_of("dump", &["dump", "dump.2"]), ["dump"]);
    }
}
