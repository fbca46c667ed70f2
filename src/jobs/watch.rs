//! What a worker looks after beside its jobs: runs that nobody is at work on, and nights that do not come.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::queued::Worker;
use super::{announce, recovery};
use crate::adapters::ledger::{Ledger, in_time};
use crate::clock;
use crate::error::{ErrorKind, Result};
use crate::ids::RunId;
use crate::notice::Trouble;

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A look that takes longer waits for a warehouse that does not even refuse: that it is away must not keep a late night from being said.
const LOOK_LIMIT: Duration = Duration::from_secs(120);

/// Looks now and then, until `stop`.
pub(super) async fn keep(worker: &Worker, stop: &CancellationToken) {
    let mut watch = Watch { worker, ledger: None, good: Good::unknown(clock::now()), said: None };
    let looking = async {
        loop {
            if let Err(error) = in_time(LOOK_LIMIT, watch.look()).await {
                // The warehouse may be away for a while; its jobs say so louder.
                tracing::debug!(error.message = %error, "cannot look for runs that were left open");
                watch.ledger = None;
            }
            watch.say_if_late().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = looking => {}
        () = stop.cancelled() => {}
    }
}

/// The last night that ended well, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Good {
    run: RunId,
    at: DateTime<Utc>,
}

impl Good {
    /// Nothing is known of earlier: the time counts from here.
    fn unknown(now: DateTime<Utc>) -> Self {
        Self { run: RunId::at(now), at: now }
    }

    /// What is wrong, where it is too long ago.
    fn trouble(&self, late_after: Duration, now: DateTime<Utc>) -> Option<Trouble> {
        let is_late = (now - self.at).to_std().is_ok_and(|since| since > late_after);
        is_late.then(|| Trouble {
            kind: ErrorKind::Timeout.name().to_owned(),
            message: format!(
                "no night has ended well since {}, for longer than LATE_AFTER ({})",
                self.at.format("%Y-%m-%d %H:%MZ"),
                humantime::format_duration(late_after)
            ),
            hint: Some(
                "`nightferry queue failed` shows what failed; does the worker run, and is SCHEDULE as meant?"
                    .to_owned(),
            ),
        })
    }
}

struct Watch<'a> {
    worker: &'a Worker,
    ledger: Option<Ledger>,
    good: Good,
    /// Of which night it was said that none has come since.
    said: Option<RunId>,
}

impl Watch<'_> {
    async fn look(&mut self) -> Result<()> {
        if self.ledger.is_none() {
            self.ledger = Ledger::open_existing(&self.worker.database).await?;
        }
        let Some(ledger) = &self.ledger else { return Ok(()) };
        if let Some((run, at)) = ledger.last_good_night().await? {
            self.good = Good { run, at };
        }
        recovery::look(self.worker, ledger).await
    }

    async fn say_if_late(&mut self) {
        let late_after = self.worker.jobs.config.notifications.late_after;
        let trouble = late_after.and_then(|late_after| self.good.trouble(late_after, clock::now()));
        if let Some(trouble) = trouble.filter(|_| self.said.as_ref() != Some(&self.good.run)) {
            tracing::warn!(since = %self.good.run, "{}", trouble.message);
            announce::late(self.worker, &self.good.run, trouble).await;
            self.said = Some(self.good.run.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_is_late_when_none_ended_well_for_longer_than_was_set() {
        let now: DateTime<Utc> = "2026-11-21T08:30:00Z".parse().unwrap();
        let good = |hours| Good::unknown(now - chrono::TimeDelta::hours(hours));
        let late_after = Duration::from_secs(26 * 3600);
        assert_eq!(good(26).trouble(late_after, now), None);
        let trouble = good(27).trouble(late_after, now).unwrap();
        assert_eq!(
            trouble.message,
            "no night has ended well since 2026-11-20 05:30Z, for longer than LATE_AFTER (1day 2h)"
        );
        assert_eq!(good(-1).trouble(late_after, now), None, "a clock that was set back");
    }
}
