//! Bitwarden's table of an individual vault:
//! `folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp`.

use super::table::{KIND, Row, VALUE, comes_back, has_columns, list_changed, read, write};
use crate::capabilities::Capabilities;
use crate::format::{FormatError, Item, Loss, VaultFormat, Written};
use crate::model::record::{CONTENT_TYPE, Field, Record, field};
use crate::names;

/// The last is ours.
const COLUMNS: [&str; 12] = [
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
    KIND,
];
const CAPABILITIES: Capabilities = Capabilities {
    kinds: &["login", "note"],
    fields: &[
        "url*",
        field::USERNAME,
        field::PASSWORD,
        field::TOTP,
        field::NOTE,
    ],
    customs: true,
    favourite: true,
    ..Capabilities::NONE
};

/// The format.
pub const BITWARDEN: VaultFormat = VaultFormat {
    write: Some(|items, _| export(items)),
    ..VaultFormat::new(
        "bitwarden-csv",
        "Bitwarden's table: logins and notes with folders, favourites, one-time codes, custom fields",
        |_, peek| has_columns(peek, &["name", "type", "login_uri", "login_password"]),
        |source, _, sink| read(source, sink, item),
    )
};

fn export(items: &[Item]) -> Result<(Written, Vec<Loss>), FormatError> {
    let (mut rows, mut losses) = (Vec::new(), Vec::new());
    for item in items {
        if let Err(loss) = CAPABILITIES.admits(item) {
            losses.push(loss);
            continue;
        }
        losses.extend(CAPABILITIES.losses(item));
        let mut cells = row(item, &mut losses);
        cells.push(String::new());
        if !comes_back(item, (&COLUMNS, &cells), self::item) {
            cells.pop();
            cells.push(item.content_type.clone().unwrap_or_else(|| VALUE.into()));
            if !comes_back(item, (&COLUMNS, &cells), self::item) {
                cells.pop();
                cells.push(String::new());
                list_changed(item, &mut losses);
            }
        }
        rows.push((item.name.clone(), cells));
    }
    // Our column is only written if a row needs it.
    let has_kinds = rows
        .iter()
        .any(|(_, cells)| cells.last().is_some_and(|kind| !kind.is_empty()));
    let mut header = COLUMNS.to_vec();
    if !has_kinds {
        header.pop();
        for (_, cells) in &mut rows {
            cells.pop();
        }
    }
    Ok((write(&header, rows, &mut losses)?, losses))
}

/// A value without fields, where our column says that it is one and nothing else is in the row.
fn plain(row: &Row<'_>) -> Option<Item> {
    let kind = row.get(KIND);
    let others = ["fields", "login_uri", "login_username", "login_totp"];
    let is_plain = !kind.is_empty()
        && kind != CONTENT_TYPE
        && !matches!(row.get("reprompt"), "1" | "true")
        && others.iter().all(|column| row.get(column).is_empty());
    let text = match (row.get("login_password"), row.get("notes")) {
        (password, "") => password,
        ("", notes) => notes,
        _ => return None,
    };
    let name = names::joined(row.get("folder"), row.get("name"));
    is_plain.then(|| Item {
        content_type: (kind != VALUE).then(|| kind.to_owned()),
        ..Item::text(name, text, None)
    })
}

fn item(row: &Row<'_>) -> Item {
    let mut item = plain(row).unwrap_or_else(|| with_fields(row));
    if row.get("favorite") == "1" {
        item.mark_favourite();
    }
    item
}

fn with_fields(row: &Row<'_>) -> Item {
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
    record.fields.extend(row.others(&COLUMNS));
    let name = names::joined(row.get("folder"), row.get("name"));
    let has_fields = record.fields.iter().any(|own| own.name != field::NOTE);
    let is_bare = is_note && record.foreign.is_empty() && !has_fields;
    if is_bare && row.get(KIND) != CONTENT_TYPE {
        Item::text(name, row.get("notes"), None)
    } else {
        Item::record(name, &record, None)
    }
}

/// Splits URIs at commas; URIs may contain commas, so a part without a scheme belongs to the URI before it.
pub fn split_uris(cell: &str) -> Vec<String> {
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
    let value = item.newest().map(|newest| newest.value.expose());
    let value = std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default();
    let is_note = match &record {
        Some(record) => record.kind == "note",
        None => {
            value.contains('\n') || item.content_type.as_deref() == Some(crate::model::item::TEXT)
        }
    };
    let text = |name: &str| {
        let record = record.as_ref().filter(|_| known(is_note).contains(&name));
        let text = record.and_then(|record| record.get(name));
        text.unwrap_or_default().to_owned()
    };
    let (password, notes) = match (&record, is_note) {
        (Some(_), _) => (text(field::PASSWORD), text(field::NOTE)),
        (None, true) => (String::new(), value.to_owned()),
        (None, false) => (value.to_owned(), String::new()),
    };
    let urls = record.iter().flat_map(|record| record.all(field::URL));
    let urls: Vec<&str> = urls.collect();
    let urls = if is_note { Vec::new() } else { urls };
    if !urls.is_empty() && split_uris(&urls.join(",")) != urls {
        let what = "where one of its addresses ends and the next begins";
        losses.push(Loss::new(&item.name, what));
    }
    let is_reprompted = record
        .as_ref()
        .is_some_and(|record| record.kept("bitwarden").contains_key("reprompt"));
    vec![
        folder.unwrap_or_default().to_owned(),
        String::from(if item.is_favourite() { "1" } else { "" }),
        String::from(if is_note { "note" } else { "login" }),
        names::title(name),
        notes,
        record.as_ref().map_or_else(String::new, |record| {
            custom_fields(&item.name, record, is_note, losses)
        }),
        String::from(if is_reprompted { "1" } else { "0" }),
        urls.join(","),
        text(field::USERNAME),
        password,
        text(field::TOTP),
    ]
}

/// Fields that have columns of their own.
fn known(is_note: bool) -> &'static [&'static str] {
    if is_note {
        &[field::NOTE]
    } else {
        &[
            field::URL,
            field::USERNAME,
            field::PASSWORD,
            field::TOTP,
            field::NOTE,
        ]
    }
}

/// One line per field, with its name and value; other properties are lost, and so are fields with line breaks.
fn custom_fields(item: &str, record: &Record, is_note: bool, losses: &mut Vec<Loss>) -> String {
    let mut lose = |what: String| losses.push(Loss::new(item, what));
    let mut lines = Vec::new();
    let mut placed: Vec<&str> = Vec::new();
    for field in &record.fields {
        let name = field.name.as_str();
        if !field.custom && known(is_note).contains(&name) {
            // Each column but that of addresses has one value.
            if name == field::URL || !placed.contains(&name) {
                placed.push(name);
                continue;
            }
        }
        let line = format!("{name}: {}", field.value);
        // Others split at the last colon, we at the first.
        if line.contains(['\n', '\r']) || line.matches(": ").count() != 1 {
            lose(format!(
                "the field `{name}`, which has several lines or a colon"
            ));
            continue;
        }
        lines.push(line);
        if field.hidden {
            lose(format!("that the field `{name}` is hidden"));
        }
        if let Some(section) = &field.section {
            lose(format!("the heading `{section}` above the field `{name}`"));
        }
        if let Some(content) = &field.content {
            lose(format!(
                "that the field `{name}` is of the type `{content}`"
            ));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use shared::secret::SecretBytes;

    use super::*;
    use crate::model::item::TEXT;
    use crate::testing;

    const TABLE: &str = "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n\
        Social,1,login,Twitter,,,0,\"https://twitter.com,https://x.com/a,b\",me@example.com,password123,\n\
        ,,login,EVGA,,,0,https://www.evga.com/support/login.asp,hello@bitwarden.com,fakepassword,TOTPSEED123\n\
        ,,note,My Note,\"This is a secure note.\n\nNotes can span multiple lines.\",,0,,,,\n\
        ,,note,With fields,text,\"PIN: 1234\nQuestion: none\",1,,,,\n";

    #[test]
    fn the_table_of_bitwardens_help_is_read() {
        let items = testing::read(&BITWARDEN, TABLE.as_bytes()).unwrap();
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
    fn the_table_of_bitwardens_help_comes_back() {
        let items = testing::read(&BITWARDEN, TABLE.as_bytes()).unwrap();
        let (again, losses) = testing::round_trip(&BITWARDEN, &items).unwrap();
        assert!(losses.is_empty(), "{losses:?}");
        assert_eq!(again, items);
    }

    #[test]
    fn values_without_fields_come_back() {
        let value =
            |name: &str, text: &str| Item::plain(name, SecretBytes::from(text.as_bytes()), None);
        let mut json = value("json", "{}");
        json.content_type = Some("application/json".into());
        let mut note = Record::new("note");
        note.push(field::NOTE, "of fields");
        let items = [
            value("one", "=1+1"),
            value("two", "a\r\nb"),
            value("none", ""),
            json,
            Item::text("text", "a\nb", None),
            Item::record("note", &note, None),
        ];
        let (again, losses) = testing::round_trip(&BITWARDEN, &items).unwrap();
        assert_eq!(again, items);
        // The formula.
        assert_eq!(losses.len(), 1, "{losses:?}");
        let binary = Item::plain("x", SecretBytes::from([255].as_slice()), None);
        let (again, losses) = testing::round_trip(&BITWARDEN, &[binary]).unwrap();
        assert!(again.is_empty());
        assert_eq!(losses, [Loss::new("x", "its value is binary")]);
    }

    #[test]
    fn our_column_is_written_only_if_a_row_needs_it() {
        let items = testing::read(&BITWARDEN, TABLE.as_bytes()).unwrap();
        let written = testing::written(&BITWARDEN, &items);
        let header = written.lines().next().unwrap();
        assert_eq!(header, TABLE.lines().next().unwrap());
    }

    #[test]
    fn fields_without_a_column_are_losses() {
        let mut login = Record::new("login");
        login.push(field::URL, "a.example");
        login.push(field::URL, "b.example");
        let mut pin = Field::custom("PIN", "1", true);
        pin.section = Some("App".into());
        pin.content = Some("date".into());
        login.fields.push(pin);
        login.fields.push(Field::custom("two", "a\nb", false));
        login.push(field::PASSWORD, "one");
        login.push(field::PASSWORD, "second");
        let mut note = Record::new("note");
        note.push(field::PASSWORD, "p");
        let items = [
            Item::record("x", &login, None),
            Item::record("y", &note, None),
        ];
        let (again, losses) = testing::round_trip(&BITWARDEN, &items).unwrap();
        let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
        let expected = [
            "x: where one of its addresses ends and the next begins",
            "x: that the field `PIN` is hidden",
            "x: the heading `App` above the field `PIN`",
            "x: that the field `PIN` is of the type `date`",
            "x: the field `two`, which has several lines or a colon",
            "x: that the field `password` is hidden",
            "y: that the field `password` is hidden",
        ];
        assert_eq!(losses, expected);
        // Fields without a column are lines of `fields`.
        let again = again.first().unwrap().as_record().unwrap();
        let second = again.customs().find(|own| own.name == "password").unwrap();
        assert_eq!(second.value, "second");
    }

    proptest! {
        #[test]
        fn items_come_back_or_are_losses(items in testing::tabular_items()) {
            let (again, losses) = testing::round_trip(&BITWARDEN, &items).unwrap();
            testing::assert_same_or_listed(&items, &again, &losses);
        }

        #[test]
        fn values_of_the_columns_have_no_losses(
            texts in prop::collection::vec("[^=+@'\\-\t\r]([^,]{0,8})", 4),
            customs in prop::collection::vec(("[a-z]{1,4}", "[a-z:]{0,4}"), 0..3),
            is_text in any::<bool>(),
            name in "([a-c\u{2215}]{1,2}/){0,2}[a-z\u{2215} é]{0,5}[a-z]",
        ) {
            let mut login = Record::new("login");
            let names = [field::USERNAME, field::PASSWORD, field::TOTP, field::NOTE];
            for (name, text) in names.into_iter().zip(&texts) {
                login.push(name, text.as_str());
            }
            let customs = customs.into_iter().map(|(name, value)| Field::custom(name, value, false));
            login.fields.extend(customs);
            let mut other = Item::text(format!("{name}2"), &texts.concat(), None);
            other.content_type = is_text.then(|| TEXT.into());
            let items = [Item::record(format!("{name}1"), &login, None), other];
            let (again, losses) = testing::round_trip(&BITWARDEN, &items).unwrap();
            prop_assert_eq!(losses, []);
            prop_assert_eq!(again, items);
        }
    }
}
