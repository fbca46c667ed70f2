//! Placeholder.
use crate::adapters::ledger::Recorder;
use crate::config::Config;
use crate::error::Result;

/// Placeholder.
///
/// # Errors
/// None.
pub async fn run(_config: &Config, _recorder: &Recorder) -> Result<()> {
    Ok(())
}
