//! The vault log: an account's append-only, hash-chained log of mutations, signed by the owner's devices.
//!
//! Entries hold hashes; the sealed content that they name stands beside the log, so that it can be deleted while the
//! chain stays verifiable.

mod base;
mod entry;
mod rules;
mod signed;

pub use base::{
    ENTRY_FORMAT, FIRST_EPOCH, Head, KEM_KEY_LEN, LAST_OF_REGISTRATION, LogError, MAX_ENTRY_LEN,
    MAX_EPOCH, MAX_METADATA_LEN,
};
pub use entry::{
    Acknowledge, Authorisation, Credential, CredentialKeys, Describe, Entry, Identity, Op, Purge,
    Rekey, Sealed, SecretVersion,
};
pub use rules::{Due, SecretState, Signer, Versions, apply, next_generation};
pub use signed::SignedEntry;
