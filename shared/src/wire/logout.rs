//! Ending a session.

/// Ends the session with its answer. Never refused as `quota` or `disk_full`; no further refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logout;
