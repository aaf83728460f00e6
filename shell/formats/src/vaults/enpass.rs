//! Enpass's JSON export: items with fields of types, folders, and attachments in base64.

use data_encoding::BASE64;
use serde_json::Value;
use shared::secret::SecretBytes;

use crate::format::{FormatError, Incoming, Loss, Sink, Source, VaultFormat};
use crate::input::json_stream::each;
use crate::model::item::Attachment;
use crate::model::record::field;
use crate::names;
use crate::vaults::draft::{Draft, Folders};
use crate::vaults::members::{Object, take_list, take_text, take_time, text};

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "enpass",
    "Enpass's JSON: all kinds of items, folders, favourites, attachments",
    |_, peek| peek.has_keys(&["items"]) && peek.has_path("items.*.template_type"),
    |source, _, sink| all(source, sink),
);

/// Categories, and kinds of records; others keep their names.
const KINDS: [(&str, &str); 5] = [
    ("password", "login"),
    ("creditcard", "card"),
    ("passport", "passport"),
    ("travel", "identity-document"),
    ("finance", "bank-account"),
];

/// Types of fields, and their well-known names.
const TYPES: [(&str, &str); 12] = [
    ("username", field::USERNAME),
    ("email", field::EMAIL),
    ("password", field::PASSWORD),
    ("url", field::URL),
    ("totp", field::TOTP),
    ("phone", field::PHONE),
    ("ccName", field::HOLDER),
    ("ccNumber", field::NUMBER),
    ("ccCvc", field::CODE),
    ("ccPin", field::PIN),
    ("ccType", field::BRAND),
    ("ccExpiry", field::EXPIRY),
];

fn all(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let mut folders = Folders::default();
    each(
        source.text()?,
        &["folders", "*"],
        &mut |mut folder: Object| {
            let mut take = |key| take_text(&mut folder, key).unwrap_or_default();
            folders.add(take("uuid"), take("title"), take("parent_uuid"));
            Ok(())
        },
    )?;
    each(source.text()?, &["items", "*"], &mut |given: Object| {
        sink(match item(given, &folders) {
            Ok(draft) => Incoming::Item(Box::new(draft.item())),
            Err(loss) => Incoming::Lost(loss),
        })
    })
}

/// Whether a member is a number that is not 0, or true.
fn is_set(value: Option<Value>) -> bool {
    value.is_some_and(|value| {
        value == Value::Bool(true) || value.as_u64().is_some_and(|set| set != 0)
    })
}

fn item(mut given: Object, folders: &Folders) -> Result<Draft, Loss> {
    let title = take_text(&mut given, "title").unwrap_or_default();
    let mut places = take_list(&mut given, "folders")
        .into_iter()
        .map(|id| folders.path(&text(id)));
    let folder = places.next().unwrap_or_default();
    if is_set(given.remove("trashed")) {
        return Err(Loss::new(
            names::joined(&folder, &title),
            "it is in the trash",
        ));
    }
    let category = take_text(&mut given, "category").unwrap_or_default();
    let kind = KINDS.iter().find(|(own, _)| *own == category);
    let mut draft = Draft {
        folder,
        title,
        kind: kind.map_or(category, |(_, kind)| (*kind).to_owned()),
        is_favourite: is_set(given.remove("favorite")),
        modified_ms: take_time(&mut given, "updated_at"),
        losses: places
            .map(|other| format!("its place in the folder `{other}` as well"))
            .collect(),
        ..Draft::default()
    };
    if is_set(given.remove("archived")) {
        draft.tags.push("archived".into());
    }
    let mut section = None;
    for own in take_list(&mut given, "fields") {
        match own {
            Value::Object(own) => add(own, &mut section, &mut draft),
            other => draft.rest("fields", other),
        }
    }
    draft.push(
        field::NOTE,
        take_text(&mut given, "note").unwrap_or_default(),
    );
    for file in take_list(&mut given, "attachments") {
        let text = |key: &str| file.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("name").to_owned();
        match BASE64.decode(text("data").as_bytes()) {
            Ok(content) => draft.attachments.push(Attachment {
                name,
                content: SecretBytes::new(content),
            }),
            Err(_) => draft
                .losses
                .push(format!("attachment `{name}`, which is not base64")),
        }
    }
    let subtitle = take_text(&mut given, "subtitle").unwrap_or_default();
    if !draft.fields.iter().any(|own| own.value == subtitle) {
        draft.custom("subtitle", subtitle, false);
    }
    for technical in [
        "uuid",
        "icon",
        "createdAt",
        "template_type",
        "auto_submit",
        "wearable",
        "category_name",
    ] {
        given.remove(technical);
    }
    draft.rest("", given.into());
    Ok(draft)
}

/// Adds a field; one of the type `section` is the heading of those behind it.
fn add(mut own: Object, section: &mut Option<String>, draft: &mut Draft) {
    let label = take_text(&mut own, "label").unwrap_or_default();
    let kind = take_text(&mut own, "type").unwrap_or_default();
    let value = take_text(&mut own, "value").unwrap_or_default();
    if kind == "section" {
        *section = Some(label).filter(|label| !label.is_empty());
        return;
    }
    let formers = take_list(&mut own, "history").len();
    if formers > 0 {
        draft
            .losses
            .push(format!("{formers} earlier values of the field `{label}`"));
    }
    if is_set(own.remove("deleted")) {
        if !value.is_empty() {
            draft.losses.push(format!("the deleted field `{label}`"));
        }
        return;
    }
    let is_hidden = is_set(own.remove("sensitive"));
    let before = draft.fields.len();
    let agreed = TYPES
        .iter()
        .find(|(own, _)| *own == kind)
        .map(|(_, agreed)| *agreed);
    match agreed {
        Some(field::EXPIRY) => draft.expiry(&label, &value),
        // The second password of an item is a field of the owner's.
        Some(agreed) if agreed == field::URL || !draft.has(agreed) => draft.push(agreed, value),
        _ => draft.custom(&label, value, is_hidden),
    }
    if let Some(field) = draft.fields.get_mut(before) {
        field.hidden |= is_hidden;
        field.section.clone_from(section);
        let is_date = kind == "date" && field.custom;
        field.content = is_date.then(|| "date".to_owned());
    }
    for technical in ["uid", "order", "updated_at", "value_updated_at"] {
        own.remove(technical);
    }
    draft.rest(&label, own.into());
}
