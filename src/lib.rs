//! nightferry carries a production PostgreSQL database into a data warehouse every night.
//!
//! The rings, imports pointing down only:
//! 1. entrances: `cli`, `web`, `report`;
//! 2. orchestration: `jobs`;
//! 3. capabilities, which know no sibling: `replication`, `vault`;
//! 4. adapters, one outside thing each: `adapters`;
//! 5. foundation, plain values: `config`, `error`, `events`, `ids`, `notice`, `outcome`, `clock`, `format`, `telemetry`, `timeline`.

pub mod adapters;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod events;
pub mod format;
pub mod ids;
pub mod jobs;
pub mod notice;
pub mod outcome;
pub mod replication;
pub mod report;
pub mod telemetry;
pub mod timeline;
pub mod vault;
pub mod web;
