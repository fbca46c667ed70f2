//! Which of a provider's backups a night takes. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::adapters::objects::{Backup, BackupState};
use crate::error::{Error, ErrorKind, Result};

/// Clocks differ by no more. What is dated later would be the newest one for as long as it is there, and hide those that are made meanwhile.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);

/// What to do, now that the list is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// Read this one.
    Take(Backup),
    /// A newer one is being made: look again later. When the time for that is over, the older one is taken, where there is one.
    Wait {
        /// Being made.
        pending: Backup,
        /// Finished, and not too old.
        instead: Option<Backup>,
    },
}

/// The newest finished one that is not too old, unless a newer one is on its way. One that is dated into the future is passed over.
///
/// # Errors
/// There is none, and none is on its way.
pub(super) fn choose(backups: &[Backup], now: DateTime<Utc>, max_age: Duration) -> Result<Choice> {
    let max_age_delta = TimeDelta::from_std(max_age).unwrap_or(TimeDelta::MAX);
    let (dated, early): (Vec<&Backup>, Vec<&Backup>) =
        backups.iter().partition(|backup| backup.taken_at - now <= CLOCKS_DIFFER);
    let newest = |state| {
        let so = dated.iter().copied().filter(|backup| backup.state == state);
        so.max_by_key(|backup| backup.taken_at)
    };
    let is_young = |backup: &&Backup| now - backup.taken_at <= max_age_delta;
    let done = newest(BackupState::Done);
    let young = done.filter(is_young);
    // One that was begun longer ago than a backup may be old is stuck.
    let pending = newest(BackupState::Pending)
        .filter(is_young)
        .filter(|pending| done.is_none_or(|done| pending.taken_at > done.taken_at));
    match (young, pending) {
        (instead, Some(pending)) => Ok(Choice::Wait { pending: pending.clone(), instead: instead.cloned() }),
        (Some(done), None) => Ok(Choice::Take(done.clone())),
        (None, None) => {
            let early = early.into_iter().find(|backup| backup.state == BackupState::Done);
            Err(none(done, newest(BackupState::Failed), early, now, max_age))
        }
    }
}

fn none(
    done: Option<&Backup>,
    failed: Option<&Backup>,
    early: Option<&Backup>,
    now: DateTime<Utc>,
    max_age: Duration,
) -> Error {
    let failure = failed.filter(|failed| done.is_none_or(|done| failed.taken_at > done.taken_at));
    let mut text = match done {
        Some(done) => format!(
            "the newest finished backup, {}, is {} old, and BACKUP_MAX_AGE is {}",
            done.name,
            age(now - done.taken_at),
            humantime::format_duration(max_age)
        ),
        None => "there is no finished backup".to_owned(),
    };
    if let Some(failed) = failure {
        text.push_str(&format!("; {} failed", failed.name));
    }
    if let Some(early) = early {
        let text = format!("{text}; {} is dated {} into the future", early.name, age(early.taken_at - now));
        return Error::new(ErrorKind::Refused, text)
            .hint("set the clocks of this machine and of the server that has the backups");
    }
    Error::new(ErrorKind::Refused, text).hint(
        "have the provider make one, then restart the stage; or set BACKUP_MAX_AGE to take an older one",
    )
}

/// A length of time as people say it: `3h 12m`, `2days 4h`.
pub(super) fn age(delta: TimeDelta) -> String {
    let minutes = delta.num_minutes().max(0).unsigned_abs();
    humantime::format_duration(Duration::from_secs(minutes * 60)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn now() -> DateTime<Utc> {
        "2026-11-20T04:10:00Z".parse().unwrap()
    }

    fn backup(state: BackupState, hours_ago: i64) -> Backup {
        let name = format!("{hours_ago}h");
        let taken_at = now() - TimeDelta::hours(hours_ago);
        Backup { id: name.clone(), name, taken_at, size: None, state }
    }

    #[test]
    fn the_newest_finished_one_is_taken_whatever_the_order() {
        let list = [3, 27, 1, 9].map(|hours| backup(BackupState::Done, hours));
        assert_eq!(choose(&list, now(), DAY).unwrap(), Choice::Take(list[2].clone()));
    }

    #[test]
    fn a_newer_one_on_its_way_is_waited_for_and_the_older_one_serves_instead() {
        let (done, pending) = (backup(BackupState::Done, 5), backup(BackupState::Pending, 1));
        let old = backup(BackupState::Done, 25);
        let wait = |instead| Choice::Wait { pending: pending.clone(), instead };
        assert_eq!(choose(&[done.clone(), pending.clone()], now(), DAY).unwrap(), wait(Some(done)));
        assert_eq!(choose(&[old, pending.clone()], now(), DAY).unwrap(), wait(None));
    }

    #[test]
    fn one_that_was_begun_before_the_newest_finished_one_or_is_stuck_is_not_waited_for() {
        let done = backup(BackupState::Done, 5);
        let list = [backup(BackupState::Pending, 6), done.clone()];
        assert_eq!(choose(&list, now(), DAY).unwrap(), Choice::Take(done));
        let stuck = [backup(BackupState::Pending, 30), backup(BackupState::Done, 31)];
        assert!(choose(&stuck, now(), DAY).is_err());
    }

    #[test]
    fn one_from_the_future_does_not_hide_the_others_for_ever() {
        let (done, early) = (backup(BackupState::Done, 5), backup(BackupState::Done, -24 * 30));
        assert_eq!(choose(&[done.clone(), early.clone()], now(), DAY).unwrap(), Choice::Take(done));
        let error = choose(&[early], now(), DAY).unwrap_err();
        let text = "there is no finished backup; -720h is dated 30days into the future";
        assert_eq!(error.to_string(), text);
        let (skewed, stuck) = (backup(BackupState::Done, -1), backup(BackupState::Pending, -2));
        assert_eq!(choose(&[skewed.clone(), stuck], now(), DAY).unwrap(), Choice::Take(skewed));
    }

    #[test]
    fn none_or_one_too_old_is_refused_with_what_there_is() {
        let text = |list: &[Backup]| choose(list, now(), DAY).unwrap_err().to_string();
        assert_eq!(text(&[]), "there is no finished backup");
        assert_eq!(
            text(&[backup(BackupState::Done, 28), backup(BackupState::Failed, 4)]),
            "the newest finished backup, 28h, is 1day 4h old, and BACKUP_MAX_AGE is 1day; 4h failed"
        );
        assert_eq!(text(&[backup(BackupState::Failed, 4)]), "there is no finished backup; 4h failed");
    }
}
