//! Ending a session.

use serde::{Deserialize, Serialize};

/// Ends the session with its answer. Never refused as `quota` or `disk_full`; no further refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logout {
    /// Whether the lease of the device's own credential ends too, together with all sessions that it opened: it opens no
    /// session until it is renewed in a session that was opened with password or recovery code.
    pub retire: bool,
}
