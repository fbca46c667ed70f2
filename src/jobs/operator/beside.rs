//! Whether a stage may be put on its queue now: not while something is under way that it would have to wait for.

use std::time::Duration;

use super::super::flow::{self, Other};
use super::super::run::take;
use super::{LEDGER_LIMIT, ledger};
use crate::adapters::ledger::{Ledger, Origin, in_time};
use crate::adapters::postgres::Database;
use crate::adapters::queue::{JobStatus, QueuedJob, Queues, host_name};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{RunId, Stage};

const MINUTE: &str = "%Y-%m-%d %H:%MZ";

/// Refuses a stage while a night is under way, or another job of its own kind: on the queues, in the ledger, or in a command that holds
/// the lock. A warehouse that cannot be asked is left out.
///
/// # Errors
/// Something is under way (`Busy`, with run, stage and since when), or the queue cannot be reached.
pub(in crate::jobs) async fn refuse_beside(config: &Config, stage: Stage) -> Result<()> {
    let busy = match on_queues(&Queues::open(&config.queue).await?, stage).await? {
        Some(busy) => Some(busy),
        None => in_time(LEDGER_LIMIT, in_warehouse(config, stage)).await.unwrap_or_else(|error| {
            tracing::debug!(error.message = %error, "cannot see whether a command is at work");
            None
        }),
    };
    busy.map_or(Ok(()), |busy| {
        Err(Error::new(ErrorKind::Busy, busy).hint(
            "wait until it has ended, or add --after: the stage is put on its queue all the same, and begins once that has ended",
        ))
    })
}

/// Whether a stage that begins has to wait for an open run; `of` is the job beside the night that this one is.
fn meets(begins: Stage, of: Option<Stage>) -> bool {
    match flow::other(begins, of) {
        Other::First => true,
        // Only the lock keeps these apart; two of one kind are asked for by mistake.
        Other::Idle => of == Some(begins),
        Other::Beside => false,
    }
}

async fn on_queues(queues: &Queues, begins: Stage) -> Result<Option<String>> {
    let mut open: Vec<QueuedJob> = Vec::new();
    for stage in Stage::STARTED {
        open.append(&mut queues.jobs(stage).await?);
    }
    open.retain(|queued| queued.status.is_open() && meets(begins, queued.job.run.beside()));
    // What is at work says most.
    open.sort_by_key(|queued| queued.status != JobStatus::Running);
    Ok(open.first().map(told))
}

fn told(queued: &QueuedJob) -> String {
    let (run, stage) = (&queued.job.run, queued.job.stage);
    match (queued.status, queued.taken_at, queued.not_before) {
        (JobStatus::Running, Some(since), _) => {
            format!("run {run} is at work on {stage} since {}", since.format(MINUTE))
        }
        (JobStatus::Running, ..) => format!("run {run} is at work on {stage}"),
        (_, _, Some(time)) => format!("run {run} is open: {stage} may begin at {}", time.format(MINUTE)),
        _ => format!("run {run} is open: {stage} waits on its queue"),
    }
}

async fn in_warehouse(config: &Config, begins: Stage) -> Result<Option<String>> {
    let database = Database::new(&config.databases.warehouse, "warehouse")?;
    // Taken and given back at once: whoever has it is named by the refusal.
    match take(&database, begins, &format!("restart on {}", host_name()), Some(Duration::ZERO)).await {
        Ok(lock) => lock.release().await,
        Err(error) if error.kind() == ErrorKind::Busy => return Ok(Some(error.to_string())),
        Err(error) => return Err(error),
    }
    match ledger(config).await? {
        Some(ledger) => in_ledger(&ledger, begins).await,
        None => Ok(None),
    }
}

/// A run of the queue that is open and has no job: its job was lost, and a worker is about to go on with it. A command's would hold the lock.
async fn in_ledger(ledger: &Ledger, begins: Stage) -> Result<Option<String>> {
    let open = ledger.open_runs().await?.into_iter().find(|open| {
        open.origin != Origin::Command.name() && meets(begins, RunId::from(open.run_id.clone()).beside())
    });
    Ok(open.map(|open| {
        let since = open.started_at.format(MINUTE);
        format!("run {} is open in the ledger since {since} on {}", open.run_id, open.host)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::queue::Job;

    #[test]
    fn a_night_keeps_all_but_a_push_away_and_others_only_their_like() {
        use Stage::{
            BackupPush as Push, FullReplication as Full, Notification as Notify, SchemaExport as Export,
        };
        for begins in [Full, Notify, Export] {
            assert!(meets(begins, None), "{begins} beside a night");
        }
        assert!(!meets(Push, None) && !meets(Full, Some(Push)) && !meets(Full, Some(Export)));
        assert!(meets(Push, Some(Push)) && meets(Export, Some(Export)));
    }

    #[test]
    fn what_is_under_way_is_named_with_its_stage_and_since_when() {
        let at = "2026-11-20T04:10:02Z".parse().unwrap();
        let mut queued = QueuedJob {
            job: Job::first(
                RunId::from("20261120T041000Z".to_owned()),
                Stage::FullReplication,
                Origin::Schedule,
            ),
            status: JobStatus::Running,
            not_before: None,
            error: None,
            held_by: None,
            taken_at: Some(at),
            done_at: None,
        };
        assert_eq!(
            told(&queued),
            "run 20261120T041000Z is at work on full-replication since 2026-11-20 04:10Z"
        );
        queued = QueuedJob { status: JobStatus::Waiting, taken_at: None, ..queued };
        assert_eq!(told(&queued), "run 20261120T041000Z is open: full-replication waits on its queue");
    }
}
