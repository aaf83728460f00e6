//! Proton Pass's export: JSON with vaults, which are folders, alone or in a zip with attached files.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::format::{FormatError, Incoming, Loss, Sink, Source, VaultFormat};
use crate::input::archive::{self, Archive};
use crate::input::json_stream::{each, each_outline};
use crate::model::record::{Field, field};
use crate::names;
use crate::vaults::draft::Draft;
use crate::vaults::members::{
    Object, is_blank, take_list, take_object, take_text, take_time, text,
};

/// The JSON in a zip.
const DATA: &str = "Proton Pass/data.json";
/// The state of items in the trash.
const TRASHED: u64 = 2;

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "proton",
    "Proton Pass's export, JSON or zip: all kinds of items, vaults as folders, files",
    |source, peek| {
        let is_json = peek.has_keys(&["version", "encrypted", "vaults"]);
        is_json || archive::has(source, &peek.head, &[DATA])
    },
    |source, _, sink| {
        if !archive::has(source, &source.peek()?.head, &[DATA]) {
            return all(source, None, sink);
        }
        let mut zip = Archive::open(source)?;
        let data = Source::memory(zip.document(DATA)?, &source.shown);
        all(&data, Some(&mut zip), sink)?;
        for name in zip.left() {
            let loss = Loss::new(name, "a file of no item that comes in");
            sink(Incoming::Lost(loss))?;
        }
        Ok(())
    },
);

#[derive(Deserialize)]
struct Vault {
    name: Option<String>,
    /// The items, of which only the number is read.
    items: Option<Vec<IgnoredAny>>,
}

fn all(
    source: &Source,
    mut zip: Option<&mut Archive<'_>>,
    sink: &mut Sink<'_>,
) -> Result<(), FormatError> {
    each(source.text()?, &["encrypted"], &mut |sealed: bool| {
        if sealed {
            let text = "the file is encrypted: export it again without encryption";
            return Err(FormatError::unsupported(text));
        }
        Ok(())
    })?;
    let mut folders = Vec::new();
    each_outline(source.text()?, &["vaults", "*"], &mut |vault: Vault| {
        folders.push((
            vault.name.unwrap_or_default(),
            vault.items.unwrap_or_default().len(),
        ));
        Ok(())
    })?;
    let mut folders = folders
        .into_iter()
        .flat_map(|(name, count)| std::iter::repeat_n(name, count));
    each(
        source.text()?,
        &["vaults", "*", "items", "*"],
        &mut |mut given: Object| {
            let folder = names::component(&folders.next().unwrap_or_default());
            let files = take_list(&mut given, "files");
            let draft = item(folder, given);
            let mut item = match draft {
                Ok(draft) => draft.item(),
                Err(loss) => return sink(Incoming::Lost(loss)),
            };
            for file in files.into_iter().map(text) {
                let end = format!("/{file}");
                let entry = zip.as_ref().and_then(|zip| {
                    let mut names = zip.under("");
                    names.find(|name| name.ends_with(&end)).map(str::to_owned)
                });
                let found = match (&mut zip, entry) {
                    (Some(zip), Some(entry)) => zip.get(&entry)?,
                    _ => archive::Found::Nothing,
                };
                let name = file.rsplit('/').next().unwrap_or(&file);
                found.attach(name.to_owned(), &mut item);
            }
            sink(Incoming::Item(Box::new(item)))
        },
    )
}

fn item(folder: String, mut given: Object) -> Result<Draft, Loss> {
    let mut data = take_object(&mut given, "data");
    let mut metadata = take_object(&mut data, "metadata");
    let title = take_text(&mut metadata, "name").unwrap_or_default();
    if given.remove("state").and_then(|state| state.as_u64()) == Some(TRASHED) {
        return Err(Loss::new(
            names::joined(&folder, &title),
            "it is in the trash",
        ));
    }
    let kind = take_text(&mut data, "type").unwrap_or_default();
    let mut draft = Draft {
        folder,
        title,
        kind: match kind.as_str() {
            "alias" => "login".into(),
            "creditCard" => "card".into(),
            "sshKey" => "ssh-key".into(),
            _ => kind,
        },
        modified_ms: take_time(&mut given, "modifyTime"),
        is_favourite: given.remove("pinned") == Some(Value::Bool(true)),
        ..Draft::default()
    };
    content(take_object(&mut data, "content"), &mut draft);
    let alias = take_text(&mut given, "aliasEmail").unwrap_or_default();
    let name = if draft.has(field::USERNAME) {
        field::EMAIL
    } else {
        field::USERNAME
    };
    draft.push(name, alias);
    draft.push(
        field::NOTE,
        take_text(&mut metadata, "note").unwrap_or_default(),
    );
    for own in take_list(&mut data, "extraFields") {
        custom(own, None, &mut draft);
    }
    for technical in [
        "itemId",
        "shareId",
        "contentFormatVersion",
        "createTime",
        "shareCount",
    ] {
        given.remove(technical);
    }
    metadata.remove("itemUuid");
    for left in [given, data, metadata] {
        draft.rest("", left.into());
    }
    Ok(draft)
}

/// Members of contents, and their well-known names.
const MEMBERS: [(&str, &str); 27] = [
    ("itemUsername", field::USERNAME),
    ("username", field::USERNAME),
    ("password", field::PASSWORD),
    ("totpUri", field::TOTP),
    ("cardholderName", field::HOLDER),
    ("number", field::NUMBER),
    ("verificationNumber", field::CODE),
    ("pin", field::PIN),
    ("fullName", "fullName"),
    ("email", field::EMAIL),
    ("phoneNumber", field::PHONE),
    ("firstName", "firstName"),
    ("middleName", "middleName"),
    ("lastName", "lastName"),
    ("birthdate", "birthDate"),
    ("organization", "company"),
    ("streetAddress", "address1"),
    ("zipOrPostalCode", "postalCode"),
    ("city", "city"),
    ("stateOrProvince", "state"),
    ("countryOrRegion", "country"),
    ("socialSecurityNumber", "ssn"),
    ("passportNumber", "passportNumber"),
    ("licenseNumber", "licenseNumber"),
    ("privateKey", field::PRIVATE_KEY),
    ("publicKey", field::PUBLIC_KEY),
    ("note", field::NOTE),
];

/// Takes all members of the content of an item.
pub fn content(mut given: Object, draft: &mut Draft) {
    for (member, name) in MEMBERS {
        draft.push(name, take_text(&mut given, member).unwrap_or_default());
    }
    let email = take_text(&mut given, "itemEmail").unwrap_or_default();
    let name = if draft.has(field::USERNAME) {
        field::EMAIL
    } else {
        field::USERNAME
    };
    draft.push(name, email);
    for url in take_list(&mut given, "urls") {
        draft.url(&text(url));
    }
    draft.expiry(
        "expirationDate",
        &take_text(&mut given, "expirationDate").unwrap_or_default(),
    );
    for list in ["sections", "extraSections"] {
        for mut section in take_list(&mut given, list) {
            let heading = section
                .get("sectionName")
                .and_then(Value::as_str)
                .map(str::to_owned);
            let fields = section
                .as_object_mut()
                .map(|section| take_list(section, "sectionFields"));
            for own in fields.unwrap_or_default() {
                custom(own, heading.as_deref(), draft);
            }
        }
    }
    // The kind of card and of security are numbers that follow from others.
    given.remove("cardType");
    given.retain(|_, value| !is_blank(value));
    draft.rest("", given.into());
}

/// A field of the owner's, below a heading.
fn custom(own: Value, heading: Option<&str>, draft: &mut Draft) {
    let Value::Object(mut own) = own else {
        return draft.rest("extraFields", own);
    };
    let name = take_text(&mut own, "fieldName").unwrap_or_default();
    let kind = take_text(&mut own, "type").unwrap_or_default();
    let mut data = take_object(&mut own, "data");
    let before = draft.fields.len();
    let codes = take_text(&mut data, "totpUri").unwrap_or_default();
    if !codes.is_empty() {
        draft.fields.push(Field {
            name: name.clone(),
            ..Field::agreed(field::TOTP, codes)
        });
    }
    draft.custom(
        &name,
        take_text(&mut data, "content").unwrap_or_default(),
        kind == "hidden",
    );
    draft.rest(&name, data.into());
    for field in draft.fields.iter_mut().skip(before) {
        field.section = heading.map(str::to_owned);
    }
}
