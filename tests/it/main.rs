//! The integration tests: one binary, real servers, one module for each thing that the product promises.
//!
//! `support` starts the servers and compares databases; `fixtures` holds the sample databases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and says where")]

mod archive;
mod archives;
mod backup_fetch;
mod backup_push;
mod backup_sources;
mod broken_dependents;
mod bucket;
mod chaos;
mod cli;
mod comparing;
mod content;
mod copy;
mod crew;
mod dependents;
mod downloads;
mod drift;
mod enrichment;
mod events;
mod fence;
mod foreign_keys;
mod full;
mod guard;
mod incremental;
mod interrupted;
mod kept_tables;
mod killed;
mod leaning;
mod ledger;
mod mail;
mod moved;
mod night;
mod notification;
mod odd_backups;
mod odd_increments;
mod odd_queue;
mod pooler;
mod publish_choice;
mod publish_locks;
mod queue;
mod queue_chain;
mod queue_commands;
mod queue_marks;
mod readers;
mod reconcile;
mod recovery;
mod rollback;
mod scalingo;
mod schedule;
mod schema_export;
mod second_night;
mod sentry;
mod settled;
mod standby;
mod status;
mod support;
mod three_nights;
mod told;
mod verify_command;
mod verify_incremental;
mod web;
mod workers;
mod writers;
