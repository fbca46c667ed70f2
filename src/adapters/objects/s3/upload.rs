//! An object written in parts: streamed, with bounded memory, whole or not at all.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinSet;

use super::{Bucket, letting_go, patience, slow_answer};
use crate::adapters::objects::from_io;
use crate::adapters::objects::sum::hex;
use crate::error::{Error, ErrorKind, Result};

const MEBIBYTE: u64 = 1024 * 1024;

/// Most services take at most so many parts.
pub(super) const MOST_PARTS: u32 = 10_000;

/// No service takes a greater one.
const GREATEST_PART: u64 = 5 * 1024 * MEBIBYTE;

/// Parts on their way hold so much together, or are one.
const IN_FLIGHT: u64 = 32 * MEBIBYTE;

/// How much is read at once: the hash of it is made while the next comes.
const PIECE: usize = 256 * 1024;

/// How often an upload is aborted at most, while parts that were on their way come in.
/// How long parts on their way are waited for before their upload is aborted.
const DRAIN: Duration = Duration::from_secs(1);
const ABORT_TRIES: u32 = 5;
const ABORT_PAUSE: Duration = Duration::from_secs(1);

/// How many bytes the part of this number (from 1 on) has, the last one excepted. With 10,000 parts it must reach the greatest object (5 TB),
/// in small parts as long as that can be: up to 175 GB, 64 MiB of memory are enough.
fn size_of_part(number: u32) -> u64 {
    match number {
        0..=1_000 => 8 * MEBIBYTE,
        1_001..=6_000 => 32 * MEBIBYTE,
        _ => GREATEST_PART.min((32 * MEBIBYTE) << ((number - 6_001) / 500 + 1)),
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256 in hex.
    pub sha256: String,
}

/// An upload that has begun. Dropped before its end, it is aborted: the parts that are there already are removed.
#[derive(Debug)]
pub(super) struct Upload {
    bucket: Bucket,
    key: String,
    id: String,
    on_their_way: JoinSet<Result<CompletedPart>>,
    done: Vec<CompletedPart>,
    is_over: bool,
}

impl Bucket {
    /// Writes an object from a stream, whole or not at all: an error of the stream, or one of the service, leaves nothing.
    ///
    /// # Errors
    /// Those of the stream, as they are; the service cannot be reached or refuses.
    pub async fn upload(&self, key: &str, input: impl AsyncRead + Unpin) -> Result<Written> {
        let mut upload = Upload::begin(self, key, &[]).await?;
        match upload.stream(input).await {
            Ok(written) => {
                upload.finish().await?;
                Ok(written)
            }
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    /// Whether an object of this name could be written: an upload is begun and aborted. Nothing is left.
    ///
    /// # Errors
    /// It could not.
    pub async fn may_write(&self, key: &str) -> Result<()> {
        let mut upload = Upload::begin(self, key, &[]).await?;
        upload.is_over = true;
        self.abort_upload(key, &upload.id).await
    }
}

impl Upload {
    /// Begins an upload; the metadata of the object can only be given now.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub(super) async fn begin(bucket: &Bucket, key: &str, metadata: &[(&str, &str)]) -> Result<Self> {
        let mut request = bucket.client.create_multipart_upload().bucket(&bucket.name).key(key);
        for (name, value) in metadata {
            request = request.metadata(*name, *value);
        }
        let doing = format!("write {key} to");
        let begun = request.send().await.map_err(|error| bucket.failed(&doing, error))?;
        let id = begun.upload_id.ok_or_else(|| {
            Error::new(ErrorKind::Rejected, format!("cannot {doing} {bucket:?}: it gives the upload no name"))
        })?;
        Ok(Self {
            bucket: bucket.clone(),
            key: key.to_owned(),
            id,
            on_their_way: JoinSet::new(),
            done: Vec::new(),
            is_over: false,
        })
    }

    /// Sends a stream in parts, several at a time.
    async fn stream(&mut self, mut input: impl AsyncRead + Unpin) -> Result<Written> {
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        for number in 1..=MOST_PARTS {
            let size = size_of_part(number);
            let part = read_part(&mut input, size, &mut hash).await?;
            let is_last = (part.len() as u64) < size;
            bytes += part.len() as u64;
            // An object of no bytes is one empty part.
            if !part.is_empty() || number == 1 {
                self.make_room_for(size).await?;
                self.send(number, part);
            }
            if is_last {
                while self.next_is_done().await? {}
                return Ok(Written { bytes, sha256: hex(&hash.finalize()) });
            }
        }
        Err(Error::new(ErrorKind::Data, format!("{} is greater than an object can be", self.key)))
    }

    async fn make_room_for(&mut self, size: u64) -> Result<()> {
        let most = usize::try_from(IN_FLIGHT / size).unwrap_or(usize::MAX).max(1);
        while self.on_their_way.len() >= most {
            self.next_is_done().await?;
        }
        Ok(())
    }

    /// Waits for a part that is on its way; false where none is.
    pub(super) async fn next_is_done(&mut self) -> Result<bool> {
        match self.on_their_way.join_next().await {
            None => Ok(false),
            Some(Ok(part)) => {
                self.done.push(part?);
                Ok(true)
            }
            Some(Err(error)) => Err(Error::new(ErrorKind::Internal, "an upload's task ended").because(error)),
        }
    }

    fn send(&mut self, number: u32, part: Bytes) {
        let number = part_number(number);
        let size = part.len() as u64;
        let request = self
            .bucket
            .client
            .upload_part()
            .bucket(&self.bucket.name)
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(number)
            .body(ByteStream::from(part))
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(patience(size)));
        let (bucket, doing) = (self.bucket.clone(), format!("write part {number} of {} to", self.key));
        self.start(async move {
            let answer = request.send().await.map_err(|error| bucket.failed(doing, error))?;
            Ok(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).build())
        });
    }

    pub(super) fn start(&mut self, part: impl Future<Output = Result<CompletedPart>> + Send + 'static) {
        self.on_their_way.spawn(part);
    }

    pub(super) fn on_their_way(&self) -> usize {
        self.on_their_way.len()
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Makes the parts an object.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.done.sort_by_key(CompletedPart::part_number);
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.done))).build();
        let result = self
            .bucket
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket.name)
            .key(&self.key)
            .upload_id(&self.id)
            .multipart_upload(parts)
            .customize()
            .config_override(slow_answer())
            .send()
            .await;
        match result {
            Ok(_) => {
                self.is_over = true;
                Ok(())
            }
            Err(error) => {
                let error = self.bucket.failed(format!("finish {} in", self.key), error);
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Removes what there is of it. Where that fails the parts stay until a later push removes them.
    pub(super) async fn abort(mut self) {
        self.is_over = true;
        let on_their_way = std::mem::take(&mut self.on_their_way);
        abort(self.bucket.clone(), self.key.clone(), self.id.clone(), on_their_way).await;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let on_their_way = std::mem::take(&mut self.on_their_way);
        let abort = abort(self.bucket.clone(), self.key.clone(), self.id.clone(), on_their_way);
        letting_go::spawn(abort);
    }
}

async fn abort(bucket: Bucket, key: String, id: String, mut on_their_way: JoinSet<Result<CompletedPart>>) {
    // A part whose request is dropped may still arrive, after the abort: those that end soon are waited for.
    let drain = async { while on_their_way.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drain).await;
    on_their_way.shutdown().await;
    for _ in 0..ABORT_TRIES {
        if let Err(error) = bucket.abort_upload(&key, &id).await {
            tracing::warn!(error.message = %error, "an upload could not be aborted: a later push removes its parts");
            return;
        }
        // A part that was on its way may arrive later than the abort, and stay: Amazon's manual says to look, and to abort again.
        if !bucket.has_parts(&key, &id).await {
            return;
        }
        tokio::time::sleep(ABORT_PAUSE).await;
    }
}

/// Reads a whole part, or what is left.
async fn read_part(input: &mut (impl AsyncRead + Unpin), size: u64, hash: &mut Sha256) -> Result<Bytes> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut part = BytesMut::with_capacity(size);
    while part.len() < size {
        let before = part.len();
        let mut piece = (&mut part).limit(PIECE.min(size - before));
        let read = input
            .read_buf(&mut piece)
            .await
            .map_err(|error| from_io(error, "cannot read what is to be uploaded"))?;
        if read == 0 {
            break;
        }
        hash.update(&part[before..]);
    }
    Ok(part.freeze())
}

pub(super) fn part_number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_reach_the_greatest_object_and_no_part_is_too_great() {
        let whole: u64 = (1..=MOST_PARTS).map(size_of_part).sum();
        assert!(whole >= 5 << 40, "{whole}");
        assert!(
            (1..=MOST_PARTS).all(|number| (5 * MEBIBYTE..=GREATEST_PART).contains(&size_of_part(number)))
        );
        assert!((1..MOST_PARTS).all(|number| size_of_part(number) <= size_of_part(number + 1)));
    }

    #[test]
    fn small_parts_are_enough_for_what_people_have() {
        let in_small: u64 = (1..=6_000).map(size_of_part).sum();
        assert!(in_small > 170_000_000_000, "{in_small}");
        assert!((1..=6_000).all(|number| size_of_part(number) <= IN_FLIGHT));
    }
}
