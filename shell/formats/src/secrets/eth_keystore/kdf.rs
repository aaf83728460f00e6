//! The key derivation of a keystore. Costs that a file asks for are checked before the passphrase is asked for.

use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{field, not};
use crate::ciphers::Key;
use crate::error::FormatError;

/// Most N·r·p of scrypt: four times the standard costs, 1 GiB.
const MAX_SCRYPT: u64 = 1 << 23;
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
            Self::Scrypt { n, r, p, .. } => {
                let work = n.checked_mul((*r).into());
                let work = work.and_then(|work| work.checked_mul((*p).into()));
                let what = "units of scrypt work (N * r * p)";
                FormatError::check_cost(what, work.unwrap_or(u64::MAX), 0..=MAX_SCRYPT)?;
                if !n.is_power_of_two() {
                    return Err(not("scrypt's N is no power of two"));
                }
                scrypt_params(*n, *r, *p).map(drop)
            }
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
        let mut key = Key::default();
        match self {
            Self::Scrypt { n, r, p, .. } => {
                let params = scrypt_params(*n, *r, *p)?;
                scrypt::scrypt(password, &salt, &params, &mut *key)
                    .map_err(FormatError::library)?;
            }
            Self::Pbkdf2 { c, .. } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, *c, &mut *key);
            }
        }
        Ok(key)
    }
}

fn scrypt_params(n: u64, r: u32, p: u32) -> Result<scrypt::Params, FormatError> {
    let log_n = u8::try_from(n.ilog2()).unwrap_or(u8::MAX);
    scrypt::Params::new(log_n, r, p).map_err(|_| {
        not(format!(
            "scrypt does not allow N = 2^{log_n}, r = {r}, p = {p}"
        ))
    })
}
