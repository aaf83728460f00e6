//! Bitwarden's table of an individual vault:
//! `folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp`.

use super::super::carry::Carries;
use super::super::names;
use super::super::record::{Field, Record, field};
use super::{
    Ask, FormatError, Incoming, Item, Loss, Peek, Row, Source, VaultFormat, Written, has_columns,
    read, write,
};

const COLUMNS: [&str; 11] = [
    "folder",
    "favorite",
    "type",
    "name",
    "notes",
    "fields",
    "reprompt",
    "login_uri",
    "login_username",
    "login_password",
    "login_totp",
];
const CARRIES: Carries = Carries {
    kinds: &["login", "note"],
    fields: &[
        "url*",
        field::USERNAME,
        field::PASSWORD,
        field::TOTP,
        field::NOTE,
    ],
    customs: true,
    tags: false,
    favourite: true,
    note: false,
    binary: false,
    history: false,
    attachments: false,
};

/// The format.
pub struct BitwardenCsv;

impl VaultFormat for BitwardenCsv {
    fn name(&self) -> &'static str {
        "bitwarden-csv"
    }

    fn about(&self) -> &'static str {
        "Bitwarden's table: logins and notes with folders, favourites, one-time codes, custom fields"
    }

    fn recognises(&self, _: &Source, peek: &Peek) -> bool {
        has_columns(peek, &["name", "type", "login_uri", "login_password"])
    }

    fn read(
        &self,
        source: &Source,
        _: &dyn Ask,
        sink: &mut dyn FnMut(Incoming) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        read(source, sink, item)
    }

    fn is_written(&self) -> bool {
        true
    }

    fn write(&self, items: &[Item], _: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
        let (mut rows, mut losses) = (Vec::new(), Vec::new());
        for item in items {
            if let Err(loss) = CARRIES.admits(item) {
                losses.push(loss);
                continue;
            }
            losses.extend(CARRIES.losses(item));
            rows.push((item.name.clone(), row(item, &mut losses)));
        }
        Ok((write(&COLUMNS, rows, &mut losses)?, losses))
    }
}

fn item(row: &Row<'_>) -> Item {
    let is_note = row.get("type") == "note";
    let mut record = Record::new(if is_note { "note" } else { "login" });
    record.push(field::USERNAME, row.get("login_username"));
    record.push(field::PASSWORD, row.get("login_password"));
    for uri in split_uris(row.get("login_uri")) {
        record.push(field::URL, uri);
    }
    record.push(field::TOTP, row.get("login_totp"));
    record.push(field::NOTE, row.get("notes"));
    for line in row.get("fields").lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        record.fields.push(Field::custom(name, value, false));
    }
    if matches!(row.get("reprompt"), "1" | "true") {
        let kept = [("reprompt".to_owned(), 1.into())].into_iter().collect();
        record.keep("bitwarden", kept);
    }
    for (column, cell) in row.others(&COLUMNS) {
        record.fields.push(Field::custom(column, cell, false));
    }
    let name = names::joined(row.get("folder"), row.get("name"));
    let is_bare = is_note && record.foreign.is_empty() && record.customs().next().is_none();
    let mut item = if is_bare {
        Item::text(name, row.get("notes"), None)
    } else {
        Item::record(name, &record, None)
    };
    if row.get("favorite") == "1" {
        item.mark_favourite();
    }
    item
}

/// Several are parted by commas, which URIs may hold as well: a part without a scheme belongs to the one before.
fn split_uris(cell: &str) -> Vec<String> {
    let mut uris: Vec<String> = Vec::new();
    for part in cell.split(',') {
        match uris.last_mut() {
            Some(uri) if !part.contains("://") => {
                uri.push(',');
                uri.push_str(part);
            }
            _ => uris.push(part.to_owned()),
        }
    }
    uris
}

fn row(item: &Item, losses: &mut Vec<Loss>) -> Vec<String> {
    let (folder, name) = item.path();
    let record = item.as_record();
    let text = |name: &str| {
        let record = record.as_ref();
        let text = record.and_then(|record| record.get(name));
        text.unwrap_or_default().to_owned()
    };
    let value = item.newest().map(|newest| newest.value.expose());
    let value = std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default();
    let is_note = match &record {
        Some(record) => record.kind == "note",
        None => {
            value.contains('\n') || item.content_type.as_deref() == Some(super::super::item::TEXT)
        }
    };
    let (password, notes) = match (&record, is_note) {
        (Some(_), _) => (text(field::PASSWORD), text(field::NOTE)),
        (None, true) => (String::new(), value.to_owned()),
        (None, false) => (value.to_owned(), String::new()),
    };
    let urls = record.iter().flat_map(|record| record.all(field::URL));
    let urls: Vec<&str> = urls.collect();
    let is_reprompted = record
        .as_ref()
        .is_some_and(|record| record.kept("bitwarden").contains_key("reprompt"));
    vec![
        names::title(folder.unwrap_or_default()),
        String::from(if item.is_favourite() { "1" } else { "" }),
        String::from(if is_note { "note" } else { "login" }),
        names::title(name),
        notes,
        record.as_ref().map_or_else(String::new, |record| {
            custom_fields(&item.name, record, losses)
        }),
        String::from(if is_reprompted { "1" } else { "0" }),
        urls.join(","),
        text(field::USERNAME),
        password,
        text(field::TOTP),
    ]
}

/// A field a line; one with a line's end in it has no place.
fn custom_fields(item: &str, record: &Record, losses: &mut Vec<Loss>) -> String {
    let is_known = |field: &Field| {
        let known = ["url", "username", "password", "totp", "note"];
        !field.custom && known.contains(&field.name.as_str())
    };
    let mut lines = Vec::new();
    for field in record.fields.iter().filter(|field| !is_known(field)) {
        let line = format!("{}: {}", field.name, field.value);
        // Others split at the last colon, we at the first.
        if line.contains(['\n', '\r']) || line.matches(": ").count() != 1 {
            losses.push(Loss::new(
                item,
                format!(
                    "the field `{}`, which has several lines or a colon",
                    field.name
                ),
            ));
        } else {
            lines.push(line);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::formats::testing;

    const TABLE: &str = "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n\
        Social,1,login,Twitter,,,0,\"https://twitter.com,https://x.com/a,b\",me@example.com,password123,\n\
        ,,login,EVGA,,,0,https://www.evga.com/support/login.asp,hello@bitwarden.com,fakepassword,TOTPSEED123\n\
        ,,note,My Note,\"This is a secure note.\n\nNotes can span multiple lines.\",,0,,,,\n\
        ,,note,With fields,text,\"PIN: 1234\nQuestion: none\",1,,,,\n";

    #[test]
    fn the_table_of_bitwardens_help_is_read() {
        let items = testing::read(&BitwardenCsv, TABLE.as_bytes()).unwrap();
        let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["Social/Twitter", "EVGA", "My Note", "With fields"]);
        let first = items.first().unwrap();
        assert!(first.is_favourite());
        let login = first.as_record().unwrap();
        let urls: Vec<_> = login.all(field::URL).collect();
        assert_eq!(urls, ["https://twitter.com", "https://x.com/a,b"]);
        assert!(items.get(2).unwrap().as_record().is_none());
        let fields = items.get(3).unwrap().as_record().unwrap();
        assert_eq!(fields.at("PIN").unwrap().value, "1234");
    }

    #[test]
    fn what_goes_out_comes_in_again() {
        let items = testing::read(&BitwardenCsv, TABLE.as_bytes()).unwrap();
        let (again, losses) = testing::round_trip(&BitwardenCsv, &items).unwrap();
        assert!(losses.is_empty(), "{losses:?}");
        assert_eq!(again, items);
    }
}
