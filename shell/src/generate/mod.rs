//! Secrets from the operating system's CSPRNG, through `rand`.

mod charset;
mod key;
mod passphrase;

pub use charset::Charset;
pub use key::{KeyType, key};
pub use passphrase::{passphrase, passphrase_entropy_bits};
use rand::Rng as _;
use rand::rngs::OsRng;
use shared::secret::SecretBytes;

/// Default number of random bits.
pub const DEFAULT_BITS: u32 = 256;
/// Minimum number of random bits.
pub const MIN_BITS: u32 = 8;
/// Maximum number of random bits.
pub const MAX_BITS: u32 = 65_536;
/// Maximum length of a password, in characters.
pub const MAX_LENGTH: usize = 1024;
/// Media type of random bytes.
pub const BINARY: &str = "application/octet-stream";
/// Media type of passwords and passphrases.
pub const TEXT: &str = "text/plain";

/// The requested secret cannot be generated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The number of bits is out of range, or no multiple of 8.
    #[error("--bits takes a multiple of 8 from {MIN_BITS} to {MAX_BITS}")]
    Bits,
    /// The length is out of range.
    #[error("--password takes a length from 1 to {MAX_LENGTH}")]
    Length,
    /// The number of words is out of range.
    #[error("--passphrase takes a number of words from 1 to 64")]
    Words,
    /// There is no character set of this name.
    #[error("a character set is alnum, printable, digits, lower, upper, hex, or custom:CHARACTERS")]
    NoCharset,
    /// The character set has fewer than two characters.
    #[error("a character set needs at least two different characters")]
    Charset,
}

/// Generates `bits` uniform random bits.
///
/// # Errors
/// [`GenerateError::Bits`].
pub fn bits(bits: u32) -> Result<SecretBytes, GenerateError> {
    if !(MIN_BITS..=MAX_BITS).contains(&bits) || !bits.is_multiple_of(8) {
        return Err(GenerateError::Bits);
    }
    let len = usize::try_from(bits / 8).map_err(|_| GenerateError::Bits)?;
    Ok(SecretBytes::random(len))
}

/// Generates a password of `length` characters, each drawn uniformly and independently from `charset`.
///
/// # Errors
/// [`GenerateError::Length`].
pub fn password(length: usize, charset: &Charset) -> Result<SecretBytes, GenerateError> {
    if !(1..=MAX_LENGTH).contains(&length) {
        return Err(GenerateError::Length);
    }
    Ok(draw(length, charset.characters(), |character, text| {
        let mut buffer = [0; 4];
        text.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    }))
}

/// Draws uniformly with replacement; `gen_range` has no modulo bias.
fn draw<T>(count: usize, from: &[T], mut write: impl FnMut(&T, &mut Vec<u8>)) -> SecretBytes {
    // Capacity for the longest character or word, so that the buffer never grows and leaves no copies.
    let mut text = Vec::with_capacity(count * 16);
    for _ in 0..count {
        if let Some(item) = from.get(OsRng.gen_range(0..from.len())) {
            write(item, &mut text);
        }
    }
    SecretBytes::new(text)
}
