//! `nightferry status`: what runs now, how far it is, and when it will be done.

mod render;

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Ending, log_to_stderr, say, settings::Settings, tell};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::jobs::overview::{Overlook, Overview, RunNow};
pub(super) use render::{local, place, progress_of};

/// Show what runs now: stage, step, tables and rows so far, what each connection is doing, and when it will be done.
///
/// Where nothing runs, the last night. It works beside a worker or a command, on any machine that reaches the warehouse, and without
/// the queue. When it will be done is told from the last seven nights that ended well.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Look again each second until the run has ended; the exit code is then 1 where it has not ended well. Where the answer is no
    /// terminal's, a line is written for each change.
    #[arg(long)]
    watch: bool,
    /// Answer in JSON: run, beside, under_way, warehouse_lock, queue, schedule, last_success and more; with --watch, a line for each change.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightferry status
  nightferry status --watch
  nightferry status --json | jq -r '.run.eta.ends_at'";

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    let mut overlook = Overlook::new(&config)?;
    let overview = overlook.look().await?;
    if arguments.watch {
        return Watch::new(&config, arguments.json).until_the_end(overlook, overview).await;
    }
    tell(arguments.json, &overview, |overview| render::overview(overview, config.queue.timezone))?;
    Ok(Ending::Done)
}

/// Shows one run until its end.
struct Watch<'a> {
    config: &'a Config,
    json: bool,
    /// Redraws on a terminal.
    screen: Option<ProgressBar>,
    /// What was told last, elsewhere.
    said: String,
}

impl<'a> Watch<'a> {
    fn new(config: &'a Config, json: bool) -> Self {
        let target = ProgressDrawTarget::stdout();
        let is_screen = !json && !target.is_hidden();
        let screen = is_screen.then(|| {
            let style =
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(None, target).with_style(style)
        });
        Self { config, json, screen, said: String::new() }
    }

    async fn until_the_end(mut self, mut overlook: Overlook, mut overview: Overview) -> Result<Ending> {
        let watched = overview.run.as_ref().map(|now| now.run.run_id.clone());
        let mut was_abandoned = false;
        loop {
            let run = overview.run.as_ref().filter(|now| Some(&now.run.run_id) == watched.as_ref());
            let status = match (run, &watched) {
                (Some(now), _) => now.run.status.clone(),
                // Another one has begun since: it has ended.
                (None, Some(run)) => {
                    overlook.run(run).await?.map_or_else(|| "interrupted".to_owned(), |run| run.status)
                }
                (None, None) => String::new(),
            };
            // Twice in a row: what one look has seen is not of one moment.
            let is_abandoned = run.is_some_and(RunNow::is_abandoned);
            if status != "running" || is_abandoned && was_abandoned {
                return self.end(&overview, &status);
            }
            was_abandoned = is_abandoned;
            self.show(&overview)?;
            overview = self.next(&mut overlook).await;
        }
    }

    /// The next look that succeeds.
    async fn next(&mut self, overlook: &mut Overlook) -> Overview {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match overlook.look().await {
                Ok(overview) => return overview,
                Err(error) => {
                    let text = format!("{error}; looking again");
                    match &self.screen {
                        Some(screen) => screen.set_message(text),
                        None if self.said != text => {
                            tracing::warn!("{text}");
                            self.said = text;
                        }
                        None => {}
                    }
                }
            }
        }
    }

    fn show(&mut self, overview: &Overview) -> Result<()> {
        if let Some(screen) = &self.screen {
            let text = render::overview(overview, self.config.queue.timezone);
            screen.set_message(text.trim_end().to_owned());
            screen.tick();
            return Ok(());
        }
        let line = render::line(overview);
        if line == self.said {
            return Ok(());
        }
        if self.json {
            let text = serde_json::to_string(overview).map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot write the answer as JSON").because(error)
            })?;
            say(&format!("{text}\n"))?;
        } else {
            say(&format!("{} {line}\n", local(overview.at, self.config.queue.timezone)))?;
        }
        self.said = line;
        Ok(())
    }

    fn end(&mut self, overview: &Overview, status: &str) -> Result<Ending> {
        if let Some(screen) = self.screen.take() {
            screen.finish_and_clear();
            say(&render::overview(overview, self.config.queue.timezone))?;
        } else {
            self.show(overview)?;
        }
        Ok(if matches!(status, "running" | "failed" | "interrupted") {
            Ending::NotInOrder
        } else {
            Ending::Done
        })
    }
}
