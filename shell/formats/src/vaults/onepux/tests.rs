use std::io::{self, Cursor, Read as _};

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::secret::SecretBytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::format::{FormatError, Source};
use crate::model::item::{FAVOURITE, Item};
use crate::model::record::{Record, field};
use crate::registry::{Detected, detect};
use crate::testing::{Answers, read_file, zip};

/// A zip of half a MiB that comes to more than 512.
fn bomb() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    zip.start_file("export.data", options).unwrap();
    io::copy(&mut io::repeat(b' ').take(513 << 20), &mut zip).unwrap();
    zip.finish().unwrap().into_inner()
}

fn export(data: &Value, files: &[(&str, &[u8])]) -> Vec<u8> {
    let data = data.to_string();
    let attributes = r#"{"version":3,"description":"1Password Unencrypted Export","createdAt":1}"#;
    let mut entries: Vec<(&str, &[u8])> = vec![
        ("export.attributes", attributes.as_bytes()),
        ("export.data", data.as_bytes()),
    ];
    entries.extend(files);
    zip(&entries)
}

/// A vault of one account with these items.
fn vault(items: Value) -> Value {
    json!({"accounts": [{
        "attrs": {"accountName": "Anna", "name": "Anna", "avatar": "", "email": "a@x.example"},
        "vaults": [{"attrs": {"name": "Personal", "desc": "", "type": "P"}, "items": items}],
    }]})
}

fn source(bytes: &[u8]) -> Source {
    Source::memory(SecretBytes::from(bytes), "")
}

fn read(bytes: &[u8]) -> Result<(Vec<Item>, Vec<String>), FormatError> {
    read_file(&FORMAT, bytes)
}

#[track_caller]
fn one(item: Value) -> (Item, Record) {
    let (mut items, losses) = read(&export(&vault(json!([item])), &[])).unwrap();
    assert_eq!((items.len(), losses.len()), (1, 0));
    let item = items.remove(0);
    let record = item.as_record().unwrap();
    (item, record)
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let error = read(bytes).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

fn login() -> Value {
    json!({
        "uuid": "fkruyzrldvizuqlnavfj3gltfe", "favIndex": 1, "createdAt": 1_614_298_956_u64,
        "updatedAt": 1_635_346_445_u64, "state": "active", "categoryUuid": "001",
        "details": {
            "loginFields": [
                {"value": "anna", "id": "u", "name": "login", "fieldType": "T", "designation": "username"},
                {"value": "new", "id": "", "name": "password", "fieldType": "P", "designation": "password"},
                {"value": "", "id": "terms", "name": "terms", "fieldType": "C"},
                {"value": "✓", "id": "ok", "name": "policies", "fieldType": "C"},
            ],
            "notesPlain": "a note", "htmlForm": {"htmlMethod": "post"},
            "sections": [{"title": "Security", "name": "Section_x", "fields": [
                {"title": "PIN", "id": "CCEF", "value": {"concealed": "1234"}, "indexAtSource": 0, "guarded": false,
                 "multiline": false, "dontGenerate": false, "inputTraits": {
                    "keyboard": "default", "correction": "default", "capitalization": "default"}},
                {"title": "one-time password", "id": "TOTP_1", "value": {"totp": "JBSWY3DPEHPK3PXP"}, "guarded": true},
                {"title": "empty", "id": "e", "value": {"string": ""}},
            ]}],
            "passwordHistory": [{"value": "newer", "time": 1_500_000_000_u64}, {"value": "old", "time": 1_400_000_000_u64}],
        },
        "overview": {
            "subtitle": "anna", "title": "Shop", "url": "https://a.example", "ps": 100, "pbe": 86.1, "pgrng": true,
            "urls": [{"label": "website", "url": "https://a.example"}, {"label": "", "url": "https://b.example"}],
            "tags": ["one", "two"],
        },
    })
}

#[test]
fn a_login_comes_in_whole() {
    let (item, record) = one(login());
    assert_eq!(item.name, "Shop");
    assert_eq!(item.tags, ["one", "two", FAVOURITE]);
    assert!(item.losses.is_empty());
    let expected = [
        ("username", "anna"),
        ("password", "new"),
        ("policies", "✓"),
        ("url", "https://a.example"),
        ("url.2", "https://b.example"),
        ("PIN", "1234"),
        ("totp", "JBSWY3DPEHPK3PXP"),
        ("note", "a note"),
    ];
    let addresses = record.addresses();
    let fields = record.fields.iter().zip(&addresses);
    let fields: Vec<_> = fields.map(|(field, at)| (&**at, &*field.value)).collect();
    assert_eq!(fields, expected);
    let pin = record.at("PIN").unwrap();
    assert!(pin.hidden && pin.custom && pin.section.as_deref() == Some("Security"));
    let beside = json!({"1pux-id": "CCEF", "1pux-section": "Section_x"});
    assert_eq!(Value::Object(pin.other.clone()), beside);
    let totp = record.at("totp").unwrap();
    assert!(totp.hidden && !totp.custom && totp.other["1pux-guarded"] == true);
    assert_eq!(record.at("url").unwrap().other["1pux-label"], "website");
    let kept = json!({
        "uuid": "fkruyzrldvizuqlnavfj3gltfe", "createdAt": 1_614_298_956_u64,
        "details": {"htmlForm": {"htmlMethod": "post"}},
    });
    assert_eq!(Value::Object(record.kept(ONEPUX)), kept);

    let versions = item.versions.iter().map(|version| {
        let record = Record::decode(version.value.expose()).unwrap();
        let password = record.get(field::PASSWORD).unwrap().to_owned();
        (version.created_ms.unwrap() / 1000, password)
    });
    let expected = [
        (1_400_000_000, "old".into()),
        (1_500_000_000, "newer".into()),
        (1_635_346_445, "new".into()),
    ];
    assert_eq!(versions.collect::<Vec<_>>(), expected);
}

#[test]
fn every_kind_of_value_has_a_field() {
    let field =
        |id: &str, value: Value| json!({"title": format!("its {id}"), "id": id, "value": value});
    let item = json!({"categoryUuid": "004", "overview": {"title": "me"}, "details": {"sections": [{"fields": [
        field("firstname", json!({"string": "Anna"})),
        field("email", json!({"email": {"email_address": "a@x.example", "provider": "p"}})),
        field("e2", json!({"email": "b@x.example"})),
        field("defphone", json!({"phone": "1"})),
        field("birth", json!({"date": -86_400})),
        field("until", json!({"monthYear": 203_012})),
        field("sex", json!({"menu": "x"})),
        field("g", json!({"gender": "y"})),
        field("site", json!({"url": "https://a.example"})),
        field("address", json!({"address": {"street": "s", "city": "c", "country": "de", "zip": "1", "state": ""}})),
        field("a2", json!({"address": {"city": "d"}})),
        field("kind", json!({"creditCardType": "visa"})),
        field("no", json!({"creditCardNumber": "4111"})),
        field("see", json!({"reference": "abc"})),
        field("new", json!({"hologram": {"x": 1}})),
        field("two", json!({"string": "a", "date": 1})),
        field("bare", json!("text")),
        field("null", Value::Null),
    ]}]}});
    let (_, record) = one(item);
    assert_eq!(record.kind, "identity");
    let expected = [
        ("given", "Anna", None),
        ("email", "a@x.example", None),
        ("its e2", "b@x.example", Some("email")),
        ("phone", "1", None),
        ("its birth", "1969-12-31", Some("date")),
        ("its until", "2030-12", Some("month")),
        ("its sex", "x", None),
        ("its g", "y", None),
        ("its site", "https://a.example", Some("url")),
        ("city", "c", None),
        ("country", "de", None),
        ("streetAddress", "s", None),
        ("postalCode", "1", None),
        ("its a2 city", "d", None),
        ("its kind", "visa", None),
        ("its no", "4111", None),
        ("its see", "abc", Some("reference")),
        ("its new", r#"{"x":1}"#, Some("json")),
        ("its two", r#"{"date":1,"string":"a"}"#, Some("json")),
        ("its bare", "text", None),
    ];
    let fields = record.fields.iter();
    let fields: Vec<_> = fields
        .map(|field| (&*field.name, &*field.value, field.content.as_deref()))
        .collect();
    assert_eq!(fields, expected);
    assert_eq!(record.at("email").unwrap().other["1pux-provider"], "p");
    assert_eq!(record.at("its new").unwrap().other["1pux-type"], "hologram");
    let hidden = record.fields.iter().filter(|field| field.hidden);
    let hidden: Vec<_> = hidden.map(|field| &*field.name).collect();
    assert_eq!(hidden, ["its no", "its new", "its two"]);
}

#[test]
fn cards_passwords_and_keys_are_what_they_are_elsewhere() {
    let card = json!({"categoryUuid": "002", "details": {"sections": [{"fields": [
        {"id": "cardholder", "title": "cardholder name", "value": {"string": "Anna A"}},
        {"id": "type", "title": "type", "value": {"creditCardType": "visa"}},
        {"id": "ccnum", "title": "number", "value": {"creditCardNumber": "4111"}},
        {"id": "cvv", "title": "verification number", "value": {"concealed": "123"}},
        {"id": "expiry", "title": "expiry date", "value": {"monthYear": 203_012}},
    ]}]}});
    let (_, card) = one(card);
    let values = ["holder", "brand", "number", "code", "expiry"].map(|name| card.get(name));
    let expected = ["Anna A", "visa", "4111", "123", "2030-12"].map(Some);
    assert_eq!((&*card.kind, values), ("card", expected));
    assert!(card.at("number").unwrap().hidden && card.at("code").unwrap().hidden);

    let password = json!({"categoryUuid": "005", "details": {"password": "p", "passwordHistory": [{"value": "o"}]}});
    let (item, password) = one(password);
    assert_eq!(
        (&*password.kind, password.get("password")),
        ("password", Some("p"))
    );
    assert_eq!(item.versions.len(), 2);

    let key = json!({"categoryUuid": "114", "details": {"sections": [{"fields": [
        {"id": "private_key", "title": "private key", "value": {"sshKey": {"privateKey": "other form", "metadata": {
            "privateKey": "pem", "publicKey": "ssh-ed25519 A", "fingerprint": "SHA256:x", "keyType": "ed25519"}}}},
    ]}]}});
    let (_, key) = one(key);
    let values = ["private-key", "public-key", "fingerprint", "keyType"].map(|name| key.get(name));
    let expected = ["pem", "ssh-ed25519 A", "SHA256:x", "ed25519"].map(Some);
    assert_eq!((&*key.kind, values), ("ssh-key", expected));
    assert_eq!(key.fields.len(), 4);

    let (_, other) = one(json!({"categoryUuid": "999"}));
    assert_eq!(other.kind, "other");
    assert_eq!(other.kept(ONEPUX)["categoryUuid"], "999");
}

#[test]
fn notes_are_texts_and_what_nobody_understands_stays_beside_them() {
    let note = json!({"uuid": "u", "categoryUuid": "003", "details": {"notesPlain": "text", "sections": []},
        "overview": {"title": "Diary", "subtitle": "text"}, "state": "archived", "updatedAt": 5});
    let (items, _) = read(&export(&vault(json!([note])), &[])).unwrap();
    let item = &items[0];
    assert!(!item.is_record());
    assert_eq!(item.newest().unwrap().value.expose(), b"text");
    assert_eq!(item.newest().unwrap().created_ms, Some(5000));
    assert_eq!(item.tags, ["archived"]);
    let kept = rmpv::Value::Map(vec![("uuid".into(), "u".into())]);
    assert_eq!(item.kept[ONEPUX], kept);
}

#[test]
fn vaults_and_accounts_are_folders_where_there_are_several() {
    let item = |title: &str| json!({"overview": {"title": title}});
    let vault =
        |name: &str, items: Value| json!({"attrs": {"name": name, "desc": "d"}, "items": items});
    let account = |name: &str, vaults: Value| json!({"vaults": vaults, "attrs": {"name": name}});
    let names = |data: Value| {
        let (items, losses) = read(&export(&data, &[])).unwrap();
        let names: Vec<_> = items.into_iter().map(|item| item.name).collect();
        (names, losses)
    };
    let two = json!([
        vault("W/k", json!([item("a"), item("b")])),
        vault("", Value::Null),
        vault("P", json!([item("c")]))
    ]);
    let (found, losses) = names(json!({"accounts": [account("Anna", two.clone())]}));
    assert_eq!(found, ["W\u{2215}k/a", "W\u{2215}k/b", "P/c"]);
    let of = |name: &str| format!("{name}: the description of the vault");
    assert_eq!(losses, [of("W/k"), of("vault"), of("P")]);
    let ben = account("Ben", json!([vault("P", json!([item("c"), 7]))]));
    let (found, losses) =
        names(json!({"accounts": [account("Anna", two), account("", json!([])), ben]}));
    assert_eq!(found.last().unwrap(), "Ben/P/c");
    assert_eq!(losses.last().unwrap(), "Ben/P: an item that is none");
    // Older versions wrap items.
    let wrapped =
        json!({"accounts": [account("x", json!([vault("y", json!([{"item": item("a")}]))]))]});
    assert_eq!(names(wrapped).0, ["a"]);
}

#[test]
fn files_hang_on_their_items() {
    let field = |id: &str| json!({"title": id, "id": id, "value": {"file": {"fileName": format!("{id}.bin"), "documentId": id}}});
    let items = json!([
        {"categoryUuid": "006", "overview": {"title": "Doc"}, "details": {
            "documentAttributes": {"fileName": "../x.pdf", "documentId": "aaaa", "decryptedSize": 3},
            "sections": [{"fields": [field("bbbb"), field("cccc"), field("dddd"), field("")]}]}},
        {"item": {"overview": {"title": "Old"}}, "file": {"attrs": {"name": "y"}, "path": "eeee___y"}},
        {"overview": {"title": "Gone"}, "trashed": true},
        {"overview": {"title": "Gone too"}, "state": "trashed"},
    ]);
    let long = vec![0; (1 << 20) + 1];
    let files: [(&str, &[u8]); 6] = [
        ("files/aaaa__../../../x.pdf", b"one"),
        ("files/bbbb___bbbb.bin", &[0, 255]),
        ("files/cccc__cccc.bin", &long),
        ("files/eeee___y", b"y"),
        ("files/avatar.png", b"z"),
        ("files/", b""),
    ];
    let (items, losses) = read(&export(&vault(items), &files)).unwrap();
    let attached = |item: &Item| {
        let attachments = item.attachments.iter();
        let pairs = attachments.map(|one| (one.name.clone(), one.content.expose().to_vec()));
        pairs.collect::<Vec<_>>()
    };
    let expected = [
        ("../x.pdf".to_owned(), b"one".to_vec()),
        ("bbbb.bin".to_owned(), vec![0, 255]),
    ];
    // Sections come first.
    let mut found = attached(&items[0]);
    found.sort();
    assert_eq!(found, expected);
    let mut lost = items[0].losses.clone();
    lost.sort();
    let missing = |name: &str| format!("attachment `{name}`, which is not in the file");
    let expected = [
        missing(".bin"),
        "attachment `cccc.bin`: longer than 1 MiB".into(),
        missing("dddd.bin"),
    ];
    assert_eq!(lost, expected);
    assert_eq!(attached(&items[1]), [("y".to_owned(), b"y".to_vec())]);
    let gone = |name: &str| format!("{name}: it is in the trash");
    let left = "files/avatar.png: a file of no item that comes in".to_owned();
    assert_eq!(losses, [gone("Gone"), gone("Gone too"), left]);
}

#[test]
fn it_is_recognised_by_what_is_in_it() {
    let name = |bytes: &[u8]| detect(&source(bytes)).unwrap().name();
    assert_eq!(name(&export(&vault(json!([])), &[])), "1pux");
    assert_eq!(name(&zip(&[("data", b"x")])), "raw");
    assert_eq!(name(b"PK\x03\x04export.data"), "raw");
    // One that is too long is none of the others either: the error says what it is.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long");
    std::fs::write(&path, export(&vault(json!([])), &[])).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len((512 << 20) + 1).unwrap();
    let long = Source::path(&path);
    assert_eq!(detect(&long).unwrap().name(), "1pux");
    let error = FORMAT.read(&long, &Answers::default(), &mut |_| Ok(()));
    assert_eq!(
        error.unwrap_err().to_string(),
        "the file is too long: the limit is 512 MiB"
    );
    assert!(matches!(
        detect(&source(b"PK\x05\x06")),
        Ok(Detected::Other)
    ));
}

#[test]
fn bombs_and_other_malicious_files_are_refused() {
    let of = |data: &[u8]| zip(&[("export.data", data)]);
    refused(&bomb(), "longer than 512 MiB");
    let items = |data: &str| {
        of(vault(json!([{"x": 1}]))
            .to_string()
            .replace(r#"{"x":1}"#, data)
            .as_bytes())
    };
    let long = format!(r#"{{"x":"{}"}}"#, "a".repeat(17 << 20));
    refused(&items(&long), "one entry is longer than 16 MiB");
    refused(&items(&"[".repeat(1_000_000)), "expected structure");
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    refused(&items(&deep), "recursion limit");
    let mut invalid = vault(json!([{"overview": {"title": "anna"}}]))
        .to_string()
        .into_bytes();
    let at = invalid.windows(4).position(|part| part == b"anna").unwrap();
    invalid[at] = 0xff;
    refused(&of(&invalid), "expected structure");
    refused(&of(b"{"), "expected structure");
    refused(
        &of(br#"{"accounts":[{"vaults":[{"items":[],"items":[1]}]}]}"#),
        "duplicate field",
    );
    let vaults = format!(
        r#"{{"accounts":[{{"vaults":[{}{{}}]}}]}}"#,
        "{},".repeat(10_001)
    );
    refused(&of(vaults.as_bytes()), "too many vaults");
    refused(
        &of(format!(r#"{{"accounts":[{}{{}}]}}"#, "{},".repeat(10_001)).as_bytes()),
        "too many accounts",
    );
    refused(&zip(&[("other", b"x")]), "no export.data");
    refused(b"PK\x03\x04 no zip", "damaged");

    let whole = export(&vault(json!([login()])), &[]);
    for len in [0, 10, whole.len() / 2, whole.len() - 1] {
        assert!(read(&whole[..len]).is_err(), "{len}");
    }
    // The checksum says that a byte was changed.
    let stored = whole.len() / 2;
    let mut damaged = whole;
    damaged[stored] ^= 1;
    assert!(read(&damaged).is_err());

    // Two entries of one name: which of them is meant?
    let mut twice = zip(&[("export.data", b"{}"), ("export.dat2", b"{}")]);
    while let Some(at) = twice.windows(11).position(|part| part == b"export.dat2") {
        twice[at + 10] = b'a';
    }
    refused(&twice, "two entries of the same name");
}

#[test]
fn one_item_with_much_history_stays_small() {
    let history: Vec<_> = (1..=2000)
        .map(|time| json!({"value": format!("p{time}"), "time": time}))
        .collect();
    let (item, _) = one(
        json!({"categoryUuid": "005", "details": {"password": "p", "passwordHistory": history}}),
    );
    assert_eq!(item.versions.len(), 1001);
    assert_eq!(item.versions[999].created_ms, Some(2_000_000));
    assert_eq!(item.losses, ["1000 earlier passwords"]);
    let (item, _) = one(json!({"categoryUuid": "005", "details": {
        "password": "p", "notesPlain": "x".repeat(10 << 20), "passwordHistory": history}}));
    assert_eq!(
        (item.versions.len(), &*item.losses[0]),
        (4, "1997 earlier passwords")
    );
    let (item, _) =
        one(json!({"categoryUuid": "001", "details": {"passwordHistory": [{"value": "o"}, 7]}}));
    assert_eq!(item.losses, ["2 earlier passwords"]);
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "string",
        "concealed",
        "phone",
        "url",
        "menu",
        "email",
        "totp",
        "reference",
        "newer",
    ])
}

proptest! {
    #[test]
    fn every_value_of_an_item_is_imported(
        category in "00[1-9]|10[0-9]|11[0-5]|x",
        title in ".{0,20}",
        login in proptest::collection::vec((".{0,10}", ".{0,20}", any::<bool>()), 0..4),
        fields in proptest::collection::vec((".{0,10}", "[a-z]{0,8}", kind(), ".{0,20}"), 0..6),
        note in "(?s).{0,40}",
    ) {
        let login_fields: Vec<_> = login
            .iter()
            .map(|(name, value, is_user)| {
                let designation = if *is_user { "username" } else { "" };
                json!({"name": name, "value": value, "designation": designation})
            })
            .collect();
        let section_fields: Vec<_> = fields
            .iter()
            .map(|(title, id, kind, value)| json!({"title": title, "id": id, "value": {*kind: value}}))
            .collect();
        let item = json!({"categoryUuid": category, "overview": {"title": title}, "details": {
            "loginFields": login_fields, "sections": [{"fields": section_fields}], "notesPlain": note}});
        let (items, losses) = read(&export(&vault(json!([item])), &[])).unwrap();
        prop_assert!(losses.is_empty() && items.len() == 1 && items[0].losses.is_empty());
        let whole = items[0].as_record();
        let values: Vec<String> = match &whole {
            Some(record) => record.fields.iter().map(|field| field.value.clone()).collect(),
            None => vec![String::from_utf8(items[0].newest().unwrap().value.expose().to_vec()).unwrap()],
        };
        let given = login.iter().map(|(_, value, _)| value);
        for value in given.chain(fields.iter().map(|(.., value)| value)).chain([&note]) {
            prop_assert!(value.is_empty() || values.contains(value), "{value:?} of {values:?}");
        }
    }
}
