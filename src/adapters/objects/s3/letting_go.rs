//! What is taken back after its owner is gone: a stage that is stopped is dropped, and cannot wait.

use std::sync::LazyLock;

use tokio_util::task::TaskTracker;

use super::Bucket;

static TASKS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Comes back when all that was dropped is taken back: a process that ends waits for it a moment.
pub async fn settled() {
    TASKS.close();
    TASKS.wait().await;
}

/// Without a runtime the process is ending already; a later push removes what stays.
pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        TASKS.spawn_on(work, &runtime);
    }
}

/// An object that is only there for a while. Dropped, it is removed.
#[derive(Debug)]
pub struct Temporary {
    bucket: Bucket,
    key: String,
    is_removed: bool,
}

impl Temporary {
    /// Looks after this object.
    #[must_use]
    pub fn new(bucket: &Bucket, key: &str) -> Self {
        Self { bucket: bucket.clone(), key: key.to_owned(), is_removed: false }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Removes it now. Where that fails it stays until a later push removes it.
    pub async fn remove(mut self) {
        self.is_removed = true;
        remove(&self.bucket, &self.key).await;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_removed {
            let (bucket, key) = (self.bucket.clone(), self.key.clone());
            spawn(async move { remove(&bucket, &key).await });
        }
    }
}

async fn remove(bucket: &Bucket, key: &str) {
    if let Err(error) = bucket.delete(key).await {
        tracing::warn!(error.message = %error, "an object that is not needed any more stays: a later push removes it");
    }
}
