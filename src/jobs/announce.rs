//! Events of runs, on their way to those who asked to be told: as jobs of their own, so that none is lost with a worker and an
//! endpoint that hangs keeps no night waiting.
//!
//! That a night ended well is told by its last stage.

use std::time::Duration;

use super::Jobs;
use super::queued::Worker;
use crate::adapters::ledger::{Ledger, Origin, Status, in_time};
use crate::adapters::queue::Job;
use crate::error::Result;
use crate::ids::{RunId, Stage};
use crate::notice::{Event, Notice, Trouble};
use crate::replication::notify;

/// The ledger is asked for what it knows of the run, and not waited for: it may be what failed.
const LEDGER_LIMIT: Duration = Duration::from_secs(10);

/// Has it told that a run begins with this job.
pub(super) async fn started(worker: &Worker, job: &Job) {
    have_told(worker, &job.run, job.origin, notice(Event::Started, &job.id(), job.stage)).await;
}

/// Has it told how a run ended with this job.
pub(super) async fn ended(worker: &Worker, job: &Job, result: &Result<()>) {
    if let Some(notice) = ending(&job.id(), job.stage, result) {
        have_told(worker, &job.run, job.origin, notice).await;
    }
}

/// Has it told that no night has ended well since this run. Said once of each, however many workers notice it.
pub(super) async fn late(worker: &Worker, since: &RunId, trouble: Trouble) {
    let notice = Notice {
        event: Event::Late,
        of: since.to_string(),
        stage: None,
        trouble: Some(trouble),
        told: Vec::new(),
    };
    have_told(worker, since, Origin::Schedule, notice).await;
}

/// What there is to tell of a run that ended with this stage.
pub(super) fn ending(of: &str, stage: Stage, result: &Result<()>) -> Option<Notice> {
    let event = match Status::of(result) {
        Status::Succeeded if stage == Stage::Notification => return None,
        Status::Succeeded => Event::Succeeded,
        Status::Interrupted => Event::Interrupted,
        Status::Failed | Status::Running => Event::Failed,
    };
    let trouble = result.as_ref().err().map(Trouble::from);
    Some(Notice { trouble, ..notice(event, of, stage) })
}

pub(super) fn notice(event: Event, of: &str, stage: Stage) -> Notice {
    Notice { event, of: of.to_owned(), stage: Some(stage), trouble: None, told: Vec::new() }
}

async fn have_told(worker: &Worker, run: &RunId, origin: Origin, notice: Notice) {
    if notify::is_wanted(&worker.jobs.config, notice.event) {
        worker.push(&Job::telling(run.clone(), origin, notice), Duration::ZERO).await;
    }
}

/// Tells all that were not told yet; gives those who are told by now.
pub(super) async fn tell(jobs: &Jobs, run: &RunId, notice: &Notice) -> (Vec<String>, Result<()>) {
    let open = async { Ledger::open_existing(&jobs.warehouse()?).await };
    let ledger = in_time(LEDGER_LIMIT, open).await.unwrap_or_else(|error| {
        tracing::debug!(error.message = %error, "the ledger cannot be asked for what is to be told");
        None
    });
    notify::tell(&jobs.config, run, notice, ledger.as_ref()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    fn event(stage: Stage, end: Option<ErrorKind>) -> Option<Event> {
        let result = end.map_or(Ok(()), |kind| Err(Error::new(kind, "as the test says")));
        ending("run.stage.1", stage, &result).map(|notice| notice.event)
    }

    #[test]
    fn a_run_that_ended_is_told_of_once_and_by_what_it_ended_with() {
        let full = Stage::FullReplication;
        assert_eq!(event(Stage::Notification, None), None, "its stage has told it");
        assert_eq!(event(Stage::BackupPush, None), Some(Event::Succeeded));
        assert_eq!(event(full, Some(ErrorKind::Privilege)), Some(Event::Failed));
        assert_eq!(event(Stage::Notification, Some(ErrorKind::Unavailable)), Some(Event::Failed));
        assert_eq!(event(full, Some(ErrorKind::Interrupted)), Some(Event::Interrupted));
        assert_eq!(event(full, Some(ErrorKind::Cancelled)), Some(Event::Interrupted));
    }
}
