//! Backups, where they come from and go to: `BACKUP_SOURCE`, `BACKUP_MAX_AGE`, `BACKUP_WAIT`, `BACKUP_DECRYPT_WITH`; what is pushed:
//! `S3_BUCKET_NAME`, `S3_OBJECT_NAME_PREFIX`, `BACKUP_PUSH_SCHEDULE`, `BACKUP_KEEP`, `BACKUP_ENCRYPT_TO`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use croner::Cron;
use url::Url;

use super::queue::parse_cron;
use super::{Reader, S3, Scalingo, Secret, host_and_port};

/// Where the full stage reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupSource {
    /// The source database itself.
    Live,
    /// A pg_dump archive: a custom-format file, which may be compressed, or a directory.
    Path(PathBuf),
    /// A file at an http(s) URL.
    Url(ObjectUrl),
    /// The newest finished object below a prefix, or the one of this name.
    S3 {
        /// The bucket.
        bucket: String,
        /// A prefix or a whole name; empty for the whole bucket.
        prefix: String,
    },
    /// The newest finished backup of an application's PostgreSQL.
    Scalingo,
}

/// A URL whose path and query may hold a secret (a signature): it prints as its scheme and host.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectUrl(Url);

impl ObjectUrl {
    /// Checks an http(s) URL.
    ///
    /// # Errors
    /// What is wrong, in words that do not quote the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("not a URL ({error})"))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => Ok(Self(url)),
            scheme => Err(format!("the scheme is {scheme:?}, not https")),
        }
    }

    /// The whole URL. Never log it.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The host and the port, where one is written.
    #[must_use]
    pub fn host(&self) -> String {
        host_and_port(&self.0)
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.host())
    }
}

impl fmt::Debug for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BackupSource {
    /// Reads a source from what names it.
    ///
    /// # Errors
    /// What is wrong, and what can be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "write live, scalingo, s3://bucket/prefix, https://host/file, or the path of a pg_dump archive";
        match text.split_once("://") {
            Some(("http" | "https", _)) => {
                ObjectUrl::parse(text).map(Self::Url).map_err(|error| format!("{error}: {FORM}"))
            }
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.contains('@') {
                    return Err("holds a key: it goes into S3_ACCESS_KEY and S3_SECRET_ACCESS_KEY".to_owned());
                }
                if bucket.is_empty() {
                    return Err(format!("names no bucket: {FORM}"));
                }
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            Some((scheme, _)) => Err(format!("{scheme}:// is no source: {FORM}")),
            None if text == "live" => Ok(Self::Live),
            None if text == "scalingo" => Ok(Self::Scalingo),
            None => Ok(Self::Path(PathBuf::from(text))),
        }
    }

    /// Its kind in one word, for logs and the ledger.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Path(_) => "path",
            Self::Url(_) => "url",
            Self::S3 { .. } => "s3",
            Self::Scalingo => "scalingo",
        }
    }
}

/// What `backup push` writes, and where.
#[derive(Debug, Clone)]
pub struct Push {
    /// The bucket.
    pub bucket: String,
    /// What the objects' names begin with.
    pub prefix: String,
    /// How many stay; all where it is not set.
    pub keep: Option<usize>,
    /// When it is done by itself.
    pub schedule: Option<Cron>,
    /// The public keys to encrypt to (age recipients), checked; none: not encrypted.
    pub encrypt_to: Vec<String>,
}

/// The settings of backups.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Where the full stage reads from.
    pub source: BackupSource,
    /// A backup that is older is not taken.
    pub max_age: Duration,
    /// How long one that is being made is waited for.
    pub wait: Duration,
    /// The private keys (age identities) of encrypted backups.
    pub decrypt_with: Vec<Secret>,
    /// The provider's API.
    pub scalingo: Scalingo,
    /// How buckets are reached.
    pub s3: S3,
    /// What is pushed; none without a bucket.
    pub push: Option<Push>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

impl Backup {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let source = reader.parse("BACKUP_SOURCE", BackupSource::Live, BackupSource::parse);
        let scalingo = Scalingo::read(reader, source == BackupSource::Scalingo);
        Self {
            max_age: reader.duration("BACKUP_MAX_AGE", DAY),
            wait: reader.duration("BACKUP_WAIT", HOUR),
            decrypt_with: reader.parse("BACKUP_DECRYPT_WITH", Vec::new(), parse_identities),
            scalingo,
            s3: S3::read(reader),
            push: read_push(reader),
            source,
        }
    }
}

fn read_push(reader: &mut Reader<'_>) -> Option<Push> {
    // Read whether or not there is a bucket: what is wrong is said in any case, and a backup is never sent in the clear for a slip in a key.
    let schedule = reader.parse("BACKUP_PUSH_SCHEDULE", None, |text| parse_cron(text).map(Some));
    let keep = reader.text("BACKUP_KEEP").map(|_| reader.number("BACKUP_KEEP", 1, 1..=100_000) as usize);
    let encrypt_to = reader.parse("BACKUP_ENCRYPT_TO", Vec::new(), parse_recipients);
    let prefix = reader.text("S3_OBJECT_NAME_PREFIX").unwrap_or("backup").to_owned();
    if prefix.starts_with('/') {
        reader.problem("S3_OBJECT_NAME_PREFIX", "begins with a slash: write folder/name or name");
    }
    let bucket = reader.text("S3_BUCKET_NAME").map(str::to_owned);
    if bucket.is_none() && schedule.is_some() {
        reader.problem("S3_BUCKET_NAME", "not set, but BACKUP_PUSH_SCHEDULE is: name the bucket to push to");
    }
    bucket.map(|bucket| Push { bucket, prefix, keep, schedule, encrypt_to })
}

/// Keys stand beside each other, with commas or spaces between them.
fn keys(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|key| !key.is_empty())
}

fn parse_recipients(text: &str) -> Result<Vec<String>, String> {
    keys(text)
        .map(|key| match key.parse::<age::x25519::Recipient>() {
            Ok(_) => Ok(key.to_owned()),
            Err(_) if key.starts_with("AGE-SECRET-KEY-") => {
                Err("is a private key: write its public one, which age-keygen -y prints".to_owned())
            }
            Err(error) => Err(format!("{key:?} is no age public key ({error}): write age1...")),
        })
        .collect()
}

fn parse_identities(text: &str) -> Result<Vec<Secret>, String> {
    keys(text)
        .map(|key| match key.parse::<age::x25519::Identity>() {
            Ok(_) => Ok(Secret::new(key)),
            Err(error) => Err(format!("not an age private key ({error}): write AGE-SECRET-KEY-1...")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const PRIVATE: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    fn read(pairs: &[(&str, &str)]) -> Result<Backup, String> {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let read = Backup::read(&mut reader);
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_is_named_in_five_ways() {
        let source = |text| BackupSource::parse(text);
        assert_eq!(source("live"), Ok(BackupSource::Live));
        assert_eq!(source("scalingo"), Ok(BackupSource::Scalingo));
        assert_eq!(source("/backups/x.dump"), Ok(BackupSource::Path("/backups/x.dump".into())));
        let s3 = |bucket: &str, prefix: &str| {
            Ok(BackupSource::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        };
        assert_eq!(source("s3://b"), s3("b", ""));
        assert_eq!(source("s3://b/nightly/app-"), s3("b", "nightly/app-"));
        assert_eq!(source("https://h:1/x?sig=hush").unwrap().kind(), "url");
        for wrong in ["s3:///x", "ftp://h/x", "https://"] {
            let text = source(wrong).unwrap_err();
            assert!(text.contains("write live, scalingo, s3://"), "{text}");
        }
    }

    #[test]
    fn keys_in_the_name_of_a_bucket_are_refused_and_not_shown() {
        let text = read(&[("BACKUP_SOURCE", "s3://key:hush@bucket/app")]).unwrap_err();
        assert!(text.contains("S3_SECRET_ACCESS_KEY") && !text.contains("hush"), "{text}");
    }

    #[test]
    fn a_signed_url_is_shown_by_its_host_only() {
        let url = ObjectUrl::parse("https://me:hush@files.example:8443/secret/x.dump?token=hush").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://files.example:8443 https://files.example:8443");
    }

    #[test]
    fn a_key_that_does_not_parse_fails_closed_and_a_private_one_is_not_quoted() {
        let bucket = ("S3_BUCKET_NAME", "b");
        let push = read(&[bucket, ("BACKUP_ENCRYPT_TO", PUBLIC)]).unwrap().push.unwrap();
        assert_eq!(push.encrypt_to, [PUBLIC]);
        let slip = PUBLIC.replace("t7rx", "t7ry");
        let text = read(&[bucket, ("BACKUP_ENCRYPT_TO", &slip)]).unwrap_err();
        assert!(text.starts_with("BACKUP_ENCRYPT_TO: \"age1t7ry"), "{text}");
        let text = read(&[bucket, ("BACKUP_ENCRYPT_TO", PRIVATE)]).unwrap_err();
        assert!(text.contains("is a private key") && !text.contains("GQ9778"), "{text}");
        let text = read(&[("BACKUP_DECRYPT_WITH", &PRIVATE[..40])]).unwrap_err();
        assert!(
            text.starts_with("BACKUP_DECRYPT_WITH: not an age private key") && !text.contains("GQ9778"),
            "{text}"
        );
        assert_eq!(read(&[("BACKUP_DECRYPT_WITH", PRIVATE)]).unwrap().decrypt_with.len(), 1);
    }

    #[test]
    fn a_push_that_is_scheduled_needs_a_bucket() {
        let text = read(&[("BACKUP_PUSH_SCHEDULE", "0 1 * * *")]).unwrap_err();
        assert!(text.starts_with("S3_BUCKET_NAME: not set"), "{text}");
        assert!(read(&[]).unwrap().push.is_none());
        assert!(
            read(&[("S3_BUCKET_NAME", "b"), ("BACKUP_KEEP", "0")]).unwrap_err().starts_with("BACKUP_KEEP: ")
        );
    }
}
