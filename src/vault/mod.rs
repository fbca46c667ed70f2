//! Backups of the source that are kept elsewhere: pushed to a bucket, listed, fetched.

pub mod push;
