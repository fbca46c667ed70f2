//! What people are told by mail: a subject that says it all, and a text for those who open it. Pure.

use std::fmt::Write;
use std::time::Duration;

use super::account::{Account, ToldStage};
use crate::notice::Event;

/// A phone shows about so much of a sentence in a subject.
const LONGEST_SENTENCE: usize = 120;

/// The subject: `nightferry: night 20261120T041000Z failed in full-replication: cannot connect to the source`.
pub(super) fn subject(account: &Account) -> String {
    if let (Event::Late, Some(error)) = (account.event, &account.error) {
        return format!("nightferry: {}", cut(&error.message));
    }
    let mut text = format!("nightferry: {} {} {}", account.job, account.run_id, verb(account));
    if let Some(error) = &account.error {
        if let Some(stage) = error.stage.as_ref().filter(|stage| *stage != account.job) {
            let _ = write!(text, " in {stage}");
        }
        let _ = write!(text, ": {}", cut(&error.message));
    } else if let (Event::Succeeded, Some(tables), Some(rows)) = (account.event, account.tables, account.rows)
    {
        let _ = write!(text, ": {tables} tables, {rows} rows");
    }
    text
}

fn verb(account: &Account) -> &'static str {
    match (account.event, account.status) {
        (Event::Started, _) => "started",
        (Event::Succeeded, "succeeded") => "succeeded",
        (Event::Interrupted, _) => "was interrupted",
        (Event::Late, _) => "is late",
        _ => "failed",
    }
}

/// The first line of a sentence, not too long: a header has one line.
fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().replace(char::is_control, " ");
    match line.char_indices().nth(LONGEST_SENTENCE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The text.
pub(super) fn text(account: &Account) -> String {
    let mut text = match account.event {
        Event::Late => format!("The last good night is {}.\n", account.run_id),
        _ => format!("The {} {} {}.\n", account.job, account.run_id, verb(account)),
    };
    if let Some(error) = &account.error {
        let _ = write!(text, "\n{}\n", error.message);
        if let Some(hint) = &error.hint {
            let _ = writeln!(text, "What to do: {hint}");
        }
        let _ = writeln!(text, "Kind of error: {}", error.kind);
    }
    if let Some(stages) = account.stages.as_ref().filter(|stages| !stages.is_empty()) {
        text.push_str("\nStages:\n");
        for stage in stages {
            text.push_str(&line(stage));
        }
    }
    text.push('\n');
    let times = [("Started", account.started_at), ("Ended", account.ended_at)];
    for (what, time) in times.into_iter().filter_map(|(what, time)| Some((what, time?))) {
        let _ = writeln!(text, "{what}: {}", time.format("%Y-%m-%d %H:%M:%S UTC"));
    }
    if let Some(host) = &account.host {
        let _ = writeln!(text, "Host: {host}");
    }
    let _ = writeln!(text, "nightferry {}", account.version);
    text
}

fn line(stage: &ToldStage) -> String {
    let mut text = format!("  {}: {}", stage.name, stage.status);
    if stage.attempt > 1 {
        let _ = write!(text, " (attempt {})", stage.attempt);
    }
    if let Some(duration) = stage.duration_ms.and_then(|millis| u64::try_from(millis).ok()) {
        let _ = write!(text, ", {}", humantime::format_duration(Duration::from_millis(duration)));
    }
    let _ = writeln!(text, ", {} tables, {} rows", stage.tables, stage.rows);
    text
}

#[cfg(test)]
mod tests {
    use super::super::account::tests::failed;
    use super::*;

    #[test]
    fn the_subject_says_it_all() {
        assert_eq!(
            subject(&failed()),
            "nightferry: night 20261120T041000Z failed in full-replication: cannot reach postgres://***@h/db"
        );
    }

    #[test]
    fn a_subject_is_one_line_and_not_too_long() {
        assert_eq!((cut("one\r\nBcc: two").as_str(), cut("one\rBcc: two").as_str()), ("one", "one Bcc: two"));
        assert_eq!(cut(&"é".repeat(200)).chars().count(), LONGEST_SENTENCE + 1);
    }

    #[test]
    fn the_text_has_the_hint_and_the_stages() {
        assert_eq!(
            text(&failed()),
            format!(
                "The night 20261120T041000Z failed.\n\
                 \n\
                 cannot reach postgres://***@h/db\n\
                 What to do: is it up?\n\
                 Kind of error: connection\n\
                 \n\
                 Stages:\n\
                 \x20 full-replication: failed, 1s 500ms, 2 tables, 10 rows\n\
                 \n\
                 Started: 2026-11-20 04:08:20 UTC\n\
                 Ended: 2026-11-20 04:10:00 UTC\n\
                 Host: worker-1\n\
                 nightferry {}\n",
                env!("CARGO_PKG_VERSION")
            )
        );
    }
}
