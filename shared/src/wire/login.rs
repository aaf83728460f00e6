//! Login (RFC 9807, section 6): KE1, KE2, KE3, and the sealed welcome.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::{AccountId, PendingId};
use crate::names::AccountName;
use crate::opaque::Slot;
use crate::vault_log::Head;
use crate::wire::register::WrappedKey;
use crate::wire::slots::SlotKey;

/// First message. Answered by [`LoginResponse`], for unknown accounts too.
///
/// Refusals: `unsupported` for another suite, `malformed` for a KE1 that does not decode, `throttled` after too many
/// attempts on the account or from the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStart {
    /// [`crate::opaque::SUITE`].
    pub suite: u8,
    /// The account.
    pub account: AccountName,
    /// The slot whose credential is used.
    pub slot: Slot,
    /// RFC 9807 `KE1`, 96 bytes.
    pub ke1: ByteBuf,
}

/// Answer to [`LoginStart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginResponse {
    /// Id of this login, valid for one minute and one [`LoginFinish`].
    pub pending: PendingId,
    /// RFC 9807 `KE2`, 320 bytes.
    pub ke2: ByteBuf,
}

/// Last message. Answered by a [`crate::channel::Sealed`] [`Welcome`].
///
/// Refusals: `login_refused` for a wrong KE3, an unknown or expired pending login, and a credential that was replaced
/// meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFinish {
    /// From [`LoginResponse`].
    pub pending: PendingId,
    /// RFC 9807 `KE3`, 64 bytes.
    pub ke3: ByteBuf,
}

/// The first sealed message of a session, sent by the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Id of the account.
    pub account: AccountId,
    /// The account key of the epoch in which the credential was made, wrapped under its export key.
    pub wrapped: WrappedKey,
    /// The account key of the current epoch, where that is a later one.
    pub slot_key: Option<SlotKey>,
    /// The account keys of former epochs, sealed under the current one: `nonce (12) || ciphertext || tag (16)`; `None`
    /// in the first epoch.
    pub history: Option<ByteBuf>,
    /// Head of the vault log: a hint for progress indicators, which the sync verifies.
    pub head: Head,
    /// The session ends after this many seconds without a request.
    pub idle_seconds: u32,
    /// The session ends after this many seconds in any case.
    pub lifetime_seconds: u32,
}
