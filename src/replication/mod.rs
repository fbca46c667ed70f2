//! tmp
pub mod adoption;
pub mod enrich {
    //! tmp
    /// tmp
    pub async fn run(
        _: &crate::config::Config,
        _: &crate::adapters::ledger::Recorder,
    ) -> crate::error::Result<()> {
        Ok(())
    }
}
pub mod full;
pub mod plan;
pub mod preflight;
pub mod tables;
