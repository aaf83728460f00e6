//! Keeper's JSON export: records with folders and custom fields.

use serde_json::Value;

use crate::format::{Incoming, VaultFormat};
use crate::input::json_stream::each;
use crate::model::record::field;
use crate::vaults::draft::{Draft, folder};
use crate::vaults::members::{Object, take_list, take_object, take_text, take_time};

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "keeper",
    "Keeper's JSON: all kinds of records, folders, one-time codes, custom fields",
    |_, peek| peek.has_keys(&["records"]) && peek.has_path("records.*.title"),
    |source, _, sink| {
        each(source.text()?, &["records", "*"], &mut |given: Object| {
            sink(Incoming::Item(Box::new(draft(given).item())))
        })
    },
);

/// Types of records, and kinds; others keep their names.
const KINDS: [(&str, &str); 8] = [
    ("encryptedNotes", "note"),
    ("bankCard", "card"),
    ("bankAccount", "bank-account"),
    ("driverLicense", "drivers-license"),
    ("sshKeys", "ssh-key"),
    ("databaseCredentials", "database"),
    ("serverCredentials", "server"),
    ("wifiCredentials", "wifi"),
];

fn draft(mut given: Object) -> Draft {
    let kind = take_text(&mut given, "$type").unwrap_or_default();
    let known = KINDS.iter().find(|(own, _)| *own == kind);
    let mut draft = Draft {
        title: take_text(&mut given, "title").unwrap_or_default(),
        kind: known.map_or(kind, |(_, kind)| (*kind).to_owned()),
        modified_ms: take_time(&mut given, "last_modified"),
        ..Draft::default()
    };
    let mut places = take_list(&mut given, "folders").into_iter().map(place);
    draft.folder = places.next().unwrap_or_default();
    draft.losses = places
        .map(|other| format!("its place in the folder `{other}` as well"))
        .collect();
    for (member, name) in [
        ("login", field::USERNAME),
        ("password", field::PASSWORD),
        ("login_url", field::URL),
        ("notes", field::NOTE),
    ] {
        draft.push(name, take_text(&mut given, member).unwrap_or_default());
    }
    for (name, value) in take_object(&mut given, "custom_fields") {
        custom(&name, value, &mut draft);
    }
    for technical in ["uid", "schema", "shared", "can_edit", "can_share"] {
        given.remove(technical);
    }
    draft.rest("", given.into());
    draft
}

/// The path of a folder; folders of a shared one are below it.
fn place(value: Value) -> String {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    folder(
        &format!("{}\\{}", text("shared_folder"), text("folder")),
        '\\',
    )
}

/// A field named `NAME`, or `$TYPE:LABEL:NUMBER` with a type of Keeper's.
fn custom(name: &str, value: Value, draft: &mut Draft) {
    let Some(typed) = name.strip_prefix('$') else {
        return match value {
            Value::String(value) if value.starts_with("otpauth://") => {
                draft.push(field::TOTP, value);
            }
            Value::String(value) => draft.custom(name, value, false),
            other => draft.rest(name, other),
        };
    };
    let mut parts = typed.split(':');
    let kind = parts.next().unwrap_or_default();
    let label = parts
        .next()
        .filter(|label| !label.is_empty())
        .unwrap_or(kind);
    match (kind, value) {
        ("oneTimeCode", Value::String(value)) => draft.push(field::TOTP, value),
        ("url", Value::String(value)) => draft.url(&value),
        ("note", Value::String(value)) if !draft.has(field::NOTE) => draft.push(field::NOTE, value),
        ("accountNumber", Value::String(value)) if !draft.has(field::NUMBER) => {
            draft.push(field::NUMBER, value);
        }
        ("pinCode", Value::String(value)) if !draft.has(field::PIN) => {
            draft.push(field::PIN, value);
        }
        ("paymentCard", Value::Object(mut card)) => {
            draft.push(
                field::NUMBER,
                take_text(&mut card, "cardNumber").unwrap_or_default(),
            );
            draft.push(
                field::CODE,
                take_text(&mut card, "cardSecurityCode").unwrap_or_default(),
            );
            draft.expiry(
                "expiry",
                &take_text(&mut card, "cardExpirationDate").unwrap_or_default(),
            );
            draft.rest(label, card.into());
        }
        ("keyPair", Value::Object(mut keys)) => {
            draft.push(
                field::PRIVATE_KEY,
                take_text(&mut keys, "privateKey").unwrap_or_default(),
            );
            draft.push(
                field::PUBLIC_KEY,
                take_text(&mut keys, "publicKey").unwrap_or_default(),
            );
            draft.rest(label, keys.into());
        }
        ("text" | "multiline" | "date" | "email" | "phone" | "host", Value::String(value)) => {
            draft.custom(label, value, false);
        }
        (_, other) => draft.rest(label, other),
    }
}
