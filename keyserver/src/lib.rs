//! A key server that does not have to be trusted: actors behind an HTTPS MessagePack API.
//!
//! A request goes down through [`http`], [`operations`], [`sessions`] and [`audit`] to [`storage`]; the answer comes
//! the same way back. No module imports one above it.

pub mod admin;
pub mod audit;
pub mod cli;
pub mod config;
pub mod embedded;
mod files;
pub mod http;
mod invites;
pub mod keyfile;
pub mod logging;
mod open_files;
pub mod operations;
pub mod sessions;
pub mod storage;
pub mod tls;
