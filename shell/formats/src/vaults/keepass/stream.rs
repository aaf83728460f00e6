//! The inner stream, which encrypts protected values a second time, in the order of the document.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use salsa20::Salsa20;
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::FormatError;

/// The number of ChaCha20 in the inner header.
pub const CHACHA20: u32 = 3;
const SALSA20: u32 = 2;
/// The initialisation vector of Salsa20, the same in every file.
const SALSA20_IV: [u8; 8] = [0xE8, 0x30, 0x09, 0x4B, 0x97, 0x20, 0x5D, 0x2A];

/// The stream.
pub enum InnerStream {
    /// The cipher of KDBX 4.
    ChaCha20(Box<ChaCha20>),
    /// The cipher of KDBX 3, which some programs still write.
    Salsa20(Box<Salsa20>),
}

impl InnerStream {
    /// The stream of this number.
    ///
    /// # Errors
    /// [`FormatError`] for unknown numbers.
    pub fn new(number: u32, key: &[u8]) -> Result<Self, FormatError> {
        match number {
            CHACHA20 => {
                let hash = Sha512::digest(key);
                let (key, rest) = hash.split_at(32);
                let (nonce, _) = rest.split_at(12);
                Ok(Self::ChaCha20(Box::new(ChaCha20::new(
                    key.into(),
                    nonce.into(),
                ))))
            }
            SALSA20 => {
                let key = Sha256::digest(key);
                Ok(Self::Salsa20(Box::new(Salsa20::new(
                    &key,
                    &SALSA20_IV.into(),
                ))))
            }
            _ => Err(FormatError::unsupported(
                "the cipher of protected values is unknown",
            )),
        }
    }

    /// Encrypts or decrypts the next value.
    ///
    /// # Errors
    /// [`FormatError`] at the end of the stream, after 256 GiB.
    pub fn apply(&mut self, value: &mut [u8]) -> Result<(), FormatError> {
        let applied = match self {
            Self::ChaCha20(cipher) => cipher.try_apply_keystream(value),
            Self::Salsa20(cipher) => cipher.try_apply_keystream(value),
        };
        applied.map_err(|_| FormatError::unsupported("there are too many protected values"))
    }
}
