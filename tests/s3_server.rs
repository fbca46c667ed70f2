//! The tests' S3 server as a process of its own, for utils/benchmark-push.sh: `s3-server FOLDER` prints its URL and serves until it is ended.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the benchmark")]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "it/support/s3.rs"]
mod s3;

fn main() {
    let folder = std::env::args_os().nth(1).unwrap();
    let server = s3::S3Server::start(std::path::Path::new(&folder), 0);
    println!("{}", server.url());
    loop {
        std::thread::park();
    }
}
