//! Progress bars below the log of a command in the foreground, on a terminal: how far the stage is, and what each connection is doing.
//!
//! They show what `nightferry status` shows, asked on a session of its own beside the work. What cannot be asked is not shown: the work
//! does not mind.

use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

use chrono_tz::Tz;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use super::format::{duration, printable};
use super::status::{place, progress_of};
use crate::adapters::queue::host_name;
use crate::clock;
use crate::config::{Config, Log, LogFormat};
use crate::ids::RunId;
use crate::jobs::overview::{Overlook, Overview, RunNow, UnderWay};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// More lines than that would push the log off the screen.
const MOST_LINES: usize = 12;

/// The bars of one command.
pub(super) struct Bars {
    screen: MultiProgress,
    /// The stage, then one for each connection that is at work.
    lines: Vec<ProgressBar>,
}

impl Bars {
    /// None where the log does not go to a person at a terminal, or that cannot draw.
    pub(super) fn for_terminal(log: &Log) -> Option<Self> {
        let target = ProgressDrawTarget::stdout();
        let is_read_by_people = !target.is_hidden() && log.format != Some(LogFormat::Json);
        is_read_by_people.then(|| {
            let screen = MultiProgress::with_draw_target(target);
            Self { screen, lines: Vec::new() }
        })
    }

    /// Where the log goes: above the bars.
    pub(super) fn log(&self) -> Above {
        Above(self.screen.clone())
    }

    /// Shows the run that this process is about to begin, and never comes back.
    pub(super) async fn follow(&mut self, config: &Config) -> Infallible {
        let began = RunId::at(clock::now());
        let Ok(overlook) = Overlook::new(config) else { return std::future::pending().await };
        let mut overlook = overlook.without_queue();
        loop {
            // Looks that fail are the work's own trouble, and it says so.
            if let Ok(overview) = overlook.look().await
                && let Some(run) = own(&overview, began.as_str())
            {
                self.draw(run, &overview, config.queue.timezone);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn draw(&mut self, run: &RunNow, overview: &Overview, zone: Tz) {
        let percent = run.stage.as_ref().and_then(|stage| stage.step_percent);
        let mut wanted = vec![(percent, headline(run, zone))];
        let at_work = overview.under_way.iter().filter(|one| one.run_id == run.run.run_id);
        wanted.extend(at_work.take(MOST_LINES).map(|one| (one.percent, told(one))));
        for surplus in self.lines.drain(wanted.len().min(self.lines.len())..) {
            surplus.finish_and_clear();
            self.screen.remove(&surplus);
        }
        while self.lines.len() < wanted.len() {
            self.lines.push(self.screen.add(ProgressBar::new(1000)));
        }
        for (line, (percent, text)) in self.lines.iter().zip(wanted) {
            show(line, percent, text);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // The summary follows where the bars were.
        for line in self.lines.drain(..) {
            line.finish_and_clear();
        }
        let _ = self.screen.clear();
    }
}

/// The run of this process: of this machine, and begun since.
fn own<'a>(overview: &'a Overview, began: &str) -> Option<&'a RunNow> {
    let host = host_name();
    overview.run.iter().chain(&overview.beside).find(|now| {
        now.is_at_work
            && now.run.host == host
            && now.run.origin == "command"
            && now.run.run_id.as_str() >= began
    })
}

/// One line: a bar where it is known how much is done.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
fn show(bar: &ProgressBar, percent: Option<f64>, text: String) {
    let form = if percent.is_some() { "{bar:24} {wide_msg}" } else { "                         {wide_msg}" };
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    bar.set_position((percent.unwrap_or_default() * 10.0) as u64);
    bar.set_message(text);
    bar.tick();
}

fn headline(run: &RunNow, zone: Tz) -> String {
    let Some(stage) = &run.stage else { return run.run.run_id.clone() };
    let [_, rows, size] = progress_of(stage);
    let mut parts = vec![place(stage)];
    if stage.rows_so_far > 0 {
        parts.extend([rows, size]);
    }
    if let Some(eta) = &run.eta {
        parts.push(format!("done about {}", eta.ends_at.with_timezone(&zone).format("%H:%M")));
    }
    parts.join(", ")
}

fn told(one: &UnderWay) -> String {
    let table = one.table.as_ref().map(ToString::to_string);
    let words = [Some(one.what.word().to_owned()), table, one.object.clone()];
    let mut text = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if let Some(phase) = &one.phase {
        text.push_str(&format!(", {phase}"));
    }
    if one.waits_for_lock {
        text.push_str(", waits for a lock");
    }
    if let Some(percent) = one.percent {
        text.push_str(&format!(", {percent:.0} %"));
    }
    format!("{}, {}", printable(&text), duration(Duration::from_secs(one.elapsed_ms.unsigned_abs() / 1000)))
}

/// Writes above the bars, so that neither tears the other.
#[derive(Clone)]
pub(super) struct Above(MultiProgress);

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stdout().lock().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().lock().flush()
    }
}

impl<'a> MakeWriter<'a> for Above {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
