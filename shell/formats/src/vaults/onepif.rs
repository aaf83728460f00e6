//! 1Password's older export (1PIF): JSON objects, each followed by a line that begins with `***`. An item is turned into the
//! form of the newer export (1PUX), and read as that.

use std::io::{BufRead, BufReader, Read};

use serde_json::{Value, json};

use crate::format::{FormatError, Incoming, Sink, Source, VaultFormat};
use crate::input::archive::{Found, MAX_ITEM};
use crate::input::json_stream::unexpected;
use crate::vaults::draft::Folders;
use crate::vaults::members::{Object, take_list, take_object, take_text};
use crate::vaults::onepux;

/// The line behind each object.
const SEPARATOR: &str = "***5642bee8-a5ff-11dc-8314-0800200c9a66***";
/// The type of folders.
const FOLDER: &str = "system.folder.Regular";
/// Longest file, in bytes.
const MAX_LEN: u64 = 512 * 1024 * 1024;

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "1pif",
    "1Password's older export (1PIF): all kinds of items, with tags, folders, favourites, history",
    |_, peek| peek.text().lines().any(|line| line == SEPARATOR),
    |source, _, sink| all(source, sink),
);

/// Types of items, and categories of 1PUX.
const CATEGORIES: [(&str, &str); 22] = [
    ("webforms.WebForm", "001"),
    ("wallet.financial.CreditCard", "002"),
    ("securenotes.SecureNote", "003"),
    ("identities.Identity", "004"),
    ("passwords.Password", "005"),
    ("wallet.computer.License", "100"),
    ("wallet.financial.BankAccountUS", "101"),
    ("wallet.computer.Database", "102"),
    ("wallet.government.DriversLicense", "103"),
    ("wallet.government.HuntingLicense", "104"),
    ("wallet.membership.Membership", "105"),
    ("wallet.government.Passport", "106"),
    ("wallet.membership.RewardProgram", "107"),
    ("wallet.government.SsnUS", "108"),
    ("wallet.computer.Router", "109"),
    ("wallet.computer.UnixServer", "110"),
    ("wallet.onlineservices.Email.v2", "111"),
    ("wallet.computer.ApiCredential", "112"),
    ("wallet.health.MedicalRecord", "113"),
    ("wallet.computer.SshKey", "114"),
    ("wallet.financial.CryptoWallet", "115"),
    ("wallet.computer.Document", "006"),
];

/// Reads each object.
fn each(
    source: &Source,
    sink: &mut dyn FnMut(Object) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    FormatError::check_mib("the file is too long", source.size()?, MAX_LEN)?;
    let mut reader = BufReader::new(source.text()?);
    loop {
        let mut line = Vec::new();
        let len = (&mut reader)
            .take(MAX_ITEM + 1)
            .read_until(b'\n', &mut line);
        if len.map_err(FormatError::unreadable)? == 0 {
            return Ok(());
        }
        FormatError::check_mib("an item is too long", line.len() as u64, MAX_ITEM)?;
        let text = line.trim_ascii();
        if !text.is_empty() && text != SEPARATOR.as_bytes() {
            sink(serde_json::from_slice(text).map_err(unexpected)?)?;
        }
    }
}

fn all(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let mut folders = Folders::default();
    each(source, &mut |mut given| {
        let mut take = |key| take_text(&mut given, key).unwrap_or_default();
        if take("typeName") == FOLDER {
            folders.add(take("uuid"), take("title"), take("folderUuid"));
        }
        Ok(())
    })?;
    each(source, &mut |mut given| {
        let kind = take_text(&mut given, "typeName").unwrap_or_default();
        if kind.starts_with("system.folder") {
            return Ok(());
        }
        let id = take_text(&mut given, "folderUuid").unwrap_or_default();
        let folder = folders.path(&id);
        match onepux::item(&folder, converted(given, &kind)) {
            Err(loss) => sink(Incoming::Lost(loss)),
            Ok((mut item, files)) => {
                for file in files {
                    Found::Nothing.attach(file, &mut item);
                }
                sink(Incoming::Item(Box::new(item)))
            }
        }
    })
}

/// The item in the form of 1PUX.
fn converted(mut given: Object, kind: &str) -> Object {
    let mut details = take_object(&mut given, "secureContents");
    let mut open = take_object(&mut given, "openContents");
    let category = CATEGORIES.iter().find(|(own, _)| *own == kind);
    let mut urls = take_list(&mut details, "URLs");
    if let Some(location) = take_text(&mut given, "location") {
        urls.push(json!({"url": location}));
    }
    let mut seen = Vec::new();
    urls.retain(|url| {
        let address = url.get("url").cloned();
        let is_new = !seen.contains(&address);
        seen.push(address);
        is_new
    });
    let mut converted = Object::new();
    converted.insert(
        "categoryUuid".into(),
        category.map_or(kind, |(_, code)| *code).into(),
    );
    converted.insert(
        "favIndex".into(),
        open.remove("faveIndex").unwrap_or_default(),
    );
    converted.insert(
        "overview".into(),
        json!({"title": given.remove("title"), "tags": take_list(&mut open, "tags"), "urls": urls}),
    );
    for key in ["uuid", "createdAt", "updatedAt", "trashed"] {
        converted.extend(given.remove(key).map(|value| (key.to_owned(), value)));
    }
    let mut sections: Vec<Value> = take_list(&mut details, "sections")
        .into_iter()
        .map(section)
        .collect();
    let mut kept = Object::new();
    for key in ["notesPlain", "passwordHistory"] {
        kept.extend(details.remove(key).map(|value| (key.to_owned(), value)));
    }
    let mut fields = take_list(&mut details, "fields");
    for one in &mut fields {
        if let Some(one) = one.as_object_mut()
            && let Some(kind) = one.remove("type")
        {
            one.insert("fieldType".into(), kind);
        }
    }
    kept.insert("loginFields".into(), fields.into());
    if category.is_some_and(|(_, code)| matches!(*code, "001" | "005")) {
        kept.extend(
            details
                .remove("password")
                .map(|value| ("password".to_owned(), value)),
        );
    }
    details.remove("htmlForm");
    // Members without a section; all that are left of the item are among them.
    for technical in [
        "locationKey",
        "securityLevel",
        "contentsHash",
        "txTimestamp",
    ] {
        given.remove(technical);
    }
    open.retain(|key, _| key != "scope" && key != "securityLevel");
    let flat = details.into_iter().chain(open).chain(given);
    let flat = flat.filter(|(_, value)| !value.is_null());
    let flat = flat.map(|(key, value)| {
        let value = match value {
            Value::String(text) => json!({"string": text}),
            other => json!({"concealed": crate::vaults::members::text(other)}),
        };
        json!({"title": key, "id": key, "value": value})
    });
    let flat: Vec<Value> = flat.collect();
    if !flat.is_empty() {
        sections.insert(0, json!({"fields": flat}));
    }
    kept.insert("sections".into(), sections.into());
    converted.insert("details".into(), kept.into());
    converted
}

/// A section with fields in the form of 1PUX.
fn section(mut section: Value) -> Value {
    let fields = section.get_mut("fields").and_then(Value::as_array_mut);
    for field in fields
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let kind = take_text(field, "k").unwrap_or_else(|| "string".into());
        let value = field.remove("v").unwrap_or_default();
        for (theirs, newer) in [("n", "id"), ("t", "title")] {
            let name = field.remove(theirs);
            field.extend(name.map(|name| (newer.to_owned(), name)));
        }
        let is_code = field
            .get("id")
            .and_then(Value::as_str)
            .is_some_and(|id| id.starts_with("TOTP_"));
        let kind = match (kind.as_str(), &value) {
            ("concealed", _) if is_code => "totp",
            ("monthYear" | "date", Value::String(_)) => "string",
            ("cctype", _) => "creditCardType",
            (kind, _) => kind,
        };
        field.insert("value".into(), json!({kind: value}));
        field.remove("a");
    }
    section
}
