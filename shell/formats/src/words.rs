//! Text of mnemonic words (BIP-39, SLIP-39).

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// Longest text that is looked at, in bytes: 24 words have at most 215.
const MAX_TEXT: usize = 4096;

/// The words as the list has them, whatever their case and what is between them.
pub fn normalised(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_short = text.len() <= MAX_TEXT;
    let text = is_short.then(|| text.nfkd().collect::<String>())?;
    let text = Zeroizing::new(text);
    Some(Zeroizing::new(text.to_lowercase()))
}
