//! `nightferry queue`: what is on the queues, and what can be done to it.

mod arguments;
mod render;

use super::{Ending, log_to_stderr, settings::Settings, tell};
use crate::config::Config;
use crate::error::Result;
use crate::ids::Stage;
use crate::jobs::operator;
pub(super) use arguments::Arguments;
use arguments::{Command, One, Several};

pub(super) async fn run(arguments: &Arguments, settings: &Settings) -> Result<Ending> {
    let (config, log) = settings.databases()?;
    log_to_stderr(&log);
    answer(&arguments.command, &config).await?;
    Ok(Ending::Done)
}

async fn answer(command: &Command, config: &Config) -> Result<()> {
    match command {
        Command::Stats(form) => {
            tell(form.json, &operator::stats(config).await?, |counts| render::counts(counts))
        }
        Command::Failed(form) => {
            tell(form.json, &operator::failed(config).await?, |jobs| render::failed(jobs))
        }
        Command::Show(One { id, form }) => tell(form.json, &operator::show(config, id).await?, render::shown),
        Command::Retry(One { id, form }) => tell(form.json, &operator::retry(config, id).await?, |retried| {
            let (id, of, queue) = (&retried.id, &retried.of, retried.queue);
            format!("{id} is on the {queue:?}, after {of}. A worker takes it from there.\n")
        }),
        Command::Cancel(One { id, form }) => {
            tell(form.json, &operator::cancel(config, id).await?, |changed| {
                format!("{} was {}, and is cancelled.\n", changed.id, changed.was.name())
            })
        }
        Command::Remove(One { id, form }) => {
            tell(form.json, &operator::remove(config, id).await?, |changed| {
                format!("{} was {}, and is removed.\n", changed.id, changed.was.name())
            })
        }
        Command::Pause(several) => {
            let counts = operator::pause(config, &stages(several)).await?;
            tell(several.form.json, &counts, |counts| render::counts(counts))
        }
        Command::Resume(several) => {
            let counts = operator::resume(config, &stages(several)).await?;
            tell(several.form.json, &counts, |counts| render::counts(counts))
        }
    }
}

/// The queues that were named, or all.
fn stages(several: &Several) -> Vec<Stage> {
    if several.queues.is_empty() { Stage::ALL.to_vec() } else { several.queues.clone() }
}
