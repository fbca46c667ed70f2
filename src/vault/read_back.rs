//! Reading back what was pushed, before it counts as a backup.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::adapters::objects::s3::{Bucket, Written};
use crate::adapters::objects::{Download, Object, Remote, from_io, unwrap};
use crate::adapters::postgres::archive::Checked;
use crate::adapters::postgres::tools::Tools;
use crate::adapters::process::Running;
use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

const BUFFER: usize = 256 * 1024;

/// Reads every byte of an object and holds size and SHA-256 against what was written. With `archive` it is unwrapped too, walked through as the
/// archive that it is, and its contents are listed by pg_restore, with which it would be restored.
///
/// # Errors
/// It cannot be read, or it is not what was written.
pub(super) async fn run(
    bucket: &Bucket,
    key: &str,
    written: &Written,
    archive: Option<(&Tools, &[Secret])>,
) -> Result<Object> {
    let remote = bucket.object(key);
    let mut object = remote.look().await?;
    if object.size.is_some_and(|size| size != written.bytes) {
        let text = format!(
            "{key} has {} bytes in {bucket:?}, but {} were written",
            object.size.unwrap_or(0),
            written.bytes
        );
        return Err(
            Error::new(ErrorKind::Verification, text).hint("push again; if it stays so, ask the provider")
        );
    }
    // The download holds what comes against it.
    object.sha256 = Some(written.sha256.clone());
    let download = Download::start(Arc::new(remote), object.clone());
    match archive {
        Some((tools, keys)) => read_archive(unwrap(download, keys).await?, tools).await?,
        None => read(download).await?,
    }
    Ok(object)
}

async fn read(mut input: impl AsyncRead + Unpin) -> Result<()> {
    let mut bytes = vec![0; BUFFER];
    while input.read(&mut bytes).await.map_err(failed)? > 0 {}
    Ok(())
}

async fn read_archive(input: impl AsyncRead + Unpin, tools: &Tools) -> Result<()> {
    let (mut list, mut tool) = Running::start_with_input(&tools.list_archive())?;
    let mut input = Checked::new(input);
    let feed = async {
        let mut bytes = vec![0; BUFFER];
        loop {
            let length = input.read(&mut bytes).await.map_err(failed)?;
            if length == 0 {
                return Ok(());
            }
            // Having seen the table of contents, it listens no more.
            if tool.write_all(&bytes[..length]).await.is_err() {
                drop(tool);
                return read(input).await;
            }
        }
    };
    let mut listed = Vec::new();
    let hear = async { list.stdout.read_to_end(&mut listed).await.map_err(failed) };
    tokio::try_join!(feed, hear)?;
    list.finish().await?;
    // Comments begin with a semicolon.
    if listed.split(|&byte| byte == b'\n').all(|line| line.is_empty() || line.starts_with(b";")) {
        tracing::warn!("the backup that was pushed holds nothing: is the source empty?");
    }
    Ok(())
}

fn failed(error: io::Error) -> Error {
    from_io(error, "reading back failed")
}
