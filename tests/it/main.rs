//! The integration tests: one binary, real servers, one module for each thing that the product promises.
//!
//! `support` starts the servers and compares databases; `fixtures` holds the sample databases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

mod archive;
mod archives;
mod cli;
mod comparing;
mod content;
mod copy;
mod enrichment;
mod foreign_keys;
mod full;
mod guard;
mod incremental;
mod interrupted;
mod kept_tables;
mod night;
mod notification;
mod queue;
mod queue_chain;
mod second_night;
mod support;
