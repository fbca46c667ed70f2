//! The `nightferry` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything opens TLS: with two providers in the binary the first rediss:// connection would panic.
    // An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    nightferry::cli::main()
}
