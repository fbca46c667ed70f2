//! Backups of the source that are kept elsewhere: pushed to a bucket, read back, listed, fetched.
//!
//! A dump goes to `NAME.unverified`, is read back from there, and only then copied to `NAME`, by the bucket itself: a name without the ending
//! is always a whole backup that could be read. Only that copy can have the SHA-256 in its metadata, too: an upload names its metadata when it
//! begins.

pub mod fetch;
pub mod list;
pub mod look;
pub mod push;
mod read_back;
mod retention;

use std::time::Duration;

use crate::adapters::objects::s3;

/// Waits until what a stopped push had begun is taken back from the bucket, but no longer than so.
pub async fn settled(limit: Duration) {
    // What cannot be taken back now, the next push removes.
    let _ = tokio::time::timeout(limit, s3::settled()).await;
}
