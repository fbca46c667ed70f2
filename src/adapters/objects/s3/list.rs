//! What a bucket holds.

use aws_sdk_s3::types::Object;

use super::Bucket;
use super::object::instant;
use crate::adapters::objects::backup_name::{UNVERIFIED, moment};
use crate::adapters::objects::{Backup, BackupState};
use crate::error::Result;

impl Bucket {
    /// The finished objects whose keys begin with `prefix`, in the order of their keys. What is still being uploaded is in no list; what was
    /// not read back yet is left out, and so are folders.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub async fn backups(&self, prefix: &str) -> Result<Vec<Backup>> {
        let objects = self.objects(prefix).await?;
        Ok(objects.iter().filter_map(backup).collect())
    }

    /// All objects whose keys begin with `prefix`.
    pub(super) async fn objects(&self, prefix: &str) -> Result<Vec<Object>> {
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let mut pages = request.into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("list", error))?;
            objects.extend(page.contents.unwrap_or_default());
        }
        Ok(objects)
    }
}

fn backup(object: &Object) -> Option<Backup> {
    let key = object.key().filter(|key| !key.ends_with('/') && !key.ends_with(UNVERIFIED))?;
    let written_at = object.last_modified().and_then(instant)?;
    Some(Backup {
        id: key.to_owned(),
        name: key.to_owned(),
        // A dump holds the moment that it began at; a name whose time is yet to come is not in UTC, or not ours.
        taken_at: moment(key).filter(|moment| *moment <= written_at).unwrap_or(written_at),
        size: object.size().and_then(|size| u64::try_from(size).ok()),
        state: BackupState::Done,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::primitives::DateTime;

    fn taken_at(key: &str) -> Option<String> {
        // 2026-11-20 04:10:00 UTC
        let written_at = DateTime::from_secs(1_795_147_800);
        let object = Object::builder().key(key).last_modified(written_at).size(7).build();
        backup(&object).map(|backup| backup.taken_at.format("%F %T").to_string())
    }

    #[test]
    fn a_backup_is_as_old_as_its_name_says_where_that_can_be() {
        assert_eq!(taken_at("app-20261120-031500").as_deref(), Some("2026-11-20 03:15:00"));
        assert_eq!(taken_at("app-20261120-051500").as_deref(), Some("2026-11-20 04:10:00"));
        assert_eq!(taken_at("app.dump").as_deref(), Some("2026-11-20 04:10:00"));
    }

    #[test]
    fn what_is_not_finished_and_folders_are_no_backups() {
        assert_eq!(taken_at("app-20261120-031500.unverified"), None);
        assert_eq!(taken_at("nightly/"), None);
    }
}
