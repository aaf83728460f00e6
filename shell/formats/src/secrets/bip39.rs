//! `bip39`: 128 to 256 bits as English words with a checksum (BIP-39).
//!
//! Only the words stand for the value: neither a passphrase nor the seed that wallets stretch from the words comes in. A
//! text file with words in it is a text unless `--format bip39` says otherwise: owners of mnemonics want to read them.

use bip39::{Error, Language, Mnemonic};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::format::{Ask, FormatError, Portable, SecretFormat};
use crate::words::normalised;

/// The format.
pub const FORMAT: SecretFormat = SecretFormat::new(
    "bip39",
    "16, 20, 24, 28 or 32 bytes as English words (BIP-39)",
    encode,
    decode,
);

fn encode(secret: &Portable, _: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let value = &secret.value;
    let mnemonic = Mnemonic::from_entropy_in(Language::English, value.expose()).map_err(|_| {
        FormatError::cannot_carry(format!(
            "`bip39` carries 16, 20, 24, 28 or 32 bytes (128 to 256 bits), and this value has {}",
            value.len()
        ))
    })?;
    let words: Vec<&str> = mnemonic.words().collect();
    Ok(SecretBytes::new(words.join(" ").into_bytes()))
}

fn decode(bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
    let words = normalised(bytes).ok_or_else(|| {
        FormatError::not_this_format(
            "this is not `bip39`: it is longer than 24 words, or not UTF-8",
        )
    })?;
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, &words).map_err(|error| {
        FormatError::not_this_format(format!("this is not `bip39`: {}", told(&error)))
    })?;
    let (entropy, len) = mnemonic.to_entropy_array();
    let entropy = Zeroizing::new(entropy);
    let entropy = entropy.get(..len).unwrap_or_default();
    Ok(Portable::bare(SecretBytes::from(entropy)))
}

/// The error as text, without the words themselves.
fn told(error: &Error) -> String {
    match error {
        Error::BadWordCount(count) => {
            format!("it has 12, 15, 18, 21 or 24 words, and this has {count}")
        }
        Error::UnknownWord(at) => format!("word {} is not in the English list", at + 1),
        Error::InvalidChecksum => {
            "the checksum is wrong: a word is another, or in another place".into()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Answers;

    /// The English vectors of the standard, as python-mnemonic has them: entropy, words, seed, extended key.
    const VECTORS: &str = include_str!("../../tests/vectors/bip39.json");

    fn encode(value: &[u8]) -> Result<String, FormatError> {
        let secret = Portable::bare(SecretBytes::from(value));
        let encoded = FORMAT.encode(&secret, &Answers::default())?;
        Ok(String::from_utf8(encoded.expose().to_vec()).unwrap())
    }

    fn decode(text: &str) -> Result<Vec<u8>, String> {
        let decoded = FORMAT.decode(text.as_bytes(), &Answers::default());
        let decoded = decoded.map_err(|error| error.to_string())?;
        Ok(decoded.value.expose().to_vec())
    }

    #[test]
    fn the_vectors_of_the_standard_hold() {
        let vectors: Vec<[String; 4]> = serde_json::from_str(VECTORS).unwrap();
        assert_eq!(vectors.len(), 24);
        for [entropy, words, ..] in vectors {
            let entropy = data_encoding::HEXLOWER.decode(entropy.as_bytes()).unwrap();
            assert_eq!(encode(&entropy).unwrap(), words);
            assert_eq!(decode(&words).unwrap(), entropy);
        }
    }

    #[test]
    fn case_spaces_and_compatible_letters_are_forgiven() {
        let written = "  ABANDON abandon\tabandon\r\nabandon abandon Abandon abandon abandon abandon \
                       abandon abandon \u{ff41}bout\n";
        assert_eq!(decode(written).unwrap(), [0; 16]);
    }

    #[test]
    fn errors_do_not_contain_the_words() {
        let wrong = |text: &str, part: &str| {
            let error = decode(text).unwrap_err();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("secretly"), "{error}");
        };
        wrong(&"abandon ".repeat(12), "checksum");
        wrong(&"abandon ".repeat(11), "11");
        wrong(&format!("{}secretly", "abandon ".repeat(11)), "word 12");
        wrong(&"abandon ".repeat(10_000), "longer");
        for len in [0, 1, 15, 17, 31, 33, 64] {
            let error = encode(&vec![7; len]).unwrap_err().to_string();
            assert!(error.contains("16, 20, 24, 28 or 32"), "{error}");
            assert!(error.ends_with(&format!("has {len}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_round_trip_gives_the_same_value(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            match encode(&value) {
                Ok(words) => prop_assert_eq!(decode(&words).unwrap(), value),
                Err(_) => prop_assert!(!matches!(value.len(), 16 | 20 | 24 | 28 | 32)),
            }
        }

        #[test]
        fn no_text_panics(text in "([a-z]{1,8} ){0,30}", raw in any::<Vec<u8>>()) {
            let _ = decode(&text);
            let _ = FORMAT.decode(&raw, &Answers::default());
        }
    }
}
