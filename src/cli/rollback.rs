//! `nightferry rollback`: yesterday's copy live again, and with the same command today's.

use chrono::{DateTime, Utc};
use clap::Args;

use super::{Ending, format, log_to_stderr, say, settings::Settings};
use crate::adapters::ledger::Generation;
use crate::error::Result;
use crate::jobs;
use crate::replication::rollback::Rollback;

/// Make the previous copy live again, at once and without a question; the same command again brings today's back.
///
/// Nothing is copied: the two generations change places in one short transaction. Tables that BACKUP_MODE keeps, and those that
/// only the warehouse has, stay as they are, with their rows. Views and functions of others that lean on the copy follow.
///
/// It waits for readers as a night's publish does (PUBLISH_LOCK, PUBLISH_DEADLINE), and takes the warehouse's lock, so that it
/// never works beside a night. The next night drops the generation that is not live.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only say what it would do.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry rollback --dry-run
  nightferry rollback
  nightferry generations                  Which generations are there?";

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    let rollback = jobs::roll_back(&config, arguments.dry_run).await?;
    say(&render(&rollback))?;
    Ok(Ending::Done)
}

fn render(rollback: &Rollback) -> String {
    let is_done = rollback.locked.is_some();
    let (becomes, was) = if is_done { ("is live now", "was live") } else { ("would be live", "is live") };
    let mut text = format!(
        "{} {becomes}.\n{}, which {was}, {} the previous one: the same command brings it back, until the next night drops it.\n\
         Schemas: {}.\n",
        sentence(&named(&rollback.incoming)),
        sentence(&named(&rollback.outgoing)),
        if is_done { "is" } else { "would be" },
        rollback.schemas.join(", "),
    );
    let tense = |done: &str, to_do: &str| if is_done { done.to_owned() } else { to_do.to_owned() };
    text.push_str(&list(
        &tense("Tables that stayed as they are", "Tables that would stay as they are"),
        &rollback.staying,
    ));
    text.push_str(&list(
        &tense("Followed, as it was with that generation", "Would follow, as it was with that generation"),
        &rollback.following,
    ));
    text.push_str(&list(&tense("Made again", "Would be made again, where that can be"), &rollback.again));
    if !rollback.broken.is_empty() {
        let heading = tense("Could not come along, or not whole", "Could not come along");
        text.push_str(&format!("\n{heading} ({}):\n", rollback.broken.len()));
        for skipped in &rollback.broken {
            text.push_str(&format::item(&skipped.object, &skipped.reason));
            for line in skipped.definition.iter().flat_map(|definition| definition.lines()) {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    match rollback.locked {
        Some(locked) => {
            text.push_str(&format!("\nReaders waited for {} at most.\n", format::duration(locked)));
        }
        None => text.push_str("\nNothing was changed.\n"),
    }
    text
}

/// `generation 7, of run 20261120T041000Z, published 2026-11-20 05:02 UTC`.
fn named(generation: &Generation) -> String {
    let minute = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M UTC").to_string();
    let of = match &generation.run_id {
        Some(run) => format!("of run {run}, begun {}", minute(generation.created_at)),
        None => "of what was there before nightferry".to_owned(),
    };
    let published =
        generation.published_at.map(|at| format!(", published {}", minute(at))).unwrap_or_default();
    format!("generation {} ({of}{published})", generation.generation_id)
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn list(heading: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let lines: String = items.iter().map(|item| format!("  {item}\n")).collect();
    format!("\n{heading} ({}):\n{lines}", items.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::Skipped;

    fn generation(generation_id: i64, run: Option<&str>, state: &str) -> Generation {
        let at =
            |seconds| DateTime::from_timestamp(1_795_147_800 + generation_id * 86_400 + seconds, 0).unwrap();
        Generation {
            generation_id,
            run_id: run.map(str::to_owned),
            moves_objects: false,
            mode: "swap".into(),
            state: state.into(),
            created_at: at(0),
            published_at: run.map(|_| at(3_600)),
        }
    }

    fn rollback() -> Rollback {
        Rollback {
            incoming: generation(1, Some("20261120T041000Z"), "previous"),
            outgoing: generation(2, Some("20261121T041000Z"), "live"),
            schemas: vec!["public".into()],
            staying: vec!["public.answers".into()],
            following: vec!["view bi.happy".into()],
            again: vec!["view bi.new".into()],
            broken: vec![Skipped {
                object: "view bi.newer".into(),
                reason: "no column".into(),
                definition: Some("CREATE VIEW bi.newer AS\n SELECT 1".into()),
            }],
            locked: Some(Duration::from_millis(12)),
        }
    }

    #[test]
    fn what_became_of_everything_is_said() {
        assert_eq!(
            render(&rollback()),
            "Generation 1 (of run 20261120T041000Z, begun 2026-11-21 04:10 UTC, published 2026-11-21 05:10 UTC) is live now.\n\
             Generation 2 (of run 20261121T041000Z, begun 2026-11-22 04:10 UTC, published 2026-11-22 05:10 UTC), which was live, \
             is the previous one: the same command brings it back, until the next night drops it.\n\
             Schemas: public.\n\
             \n\
             Tables that stayed as they are (1):\n\
             \x20 public.answers\n\
             \n\
             Followed, as it was with that generation (1):\n\
             \x20 view bi.happy\n\
             \n\
             Made again (1):\n\
             \x20 view bi.new\n\
             \n\
             Could not come along, or not whole (1):\n\
             \x20 view bi.newer: no column\n\
             \x20   CREATE VIEW bi.newer AS\n\
             \x20    SELECT 1\n\
             \n\
             Readers waited for 0.01 s at most.\n"
        );
    }

    #[test]
    fn a_dry_run_speaks_of_what_would_be() {
        let incoming = generation(1, None, "previous");
        let text = render(&Rollback { locked: None, incoming, broken: Vec::new(), ..rollback() });
        assert!(
            text.starts_with("Generation 1 (of what was there before nightferry) would be live.\n"),
            "{text}"
        );
        assert!(text.contains(", which is live, would be the previous one: "), "{text}");
        assert!(text.contains("\nWould be made again, where that can be (1):\n  view bi.new\n"), "{text}");
        assert!(text.ends_with("\nNothing was changed.\n"), "{text}");
    }
}
