//! Against files as Bitwarden writes them; the sealed ones were made by another implementation (Python's `cryptography`
//! and `argon2-cffi`), since Bitwarden's own program seals nothing without an account.

use std::cell::Cell;

use keyshell_base::time::iso;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::{ENCRYPTED, FORMAT};
use crate::format::{Ask, Choices, FormatError, Incoming, Source, Written};
use crate::model::item::{Attachment, FAVOURITE, Item, ItemVersion, Loss, TEXT};
use crate::model::record::{Field, Record, field};
use crate::registry::{Detected, detect};
use crate::testing::{self, Answers, read, round_trip};

const PLAIN: &str = include_str!("../../../tests/vectors/bitwarden.json");
const SEALED: &str = include_str!("../../../tests/vectors/bitwarden-sealed.json");

fn items() -> Vec<Item> {
    read(&FORMAT, PLAIN.as_bytes()).unwrap()
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
        let record = Record::decode(version.value.expose()).unwrap();
        record.get(field::PASSWORD).unwrap().to_owned()
    });
    assert_eq!(passwords.collect::<Vec<_>>(), ["first", "second", "third"]);
    // Each from the end of the one before, the first from the beginning; the newest from the last change.
    let times = login
        .versions
        .iter()
        .map(|version| version.created_ms.map(iso));
    let times: Vec<_> = times.flatten().collect();
    let expected = [
        "2021-12-01T00:00:00.000Z",
        "2022-05-02T10:00:00.000Z",
        "2024-01-31T08:15:30.123Z",
    ];
    assert_eq!(times, expected);
    let record = login.as_record().unwrap();
    let urls: Vec<_> = record.all(field::URL).collect();
    assert_eq!(urls, ["https://example.com", "androidapp://com.example"]);
    assert!(
        record
            .get(super::schema::PASSKEY)
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
fn items_in_the_trash_are_losses() {
    let source = Source::memory(SecretBytes::from(PLAIN.as_bytes()), "");
    let detected = detect(&source).unwrap();
    assert!(matches!(detected, Detected::Vault(format) if format.name == "bitwarden"));
    let mut lost: Vec<Loss> = Vec::new();
    FORMAT
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
fn the_example_comes_back() {
    let (again, losses) = round_trip(&FORMAT, &items()).unwrap();
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(again, items());
}

/// Nothing of what Bitwarden wrote is missing in what we write, but ids of folders and what says nothing.
#[test]
fn an_import_is_exported_unchanged() {
    let ours = written(&items());
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
        assert!(ours.get("keyshell").is_none(), "{ours}");
        let keys = [
            "id",
            "organizationId",
            "creationDate",
            "revisionDate",
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

fn written(items: &[Item]) -> Value {
    let (written, _) = FORMAT.write(items, &Answers::default()).unwrap();
    let Written::File(bytes) = written else {
        panic!("it is a file");
    };
    serde_json::from_slice(bytes.expose()).unwrap()
}

fn read_items(items: Value) -> Vec<Item> {
    let document = json!({"encrypted": false, "folders": [], "items": items});
    read(&FORMAT, document.to_string().as_bytes()).unwrap()
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
        let items = read(&ENCRYPTED, file.to_string().as_bytes()).unwrap();
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
        let error = read(&ENCRYPTED, altered.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("altered"), "{error}");
        let mut other = file.clone();
        other["salt"] = "another".into();
        let error = read(&ENCRYPTED, other.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, FormatError::WrongPassphrase(_)), "{error}");
        let mut costly = file;
        costly["kdfIterations"] = 2_000_000_000_u32.into();
        let error = read(&ENCRYPTED, costly.to_string().as_bytes()).unwrap_err();
        assert!(
            matches!(error, FormatError::CostNotAllowed { .. }),
            "{error}"
        );
    }
    let theirs =
        br#"{"encrypted":true,"encKeyValidation_DO_NOT_EDIT":"2.a|b|c","folders":[],"items":[]}"#;
    let error = read(&ENCRYPTED, theirs).unwrap_err().to_string();
    assert!(
        error.contains("with a password or as plain JSON"),
        "{error}"
    );
}

#[test]
fn costs_are_checked_before_anything_is_computed() {
    let files: Value = serde_json::from_str(SEALED).unwrap();
    let refused = |kdf: &str, altered: &[(&str, Value)]| {
        let mut file = files[kdf].clone();
        for (key, value) in altered {
            file[key] = value.clone();
        }
        let error = read(&ENCRYPTED, file.to_string().as_bytes());
        error.unwrap_err().to_string()
    };
    let memory = |mebibytes: u32| ("kdfMemory", mebibytes.into());
    let passes = |passes: u32| ("kdfIterations", passes.into());
    let error = refused("argon2id", &[memory(1024), passes(17)]);
    assert!(error.contains("1 to 16 are allowed"), "{error}");
    let error = refused("argon2id", &[memory(64), passes(257)]);
    assert!(error.contains("1 to 256 are allowed"), "{error}");
    let error = refused("argon2id", &[memory(1025), passes(1)]);
    assert!(error.contains("1 to 1024 are allowed"), "{error}");
    let error = refused("argon2id", &[memory(0)]);
    assert!(error.contains("1 to 1024 are allowed"), "{error}");
    let error = refused("pbkdf2", &[passes(10_000_001)]);
    assert!(error.contains("1 to 10000000 are allowed"), "{error}");
    let error = refused("pbkdf2", &[("salt", "s".repeat(1025).into())]);
    assert!(
        error.contains("salt is too long: the limit is 1024"),
        "{error}"
    );
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
        let read = ENCRYPTED.read(&source, &ask, &mut |_| {
            items += 1;
            Ok(())
        });
        read.unwrap();
        assert!(items > 0);
    }
    assert_eq!(ask.0.get(), 1);
}

#[test]
fn default_members_are_not_kept() {
    let mut record = Record::new("login");
    record.push(field::USERNAME, "anna");
    record.push(field::PASSWORD, "new");
    let mut former = record.clone();
    former.set(field::PASSWORD, "old".into());
    let mut login = Item::record("Work/Site", &record, Some(2000));
    login
        .versions
        .splice(..0, Item::record("", &former, Some(1000)).versions);
    let note = Item::text("Note", "text", Some(3000));
    let document = written(&[login.clone(), note.clone()]);
    let first = &document["items"][0];
    assert_eq!(first["creationDate"], iso(1000));
    assert_eq!(first["revisionDate"], iso(2000));
    // Until when it was in use.
    let history = json!([{"lastUsedDate": iso(2000), "password": "old"}]);
    assert_eq!(first["passwordHistory"], history);
    assert_ne!(first["id"], document["items"][1]["id"]);
    assert!(!document.to_string().contains("keyshell"));
    let again = read(&FORMAT, document.to_string().as_bytes()).unwrap();
    assert_eq!(again, [login, note]);
}

#[test]
fn ids_and_dates_of_theirs_go_out_again() {
    let items = read_items(json!([
        {"id": "1f", "organizationId": "2f", "type": 1, "name": "a", "login": {"password": "p"},
         "creationDate": "2020-01-01T00:00:00.000Z", "revisionDate": "2021-01-01T00:00:00.000Z"},
        {"id": "3f", "type": 2, "name": "b", "notes": "text", "creationDate": "2020-01-01T00:00:00.000Z",
         "revisionDate": "2021-01-01T00:00:00.000Z", "novelty": [1]},
        {"id": "4f", "type": 2, "name": "c", "notes": "text", "novelty": "x".repeat(5000)},
    ]));
    // In the metadata of what has no fields, unless it is too much.
    assert_eq!(items[1].as_record(), None);
    assert!(items[1].kept.contains_key("bitwarden"));
    assert!(items[2].as_record().is_some() && items[2].kept.is_empty());
    let document = written(&items);
    for (number, id) in [(0, "1f"), (1, "3f"), (2, "4f")] {
        assert_eq!(document["items"][number]["id"], id);
    }
    for number in [0, 1] {
        let item = &document["items"][number];
        assert_eq!(item["creationDate"], "2020-01-01T00:00:00.000Z");
        assert_eq!(item["revisionDate"], "2021-01-01T00:00:00.000Z");
    }
    assert_eq!(document["items"][0]["organizationId"], "2f");
    assert_eq!(document["items"][1]["novelty"], json!([1]));
    let again = read(&FORMAT, document.to_string().as_bytes()).unwrap();
    assert_eq!(again, items);
}

#[test]
fn a_password_changed_here_ends_when_the_next_begins() {
    let mut item = items().remove(0);
    let mut record = item.as_record().unwrap();
    record.set(field::PASSWORD, "fourth".into());
    item.versions.push(ItemVersion {
        created_ms: Some(1_800_000_000_000),
        value: record.encode(),
    });
    let document = written(std::slice::from_ref(&item));
    let history = document["items"][0]["passwordHistory"]
        .as_array()
        .unwrap()
        .iter();
    let history: Vec<_> = history
        .map(|former| {
            (
                former["password"].as_str().unwrap(),
                former["lastUsedDate"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("third", &*iso(1_800_000_000_000)),
        ("second", "2023-05-02T10:00:00.000Z"),
        ("first", "2022-05-02T10:00:00.000Z"),
    ];
    assert_eq!(history, expected);
    let again = read(&FORMAT, document.to_string().as_bytes()).unwrap();
    assert_eq!(again, [item]);
}

#[test]
fn collections_are_tags_and_go_out_as_collections() {
    let document = json!({
        "encrypted": false,
        "collections": [
            {"id": "c1", "organizationId": "o", "name": "Team", "externalId": null},
            {"id": "c2", "organizationId": "o", "name": "Ops"},
        ],
        "items": [{"id": "i", "organizationId": "o", "type": 1, "name": "a", "login": {"password": "p"},
            "collectionIds": ["c2", "c1", "c3"]}],
    });
    let items = read(&FORMAT, document.to_string().as_bytes()).unwrap();
    assert_eq!(items[0].tags, ["Ops", "Team"]);
    let (_, losses) = FORMAT.write(&items, &Answers::default()).unwrap();
    assert_eq!(losses, []);
    let ours = written(&items);
    assert_eq!(ours["collections"], document["collections"]);
    assert_eq!(ours["items"][0]["collectionIds"], json!(["c2", "c1", "c3"]));
    let again = read(&FORMAT, ours.to_string().as_bytes()).unwrap();
    assert_eq!(again, items);
    // A tag that is gone, and one that never was a collection.
    let mut items = items;
    items[0].tags = vec!["Ops".into(), "mine".into()];
    let (_, losses) = FORMAT.write(&items, &Answers::default()).unwrap();
    assert_eq!(losses, [Loss::new("a", "the tag `mine`")]);
    assert_eq!(
        written(&items)["items"][0]["collectionIds"],
        json!(["c2", "c3"])
    );
}

#[test]
fn a_cards_expiry_goes_out_as_it_came() {
    let cards = [
        (json!({"expMonth": "4", "expYear": "2030"}), Some("2030-04")),
        (
            json!({"expMonth": "04", "expYear": "2030"}),
            Some("2030-04"),
        ),
        (json!({"expMonth": 4, "expYear": 2030}), Some("2030-04")),
        (json!({"expMonth": "12", "expYear": "30"}), None),
        (json!({"expMonth": "April", "expYear": "2030"}), None),
        (json!({"expYear": "2030"}), None),
        (
            json!({"expMonth": "4", "expYear": "2030", "novelty": {"x": 1}, "number": "1"}),
            Some("2030-04"),
        ),
    ];
    for (card, expiry) in cards {
        let items = read_items(json!([{"type": 3, "name": "c", "card": card}]));
        let record = items[0].as_record().unwrap();
        assert_eq!(record.get(field::EXPIRY), expiry, "{card}");
        assert_eq!(written(&items)["items"][0]["card"], card);
        // How it was written holds for that month alone.
        if expiry.is_some() {
            let mut record = record;
            record.set(field::EXPIRY, "2031-05".into());
            let items = [Item::record("c", &record, None)];
            let card = &written(&items)["items"][0]["card"];
            assert_eq!(
                (&card["expMonth"], &card["expYear"]),
                (&json!("5"), &json!("2031"))
            );
        }
    }
}

#[test]
fn changes_of_other_programs_take_precedence() {
    let items = [
        Item::plain("token", SecretBytes::from(b"mine".as_slice()), Some(1000)),
        Item::plain("bytes", SecretBytes::from([0, 255].as_slice()), Some(1000)),
    ];
    let mut document = written(&items);
    assert_eq!(document["items"][0]["login"]["password"], "mine");
    assert_eq!(document["items"][1]["login"]["password"], "AP8=");
    document["items"][0]["login"]["password"] = "theirs".into();
    document["items"][1]["login"]["username"] = "anna".into();
    let again = read(&FORMAT, document.to_string().as_bytes()).unwrap();
    let records: Vec<_> = again.iter().map(|item| item.as_record().unwrap()).collect();
    assert_eq!(records[0].get(field::PASSWORD), Some("theirs"));
    assert_eq!(records[1].get(field::USERNAME), Some("anna"));
    assert!(
        records
            .iter()
            .all(|record| record.kept("bitwarden").is_empty())
    );
}

/// A private key on P-256, as passkeys have it.
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgARu_0sCt20EpgVxb4Puq3Ga5VVLpuTY75ngvZlyq3X6hRANCAASmdk1xLsK0oOlhxIPp0d1ZuS0sT9nf6BZtSelhqvLBW0fOL33l_bXgsr_STUHjCLn8l6gcRJwe7OQvbQubZ1dY";

fn their_passkey() -> Value {
    json!({
        "credentialId": "7b6a8d5e-3c4f-4a1b-9e2d-0123456789ab", "keyType": "public-key", "keyAlgorithm": "ECDSA",
        "keyCurve": "P-256", "keyValue": KEY, "rpId": "example.com", "userHandle": "dXNlcg", "userName": "anna",
        "counter": "0", "rpName": "Example", "userDisplayName": "Anna", "discoverable": "true",
        "creationDate": "2024-01-31T08:15:30.123Z",
    })
}

fn read_passkey(passkey: &Value) -> Item {
    let login = json!({"fido2Credentials": [passkey]});
    read_items(json!([{"type": 1, "name": "a", "login": login}])).remove(0)
}

#[test]
fn passkeys_have_fidos_form_here() {
    let theirs = their_passkey();
    let item = read_passkey(&theirs);
    let record = item.as_record().unwrap();
    let ours: Value = serde_json::from_str(record.get(field::PASSKEY).unwrap()).unwrap();
    let expected = json!({
        "credentialId": "e2qNXjxPShueLQEjRWeJqw", "rpId": "example.com", "username": "anna",
        "userDisplayName": "Anna", "userHandle": "dXNlcg", "key": KEY,
    });
    assert_eq!(ours, expected);
    assert_eq!(
        written(&[item])["items"][0]["login"]["fido2Credentials"],
        json!([theirs])
    );
}

#[test]
fn passkeys_that_fidos_form_does_not_say_stay_as_they_are() {
    let altered = [
        ("keyCurve", json!("P-384")),
        ("counter", json!("7")),
        ("credentialId", json!("b64.AAEC")),
        ("userName", Value::Null),
        ("novelty", json!({"x": [1]})),
    ];
    for (key, value) in altered {
        let mut theirs = their_passkey();
        theirs[key] = value;
        let item = read_passkey(&theirs);
        assert!(
            item.as_record().unwrap().get(field::PASSKEY).is_some(),
            "{key}"
        );
        assert_eq!(
            written(&[item])["items"][0]["login"]["fido2Credentials"],
            json!([theirs])
        );
    }
    let odd = [
        ("keyValue", json!("AAAA")),
        ("credentialId", json!("cred")),
        (
            "credentialId",
            json!("7B6A8D5E-3c4f-4a1b-9e2d-0123456789ab"),
        ),
        ("credentialId", json!("b64.e2qNXjxPShueLQEjRWeJqw")),
        ("counter", Value::Null),
        ("userHandle", Value::Null),
        ("rpId", json!(7)),
    ];
    for (key, value) in odd {
        let mut theirs = their_passkey();
        theirs[key] = value;
        let item = read_passkey(&theirs);
        let record = item.as_record().unwrap();
        let bare = record.get(super::schema::PASSKEY).is_some();
        assert!(bare || key == "counter", "{key}");
        assert_eq!(
            written(&[item])["items"][0]["login"]["fido2Credentials"],
            json!([theirs]),
            "{key}"
        );
    }
}

#[test]
fn passkeys_of_others_go_out() {
    let mut record = Record::new("passkey");
    let mut passkey = json!({
        "credentialId": "AAEC", "rpId": "a.example", "username": "anna", "userDisplayName": "", "userHandle": "dQ",
        "key": KEY,
    });
    record.push(field::PASSKEY, passkey.to_string());
    let item = Item::record("a", &record, Some(1000));
    let (_, losses) = FORMAT
        .write(std::slice::from_ref(&item), &Answers::default())
        .unwrap();
    assert_eq!(losses, []);
    let document = written(std::slice::from_ref(&item));
    let theirs = &document["items"][0]["login"]["fido2Credentials"][0];
    assert_eq!(theirs["credentialId"], "b64.AAEC");
    assert_eq!(theirs["keyValue"], KEY);
    assert_eq!(theirs["counter"], "0");
    assert_eq!(theirs["creationDate"], iso(1000));
    let again = read(&FORMAT, document.to_string().as_bytes()).unwrap();
    assert_eq!(again, [item]);
    passkey["fido2Extensions"] = json!({"largeBlob": {}});
    record.set(field::PASSKEY, passkey.to_string());
    let item = Item::record("a", &record, Some(1000));
    let (again, losses) = round_trip(&FORMAT, std::slice::from_ref(&item)).unwrap();
    assert_eq!(losses, [Loss::new("a", "`fido2Extensions` of the passkey")]);
    assert_eq!(again, [item]);
}

/// Fields as formats of all kinds make them.
fn any_field() -> impl Strategy<Value = Field> {
    let agreed = vec![
        field::PASSKEY,
        super::schema::PASSKEY,
        field::PRIVATE_KEY,
        field::NUMBER,
        field::EXPIRY,
        "expMonth",
        "firstName",
        "novelty",
    ];
    let value = prop_oneof![
        any::<String>(),
        Just("2030-04".to_owned()),
        Just("4".to_owned()),
        Just(their_passkey().to_string()),
    ];
    let contents = vec!["bool", "date", "linked", "bitwarden-9"];
    testing::with_content(testing::any_field(agreed, value, ".{0,6}"), contents)
}

fn any_value() -> impl Strategy<Value = Item> {
    let kinds = vec![
        "login",
        "card",
        "note",
        "totp",
        "wifi",
        "identity",
        "ssh-key",
        "bitwarden-7",
    ];
    let record = testing::any_record(prop::sample::select(kinds), any_field());
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let kind = prop_oneof![
        Just(None),
        Just(Some(TEXT.to_owned())),
        Just(Some(crate::model::record::CONTENT_TYPE.to_owned())),
        "[a-z/]{1,5}".prop_map(Some),
    ];
    let bytes = prop_oneof![bytes, any::<String>().prop_map(String::into_bytes)];
    let plain = (bytes, kind).prop_map(|(bytes, content_type)| Item {
        content_type,
        ..Item::plain("", SecretBytes::new(bytes), None)
    });
    prop_oneof![record, plain]
}

fn any_item() -> impl Strategy<Value = Item> {
    let name = "([a-c\u{2215}]{1,2}/){0,2}[a-z\u{2215} é]{0,5}[a-z]";
    let times = prop::collection::vec(prop::option::weighted(0.9, 0..4_000_000_000_000_u64), 1..4);
    let passwords = prop::collection::vec(any::<String>(), 3);
    (name, any_value(), any::<bool>(), times, passwords).prop_map(
        |(name, mut item, is_favourite, times, passwords)| {
            item.name = name;
            if is_favourite {
                item.mark_favourite();
            }
            let newest = item.versions[0].value.clone();
            let record = item.as_record();
            let last = times.len() - 1;
            let versions = times.into_iter().zip(passwords).enumerate();
            let versions = versions.map(|(number, (created_ms, password))| {
                let value = match &record {
                    _ if number == last => newest.clone(),
                    Some(record) => {
                        let mut record = record.clone();
                        record.set(field::PASSWORD, password);
                        record.encode()
                    }
                    None => SecretBytes::from(password.as_bytes()),
                };
                ItemVersion { created_ms, value }
            });
            item.versions = versions.collect();
            item
        },
    )
}

/// Items of one name would be one item of ours.
fn numbered(mut items: Vec<Item>) -> Vec<Item> {
    items
        .iter_mut()
        .enumerate()
        .for_each(|(number, item)| item.name.push_str(&number.to_string()));
    items
}

proptest! {
    #[test]
    fn a_round_trip_gives_the_same_items(items in prop::collection::vec(any_item(), 0..4)) {
        let items = numbered(items);
        let (again, losses) = round_trip(&FORMAT, &items).unwrap();
        prop_assert_eq!(again.len(), items.len());
        for (again, item) in again.iter().zip(&items) {
            let lost = losses.iter().filter(|loss| loss.item == item.name);
            // Nothing but earlier versions has no place.
            let lost: Vec<_> = lost.map(|loss| loss.what.as_str()).collect();
            prop_assert!(lost.iter().all(|what| what.contains("earlier versions")), "{:?}", lost);
            if lost.is_empty() {
                prop_assert_eq!(again, item);
            } else {
                prop_assert!(item.versions.len() > 1);
                prop_assert_eq!(again.newest(), item.newest());
                prop_assert_eq!(&again.content_type, &item.content_type);
            }
        }
        // What came in once goes out the same.
        let again_out = written(&again);
        let in_again = read(&FORMAT, again_out.to_string().as_bytes()).unwrap();
        prop_assert_eq!(in_again, again);
    }

    #[test]
    fn passkeys_go_out_as_they_came(
        altered in prop::collection::vec((0_usize..13, prop::option::of(".{0,4}")), 0..3),
        id in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut theirs = their_passkey();
        let keys: Vec<String> = theirs.as_object().unwrap().keys().cloned().collect();
        theirs["credentialId"] = format!("b64.{}", data_encoding::BASE64URL_NOPAD.encode(&id)).into();
        for (key, value) in altered {
            theirs[&keys[key]] = value.into();
        }
        let item = read_passkey(&theirs);
        let document = written(std::slice::from_ref(&item));
        prop_assert_eq!(&document["items"][0]["login"]["fido2Credentials"][0], &theirs);
        let again = read(&FORMAT, document.to_string().as_bytes()).unwrap();
        prop_assert_eq!(again, [item]);
    }

    #[test]
    fn no_json_panics(text in r#"[\[\]{}:,"a-c0-1]{0,60}"#) {
        let around = format!(r#"{{"encrypted":false,"items":[{{"type":1,"login":{text}}}]}}"#);
        let _ = read(&FORMAT, around.as_bytes());
    }
}

#[test]
fn losses_are_listed() {
    let mut item = Item::text("x", "new", Some(2000));
    item.note = "beside".into();
    item.tags = vec![FAVOURITE.into(), "work".into()];
    item.versions
        .insert(0, Item::text("x", "old", Some(1000)).versions.remove(0));
    let content = SecretBytes::from([1].as_slice());
    item.attachments.push(Attachment {
        name: "film".into(),
        content,
    });
    let mut binary = Item::plain("y", SecretBytes::from(b"new".as_slice()), Some(2000));
    let old = SecretBytes::from([255].as_slice());
    binary
        .versions
        .splice(..0, Item::plain("y", old, Some(1000)).versions);
    let mut headed = Record::new("login");
    let mut field = Field::custom("PIN", "1", true);
    field.section = Some("App".into());
    headed.fields.push(field);
    let headed = Item::record("z", &headed, None);
    let (_, losses) = FORMAT
        .write(&[item, binary, headed], &Answers::default())
        .unwrap();
    let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
    let expected = [
        "x: the note beside its value",
        "x: the attachment `film`",
        "x: the tag `work`",
        "x: 1 earlier versions",
        "y: 1 earlier versions, which are binary",
        "z: the heading above the field `PIN`",
    ];
    assert_eq!(losses, expected);
    let note =
        json!([{"type": 2, "name": "n", "notes": "x", "passwordHistory": [{"password": "p"}]}]);
    assert_eq!(
        read_items(note)[0].losses,
        ["1 earlier values of hidden fields"]
    );
}

/// The items of a file with these entries.
fn entries(items: Value) -> Vec<Item> {
    let file = json!({"folders": [], "items": items});
    read(&FORMAT, file.to_string().as_bytes()).unwrap()
}

#[test]
fn documents_have_fields_and_go_out_as_they_came() {
    let given = json!([
        {"id": "1", "type": 6, "name": "Account", "notes": "branch", "bankAccount": {
            "bankName": "Savings", "nameOnAccount": "Ana", "accountType": "checking", "accountNumber": "0011",
            "routingNumber": "0222", "branchNumber": "3", "pin": "9071", "swiftCode": "EXAMXX00", "iban": "XX00",
            "bankContactPhone": "555"}},
        {"id": "2", "type": 7, "name": "Licence", "driversLicense": {
            "firstName": "Ana", "middleName": "B", "lastName": "Example", "dateOfBirth": "1991-02-03",
            "licenseNumber": "L-555", "issuingCountry": "XX", "issuingState": "YY", "issueDate": "2021-02-03",
            "expirationDate": "2031-02-03", "issuingAuthority": "DMV", "licenseClass": "B"}},
        {"id": "3", "type": 8, "name": "Passport", "fields": [{"name": "visa", "value": "V-1", "type": 0}], "passport": {
            "surname": "Example", "givenName": "Ana", "dateOfBirth": "1991-02-03", "sex": "F", "birthPlace": "Here",
            "nationality": "XX", "issuingCountry": "YY", "passportNumber": "P42", "passportType": "P",
            "nationalIdentificationNumber": "N1", "issuingAuthority": "Office", "issueDate": "2020-01-01",
            "expirationDate": "2030-01-01"}},
    ]);
    let items = entries(given.clone());
    let kinds: Vec<_> = items
        .iter()
        .map(|item| item.as_record().unwrap().kind)
        .collect();
    assert_eq!(kinds, ["bank-account", "drivers-license", "passport"]);
    for (item, given) in items.iter().zip(given.as_array().unwrap()) {
        assert!(item.losses.is_empty(), "{:?}", item.losses);
        let record = item.as_record().unwrap();
        let nested = ["bankAccount", "driversLicense", "passport"];
        let nested = nested
            .iter()
            .find_map(|member| given[*member].as_object())
            .unwrap();
        for (member, value) in nested {
            let value = value.as_str().unwrap();
            assert!(
                record.fields.iter().any(|field| field.value == value),
                "{member}"
            );
        }
    }
    let hidden = |number: usize| {
        let record = items[number].as_record().unwrap();
        let hidden = record.fields.into_iter().filter(|field| field.hidden);
        hidden.map(|field| field.name).collect::<Vec<_>>()
    };
    assert_eq!(hidden(0), ["number", "iban", "pin"]);
    assert_eq!(hidden(1), ["licenseNumber"]);
    assert_eq!(
        hidden(2),
        ["nationalIdentificationNumber", "passportNumber"]
    );
    let written: Value = serde_json::from_str(&testing::written(&FORMAT, &items)).unwrap();
    for (written, given) in written["items"]
        .as_array()
        .unwrap()
        .iter()
        .zip(given.as_array().unwrap())
    {
        for (key, value) in given.as_object().unwrap() {
            assert_eq!(&written[key], value, "{key}");
        }
    }
}

#[test]
fn content_of_unknown_kinds_is_listed_in_and_out() {
    let items = entries(json!([
        {"type": 9, "name": "later", "hologram": {"shape": "cube", "none": null}, "archivedDate": null},
        {"type": 1, "name": "site", "login": {"password": "p", "later": "x", "passwordRevisionDate": "2020-01-01"}},
        {"type": 2, "name": "note", "notes": "text", "secureNote": {"type": 0}, "later": [{"a": 1}]},
        {"type": 2, "name": "usual", "notes": "text", "secureNote": {"type": 0}, "reprompt": 1, "organizationId": "o"},
    ]));
    let losses: Vec<_> = items.iter().map(|item| item.losses.join(";")).collect();
    let has = |member: &str| {
        format!("the member `{member}`: it has no field, and only exports to bitwarden contain it")
    };
    assert_eq!(
        losses,
        [
            has("hologram"),
            has("login.later"),
            has("later"),
            String::new()
        ]
    );
    for (format, count) in [
        (&FORMAT, 0),
        (&crate::cxf::FORMAT, 3),
        (&crate::csv::CHROME, 3),
        (&crate::csv::BITWARDEN, 3),
    ] {
        let (_, losses) = format.write(&items, &Answers::default()).unwrap();
        let listed = losses
            .iter()
            .filter(|loss| loss.what.contains("has no field"))
            .count();
        assert_eq!(listed, count, "{}", format.name);
    }
}

#[test]
fn a_zip_with_attachments_is_read() {
    let data = json!({"encrypted": false, "folders": [], "items": [
        {"id": "a-1", "type": 1, "name": "site", "login": {"password": "p"},
         "attachments": [{"fileName": "scan.txt"}, {"fileName": "gone.txt"}]},
        {"id": "b-2", "type": 2, "name": "note", "notes": "text", "secureNote": {"type": 0}},
    ]});
    let data = data.to_string();
    let long = vec![0; (1 << 20) + 1];
    let zip = testing::zip(&[
        ("data.json", data.as_bytes()),
        ("attachments/a-1/scan.txt", b"one"),
        ("attachments/b-2/two.txt", b"two"),
        ("attachments/b-2/long.bin", &long),
        ("attachments/c-3/three.txt", b"three"),
    ]);
    let source = Source::memory(SecretBytes::new(zip), "");
    assert!(matches!(detect(&source), Ok(Detected::Vault(format)) if format.name == FORMAT.name));
    let (items, losses) = testing::read_all(&FORMAT, &source, &Answers::default()).unwrap();
    let files = |item: &Item| {
        item.attachments
            .iter()
            .map(|file| file.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (files(&items[0]), files(&items[1])),
        (vec!["scan.txt".into()], vec!["two.txt".into()])
    );
    assert_eq!(items[0].attachments[0].content.expose(), b"one");
    assert_eq!(
        items[0].losses,
        ["the attachment `gone.txt`, which is not in the file"]
    );
    assert_eq!(
        items[1].losses,
        ["attachment `long.bin`: longer than 1 MiB"]
    );
    assert_eq!(
        losses,
        ["attachments/c-3/three.txt: a file of no item that comes in"]
    );
    // Another zip with JSON of this name.
    let other = testing::zip(&[("data.json", b"{\"items\":[]}")]);
    let other = Source::memory(SecretBytes::new(other), "");
    assert!(matches!(detect(&other), Ok(Detected::Other)));
}

#[test]
fn empty_ids_of_collections_are_read() {
    let items = entries(
        json!([{"type": 2, "name": "n", "notes": "x", "secureNote": {"type": 0}, "collectionIds": [null]}]),
    );
    assert!(items[0].losses.is_empty());
    assert_eq!(items[0].newest().unwrap().value.expose(), b"x");
}
