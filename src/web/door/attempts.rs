//! How often a wrong token may be tried (pure). It counts for all visitors together: where they come from can be made up.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

/// So many wrong ones in [`WINDOW`]; then nobody's token is looked at until it has passed. Who is signed in is not asked for one.
const MOST: usize = 10;
const WINDOW: TimeDelta = TimeDelta::minutes(1);

/// The last wrong tokens.
#[derive(Debug, Default)]
pub(super) struct Attempts(VecDeque<DateTime<Utc>>);

impl Attempts {
    /// How many seconds must pass before another token is looked at; none where one may be tried now.
    pub(super) fn pause(&mut self, now: DateTime<Utc>) -> Option<i64> {
        self.0.retain(|failed| now - *failed < WINDOW);
        let oldest = self.0.front().filter(|_| self.0.len() >= MOST)?;
        Some((WINDOW - (now - *oldest)).num_seconds().max(0) + 1)
    }

    /// A token was wrong. Says whether it was one too many.
    pub(super) fn failed(&mut self, now: DateTime<Utc>) -> bool {
        self.0.push_back(now);
        self.0.len() == MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_ten_wrong_ones_a_minute_must_pass() {
        let at = |seconds: i64| DateTime::from_timestamp(1_795_147_800 + seconds, 0).unwrap();
        let mut attempts = Attempts::default();
        for second in 0..10 {
            assert_eq!(attempts.pause(at(second)), None);
            assert_eq!(attempts.failed(at(second)), second == 9);
        }
        assert_eq!(attempts.pause(at(10)), Some(51));
        assert_eq!(attempts.pause(at(59)), Some(2));
        assert_eq!(attempts.pause(at(60)), None, "the first one is forgotten");
    }
}
