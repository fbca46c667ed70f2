//! Tests against real servers.

mod archive;
mod cluster;
mod copy;
