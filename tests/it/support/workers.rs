//! Worker processes: started with a log of their own, killed, and asked to stop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::until;

/// How much of a log is shown when a test fails.
const LINES_SHOWN: usize = 60;

/// A process of the product. It is killed when dropped; a test that fails shows the end of its log.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    log: PathBuf,
}

impl WorkerProcess {
    /// Starts a command, whose output goes to this file. Call it on the test's own thread: the process is killed when that ends, in whatever way.
    pub(crate) fn start(command: &Command, log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let mut child = Command::new("setpriv");
        child.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        child.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            child.current_dir(folder);
        }
        child.stdin(Stdio::null()).stdout(Stdio::from(file.try_clone().unwrap())).stderr(Stdio::from(file));
        Self { child: child.spawn().expect("setpriv (util-linux) is needed to start workers"), log }
    }

    /// Kills it with a signal that it cannot answer.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop once it listens, and comes back with its status and the time that it took.
    pub(crate) async fn stop(&mut self) -> (ExitStatus, Duration) {
        until("a process to listen for SIGTERM", async || self.listens().then_some(())).await;
        let start = Instant::now();
        self.ask_to_stop();
        (self.ends().await, start.elapsed())
    }

    /// Whether SIGTERM has a handler (proc_pid_status(5)); without one it ends a process at once.
    fn listens(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (Signal::TERM.as_raw() - 1)) != 0
    }

    /// Asks it to stop, as a platform does before it kills.
    pub(crate) fn ask_to_stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        until("a process to end", async || self.child.try_wait().unwrap()).await
    }

    /// Whether it is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The file of its log.
    pub(crate) fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }
}

impl Drop for WorkerProcess {
    #[expect(clippy::print_stderr, reason = "a failure shows what the workers said")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
            eprintln!("--- the end of {}\n{end}", self.log.display());
        }
    }
}
