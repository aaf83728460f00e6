//! Uniformity of what is generated, with a fixed false-alarm rate.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use keyshell::generate::{self, Charset};
use rand::RngCore as _;
use rand::rngs::OsRng;

/// Draws of one test: so many that the least biased of the biased generators (10 characters, expected excess of the
/// statistic 366) cannot hide below the critical value (44) either.
const DRAWS: usize = 1_000_000;
/// The normal quantile of 1 - 1e-6: one false alarm in a million runs of each test.
const QUANTILE: f64 = 4.753_424;

/// Upper critical value of the chi-squared distribution, by Wilson and Hilferty's cube root (1931).
fn critical_value(degrees: f64) -> f64 {
    let part = 2.0 / (9.0 * degrees);
    degrees * (1.0 - part + QUANTILE * part.sqrt()).powi(3)
}

#[allow(clippy::cast_precision_loss)]
fn chi_squared(drawn: &[char], set: &[char]) -> f64 {
    let mut counts: BTreeMap<char, f64> = set.iter().map(|c| (*c, 0.0)).collect();
    for c in drawn {
        *counts.get_mut(c).unwrap() += 1.0;
    }
    let expected = drawn.len() as f64 / set.len() as f64;
    let terms = counts.values().map(|n| (n - expected).powi(2) / expected);
    terms.sum()
}

fn sets() -> [Charset; 4] {
    ["digits", "lower", "alnum", "printable"].map(|name| name.parse().unwrap())
}

#[test]
#[allow(clippy::cast_precision_loss)]
fn passwords_are_uniform_and_a_biased_generator_would_be_caught() {
    for set in sets() {
        let characters = set.characters();
        let critical = critical_value(characters.len() as f64 - 1.0);
        let mut drawn = Vec::new();
        while drawn.len() < DRAWS {
            let password = generate::password(1000, &set).unwrap();
            drawn.extend(std::str::from_utf8(password.expose()).unwrap().chars());
        }
        let statistic = chi_squared(&drawn, characters);
        let size = characters.len();
        assert!(statistic < critical, "{size}: {statistic} >= {critical}");

        let mut bytes = vec![0; DRAWS];
        OsRng.fill_bytes(&mut bytes);
        let biased: Vec<char> = bytes
            .iter()
            .map(|byte| *characters.get(usize::from(*byte) % size).unwrap())
            .collect();
        let statistic = chi_squared(&biased, characters);
        assert!(statistic > critical, "{size}: the biased one got through");
    }
}

#[test]
fn set_sizes_are_those_of_their_names() {
    let sizes = sets().map(|set| set.characters().len());
    assert_eq!(sizes, [10, 26, 62, 94]);
    let custom: Charset = "custom:aabbß".parse().unwrap();
    assert_eq!(custom.characters(), ['a', 'b', 'ß']);
    assert!("custom:a".parse::<Charset>().is_err());
    assert!((custom.entropy_bits(2) - 2.0 * 3f64.log2()).abs() < 1e-9);
}

#[test]
fn bits_have_the_length_asked_for_within_their_bounds() {
    assert_eq!(generate::bits(256).unwrap().len(), 32);
    assert_eq!(generate::bits(8).unwrap().len(), 1);
    assert_eq!(generate::bits(65_536).unwrap().len(), 8192);
    for wrong in [0, 7, 9, 65_544] {
        assert!(generate::bits(wrong).is_err(), "{wrong}");
    }
    assert_ne!(generate::bits(256).unwrap(), generate::bits(256).unwrap());
}

#[test]
fn passphrases_are_words_of_the_long_list() {
    let passphrase = generate::passphrase(8).unwrap();
    let text = std::str::from_utf8(passphrase.expose()).unwrap();
    // Four words of the list have a hyphen themselves, such as `yo-yo`.
    assert!(text.split('-').count() >= 8, "{text}");
    assert!((generate::passphrase_entropy_bits(8) - 8.0 * 7776f64.log2()).abs() < 1e-9);
    assert!(generate::passphrase(0).is_err());
    assert!(generate::passphrase(65).is_err());
}
