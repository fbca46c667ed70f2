//! Backups as objects: what a server says of one, how its bytes are read, and what they are wrapped in.
//!
//! A server of files ([`Remote`]) is asked for ranges of bytes and nothing else: parallel reading, going on after a cut and the check of
//! what came are the same for a bucket and for an HTTP server.

pub mod backup_name;
mod download;
mod passing;
pub mod place;
pub mod s3;
pub mod save;
mod sum;
mod wrapping;

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use download::{Download, Pace, Progress};
pub use passing::{from_io, into_io};
pub use wrapping::{Unwrapped, unwrap};

use crate::error::Result;

/// What a server says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What people call it; never a URL with a secret in it.
    pub name: String,
    /// How many bytes it has, where the server says.
    pub size: Option<u64>,
    /// When it was last written, where the server says.
    pub modified: Option<DateTime<Utc>>,
    /// Its strong validator (ETag): what has the same one has the same bytes.
    pub tag: Option<String>,
    /// The SHA-256 of its bytes in hex, where the server knows.
    pub sha256: Option<String>,
    /// Whether a range of it can be asked for.
    pub has_ranges: bool,
}

/// The bytes of a range, in order.
pub type Body = BoxStream<'static, Result<Bytes>>;

/// An object on a server.
pub trait Remote: fmt::Debug + Send + Sync {
    /// What the server says of it now.
    ///
    /// # Errors
    /// The server cannot be reached, has no such object, or does not let it be read.
    fn look(&self) -> BoxFuture<'_, Result<Object>>;

    /// Its bytes from the first place to before the second, or to the end. `object` is what [`Remote::look`] said: one that was replaced since is
    /// an error of kind `Data`, and not a mixture of two. Without ranges only the whole can be had: `from` 0, no `to`.
    ///
    /// # Errors
    /// Those of [`Remote::look`]; a body that breaks off says so as an item of kind `Connection`, or ends early.
    fn read<'a>(&'a self, object: &'a Object, from: u64, to: Option<u64>) -> BoxFuture<'a, Result<Body>>;
}

/// How a backup stands at its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupState {
    /// It can be read.
    Done,
    /// It is being made.
    Pending,
    /// It failed.
    Failed,
}

/// A backup in a list of them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Backup {
    /// What it is asked for by: the provider's id, or the object's key.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// How many bytes it has, where that is known.
    pub size: Option<u64>,
    /// How it stands.
    pub state: BackupState,
}
