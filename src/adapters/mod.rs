//! Adapters: each knows one outside thing, and no policy of the product.

pub mod http;
pub mod ledger;
pub mod mail;
pub mod objects;
pub mod postgres;
pub mod process;
pub mod queue;
pub mod reporting;
pub mod sealing;
