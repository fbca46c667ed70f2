//! What a push that was killed left behind: uploads that were never finished, and objects that were never read back.

use chrono::{DateTime, Utc};

use super::Bucket;
use super::object::instant;
use crate::adapters::objects::backup_name::{UNVERIFIED, moment_of_ours};
use crate::error::Result;

impl Bucket {
    /// Removes what is left of pushes with this prefix from before `before`. A later push may still be at work.
    ///
    /// Gives how many objects and uploads there were. A service that does not list uploads, or a key that may not, is no failure.
    ///
    /// # Errors
    /// The objects cannot be listed or removed.
    pub async fn remove_leftovers(&self, prefix: &str, before: DateTime<Utc>) -> Result<usize> {
        let is_old = |time: Option<&aws_sdk_s3::primitives::DateTime>| {
            time.and_then(instant).is_some_and(|time| time < before)
        };
        let mut removed = 0;
        for object in self.objects(prefix).await? {
            let key = object.key().unwrap_or_default();
            let is_unverified =
                key.strip_suffix(UNVERIFIED).is_some_and(|name| moment_of_ours(prefix, name).is_some());
            if is_unverified && is_old(object.last_modified()) {
                self.delete(key).await?;
                removed += 1;
            }
        }
        for upload in self.unfinished(prefix).await {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
            let name = key.strip_suffix(UNVERIFIED).unwrap_or(key);
            if moment_of_ours(prefix, name).is_some() && is_old(upload.initiated()) {
                self.abort_upload(key, id).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The uploads that have begun and not ended.
    async fn unfinished(&self, prefix: &str) -> Vec<aws_sdk_s3::types::MultipartUpload> {
        let (mut uploads, mut after) = (Vec::new(), (None, None));
        loop {
            let request = self.client.list_multipart_uploads().bucket(&self.name).prefix(prefix);
            let page = match request.set_key_marker(after.0).set_upload_id_marker(after.1).send().await {
                Ok(page) => page,
                Err(error) => {
                    let error = self.failed("list the unfinished uploads of", error);
                    tracing::debug!(error.message = %error, "what killed pushes left is not looked for");
                    return uploads;
                }
            };
            uploads.extend(page.uploads.unwrap_or_default());
            after = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || after.0.is_none() {
                return uploads;
            }
        }
    }

    pub(super) async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(id);
        request
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.failed(format!("abort the upload of {key} to"), error))
    }

    /// Whether parts of an upload are there. One that is gone has none.
    pub(super) async fn has_parts(&self, key: &str, id: &str) -> bool {
        let request = self.client.list_parts().bucket(&self.name).key(key).upload_id(id).max_parts(1);
        request.send().await.is_ok_and(|listed| !listed.parts().is_empty())
    }
}
