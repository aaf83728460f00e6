//! OPAQUE (RFC 9807) as this protocol uses it: the suite, the key stretching, identifiers and context.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use generic_array::{ArrayLength, GenericArray};
use opaque_ke::errors::InternalError;
use opaque_ke::{CipherSuite, Identifiers, Ristretto255, TripleDh};
use serde::{Deserialize, Serialize};
use sha2::Sha512;

use crate::PROTOCOL_VERSION;
use crate::ids::{DeviceId, Digest, ServerId};
use crate::kdf::length_prefixed;
use crate::names::AccountName;

/// The only suite so far: ristretto255, SHA-512, 3DH, Argon2id. Numbers only go up.
pub const SUITE: u8 = 1;

/// Argon2id memory in KiB (64 MiB): RFC 9106's second recommended option.
pub const KSF_MEMORY_KIB: u32 = 64 * 1024;
/// Argon2id passes.
pub const KSF_PASSES: u32 = 3;
/// Argon2id lanes.
pub const KSF_LANES: u32 = 4;

/// [`SUITE`] as opaque-ke names it.
#[derive(Debug, Clone, Copy)]
pub struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Stretching;
}

/// Argon2id salt, in bytes.
pub const SALT_LEN: usize = argon2::RECOMMENDED_SALT_LEN;

/// Key stretching, fixed by the kind of slot and never by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretching {
    /// For what a person can remember or type: Argon2id with the parameters above and this salt.
    Argon2id([u8; SALT_LEN]),
    /// For device secrets of 256 random bits, where there is nothing to guess.
    FullEntropy,
}

impl Stretching {
    /// The stretching that the slot of this account on this server always has.
    ///
    /// The input is salted by the OPRF, and RFC 9807 (section 4.1.1) therefore lets the salt be zero. But the OPRF's
    /// key is the server's: one that uses the same key for everybody would make one dictionary fit all accounts.
    pub fn of(slot: &Slot, account: &AccountName, server: &ServerId) -> Self {
        if let Slot::Device(_) = slot {
            return Self::FullEntropy;
        }
        let fields: [&[u8]; 4] = [
            b"keyshell/1 stretching",
            server.as_bytes(),
            account.as_str().as_bytes(),
            &slot.label(),
        ];
        let digest = Digest::of(&length_prefixed(&fields));
        let mut salt = [0; SALT_LEN];
        salt.copy_from_slice(&digest.as_bytes()[..SALT_LEN]);
        Self::Argon2id(salt)
    }
}

/// opaque-ke wants one for calls that name none; this protocol always names one.
impl Default for Stretching {
    fn default() -> Self {
        Self::Argon2id([0; SALT_LEN])
    }
}

impl opaque_ke::ksf::Ksf for Stretching {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let Self::Argon2id(salt) = self else {
            return Ok(input);
        };
        let params = Params::new(KSF_MEMORY_KIB, KSF_PASSES, KSF_LANES, Some(L::USIZE))
            .map_err(|_| InternalError::KsfError)?;
        let mut output = GenericArray::default();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&input, salt, &mut output)
            .map_err(|_| InternalError::KsfError)?;
        Ok(output)
    }
}

/// Which credential of an account: each is a registration record and the account key wrapped under its export key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// What the owner remembers.
    Password,
    /// The recovery code, printed once.
    Recovery,
    /// A random secret that one device holds.
    Device(DeviceId),
}

impl Slot {
    /// How a slot is named inside derivations: a kind, and for devices the id.
    pub fn label(&self) -> Vec<u8> {
        match self {
            Self::Password => b"password".to_vec(),
            Self::Recovery => b"recovery".to_vec(),
            Self::Device(id) => [b"device:".as_slice(), id.as_bytes()].concat(),
        }
    }

    /// The generation of its credential before the vault log says anything of it: a registration sets those of password
    /// and recovery once, and no device's.
    pub fn first_generation(&self) -> u64 {
        match self {
            Self::Password | Self::Recovery => 1,
            Self::Device(_) => 0,
        }
    }

    /// Whether somebody could hope to guess the credential. Recovery codes (160 random bits) and device secrets (256)
    /// are beyond guessing, so nobody who tries passwords can hold up a login with one of them.
    pub fn is_guessable(&self) -> bool {
        match self {
            Self::Password => true,
            Self::Recovery | Self::Device(_) => false,
        }
    }
}

/// `password`, `recovery`, or `device:` and its id.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password => f.write_str("password"),
            Self::Recovery => f.write_str("recovery"),
            Self::Device(id) => write!(f, "device:{id}"),
        }
    }
}

/// OPAQUE's `credential_identifier`: selects the OPRF key of one slot of one account.
pub fn credential_identifier(account: &AccountName, slot: &Slot) -> Vec<u8> {
    length_prefixed(&[
        b"keyshell/1 credential",
        account.as_str().as_bytes(),
        &slot.label(),
    ])
}

/// OPAQUE's `context`: protocol, version, suite and slot, so that none of them can be downgraded unnoticed.
pub fn context(slot: &Slot) -> Vec<u8> {
    length_prefixed(&[b"keyshell", &[PROTOCOL_VERSION, SUITE], &slot.label()])
}

/// OPAQUE's identities: account name and server id.
pub fn identifiers<'a>(account: &'a AccountName, server: &'a ServerId) -> Identifiers<'a> {
    Identifiers {
        client: Some(account.as_str().as_bytes()),
        server: Some(server.as_bytes()),
    }
}
