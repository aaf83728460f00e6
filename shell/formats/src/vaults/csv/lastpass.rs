//! LastPass's table: `url,username,password,totp,extra,name,grouping,fav`. A URL of `http://sn` marks a secure note, whose
//! `extra` may be lines `Name:value` below `NoteType:`.

use jiff::fmt::strtime;

use super::table::{Row, has_columns, read};
use crate::format::{Item, VaultFormat};
use crate::model::record::{Field, Record, field};
use crate::names;

const COLUMNS: [&str; 8] = [
    "url", "username", "password", "totp", "extra", "name", "grouping", "fav",
];
/// The URL of secure notes.
const NOTE: &str = "http://sn";

/// The format.
pub const LASTPASS: VaultFormat = VaultFormat::new(
    "lastpass-csv",
    "LastPass's table: logins and secure notes with folders, favourites, one-time codes",
    |_, peek| has_columns(peek, &["url", "password", "extra", "name", "grouping"]),
    |source, _, sink| read(source, sink, item),
);

fn item(row: &Row<'_>) -> Item {
    let folder = row.get("grouping").replace('\\', "/");
    let name = names::joined(&folder, row.get("name"));
    let mut item = if row.get("url") == NOTE {
        note(name, row.get("extra"))
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
}
