//! The agent's process: one per profile, so that one-shots need no password.

mod host;
mod start;

pub use host::run;
pub use start::{Handover, start};

/// First argument of the program as agent.
pub const AGENT: &str = "__agent";
