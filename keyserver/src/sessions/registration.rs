//! Registration (RFC 9807, section 5), sans I/O. Finishing consumes the pending state.

use opaque_ke::{RegistrationRequest, RegistrationUpload, ServerRegistration, ServerSetup};
use serde_bytes::ByteBuf;
use shared::ids::{Digest, PublicKey, ServerId};
use shared::names::AccountName;
use shared::opaque::{self, SUITE, Slot, Suite};
use shared::vault_log::{self, FIRST_EPOCH, Head, Identity, Op, SignedEntry, Signer};
use shared::wire::error::Refusal;
use shared::wire::register::{RegisterStart, SlotRecord, SlotRequest};

use storage::api::{Account, RECORD_LEN, StoredSlot, WRAPPED_LEN};
use storage::named_keys;

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
    /// The verified first entries: `genesis`, and one `credential` per slot.
    pub entries: Vec<SignedEntry>,
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
        // The entries of a registration have one audit record together; that of a further slot would lack its own.
        let needed = [Slot::Password, Slot::Recovery];
        if slots.len() != needed.len() || !needed.iter().all(|slot| slots.contains(slot)) {
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
        entries: Vec<SignedEntry>,
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
        let (genesis, credentials) = entries.split_first().ok_or(Refusal::BadEntry)?;
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
        // Storage keeps records about unknown names under the account of all zeros.
        let own_id = entry.account.as_bytes() != &[0; 16];
        let is_bare = entry.seen.is_none() && entry.authorisation.is_none();
        if !own_id || !is_bare || *identity != expected || credentials.len() != slots.len() {
            return Err(Refusal::BadEntry);
        }
        let mut account = Account {
            id: entry.account,
            name: self.name,
            signer: Signer::of_genesis(identity),
            slots: Vec::new(),
            created_ms: now_ms,
        };
        let verified = genesis.verify(&account.id, &account.signer.log_key);
        let head = verified.and_then(|entry| genesis.verify_next(&entry, &Head::EMPTY));
        let mut head = head.map_err(|_| Refusal::BadEntry)?;
        for (slot, signed) in slots.into_iter().zip(credentials) {
            let (stored, next) = first_credential(&account, slot, signed, &head)?;
            account.slots.push(stored);
            head = next;
        }
        Ok(Registered {
            account,
            entries,
            invite: self.invite,
        })
    }
}

/// Verifies the entry of a credential that is registered; returns the credential as it is stored, and the head of the log
/// with the entry.
fn first_credential(
    account: &Account,
    slot: SlotRecord,
    signed: &SignedEntry,
    head: &Head,
) -> Result<(StoredSlot, Head), Refusal> {
    let verified = signed.verify(&account.id, &account.signer.log_key);
    let verified = verified.and_then(|entry| {
        let next = signed.verify_next(&entry, head)?;
        entry.verify_authorisation(|by| {
            let mut slots = account.slots.iter();
            slots
                .find(|stored| stored.credential.slot == *by)
                .map(|stored| stored.signing)
        })?;
        Ok((entry, next))
    });
    let (entry, next) = verified.map_err(|_| Refusal::BadEntry)?;
    let Op::Credential(credential) = &entry.op else {
        return Err(Refusal::BadEntry);
    };
    let keys = named_keys(credential, &slot).ok_or(Refusal::BadEntry)?;
    let generation = vault_log::next_generation(None, credential);
    if generation.is_err() || entry.seen.is_some() {
        return Err(Refusal::BadEntry);
    }
    let signing = keys.signing;
    Ok((StoredSlot::new(slot, signing), next))
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

/// Whether lengths, numbers and encoding are right, and devices have a lease and others none. Deserialising alone ignores
/// trailing bytes.
pub(super) fn is_well_formed(slot: &SlotRecord) -> bool {
    slot.record.len() == RECORD_LEN
        && slot.wrapped.blob.len() == WRAPPED_LEN
        && slot.wrapped.generation > 0
        && slot.wrapped.epoch > 0
        && slot.lease.is_some() == matches!(slot.slot, Slot::Device(_))
        && RegistrationUpload::<Suite>::deserialize(&slot.record).is_ok()
}
