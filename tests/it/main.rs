//! Tests against real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

mod archive;
mod cluster;
mod copy;
