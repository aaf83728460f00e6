//! Formats: what goes out comes in again, and nothing else does.
#![allow(missing_docs, clippy::unwrap_used)]

use keyshell::formats::vault::{Base64Value, SecretDocument, VaultDocument, VersionDocument};
use keyshell::formats::{self, Detected, Portable, age_file};
use proptest::prelude::*;
use shared::secret::SecretBytes;

fn portable() -> impl Strategy<Value = Portable> {
    (
        proptest::option::of(".{1,20}"),
        proptest::collection::vec(".{0,10}", 0..3),
        ".{0,50}",
        proptest::option::of("[a-z/]{1,20}"),
        proptest::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(|(name, tags, note, content_type, value)| Portable {
            name,
            tags,
            note,
            content_type,
            value: SecretBytes::new(value),
        })
}

proptest! {
    #[test]
    fn values_survive_every_format(secret in portable()) {
        for format in formats::ALL {
            let Ok(encoded) = format.encode(&secret) else {
                prop_assert!(format.name() == "len" && secret.value.len() > 255);
                continue;
            };
            let decoded = format.decode(encoded.expose()).unwrap();
            prop_assert_eq!(&decoded.value, &secret.value, "{}", format.name());
            if format.name() == "json" {
                prop_assert_eq!(&decoded, &secret);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in formats::ALL {
            let _ = format.decode(&bytes);
        }
        let _ = formats::detect(&bytes);
        let _ = VaultDocument::decode(&bytes);
        let _ = age_file::open(&bytes, "passphrase");
    }
}

fn decode(format: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let format = formats::named(format).unwrap();
    let decoded = format.decode(bytes).map_err(|error| error.to_string())?;
    Ok(decoded.value.expose().to_vec())
}

#[test]
fn decoders_take_what_their_format_says_and_nothing_else() {
    assert_eq!(decode("hex", b" 00fF\n"), Ok(vec![0, 255]));
    assert_eq!(decode("base64", b"AP8=\n"), Ok(vec![0, 255]));
    assert_eq!(decode("base64url", b"AP8"), Ok(vec![0, 255]));
    assert_eq!(decode("len", b"\x02ab"), Ok(b"ab".to_vec()));
    assert_eq!(decode("len32", b"\0\0\0\x02ab"), Ok(b"ab".to_vec()));
    for (format, bytes) in [
        ("hex", b"0".as_slice()),
        ("hex", b"0g"),
        ("base64", b"AP8"),
        ("base64", b"AP9="),
        ("base64url", b"AP8="),
        ("len", b""),
        ("len", b"\x02a"),
        ("len", b"\x02abc"),
        ("len32", b"\0\0\x02ab"),
        ("json", b"{}"),
    ] {
        assert!(decode(format, bytes).is_err(), "{format}: {bytes:?}");
    }
}

#[test]
fn a_newer_version_is_named() {
    let newer = br#"{"format":"keyshell-secret","version":2,"value":"","more":1}"#;
    let error = decode("json", newer).unwrap_err();
    assert!(error.contains("version 2"), "{error}");
}

fn vault() -> VaultDocument {
    let version = |version, value: &[u8]| VersionDocument {
        version,
        created_ms: 1000 + version,
        value: Base64Value(SecretBytes::from(value)),
    };
    let secret = SecretDocument {
        name: "a".into(),
        tags: vec!["t".into()],
        note: "n".into(),
        content_type: None,
        fields: [("x".to_owned(), "wA==".to_owned())].into(),
        versions: vec![version(1, b"1"), version(2, b"")],
    };
    VaultDocument::new(5, vec![secret])
}

#[test]
fn vaults_come_back_whole_and_inconsistent_ones_do_not() {
    let document = vault();
    let bytes = document.encode().unwrap();
    assert_eq!(formats::detect(bytes.expose()), Detected::Vault);
    assert_eq!(VaultDocument::decode(bytes.expose()).unwrap(), document);

    let mut twice = document.clone();
    twice.secrets.extend(document.secrets.clone());
    assert!(VaultDocument::decode(twice.encode().unwrap().expose()).is_err());
    let mut gap = document.clone();
    gap.secrets.first_mut().unwrap().versions.remove(0);
    assert!(VaultDocument::decode(gap.encode().unwrap().expose()).is_err());
    let mut none = document;
    none.secrets.first_mut().unwrap().versions.clear();
    assert!(VaultDocument::decode(none.encode().unwrap().expose()).is_err());
}

#[test]
fn age_files_open_with_their_passphrase_alone() {
    let content = SecretBytes::from(b"content".as_slice());
    let sealed = age_file::seal(&content, "right").unwrap();
    assert_eq!(formats::detect(&sealed), Detected::Age);
    assert_eq!(age_file::open(&sealed, "right").unwrap(), content);
    assert!(age_file::open(&sealed, "wrong").is_err());
    let mut damaged = sealed;
    *damaged.last_mut().unwrap() ^= 1;
    assert!(age_file::open(&damaged, "right").is_err());
}
