//! A backup's archive at the provider, read through a link that expires.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Database;
use super::renewed::Renewed;
use crate::adapters::http::file::HttpFile;
use crate::adapters::objects::{Backup, Body, Object, Remote};
use crate::error::{ErrorKind, Result};

/// The archive of a backup. A link that the server refuses is taken for expired: a new one is asked for, once, and what it then says counts.
#[derive(Debug)]
pub struct BackupFile {
    database: Database,
    id: String,
    name: String,
    linked: Renewed<HttpFile>,
}

impl BackupFile {
    pub(super) fn new(database: Database, backup: &Backup) -> Self {
        Self { database, id: backup.id.clone(), name: backup.name.clone(), linked: Renewed::default() }
    }

    async fn linked(&self, refused: Option<&Arc<HttpFile>>) -> Result<Arc<HttpFile>> {
        let get = async {
            let url = self.database.link(&self.id, &self.name).await?;
            if refused.is_some() {
                tracing::info!(
                    backup = self.name,
                    "the link to the backup has expired: a new one was asked for"
                );
            }
            HttpFile::new(url, self.name.as_str())
        };
        self.linked.value(refused, get).await
    }
}

impl Remote for BackupFile {
    fn look(&self) -> BoxFuture<'_, Result<Object>> {
        async move {
            let file = self.linked(None).await?;
            match file.look().await {
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    self.linked(Some(&file)).await?.look().await
                }
                looked => looked,
            }
        }
        .boxed()
    }

    fn read<'a>(&'a self, object: &'a Object, from: u64, to: Option<u64>) -> BoxFuture<'a, Result<Body>> {
        async move {
            let file = self.linked(None).await?;
            match file.read(object, from, to).await {
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    self.linked(Some(&file)).await?.read(object, from, to).await
                }
                read => read,
            }
        }
        .boxed()
    }
}
