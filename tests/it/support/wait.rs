//! Waiting for a condition that has no event.

use std::time::{Duration, Instant};

/// Asks again and again until the answer is there; panics after two minutes, naming what was waited for.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited two minutes for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
