//! A key server that does not have to be trusted: actors behind an HTTPS MessagePack API.
//!
//! A request goes down through [`http`], [`service`] and [`calls`], [`sessions`], then [`storage`] and [`audit`]; its
//! answer comes the same way back.

pub mod admin;
pub mod audit;
pub mod calls;
pub mod cli;
pub mod config;
mod credentials;
pub mod embedded;
mod files;
pub mod http;
pub mod keyfile;
pub mod logging;
mod open_files;
mod rekey;
pub mod service;
pub mod sessions;
pub mod storage;
pub mod tls;
