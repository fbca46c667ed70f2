//! What follows what, as data: the order of the stages, retries, and what becomes of an interrupted job. Pure.

use std::time::Duration;

use crate::config::{OnInterrupted, Queue};
use crate::error::ErrorKind;
use crate::ids::Stage;

/// However often a stage failed, it is not left alone for longer.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// What is to be done after a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The stage ended well, this one follows.
    Push(Stage),
    /// The same stage again.
    Retry {
        /// After this time.
        delay: Duration,
        /// As this attempt.
        attempt: u32,
    },
    /// The run has failed for good.
    Fail,
    /// The run has ended well.
    Done,
}

/// The operator's settings that decide about a second try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// How often a stage is tried again.
    pub(super) max_retries: u32,
    /// The first pause.
    pub(super) first_delay: Duration,
    /// What becomes of an interrupted job.
    pub(super) on_interrupted: OnInterrupted,
}

impl Policy {
    pub(super) fn of(config: &Queue) -> Self {
        Self {
            max_retries: config.max_retries,
            first_delay: config.retry_delay,
            on_interrupted: config.on_interrupted,
        }
    }
}

/// The stage after this one, none after the last.
pub(super) fn following(stage: Stage) -> Option<Stage> {
    let place = Stage::NIGHT.iter().position(|candidate| *candidate == stage)?;
    Stage::NIGHT.get(place + 1).copied()
}

/// A stage that a worker died over so often is not given to another one: it may well be what they die of.
pub(super) const MOST_DEATHS: u32 = 3;

/// Which try of a stage has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Try {
    /// Its number, from 1.
    pub(super) attempt: u32,
    /// How many workers died over the stage.
    pub(super) deaths: u32,
}

/// What follows the end of a try of a stage. `jitter` is a number from 0 to 1.
pub(super) fn after(
    stage: Stage,
    Try { attempt, deaths }: Try,
    end: Result<(), ErrorKind>,
    policy: &Policy,
    jitter: f64,
) -> Next {
    match end {
        Ok(()) => following(stage).map_or(Next::Done, Next::Push),
        Err(_) if deaths >= MOST_DEATHS => Next::Fail,
        // Nobody counts a deploy as a failed attempt.
        Err(ErrorKind::Interrupted) => match policy.on_interrupted {
            OnInterrupted::Fail => Next::Fail,
            OnInterrupted::Resume => Next::Retry { delay: Duration::ZERO, attempt },
        },
        Err(kind) if kind.is_retryable() && attempt <= policy.max_retries => {
            Next::Retry { delay: backoff(policy.first_delay, attempt, jitter), attempt: attempt + 1 }
        }
        Err(_) => Next::Fail,
    }
}

/// The pause after the n-th attempt: the first one doubled n-1 times, a tenth more or less, at most an hour.
fn backoff(first: Duration, attempt: u32, jitter: f64) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    doubled.min(LONGEST_DELAY).mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0)).min(LONGEST_DELAY)
}

/// What an open run of others means for a job that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Other {
    /// Nothing: they may be open side by side.
    Beside,
    /// The job begins once the other has ended.
    First,
    /// Nobody is at work on it: where it has no job left either, it died.
    Idle,
}

/// `of` is the job beside the night that the other run is of, none for a night. A night waits for a night and an export too, since between two
/// stages the warehouse is not whole; nothing waits for an export or a push that is to be tried again. Whether a run is dead is known to those who hold
/// the lock that it would need.
pub(super) fn other(begins: Stage, of: Option<Stage>) -> Other {
    match of {
        None if begins.needs_warehouse() => Other::First,
        Some(stage) if stage.needs_warehouse() == begins.needs_warehouse() => Other::Idle,
        _ => Other::Beside,
    }
}

/// What became of an earlier delivery of a job, asked while the warehouse is held: nobody is at work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It never began, or it ended with an error: go ahead.
    Fresh,
    /// It died or was stopped in the middle.
    Interrupted,
    /// It ended well, but the news did not get through: only hand over.
    Succeeded,
}

/// `last` is the status of the stage's last attempt in the ledger.
pub(super) fn found(last: Option<&str>) -> Found {
    match last {
        Some("succeeded") => Found::Succeeded,
        // `interrupted`: another job that held the warehouse since has closed it.
        Some("running" | "interrupted") => Found::Interrupted,
        _ => Found::Fresh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Stage = Stage::FullReplication;
    const FIRST: Try = Try { attempt: 1, deaths: 0 };

    fn policy(max_retries: u32, on_interrupted: OnInterrupted) -> Policy {
        Policy { max_retries, first_delay: Duration::from_secs(1), on_interrupted }
    }

    #[test]
    fn the_stages_follow_each_other_and_the_last_ends_the_run() {
        let policy = policy(0, OnInterrupted::Fail);
        let next = |stage| after(stage, FIRST, Ok(()), &policy, 0.5);
        assert_eq!(next(FULL), Next::Push(Stage::IncrementalReplication));
        assert_eq!(next(Stage::IncrementalReplication), Next::Push(Stage::LearningContentReplication));
        assert_eq!(next(Stage::LearningContentReplication), Next::Push(Stage::Notification));
        assert_eq!(next(Stage::Notification), Next::Done);
        assert_eq!((next(Stage::BackupPush), next(Stage::SchemaExport)), (Next::Done, Next::Done));
    }

    #[test]
    fn what_can_pass_is_tried_again_until_the_count_is_used_up() {
        let retry = |seconds, attempt| Next::Retry { delay: Duration::from_secs(seconds), attempt };
        let cases = [
            // (kind, attempt, retries allowed, what follows)
            (ErrorKind::Connection, 1, 3, retry(1, 2)),
            (ErrorKind::Connection, 2, 3, retry(2, 3)),
            (ErrorKind::Timeout, 3, 3, retry(4, 4)),
            (ErrorKind::Unavailable, 4, 3, Next::Fail),
            (ErrorKind::Internal, 1, 1, retry(1, 2)),
            (ErrorKind::Connection, 1, 0, Next::Fail),
            (ErrorKind::Configuration, 1, 3, Next::Fail),
            (ErrorKind::Privilege, 1, 3, Next::Fail),
            (ErrorKind::Schema, 1, 3, Next::Fail),
            (ErrorKind::Data, 1, 3, Next::Fail),
            (ErrorKind::Verification, 1, 3, Next::Fail),
            (ErrorKind::Refused, 1, 3, Next::Fail),
            (ErrorKind::Rejected, 1, 3, Next::Fail),
            (ErrorKind::Tool, 1, 3, Next::Fail),
            (ErrorKind::Cancelled, 1, 3, Next::Fail),
        ];
        for (kind, attempt, max_retries, expected) in cases {
            let policy = policy(max_retries, OnInterrupted::Fail);
            let try_ = Try { attempt, ..FIRST };
            assert_eq!(after(FULL, try_, Err(kind), &policy, 0.5), expected, "{} {attempt}", kind.name());
        }
    }

    #[test]
    fn an_interruption_is_the_operators_choice_and_no_attempt() {
        let end = Err(ErrorKind::Interrupted);
        let after = |tried, on_interrupted| after(FULL, tried, end, &policy(0, on_interrupted), 0.5);
        let second = Try { attempt: 2, deaths: 2 };
        assert_eq!(after(second, OnInterrupted::Fail), Next::Fail);
        assert_eq!(after(second, OnInterrupted::Resume), Next::Retry { delay: Duration::ZERO, attempt: 2 });
    }

    #[test]
    fn a_stage_that_kills_its_workers_is_given_up() {
        let policy = policy(10, OnInterrupted::Resume);
        for kind in [ErrorKind::Interrupted, ErrorKind::Internal, ErrorKind::Connection] {
            assert_eq!(
                after(FULL, Try { attempt: 1, deaths: MOST_DEATHS }, Err(kind), &policy, 0.5),
                Next::Fail
            );
        }
    }

    #[test]
    fn the_pauses_double_up_to_an_hour_and_vary_by_a_tenth() {
        let seconds = |attempt, jitter| backoff(Duration::from_secs(10), attempt, jitter).as_secs_f64();
        assert_eq!((seconds(1, 0.0), seconds(1, 1.0)), (9.0, 11.0));
        assert_eq!(seconds(5, 0.5), 160.0);
        assert_eq!((seconds(10, 0.5), seconds(100, 1.0)), (3600.0, 3600.0));
        assert_eq!(backoff(Duration::ZERO, 100, 0.5), Duration::ZERO);
    }

    #[test]
    fn a_night_keeps_nights_and_exports_waiting_and_a_push_nobody() {
        let (push, export) = (Stage::BackupPush, Stage::SchemaExport);
        assert_eq!(
            (other(FULL, None), other(export, None), other(push, None)),
            (Other::First, Other::First, Other::Beside)
        );
        assert_eq!((other(FULL, Some(export)), other(export, Some(export))), (Other::Idle, Other::Idle));
        assert_eq!((other(FULL, Some(push)), other(push, Some(push))), (Other::Beside, Other::Idle));
    }

    #[test]
    fn the_ledger_tells_what_became_of_an_earlier_delivery() {
        let cases = [
            (None, Found::Fresh), // its worker died before it began
            (Some("failed"), Found::Fresh),
            (Some("running"), Found::Interrupted),
            (Some("interrupted"), Found::Interrupted),
            (Some("succeeded"), Found::Succeeded),
        ];
        for (last, expected) in cases {
            assert_eq!(found(last), expected, "{last:?}");
        }
    }
}
