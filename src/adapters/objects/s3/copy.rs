//! A copy within the bucket, made by the service: no byte travels.

use aws_sdk_s3::types::{CompletedPart, MetadataDirective};

use super::upload::{Upload, part_number};
use super::{Bucket, slow_answer};
use crate::error::Result;

const GIBIBYTE: u64 = 1024 * 1024 * 1024;
/// What is greater is copied in parts.
const GREATEST_AT_ONCE: u64 = 5 * GIBIBYTE;
/// A part may have 5 GiB too; this takes a service some seconds.
const PART: u64 = GIBIBYTE;

/// How many parts are copied at a time.
const AT_ONCE: usize = 4;

/// What is copied: its key, its validator, how many bytes it has.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// Its key.
    pub key: &'a str,
    /// One with another validator is not copied.
    pub tag: Option<&'a str>,
    /// Its bytes.
    pub size: u64,
}

impl Bucket {
    /// Copies an object and gives the copy this metadata.
    ///
    /// # Errors
    /// The service cannot be reached or refuses, or the object is not the one with this tag. Nothing is left of the copy.
    pub async fn copy(&self, from: Original<'_>, to: &str, metadata: &[(&str, &str)]) -> Result<()> {
        if from.size > GREATEST_AT_ONCE {
            return self.copy_in_parts(from, to, metadata, PART).await;
        }
        let mut request = self
            .client
            .copy_object()
            .bucket(&self.name)
            .key(to)
            .copy_source(source(&self.name, from.key))
            .set_copy_source_if_match(from.tag.map(str::to_owned))
            .metadata_directive(MetadataDirective::Replace);
        for (name, value) in metadata {
            request = request.metadata(*name, *value);
        }
        let answer = request.customize().config_override(slow_answer()).send().await;
        answer.map(|_| ()).map_err(|error| self.failed(format!("copy {} to {to} in", from.key), error))
    }

    /// The same in parts of so many bytes, the one way for what has more than 5 GiB.
    ///
    /// # Errors
    /// Those of [`Bucket::copy`].
    pub async fn copy_in_parts(
        &self,
        from: Original<'_>,
        to: &str,
        metadata: &[(&str, &str)],
        part: u64,
    ) -> Result<()> {
        let mut upload = Upload::begin(self, to, metadata).await?;
        match self.copy_parts(&mut upload, from, to, part).await {
            Ok(()) => upload.finish().await,
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    async fn copy_parts(&self, upload: &mut Upload, from: Original<'_>, to: &str, part: u64) -> Result<()> {
        let (mut start, mut number) = (0, 1);
        while start < from.size {
            let end = from.size.min(start + part);
            while upload.on_their_way() >= AT_ONCE {
                upload.next_is_done().await?;
            }
            let copy = self.copy_part(from, (to, upload.id()), number, (start, end));
            upload.start(copy);
            (start, number) = (end, number + 1);
        }
        while upload.next_is_done().await? {}
        Ok(())
    }

    fn copy_part(
        &self,
        from: Original<'_>,
        (to, upload): (&str, &str),
        number: u32,
        (start, end): (u64, u64),
    ) -> impl Future<Output = Result<CompletedPart>> + use<> {
        let number = part_number(number);
        let request = self
            .client
            .upload_part_copy()
            .bucket(&self.name)
            .key(to)
            .upload_id(upload)
            .part_number(number)
            .copy_source(source(&self.name, from.key))
            .copy_source_range(format!("bytes={start}-{}", end - 1))
            .set_copy_source_if_match(from.tag.map(str::to_owned))
            .customize()
            .config_override(slow_answer());
        let (bucket, doing) = (self.clone(), format!("copy {} to {to} in", from.key));
        async move {
            let answer = request.send().await.map_err(|error| bucket.failed(doing, error))?;
            let tag = answer.copy_part_result.and_then(|result| result.e_tag);
            Ok(CompletedPart::builder().part_number(number).set_e_tag(tag).build())
        }
    }
}

/// A header's value: everything but the slashes is percent-encoded.
fn source(bucket: &str, key: &str) -> String {
    let encoded = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    char::from(byte).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    format!("{}/{}", encoded(bucket), encoded(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_copy_is_encoded_as_a_header_needs_it() {
        assert_eq!(source("b", "nightly/é app+1%"), "b/nightly/%C3%A9%20app%2B1%25");
    }
}
