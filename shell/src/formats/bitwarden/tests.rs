//! Against files as Bitwarden writes them; the sealed ones were made by another implementation (Python's `cryptography`
//! and `argon2-cffi`), since Bitwarden's own program seals nothing without an account.

use std::cell::Cell;

use serde_json::Value;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::{Bitwarden, BitwardenSealed};
use crate::formats::item::{Item, Loss};
use crate::formats::record::field;
use crate::formats::source::Source;
use crate::formats::testing::{Answers, read, round_trip};
use crate::formats::{Ask, Choices, Detected, FormatError, Incoming, VaultFormat, Written, detect};

const PLAIN: &str = include_str!("../../../tests/vectors/bitwarden.json");
const SEALED: &str = include_str!("../../../tests/vectors/bitwarden-sealed.json");

fn items() -> Vec<Item> {
    read(&Bitwarden, PLAIN.as_bytes()).unwrap()
}

#[test]
fn all_kinds_are_read() {
    let items = items();
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    let site = "Work/Mail/Example\u{2215}Site";
    assert_eq!(names, [site, "Diary", "Bank/Card", "Me", "Key"]);
    let login = &items[0];
    assert!(login.is_favourite());
    let passwords = login.versions.iter().map(|version| {
        let record = crate::formats::record::Record::decode(version.value.expose()).unwrap();
        record.get(field::PASSWORD).unwrap().to_owned()
    });
    assert_eq!(passwords.collect::<Vec<_>>(), ["first", "second", "third"]);
    assert_eq!(login.versions[0].created_ms, Some(1_651_485_600_000));
    let record = login.as_record().unwrap();
    let urls: Vec<_> = record.all(field::URL).collect();
    assert_eq!(urls, ["https://example.com", "androidapp://com.example"]);
    assert!(
        record
            .get(super::PASSKEY)
            .unwrap()
            .contains("\"rpId\":\"example.com\"")
    );
    assert_eq!(record.at("PIN").unwrap().value, "1234");
    assert!(record.kept("bitwarden").contains_key("novelty"));
    assert!(items[1].as_record().is_none());
    let card = items[2].as_record().unwrap();
    assert_eq!(card.get(field::EXPIRY), Some("2030-06"));
    assert_eq!(card.get(field::HOLDER), Some("Anna A"));
    assert_eq!(
        items[3].as_record().unwrap().at("firstName").unwrap().value,
        "Anna"
    );
    assert!(
        items[4]
            .as_record()
            .unwrap()
            .get(field::PRIVATE_KEY)
            .is_some()
    );
}

#[test]
fn what_is_in_the_trash_is_listed() {
    let source = Source::memory(SecretBytes::from(PLAIN.as_bytes()), "");
    let detected = detect(&source).unwrap();
    assert!(matches!(detected, Detected::Vault(format) if format.name() == "bitwarden"));
    let mut lost: Vec<Loss> = Vec::new();
    Bitwarden
        .read(&source, &Answers::default(), &mut |incoming| {
            if let Incoming::Lost(loss) = incoming {
                lost.push(loss);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(lost[0].to_string(), "Thrown away: it is in the trash");
}

#[test]
fn what_goes_out_comes_in_again() {
    let (again, losses) = round_trip(&Bitwarden, &items()).unwrap();
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(again, items());
}

/// Nothing of what Bitwarden wrote is missing in what we write, but ids and what says nothing.
#[test]
fn what_came_in_goes_out_again() {
    let (written, _) = Bitwarden.write(&items(), &Answers::default()).unwrap();
    let Written::File(bytes) = written else {
        panic!("it is a file");
    };
    let ours: Value = serde_json::from_slice(bytes.expose()).unwrap();
    let theirs: Value = serde_json::from_str(PLAIN).unwrap();
    for (ours, theirs) in ours["items"]
        .as_array()
        .unwrap()
        .iter()
        .zip(theirs["items"].as_array().unwrap())
    {
        let same = |key: &str| {
            let bare = |value: &Value| without_nulls(value.clone());
            assert_eq!(bare(&ours[key]), bare(&theirs[key]), "{key}");
        };
        let keys = [
            "type",
            "name",
            "notes",
            "favorite",
            "reprompt",
            "login",
            "card",
            "identity",
            "sshKey",
            "passwordHistory",
            "novelty",
            "secureNote",
        ];
        for key in keys {
            same(key);
        }
        assert_eq!(
            ours["fields"].as_array().map(Vec::len),
            theirs["fields"].as_array().map(Vec::len)
        );
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                kept.map(|(key, value)| (key, without_nulls(value)))
                    .collect(),
            )
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[test]
fn sealed_files_open_with_their_password_alone() {
    let files: Value = serde_json::from_str(SEALED).unwrap();
    for kdf in ["pbkdf2", "argon2id"] {
        let file = files[kdf].clone();
        let items = read(&BitwardenSealed, file.to_string().as_bytes()).unwrap();
        assert_eq!(
            items[0].as_record().unwrap().get(field::PASSWORD),
            Some("inside")
        );
        let mut altered = file.clone();
        let data = altered["data"]
            .as_str()
            .unwrap()
            .replace("2.A", "2.B")
            .replace("2.a", "2.b");
        let (head, tail) = data.split_at(data.len() / 2);
        let swapped = if tail.starts_with('A') { "B" } else { "A" };
        altered["data"] = format!("{head}{swapped}{}", &tail[1..]).into();
        let error = read(&BitwardenSealed, altered.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("altered"), "{error}");
        let mut other = file.clone();
        other["salt"] = "another".into();
        let error = read(&BitwardenSealed, other.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("wrong password"), "{error}");
        let mut costly = file;
        costly["kdfIterations"] = 2_000_000_000_u32.into();
        let error = read(&BitwardenSealed, costly.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("reasonable"), "{error}");
    }
    let theirs =
        br#"{"encrypted":true,"encKeyValidation_DO_NOT_EDIT":"2.a|b|c","folders":[],"items":[]}"#;
    let error = read(&BitwardenSealed, theirs).unwrap_err().to_string();
    assert!(
        error.contains("with a password or as plain JSON"),
        "{error}"
    );
}

#[test]
fn what_opening_may_take_is_bounded_before_anything_is_computed() {
    let files: Value = serde_json::from_str(SEALED).unwrap();
    let refused = |kdf: &str, altered: &[(&str, Value)]| {
        let mut file = files[kdf].clone();
        for (key, value) in altered {
            file[key] = value.clone();
        }
        let error = read(&BitwardenSealed, file.to_string().as_bytes());
        error.unwrap_err().to_string()
    };
    let memory = |mebibytes: u32| ("kdfMemory", mebibytes.into());
    let passes = |passes: u32| ("kdfIterations", passes.into());
    let error = refused("argon2id", &[memory(1024), passes(17)]);
    assert!(error.contains("1 to 16 are reasonable"), "{error}");
    let error = refused("argon2id", &[memory(64), passes(257)]);
    assert!(error.contains("1 to 256 are reasonable"), "{error}");
    let error = refused("argon2id", &[memory(1025), passes(1)]);
    assert!(error.contains("1 to 1024 are reasonable"), "{error}");
    let error = refused("argon2id", &[memory(0)]);
    assert!(error.contains("1 to 1024 are reasonable"), "{error}");
    let error = refused("pbkdf2", &[passes(10_000_001)]);
    assert!(error.contains("1 to 10000000 are reasonable"), "{error}");
    let error = refused("pbkdf2", &[("salt", "s".repeat(1025).into())]);
    assert!(error.contains("salt is longer than 1024"), "{error}");
}

/// Says how often it was asked.
#[derive(Default)]
struct Counting(Cell<u32>, Answers);

impl Ask for Counting {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.0.set(self.0.get() + 1);
        self.1.passphrase()
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn choices(&self) -> &Choices {
        self.1.choices()
    }
}

#[test]
fn the_key_of_a_sealed_file_is_made_once() {
    let files: Value = serde_json::from_str(SEALED).unwrap();
    let bytes = files["pbkdf2"].to_string();
    let source = Source::memory(SecretBytes::from(bytes.as_bytes()), "");
    let ask = Counting::default();
    for _ in 0..2 {
        let mut items = 0;
        let read = BitwardenSealed.read(&source, &ask, &mut |_| {
            items += 1;
            Ok(())
        });
        read.unwrap();
        assert!(items > 0);
    }
    assert_eq!(ask.0.get(), 1);
}
