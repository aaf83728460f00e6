//! Registration (RFC 9807, section 5), sans I/O. Finishing consumes the pending state.

use std::collections::HashSet;

use opaque_ke::{RegistrationRequest, RegistrationUpload, ServerRegistration, ServerSetup};
use serde_bytes::ByteBuf;
use shared::ids::{Digest, PublicKey, Seq, ServerId};
use shared::names::AccountName;
use shared::opaque::{self, SUITE, Slot, Suite};
use shared::vault_log::{FIRST_EPOCH, Head, Identity, Op, SignedEntry};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SLOTS;
use shared::wire::register::{RegisterStart, SlotRecord, SlotRequest};

use storage::api::{Account, RECORD_LEN, WRAPPED_LEN};
use storage::tables::LogId;

/// Identity of this server, which genesis entries must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerIdentity {
    /// Id of the server.
    pub server: ServerId,
    /// OPAQUE static public key.
    pub opaque_key: PublicKey,
    /// The key that signs audit checkpoints.
    pub checkpoint_key: PublicKey,
}

/// A registration between its first and last message.
#[derive(Debug)]
pub struct PendingRegistration {
    name: AccountName,
    slots: Vec<Slot>,
    invite: Option<Digest>,
}

/// A registration that was checked, ready to be stored.
#[derive(Debug)]
pub struct Registered {
    /// The account.
    pub account: Account,
    /// The verified genesis entry.
    pub genesis: SignedEntry,
    /// SHA-256 of the invite code to use up.
    pub invite: Option<Digest>,
}

impl PendingRegistration {
    /// Answers the first message; returns the pending state and one `RegistrationResponse` per slot.
    pub fn start(
        setup: &ServerSetup<Suite>,
        message: RegisterStart,
        invite: Option<Digest>,
    ) -> Result<(Self, Vec<ByteBuf>), Refusal> {
        if message.suite != SUITE {
            return Err(Refusal::Unsupported);
        }
        let slots: Vec<Slot> = message.slots.iter().map(|request| request.slot).collect();
        if slots.len() > MAX_SLOTS {
            return Err(Refusal::TooLarge);
        }
        let distinct: HashSet<&Slot> = slots.iter().collect();
        let needed = [Slot::Password, Slot::Recovery];
        if distinct.len() != slots.len() || !needed.iter().all(|slot| distinct.contains(slot)) {
            return Err(Refusal::Malformed);
        }
        let responses = message
            .slots
            .iter()
            .map(|request| respond(setup, &message.account, request))
            .collect::<Result<_, _>>()?;
        let pending = Self {
            name: message.account,
            slots,
            invite,
        };
        Ok((pending, responses))
    }

    /// Checks the last message.
    pub fn finish(
        self,
        server: &ServerIdentity,
        slots: Vec<SlotRecord>,
        genesis: SignedEntry,
        now_ms: u64,
    ) -> Result<Registered, Refusal> {
        let same = slots.iter().map(|record| &record.slot).eq(&self.slots);
        let is_first =
            |slot: &SlotRecord| (slot.wrapped.generation, slot.wrapped.epoch) == (1, FIRST_EPOCH);
        if !same
            || !slots
                .iter()
                .all(|slot| is_well_formed(slot) && is_first(slot))
        {
            return Err(Refusal::Malformed);
        }
        let entry = genesis.decode_unverified().map_err(|_| Refusal::BadEntry)?;
        let Op::Genesis(identity) = &entry.op else {
            return Err(Refusal::BadEntry);
        };
        let expected = Identity {
            server: server.server,
            opaque_key: server.opaque_key,
            checkpoint_key: server.checkpoint_key,
            log_key: identity.log_key,
            suite: SUITE,
        };
        let first = entry.seq == Seq(1) && entry.previous == Head::EMPTY.hash;
        // Storage keeps records about unknown names under the account of all zeros.
        let own_id = entry.account.as_bytes() != &[0; 16];
        if !first || !own_id || *identity != expected {
            return Err(Refusal::BadEntry);
        }
        genesis
            .verify(&entry.account, &identity.log_key)
            .map_err(|_| Refusal::BadEntry)?;
        let account = Account {
            id: entry.account,
            name: self.name,
            log_key: identity.log_key,
            log: LogId::first(entry.account),
            epoch: FIRST_EPOCH,
            slots,
            created_ms: now_ms,
        };
        Ok(Registered {
            account,
            genesis,
            invite: self.invite,
        })
    }
}

/// Answers one registration request.
pub(super) fn respond(
    setup: &ServerSetup<Suite>,
    account: &AccountName,
    request: &SlotRequest,
) -> Result<ByteBuf, Refusal> {
    let message = RegistrationRequest::<Suite>::deserialize(&request.request)
        .map_err(|_| Refusal::Malformed)?;
    let credential = opaque::credential_identifier(account, &request.slot);
    let started =
        ServerRegistration::start(setup, message, &credential).map_err(|_| Refusal::Malformed)?;
    Ok(ByteBuf::from(started.message.serialize().to_vec()))
}

/// Whether lengths, numbers and encoding are right. Deserialising alone ignores trailing bytes.
pub(super) fn is_well_formed(slot: &SlotRecord) -> bool {
    slot.record.len() == RECORD_LEN
        && slot.wrapped.blob.len() == WRAPPED_LEN
        && slot.wrapped.generation > 0
        && slot.wrapped.epoch > 0
        && RegistrationUpload::<Suite>::deserialize(&slot.record).is_ok()
}
