//! The one place that reads the clock. Decisions take `now` as an argument.

use chrono::{DateTime, Utc};

/// The present instant.
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
