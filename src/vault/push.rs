//! A dump of the source, streamed into the bucket, read back, and given its name.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::io::{AsyncRead, ReadBuf};

use super::{read_back, retention};
use crate::adapters::ledger::{PushedBackup, Recorder};
use crate::adapters::objects::s3::{self, Bucket, Temporary, Written};
use crate::adapters::objects::{Object, Remote, backup_name};
use crate::adapters::postgres::tools::{Tools, Version};
use crate::adapters::postgres::{Database, catalog};
use crate::adapters::process::Running;
use crate::adapters::sealing;
use crate::clock;
use crate::config::{self, Config, DatabaseUrl, Secret};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::outcome::{Meter, Skipped, millis};

/// How long the source's locks are waited for: a migration that runs at night may hold one.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// What is older than this and not finished is of a push that is dead.
const LEFTOVERS_AGE: TimeDelta = TimeDelta::days(1);
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Pushes a dump of the source: nothing lies on this machine's disk, and little in its memory.
///
/// One that fails leaves nothing in the bucket; that of a process that was killed is removed by a later push. Done again it pushes another dump,
/// under a name of its own.
///
/// # Errors
/// The source cannot be dumped, or the bucket cannot be written, or what was written cannot be read back.
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    let start = Instant::now();
    let ground = recorder.step("guard", Ground::open(config, recorder)).await?;
    let taken_at = clock::now().trunc_subsecs(0);
    let name = backup_name::at(&ground.push.prefix, taken_at);
    // From here on it goes, whatever happens.
    let unverified = Temporary::new(&ground.bucket, &format!("{name}{}", backup_name::UNVERIFIED));
    let written = recorder.step("dump_and_push", ground.dump(unverified.key(), recorder.meter())).await?;
    let object = recorder.step("read_back", ground.read_back(unverified.key(), &written)).await?;
    recorder.step("publish", ground.publish(&object, &written, &name, taken_at, recorder)).await?;
    unverified.remove().await;
    tracing::info!(
        bucket = ground.bucket.name(),
        backup = name,
        bytes = written.bytes,
        sha256 = written.sha256,
        is_encrypted = ground.is_encrypted(),
        duration_ms = millis(start.elapsed()),
        "{}",
        events::BACKUP_PUSHED
    );
    if let Some(keep) = ground.push.keep {
        recorder
            .step("retention", retention::keep(&ground.bucket, &ground.push.prefix, keep, &name, recorder))
            .await?;
    }
    Ok(())
}

/// What a push stands on.
struct Ground<'a> {
    source: &'a DatabaseUrl,
    push: &'a config::Push,
    keys: &'a [Secret],
    tools: Tools,
    bucket: Bucket,
}

impl<'a> Ground<'a> {
    /// Finds out whether the push can succeed, before hours are spent on it.
    async fn open(config: &'a Config, recorder: &Recorder) -> Result<Self> {
        let unset =
            |variable, what| Error::new(ErrorKind::Configuration, format!("{variable}: not set: {what}"));
        let push = config.backup.push.as_ref();
        let push = push.ok_or_else(|| unset("S3_BUCKET_NAME", "name the bucket to push to"))?;
        let source = config.databases.source.as_ref();
        let source = source.ok_or_else(|| unset("SOURCE_DATABASE_URL", "name the database to dump"))?;
        let keys = &config.backup.decrypt_with;
        check_keys(&push.encrypt_to, keys)?;
        let tools = Tools::find(config.replication.pg_bin_dir.as_deref()).await?;
        let mut session = Database::new(source, "source")?.connect().await?;
        let identity = catalog::identity(&mut session).await?;
        tools.check_server(Version::from_number(identity.server_version.unsigned_abs()))?;
        let bucket = Bucket::open(&config.backup.s3, &push.bucket).await?;
        bucket.may_write(&backup_name::at(&push.prefix, clock::now())).await?;
        let ground = Self { source, push, keys, tools, bucket };
        ground.remove_leftovers(recorder).await?;
        Ok(ground)
    }

    fn is_encrypted(&self) -> bool {
        !self.push.encrypt_to.is_empty()
    }

    async fn remove_leftovers(&self, recorder: &Recorder) -> Result<()> {
        match self.bucket.remove_leftovers(&self.push.prefix, clock::now() - LEFTOVERS_AGE).await {
            Ok(0) => Ok(()),
            Ok(objects) => {
                tracing::info!(bucket = self.bucket.name(), objects, "{}", events::LEFTOVERS_REMOVED);
                Ok(())
            }
            // No reason not to push.
            Err(error) => {
                let object = "what earlier pushes left half done".to_owned();
                recorder.skipped(Skipped { object, reason: error.to_string(), definition: None }).await
            }
        }
    }

    async fn dump(&self, key: &str, meter: &Meter) -> Result<Written> {
        let dump = Running::start(&self.tools.dump(self.source, LOCK_WAIT))?.into_output();
        let dump = Watched { inner: dump, bytes: 0, said: Instant::now(), meter: meter.clone() };
        let written = if self.is_encrypted() {
            self.bucket.upload(key, sealing::seal(dump, &self.push.encrypt_to)?).await
        } else {
            self.bucket.upload(key, dump).await
        };
        written.map_err(|error| if error.kind() == ErrorKind::Tool { in_words(error) } else { error })
    }

    async fn read_back(&self, key: &str, written: &Written) -> Result<Object> {
        let is_readable = !self.is_encrypted() || !self.keys.is_empty();
        let archive = is_readable.then_some((&self.tools, self.keys));
        read_back::run(&self.bucket, key, written, archive).await
    }

    /// Gives the backup its name, and the ledger its row.
    async fn publish(
        &self,
        unverified: &Object,
        written: &Written,
        name: &str,
        taken_at: DateTime<Utc>,
        recorder: &Recorder,
    ) -> Result<()> {
        let metadata = [("sha256", written.sha256.as_str())];
        let from =
            s3::Original { key: &unverified.name, tag: unverified.tag.as_deref(), size: written.bytes };
        self.bucket.copy(from, name, &metadata).await?;
        let copy = self.bucket.object(name).look().await?;
        if copy.size != Some(written.bytes) || copy.sha256.as_ref() != Some(&written.sha256) {
            self.bucket.delete(name).await?;
            let text =
                format!("the bucket copied {} to {name}, and made something else of it", unverified.name);
            return Err(Error::new(ErrorKind::Verification, text)
                .hint("does the service keep the metadata of objects?"));
        }
        let backup = PushedBackup {
            bucket: self.bucket.name().to_owned(),
            name: name.to_owned(),
            taken_at,
            bytes: written.bytes,
            sha256: written.sha256.clone(),
            is_encrypted: self.is_encrypted(),
        };
        recorder.ledger().backup_pushed(recorder.run(), &backup).await
    }
}

/// Keys that are there are meant to read what is pushed. Better now than on the day on which they are needed.
fn check_keys(encrypt_to: &[String], keys: &[Secret]) -> Result<()> {
    if encrypt_to.is_empty() || keys.is_empty() || sealing::can_open(encrypt_to, keys) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, "no key of BACKUP_DECRYPT_WITH opens what is encrypted to BACKUP_ENCRYPT_TO")
        .hint("add the private key of one of the public keys; or unset BACKUP_DECRYPT_WITH: what is pushed is then read back without being opened"))
}

/// What pg_dump said of its end: whether trying again can help, and what to do. Its own words are English; a server's may not be.
fn in_words(error: Error) -> Error {
    const LOST: [&str; 4] =
        ["closed the connection", "connection to server", "could not receive data", "terminating connection"];
    let text = error.to_string();
    if text.contains("permission denied") || text.contains("row-level security") {
        return Error::new(ErrorKind::Privilege, text).hint(
            "let the role of SOURCE_DATABASE_URL read all of it: its owner, or one with pg_read_all_data and BYPASSRLS",
        );
    }
    if LOST.iter().any(|lost| text.contains(lost)) {
        return Error::new(ErrorKind::Connection, text)
            .hint("was the source restarted, or its session ended?");
    }
    if text.contains("lock timeout") {
        return Error::new(ErrorKind::Timeout, text)
            .hint("a migration holds a table of the source: try again when it is over");
    }
    error
}

/// A dump that says how far it is.
#[derive(Debug)]
struct Watched<R> {
    inner: R,
    bytes: u64,
    said: Instant,
    meter: Meter,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, into))?;
        self.bytes += (into.filled().len() - before) as u64;
        self.meter.set(self.bytes, 0);
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            tracing::info!(bytes = self.bytes, "{}", events::PUSH_PROGRESS);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const PRIVATE: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    #[test]
    fn the_end_of_a_pg_dump_is_told_by_its_words() {
        let kind = |text: &str| in_words(Error::new(ErrorKind::Tool, text)).kind();
        assert_eq!(kind("pg_dump failed: ERROR:  permission denied for table users"), ErrorKind::Privilege);
        assert_eq!(kind("pg_dump failed: server closed the connection unexpectedly"), ErrorKind::Connection);
        assert_eq!(
            kind("pg_dump failed: FATAL:  terminating connection due to administrator command"),
            ErrorKind::Connection
        );
        assert_eq!(
            kind("pg_dump failed: ERROR:  canceling statement due to lock timeout"),
            ErrorKind::Timeout
        );
        assert_eq!(kind("pg_dump failed: invalid option"), ErrorKind::Tool);
    }

    #[test]
    fn keys_that_do_not_belong_together_are_told_before_the_dump() {
        let private = [Secret::new(PRIVATE)];
        let stranger = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg".to_owned();
        check_keys(&[], &private).unwrap();
        check_keys(std::slice::from_ref(&stranger), &[]).unwrap();
        let error = check_keys(&[stranger], &private).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(!format!("{error:?}").contains("AGE-SECRET"), "{error:?}");
        check_keys(&[PUBLIC.to_owned()], &private).unwrap();
    }
}
