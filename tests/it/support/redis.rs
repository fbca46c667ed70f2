//! A throw-away Redis with a password, which can be killed, stopped for a while, and started again with its data or without.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::guarded::{Guarded, new_folder};

const FUNCTIONS: &str = include_str!("redis_server.sh");

/// A running Redis, one for each test that wants one.
#[derive(Debug)]
pub(crate) struct RedisServer {
    server: Guarded,
    password: String,
}

impl RedisServer {
    /// Starts one; nothing of it is written to disk.
    pub(crate) fn start() -> Self {
        Self::configured("appendonly no")
    }

    /// Starts one that has every command on disk before it answers.
    pub(crate) fn start_persistent() -> Self {
        Self::configured("appendonly yes\nappendfsync always")
    }

    fn configured(persistence: &str) -> Self {
        let folder = new_folder("redis");
        let password = "r3dis-s3cret".to_owned();
        let configuration = format!("bind 127.0.0.1\nsave \"\"\n{persistence}\nrequirepass {password}\n");
        std::fs::write(folder.join("redis.conf"), configuration).unwrap();
        let script = [FUNCTIONS, include_str!("redis.sh")].concat();
        let server = Guarded::start(&script, folder, &[], &[]);
        Self { server, password }
    }

    /// Its URL, password included.
    pub(crate) fn url(&self) -> String {
        self.url_at(self.server.port)
    }

    /// Its URL as it is reached through another port: of a proxy.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("redis://:{}@127.0.0.1:{port}/0", self.password)
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    /// The password in clear, to look for it where it must not be.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Stops it at once, for good.
    pub(crate) fn kill(&mut self) {
        self.server.stop();
    }

    /// Kills it with a signal that it cannot answer; what it has on disk stays. Comes back when nobody answers any more.
    pub(crate) fn crash(&self) {
        self.signal(Signal::KILL);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.server.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(self.server.folder.join("redis.pid")).unwrap();
    }

    /// Starts one that was crashed, on the same port and folder. Comes back when it answers.
    pub(crate) fn restart(&self) {
        let port = self.server.port;
        self.server.script(&format!("{FUNCTIONS}\nstart_redis \"$1\" {port}"), &[]);
        // It takes connections before it has read its data.
        while !self.answers() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn answers(&self) -> bool {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().is_ok_and(|mut connection| redis::cmd("PING").exec(&mut connection).is_ok())
    }

    /// Crashes it, and starts it without its data.
    pub(crate) fn wipe(&self) {
        self.crash();
        let data = self.server.folder.join("appendonlydir");
        if data.exists() {
            std::fs::remove_dir_all(data).unwrap();
        }
        self.restart();
    }

    /// Stops its process: connections stay open, and nobody answers.
    pub(crate) fn stall(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a process that was stopped go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.server.folder.join("redis.pid")).unwrap();
        kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), signal).unwrap();
    }

    /// Its folder, for tests of the support itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.server.folder
    }
}
