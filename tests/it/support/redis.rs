//! A throw-away Redis with a password.

use std::path::Path;

use super::guarded::{Guarded, new_folder};

/// A running Redis, one for each test that wants one.
#[derive(Debug)]
pub(crate) struct RedisServer {
    server: Guarded,
    password: String,
}

impl RedisServer {
    /// Starts one; nothing of it is written to disk.
    pub(crate) fn start() -> Self {
        let folder = new_folder("redis");
        let password = "r3dis-s3cret".to_owned();
        let configuration = format!("bind 127.0.0.1\nsave \"\"\nappendonly no\nrequirepass {password}\n");
        std::fs::write(folder.join("redis.conf"), configuration).unwrap();
        let server = Guarded::start(include_str!("redis.sh"), folder, &[], &[]);
        Self { server, password }
    }

    /// Its URL, password included.
    pub(crate) fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/0", self.password, self.server.port)
    }

    /// The password in clear, to look for it where it must not be.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Stops it at once.
    pub(crate) fn kill(&mut self) {
        self.server.stop();
    }

    /// Its folder, for tests of the support itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.server.folder
    }
}
