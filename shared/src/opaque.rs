//! Parameters of OPAQUE (RFC 9807): suite, key stretching, credential identifier, identities and context.

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

/// Number of the only suite so far: ristretto255, SHA-512, 3DH, Argon2id. A client refuses a lower number than it has
/// seen.
pub const SUITE: u8 = 1;

/// Argon2id memory in KiB (64 MiB): second recommended option of RFC 9106, section 4.
pub const KSF_MEMORY_KIB: u32 = 64 * 1024;
/// Argon2id passes.
pub const KSF_PASSES: u32 = 3;
/// Argon2id lanes.
pub const KSF_LANES: u32 = 4;

/// [`SUITE`] as a type for opaque-ke.
#[derive(Debug, Clone, Copy)]
pub struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Stretching;
}

/// Argon2id salt, in bytes.
pub const SALT_LEN: usize = argon2::RECOMMENDED_SALT_LEN;

/// The key stretching function, fixed by the kind of slot; the server has no say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretching {
    /// For passwords and recovery codes: Argon2id with the parameters above and this salt.
    Argon2id([u8; SALT_LEN]),
    /// Identity, for device secrets of 256 random bits, which cannot be guessed.
    FullEntropy,
}

impl Stretching {
    /// The key stretching of a slot of an account on a server. The salt is the first [`SALT_LEN`] bytes of a SHA-256
    /// over them.
    ///
    /// RFC 9807, section 4.1.1, allows a salt of zeros, since the OPRF salts the input. But the server has the OPRF
    /// key: with one OPRF key for all accounts, a malicious server could use one dictionary for all of them.
    pub fn of(slot: &Slot, account: &AccountName, server: &ServerId) -> Self {
        if let Slot::Device(_) = slot {
            return Self::FullEntropy;
        }
        let fields: [&[u8]; 4] = [
            b"keyshell/2 stretching",
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

/// Required by opaque-ke for calls without an explicit function; this protocol always passes one.
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

/// A place for one credential of an account: a registration record, and the account key wrapped under the export key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The password.
    Password,
    /// The recovery code of 160 random bits, shown once.
    Recovery,
    /// A secret of 256 random bits on one device.
    Device(DeviceId),
}

impl Slot {
    /// Name of the slot in derivations: the kind, and for devices the id (16 bytes).
    pub fn label(&self) -> Vec<u8> {
        match self {
            Self::Password => b"password".to_vec(),
            Self::Recovery => b"recovery".to_vec(),
            Self::Device(id) => [b"device:".as_slice(), id.as_bytes()].concat(),
        }
    }

    /// Whether the credential could be guessed, so that attempts are throttled. Logins with recovery codes and device
    /// secrets must not wait for an attacker who tries passwords.
    pub fn is_guessable(&self) -> bool {
        match self {
            Self::Password => true,
            Self::Recovery | Self::Device(_) => false,
        }
    }
}

/// `password`, `recovery`, or `device:` and the id in hex.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password => f.write_str("password"),
            Self::Recovery => f.write_str("recovery"),
            Self::Device(id) => write!(f, "device:{id}"),
        }
    }
}

/// `credential_identifier` of RFC 9807: selects the OPRF key of one slot of one account.
pub fn credential_identifier(account: &AccountName, slot: &Slot) -> Vec<u8> {
    length_prefixed(&[
        b"keyshell/2 credential",
        account.as_str().as_bytes(),
        &slot.label(),
    ])
}

/// `context` of RFC 9807: protocol, version, suite and slot, so that a downgrade of any of them fails the login.
pub fn context(slot: &Slot) -> Vec<u8> {
    length_prefixed(&[b"keyshell", &[PROTOCOL_VERSION, SUITE], &slot.label()])
}

/// Client and server identity of RFC 9807: account name and server id.
pub fn identifiers<'a>(account: &'a AccountName, server: &'a ServerId) -> Identifiers<'a> {
    Identifiers {
        client: Some(account.as_str().as_bytes()),
        server: Some(server.as_bytes()),
    }
}
