//! `bip39`: 128 to 256 bits as words with a checksum (BIP-39): English words out, those of each of its languages in, also
//! with numbers before them.
//!
//! Only the words stand for the value: neither a passphrase nor the seed that wallets stretch from the words comes in. A
//! text file with words in it is a text unless `--format bip39` says otherwise: owners of mnemonics want to read them.

use bip39::{Error, Language, Mnemonic};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::format::{Ask, FormatError, Portable, SecretFormat};
use crate::words::normalised;

/// Bits that a word stands for.
const BITS: usize = 11;
/// Longest value with its checksum, in bytes.
const MAX_BYTES: usize = 33;

/// The format.
pub const FORMAT: SecretFormat = SecretFormat::new(
    "bip39",
    "16, 20, 24, 28 or 32 bytes as English words, in also as those of other languages (BIP-39)",
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
    let not = |why: &str| FormatError::not_this_format(format!("this is not `bip39`: {why}"));
    let text = normalised(bytes);
    let text = text.ok_or_else(|| not("it is longer than 24 words, or not UTF-8"))?;
    let words = unnumbered(&text).ok_or_else(|| not("its words are not numbered from 1 on"))?;
    let parsed = |language: &Language| Mnemonic::parse_in_normalized(*language, &words);
    let mut found = Language::ALL
        .iter()
        .filter_map(|language| parsed(language).ok());
    let mnemonic = found.next().ok_or_else(|| {
        let first = words.split_whitespace().next().unwrap_or_default();
        let mut all = Language::ALL.iter();
        let language = all.find(|language| language.find_word(first).is_some());
        let language = language.unwrap_or(&Language::English);
        not(&parsed(language).map_or_else(|error| told(&error, *language), |_| String::new()))
    })?;
    let (entropy, language) = (entropy_of(&mnemonic), mnemonic.language());
    // Some lists share words, at other places.
    if let Some(other) = found.find(|other| entropy_of(other) != entropy) {
        return Err(not(&format!(
            "the words are {language} and {} ones, which stand for different values",
            other.language()
        )));
    }
    let mut secret = Portable::bare(entropy);
    if language != Language::English {
        secret.lost.push(format!(
            "that the words are {language} ones: exports write English words, from which wallets derive other keys"
        ));
    }
    Ok(secret)
}

/// The bits that the words stand for, without the checksum. The library's own function panics for words that are in the
/// lists of several languages.
fn entropy_of(mnemonic: &Mnemonic) -> SecretBytes {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
    let (mut bits, mut count) = (0_usize, 0);
    for place in mnemonic.word_indices() {
        bits = bits << BITS | place;
        count += BITS;
        while count >= 8 {
            count -= 8;
            bytes.extend(u8::try_from(bits >> count));
            bits &= (1 << count) - 1;
        }
    }
    bytes.truncate(mnemonic.word_count() / 3 * 4);
    SecretBytes::from(bytes.as_slice())
}

/// The words without numbers and commas, in the order of the numbers; `None` for numbers that are not 1, 2, 3 and so on.
fn unnumbered(text: &str) -> Option<Zeroizing<String>> {
    let (mut words, mut number) = (Vec::new(), None);
    for token in text.split([',', ';']).flat_map(str::split_whitespace) {
        let word = token.trim_start_matches(|c: char| c.is_ascii_digit());
        let (digits, _) = token.split_at_checked(token.len() - word.len())?;
        if !digits.is_empty() {
            number = Some(digits.parse::<usize>().ok()?);
        }
        let word = word.trim_start_matches(['.', ')', ':', '-']);
        if !word.is_empty() {
            words.push((number.take(), word));
        }
    }
    let is_numbered = words.iter().any(|(number, _)| number.is_some());
    if is_numbered {
        words.sort_by_key(|(number, _)| *number);
        let mut numbers = (1..).zip(&words);
        numbers
            .all(|(at, (number, _))| *number == Some(at))
            .then_some(())?;
    }
    let words: Vec<_> = words.into_iter().map(|(_, word)| word).collect();
    Some(Zeroizing::new(words.join(" ")))
}

/// The error as text, without the words themselves.
fn told(error: &Error, language: Language) -> String {
    match error {
        Error::BadWordCount(count) => {
            format!("it has 12, 15, 18, 21 or 24 words, and this has {count}")
        }
        Error::UnknownWord(at) => format!("word {} is not in the {language} list", at + 1),
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
    use unicode_normalization::UnicodeNormalization as _;

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

    #[test]
    fn words_of_each_language_come_in_and_the_language_is_listed() {
        let entropy: Vec<u8> = (0..16).collect();
        for language in Language::ALL {
            let words = Mnemonic::from_entropy_in(*language, &entropy).unwrap();
            let words: Vec<_> = words.words().collect();
            // Japanese has spaces of its own, and letters may be composed.
            for text in [
                words.join(" "),
                words.join("\u{3000}"),
                words.join(" ").nfc().collect(),
            ] {
                let secret = FORMAT.decode(text.as_bytes(), &Answers::default()).unwrap();
                assert_eq!(secret.value.expose(), entropy, "{language}");
                let is_listed = secret
                    .lost
                    .iter()
                    .any(|lost| lost.contains("English words"));
                assert_eq!(is_listed, *language != Language::English, "{language}");
            }
        }
        let french = Mnemonic::from_entropy_in(Language::French, &entropy).unwrap();
        let mut words: Vec<_> = french.words().collect();
        words[3] = "secretly";
        let error = decode(&words.join(" ")).unwrap_err();
        assert!(
            error.contains("word 4 is not in the") && !error.contains("secretly"),
            "{error}"
        );
    }

    #[test]
    fn words_that_stand_for_different_values_are_refused() {
        // Words that both lists have, at different places, with a checksum that fits both.
        let (one, other) = (Language::English, Language::French);
        let shared = one.word_list().iter().filter(|word| {
            let place = one.find_word(word);
            place.is_some_and(|place| other.find_word(word).is_some_and(|other| other != place))
        });
        let shared: Vec<_> = shared.copied().collect();
        let phrase = |start: usize, step: usize| {
            let word = |at: usize| shared[(start + at * step) % shared.len()];
            (0..12).map(word).collect::<Vec<_>>().join(" ")
        };
        let phrases = (1..50).flat_map(|step| (0..shared.len()).map(move |start| (start, step)));
        let mut phrases = phrases.map(|(start, step)| phrase(start, step));
        let is_both = |text: &String| {
            [one, other]
                .iter()
                .all(|language| Mnemonic::parse_in_normalized(*language, text).is_ok())
        };
        let both = phrases.find(is_both).unwrap();
        let error = decode(&both).unwrap_err();
        assert!(error.contains("different values"), "{error}");
        // Words that both Chinese lists have at the same places are of either language.
        let (one, other) = (Language::SimplifiedChinese, Language::TraditionalChinese);
        let is_shared = |word: &&&str| one.find_word(word) == other.find_word(word);
        let shared: Vec<_> = one.word_list().iter().filter(is_shared).copied().collect();
        let mut phrases = shared.windows(12).map(|words| words.join(" "));
        let both = phrases.find(|text| Mnemonic::parse_in_normalized(one, text).is_ok());
        assert_eq!(decode(&both.unwrap()).unwrap().len(), 16);
    }

    #[test]
    fn numbers_before_the_words_are_passed_over() {
        let vectors: Vec<[String; 4]> = serde_json::from_str(VECTORS).unwrap();
        let [entropy, words, ..] = &vectors[1];
        let list: Vec<_> = words.split(' ').collect();
        let numbered = |form: &dyn Fn(usize, &str) -> String| -> Vec<String> {
            (1..)
                .zip(&list)
                .map(|(number, word)| form(number, word))
                .collect()
        };
        let entropy = data_encoding::HEXLOWER.decode(entropy.as_bytes()).unwrap();
        for lines in [
            numbered(&|number, word| format!("{number}. {word}\n")),
            numbered(&|number, word| format!("{number}){word} ")),
            numbered(&|number, word| format!("{number}: {word}, ")),
            numbered(&|number, word| format!("{number:02} {word}\t")),
            numbered(&|_, word| format!("{word},")),
        ] {
            assert_eq!(decode(&lines.concat()).unwrap(), entropy);
        }
        // Column by column.
        let mut lines = numbered(&|number, word| format!("{number}. {word}\n"));
        lines.rotate_left(5);
        assert_eq!(decode(&lines.concat()).unwrap(), entropy);
        lines.swap_remove(3);
        for bad in [
            lines.concat(),
            format!("1. {words}"),
            format!("99999999999999999999 {words}"),
        ] {
            assert!(decode(&bad).unwrap_err().contains("numbered"), "{bad}");
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
        fn no_text_panics(text in "([0-9]{0,2}[a-z.]{0,8} ){0,30}", raw in any::<Vec<u8>>()) {
            let _ = decode(&text);
            let _ = FORMAT.decode(&raw, &Answers::default());
        }
    }
}
