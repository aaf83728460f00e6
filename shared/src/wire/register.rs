//! Registration (RFC 9807, section 5): all slots of the new account in one exchange.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::PendingId;
use crate::names::AccountName;
use crate::opaque::Slot;
use crate::vault_log::SignedEntry;
use crate::wire::bounded::sequence;
use crate::wire::limits::MAX_SLOTS;

/// First message. Answers: [`RegisterResponse`]; `exists`, `invite_required`, `closed`, `throttled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterStart {
    /// [`crate::opaque::SUITE`].
    pub suite: u8,
    /// The account to make.
    pub account: AccountName,
    /// The invite code, where the server asks for one.
    pub invite: Option<String>,
    /// One registration request a slot; `password` and `recovery` must be among them.
    pub slots: Vec<SlotRequest>,
}

/// A registration request for one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRequest {
    /// Which slot.
    pub slot: Slot,
    /// RFC 9807 `RegistrationRequest`, 32 bytes.
    pub request: ByteBuf,
}

/// The server's answer to the first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterResponse {
    /// Names this registration; good for a minute, and for one finish.
    pub pending: PendingId,
    /// RFC 9807 `RegistrationResponse`s, 64 bytes each, in the order of the requests.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")]
    pub responses: Vec<ByteBuf>,
}

/// Last message. Answers: `()`; `exists` if another registration was faster, `no_such_pending`, `refused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterFinish {
    /// From [`RegisterResponse`].
    pub pending: PendingId,
    /// One a slot, in the order of the requests.
    pub slots: Vec<SlotRecord>,
    /// The vault log's first entry; it names the account id and the log-signing key.
    pub genesis: SignedEntry,
}

/// What the server keeps of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Which slot.
    pub slot: Slot,
    /// RFC 9807 `RegistrationRecord`, 192 bytes.
    pub record: ByteBuf,
    /// The account key, wrapped under this slot's export key.
    pub wrapped: WrappedKey,
}

/// The account key under a slot's export key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Counts replacements of this slot's credential, from 1.
    pub generation: u64,
    /// Key epoch of the account key, from 1.
    pub epoch: u32,
    /// `commitment (32) || nonce (12) || ciphertext (32) || tag (16)`, 92 bytes.
    pub blob: ByteBuf,
}
