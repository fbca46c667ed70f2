//! The bars of a command in the foreground, as a terminal shows them, and the log without one.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use crate::status::{closed, night};
use crate::support::{TestNight, until};

const ROWS: u16 = 60;
const COLUMNS: u16 = 180;

/// A command on a terminal of its own.
struct OnTerminal {
    child: Child,
    typescript: std::path::PathBuf,
}

impl OnTerminal {
    fn start(night: &TestNight, words: &str) -> Self {
        Self::of_kind("xterm-256color", night, words)
    }

    fn of_kind(terminal: &str, night: &TestNight, words: &str) -> Self {
        let command = night.command(&[], &[("TERM", terminal)]);
        let program = command.get_program().to_str().unwrap().to_owned();
        let typescript = night.path("typescript");
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command"]);
        script.arg(format!("stty rows {ROWS} cols {COLUMNS}; exec {program} {words}")).arg("/dev/null");
        script.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
        script.stdout(File::create(&typescript).unwrap());
        Self { child: script.spawn().expect("script (bsdutils) is needed for a terminal"), typescript }
    }

    /// What a person sees now.
    fn screen(&self) -> String {
        let mut terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
        terminal.process(&std::fs::read(&self.typescript).unwrap());
        // Row by row: a line that fills its row is none that goes on in the next one.
        terminal.screen().rows(0, COLUMNS).map(|row| format!("{}\n", row.trim_end())).collect()
    }

    /// The first screen that has all of this: one that is being drawn has a part of it.
    async fn shows(&self, all: &[&str]) -> String {
        until(&format!("the terminal to show {all:?}"), async || {
            Some(self.screen()).filter(|screen| all.iter().all(|what| screen.contains(what)))
        })
        .await
    }

    async fn ends(&mut self) -> i32 {
        until("the command to end", async || self.child.try_wait().unwrap()).await.code().unwrap()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of the log: one each, whole.
fn steps_in(screen: &str) -> Vec<&str> {
    screen.lines().filter(|line| line.contains(" step.started")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_bars_below_the_log_and_nothing_of_them_stays() {
    let night = night().await;
    night.full(&[]).await;
    let mut copying = closed(&night, 77).await;
    let mut command = OnTerminal::start(&night, "run full-replication");
    copying.reached().await;
    let screen = command.shows(&["499 of about 1,000 rows", "copy public.big, waits for a lock, 50 %"]).await;
    let bars: Vec<&str> = screen.lines().skip_while(|line| !line.contains("full-replication load")).collect();
    assert!(bars[0].contains("█"), "{screen}");
    assert!(bars[1].contains("█████▏") || bars[1].contains("███████████"), "about half of a bar: {screen}");
    assert_eq!(bars.iter().filter(|line| !line.trim().is_empty()).count(), 2, "nothing below: {screen}");
    let names = ["fetch", "guard", "schema", "load"];
    let steps = steps_in(&screen);
    assert_eq!(steps.len(), names.len(), "{screen}");
    for (line, name) in steps.iter().zip(names) {
        assert!(line.contains(&format!("step=\"{name}\"")) && line.starts_with("20"), "{line:?} in {screen}");
    }
    drop(copying);
    assert_eq!(command.ends().await, 0);
    let screen = command.screen();
    assert!(screen.contains("full-replication: 1 table, 1,000 rows"), "the summary: {screen}");
    assert!(!screen.contains('█') && !screen.contains("copy public.big"), "{screen}");
    assert_eq!(steps_in(&screen).len(), 10, "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_on_a_terminal_is_drawn_anew_until_the_run_has_ended() {
    let night = night().await;
    night.full(&[]).await;
    let mut copying = closed(&night, 77).await;
    let mut work = night.command(&["run", "full-replication"], &[]);
    let mut work = work.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    copying.reached().await;
    let mut command = OnTerminal::start(&night, "status --watch");
    let screen = command.shows(&["Under way:", "time"]).await;
    assert_eq!(screen.matches("is open since").count(), 1, "{screen}");
    drop(copying);
    assert_eq!(command.ends().await, 0);
    assert!(work.wait().unwrap().success());
    let screen = command.screen();
    assert_eq!((screen.matches("Run ").count(), screen.matches(" succeeded: ").count()), (1, 1), "{screen}");
    assert!(!screen.contains("Under way"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_can_do_nothing_gets_lines_only() {
    let night = night().await;
    let everything = |command: &OnTerminal| std::fs::read_to_string(&command.typescript).unwrap();
    let mut copying = closed(&night, 77).await;
    let mut command = OnTerminal::of_kind("dumb", &night, "run full-replication");
    copying.reached().await;
    let mut watch = OnTerminal::of_kind("dumb", &night, "status --watch");
    watch.shows(&["full-replication load"]).await;
    drop(copying);
    assert_eq!((command.ends().await, watch.ends().await), (0, 0));
    for text in [everything(&command), everything(&watch)] {
        assert!(!text.contains(['\u{1b}', '█']), "{text:?}");
    }
    let text = everything(&command);
    assert!(
        text.contains(" INFO stage{") && text.contains("full-replication: 1 table, 1,000 rows"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_there_is_a_line_when_a_step_starts_and_one_when_it_ends() {
    let night = night().await;
    let output = night.binary(&["run", "full-replication"], &[("LOG_FORMAT", "pretty")]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains('█') && !text.contains('\u{1b}'), "{text}");
    for event in ["step.started", "step.ended"] {
        assert_eq!(
            text.lines().filter(|line| line.contains(event) && line.contains("\"load\"")).count(),
            1,
            "{text}"
        );
    }
}
