//! The learning-content stage: the lists of a JSON API as tables of the warehouse, all of them or none.

mod answer;
mod catalog;
mod mapping;
mod replace;
mod standing;

use self::catalog::LEARNING_CONTENT;
use crate::adapters::http::content_api;
use crate::adapters::ledger::Recorder;
use crate::config::Config;
use crate::error::Result;
use crate::outcome::Skipped;

/// Fetches the content and replaces its tables in one transaction. On an error nothing has changed, and running it
/// again is safe.
///
/// # Errors
/// The API fails or answers something that cannot be believed, or the warehouse fails.
pub async fn run(config: &Config, recorder: &Recorder) -> Result<()> {
    let Some(base) = &config.content.url else {
        tracing::info!("no LCMS_API_URL: there is no learning content to replicate");
        return Ok(());
    };
    let warehouse = recorder.warehouse();
    let body =
        recorder.step("fetch", content_api::fetch(&config.content, base, LEARNING_CONTENT.path)).await?;
    let loaded = recorder.step("read", async { answer::read(&LEARNING_CONTENT, &body) }).await?;
    drop(body);
    let outcomes = recorder.step("replace", replace::replace(&warehouse, recorder.ledger(), &loaded)).await?;
    for missing in loaded.iter().filter(|one| one.rows.is_none()) {
        recorder
            .skipped(Skipped {
                object: format!("content table {}", missing.table.name),
                reason: "the API has no list of this name".to_owned(),
                definition: None,
            })
            .await?;
    }
    let recorder = recorder.on("content 1".to_owned());
    for (outcome, ended) in outcomes {
        recorder.table_of_before(outcome, ended).await?;
    }
    Ok(())
}
