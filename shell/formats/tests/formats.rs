//! Formats: what goes out comes in again, and nothing else does.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::Write as _;

use keyshell_formats::item::Item;
use keyshell_formats::native::{Base64Value, SecretDocument, VAULT, VaultWriter, VersionDocument};
use keyshell_formats::source::Source;
use keyshell_formats::{
    self as formats, Ask, Choices, Detected, FormatError, Incoming, Portable, age_file,
};
use proptest::prelude::*;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

/// Formats that carry any value.
const ANY: [&str; 7] = ["raw", "hex", "base64", "base64url", "len", "len32", "json"];

struct Answers(Choices);

impl Ask for Answers {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        Ok(Zeroizing::new("passphrase".into()))
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn choices(&self) -> &Choices {
        &self.0
    }
}

fn answers() -> Answers {
    Answers(Choices::default())
}

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
            lost: Vec::new(),
        })
}

proptest! {
    #[test]
    fn values_survive_every_format(secret in portable()) {
        for format in ANY {
            let format = formats::named(format).unwrap();
            let Ok(encoded) = format.encode(&secret, &answers()) else {
                prop_assert!(format.name == "len" && secret.value.len() > 255);
                continue;
            };
            let decoded = format.decode(encoded.expose(), &answers()).unwrap();
            prop_assert_eq!(&decoded.value, &secret.value, "{}", format.name);
            if format.name == "json" {
                prop_assert_eq!(&decoded, &secret);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in &formats::ALL {
            let _ = format.decode(&bytes, &answers());
        }
        let source = Source::memory(SecretBytes::new(bytes), "");
        let _ = formats::detect(&source);
        for format in &formats::VAULTS {
            let _ = format.read(&source, &answers(), &mut |_| Ok(()));
        }
    }
}

fn decode(format: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let format = formats::named(format).unwrap();
    let decoded = format
        .decode(bytes, &answers())
        .map_err(|error| error.to_string())?;
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

fn secret() -> SecretDocument {
    let version = |version, value: &[u8]| VersionDocument {
        version,
        created_ms: 1000 + version,
        value: Base64Value(SecretBytes::from(value)),
    };
    SecretDocument {
        name: "a".into(),
        tags: vec!["t".into()],
        note: "n".into(),
        content_type: None,
        fields: [("x".to_owned(), "wA==".to_owned())].into(),
        versions: vec![version(1, b"1"), version(2, b"")],
    }
}

fn document(secrets: &[SecretDocument]) -> Source {
    let mut writer = VaultWriter::begin(Vec::new(), 5).unwrap();
    for secret in secrets {
        writer.secret(secret).unwrap();
    }
    Source::memory(SecretBytes::new(writer.finish().unwrap()), "")
}

fn read(source: &Source) -> Result<Vec<Item>, FormatError> {
    let mut items = Vec::new();
    VAULT.read(source, &answers(), &mut |incoming| {
        if let Incoming::Item(item) = incoming {
            items.push(*item);
        }
        Ok(())
    })?;
    Ok(items)
}

#[test]
fn vaults_come_back_whole_and_inconsistent_ones_do_not() {
    let source = document(&[secret()]);
    let detected = formats::detect(&source).unwrap();
    assert!(matches!(detected, Detected::Vault(format) if format.name == "keyshell"));
    let items = read(&source).unwrap();
    let item = items.first().unwrap();
    assert_eq!((item.name.as_str(), item.note.as_str()), ("a", "n"));
    let values: Vec<_> = item
        .versions
        .iter()
        .map(|version| version.value.expose())
        .collect();
    assert_eq!(values, [b"1".as_slice(), b""]);
    assert_eq!(item.kept.get("x"), Some(&rmpv::Value::Nil));
    assert!(read(&document(&[])).unwrap().is_empty());

    assert!(read(&document(&[secret(), secret()])).is_err());
    let mut gap = secret();
    gap.versions.remove(0);
    assert!(read(&document(&[gap])).is_err());
    let mut none = secret();
    none.versions.clear();
    assert!(read(&document(&[none])).is_err());
}

#[test]
fn age_files_open_with_their_passphrase_alone() {
    let content = SecretBytes::from(b"content".as_slice());
    let mut writer = age_file::writer(Vec::new(), "right").unwrap();
    writer.write_all(content.expose()).unwrap();
    let sealed = writer.finish().unwrap();
    assert!(age_file::is_sealed(&sealed) && age_file::is_under_passphrase(&sealed));
    let open = |sealed: &[u8], passphrase: &str| {
        let mut source = Source::memory(SecretBytes::from(sealed), "");
        source.open_with(Zeroizing::new(passphrase.to_owned()));
        source.bytes(1000)
    };
    assert_eq!(open(&sealed, "right").unwrap(), content);
    assert!(open(&sealed, "wrong").is_err());
    let mut damaged = sealed;
    *damaged.last_mut().unwrap() ^= 1;
    assert!(open(&damaged, "right").is_err());
}
