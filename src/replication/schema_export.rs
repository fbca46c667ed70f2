//! The warehouse's schema, into another database.

use crate::adapters::ledger::Recorder;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Exports the schema.
///
/// # Errors
/// Not built.
pub async fn run(_config: &Config, _recorder: &Recorder) -> Result<()> {
    Err(Error::new(ErrorKind::Internal, "not built"))
}
