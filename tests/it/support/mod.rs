//! What the tests stand on: throw-away servers, fresh databases for each test, and the comparer.

pub(crate) mod backups;
mod cluster;
pub(crate) mod compare;
mod database;
mod file_server;
mod guarded;
mod night;
mod peers;
mod pooler;
mod proxy;
pub(crate) mod pushes;
mod redis;
pub(crate) mod s3;
mod scalingo;
mod smtp;
mod standby;
pub(crate) mod standing;
mod wait;
pub(crate) mod web;
mod witness;
mod workers;
pub(crate) mod writers;

pub(crate) use cluster::{Cluster, all_tools, default_tools, versions};
pub(crate) use database::{TestDatabase, ask, execute_on, rows_on};
pub(crate) use file_server::{Asked, End, Fault, FileServer, Manner};
pub(crate) use night::TestNight;
pub(crate) use peers::{ContentApi, Webhook};
pub(crate) use pooler::Pooler;
pub(crate) use proxy::Proxy;
pub(crate) use redis::RedisServer;
pub(crate) use scalingo::ScalingoApi;
pub(crate) use smtp::{Smtp, SmtpServer};
pub(crate) use standby::Standby;
pub(crate) use wait::until;
pub(crate) use witness::{Gate, Witness};
pub(crate) use workers::WorkerProcess;
