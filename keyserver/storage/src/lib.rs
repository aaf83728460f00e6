//! The rules of the key server's storage: accounts, vault logs, values, login throttles and audit logs, over any engine
//! with transactions on ordered tables of bytes.
//!
//! From the bottom up: [`api`], [`tables`] and other types; [`engine`], the interface of engines; rows of one snapshot
//! or transaction; the rules; the group commit writer; [`Database`], which answers requests.

mod account_requests;
mod accounts;
pub mod api;
mod append;
mod at_rest;
mod audit_tree;
mod authorise;
mod check;
mod clock;
mod config;
mod context;
mod database;
pub mod engine;
mod error;
mod login_aggregates;
mod login_throttle;
mod logins;
pub mod network;
mod reads;
mod records;
mod registration;
mod request;
mod slots;
mod store;
pub mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod throttle;
mod verified;
mod view;
mod wait_queue;
mod write;
mod writer;

pub use clock::now_ms;
pub use config::Config;
pub use database::{Answer, Database};
pub use error::{DISK_FULL, StorageError};
pub use request::Request;
pub use slots::named_keys;
pub use store::{OutcomeUnknown, Store};
