//! Passphrases from the EFF's long list: 7776 words, 12.9 bits each.

use diceware_wordlists::Wordlist;
use shared::secret::SecretBytes;

use crate::generate::{GenerateError, draw};

/// Maximum number of words.
const MAX_WORDS: usize = 64;

/// Generates a passphrase of words drawn uniformly and independently, joined by hyphens.
///
/// # Errors
/// [`GenerateError::Words`].
pub fn passphrase(words: usize) -> Result<SecretBytes, GenerateError> {
    if !(1..=MAX_WORDS).contains(&words) {
        return Err(GenerateError::Words);
    }
    Ok(draw(words, Wordlist::EffLong.get_list(), |word, text| {
        if !text.is_empty() {
            text.push(b'-');
        }
        text.extend_from_slice(word.as_bytes());
    }))
}

/// Entropy of a passphrase of `words` words, in bits.
#[allow(clippy::cast_precision_loss)]
pub fn passphrase_entropy_bits(words: usize) -> f64 {
    (Wordlist::EffLong.get_list().len() as f64).log2() * words as f64
}
