//! Login (RFC 9807, section 6): KE1, KE2, KE3, and the sealed welcome.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::{AccountId, PendingId};
use crate::names::AccountName;
use crate::opaque::Slot;
use crate::vault_log::Head;
use crate::wire::register::WrappedKey;

/// First message. Answers: [`LoginResponse`], for unknown accounts as well; `throttled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStart {
    /// [`crate::opaque::SUITE`].
    pub suite: u8,
    /// Whose account.
    pub account: AccountName,
    /// By which credential.
    pub slot: Slot,
    /// RFC 9807 `KE1`, 96 bytes.
    pub ke1: ByteBuf,
}

/// The server's answer to the first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginResponse {
    /// Names this login; good for a minute, and for one finish.
    pub pending: PendingId,
    /// RFC 9807 `KE2`, 320 bytes.
    pub ke2: ByteBuf,
}

/// Last message. Answers: [`crate::channel::Sealed`] around a [`Welcome`]; `login_refused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFinish {
    /// From [`LoginResponse`].
    pub pending: PendingId,
    /// RFC 9807 `KE3`, 64 bytes.
    pub ke3: ByteBuf,
}

/// The first sealed message of a session, from the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The account's id.
    pub account: AccountId,
    /// The account key, wrapped under the export key of the slot that was used.
    pub wrapped: WrappedKey,
    /// Head of the vault log; a hint for showing progress, the sync proves it.
    pub head: Head,
    /// After so many seconds without a request the session ends.
    pub idle_seconds: u32,
    /// After so many seconds it ends in any case.
    pub lifetime_seconds: u32,
}
