//! `shares`: a secret shared out to several people or places, some of whom bring it back (SLIP-0039).
//!
//! `export NAME --format shares --threshold K --shares N` makes N shares of English words, of which any K give the value
//! and fewer give nothing at all. They are read by every program that knows SLIP-39, and `import` asks for as many as it
//! needs. We write one group of shares, and read several groups too.
//!
//! Whose cryptography this is: Shamir's scheme itself is computed by `vsss-rs` (see `shamir`), PBKDF2, HMAC and SHA-256
//! by the RustCrypto crates, and randomness comes from the operating system. What is done here is the standard's
//! composition of them, its bits and its checksum; it is held to the standard's 45 vectors and to the reference
//! implementation (`shamir-mnemonic`), in both directions.

mod cipher;
mod set;
mod shamir;
pub mod share;

use rand::RngCore as _;
use rand::rngs::OsRng;
use set::Set;
use share::{MAX_SECRET, MIN_SECRET, Scheme, Share};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::format::{Ask, Choices, FormatError, PIECES_END, Portable, SecretFormat};

/// Most shares; the standard has four bits for them.
const MAX_SHARES: u8 = 16;
/// Longest file, in bytes: more than all shares together.
const MAX_FILE: usize = 64 * 1024;
/// The iteration exponent of new shares: that of the reference, and 5 with a passphrase (320,000 rounds).
const EXPONENT: u8 = 1;
const SEALED_EXPONENT: u8 = 5;
/// Most that a share may ask for: ten million rounds.
const MAX_EXPONENT: u8 = 10;

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    recognises,
    is_sealed: |choices| choices.encrypt,
    makes_shares: true,
    ..SecretFormat::new(
        "shares",
        "an even number of 16 to 64 bytes as shares of words, some of which bring it back (SLIP-39)",
        encode,
        decode,
    )
};

/// The checksum makes the detection certain.
fn recognises(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let mut shares = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    bytes.len() <= MAX_FILE
        && shares.peek().is_some()
        && shares.all(|share| Share::parse(share).is_ok())
}

fn encode(secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let value = secret.value.expose();
    let len = value.len();
    if !len.is_multiple_of(2) || !(MIN_SECRET..=MAX_SECRET).contains(&len) {
        return Err(FormatError::cannot_carry(format!(
            "`shares` carries an even number of bytes from {MIN_SECRET} to {MAX_SECRET}, and this value has {len}"
        )));
    }
    let (threshold, count) = numbers(ask.choices())?;
    let passphrase = if ask.choices().encrypt {
        printable(ask.new_passphrase()?)?
    } else {
        Zeroizing::default()
    };
    let shares = share_out(value, threshold, count, &passphrase)?;
    let words: Vec<_> = shares.iter().map(Share::words).collect();
    let words: Vec<&str> = words.iter().map(|words| words.as_str()).collect();
    Ok(SecretBytes::new(words.join(PIECES_END).into_bytes()))
}

fn decode(bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError> {
    let set = gather(bytes, ask)?;
    let (scheme, joined) = set.joined()?;
    let passphrase = ask.passphrase_if_any()?.map(printable).transpose()?;
    let passphrase = passphrase.unwrap_or_default();
    let value = cipher::decrypt(scheme, &passphrase, &joined);
    Ok(Portable::bare(SecretBytes::from(value.as_slice())))
}

/// The damage of a text that has at least as many words of SLIP-39 as a share, and is not a share.
pub fn damage(bytes: &[u8]) -> Option<String> {
    const LEAST: usize = 20;
    let text = std::str::from_utf8(bytes).ok()?;
    let words = text.split_whitespace().count();
    let known = text.split_whitespace().filter(|word| share::is_word(word));
    // One word may be mistyped; the error names it.
    let is_one = bytes.len() <= MAX_FILE && words >= LEAST && known.count() + 1 >= words;
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    is_one
        .then(|| lines.find_map(|line| Share::parse(line).err()))?
        .map(|error| error.to_string())
}

fn numbers(choices: &Choices) -> Result<(u8, u8), FormatError> {
    let (Some(threshold), Some(count)) = (choices.threshold, choices.shares) else {
        let text = "give the number of shares and how many of them restore the secret: \
                    `export NAME --format shares --threshold 2 --shares 3`";
        return Err(FormatError::Usage(text.into()));
    };
    if count > MAX_SHARES || threshold == 0 || threshold > count {
        let text =
            format!("--shares is 1 to {MAX_SHARES}, and --threshold is 1 to the number of shares");
        return Err(FormatError::Usage(text));
    }
    if threshold == 1 && count > 1 {
        let text =
            "each of several shares would be the secret itself: choose --threshold 2 or more";
        return Err(FormatError::Usage(text.into()));
    }
    Ok((threshold, count))
}

/// The standard's passphrases have only these characters, so that every keyboard has them.
fn printable(passphrase: Zeroizing<String>) -> Result<Zeroizing<String>, FormatError> {
    let is_printable = passphrase.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_printable.then_some(passphrase).ok_or_else(|| {
        let text = "a passphrase of shares may have printable ASCII characters only (SLIP-39)";
        FormatError::Usage(text.into())
    })
}

fn share_out(
    value: &[u8],
    threshold: u8,
    count: u8,
    passphrase: &str,
) -> Result<Vec<Share>, FormatError> {
    let exponent = if passphrase.is_empty() {
        EXPONENT
    } else {
        SEALED_EXPONENT
    };
    let mut random = [0; 2];
    OsRng.fill_bytes(&mut random);
    let scheme = Scheme {
        identifier: u16::from_be_bytes(random) >> 1,
        extendable: true,
        exponent,
        group_threshold: 1,
        groups: 1,
    };
    let sealed = cipher::encrypt(scheme, passphrase, value);
    let values = shamir::split(threshold, count, &sealed)?;
    let shares = (0..).zip(values).map(|(member, value)| Share {
        scheme,
        group: 0,
        member,
        threshold,
        value,
    });
    Ok(shares.collect())
}

/// The shares in a file, one per line, and then those that the user types until there are enough.
fn gather(bytes: &[u8], ask: &dyn Ask) -> Result<Set, FormatError> {
    let text = std::str::from_utf8(bytes).ok();
    let text = text.filter(|text| text.len() <= MAX_FILE);
    let text = text.ok_or_else(|| {
        FormatError::not_this_format("these are not shares: too long, or not UTF-8")
    })?;
    let mut set = Set::default();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    for (number, line) in (1..).zip(lines) {
        let added = parse(line).and_then(|share| set.add(share));
        added.map_err(|error| error.in_part(format_args!("share {number}")))?;
    }
    let mut wrong = String::new();
    while let Some(missing) = set.missing() {
        let typed = ask.share(&format!("{wrong}{missing}"))?;
        let added = parse(&typed).and_then(|share| set.add(share));
        wrong = added
            .err()
            .map_or_else(String::new, |error| format!("{error}; still "));
    }
    Ok(set)
}

fn parse(line: &str) -> Result<Share, FormatError> {
    let share = Share::parse(line)?;
    let exponent = share.scheme.exponent.into();
    FormatError::check_cost("doublings of the work", exponent, 0..=MAX_EXPONENT.into())?;
    Ok(share)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;
    use crate::format::pieces;
    use crate::testing::Answers;

    /// The standard's vectors, as the npm package slip39 (MIT) has them: what they show, shares, secret, extended key.
    const VECTORS: &str = include_str!("../../../tests/vectors/slip39.json");

    fn answers(threshold: u8, shares: u8, passphrase: &'static str) -> Answers {
        Answers {
            passphrase: Some(passphrase),
            choices: Choices {
                encrypt: !passphrase.is_empty(),
                threshold: Some(threshold),
                shares: Some(shares),
                ..Choices::default()
            },
        }
    }

    fn encode(value: &[u8], answers: &Answers) -> Result<Vec<String>, FormatError> {
        let encoded = FORMAT.encode(&Portable::bare(SecretBytes::from(value)), answers)?;
        let text = |piece: SecretBytes| String::from_utf8(piece.expose().to_vec()).unwrap();
        Ok(pieces(&encoded).into_iter().map(text).collect())
    }

    fn decode(shares: &[String], answers: &Answers) -> Result<Vec<u8>, String> {
        let decoded = FORMAT.decode(shares.join("\n").as_bytes(), answers);
        let decoded = decoded.map_err(|error| error.to_string())?;
        Ok(decoded.value.expose().to_vec())
    }

    #[test]
    fn the_vectors_of_the_standard_hold() {
        type Vector = (String, Vec<String>, String, String);
        let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
        assert_eq!(vectors.len(), 45);
        for (about, shares, secret, _) in vectors {
            let decoded = decode(&shares, &answers(0, 0, "TREZOR"));
            if secret.is_empty() {
                assert!(decoded.is_err(), "{about}");
            } else {
                let secret = data_encoding::HEXLOWER.decode(secret.as_bytes()).unwrap();
                assert_eq!(decoded.as_deref(), Ok(secret.as_slice()), "{about}");
            }
        }
    }

    #[test]
    fn other_lengths_and_numbers_are_refused() {
        for len in [0, 14, 15, 17, 33, 65, 66] {
            let error = encode(&vec![7; len], &answers(2, 3, ""))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("from 16 to 64") && error.ends_with(&format!("has {len}")),
                "{error}"
            );
        }
        for (threshold, shares) in [(0, 0), (0, 3), (4, 3), (2, 17), (1, 2)] {
            assert!(encode(&[7; 16], &answers(threshold, shares, "")).is_err());
        }
        assert!(encode(&[7; 16], &answers(1, 1, "")).is_ok());
        assert!(encode(&[7; 16], &Answers::default()).is_err());
        assert!(encode(&[7; 16], &answers(2, 3, "é")).is_err());
    }

    #[test]
    fn each_share_is_checked_and_the_wrong_one_named() {
        let mut shares = encode(&[7; 16], &answers(2, 3, "")).unwrap();
        let other = encode(&[7; 16], &answers(2, 3, "")).unwrap().remove(0);
        let wrong = |shares: &[String], part: &str| {
            let error = decode(shares, &Answers::default()).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        wrong(&[shares[0].clone()], "1 more of 2 shares");
        wrong(
            &[shares[0].clone(), shares[0].clone()],
            "1 more of 2 shares",
        );
        wrong(
            &[shares[0].clone(), other],
            "share 2: the share belongs to another secret",
        );
        shares[1].push_str(" academic");
        wrong(&shares, "share 2");
        wrong(&[], "all shares");
        wrong(&["academic ".repeat(20)], "checksum");
        wrong(&["secretly ".repeat(20)], "word 1 ");
        let costly = Share {
            scheme: Scheme {
                identifier: 1,
                extendable: true,
                exponent: MAX_EXPONENT + 1,
                group_threshold: 1,
                groups: 1,
            },
            group: 0,
            member: 0,
            threshold: 1,
            value: Zeroizing::new(vec![0; 16]),
        };
        wrong(&[costly.words().to_string()], "0 to 10 are allowed");
    }

    /// Types what it has, one at a time, and keeps the questions.
    struct Typing {
        shares: RefCell<Vec<String>>,
        questions: RefCell<Vec<String>>,
        answers: Answers,
    }

    impl Ask for Typing {
        fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
            self.answers.passphrase()
        }

        fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
            self.answers.new_passphrase()
        }

        fn share(&self, missing: &str) -> Result<Zeroizing<String>, FormatError> {
            self.questions.borrow_mut().push(missing.to_owned());
            Ok(Zeroizing::new(self.shares.borrow_mut().remove(0)))
        }

        fn choices(&self) -> &Choices {
            &self.answers.choices
        }
    }

    #[test]
    fn shares_are_asked_for_until_there_are_enough() {
        let mut shares = encode(&[9; 20], &answers(3, 5, "")).unwrap();
        let first = shares.remove(3);
        shares.insert(0, "mistyped".into());
        let typing = Typing {
            shares: RefCell::new(shares),
            questions: RefCell::default(),
            answers: Answers::default(),
        };
        let decoded = FORMAT.decode(first.as_bytes(), &typing).unwrap();
        assert_eq!(decoded.value.expose(), [9; 20]);
        let questions = typing.questions.into_inner();
        assert_eq!(questions.len(), 3);
        assert_eq!(questions[0], "2 more of 3 shares");
        assert!(questions[1].contains("word 1") && questions[1].ends_with("2 more of 3 shares"));
        assert_eq!(questions[2], "1 more of 3 shares");
    }

    #[test]
    fn another_passphrase_gives_another_secret() {
        let shares = encode(&[9; 16], &answers(2, 2, "right")).unwrap();
        assert_eq!(decode(&shares, &answers(0, 0, "right")).unwrap(), [9; 16]);
        assert_ne!(decode(&shares, &answers(0, 0, "wrong")).unwrap(), [9; 16]);
        assert_ne!(decode(&shares, &Answers::default()).unwrap(), [9; 16]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_round_trip_gives_the_same_value(
            value in proptest::collection::vec(any::<[u8; 2]>(), 8..=32),
            threshold in 2_u8..=5,
            more in 0_u8..=3,
        ) {
            let value = value.concat();
            let mut shares = encode(&value, &answers(threshold, threshold + more, "")).unwrap();
            prop_assert_eq!(shares.len(), usize::from(threshold + more));
            shares.reverse();
            shares.truncate(usize::from(threshold));
            prop_assert_eq!(decode(&shares, &Answers::default()).unwrap(), value);
        }
    }
}
