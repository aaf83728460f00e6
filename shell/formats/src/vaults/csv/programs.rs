//! Tables of programs, each described by its columns. Columns that a description does not name are fields of the owner's.

use keyshell_base::time::from_iso;
use serde_json::Value;

use super::bitwarden::split_uris;
use super::table::{self, Row, rows};
use crate::format::{Ask, FormatError, Incoming, Loss, Peek, Sink, Source, VaultFormat};
use crate::input::archive::{self, Archive};
use crate::model::record::{Field, field};
use crate::vaults::draft::{self, Draft, folder};
use crate::vaults::proton;

/// The use of a column.
#[derive(Clone, Copy)]
enum Use {
    /// The title of the item.
    Title,
    /// The folder, with this separator between folders.
    Folder(char),
    /// As `Folder`; the first folder is the whole database.
    Below(char),
    /// A well-known field.
    Field(&'static str),
    /// Addresses with commas between them, or a list in JSON.
    Urls,
    /// A hidden field of the owner's.
    Hidden,
    /// Tags with commas or semicolons between them.
    Tags,
    /// Whether the item is a favourite.
    Favourite,
    /// Whether the item has the tag of this name.
    Tag(&'static str),
    /// The time of the last change, in seconds or milliseconds since 1970-01-01 UTC, or as ISO 8601.
    Modified,
    /// The expiry of a card.
    Expiry,
    /// The kind of the item, by these names; other names are fields.
    Kind(&'static [(&'static str, &'static str)]),
    /// A list of fields of the owner's as JSON: `type`, `label`, `value`.
    Customs,
    /// A field that is dropped if it has this value.
    Usually(&'static str),
    /// Read by [`Table::complete`].
    Completed,
}

/// A table of a program.
struct Table {
    /// Columns that tell the table from others.
    has: &'static [&'static str],
    /// Columns that no such table has.
    lacks: &'static [&'static str],
    columns: &'static [(&'static str, Use)],
    /// Whether the table has no columns but those.
    is_exact: bool,
    /// Whether rows may have more cells than the first line.
    is_ragged: bool,
    /// Completes an item, and states whether the row is one.
    complete: fn(&Row<'_>, &mut Draft) -> bool,
}

impl Table {
    const NONE: Self = Self {
        has: &[],
        lacks: &[],
        columns: &[],
        is_exact: false,
        is_ragged: false,
        complete: |_, _| true,
    };
}

const USERNAME: Use = Use::Field(field::USERNAME);
const PASSWORD: Use = Use::Field(field::PASSWORD);
const URL: Use = Use::Urls;
const TOTP: Use = Use::Field(field::TOTP);
const NOTE: Use = Use::Field(field::NOTE);
const EMAIL: Use = Use::Field(field::EMAIL);

/// Identities as Proton Pass and NordPass name them, cards and notes.
const KINDS: &[(&str, &str)] = &[
    ("login", "login"),
    ("password", "login"),
    ("alias", "login"),
    ("note", "note"),
    ("creditCard", "card"),
    ("credit_card", "card"),
    ("payment_card", "card"),
    ("identity", "identity"),
    ("passport", "passport"),
    ("license", "drivers-license"),
    ("driverLicense", "drivers-license"),
    ("bank", "bank-account"),
    ("bank_account", "bank-account"),
    ("sshKey", "ssh-key"),
    ("wifi", "wifi"),
];

/// Defines formats, each with the tables of one program.
macro_rules! formats {
    ($($format:ident $tables_of:ident: $name:literal, $about:literal = $tables:expr;)*) => {
        $(
            #[doc = $about]
            pub const $format: VaultFormat = VaultFormat::new(
                $name,
                $about,
                |_, peek| $tables_of.iter().any(|table| table.is_it(peek)),
                |source, _, sink| read($tables_of, source, sink),
            );
            static $tables_of: &[Table] = $tables;
        )*
    };
}

formats! {
    FIREFOX FIREFOX_TABLES: "firefox-csv", "Firefox's table of logins, with their times" = &[Table {
        has: &["url", "username", "password", "timePasswordChanged"],
        columns: &[
            ("username", USERNAME),
            ("password", PASSWORD),
            ("url", URL),
            ("timePasswordChanged", Use::Modified),
        ],
        ..Table::NONE
    }];
    ONEPASSWORD ONEPASSWORD_TABLES: "1password-csv", "1Password's table: logins with one-time codes, tags, favourites, archived (a tag)" = &[Table {
        has: &["Title", "Username", "Password", "Tags"],
        columns: &[
            ("Title", Use::Title),
            ("Username", USERNAME),
            ("Password", PASSWORD),
            ("Url", URL),
            ("URL", URL),
            ("OTPAuth", TOTP),
            ("Favorite", Use::Favourite),
            ("Archived", Use::Tag("archived")),
            ("Tags", Use::Tags),
            ("Notes", NOTE),
        ],
        ..Table::NONE
    }];
    APPLE APPLE_TABLES: "apple-csv", "the table of Apple's Passwords and Safari: logins with one-time codes and notes" = &[Table {
        has: &["Title", "Username", "Password"],
        lacks: &["Group", "Tags"],
        columns: &[
            ("Title", Use::Title),
            ("Username", USERNAME),
            ("Password", PASSWORD),
            ("URL", URL),
            ("Url", URL),
            ("OTPAuth", TOTP),
            ("Notes", NOTE),
        ],
        ..Table::NONE
    }];
    KEEPASSXC KEEPASSXC_TABLES: "keepassxc-csv", "KeePassXC's table: logins with groups as folders, one-time codes, times" = &[Table {
        has: &["Group", "Title", "Username", "Password", "URL", "Notes"],
        columns: &[
            ("Group", Use::Below('/')),
            ("Title", Use::Title),
            ("Username", USERNAME),
            ("Password", PASSWORD),
            ("URL", URL),
            ("Notes", NOTE),
            ("TOTP", TOTP),
            ("Icon", Use::Usually("0")),
            ("Last Modified", Use::Modified),
        ],
        ..Table::NONE
    }];
    KEEPASS KEEPASS_TABLES: "keepass-csv", "the table of KeePass: logins with notes" = &[Table {
        has: &["Account", "Login Name", "Password", "Web Site", "Comments"],
        columns: &[
            ("Account", Use::Title),
            ("Login Name", USERNAME),
            ("Password", PASSWORD),
            ("Web Site", URL),
            ("Comments", NOTE),
        ],
        ..Table::NONE
    }];
    PROTON PROTON_TABLES: "proton-csv", "Proton Pass's table: logins, aliases, notes, cards, identities, vaults as folders" = &[Table {
        has: &["type", "name", "url", "username", "password", "note", "totp"],
        columns: &[
            ("name", Use::Title),
            ("vault", Use::Folder('\0')),
            ("type", Use::Kind(KINDS)),
            ("username", USERNAME),
            ("password", PASSWORD),
            ("url", Use::Urls),
            ("email", EMAIL),
            ("totp", TOTP),
            ("note", NOTE),
            ("modifyTime", Use::Modified),
        ],
        complete: |_, draft| {
            proton_row(draft);
            true
        },
        ..Table::NONE
    }];
    NORDPASS NORDPASS_TABLES: "nordpass-csv", "NordPass's table: logins, notes, cards, identities, folders, custom fields" = &[Table {
        has: &["name", "url", "password", "cardnumber", "folder"],
        columns: &[
            ("name", Use::Title),
            ("folder", Use::Folder('/')),
            ("type", Use::Kind(KINDS)),
            ("username", USERNAME),
            ("password", PASSWORD),
            ("url", URL),
            ("additional_urls", Use::Urls),
            ("note", NOTE),
            ("cardholdername", Use::Field(field::HOLDER)),
            ("cardnumber", Use::Field(field::NUMBER)),
            ("cvc", Use::Field(field::CODE)),
            ("pin", Use::Field(field::PIN)),
            ("expirydate", Use::Expiry),
            ("full_name", Use::Field("fullName")),
            ("email", EMAIL),
            ("phone_number", Use::Field(field::PHONE)),
            ("address1", Use::Field("address1")),
            ("address2", Use::Field("address2")),
            ("zipcode", Use::Field("postalCode")),
            ("city", Use::Field("city")),
            ("state", Use::Field("state")),
            ("country", Use::Field("country")),
            ("custom_fields", Use::Customs),
        ],
        complete: |row, draft| {
            let is_card = draft.kind.is_empty() && draft.has(field::NUMBER);
            if is_card {
                draft.kind = "card".into();
            }
            // A row of a folder has nothing but its name.
            row.get("type") != "folder"
        },
        ..Table::NONE
    }];
    ROBOFORM ROBOFORM_TABLES: "roboform-csv", "RoboForm's table: logins and notes with folders, fields of forms, one-time codes" = &[Table {
        has: &["Name", "Url", "MatchUrl", "Login", "Pwd", "Note"],
        columns: &[
            ("Name", Use::Title),
            ("Folder", Use::Folder('/')),
            ("Url", URL),
            ("MatchUrl", URL),
            ("Login", USERNAME),
            ("Pwd", PASSWORD),
            ("Note", NOTE),
            ("RfFieldsV2", Use::Completed),
        ],
        is_ragged: true,
        complete: roboform_row,
        ..Table::NONE
    }];
}

/// The tables of Dashlane, of which a zip has several.
static DASHLANE_TABLES: &[Table] = &[
    Table {
        has: &["username", "title", "password", "note", "url", "category"],
        columns: &[
            ("title", Use::Title),
            ("category", Use::Folder('\0')),
            ("username", USERNAME),
            ("username2", USERNAME),
            ("username3", USERNAME),
            ("password", PASSWORD),
            ("url", URL),
            ("otpSecret", TOTP),
            ("otpUrl", TOTP),
            ("note", NOTE),
        ],
        ..Table::NONE
    },
    Table {
        has: &["type", "account_name", "account_holder", "cc_number"],
        columns: &[
            ("name", Use::Title),
            ("type", Use::Kind(KINDS)),
            ("account_holder", Use::Field(field::HOLDER)),
            ("cc_number", Use::Field(field::NUMBER)),
            ("code", Use::Field(field::CODE)),
            ("account_number", Use::Field(field::NUMBER)),
            ("routing_number", Use::Field("routingNumber")),
            ("issuing_bank", Use::Field("bankName")),
            ("country", Use::Field("country")),
            ("note", NOTE),
            ("account_name", Use::Field("accountName")),
            ("expiration_month", Use::Field("expMonth")),
            ("expiration_year", Use::Field("expYear")),
        ],
        complete: |_, draft| {
            expiry(draft);
            let mut names = draft.fields.iter().filter(|own| own.name == "accountName");
            if let Some(name) = names.next().filter(|_| draft.title.is_empty()) {
                draft.title.clone_from(&name.value);
            }
            true
        },
        ..Table::NONE
    },
    Table {
        has: &[
            "type",
            "number",
            "name",
            "issue_date",
            "expiration_date",
            "place_of_issue",
        ],
        columns: &[
            ("type", Use::Kind(KINDS)),
            ("name", Use::Field("fullName")),
            ("number", Use::Field(field::NUMBER)),
            ("issue_date", Use::Field("issueDate")),
            ("expiration_date", Use::Field(field::EXPIRY)),
            ("place_of_issue", Use::Field("issuingAuthority")),
            ("state", Use::Field("territory")),
        ],
        complete: |row, draft| {
            if draft.kind.is_empty() {
                draft.kind = "identity-document".into();
            }
            let title = format!("{} {}", row.get("type"), row.get("name"));
            title.trim().clone_into(&mut draft.title);
            true
        },
        ..Table::NONE
    },
    Table {
        has: &["type", "first_name", "last_name", "phone_number"],
        columns: &[
            ("item_name", Use::Title),
            ("title", Use::Field("title")),
            ("first_name", Use::Field("firstName")),
            ("middle_name", Use::Field("middleName")),
            ("last_name", Use::Field("lastName")),
            ("login", USERNAME),
            ("date_of_birth", Use::Field("birthDate")),
            ("place_of_birth", Use::Field("birthPlace")),
            ("email", EMAIL),
            ("phone_number", Use::Field(field::PHONE)),
            ("address", Use::Field("address1")),
            ("city", Use::Field("city")),
            ("state", Use::Field("state")),
            ("zip", Use::Field("postalCode")),
            ("country", Use::Field("country")),
            ("url", URL),
            ("note", NOTE),
        ],
        complete: |row, draft| {
            draft.kind = "identity".into();
            if draft.title.is_empty() {
                row.get("type").clone_into(&mut draft.title);
            }
            true
        },
        ..Table::NONE
    },
    Table {
        has: &["title", "note"],
        columns: &[
            ("title", Use::Title),
            ("category", Use::Folder('\0')),
            ("note", NOTE),
        ],
        is_exact: true,
        complete: |_, draft| {
            draft.kind = "note".into();
            true
        },
        ..Table::NONE
    },
];
/// The entry that tells a zip of Dashlane's.
const CREDENTIALS: &str = "credentials.csv";

/// Dashlane's tables, each alone or several in a zip.
pub const DASHLANE: VaultFormat = VaultFormat::new(
    "dashlane",
    "Dashlane's tables, each alone or in their zip: logins, notes, cards, accounts, documents, identities",
    |source, peek| {
        let is_zip = archive::has(source, &peek.head, &[CREDENTIALS]);
        is_zip || DASHLANE_TABLES.iter().any(|table| table.is_it(peek))
    },
    |source, _, sink| {
        if !archive::has(source, &source.peek()?.head, &[CREDENTIALS]) {
            return read(DASHLANE_TABLES, source, sink);
        }
        let mut zip = Archive::open(source)?;
        let names: Vec<_> = zip.under("").map(str::to_owned).collect();
        for name in names {
            let table = Source::memory(zip.document(&name)?, &source.shown);
            let peek = table.peek()?;
            if DASHLANE_TABLES.iter().any(|table| table.is_it(&peek)) {
                read(DASHLANE_TABLES, &table, sink).map_err(|error| error.in_part(&name))?;
            } else if !peek.head.is_empty() {
                let what = "the whole file, which is no table of a known kind";
                sink(Incoming::Lost(Loss::new(name, what)))?;
            }
        }
        Ok(())
    },
);

/// Any table, by the columns that the caller names.
pub const MAPPED: VaultFormat = VaultFormat::new(
    "csv",
    "any other table: the columns are named with --map, or asked for at a terminal",
    |_, _| false,
    mapped,
);

/// The names in `--map`, and their uses.
const TARGETS: [(&str, Use); 14] = [
    ("name", Use::Title),
    ("folder", Use::Folder('/')),
    ("kind", Use::Kind(KINDS)),
    ("username", USERNAME),
    ("password", PASSWORD),
    ("url", Use::Urls),
    ("totp", TOTP),
    ("note", NOTE),
    ("email", EMAIL),
    ("number", Use::Field(field::NUMBER)),
    ("hidden", Use::Hidden),
    ("tags", Use::Tags),
    ("favourite", Use::Favourite),
    ("modified", Use::Modified),
];

/// The names that `--map` takes for columns.
pub fn targets() -> impl Iterator<Item = &'static str> {
    TARGETS.iter().map(|(name, _)| *name)
}

fn mapped(source: &Source, ask: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let columns = table::columns(&source.peek()?).unwrap_or_default();
    let mut uses = Vec::new();
    for (target, column) in map(&columns, ask)? {
        let known = TARGETS.iter().find(|(name, _)| *name == target);
        let (_, own) = known.ok_or_else(|| {
            let names: Vec<_> = targets().collect();
            FormatError::Usage(format!(
                "--map has no `{target}=`: it takes {}",
                names.join(", ")
            ))
        })?;
        if !columns.contains(&column) {
            return Err(FormatError::Usage(format!(
                "--map: the table has no column `{column}`: it has {}",
                columns.join(", ")
            )));
        }
        uses.push((column, *own));
    }
    let uses: Vec<_> = uses
        .iter()
        .map(|(column, own)| (column.as_str(), *own))
        .collect();
    table::read(source, sink, |row| draft(&uses, row).item())
}

/// The columns by their names in `--map`.
fn map(columns: &[String], ask: &dyn Ask) -> Result<Vec<(String, String)>, FormatError> {
    if !ask.choices().map.is_empty() {
        return Ok(ask.choices().map.clone());
    }
    let names: Vec<_> = targets().collect();
    let names = names.join(", ");
    let mut map = Vec::new();
    for column in columns {
        let question = format!("Column `{column}` ({names}; empty for a field of its own)");
        let answer = ask.line(&question)?.ok_or_else(|| {
            FormatError::Usage(format!(
                "name the columns with --map name=COLUMN,username=COLUMN,password=COLUMN ({names}); the table has {}",
                columns.join(", ")
            ))
        })?;
        if !answer.is_empty() {
            map.push((answer, column.clone()));
        }
    }
    Ok(map)
}

impl Table {
    fn is_it(&self, peek: &Peek) -> bool {
        let Some(columns) = table::columns(peek) else {
            return false;
        };
        let has = |name: &&str| columns.iter().any(|own| own == *name);
        let is_known = |own: &String| self.columns.iter().any(|(name, _)| own == name);
        self.has.iter().all(has)
            && !self.lacks.iter().any(has)
            && (!self.is_exact || columns.iter().all(is_known))
    }
}

fn read(tables: &[Table], source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let peek = source.peek()?;
    let table = tables
        .iter()
        .find(|table| table.is_it(&peek))
        .or(tables.first());
    let Some(table) = table else { return Ok(()) };
    rows(source, table.is_ragged, &mut |row| {
        let mut draft = draft(table.columns, row);
        if !(table.complete)(row, &mut draft) {
            return Ok(());
        }
        sink(Incoming::Item(Box::new(draft.item())))
    })
}

/// The item of a row.
fn draft(columns: &[(&str, Use)], row: &Row<'_>) -> Draft {
    let mut draft = Draft::default();
    for (column, own) in columns {
        let cell = row.get(column);
        if !cell.is_empty() {
            own.take(column, cell, &mut draft);
        }
    }
    let known: Vec<_> = columns.iter().map(|(column, _)| *column).collect();
    draft.fields.extend(row.others(&known));
    draft
}

impl Use {
    /// Takes a cell that is not empty.
    fn take(self, column: &str, cell: &str, draft: &mut Draft) {
        let is_set = matches!(cell.to_ascii_lowercase().as_str(), "1" | "true" | "yes");
        match self {
            Self::Title => cell.clone_into(&mut draft.title),
            Self::Folder(separator) => draft.folder = folder(cell, separator),
            Self::Below(separator) => {
                let below = cell.split_once(separator).map(|(_, below)| below);
                draft.folder = folder(below.unwrap_or_default(), separator);
            }
            Self::Field(name) => draft.push(name, cell),
            Self::Urls => {
                let list: Option<Vec<String>> = serde_json::from_str(cell).ok();
                let urls = list.unwrap_or_else(|| split_uris(cell));
                for url in urls {
                    draft.url(url.trim());
                }
            }
            Self::Hidden => draft.custom(column, cell, true),
            Self::Tags => {
                let tags = cell.split([',', ';']).map(str::trim);
                draft
                    .tags
                    .extend(tags.filter(|tag| !tag.is_empty()).map(str::to_owned));
            }
            Self::Favourite if is_set => draft.is_favourite = true,
            Self::Tag(tag) if is_set => draft.tags.push(tag.to_owned()),
            Self::Favourite | Self::Tag(_) => {
                let is_clear = matches!(cell.to_ascii_lowercase().as_str(), "0" | "false" | "no");
                draft.custom(column, if is_clear { "" } else { cell }, false);
            }
            Self::Modified => {
                draft.modified_ms = time(cell);
                if draft.modified_ms.is_none() {
                    draft.custom(column, cell, false);
                }
            }
            Self::Expiry => draft.expiry(column, cell),
            Self::Kind(kinds) => match kinds.iter().find(|(name, _)| *name == cell) {
                Some((_, kind)) => (*kind).clone_into(&mut draft.kind),
                None => draft.custom(column, cell, false),
            },
            Self::Customs => match serde_json::from_str(cell) {
                Ok(Value::Array(customs)) => customs.into_iter().for_each(|own| custom(own, draft)),
                _ => draft.custom(column, cell, true),
            },
            Self::Completed => {}
            Self::Usually(usual) => {
                draft.custom(column, if cell == usual { "" } else { cell }, false);
            }
        }
    }
}

/// A field of the owner's, as JSON.
fn custom(own: Value, draft: &mut Draft) {
    let text = |key: &str| own.get(key).and_then(Value::as_str).unwrap_or_default();
    let value = own.get("value").cloned().unwrap_or_default();
    let hidden = text("type") == "hidden";
    match value {
        Value::String(value) => draft.custom(text("label"), value, hidden),
        other => draft.rest(text("label"), other),
    }
}

/// A time in seconds or milliseconds since 1970-01-01 UTC or as ISO 8601, in milliseconds.
fn time(cell: &str) -> Option<u64> {
    /// Larger numbers are milliseconds.
    const MAX_SECONDS: u64 = 100_000_000_000;
    match cell.parse::<u64>() {
        Ok(0) => None,
        Ok(seconds @ ..=MAX_SECONDS) => Some(seconds * 1000),
        Ok(ms) => Some(ms),
        Err(_) => from_iso(cell),
    }
}

/// The expiry of a card that has two columns.
fn expiry(draft: &mut Draft) {
    let get = |name: &str| {
        draft
            .fields
            .iter()
            .find(|own| own.name == name)
            .map(|own| own.value.clone())
    };
    if let (Some(month), Some(year)) = (get("expMonth"), get("expYear"))
        && let Some(expiry) = draft::month(&format!("{month}/{year}"))
    {
        draft
            .fields
            .retain(|own| !matches!(own.name.as_str(), "expMonth" | "expYear"));
        draft.push(field::EXPIRY, expiry);
    }
}

/// Cards and identities of Proton Pass are JSON in the note.
fn proton_row(draft: &mut Draft) {
    if !draft.has(field::USERNAME) {
        let email = draft.fields.iter_mut().find(|own| own.name == field::EMAIL);
        if let Some(email) = email.filter(|_| draft.kind == "login") {
            field::USERNAME.clone_into(&mut email.name);
        }
    }
    let is_note = |own: &&Field| own.name == field::NOTE;
    let note = draft
        .fields
        .iter()
        .find(is_note)
        .map(|own| own.value.clone());
    let is_json = !matches!(draft.kind.as_str(), "login" | "note");
    let content = note
        .filter(|_| is_json)
        .and_then(|note| serde_json::from_str(&note).ok());
    if let Some(Value::Object(content)) = content {
        draft.fields.retain(|own| own.name != field::NOTE);
        proton::content(content, draft);
    }
}

/// Fields of forms, each in a cell of its own: `LABEL$,,,TYPE,VALUE`.
fn roboform_row(row: &Row<'_>, draft: &mut Draft) -> bool {
    let own = std::iter::once(row.get("RfFieldsV2")).chain(row.extra());
    for cell in own.filter(|cell| !cell.is_empty()) {
        let parts: Vec<&str> = cell.splitn(5, ',').collect();
        let [label, _, _, kind, value] = parts.as_slice() else {
            draft.custom("RfFieldsV2", cell, true);
            continue;
        };
        let label = label.trim_end_matches('$');
        let is_known = |own: &Field| !own.custom && own.value == *value;
        if label.eq_ignore_ascii_case("TOTP KEY") {
            draft.push(field::TOTP, *value);
        } else if !draft.fields.iter().any(is_known) {
            draft.custom(label, *value, *kind == "pwd");
        }
    }
    for column in ["Login", "Pwd"] {
        if row.get(column).starts_with('\'') {
            draft.losses.push(format!("whether the `'` that `{column}` begins with belongs to it, or was added by RoboForm"));
        }
    }
    true
}

#[cfg(test)]
#[path = "programs_tests.rs"]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
