//! A dump of the source, streamed into the bucket, then read back.

use crate::adapters::ledger::Recorder;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Pushes a dump.
///
/// # Errors
/// Not built.
pub async fn run(_config: &Config, _recorder: &Recorder) -> Result<()> {
    Err(Error::new(ErrorKind::Internal, "not built"))
}
