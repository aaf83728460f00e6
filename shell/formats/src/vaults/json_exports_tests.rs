//! Exports of Proton Pass, Enpass, Keeper and 1Password (1PIF).

use serde_json::{Value, json};
use shared::secret::SecretBytes;

use super::{enpass, keeper, onepif, proton};
use crate::format::{Source, VaultFormat};
use crate::model::item::{FAVOURITE, Item};
use crate::model::record::Record;
use crate::registry::detect;
use crate::testing::{Answers, assert_all_texts_seen, is_seen, read_all, read_file, zip};

/// The items and losses of a file that is detected as this format.
#[track_caller]
fn read(format: &VaultFormat, bytes: &[u8]) -> (Vec<Item>, Vec<String>) {
    let source = Source::memory(SecretBytes::from(bytes), "");
    assert_eq!(detect(&source).unwrap().name(), format.name);
    read_all(format, &source, &Answers::default()).unwrap()
}

fn record(item: &Item) -> Record {
    item.as_record().unwrap()
}

fn field(item: &Item, address: &str) -> String {
    record(item)
        .at(address)
        .map_or_else(|| "none".into(), |own| own.value.clone())
}

fn names(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.name.as_str()).collect()
}

fn proton_pass() -> Value {
    let item = |kind: &str, name: &str, content: Value| {
        json!({"itemId": "i", "shareId": "s", "state": 1, "aliasEmail": null, "contentFormatVersion": 6,
            "createTime": 1_700_000_000, "modifyTime": 1_700_000_001, "pinned": false, "files": [], "data": {
                "metadata": {"name": name, "note": "a note", "itemUuid": "u"}, "extraFields": [], "type": kind,
                "content": content}})
    };
    let mut login = item(
        "login",
        "Shop",
        json!({"itemEmail": "ana@mail.example", "itemUsername": "ana", "password": "p",
        "urls": ["https://a.example/", "https://b.example/"], "totpUri": "otpauth://totp/x?secret=MZXW6",
        "passkeys": [{"rpId": "a.example", "content": "key"}]}),
    );
    login["pinned"] = true.into();
    login["files"] = json!(["scan.txt", "gone.txt"]);
    login["data"]["extraFields"] = json!([
        {"fieldName": "answer", "type": "hidden", "data": {"content": "blue"}},
        {"fieldName": "second", "type": "totp", "data": {"totpUri": "otpauth://totp/y?secret=MZXW6"}},
        {"fieldName": "day", "type": "timestamp", "data": {"timestamp": "2024-01-01"}},
    ]);
    let mut alias = item("alias", "Hide", json!({}));
    alias["aliasEmail"] = "hide@alias.example".into();
    let mut gone = item("note", "Gone", json!({}));
    gone["state"] = 2.into();
    let card = json!({"cardholderName": "Ana", "cardType": 0, "number": "4000", "verificationNumber": "321",
        "expirationDate": "2031-01", "pin": "9"});
    let identity = json!({"fullName": "Ana Example", "email": "a@x.example", "socialSecurityNumber": "7", "xHandle": "@ana",
        "extraSections": [{"sectionName": "Work", "sectionFields": [
            {"fieldName": "badge", "type": "text", "data": {"content": "B1"}}]}]});
    let wifi = json!({"ssid": "net", "password": "w", "security": 2, "sections": []});
    json!({"version": "1.30.0", "userId": "u", "encrypted": false, "vaults": {
        "v1": {"name": "Work", "description": "", "display": {}, "items": [login, alias, gone]},
        "v2": {"name": "Home", "description": "", "display": {}, "items": [
            item("creditCard", "Card", card), item("identity", "Me", identity), item("wifi", "Wifi", wifi),
            item("note", "Note", json!({})), item("sshKey", "Key", json!({"privateKey": "k", "publicKey": "q", "sections": []})),
        ]},
    }})
}

#[test]
fn an_export_of_proton_pass_is_read() {
    let (items, losses) = read(&proton::FORMAT, proton_pass().to_string().as_bytes());
    assert_eq!(
        names(&items),
        [
            "Work/Shop",
            "Work/Hide",
            "Home/Card",
            "Home/Me",
            "Home/Wifi",
            "Home/Note",
            "Home/Key"
        ]
    );
    assert_eq!(losses, ["Work/Gone: it is in the trash"]);
    let shop = record(&items[0]);
    assert_eq!(
        (shop.get("username"), shop.get("email")),
        (Some("ana"), Some("ana@mail.example"))
    );
    assert_eq!(shop.all("url").count(), 2);
    assert!(shop.at("answer").unwrap().hidden && shop.at("passkeys.content").unwrap().hidden);
    assert_eq!(
        shop.at("second").unwrap().value,
        "otpauth://totp/y?secret=MZXW6"
    );
    assert_eq!(items[0].tags, [FAVOURITE]);
    assert_eq!(
        items[0].newest().unwrap().created_ms,
        Some(1_700_000_001_000)
    );
    assert_eq!(items[0].losses.len(), 2, "{:?}", items[0].losses);
    assert_eq!(field(&items[1], "username"), "hide@alias.example");
    assert_eq!(
        (field(&items[2], "expiry"), field(&items[2], "pin")),
        ("2031-01".into(), "9".into())
    );
    assert_eq!(
        record(&items[3]).at("badge").unwrap().section.as_deref(),
        Some("Work")
    );
    assert!(items[5].as_record().is_none());
    assert_eq!(record(&items[6]).kind, "ssh-key");
    // Members that state no content.
    let technical = [
        "itemId",
        "shareId",
        "itemUuid",
        "userId",
        "version",
        "display",
        "description",
        "type",
    ];
    let mut kept = proton_pass();
    let items = kept["vaults"]["v1"]["items"].as_array_mut().unwrap();
    items.retain(|item| item["state"] == 1);
    assert_all_texts_seen(&proton::FORMAT, &kept, &technical);
}

#[test]
fn files_of_a_zip_of_proton_pass_are_attached() {
    let data = proton_pass().to_string();
    let export = zip(&[
        ("Proton Pass/data.json", data.as_bytes()),
        ("Proton Pass/v1/files/scan.txt", b"content"),
        ("Proton Pass/v1/files/other.txt", b"x"),
    ]);
    let (items, losses) = read(&proton::FORMAT, &export);
    let files: Vec<_> = items[0]
        .attachments
        .iter()
        .map(|file| (file.name.as_str(), file.content.expose()))
        .collect();
    assert_eq!(files, [("scan.txt", b"content".as_slice())]);
    assert_eq!(
        items[0].losses,
        ["attachment `gone.txt`, which is not in the file"]
    );
    assert!(
        losses.contains(
            &"Proton Pass/v1/files/other.txt: a file of no item that comes in".to_owned()
        )
    );
    let sealed = zip(&[("Proton Pass/data.pgp", b"-----BEGIN PGP MESSAGE-----")]);
    let source = Source::memory(SecretBytes::new(sealed), "");
    assert!(
        detect(&source)
            .err()
            .unwrap()
            .to_string()
            .contains("Proton Pass")
    );
    let encrypted = json!({"version": "1", "encrypted": true, "vaults": {}});
    assert!(read_file(&proton::FORMAT, encrypted.to_string().as_bytes()).is_err());
}

fn enpass_export() -> Value {
    let of = |kind: &str, label: &str, value: &str, sensitive: u8| {
        json!({"type": kind, "label": label, "value": value, "sensitive": sensitive, "deleted": 0, "order": 1, "uid": 10,
            "updated_at": 1, "value_updated_at": 1})
    };
    let mut deleted = of("text", "old", "x", 0);
    deleted["deleted"] = 1.into();
    let mut password = of("password", "Password", "p", 1);
    password["history"] = json!([{"updated_at": 1, "value": "older"}]);
    json!({
        "folders": [
            {"icon": "1", "parent_uuid": "f2", "title": "Mail", "updated_at": 1, "uuid": "f1"},
            {"icon": "1", "parent_uuid": "", "title": "Web", "updated_at": 1, "uuid": "f2"},
            // A circle.
            {"icon": "1", "parent_uuid": "f3", "title": "Loop", "updated_at": 1, "uuid": "f3"},
        ],
        "items": [
            {"archived": 1, "auto_submit": 1, "category": "login", "createdAt": 1, "favorite": 1, "icon": {"fav": "a.example"},
             "note": "a note", "subtitle": "anna", "template_type": "login.default", "title": "Shop", "trashed": 0,
             "updated_at": 1_700_000_001, "uuid": "i1", "folders": ["f1", "f2"], "fields": [
                of("username", "Username", "anna", 0), of("email", "E-mail", "a@x.example", 0), password,
                of("password", "Second", "q", 1), of("url", "Website", "https://a.example", 0),
                of("url", "Other", "https://b.example", 0), of("totp", "Code", "MZXW6", 1),
                of("section", "Security", "", 0), of("text", "Question", "blue", 0), deleted],
             "attachments": [{"data": "AQI=", "kind": "image/png", "name": "a.png", "uuid": "a1"},
                {"data": "?", "name": "b.png"}]},
            {"category": "creditcard", "title": "Card", "template_type": "creditcard.default", "note": "", "subtitle": "",
             "fields": [of("ccName", "Holder", "Anna", 0), of("ccNumber", "Number", "4000", 1), of("ccCvc", "CVC", "1", 1),
                of("ccExpiry", "Expiry", "12/27", 0), of("ccPin", "PIN", "2", 1), of("ccBankname", "Bank", "B", 0)]},
            {"category": "note", "title": "Note", "template_type": "note.default", "note": "text", "subtitle": ""},
            {"category": "login", "title": "Gone", "template_type": "login.default", "trashed": 1},
            {"category": "computer", "title": "Looped", "template_type": "computer.default", "folders": ["f3"],
             "fields": [of("text", "Host", "h", 0)]},
        ],
    })
}

#[test]
fn an_export_of_enpass_is_read() {
    let (items, losses) = read(&enpass::FORMAT, enpass_export().to_string().as_bytes());
    assert_eq!(names(&items[..3]), ["Web/Mail/Shop", "Card", "Note"]);
    assert!(items[3].name.starts_with("Loop/Loop/"), "{}", items[3].name);
    assert_eq!(losses, ["Gone: it is in the trash"]);
    assert_eq!(items[0].tags, ["archived", FAVOURITE]);
    let shop = record(&items[0]);
    assert_eq!(
        (shop.get("password"), shop.get("totp")),
        (Some("p"), Some("MZXW6"))
    );
    assert!(shop.at("Second").unwrap().hidden);
    assert_eq!(
        shop.at("Question").unwrap().section.as_deref(),
        Some("Security")
    );
    assert_eq!(items[0].attachments.len(), 1);
    assert_eq!(
        items[0].losses,
        [
            "its place in the folder `Web` as well",
            "1 earlier values of the field `Password`",
            "the deleted field `old`",
            "attachment `b.png`, which is not base64",
        ]
    );
    assert_eq!(
        (record(&items[1]).kind, field(&items[1], "expiry")),
        ("card".into(), "2027-12".into())
    );
    assert!(items[2].as_record().is_none());
    let technical = [
        "uuid",
        "parent_uuid",
        "icon",
        "template_type",
        "history",
        "kind",
        "folders",
        "data",
        // A type that is not known makes a field of the owner.
        "type",
        // Of fields with well-known names.
        "label",
    ];
    let mut kept = enpass_export();
    let items = kept["items"].as_array_mut().unwrap();
    items.retain(|item| item["trashed"] != 1);
    assert_all_texts_seen(&enpass::FORMAT, &kept, &technical);
}

fn keeper_export() -> Value {
    json!({"shared_folders": [{"path": "Team\\Ops", "manage_users": true}], "records": [
        {"uid": "u1", "title": "DB", "$type": "login", "login": "dba", "password": "p", "login_url": "https://a.example",
         "notes": "primary", "last_modified": 1_700_000_001, "folders": [{"folder": "Infra\\Databases"},
            {"shared_folder": "Team\\Ops", "folder": "In", "can_edit": true}],
         "custom_fields": {"$oneTimeCode::1": "otpauth://totp/db?secret=MZXW6", "Port": "5432",
            "TFC:Keeper": "otpauth://totp/y?secret=MZXW6", "$text:Room:1": "7", "$url::1": "https://b.example",
            "$secret:Word:1": "s", "$name:Who:1": {"first": "Ana", "last": "E"}}},
        {"title": "Card", "$type": "bankCard", "custom_fields": {"$pinCode::1": "9", "$paymentCard::1": {
            "cardNumber": "4000", "cardExpirationDate": "04/2030", "cardSecurityCode": "123"}}},
        {"title": "Key", "$type": "sshKeys", "custom_fields": {"$keyPair::1": {"privateKey": "k", "publicKey": "q"}}},
        {"title": "Note", "$type": "encryptedNotes", "custom_fields": {"$note::1": "text", "$date::1": "2024-01-01"}},
        {"title": "Old", "login": "x", "password": "y", "custom_fields": {"a": "b"}},
    ]})
}

#[test]
fn an_export_of_keeper_is_read() {
    let (items, losses) = read(&keeper::FORMAT, keeper_export().to_string().as_bytes());
    assert_eq!(
        names(&items),
        ["Infra/Databases/DB", "Card", "Key", "Note", "Old"]
    );
    assert_eq!(losses, [""; 0]);
    assert_eq!(
        items[0].losses,
        ["its place in the folder `Team/Ops/In` as well"]
    );
    assert_eq!(field(&items[0], "totp"), "otpauth://totp/db?secret=MZXW6");
    assert_eq!(
        (field(&items[0], "Port"), field(&items[0], "Room")),
        ("5432".into(), "7".into())
    );
    assert!(record(&items[0]).at("Word").unwrap().hidden);
    assert_eq!(field(&items[0], "url.2"), "https://b.example");
    assert_eq!(
        (field(&items[1], "number"), field(&items[1], "expiry")),
        ("4000".into(), "2030-04".into())
    );
    assert_eq!(field(&items[2], "private-key"), "k");
    assert_eq!(field(&items[3], "note"), "text");
    assert_eq!(record(&items[4]).kind, "login");
    assert_all_texts_seen(&keeper::FORMAT, &keeper_export(), &["uid", "path"]);
}

fn onepif_items() -> Vec<Value> {
    vec![
        json!({"uuid": "f1", "typeName": "system.folder.Regular", "title": "Web", "folderUuid": ""}),
        json!({"uuid": "i1", "typeName": "webforms.WebForm", "title": "Shop", "folderUuid": "f1", "createdAt": 1_600_000_000,
            "updatedAt": 1_700_000_001, "locationKey": "a.example", "location": "https://a.example", "securityLevel": "SL5",
            "contentsHash": "x", "openContents": {"tags": ["one"], "faveIndex": 1, "scope": "Always"}, "secureContents": {
                "URLs": [{"label": "website", "url": "https://a.example"}, {"label": "b", "url": "https://b.example"}],
                "fields": [{"value": "anna", "name": "user", "designation": "username", "type": "T"},
                    {"value": "p", "name": "pw", "designation": "password", "type": "P"},
                    {"value": "extra", "name": "more", "type": "T"}],
                "notesPlain": "a note", "htmlForm": {"htmlMethod": "post"},
                "passwordHistory": [{"value": "older", "time": 1_500_000_000}],
                "sections": [{"name": "s", "title": "Security", "fields": [
                    {"k": "concealed", "n": "TOTP_1", "t": "code", "v": "MZXW6"},
                    {"k": "concealed", "n": "pin", "t": "PIN", "v": "1234"},
                    {"k": "date", "n": "d", "t": "day", "v": 1_600_000_000}]}]}}),
        json!({"uuid": "i2", "typeName": "wallet.financial.CreditCard", "title": "Card", "secureContents": {
            "cardholder": "Anna", "ccnum": "4000", "cvv": "123", "expiry_mm": "3", "expiry_yy": "2027", "pin": "9"}}),
        json!({"uuid": "i3", "typeName": "securenotes.SecureNote", "title": "Note", "secureContents": {"notesPlain": "text"}}),
        json!({"uuid": "i4", "typeName": "passwords.Password", "title": "Only", "secureContents": {"password": "q"}}),
        json!({"uuid": "i5", "typeName": "webforms.WebForm", "title": "Gone", "trashed": true}),
        json!({"uuid": "i6", "typeName": "wallet.future.Thing", "title": "Later", "secureContents": {"shape": "cube"}}),
    ]
}

fn onepif_file(items: &[Value]) -> String {
    let separated = items
        .iter()
        .map(|item| format!("{item}\r\n***5642bee8-a5ff-11dc-8314-0800200c9a66***\r\n"));
    separated.collect()
}

#[test]
fn an_older_export_of_1password_is_read() {
    let (items, losses) = read(&onepif::FORMAT, onepif_file(&onepif_items()).as_bytes());
    assert_eq!(names(&items), ["Web/Shop", "Card", "Note", "Only", "Later"]);
    assert_eq!(losses, ["Gone: it is in the trash"]);
    let shop = &items[0];
    assert_eq!(shop.tags, ["one", FAVOURITE]);
    assert_eq!(
        (field(shop, "username"), field(shop, "password")),
        ("anna".into(), "p".into())
    );
    assert_eq!(
        (field(shop, "totp"), field(shop, "PIN")),
        ("MZXW6".into(), "1234".into())
    );
    assert_eq!(record(shop).all("url").count(), 2);
    assert_eq!(shop.versions.len(), 2);
    assert_eq!(record(&items[1]).get("number"), Some("4000"));
    assert!(items[2].as_record().is_none());
    assert_eq!(field(&items[3], "password"), "q");
    assert!(is_seen("cube", &(vec![items[4].clone()], Vec::new())));
    // Each text of each item is seen.
    let technical = [
        "uuid",
        "folderUuid",
        "typeName",
        "locationKey",
        "securityLevel",
        "contentsHash",
        "scope",
        "htmlForm",
    ];
    for (number, item) in onepif_items()
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(number, _)| *number != 5)
    {
        let mut texts = Vec::new();
        crate::testing::texts(item, String::new(), &technical, &mut texts);
        for pointer in texts {
            let mut items = onepif_items();
            *items[number].pointer_mut(&pointer).unwrap() = "MARKER-7391".into();
            let read = read_file(&onepif::FORMAT, onepif_file(&items).as_bytes()).unwrap();
            // The form of a value follows from these, and the field of codes has a name of its own.
            let is_form = [
                "designation",
                "type",
                "k",
                "n",
                "label",
                "name",
                "fields/0/t",
            ]
            .iter()
            .any(|key| pointer.ends_with(&format!("/{key}")));
            assert!(
                is_form || is_seen("MARKER-7391", &read),
                "{number}: {pointer}"
            );
        }
    }
    let long = format!(
        "{{\"a\":\"{}\"}}\n***5642bee8-a5ff-11dc-8314-0800200c9a66***\n",
        "x".repeat(17 << 20)
    );
    let error = read_file(&onepif::FORMAT, long.as_bytes())
        .unwrap_err()
        .to_string();
    assert!(error.contains("16 MiB"), "{error}");
}
