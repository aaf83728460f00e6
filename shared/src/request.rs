//! Signatures over requests. The holder of a credential authorises a device's key for one session; that key signs each
//! operation. The server verifies both before it acts and keeps them in the audit log, so that only the device
//! can have made the record.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::audit_record::{AuditedOperation, Record};
use crate::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, SessionId, Signature};
use crate::kdf::length_prefixed;
use crate::opaque::Slot;

/// Authorises a device's key for one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The slot whose credential opened the session.
    pub slot: Slot,
    /// The generation of that credential.
    pub generation: u64,
    /// The key of the device (Ed25519).
    pub device: PublicKey,
    /// Signature of the slot's signing key, see [`Self::sign`].
    pub certificate: Signature,
}

impl Opening {
    /// Authorises the key of a device by a credential's signing key.
    pub fn sign(
        account: &AccountId,
        session: &SessionId,
        (slot, generation): (Slot, u64),
        device: PublicKey,
        key: &SigningKey,
    ) -> Self {
        let message = certificate_message(account, session, &slot, generation, &device);
        Self {
            slot,
            generation,
            device,
            certificate: Signature::new(key.sign(&message).to_bytes()),
        }
    }

    /// Whether `key`, the signing key that the vault log names for slot and generation, authorised the device for this
    /// session.
    pub fn is_signed_by(&self, account: &AccountId, session: &SessionId, key: &PublicKey) -> bool {
        let message =
            certificate_message(account, session, &self.slot, self.generation, &self.device);
        verify(key, &message, &self.certificate)
    }
}

fn certificate_message(
    account: &AccountId,
    session: &SessionId,
    slot: &Slot,
    generation: u64,
    device: &PublicKey,
) -> Vec<u8> {
    length_prefixed(&[
        b"keyshell/2 session",
        account.as_bytes(),
        session.as_bytes(),
        &slot.label(),
        &generation.to_be_bytes(),
        device.as_bytes(),
    ])
}

/// One operation of a request, as its device signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedOperation<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The session.
    pub session: &'a SessionId,
    /// Number of the request in the session, from 1.
    pub counter: u64,
    /// Position of the operation within the request, from 0.
    pub position: u32,
    /// The operation.
    pub operation: AuditedOperation,
    /// The secret that is read or changed.
    pub secret: Option<&'a SecretId>,
    /// Hash of the entry that is appended.
    pub entry: Option<&'a Digest>,
}

impl<'a> SignedOperation<'a> {
    /// The operation of a record; `None` for records without a session.
    pub fn of(account: &'a AccountId, record: &'a Record) -> Option<Self> {
        Some(Self {
            account,
            session: record.session.as_ref()?,
            counter: record.counter,
            position: record.position,
            operation: record.operation,
            secret: record.secret.as_ref(),
            entry: record.entry.as_ref(),
        })
    }

    /// The bytes that are signed.
    pub fn message(&self) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/2 request",
            self.account.as_bytes(),
            self.session.as_bytes(),
            &self.counter.to_be_bytes(),
            &self.position.to_be_bytes(),
            self.operation.name().as_bytes(),
            self.secret.map_or(&[], |id| id.as_bytes().as_slice()),
            self.entry.map_or(&[], |hash| hash.as_bytes().as_slice()),
        ])
    }

    /// Signs the operation with the device's key.
    pub fn sign(&self, key: &SigningKey) -> Signature {
        Signature::new(key.sign(&self.message()).to_bytes())
    }
}

/// A message with its signature and the key that must have made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedMessage {
    /// The key (Ed25519).
    pub key: PublicKey,
    /// The bytes that are signed.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Signature,
}

impl SignedMessage {
    fn is_valid(&self) -> bool {
        verify(&self.key, &self.message, &self.signature)
    }
}

/// Returns which of the signatures verify. All of them are verified in one batch, which costs about half of verifying
/// each; where the batch fails each is verified alone.
///
/// For signatures that were verified strictly before, each by [`verify`]: these pass in any batch. A batch accepts more,
/// which only the holder of the key can make: an `R` of small order, or one that is not torsion-free.
pub fn verify_all(signed: &[SignedMessage]) -> Vec<bool> {
    if signed.len() > 1 && is_valid_batch(signed) {
        return vec![true; signed.len()];
    }
    signed.iter().map(SignedMessage::is_valid).collect()
}

fn is_valid_batch(signed: &[SignedMessage]) -> bool {
    let keys = signed.iter().map(|signed| {
        let key = VerifyingKey::from_bytes(signed.key.as_bytes()).ok()?;
        (!key.is_weak()).then_some(key)
    });
    let Some(keys) = keys.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let messages: Vec<_> = signed
        .iter()
        .map(|signed| signed.message.as_slice())
        .collect();
    let signatures: Vec<_> = signed
        .iter()
        .map(|signed| ed25519_dalek::Signature::from_bytes(signed.signature.as_bytes()))
        .collect();
    ed25519_dalek::verify_batch(&messages, &signatures, &keys).is_ok()
}

/// Verifies one signature (Ed25519, strict: no small-order keys, canonical `S`).
pub fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    VerifyingKey::from_bytes(key.as_bytes())
        .is_ok_and(|key| verify_strict(&key, message, signature))
}

fn verify_strict(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
    key.verify_strict(message, &signature).is_ok()
}

/// The id of the device that an opening authorises.
impl From<&Opening> for DeviceId {
    fn from(opening: &Opening) -> Self {
        Self::of(&opening.device)
    }
}
