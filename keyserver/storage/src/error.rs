//! Errors of storage.

use std::fmt::Display;

use shared::wire::error::Refusal;

/// The disk, or the database's own bound, has no room for a write.
pub const DISK_FULL: StorageError = StorageError::Refused(Refusal::DiskFull);
/// Entries that the rules of the vault log do not allow.
pub(crate) const BAD_ENTRY: StorageError = StorageError::Refused(Refusal::BadEntry);

/// Why a request was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// An expected refusal, for the client: a conflict, a throttle, no room.
    #[error("{0}")]
    Refused(Refusal),
    /// A failure, for the operator's log; the client is told [`Refusal::Internal`].
    #[error("storage failed: {0}")]
    Failed(String),
}

impl StorageError {
    /// A failure with this reason.
    pub fn failed(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }

    /// The refusal that the client is told.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Failed(_) => Refusal::Internal,
        }
    }
}
