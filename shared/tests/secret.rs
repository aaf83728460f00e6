//! Secret containers, keys, ids and account names: lengths, comparison, redaction.
#![allow(clippy::unwrap_used)]

use shared::ids::{Digest, Seq, SessionId};
use shared::names::{AccountName, BadAccountName};
use shared::secret::{Key, SecretBytes};

#[test]
fn secret_bytes_compare_by_content_and_print_nothing() {
    let secret = SecretBytes::from(b"secret".as_slice());
    assert_eq!(secret, SecretBytes::new(b"secret".to_vec()));
    assert_eq!(secret, SecretBytes::from(b"secret".to_vec()));
    for other in [b"secreT".as_slice(), b"secre", b"secrets", b""] {
        assert_ne!(secret, SecretBytes::from(other));
    }
    assert_eq!((secret.len(), secret.is_empty()), (6, false));
    let empty = SecretBytes::default();
    assert_eq!((empty.len(), empty.is_empty()), (0, true));
    assert_eq!(format!("{secret:?}"), "[redacted]");
    let random = SecretBytes::random(32);
    assert_eq!(random.len(), 32);
    assert_ne!(random, SecretBytes::random(32));
    assert_ne!(random.expose(), [0; 32]);
}

#[test]
fn keys_have_32_bytes_and_print_nothing() {
    let key = Key::new([7; 32]);
    assert_eq!(key.expose(), &[7; 32]);
    assert_eq!(key.clone(), key);
    assert_eq!(Key::from_slice(&[7; 32]), Some(key.clone()));
    assert_eq!(Key::from_slice(&[7; 31]), None);
    assert_eq!(Key::from_slice(&[7; 33]), None);
    assert_ne!(key, Key::new([8; 32]));
    assert_ne!(Key::random(), Key::random());
    assert_eq!(format!("{key:?}"), "[redacted]");
}

#[test]
fn ids_are_hex_for_people() {
    let id = SessionId::new([0xab; 16]);
    let text = "ab".repeat(16);
    assert_eq!(id.to_string(), text);
    assert_eq!(format!("{id:?}"), format!("SessionId({text})"));
    assert_eq!(SessionId::from_hex(&text), Some(id));
    for bad in [&text.to_uppercase(), &text[1..], "", &format!("{text}ab")] {
        assert_eq!(SessionId::from_hex(bad), None, "{bad}");
    }
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
    assert_ne!(SessionId::random(), SessionId::random());
    assert_eq!(Seq(1).next(), Seq(2));
    assert_eq!(Seq(u64::MAX).next(), Seq(u64::MAX));
    // FIPS 180-4, SHA-256 of no bytes.
    assert!(Digest::of(b"").to_string().starts_with("e3b0c44298fc1c14"));
}

#[test]
fn account_names_are_short_and_normalised() {
    let long = "x".repeat(64);
    for good in ["a", "\u{e9}", &long] {
        let name = AccountName::parse(good).unwrap();
        assert_eq!((name.as_str(), name.to_string()), (good, good.to_owned()));
        assert_eq!(String::from(name.clone()), good);
        assert_eq!(format!("{name:?}"), "AccountName([redacted])");
    }
    let longer = "x".repeat(65);
    for bad in ["", &longer, "a b", "a\u{a0}b", "a\nb", "a\u{7f}b"] {
        assert_eq!(AccountName::parse(bad), Err(BadAccountName), "{bad:?}");
        let raw = AccountName::try_from(bad.to_owned());
        assert_eq!(raw, Err(BadAccountName), "{bad:?}");
    }
    // Decomposed: typed text is composed, text from the wire is refused.
    let decomposed = "e\u{301}";
    assert_eq!(AccountName::parse(decomposed).unwrap().as_str(), "\u{e9}");
    let raw = AccountName::try_from(decomposed.to_owned());
    assert_eq!(raw, Err(BadAccountName));
    // 64 bytes once composed, and too much text to compose at all.
    assert!(AccountName::parse(&decomposed.repeat(32)).is_ok());
    assert!(AccountName::parse(&decomposed.repeat(86)).is_err());
}
