//! The answers of `nightferry queue` as text.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::adapters::ledger::AttemptLine;
use crate::cli::format;
use crate::jobs::operator::{Counts, JobView, Shown};

pub(super) fn counts(queues: &[Counts]) -> String {
    let rows = queues.iter().map(|one| {
        let queue = if one.is_paused { format!("{} (paused)", one.queue) } else { one.queue.to_owned() };
        let [waiting, active, completed, failed, delayed, paused, workers] =
            [one.waiting, one.active, one.completed, one.failed, one.delayed, one.paused, one.workers]
                .map(format::count);
        [one.stage.name().to_owned(), queue, waiting, active, completed, failed, delayed, paused, workers]
    });
    let heading =
        ["stage", "queue", "waiting", "active", "completed", "failed", "delayed", "paused", "workers"];
    format::table(heading, &[2, 3, 4, 5, 6, 7, 8], rows)
}

pub(super) fn failed(jobs: &[JobView]) -> String {
    if jobs.is_empty() {
        return "No job has failed.\n".to_owned();
    }
    let rows = jobs.iter().map(|job| {
        [
            job.id.clone(),
            job.attempt.to_string(),
            when(job.ended_at),
            job.error_kind.clone().unwrap_or_else(|| "-".to_owned()),
            one_line(job.error.as_deref()),
        ]
    });
    format::table(["job", "attempt", "ended", "kind", "error"], &[1], rows)
}

pub(super) fn shown(shown: &Shown) -> String {
    let job = &shown.job;
    let mut text = format!("{}: {}\n", job.id, job.state.name());
    let mut item = |subject: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format::item(subject, &value));
        }
    };
    item("queue", Some(job.queue.to_owned()));
    let of_run = shown.run_history.as_ref().map_or_else(
        || format!("{}, by {}", job.run, job.origin.name()),
        |run| format!("{}, by {}, {} on {}", job.run, job.origin.name(), run.status, run.host),
    );
    item("run", Some(of_run));
    item("attempt", Some(job.attempt.to_string()));
    item("workers that died over it", (job.deaths > 0).then(|| job.deaths.to_string()));
    item("not before", job.not_before.map(|time| when(Some(time))));
    item("taken", job.taken_at.map(|time| when(Some(time))));
    item("by", job.held_by.clone());
    item("ended", job.ended_at.map(|time| when(Some(time))));
    item("kind", job.error_kind.clone());
    item("error", job.error.clone());
    item("hint", job.hint.clone());
    item("the ledger could not be asked", shown.ledger_error.clone());
    if !shown.attempts.is_empty() {
        let _ = write!(text, "\nAttempts of {} in this run:\n{}", job.stage, attempts(&shown.attempts));
    }
    text
}

fn attempts(attempts: &[AttemptLine]) -> String {
    let rows = attempts.iter().map(|attempt| {
        let took = attempt.ended_at.and_then(|end| (end - attempt.started_at).to_std().ok());
        [
            attempt.attempt.to_string(),
            attempt.status.clone(),
            when(Some(attempt.started_at)),
            took.map_or_else(|| "-".to_owned(), |took: Duration| format::duration(took)),
            attempt.error_kind.clone().unwrap_or_else(|| "-".to_owned()),
            one_line(attempt.error.as_deref()),
        ]
    });
    format::table(["attempt", "status", "started", "took", "kind", "error"], &[0, 3], rows)
}

fn when(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A line of a table stays one.
fn one_line(text: Option<&str>) -> String {
    const LONGEST: usize = 100;
    let text = text.unwrap_or("-").split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    let cut: String = text.chars().take(LONGEST).collect();
    format!("{}...", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::ledger::{Origin, RunLine};
    use crate::ids::{RunId, Stage};
    use crate::jobs::operator::State;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_147_800 + seconds, 0).unwrap()
    }

    fn job() -> JobView {
        JobView {
            id: "20261120T041000Z.full-replication.1".into(),
            run: RunId::from("20261120T041000Z".to_owned()),
            stage: Stage::FullReplication,
            queue: "Replication queue",
            state: State::Failed,
            attempt: 1,
            deaths: 0,
            origin: Origin::Schedule,
            not_before: None,
            held_by: Some("host-1-full-replication-1".into()),
            taken_at: Some(at(2)),
            ended_at: Some(at(75)),
            error_kind: Some("privilege".into()),
            error: Some("cannot create\nthe schema".into()),
            hint: Some("grant CREATE".into()),
        }
    }

    #[test]
    fn each_queue_is_a_line_and_a_paused_one_says_so() {
        let full = Counts {
            stage: Stage::FullReplication,
            queue: "Replication queue",
            is_paused: false,
            waiting: 1,
            active: 2,
            completed: 1_200,
            failed: 4,
            delayed: 5,
            paused: 0,
            workers: 1,
        };
        let event = Counts {
            stage: Stage::Event,
            queue: "Event queue",
            is_paused: true,
            paused: 6,
            workers: 0,
            ..full.clone()
        };
        assert_eq!(
            counts(&[full, event]),
            "  stage             queue                 waiting  active  completed  failed  delayed  paused  workers\n\
             \x20 full-replication  Replication queue           1       2      1,200       4        5       0        1\n\
             \x20 event             Event queue (paused)        1       2      1,200       4        5       6        0\n"
        );
    }

    #[test]
    fn a_failed_job_is_a_line() {
        assert_eq!(
            failed(&[job()]),
            "  job                                  attempt  ended                    kind       error\n\
             \x20 20261120T041000Z.full-replication.1        1  2026-11-20 04:11:15 UTC  privilege  cannot create the schema\n"
        );
        assert_eq!(failed(&[]), "No job has failed.\n");
        assert_eq!(one_line(Some(&"ab ".repeat(100))).len(), 103);
    }

    #[test]
    fn all_that_is_known_of_a_job_stands_below_its_name() {
        let run_history = RunLine {
            run_id: "20261120T041000Z".into(),
            origin: "schedule".into(),
            status: "failed".into(),
            host: "host-1".into(),
            version: "0.1.0".into(),
            started_at: at(2),
            ended_at: Some(at(75)),
            error_kind: None,
            error: None,
            hint: None,
        };
        let attempt = AttemptLine {
            run_id: "20261120T041000Z".into(),
            stage: "full-replication".into(),
            attempt: 1,
            status: "failed".into(),
            started_at: at(2),
            ended_at: Some(at(75)),
            tables: 0,
            rows: 0,
            bytes: 0,
            error_kind: Some("privilege".into()),
            error: Some("cannot create the schema".into()),
            hint: None,
        };
        let all =
            Shown { job: job(), run_history: Some(run_history), attempts: vec![attempt], ledger_error: None };
        let expected = "20261120T041000Z.full-replication.1: failed
  queue: Replication queue
  run: 20261120T041000Z, by schedule, failed on host-1
  attempt: 1
  taken: 2026-11-20 04:10:02 UTC
  by: host-1-full-replication-1
  ended: 2026-11-20 04:11:15 UTC
  kind: privilege
  error: cannot create\nthe schema
  hint: grant CREATE

Attempts of full-replication in this run:
  attempt  status  started                        took  kind       error
        1  failed  2026-11-20 04:10:02 UTC  1 min 13 s  privilege  cannot create the schema
";
        assert_eq!(shown(&all), expected);
        let unreachable =
            Shown { attempts: vec![], run_history: None, ledger_error: Some("away".into()), ..all };
        assert!(shown(&unreachable).ends_with("  the ledger could not be asked: away\n"));
    }
}
