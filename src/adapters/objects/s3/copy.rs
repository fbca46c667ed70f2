//! A copy within the bucket, made by the service: no byte travels.

use aws_sdk_s3::types::CompletedPart;

use super::upload::{Upload, part_number};
use super::{Bucket, slow_answer};
use crate::error::{Error, ErrorKind, Result};

/// A part that is copied may have 5 GiB; this takes a service some seconds.
const PART: u64 = 1024 * 1024 * 1024;

/// How many parts are copied at a time.
const AT_ONCE: usize = 4;

impl Bucket {
    /// Copies an object of `size` bytes, with metadata. In parts whatever its size: it is one way for all.
    ///
    /// # Errors
    /// The service cannot be reached or refuses, or the object is not the one with this tag. Nothing is left of the copy.
    pub async fn copy(
        &self,
        from: &str,
        tag: Option<&str>,
        size: u64,
        to: &str,
        metadata: &[(&str, &str)],
    ) -> Result<()> {
        let mut upload = Upload::begin(self, to, metadata).await?;
        match self.copy_parts(&mut upload, (from, tag, size), to).await {
            Ok(()) => upload.finish().await,
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    async fn copy_parts(
        &self,
        upload: &mut Upload,
        (from, tag, size): (&str, Option<&str>, u64),
        to: &str,
    ) -> Result<()> {
        if size == 0 {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("{from} is empty: there is nothing to copy"),
            ));
        }
        let mut start = 0;
        let mut number = 1;
        while start < size {
            let end = size.min(start + PART);
            while upload.on_their_way() >= AT_ONCE {
                upload.next_is_done().await?;
            }
            let copy = self.copy_part((from, tag), (to, upload.id()), number, (start, end));
            upload.start(copy);
            (start, number) = (end, number + 1);
        }
        while upload.next_is_done().await? {}
        Ok(())
    }

    fn copy_part(
        &self,
        (from, tag): (&str, Option<&str>),
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
            .copy_source(source(&self.name, from))
            .copy_source_range(format!("bytes={start}-{}", end - 1))
            .set_copy_source_if_match(tag.map(str::to_owned))
            .customize()
            .config_override(slow_answer());
        let (bucket, doing) = (self.clone(), format!("copy {from} to {to} in"));
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
