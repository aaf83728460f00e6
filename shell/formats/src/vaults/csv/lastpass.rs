//! LastPass's table: `url,username,password,totp,extra,name,grouping,fav`. A URL of `http://sn` marks a secure note, whose
//! `extra` may be lines `Name:value` below `NoteType:`.
//!
//! The export of LastPass's web page writes `&`, `<` and `>` as HTML entities, and that of its extensions does not. Where
//! each `&` of a table begins an entity, they are decoded if the caller agrees, and else each such row is listed.

use jiff::fmt::strtime;

use super::table::{Row, has_columns, rows};
use crate::format::{Ask, FormatError, Incoming, Item, Source, VaultFormat};
use crate::model::record::{Field, Record, field};
use crate::names;

const COLUMNS: [&str; 8] = [
    "url", "username", "password", "totp", "extra", "name", "grouping", "fav",
];
/// The URL of secure notes.
const NOTE: &str = "http://sn";
/// The URL of empty folders.
const FOLDER: &str = "http://group";

/// The format.
pub const LASTPASS: VaultFormat = VaultFormat::new(
    "lastpass-csv",
    "LastPass's table: logins and secure notes with folders, favourites, one-time codes",
    |_, peek| has_columns(peek, &["url", "password", "extra", "name", "grouping"]),
    |source, ask, sink| {
        let decodes = decodes(source, ask)?;
        rows(source, false, &mut |row| {
            let is_encoded = decodes.is_some() && row.cells().any(|cell| cell.contains('&'));
            let mut item = if is_encoded && decodes == Some(true) {
                item(&row.with(decoded))
            } else {
                item(row)
            };
            if is_encoded && decodes == Some(false) {
                item.losses.push(ENCODED.into());
            }
            // A row of an empty folder has nothing but its name.
            if row.get("url") == FOLDER && row.cells().filter(|cell| !cell.is_empty()).count() < 4 {
                return Ok(());
            }
            sink(Incoming::Item(Box::new(item)))
        })
    },
);

/// The entities that LastPass writes, behind `&`; that of `&` is decoded last.
const ENTITIES: [(&str, &str); 6] = [
    ("lt;", "<"),
    ("gt;", ">"),
    ("quot;", "\""),
    ("#39;", "'"),
    ("#039;", "'"),
    ("amp;", "&"),
];
const ENCODED: &str = "whether `&amp;` and the like in it stand for `&`: they are as in the file, since LastPass's web page \
                       writes them so; import with --decode-entities if they do";

/// Whether HTML entities are decoded; `None` for a table without entities, or with a `&` outside of an entity.
fn decodes(source: &Source, ask: &dyn Ask) -> Result<Option<bool>, FormatError> {
    let (mut has_entity, mut has_other) = (false, false);
    rows(source, false, &mut |row| {
        for behind in row.cells().flat_map(|cell| cell.split('&').skip(1)) {
            let is_entity = ENTITIES
                .iter()
                .any(|(entity, _)| behind.starts_with(entity));
            has_entity |= is_entity;
            has_other |= !is_entity;
        }
        Ok(())
    })?;
    if !has_entity || has_other {
        return Ok(None);
    }
    if ask.choices().decode_entities {
        return Ok(Some(true));
    }
    let question = "Each & in the table begins an HTML entity, as LastPass's web page writes it: decode them? [y/N] ";
    let answer = ask.line(question)?;
    Ok(Some(answer.is_some_and(|answer| {
        matches!(answer.to_lowercase().as_str(), "y" | "yes")
    })))
}

fn decoded(cell: &str) -> String {
    let mut text = cell.to_owned();
    for (entity, character) in ENTITIES {
        text = text.replace(&format!("&{entity}"), character);
    }
    text
}

fn item(row: &Row<'_>) -> Item {
    let folder = row.get("grouping").replace('\\', "/");
    let name = names::joined(&folder, row.get("name"));
    // The columns of logins are empty in a note.
    let others = ["username", "password", "totp"];
    let is_note = row.get("url") == NOTE && others.iter().all(|column| row.get(column).is_empty());
    let mut item = if is_note {
        let mut item = note(name, row.get("extra"));
        let others = row.others(&COLUMNS);
        item.losses = others
            .map(|own| format!("the column `{}`", own.name))
            .collect();
        item
    } else {
        Item::record(name, &login(row), None)
    };
    if row.get("fav") == "1" {
        item.mark_favourite();
    }
    item
}

fn login(row: &Row<'_>) -> Record {
    let mut login = Record::new("login");
    login.push(field::USERNAME, row.get("username"));
    login.push(field::PASSWORD, row.get("password"));
    login.push(field::URL, row.get("url"));
    login.push(field::TOTP, row.get("totp"));
    login.push(field::NOTE, row.get("extra"));
    login.fields.extend(row.others(&COLUMNS));
    login
}

/// A note with a type has fields; any other note is text.
fn note(name: String, text: &str) -> Item {
    let Some(rest) = text.strip_prefix("NoteType:") else {
        return Item::text(name, text, None);
    };
    let (kind, lines) = rest.split_once('\n').unwrap_or((rest, ""));
    let kind = match kind.trim() {
        "Credit Card" => "card",
        "Address" | "Passport" | "Driver's License" | "Social Security" => "identity",
        "SSH Key" => "ssh-key",
        _ => "note",
    };
    let mut record = Record::new(kind);
    record.fields.push(Field::custom(
        "NoteType",
        rest.lines().next().unwrap_or_default().trim(),
        false,
    ));
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines.lines() {
        let is_open = fields.last().is_some_and(|(name, value)| {
            // Lines of private keys may contain colons.
            name == "Notes" || value.starts_with("-----BEGIN") && !value.contains("-----END")
        });
        match line.split_once(':').filter(|_| !is_open) {
            Some((name, value)) => fields.push((name.to_owned(), value.to_owned())),
            // A further line of a value: a private key, or the notes at the end.
            None => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            }
        }
    }
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        let expiry = expiry(&value).filter(|_| kind == "card" && name == "Expiration Date");
        if let Some(expiry) = expiry {
            record.push(field::EXPIRY, expiry);
        } else if let Some(agreed) = agreed(kind, &name) {
            record.push(agreed, value);
        } else {
            let is_hidden = HIDDEN.contains(&name.as_str());
            record.fields.push(Field::custom(name, value, is_hidden));
        }
    }
    Item::record(name, &record, None)
}

/// A month as LastPass has it, `April,2027`, as `2027-04`.
fn expiry(text: &str) -> Option<String> {
    let (month, year) = text.split_once(',')?;
    let month = strtime::parse("%B", month.trim()).ok()?.month()?;
    let year = year.trim();
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    is_year.then(|| format!("{year}-{month:02}"))
}

/// Fields of typed notes that are secrets.
const HIDDEN: [&str; 6] = [
    "Passphrase",
    "Password",
    "PIN",
    "SSN",
    "License Key",
    "Account Number",
];

fn agreed(kind: &str, name: &str) -> Option<&'static str> {
    Some(match (kind, name) {
        (_, "Notes") => field::NOTE,
        ("card", "Name on Card") => field::HOLDER,
        ("card" | "identity", "Number") => field::NUMBER,
        ("card", "Security Code") => field::CODE,
        ("card", "Type") => field::BRAND,
        ("ssh-key", "Private Key") => field::PRIVATE_KEY,
        ("ssh-key", "Public Key") => field::PUBLIC_KEY,
        ("identity", "Email Address") => field::EMAIL,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::testing;

    const TABLE: &str = "url,username,password,totp,extra,name,grouping,fav\n\
        https://a.example,anna,pw,JBSWY3DP,a note,Site,Work\\Mail,1\n\
        http://sn,,,,just text,Diary,,0\n\
        http://sn,,,,\"NoteType:Credit Card\nLanguage:en-US\nName on Card:Anna A\nType:Visa\nNumber:4111111111111111\nSecurity Code:123\nStart Date:,\nExpiration Date:June,2030\nNotes:two\nlines: here\",Card,Bank,0\n\
        http://sn,,,,\"NoteType:SSH Key\nPassphrase:x\nPrivate Key:-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nAAAA\n-----END A-----\nPublic Key:ssh-ed25519 AAAA\nNotes:\",Key,,0\n";

    #[test]
    fn logins_and_notes_of_all_types_are_read() {
        let items = testing::read(&LASTPASS, TABLE.as_bytes()).unwrap();
        let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["Work/Mail/Site", "Diary", "Bank/Card", "Key"]);
        let records: Vec<_> = items.iter().map(Item::as_record).collect();
        assert!(records[1].is_none());
        let card = records[2].as_ref().unwrap();
        assert_eq!(card.get(field::NUMBER), Some("4111111111111111"));
        assert_eq!(card.get(field::NOTE), Some("two\nlines: here"));
        assert_eq!(card.get(field::EXPIRY), Some("2030-06"));
        assert!(card.at("Expiration Date").is_none());
        assert_eq!(card.at("Language").unwrap().value, "en-US");
        let key = records[3].as_ref().unwrap();
        let private = "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nAAAA\n-----END A-----";
        assert!(key.at("Passphrase").unwrap().hidden);
        assert_eq!(key.get(field::PRIVATE_KEY), Some(private));
    }

    #[test]
    fn an_expiry_that_is_no_month_stays_as_it_is() {
        assert_eq!(expiry("april, 2027").as_deref(), Some("2027-04"));
        for other in [",", "June", "June,30", ",2030", "Juni,2030", "June,2030,1"] {
            assert_eq!(expiry(other), None, "{other}");
            let text = format!("NoteType:Credit Card\nExpiration Date:{other}");
            let card = note("x".into(), &text).as_record().unwrap();
            assert_eq!(card.at("Expiration Date").unwrap().value, other);
        }
    }

    /// A table with these cells as password and note, and what comes of it.
    fn entities(cells: (&str, &str), decode_entities: bool) -> (String, String, usize) {
        let table = format!(
            "url,username,password,totp,extra,name,grouping,fav\nhttps://a.example,u,{},,{},A,,0\nhttps://b.example,u,p,,,B,,0\n",
            cells.0, cells.1
        );
        let answers = testing::Answers {
            choices: crate::ask::Choices {
                decode_entities,
                ..Default::default()
            },
            ..Default::default()
        };
        let source = Source::memory(shared::secret::SecretBytes::from(table.as_bytes()), "");
        let (items, _) = testing::read_all(&LASTPASS, &source, &answers).unwrap();
        let login = items[0].as_record().unwrap();
        let get = |name| login.get(name).unwrap_or_default().to_owned();
        assert!(items[1].losses.is_empty());
        (
            get(field::PASSWORD),
            get(field::NOTE),
            items[0].losses.len(),
        )
    }

    #[test]
    fn odd_rows_are_seen() {
        let table = "url,username,password,totp,extra,name,grouping,fav,more\n\
            http://sn,,,,text,Note,,0,x\nhttp://sn,u,,,text,Login,,0,y\nhttp://group,,,,,Empty,,0,\n";
        let (items, _) = testing::read_file(&LASTPASS, table.as_bytes()).unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].losses, ["the column `more`"]);
        let login = items[1].as_record().unwrap();
        assert_eq!(
            (login.get(field::USERNAME), login.get(field::NOTE)),
            (Some("u"), Some("text"))
        );
        assert_eq!(login.at("more").unwrap().value, "y");
    }

    #[test]
    fn entities_are_decoded_or_listed() {
        let encoded = ("x&amp;y&lt;z&#39;", "&amp;lt;");
        let kept = (encoded.0.to_owned(), encoded.1.to_owned(), 1);
        assert_eq!(entities(encoded, false), kept);
        assert_eq!(entities(encoded, true), ("x&y<z'".into(), "&lt;".into(), 0));
        // A table with any other `&` is not encoded.
        for other in ["a&b", "&", "&lt", "&nbsp;"] {
            let cells = ("x&amp;y", other);
            assert_eq!(entities(cells, true), ("x&amp;y".into(), other.into(), 0));
        }
    }
}
