//! Registration (RFC 9807, section 5) of all slots of a new account in one exchange.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::PendingId;
use crate::names::AccountName;
use crate::opaque::Slot;
use crate::vault_log::SignedEntry;
use crate::wire::bounded::sequence;
use crate::wire::limits::MAX_SLOTS;

/// First message. Answered by [`RegisterResponse`].
///
/// Refusals: `registration_closed`; `invite_required` without a valid invite; `exists` if the name is taken;
/// `throttled` after too many registrations from the address; `unsupported` for another suite; `malformed` for other
/// slots than `password` and `recovery`, and messages that do not decode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterStart {
    /// [`crate::opaque::SUITE`].
    pub suite: u8,
    /// Name of the new account.
    pub account: AccountName,
    /// The invite code, if the server requires one.
    pub invite: Option<String>,
    /// One registration request per slot: `password` and `recovery`, in any order.
    pub slots: Vec<SlotRequest>,
}

/// Registration request for one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRequest {
    /// The slot.
    pub slot: Slot,
    /// RFC 9807 `RegistrationRequest`, 32 bytes.
    pub request: ByteBuf,
}

/// Answer to [`RegisterStart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterResponse {
    /// Id of this registration, valid for one minute and one [`RegisterFinish`].
    pub pending: PendingId,
    /// RFC 9807 `RegistrationResponse`s, 64 bytes each, in the order of the requests.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")]
    pub responses: Vec<ByteBuf>,
}

/// Last message. Answered by `()`.
///
/// Refusals: `no_such_pending` for an unknown or expired registration; `exists` if another registration of the name
/// was faster; `invite_required` if the invite was used meanwhile; `malformed` for records that do not match the
/// requests; `bad_entry` for entries with a wrong signature, of another server or of other credentials; `disk_full`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterFinish {
    /// From [`RegisterResponse`].
    pub pending: PendingId,
    /// One record per slot, in the order of the requests.
    pub slots: Vec<SlotRecord>,
    /// First entries of the vault log: `genesis`, which names the account id and the log-signing key, and one
    /// `credential` per slot in the same order.
    pub entries: Vec<SignedEntry>,
}

/// The credential of one slot, as the server stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// The slot.
    pub slot: Slot,
    /// RFC 9807 `RegistrationRecord`, 192 bytes.
    pub record: ByteBuf,
    /// The account key, wrapped under the export key of the slot.
    pub wrapped: WrappedKey,
    /// Lease of a device's credential; `None` for other slots.
    pub lease: Option<Lease>,
}

/// For how long a device's credential opens sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Length in seconds, at most that of the server's configuration.
    pub seconds: u32,
    /// Whether use renews it; else it ends that long after the credential was installed.
    pub renewed: bool,
}

/// The account key, wrapped under the export key of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Generation of the credential: number of times that it was set.
    pub generation: u64,
    /// Key epoch of the account key, from 1.
    pub epoch: u32,
    /// `commitment (32) || nonce (12) || ciphertext (32) || tag (16)`, 92 bytes.
    pub blob: ByteBuf,
}
