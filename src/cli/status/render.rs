//! The answers of `nightferry status` as text. Times are those of SCHEDULE_TIMEZONE.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::cli::format::{bytes, count, duration, item, printable, table};
use crate::ids::Stage;
use crate::jobs::operator;
use crate::jobs::overview::{AttemptLine, Overview, QueueNow, RunNow, StageNow, UnderWay, What};

/// A moment, in the zone that the schedule is in.
pub(in crate::cli) fn local(time: DateTime<Utc>, zone: Tz) -> String {
    time.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

fn clock(time: DateTime<Utc>, zone: Tz) -> String {
    time.with_timezone(&zone).format("%H:%M:%S").to_string()
}

pub(super) fn overview(overview: &Overview, zone: Tz) -> String {
    let mut text = String::new();
    match (&overview.run, overview.ledger.sentences()) {
        (Some(now), _) => text.push_str(&run(now, overview, zone)),
        (None, Some(sentences)) => text.push_str(&format!("{sentences}\n")),
        (None, None) => text.push_str("No run was here yet.\n"),
    }
    for beside in &overview.beside {
        text.push_str("\nBeside it:\n");
        text.push_str(&run(beside, overview, zone));
    }
    text.push_str(&under_way(&overview.under_way));
    text.push('\n');
    text.push_str(&around(overview, zone));
    text
}

/// The line that tells one change from the next: a row more is none.
pub(super) fn line(overview: &Overview) -> String {
    let Some(now) = &overview.run else { return "no run".to_owned() };
    let mut text = format!("{} {}", now.run.run_id, now.run.status);
    if let Some(stage) = &now.stage {
        let _ = write!(text, ": {}", place(stage));
    }
    match (&now.run.error, now.idle().is_some()) {
        (Some(error), _) => {
            let _ = write!(text, ", {}", one_line(error));
        }
        (None, true) => text.push_str(", nobody is at work on it"),
        _ => {}
    }
    text
}

/// `full-replication load 43 %, 12 of 120 tables`.
pub(in crate::cli) fn place(stage: &StageNow) -> String {
    let mut text = stage.attempt.stage.clone();
    if stage.attempt.attempt > 1 {
        let _ = write!(text, " (attempt {})", stage.attempt.attempt);
    }
    if stage.attempt.status != "running" {
        let _ = write!(text, " {}", stage.attempt.status);
    } else if let Some(step) = stage.step() {
        let _ = write!(text, " {}", step.step);
        if let Some(percent) = stage.step_percent {
            let _ = write!(text, " {percent:.0} %");
        }
    }
    if stage.attempt.tables > 0 {
        let _ = write!(text, ", {}", of(stage.attempt.tables, stage.tables_expected, count, TABLES));
    }
    text
}

/// `12 of about 120 tables`, `1 table`; sizes have their unit already.
fn of(done: i64, expected: Option<i64>, number: fn(u64) -> String, [one, many]: [&str; 2]) -> String {
    let expected = expected.filter(|expected| *expected > 0);
    let unit = if expected.unwrap_or(done) == 1 { one } else { many };
    let done = number(done.unsigned_abs());
    let text = match expected {
        Some(expected) => format!("{done} of about {} {unit}", number(expected.unsigned_abs())),
        None => format!("{done} {unit}"),
    };
    text.trim_end().to_owned()
}

const TABLES: [&str; 2] = ["table", "tables"];

/// How far a stage is, in numbers.
pub(in crate::cli) fn progress_of(stage: &StageNow) -> [String; 3] {
    [
        of(stage.attempt.tables, stage.tables_expected, count, TABLES),
        of(stage.rows_so_far, stage.rows_expected, count, ["row", "rows"]),
        of(stage.bytes_so_far, stage.bytes_expected, bytes, ["", ""]),
    ]
}

fn run(now: &RunNow, overview: &Overview, zone: Tz) -> String {
    let line = &now.run;
    let mut text = match line.ended_at {
        Some(end) => format!(
            "Run {} {}: {} to {} ({})\n",
            line.run_id,
            line.status,
            local(line.started_at, zone),
            clock(end, zone),
            span(line.started_at, end)
        ),
        None => format!(
            "Run {} is open since {} ({})\n",
            line.run_id,
            local(line.started_at, zone),
            span(line.started_at, overview.at)
        ),
    };
    text.push_str(&item("started by", &format!("{} on {}", line.origin, line.host)));
    match &now.stage {
        Some(stage) if line.status == "running" => text.push_str(&at_work(now, stage, overview, zone)),
        _ => {}
    }
    if let Some(error) = &line.error {
        text.push_str(&item(line.error_kind.as_deref().unwrap_or("error"), error));
    }
    if let Some(hint) = &line.hint {
        text.push_str(&item("hint", hint));
    }
    let _ = write!(text, "\n{}", stages(&now.stages, overview.at));
    text
}

fn at_work(now: &RunNow, stage: &StageNow, overview: &Overview, zone: Tz) -> String {
    let mut text = String::new();
    if let Some(why) = now.idle() {
        let since = now.idle_since.map(|since| format!(" for {}", span(since, overview.at)));
        text.push_str(&item("at work", &format!("nobody{}: {why}", since.unwrap_or_default())));
    }
    let attempt = &stage.attempt;
    if attempt.status == "running" {
        let since =
            format!("since {} ({})", clock(attempt.started_at, zone), span(attempt.started_at, overview.at));
        text.push_str(&item("stage", &format!("{}, attempt {}, {since}", attempt.stage, attempt.attempt)));
        if let Some(step) = stage.step() {
            let mut told = match step.ended_at {
                None => format!(
                    "{} since {} ({})",
                    step.step,
                    clock(step.started_at, zone),
                    span(step.started_at, overview.at)
                ),
                Some(end) => format!("{} {} after {}", step.step, step.status, span(step.started_at, end)),
            };
            if let Some(percent) = stage.step_percent {
                let _ = write!(told, ", {percent:.1} %");
            }
            if let Some(done) = step.bytes_done {
                let _ = write!(told, ", {}", of(done, step.bytes_total, bytes, ["", ""]));
            }
            text.push_str(&item("step", &told));
        }
        let [tables, rows, size] = progress_of(stage);
        text.push_str(&item("so far", &format!("{tables}, {rows}, {size}")));
    } else {
        text.push_str(&item(
            "stage",
            &format!("{} {}, attempt {}", attempt.stage, attempt.status, attempt.attempt),
        ));
        if let Some(error) = &attempt.error {
            text.push_str(&item(attempt.error_kind.as_deref().unwrap_or("error"), error));
        }
    }
    let eta = match &now.eta {
        Some(eta) => format!(
            "about {} (in {}), from {}",
            local(eta.ends_at, zone),
            duration(millis(eta.remaining_ms)),
            match eta.nights {
                1 => "the last good night".to_owned(),
                nights => format!("the last {nights} good nights"),
            }
        ),
        None if now.idle().is_some() => "unknown: nobody is at work on it".to_owned(),
        None => "unknown: there is no earlier night to compare with".to_owned(),
    };
    text.push_str(&item("done", &eta));
    text
}

fn stages(stages: &[AttemptLine], at: DateTime<Utc>) -> String {
    let rows = stages.iter().map(|one| {
        [
            one.stage.clone(),
            one.status.clone(),
            one.attempt.to_string(),
            span(one.started_at, one.ended_at.unwrap_or(at)),
            count(one.tables.unsigned_abs()),
            count(one.rows.unsigned_abs()),
            bytes(one.bytes.unsigned_abs()),
        ]
    });
    table(["stage", "status", "attempt", "time", "tables", "rows", "size"], &[2, 3, 4, 5, 6], rows)
}

fn under_way(all: &[UnderWay]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let rows = all.iter().map(|one| {
        let dash = || "-".to_owned();
        let subject = one.table.as_ref().map_or_else(dash, |table| {
            if table.schema.is_empty() { table.name.clone() } else { table.to_string() }
        });
        let phase = if one.waits_for_lock {
            "waits for a lock".to_owned()
        } else {
            one.phase.clone().unwrap_or_else(dash)
        };
        let rows = match one.what {
            What::Copy => one.rows.map_or_else(dash, |rows| of(rows, one.rows_expected, count, ["", ""])),
            _ => dash(),
        };
        [
            one.connection.to_string(),
            one.what.word().to_owned(),
            subject,
            one.object.clone().unwrap_or_else(dash),
            phase,
            one.percent.map_or_else(dash, |percent| format!("{percent:.1} %")),
            rows,
            duration(millis(one.elapsed_ms)),
        ]
    });
    let heading = ["connection", "doing", "table", "object", "phase", "done", "rows", "time"];
    format!("\nUnder way:\n{}", table(heading, &[0, 5, 6, 7], rows))
}

fn around(overview: &Overview, zone: Tz) -> String {
    let mut text = String::new();
    let holders =
        [("The warehouse is held by", &overview.warehouse_lock), ("A push is made by", &overview.push_lock)];
    for (what, holder) in holders {
        if let Some(holder) = holder {
            let since = holder.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
            let _ = writeln!(text, "{what} {}{since}.", holder.who);
        }
    }
    if let Some(error) = &overview.queue.error {
        let _ = writeln!(text, "The queue does not answer: {error}.");
    }
    text.push_str(&forsaken(&overview.queue));
    let paused: Vec<&str> = overview.queue.paused().map(Stage::name).collect();
    if !paused.is_empty() {
        let _ = writeln!(
            text,
            "Paused: {}. `nightferry queue resume` lets their jobs be taken again.",
            paused.join(", ")
        );
    }
    for next in &overview.schedule {
        let _ = writeln!(text, "Next {}: {} ({}).", next.of, local(next.at, zone), next.pattern);
    }
    text
}

/// What is said of queues that nobody serves.
fn forsaken(queue: &QueueNow) -> String {
    if operator::is_without_workers(&queue.counts) {
        return "No worker is there: no schedule is kept, and what is on the queues waits. Does `nightferry worker` run?\n".to_owned();
    }
    let stages: Vec<&str> = queue.forsaken().map(Stage::name).collect();
    if stages.is_empty() {
        return String::new();
    }
    format!("No worker takes the jobs of: {}. Its log says why.\n", stages.join(", "))
}

fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    duration((to - from).to_std().unwrap_or_default())
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

fn one_line(text: &str) -> String {
    printable(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Europe::Paris;

    use super::*;
    use crate::ids::TableName;
    use crate::jobs::operator::Counts;
    use crate::jobs::overview::{Eta, Holder, LedgerState, NextTime, RunLine, StepLine};

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_147_800 + minutes * 60, 0).unwrap()
    }

    fn attempt(status: &str) -> AttemptLine {
        AttemptLine {
            run_id: "20261120T041000Z".into(),
            stage: "full-replication".into(),
            attempt: 2,
            status: status.into(),
            started_at: at(1),
            ended_at: None,
            tables: 12,
            rows: 1_200_000,
            bytes: 80_000_000,
            error_kind: None,
            error: None,
            hint: None,
        }
    }

    fn copy() -> UnderWay {
        UnderWay {
            connection: 4711,
            run_id: "20261120T041000Z".into(),
            stage: "full-replication".into(),
            what: What::Copy,
            table: Some(TableName::new("public", "answers")),
            object: None,
            since: at(70),
            elapsed_ms: 120_000,
            phase: None,
            percent: Some(25.0),
            rows: Some(250),
            bytes: Some(9_000),
            rows_expected: Some(1_000),
            duration_expected_ms: Some(480_000),
            waits_for_lock: false,
        }
    }

    fn at_work() -> Overview {
        let step = StepLine {
            step: "load".into(),
            status: "running".into(),
            started_at: at(2),
            ended_at: None,
            bytes_done: None,
            bytes_total: None,
        };
        let index = UnderWay {
            connection: 4712,
            what: What::Index,
            object: Some("answers_user".into()),
            phase: Some("building index: scanning table".into()),
            rows: None,
            percent: Some(61.5),
            waits_for_lock: false,
            ..copy()
        };
        let run = RunLine {
            run_id: "20261120T041000Z".into(),
            origin: "schedule".into(),
            status: "running".into(),
            host: "host-1".into(),
            version: "1".into(),
            started_at: at(0),
            ended_at: None,
            error_kind: None,
            error: None,
            hint: None,
        };
        let stage = StageNow {
            attempt: attempt("running"),
            steps: vec![step],
            step_percent: Some(43.2),
            rows_so_far: 1_200_250,
            bytes_so_far: 80_009_000,
            tables_expected: Some(120),
            rows_expected: Some(5_000_000),
            bytes_expected: None,
        };
        let eta = Eta {
            ends_at: at(140),
            remaining_ms: 68 * 60_000,
            step_remaining_ms: 0,
            stage_remaining_ms: 0,
            nights: 7,
        };
        let now = RunNow {
            run,
            is_at_work: true,
            idle_since: None,
            stage: Some(stage),
            stages: vec![attempt("running")],
            eta: Some(eta),
        };
        let counts = Counts {
            stage: Stage::BackupPush,
            queue: "Dump and push queue",
            is_paused: true,
            waiting: 0,
            active: 0,
            completed: 0,
            failed: 0,
            delayed: 0,
            paused: 0,
            workers: 0,
        };
        Overview {
            at: at(72),
            ledger: LedgerState::Ready,
            run: Some(now),
            beside: vec![],
            under_way: vec![copy(), index],
            warehouse_lock: Some(Holder {
                who: "20261120T041000Z full on host-1".into(),
                since: Some("04:10Z".into()),
            }),
            push_lock: None,
            queue: QueueNow { error: None, counts: vec![counts] },
            schedule: vec![NextTime { of: "night", pattern: "10 5 * * *".into(), at: at(24 * 60) }],
            last_success: vec![],
        }
    }

    #[test]
    fn a_night_at_work_is_told_on_one_screen() {
        let expected = "Run 20261120T041000Z is open since 2026-11-20 05:10:00 CET (1 h 12 min)
  started by: schedule on host-1
  stage: full-replication, attempt 2, since 05:11:00 (1 h 11 min)
  step: load since 05:12:00 (1 h 10 min), 43.2 %
  so far: 12 of about 120 tables, 1,200,250 of about 5,000,000 rows, 80.0 MB
  done: about 2026-11-20 07:30:00 CET (in 1 h 08 min), from the last 7 good nights

  stage             status   attempt        time  tables       rows     size
  full-replication  running        2  1 h 11 min      12  1,200,000  80.0 MB

Under way:
  connection  doing  table           object        phase                             done                rows        time
        4711  copy   public.answers  -             -                               25.0 %  250 of about 1,000  2 min 00 s
        4712  index  public.answers  answers_user  building index: scanning table  61.5 %                   -  2 min 00 s

The warehouse is held by 20261120T041000Z full on host-1 since 04:10Z.
Paused: backup-push. `nightferry queue resume` lets their jobs be taken again.
Next night: 2026-11-21 05:10:00 CET (10 5 * * *).
";
        assert_eq!(overview(&at_work(), Paris), expected);
    }

    #[test]
    fn queues_without_a_worker_are_told() {
        let mut now = at_work();
        let mut other =
            Counts { stage: Stage::Notification, is_paused: false, ..now.queue.counts[0].clone() };
        let told = |now: &Overview| {
            around(now, Paris).lines().find(|line| line.contains("worker")).map(str::to_owned)
        };
        assert_eq!(told(&now), None, "a paused one has none");
        now.queue.counts.push(other.clone());
        assert_eq!(told(&now).unwrap(), "No worker takes the jobs of: notification. Its log says why.");
        now.queue.counts = vec![other.clone()];
        assert!(told(&now).unwrap().starts_with("No worker is there: "));
        other.workers = 1;
        now.queue.counts = vec![other];
        assert_eq!(told(&now), None);
    }

    #[test]
    fn a_change_is_one_line() {
        let mut now = at_work();
        assert_eq!(
            line(&now),
            "20261120T041000Z running: full-replication (attempt 2) load 43 %, 12 of about 120 tables"
        );
        let run = now.run.as_mut().unwrap();
        run.is_at_work = false;
        assert!(line(&now).ends_with(", nobody is at work on it"));
        let run = now.run.as_mut().unwrap();
        run.run.status = "failed".into();
        run.run.error = Some("load:\n broken".into());
        run.stage.as_mut().unwrap().attempt.status = "failed".into();
        assert_eq!(
            line(&now),
            "20261120T041000Z failed: full-replication (attempt 2) failed, 12 of about 120 tables, load: broken"
        );
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!(of(1, None, count, TABLES), "1 table");
        assert_eq!(of(0, Some(1), count, TABLES), "0 of about 1 table");
        assert_eq!(of(1, Some(1_200), count, TABLES), "1 of about 1,200 tables");
        assert_eq!(of(812, None, bytes, ["", ""]), "812 B");
    }

    #[test]
    fn a_run_that_nobody_is_at_work_on_and_one_without_an_earlier_night_say_so() {
        let mut now = at_work();
        let run = now.run.as_mut().unwrap();
        run.eta = None;
        let text = overview(&now, Paris);
        assert!(text.contains("  done: unknown: there is no earlier night to compare with\n"), "{text}");
        let run = now.run.as_mut().unwrap();
        run.is_at_work = false;
        let text = overview(&now, Paris);
        assert!(text.contains("  at work: nobody: the process that was at it is gone\n"), "{text}");
        assert!(text.contains("  done: unknown: nobody is at work on it\n"), "{text}");
        let run = now.run.as_mut().unwrap();
        run.idle_since = Some(at(70));
        let text = overview(&now, Paris);
        assert!(text.contains("  at work: nobody for 2 min 00 s: it waits for its next job\n"), "{text}");
        let nothing = Overview { ledger: LedgerState::Missing, run: None, under_way: vec![], ..now };
        assert!(overview(&nothing, Paris).starts_with("The warehouse has no ledger yet"));
    }
}
