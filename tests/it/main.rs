//! The integration tests: one binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic, in its helpers too")]

mod cli;
