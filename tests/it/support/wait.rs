//! Waiting for a condition that has no event.

use std::time::{Duration, Instant};

const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Asks again and again until the answer is there, the less often the longer it takes: most questions cost a server a connection.
/// Panics after two minutes, naming what was waited for.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited two minutes for {what}");
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause.mul_f64(1.25));
    }
}
