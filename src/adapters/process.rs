//! The one place that starts processes: a command described as a value, then run with a deadline, killed when dropped.
//!
//! A command's arguments never hold a secret; what is secret travels in the child's environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use futures::FutureExt;
use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::adapters::objects::into_io;
use crate::error::{Error, ErrorKind, Result};

/// A command to be run: built by a pure function, asserted in tests without running anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, a path or a name.
    pub program: OsString,
    /// Its arguments; never a secret.
    pub arguments: Vec<OsString>,
    /// Variables added to the environment.
    pub environment: BTreeMap<&'static str, String>,
}

impl Command {
    /// The program's name, for logs and errors.
    #[must_use]
    pub fn name(&self) -> String {
        Path::new(&self.program).file_name().unwrap_or(&self.program).to_string_lossy().into_owned()
    }

    fn spawn(&self, stdin: Stdio) -> Result<Child> {
        tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .envs(&self.environment)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Its own group: a signal meant for nightferry must not end the child first and look like its success.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                Error::new(ErrorKind::Tool, format!("cannot start {}", self.name()))
                    .hint("install the PostgreSQL client tools, or name their folder in PG_BIN_DIR")
                    .because(error)
            })
    }
}

/// How much of a child's standard error is kept for the error text.
const KEPT_STDERR_LINES: usize = 20;

/// Runs a command to its end and gives back its standard output.
///
/// # Errors
/// It cannot be started, fails, or takes longer than `deadline`; the text has the last lines of its standard error.
pub async fn run(command: &Command, deadline: Duration) -> Result<Vec<u8>> {
    let mut running = Running::start(command)?;
    let mut output = Vec::new();
    let work = async {
        running.stdout.read_to_end(&mut output).await.map_err(|error| running.broken(error))?;
        running.finish().await
    };
    tokio::time::timeout(deadline, work).await.map_err(|_| {
        Error::new(
            ErrorKind::Timeout,
            format!("{} took longer than {} s", command.name(), deadline.as_secs()),
        )
    })??;
    Ok(output)
}

/// A child that is asked to end gets so long before it is killed.
const TIME_TO_END: Duration = Duration::from_secs(1);

/// A running child whose standard output is read as it comes. Dropped, it ends the child: asked to, pg_dump and pg_restore cancel
/// what runs for them on the server, which goes on for a client that was killed.
#[derive(Debug)]
pub struct Running {
    /// The child's standard output.
    pub stdout: BufReader<ChildStdout>,
    name: String,
    child: ChildToEnd,
    stderr: JoinHandle<Vec<String>>,
}

impl Running {
    /// Starts a command.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &Command) -> Result<Self> {
        Self::of(command.spawn(Stdio::null())?, command.name())
    }

    /// Starts a command that reads what is written to the pipe, and gives the pipe. Closed, it is the end of the child's input.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with_input(command: &Command) -> Result<(Self, ChildStdin)> {
        let mut child = command.spawn(Stdio::piped())?;
        let input = child.stdin.take().ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("{} was started without pipes", command.name()))
        })?;
        Ok((Self::of(child, command.name())?, input))
    }

    fn of(mut child: Child, name: String) -> Result<Self> {
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::new(ErrorKind::Internal, format!("{name} was started without pipes")));
        };
        let tool = name.clone();
        let stderr = tokio::spawn(async move {
            let mut kept = Vec::new();
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!(tool, line, "tool.stderr");
                if kept.len() == KEPT_STDERR_LINES {
                    kept.remove(0);
                }
                kept.push(line);
            }
            kept
        });
        let child = ChildToEnd(Some(child));
        Ok(Self { stdout: BufReader::with_capacity(256 * 1024, stdout), name, child, stderr })
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The child failed; the text has the last lines of its standard error.
    pub async fn finish(&mut self) -> Result<()> {
        let status = self.child.wait().await.map_err(|error| self.broken(error))?;
        if status.success() {
            return Ok(());
        }
        let said = (&mut self.stderr).await.unwrap_or_default().join("; ");
        Err(Error::new(ErrorKind::Tool, format!("{} failed ({status}): {said}", self.name)))
    }

    /// Its output as a reader that ends only where the child ended well: the output of one that failed ends in its error, and is never taken
    /// for a whole.
    #[must_use]
    pub fn into_output(self) -> Output {
        Output(State::Reading(Box::new(self)))
    }

    fn broken(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::Internal, format!("lost contact with {}", self.name)).because(error)
    }
}

/// A child that is not left alone.
#[derive(Debug)]
struct ChildToEnd(Option<Child>);

impl ChildToEnd {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.0 {
            Some(child) => child.wait().await,
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for ChildToEnd {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        // None of one that was waited for.
        let Some(id) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return };
        // Without a runtime it is killed, as it is dropped here.
        if let (Ok(runtime), Ok(())) = (Handle::try_current(), kill_process(id, Signal::TERM)) {
            runtime.spawn(async move { tokio::time::timeout(TIME_TO_END, child.wait()).await });
        }
    }
}

/// What a child writes; see [`Running::into_output`]. Dropped, it kills the child.
pub struct Output(State);

enum State {
    Reading(Box<Running>),
    Ending(BoxFuture<'static, Result<()>>),
    Ended,
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        loop {
            match &mut self.0 {
                State::Reading(running) => {
                    ready!(Pin::new(&mut running.stdout).poll_read(cx, into))?;
                    if into.filled().len() > before || into.remaining() == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    let State::Reading(mut running) = std::mem::replace(&mut self.0, State::Ended) else {
                        unreachable!("it is being read")
                    };
                    self.0 = State::Ending(async move { running.finish().await }.boxed());
                }
                State::Ending(ending) => {
                    let ended = ready!(ending.as_mut().poll(cx));
                    self.0 = State::Ended;
                    return Poll::Ready(ended.map_err(into_io));
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::adapters::objects::from_io;

    fn shell(script: &str) -> Command {
        Command {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn a_failing_tool_is_quoted_with_its_last_words() {
        let error =
            run(&shell("echo from >&2; echo here >&2; exit 3"), Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tool);
        assert_eq!(error.to_string(), "sh failed (exit status: 3): from; here");
    }

    #[tokio::test]
    async fn the_output_of_a_failing_tool_has_no_end_but_an_error() {
        let mut output = Running::start(&shell("echo half; echo why >&2; exit 3")).unwrap().into_output();
        let mut text = String::new();
        let error = from_io(output.read_to_string(&mut text).await.unwrap_err(), "");
        assert_eq!(error.to_string(), "sh failed (exit status: 3): why");
        let mut output = Running::start(&shell("echo whole")).unwrap().into_output();
        let mut text = String::new();
        output.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "whole\n");
    }

    #[tokio::test]
    async fn a_tool_is_given_its_input_and_its_end() {
        let (mut running, mut input) = Running::start_with_input(&shell("wc -c")).unwrap();
        input.write_all(b"seven b").await.unwrap();
        drop(input);
        let mut text = String::new();
        running.stdout.read_to_string(&mut text).await.unwrap();
        running.finish().await.unwrap();
        assert_eq!(text.trim(), "7");
    }

    #[tokio::test]
    async fn a_tool_that_hangs_is_ended_at_its_deadline() {
        let error = run(&shell("exec tail -f /dev/null"), Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }

    /// Starts a script and reads the first line that it writes.
    async fn started(script: &str) -> (Running, String) {
        let mut running = Running::start(&shell(script)).unwrap();
        let mut line = String::new();
        running.stdout.read_line(&mut line).await.unwrap();
        (running, line.trim().to_owned())
    }

    /// Waits for what a process does when it ends.
    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
    }

    #[tokio::test]
    async fn a_tool_that_is_no_longer_wanted_is_asked_to_end_and_killed_where_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let asked = folder.path().join("asked");
        let loops = "while :; do sleep 0.01; done";
        let polite = format!("trap 'echo so > {}; exit' TERM; echo ready; {loops}", asked.display());
        let (running, _) = started(&polite).await;
        drop(running);
        until(|| asked.exists()).await;

        let (running, id) = started(&format!("trap '' TERM; echo $$; {loops}")).await;
        let process = std::path::PathBuf::from(format!("/proc/{id}/task"));
        assert!(process.exists());
        drop(running);
        until(|| !process.exists()).await;
    }

    #[tokio::test]
    async fn a_missing_tool_says_what_to_install() {
        let command = Command { program: "/nowhere/pg_dump".into(), ..shell("") };
        let error = run(&command, Duration::from_secs(20)).await.unwrap_err();
        assert!(error.operator_hint().unwrap().contains("PG_BIN_DIR"));
    }
}
