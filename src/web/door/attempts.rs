//! How many wrong tokens may be tried (pure). They count for all visitors together: where those come from can be made up. The same one
//! again is no guess: a machine that was forgotten when the token changed locks nobody out.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use chrono::{DateTime, TimeDelta, Utc};

/// So many wrong ones in [`WINDOW`]; then nobody's token is looked at until it has passed. Who is signed in is not asked for one.
const MOST: usize = 10;
const WINDOW: TimeDelta = TimeDelta::minutes(1);

/// The last wrong tokens, as numbers that say nothing of them.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    wrong: VecDeque<(DateTime<Utc>, u64)>,
    hasher: RandomState,
}

impl Attempts {
    /// How many seconds must pass before another token is looked at; none where one may be tried now.
    pub(super) fn pause(&mut self, now: DateTime<Utc>) -> Option<i64> {
        self.wrong.retain(|(tried, _)| now - *tried < WINDOW);
        let (oldest, _) = self.wrong.front().filter(|_| self.wrong.len() >= MOST)?;
        Some((WINDOW - (now - *oldest)).num_seconds().max(0) + 1)
    }

    /// A token was wrong. Says whether it was one too many.
    pub(super) fn failed(&mut self, token: &str, now: DateTime<Utc>) -> bool {
        let number = self.hasher.hash_one(token);
        if self.wrong.iter().any(|(_, known)| *known == number) {
            return false;
        }
        self.wrong.push_back((now, number));
        self.wrong.len() == MOST
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
            assert_eq!(attempts.failed(&format!("guess {second}"), at(second)), second == 9);
        }
        assert_eq!(attempts.pause(at(10)), Some(51));
        assert_eq!(attempts.pause(at(59)), Some(2));
        assert_eq!(attempts.pause(at(60)), None, "the first one is forgotten");
    }

    #[test]
    fn a_machine_with_an_old_token_is_one_wrong_token_however_often_it_asks() {
        let now = DateTime::from_timestamp(1_795_147_800, 0).unwrap();
        let mut attempts = Attempts::default();
        assert!((0..100).all(|_| !attempts.failed("the token of last year", now)));
        assert_eq!(attempts.pause(now), None);
    }
}
