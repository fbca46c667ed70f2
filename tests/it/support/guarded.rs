//! A server that cannot outlive the test process, even when that is killed.
//!
//! A shell starts the server and then reads from a pipe that only the test process holds. The kernel closes the pipe
//! however the process ends; the shell then stops the server and removes its folder.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const LIBRARY: &str = include_str!("../../../utils/postgres.sh");

/// The shell, its pipe and the folder.
#[derive(Debug)]
pub(crate) struct Guarded {
    shell: Child,
    /// The server's folder, gone when the server is.
    pub(crate) folder: PathBuf,
    /// The port that it answers on.
    pub(crate) port: u16,
}

impl Guarded {
    /// Starts `script`, which prints the server's port when it answers.
    pub(crate) fn start(
        script: &str,
        folder: PathBuf,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut shell = Command::new("bash")
            .args(["-c", &format!("{LIBRARY}\n{script}"), "bash"])
            .arg(&folder)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // An interrupt from the terminal is for the test process; the pipe tells the shell.
            .process_group(0)
            .spawn()
            .expect("bash is needed to start the servers of the tests");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server did not start: its log is above");
        Self { shell, folder, port }
    }

    /// Runs a script on the server's folder, to its end.
    pub(crate) fn script(&self, script: &str, environment: &[(&str, &str)]) {
        let status = Command::new("bash")
            .args(["-euc", &format!("{LIBRARY}\n{script}"), "bash"])
            .arg(&self.folder)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{status} in:\n{script}");
    }

    /// Stops the server at once and waits until it and its folder are gone.
    pub(crate) fn stop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A new folder that the account of the servers may enter.
pub(crate) fn new_folder(of: &str) -> PathBuf {
    tempfile::Builder::new()
        .prefix(&format!("nightferry-{of}-"))
        .permissions(PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap()
        .keep()
}
