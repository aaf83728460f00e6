//! Credentials of an existing account. New ones take three requests in one session: [`Enrol`], [`Stage`], and
//! [`Install`]; the old ones hold until the last of them is done.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::{DeviceId, Digest};
use crate::opaque::Slot;
use crate::vault_log::SignedEntry;
use crate::wire::bounded::sequence;
use crate::wire::limits::{MAX_SESSIONS, MAX_SLOTS};
use crate::wire::register::{SlotRecord, SlotRequest, WrappedKey};

/// First step: one registration request per slot; answers with RFC 9807 `RegistrationResponse`s of 64 bytes in the
/// same order.
///
/// Further refusals:
/// - `malformed`: no slot, one slot twice, or a message that is no `RegistrationRequest`;
/// - `too_large`: more than [`MAX_SLOTS`];
/// - `needs_password`: any slot but the session's own device slot, unless the session was opened with password or
///   recovery code within the last five minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Enrol(pub Vec<SlotRequest>);

/// Second step: the new credentials, each with the first message of a login by it; answers with RFC 9807 `KE2`s of
/// 320 bytes in the same order. Replaces credentials that were staged before in this session; no credential of the account changes
/// yet.
///
/// Further refusals: as [`Enrol`]; `malformed` also for a record or KE1 that does not decode, or another number of
/// them than slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// One record per slot, in the order of the registration requests. Each wraps the account key of the epoch after the
    /// `install`.
    pub slots: Vec<SlotRecord>,
    /// RFC 9807 `KE1`, 96 bytes, one per slot.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")]
    pub ke1: Vec<ByteBuf>,
}

/// Last step: the last messages of those logins. In one transaction the new credentials replace the old ones and the
/// entries are appended; answers with the new head. A new password ends all other sessions of the account.
///
/// Further refusals:
/// - `conflict`: another device was faster; the credentials stay staged, and `Install` can be sent again with other
///   entries;
/// - `malformed` if nothing is staged, `login_refused` if a KE3 does not prove its credential;
/// - `bad_entry`: the entries are not `acknowledge` (optional), `rekey` (with `epoch`), one `credential` per staged
///   slot in the same order, and revocations of other slots; break a rule of the log; are missing for another slot than
///   the session's own device slot; replace password or recovery code, or revoke, without a `rekey`; or the slot keys
///   are not exactly one per credential that holds afterwards, is not staged, and whose lease is not over;
/// - `too_large`: more than [`MAX_SLOTS`] credentials afterwards;
/// - `needs_password`: `acknowledge`, `rekey` and revocations, under the condition of [`Enrol`];
/// - `quota`, `disk_full`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// RFC 9807 `KE3`, 64 bytes, one per slot.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")]
    pub ke3: Vec<ByteBuf>,
    /// The entries; none to replace the credential of the session's own device under the same generation.
    pub entries: Vec<SignedEntry>,
    /// With a `rekey` entry: the new account key for the credentials that stay, and the former account keys.
    pub epoch: Option<NewEpoch>,
}

/// The data of a new key epoch that the server stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEpoch {
    /// The new account key, encapsulated to each credential that stays.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")]
    pub slot_keys: Vec<SlotKey>,
    /// All former account keys, oldest first, sealed under the new one.
    pub history: ByteBuf,
}

/// The account key of an epoch, encapsulated to the KEM key of one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotKey {
    /// The slot.
    pub slot: Slot,
    /// The generation of its credential.
    pub generation: u64,
    /// The epoch of the account key.
    pub epoch: u32,
    /// `X-Wing ciphertext (1120) || ciphertext (32) || tag (16)`, [`SLOT_KEY_LEN`] bytes.
    pub blob: ByteBuf,
}

/// Length of [`SlotKey::blob`], in bytes.
pub const SLOT_KEY_LEN: usize = 1168;

/// Lists credentials and open sessions. No further refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListSlots;

/// Answer to [`ListSlots`]. The sessions are the server's word alone; the vault log vouches for the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotsAnswer {
    /// The credentials.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")]
    pub slots: Vec<SlotInfo>,
    /// The open sessions.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SESSIONS>")]
    pub sessions: Vec<SessionInfo>,
}

/// One credential of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotInfo {
    /// The slot.
    pub slot: Slot,
    /// Generation of the credential: number of times that it was set.
    pub generation: u64,
    /// SHA-256 of the account key wrapped under the export key of the credential.
    pub wrapped: Digest,
    /// Whether the lease of a device's credential is over: it opens no session and gets no slot key.
    pub is_over: bool,
}

impl SlotInfo {
    /// Describes the credential of a slot by the wrapped account key.
    pub fn new(slot: Slot, wrapped: &WrappedKey) -> Self {
        Self {
            slot,
            generation: wrapped.generation,
            wrapped: Digest::of(&wrapped.blob),
            is_over: false,
        }
    }
}

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The slot whose credential opened the session.
    pub slot: Slot,
    /// The device that requests of the session name; `None` before the first request.
    pub device: Option<DeviceId>,
    /// IP address that the login came from.
    pub remote: String,
    /// Seconds since the login.
    pub age_seconds: u64,
    /// Seconds since the last request.
    pub idle_seconds: u64,
    /// Whether this is the session of the request.
    pub own: bool,
}
