use proptest::prelude::*;
use serde_json::{Map, Value, json};
use shared::secret::SecretBytes;

use super::FORMAT;
use crate::format::{Source, Written};
use crate::model::item::{Attachment, FAVOURITE, Item, ItemVersion, TEXT};
use crate::model::record::{Field, Record, field};
use crate::registry::{Detected, detect};
use crate::testing::{self, Answers, read, read_file, round_trip};
use crate::vaults::{bitwarden, csv};

/// The example of the standard's appendix A. Its RSA key is a shorter one here.
const APPENDIX_A: &str = include_str!("appendix-a.json");

fn appendix() -> Value {
    serde_json::from_str(APPENDIX_A).unwrap()
}

fn written(items: &[Item]) -> Value {
    let (written, _) = FORMAT.write(items, &Answers::default()).unwrap();
    let Written::File(bytes) = written else {
        panic!("a file");
    };
    serde_json::from_slice(bytes.expose()).unwrap()
}

fn document(items: Value, collections: Value) -> Vec<u8> {
    let document = json!({
        "version": {"major": 1, "minor": 0}, "exporterRpId": "x", "exporterDisplayName": "x", "timestamp": 1,
        "accounts": [{"id": "YQ", "username": "", "email": "", "collections": collections, "items": items}],
    });
    document.to_string().into_bytes()
}

fn by_id(document: &Value) -> Map<String, Value> {
    let items = document["accounts"][0]["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["id"].as_str().unwrap().to_owned(), item.clone()))
        .collect()
}

#[test]
fn the_example_of_the_standard_comes_in_and_goes_out_as_it_was() {
    let items = read(&FORMAT, APPENDIX_A.as_bytes()).unwrap();
    assert_eq!(items.len(), 14);
    let login = &items[0];
    assert_eq!(login.name, "Work Accounts/GitHub Login");
    assert_eq!(login.newest().unwrap().created_ms, Some(1_705_228_800_000));
    assert_eq!(login.tags, ["development", "git", "work"]);
    let record = login.as_record().unwrap();
    assert_eq!(record.get(field::PASSWORD), Some("securepassword123"));
    assert_eq!(record.get(field::URL), Some("https://github.com"));
    let totp = "otpauth://totp/Google:jane%2Esmith%40example%2Ecom?secret=JBSWY3DPEHPK3PXP&issuer=Google&algorithm=SHA256";
    assert_eq!(record.get(field::TOTP), Some(totp));
    let kinds: Vec<_> = items
        .iter()
        .map(|item| item.as_record().map(|record| record.kind))
        .collect();
    assert_eq!(kinds[1].as_deref(), Some("passkey"));
    assert_eq!(kinds[2].as_deref(), Some("card"));
    assert_eq!(kinds[13], None);
    assert_eq!(
        items[13].newest().unwrap().value.expose(),
        b"KozyS!cf#Nc9C799"
    );
    let key = items[7].as_record().unwrap();
    assert!(
        key.get(field::PRIVATE_KEY)
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----\n")
    );
    let subtitle =
        "the member `item.subtitle`: it has no field, and only exports to cxf contain it";
    let file = "the file `example-document.pdf`, which is not in the JSON";
    assert_eq!(items[8].losses, [file, subtitle]);
    assert_eq!(by_id(&written(&items)), by_id(&appendix()));
}

#[test]
fn a_changed_field_is_exported_and_the_rest_is_unchanged() {
    let mut items = read(&FORMAT, APPENDIX_A.as_bytes()).unwrap();
    let mut record = items[0].as_record().unwrap();
    record.set(field::PASSWORD, "new".into());
    record.push(field::NOTE, "mine");
    items[0].versions = Item::record("x", &record, Some(1_705_300_000_000)).versions;
    assert!(!String::from_utf8_lossy(record.encode().expose()).contains("securepassword123"));
    let mut expected = by_id(&appendix())["9OF-QjVDQo2Wp2xWPw6ZhA"].clone();
    expected["modifiedAt"] = json!(1_705_300_000);
    expected["credentials"][0]["password"]["value"] = json!("new");
    let note = json!({"type": "note", "content": {"fieldType": "string", "value": "mine"}});
    expected["credentials"].as_array_mut().unwrap().push(note);
    let document = written(&items);
    let mut again = by_id(&document)["9OF-QjVDQo2Wp2xWPw6ZhA"].clone();
    let ours = again.as_object_mut().unwrap().remove("extensions").unwrap();
    assert_eq!(ours.as_array().unwrap().len(), 1);
    assert_eq!(again, expected);
    let again = read(&FORMAT, document.to_string().as_bytes()).unwrap();
    assert_eq!(again[0], items[0]);
}

#[test]
fn unknown_members_are_exported_again() {
    let items = json!([{
        "id": "aWQ", "title": "a/b", "newer": [1, {"x": null}],
        "scope": {"urls": ["https://a.example"], "androidApps": [{"bundleId": "a.b"}]},
        "extensions": [{"name": "theirs", "data": 1}],
        "credentials": [
            {"type": "hologram", "depth": 3},
            {"type": "basic-auth", "username": "apple writes text", "password": {"fieldType": "string", "value": "p"}},
            {"type": "totp", "secret": "AAAA", "period": 30, "digits": 6, "algorithm": "steam"},
            {"type": "item-reference", "reference": {"item": "b3RoZXI"}},
            {"type": "ssh-key", "keyType": "ssh-ed25519", "privateKey": "bm9uZQ"},
            {"type": "custom-fields", "label": "More", "id": "Yw", "fields": [
                {"id": "ZA", "fieldType": "concealed-string", "value": "1", "label": "PIN"},
                {"fieldType": "hologram", "value": {"deep": 1}},
                {"fieldType": "date", "value": "2024-01-01"},
            ]},
            "not even an object",
        ],
    }]);
    let bytes = document(items.clone(), json!([]));
    let read = read(&FORMAT, &bytes).unwrap();
    assert_eq!(read[0].name, "a\u{2215}b");
    let record = read[0].as_record().unwrap();
    assert_eq!(record.get(field::USERNAME), Some("apple writes text"));
    let customs: Vec<_> = record
        .customs()
        .map(|field| (&*field.name, &*field.value, field.hidden))
        .collect();
    assert_eq!(customs, [("PIN", "1", true), ("", "2024-01-01", false)]);
    let again = &written(&read)["accounts"][0]["items"][0];
    let mut expected = items[0].clone();
    // The order of what nobody knows among what is known is not kept.
    let fields = expected["credentials"][5]["fields"].as_array_mut().unwrap();
    fields.swap(0, 1);
    assert_eq!(*again, expected);
}

#[test]
fn collections_are_folders() {
    let item = |id: &str, title: &str| {
        let password = json!({"type": "generated-password", "password": "p"});
        json!({"id": id, "title": title, "credentials": [password]})
    };
    let collections = json!([{
        "id": "YQ", "title": "Work", "items": [{"item": "MQ"}],
        "subCollections": [{"id": "Yg", "title": "Mail/IMAP", "items": [{"item": "Mg"}, {"item": "MQ"}]}],
    }]);
    let bytes = document(
        json!([item("MQ", "one"), item("Mg", "two"), item("Mw", "three")]),
        collections,
    );
    let items = read(&FORMAT, &bytes).unwrap();
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["Work/one", "Work/Mail\u{2215}IMAP/two", "three"]);
    assert_eq!(items[0].losses.len(), 1);
    let again = written(&items);
    let collections = &again["accounts"][0]["collections"];
    assert_eq!(collections[0]["title"], "Work");
    assert_eq!(collections[0]["subCollections"][0]["title"], "Mail/IMAP");
    let names: Vec<_> = read(&FORMAT, again.to_string().as_bytes()).unwrap();
    let names: Vec<_> = names.iter().map(|item| item.name.clone()).collect();
    assert_eq!(names, ["Work/one", "Work/Mail\u{2215}IMAP/two", "three"]);
}

#[test]
fn losses_are_listed() {
    let mut item = Item::text("x", "new", Some(2000));
    item.versions
        .insert(0, Item::text("x", "old", Some(1000)).versions.remove(0));
    let content = SecretBytes::from([1].as_slice());
    item.attachments.push(Attachment {
        name: "film".into(),
        content,
    });
    let (_, losses) = FORMAT.write(&[item], &Answers::default()).unwrap();
    let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
    assert_eq!(losses, ["x: 1 earlier version", "x: the attachment `film`"]);
}

#[test]
fn exact_copies_are_read_without_earlier_versions() {
    let mut record = Record::new("login");
    record.push(field::URL, "https://a.example");
    record.fields[0].other.insert("theirs".into(), json!(4));
    let mut item = Item::record("x", &record, Some(2000));
    let older = Item::record("x", &Record::new("login"), Some(1000));
    item.versions.splice(0..0, older.versions);
    let (again, losses) = round_trip(&FORMAT, std::slice::from_ref(&item)).unwrap();
    assert_eq!(losses.len(), 1);
    assert_eq!(again[0].as_record().unwrap(), record);
}

#[test]
fn it_is_known_by_its_content_and_bad_files_are_refused() {
    let source = Source::memory(SecretBytes::from(APPENDIX_A.as_bytes()), "");
    assert!(matches!(detect(&source).unwrap(), Detected::Vault(format) if format.name == "cxf"));
    let newer = APPENDIX_A.replace("\"major\": 1", "\"major\": 2");
    assert!(
        read(&FORMAT, newer.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("version 2")
    );
    let deep = format!(
        r#"{{"version":{{"major":1}},"accounts":[{}"#,
        "[".repeat(1_000_000)
    );
    for bad in [
        "{",
        r#"{"version":{"major":1},"accounts":[{"items":[7]}]}"#,
        "\u{0}",
        &deep,
    ] {
        assert!(read(&FORMAT, bad.as_bytes()).is_err());
    }
    let nested = r#"{"title":"x","items":[],"subCollections":["#.repeat(100_000);
    let nested = format!(r#"{{"version":{{"major":1}},"accounts":[{{"collections":[{nested}"#);
    assert!(read(&FORMAT, nested.as_bytes()).is_err());
}

#[test]
fn more_accounts_than_one_are_folders() {
    let account = |name: &str, id: &str| {
        let password = json!({"type": "generated-password", "password": "p"});
        json!({"id": id, "username": name, "items": [{"id": id, "title": "x", "credentials": [password]}]})
    };
    let document = json!({
        "version": {"major": 1}, "exporterRpId": "x", "accounts": [account("anna", "MQ"), account("ben", "Mg")],
    });
    let items = read(&FORMAT, document.to_string().as_bytes()).unwrap();
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["anna/x", "ben/x"]);
}

/// Fields as formats of all kinds make them.
fn any_field() -> impl Strategy<Value = Field> {
    let agreed = vec![
        field::PASSKEY,
        field::PRIVATE_KEY,
        field::NUMBER,
        field::EXPIRY,
        field::EMAIL,
        field::PHONE,
        "given",
        "firstName",
        "passportNumber",
        "territory",
    ];
    let value = prop_oneof![
        ".{0,20}",
        Just("JBSWY3DPEHPK3PXP".to_owned()),
        Just("otpauth://totp/A:b?secret=AA&issuer=A&digits=8".to_owned()),
        Just("otpauth://hotp/A:b?secret=AA".to_owned()),
        Just(r#"{"rpId":"a"}"#.to_owned()),
    ];
    let field = testing::any_field(agreed, value, ".{0,8}");
    let field = testing::with_content(field, vec!["bool", "date", "linked", "x"]);
    (field, prop::option::of("[a-b]{0,1}")).prop_map(|(mut field, section)| {
        field.section = section.filter(|_| field.custom);
        field
    })
}

fn any_item() -> impl Strategy<Value = Item> {
    let name = "([a-c]{1,3}/){0,2}[a-z∕ é\"]{1,6}";
    let kind = prop::sample::select(vec![
        "login", "card", "note", "totp", "wifi", "identity", "robot",
    ]);
    let record = testing::any_record(kind, any_field());
    let plain = prop::collection::vec(any::<u8>(), 0..40)
        .prop_map(|bytes| Item::plain("", SecretBytes::new(bytes), None));
    let text = (".{0,30}", prop::option::of(".{0,5}")).prop_map(|(text, kind)| Item {
        content_type: kind.or_else(|| Some(TEXT.into())),
        ..Item::text("", &text, None)
    });
    let value = prop_oneof![3 => record, 1 => plain, 1 => text];
    let tags = prop::collection::btree_set("[a-d]{1,2}|favourite", 0..3);
    (
        name,
        value,
        tags,
        ".{0,3}",
        prop::option::of(0..1_000_000_000_u64),
    )
        .prop_map(|(name, mut item, tags, note, seconds)| {
            item.name = name;
            item.tags = tags.into_iter().collect();
            item.note = note;
            let version: &mut ItemVersion = &mut item.versions[0];
            version.created_ms = seconds.map(|seconds| seconds * 1000);
            item
        })
}

/// The tag of favourites has a place of its own.
fn sorted(mut items: Vec<Item>) -> Vec<Item> {
    for item in &mut items {
        item.tags.sort();
        assert!(item.tags.iter().filter(|tag| *tag == FAVOURITE).count() < 2);
    }
    items
}

proptest! {
    #[test]
    fn a_round_trip_gives_the_same_items(items in prop::collection::vec(any_item(), 0..4)) {
        // Items of one name would be one item of theirs.
        let mut items = items;
        items.iter_mut().enumerate().for_each(|(number, item)| item.name.push_str(&number.to_string()));
        let (again, losses) = round_trip(&FORMAT, &items).unwrap();
        prop_assert_eq!(losses, Vec::new());
        prop_assert_eq!(sorted(again), sorted(items));
    }

    #[test]
    fn no_json_panics(text in r#"[\[\]{}:,"a-c0-1]{0,60}"#) {
        let around = format!(r#"{{"version":{{"major":1}},"accounts":[{{"items":[{{"credentials":{text}}}]}}]}}"#);
        let _ = read(&FORMAT, around.as_bytes());
    }
}

#[test]
fn losses_of_accounts_and_collections_are_listed() {
    let (items, lost) = read_file(&FORMAT, APPENDIX_A.as_bytes()).unwrap();
    let expected = [
        "jane_smith: the account's `fullName`",
        "Work Accounts: the subtitle of the collection",
    ];
    assert_eq!(lost, expected);
    let lost: usize = items.iter().map(|item| item.losses.len()).sum();
    assert_eq!(
        lost, 15,
        "14 subtitles, and the file that is not in the JSON"
    );
    let empty = json!([{"id": "c", "title": "Empty", "items": []}]);
    let (_, lost) = read_file(&FORMAT, &document(json!([]), empty)).unwrap();
    assert_eq!(lost, ["Empty: the collection, which has nothing in it"]);
}

#[test]
fn credentials_of_unknown_types_are_listed_in_and_out() {
    let future = json!([{"id": "a", "title": "Future", "creationAt": 1, "modifiedAt": 1, "credentials": [
        {"type": "hologram", "shape": {"fieldType": "string", "value": "cube"}},
        {"type": "basic-auth", "username": {"fieldType": "string", "value": "anna"}, "colour": "blue"},
    ]}]);
    let (items, _) = read_file(&FORMAT, &document(future, json!([]))).unwrap();
    let listed = |losses: &[String]| {
        let has = |kind| {
            losses
                .iter()
                .any(|loss| loss.contains(&format!("type `{kind}`")))
        };
        [has("hologram"), has("basic-auth")]
    };
    assert_eq!(listed(&items[0].losses), [true, true]);
    for (format, seen) in [
        (&FORMAT, false),
        (&bitwarden::FORMAT, true),
        (&csv::CHROME, true),
    ] {
        let (_, losses) = format.write(&items, &Answers::default()).unwrap();
        let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
        assert_eq!(listed(&losses), [seen, seen], "{}", format.name);
    }
}

#[test]
fn members_that_would_not_go_out_as_they_came_are_listed() {
    let odd = json!([{
        "id": "AA", "title": "t", "creationAt": 1_700_000_000, "modifiedAt": 1_700_000_000.5, "tags": ["a", 7],
        "scope": {"urls": ["https://a", "", 5], "androidApps": []},
        "credentials": [{"type": "basic-auth", "username": {"fieldType": "string", "value": "u"}}],
    }]);
    let (items, _) = read_file(&FORMAT, &document(odd, json!([]))).unwrap();
    assert_eq!(
        items[0].newest().unwrap().created_ms,
        Some(1_700_000_000_500)
    );
    let named = |key: &str| format!("`{key}` as the file has it: not all of it has a place here");
    assert_eq!(items[0].losses, ["modifiedAt", "scope", "tags"].map(named));

    // What says nothing is no loss, and goes out again.
    let usual = json!([{
        "id": "AA", "title": "t", "creationAt": 1_700_000_000, "modifiedAt": 1_700_000_000, "tags": [], "favorite": false,
        "scope": {"urls": [], "androidApps": []}, "credentials": [{"type": "totp", "secret": "AAAA", "period": 30,
        "digits": 6, "algorithm": "sha1"}],
    }]);
    let (items, _) = read_file(&FORMAT, &document(usual.clone(), json!([]))).unwrap();
    assert_eq!(items[0].losses, [""; 0]);
    assert_eq!(written(&items)["accounts"][0]["items"], usual);
}

#[test]
fn a_file_without_a_version_is_refused() {
    let error = read(&FORMAT, br#"{"accounts":[],"exporterRpId":"x"}"#).unwrap_err();
    assert!(
        error.to_string().contains("does not state its version"),
        "{error}"
    );
}

#[test]
fn accounts_may_have_items_of_one_id() {
    let account = |name: &str| {
        let password = json!({"type": "generated-password", "password": name});
        json!({
            "id": name, "username": name, "items": [{"id": "MQ", "title": "x", "credentials": [password]}],
            "collections": [{"id": "c", "title": format!("of {name}"), "items": [{"item": "MQ"}]}],
        })
    };
    let mut ben = account("ben");
    ben["collections"][0]["items"] = json!([{"item": "MQ"}, {"item": "MQ", "account": "anna"}]);
    let document = json!({"version": {"major": 1}, "accounts": [account("anna"), ben]});
    let (items, _) = read_file(&FORMAT, document.to_string().as_bytes()).unwrap();
    let read: Vec<_> = items
        .iter()
        .map(|item| (&*item.name, item.newest().unwrap().value.expose()))
        .collect();
    assert_eq!(
        read,
        [("anna/of anna/x", &b"anna"[..]), ("ben/of ben/x", b"ben")]
    );
    assert_eq!(
        items[0].losses,
        ["its place in the folder `of ben` as well"]
    );
}

/// Each field is looked at once: a quadratic walk takes a minute.
#[test]
fn each_of_many_fields_is_written_once_and_many_credentials_are_refused() {
    let mut record = Record::new("login");
    for number in 0..20_000 {
        record.push(field::USERNAME, number.to_string());
        record.push(field::TOTP, "no code");
    }
    let composed = super::write::compose(&Item::record("x", &record, None));
    assert_eq!(composed["credentials"].as_array().unwrap().len(), 20_001);

    let credential = json!({"type": "basic-auth"});
    let many = json!([{"id": "AA", "title": "t", "credentials": vec![credential; 10_001]}]);
    let (items, lost) = read_file(&FORMAT, &document(many, json!([]))).unwrap();
    assert!(items.is_empty());
    assert_eq!(lost, ["t: it has more than 10000 credentials"]);
}
