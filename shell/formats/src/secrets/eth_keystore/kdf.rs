//! The key derivation of a keystore. Costs that a file asks for are checked before the passphrase is asked for.

use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{field, not};
use crate::ciphers::{self, Key};
use crate::error::FormatError;

/// Most rounds of PBKDF2: forty times the usual number.
pub const MAX_ROUNDS: u32 = 10_000_000;
/// The pseudorandom function of PBKDF2.
pub const PRF: &str = "hmac-sha256";

/// A key derivation with its parameters.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
pub enum Kdf {
    /// scrypt (RFC 7914).
    Scrypt {
        /// The length of the derived key: 32.
        dklen: u32,
        /// The cost N.
        n: u64,
        /// The block size.
        r: u32,
        /// The parallelisation.
        p: u32,
        /// The salt, in hexadecimal.
        salt: String,
    },
    /// PBKDF2 (RFC 8018).
    Pbkdf2 {
        /// The length of the derived key: 32.
        dklen: u32,
        /// The number of rounds.
        c: u32,
        /// The pseudorandom function: [`PRF`].
        prf: String,
        /// The salt, in hexadecimal.
        salt: String,
    },
}

impl Kdf {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`FormatError`] for costs over their limits, and for parameters that are not supported.
    pub fn check(&self) -> Result<(), FormatError> {
        let (Self::Scrypt { dklen, .. } | Self::Pbkdf2 { dklen, .. }) = self;
        if *dklen != 32 {
            return Err(not(format!("dklen is 32, and this is {dklen}")));
        }
        match self {
            Self::Scrypt { n, r, p, .. } => ciphers::check_scrypt(*n, *r, *p),
            Self::Pbkdf2 { c, prf, .. } => {
                let most = MAX_ROUNDS.into();
                FormatError::check_cost("rounds of PBKDF2", (*c).into(), 1..=most)?;
                if !prf.eq_ignore_ascii_case(PRF) {
                    return Err(not(format!("PBKDF2 is read with {PRF} only")));
                }
                Ok(())
            }
        }
    }

    /// Derives the key.
    ///
    /// # Errors
    /// [`FormatError`] for a malformed salt, and for parameters that the algorithm does not allow.
    pub fn stretch(&self, passphrase: &str) -> Result<Key, FormatError> {
        let (Self::Scrypt { salt, .. } | Self::Pbkdf2 { salt, .. }) = self;
        let (password, salt) = (passphrase.as_bytes(), field(salt, "salt")?);
        match self {
            Self::Scrypt { n, r, p, .. } => ciphers::scrypt(password, &salt, (*n, *r, *p)),
            Self::Pbkdf2 { c, .. } => {
                let mut key = Key::default();
                pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, *c, &mut *key);
                Ok(key)
            }
        }
    }
}
