//! Tasks side by side: the first failure ends the others.

use std::future::Future;

use tokio::task::JoinSet;
use tracing::Instrument;

use crate::error::{Error, ErrorKind, Result};

/// Starts a task. Its log lines name the run and the stage of the task that starts it.
pub(super) fn spawn(
    tasks: &mut JoinSet<Result<()>>,
    work: impl Future<Output = Result<()>> + Send + 'static,
) {
    tasks.spawn(work.in_current_span());
}

/// Waits for all tasks. At the first failure the others are dropped, and with them their sessions: the servers roll
/// back what they were doing.
///
/// # Errors
/// The first failure.
pub(super) async fn all(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(joined) = tasks.join_next().await {
        let result = joined.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Internal, "a task ended by itself").because(error))
        });
        if let Err(error) = result {
            tasks.shutdown().await;
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_failure_ends_the_others() {
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(async { Err(Error::new(ErrorKind::Data, "row 7 is broken")) });
        assert_eq!(all(tasks).await.unwrap_err().to_string(), "row 7 is broken");
    }
}
