//! One object, read by ranges.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

use super::Bucket;
use crate::adapters::objects::{Body, Object, Remote};
use crate::error::{Error, ErrorKind, Result};

/// The name in an object's metadata that the SHA-256 of its bytes goes by.
pub(super) const SHA256: &str = "sha256";

#[derive(Debug)]
struct Stored {
    bucket: Bucket,
    key: String,
}

impl Bucket {
    /// An object, to be read.
    #[must_use]
    pub fn object(&self, key: &str) -> impl Remote + use<> {
        Stored { bucket: self.clone(), key: key.to_owned() }
    }
}

impl Remote for Stored {
    fn look(&self) -> BoxFuture<'_, Result<Object>> {
        async move {
            let request = self.bucket.client.head_object().bucket(&self.bucket.name).key(&self.key);
            let head = match request.send().await {
                Ok(head) => head,
                Err(error) => return Err(self.reason(error).await),
            };
            Ok(Object {
                name: self.key.clone(),
                size: head.content_length().and_then(|size| u64::try_from(size).ok()),
                modified: head.last_modified().and_then(instant),
                tag: head.e_tag().and_then(strong),
                sha256: head.metadata().and_then(|metadata| metadata.get(SHA256)).cloned(),
                has_ranges: true,
            })
        }
        .boxed()
    }

    fn read<'a>(&'a self, object: &'a Object, from: u64, to: Option<u64>) -> BoxFuture<'a, Result<Body>> {
        async move {
            if to.is_some_and(|to| to <= from) {
                return Ok(stream::empty().boxed());
            }
            let range = match (from, to) {
                (0, None) => None,
                (from, None) => Some(format!("bytes={from}-")),
                (from, Some(to)) => Some(format!("bytes={from}-{}", to - 1)),
            };
            let answer = self
                .get()
                .set_range(range)
                .set_if_match(object.tag.clone())
                .send()
                .await
                .map_err(|error| self.failed(error))?;
            self.check(&answer, object, from)?;
            Ok(self.body(answer.body))
        }
        .boxed()
    }
}

impl Stored {
    fn get(&self) -> aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder {
        self.bucket.client.get_object().bucket(&self.bucket.name).key(&self.key)
    }

    fn failed(&self, error: SdkError<GetObjectError, HttpResponse>) -> Error {
        self.bucket.failed(format!("read {} from", self.key), error)
    }

    /// Why the object cannot be looked at. An answer to HEAD has no body and so no reason: the first byte is asked for.
    async fn reason<E>(&self, error: SdkError<E, HttpResponse>) -> Error
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if matches!(error, SdkError::ServiceError(_))
            && let Err(error) = self.get().range("bytes=0-0").send().await
        {
            return self.failed(error);
        }
        self.bucket.failed(format!("read {} from", self.key), error)
    }

    /// A service that knows no `If-Match` still says what it sends.
    fn check(&self, answer: &GetObjectOutput, object: &Object, from: u64) -> Result<()> {
        let tag = answer.e_tag().and_then(strong);
        if object.tag.is_some() && tag.is_some() && tag != object.tag {
            return Err(Error::new(
                ErrorKind::Data,
                format!("{} in {:?} was replaced while it was read", self.key, self.bucket),
            )
            .hint("try again"));
        }
        let begins = |range: &str| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok();
        if from > 0 && answer.content_range().and_then(begins) != Some(from) {
            return Err(Error::new(
                ErrorKind::Rejected,
                format!("{:?} sends other bytes of {} than those asked for", self.bucket, self.key),
            ));
        }
        Ok(())
    }

    fn body(&self, body: ByteStream) -> Body {
        let what = format!("the reading of {} from {:?} broke off", self.key, self.bucket);
        stream::try_unfold((body, what), |(mut body, what)| async move {
            match body.next().await {
                None => Ok(None),
                Some(Ok(bytes)) => Ok(Some((bytes, (body, what)))),
                Some(Err(error)) => Err(Error::new(ErrorKind::Connection, what).because(error)),
            }
        })
        .boxed()
    }
}

/// A weak validator says nothing of the bytes.
fn strong(tag: &str) -> Option<String> {
    (!tag.starts_with("W/")).then(|| tag.to_owned())
}

pub(super) fn instant(time: &aws_sdk_s3::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}
