//! Databases that Python wrote after the documentation of KDBX 3.1, and that pykeepass and keepassxc-cli open; key files.

use std::path::PathBuf;

use super::{DATABASE, key_file};
use crate::format::{Choices, FormatError, Source};
use crate::model::item::Item;
use crate::model::record::field;
use crate::testing::{Answers, read_all};

/// A vector.
fn path(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/kdbx");
    PathBuf::from(folder).join(name)
}

fn opened(
    name: &str,
    passphrase: Option<&'static str>,
    key_file: Option<&str>,
) -> Result<Vec<Item>, FormatError> {
    let choices = Choices {
        key_file: key_file.map(path),
        ..Choices::default()
    };
    let answers = Answers {
        passphrase,
        choices,
    };
    let (items, missing) = read_all(&DATABASE, &Source::path(&path(name)), &answers)?;
    assert!(missing.is_empty(), "{missing:?}");
    Ok(items)
}

#[track_caller]
fn assert_is_old(items: &[Item]) {
    let [item] = items else {
        panic!("one item");
    };
    assert_eq!((item.name.as_str(), &item.losses), ("Old", &Vec::new()));
    let record = item.as_record().unwrap();
    let fields = [
        (field::USERNAME, "ana"),
        (field::PASSWORD, "pässword"),
        ("PIN", "1234"),
        (field::NOTE, "a note"),
    ];
    for (name, value) in fields {
        assert_eq!(record.at(name).unwrap().value, value);
    }
    assert_eq!(item.versions[0].created_ms, Some(1_420_167_845_000));
    let files: Vec<_> = item
        .attachments
        .iter()
        .map(|file| (file.name.as_str(), file.content.expose()))
        .collect();
    let expected = [
        ("a.bin", &b"\x00\xffprotected"[..]),
        ("b.txt", b"compressed"),
    ];
    assert_eq!(files, expected);
}

#[test]
fn databases_of_kdbx_3_come_in() {
    for name in ["pw.kdbx", "plain.kdbx", "protected.kdbx", "twofish.kdbx"] {
        let items = opened(name, Some("demopass"), None);
        assert_is_old(&items.unwrap_or_else(|error| panic!("{name}: {error}")));
        let wrong = opened(name, Some("wrong"), None).unwrap_err();
        assert!(matches!(wrong, FormatError::WrongPassphrase(_)), "{wrong}");
    }
}

#[test]
fn a_database_of_kdbx_4_with_twofish_comes_in() {
    let items = opened("two4.kdbx", Some("demopass"), None).unwrap();
    assert_eq!(items[0].name, "Old");
    let record = items[0].as_record().unwrap();
    assert_eq!(record.get(field::PASSWORD), Some("pässword"));
}

#[test]
fn every_kind_of_key_file_opens_alone_and_with_a_passphrase() {
    for key in ["v1.key", "v2.keyx", "raw.key", "hex.key"] {
        let both = opened("both.kdbx", Some("demopass"), Some(key));
        assert_is_old(&both.unwrap_or_else(|error| panic!("{key}: {error}")));
        let alone = opened("key.kdbx", None, Some(key));
        assert_is_old(&alone.unwrap_or_else(|error| panic!("{key}: {error}")));
        // An empty answer is none.
        assert_is_old(&opened("key.kdbx", Some(""), Some(key)).unwrap());
    }
    assert_is_old(&opened("any.kdbx", Some("demopass"), Some("any.jpg")).unwrap());
    for (name, key) in [
        ("both.kdbx", None),
        ("both.kdbx", Some("any.jpg")),
        ("pw.kdbx", Some("v1.key")),
    ] {
        let error = opened(name, Some("demopass"), key).unwrap_err().to_string();
        assert!(error.contains("--key-file"), "{error}");
    }
    let missing = opened("both.kdbx", Some("demopass"), Some("nothing")).unwrap_err();
    assert!(matches!(missing, FormatError::Io { .. }), "{missing}");
}

#[test]
fn a_changed_byte_of_kdbx_3_is_noticed() {
    let file = std::fs::read(path("plain.kdbx")).unwrap();
    for at in (12..file.len()).step_by(7) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        let source = Source::memory(changed.as_slice().into(), "");
        let answers = Answers {
            passphrase: Some("demopass"),
            ..Answers::default()
        };
        let read = read_all(&DATABASE, &source, &answers);
        assert!(read.is_err(), "{at}");
    }
    for len in 0..file.len() {
        let cut = Source::memory(file[..len].into(), "");
        assert!(read_all(&DATABASE, &cut, &Answers::default()).is_err());
    }
    // The rounds that a file asks for are bounded.
    let mut costly = file;
    let at = costly
        .windows(3)
        .position(|part| part == [6, 8, 0])
        .unwrap();
    costly[at + 3 + 6] = 1;
    let source = Source::memory(costly.as_slice().into(), "");
    let error = read_all(&DATABASE, &source, &Answers::default()).unwrap_err();
    assert!(
        matches!(error, FormatError::CostNotAllowed { .. }),
        "{error}"
    );
}

#[test]
fn damaged_key_files_are_refused_and_others_are_hashed() {
    let xml = std::fs::read_to_string(path("v2.keyx")).unwrap();
    let key = key_file::key(xml.as_bytes()).unwrap();
    let with_mark = format!("\u{feff}{xml}");
    assert_eq!(key_file::key(with_mark.as_bytes()).unwrap(), key);
    for (from, to) in [
        ("Hash=\"", "Hash=\"00"),
        ("<Version>2", "<Version>3"),
        ("Data", "Date"),
        ("64", "65"),
    ] {
        assert!(xml.contains(from), "{from}");
        let changed = xml.replace(from, to);
        let error = key_file::key(changed.as_bytes()).unwrap_err();
        assert!(matches!(error, FormatError::Malformed(_)), "{error}");
    }
    // No key file in XML, and none of 32 bytes.
    let other = xml.replace("KeyFile", "Other");
    assert_ne!(key_file::key(other.as_bytes()).unwrap(), key);
    assert_ne!(
        key_file::key(&[7; 31]).unwrap(),
        key_file::key(&[7; 33]).unwrap()
    );
    assert_eq!(*key_file::key(&[7; 32]).unwrap(), [7; 32]);
    assert_eq!(*key_file::key(&b"0A".repeat(32)).unwrap(), [10; 32]);
}
