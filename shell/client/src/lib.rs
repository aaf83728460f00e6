//! The client of a key server that need not be trusted, as a library: no terminal, no printing, no command line.
//!
//! Requests go down through [`vault`] (plans, seals, signs, verifies), [`session`] and [`transport`] (HTTPS); answers
//! come the same way back, verified. What a person must decide, and what a person should hear, goes through
//! [`frontend::Frontend`].
#![forbid(unsafe_code)]

pub mod agent;
pub mod device;
pub mod error;
pub mod frontend;
pub mod index;
pub mod keys;
pub mod opaque;
pub mod session;
pub mod transport;
pub mod vault;
pub mod verification;
