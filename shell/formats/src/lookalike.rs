//! Files that almost have a known format. The import refuses them, because it would otherwise store a whole file of
//! passwords as the value of one secret.

use crate::format::{FormatError, Peek, Source};
use crate::input::archive;
use crate::secrets::shares;
use crate::vaults::{csv, dotenv};

/// The alternative that every error names.
const INSTEAD: &str = "or give --format raw to store it as one value";

/// First bytes of files of programs that are not read.
const BEGINNINGS: [(&[u8], &str); 10] = [
    (
        b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5",
        "a database of KeePass 1 (save it with KeePassXC as .kdbx)",
    ),
    (b"PWS3", "a database of Password Safe"),
    (
        b"SQLite format 3\0",
        "a SQLite database, as browsers and password managers keep them (export it with its program)",
    ),
    (
        b"-----BEGIN PGP MESSAGE-----",
        "a file encrypted with PGP, such as an export of Proton Pass (decrypt it first)",
    ),
    (b"b~>buttercup/", "a vault of Buttercup"),
    (b"GnomeKeyring\n", "a keyring of GNOME"),
    (b"KWALLET\n", "a wallet of KDE"),
    (b"kych", "a keychain of macOS"),
    (
        b"$ANSIBLE_VAULT;",
        "a file of Ansible Vault (decrypt it first)",
    ),
    (
        b"Salted__",
        "a file encrypted with `openssl enc` (decrypt it first)",
    ),
];
/// Texts near the beginning of files of programs that are not read.
const TEXTS: [(&str, &str); 5] = [
    ("<pwlist", "the XML export of KeePass 1 or KeePassX"),
    ("<passwordsafe", "the XML export of Password Safe"),
    ("<revelationdata", "the XML export of Revelation"),
    ("\nWebsite name: ", "the text export of Kaspersky"),
    (
        "RoboForm Passcards",
        "the HTML export of RoboForm (export as CSV)",
    ),
];
/// Keys of JSON objects that programs write that are not read.
const KEYS: [(&[&str], &str); 5] = [
    (
        &["nextId", "logins"],
        "Firefox's file of encrypted logins (export them as CSV)",
    ),
    (
        &["AUTHENTIFIANT"],
        "an old JSON export of Dashlane (export as CSV)",
    ),
    (
        &["id", "title", "category", "fields"],
        "an item as 1Password's `op` prints it (export as 1pux)",
    ),
    (&["encrypted", "passwords"], "an export of Passky"),
    (&["sops"], "a file of SOPS (decrypt it first)"),
];
/// The entry of an encrypted export in a zip.
const PROTON_SEALED: &str = "Proton Pass/data.pgp";

/// The error for an empty file, and for an export of a program that is not read, recognised by its content.
pub fn unread(source: &Source, peek: &Peek) -> Option<FormatError> {
    if peek.head.is_empty()
        || matches!(
            peek.head.as_slice(),
            b"\xef\xbb\xbf" | b"\xff\xfe" | b"\xfe\xff"
        )
    {
        let text = "the file is empty: there is nothing to import; give --format raw to store an empty value";
        return Some(FormatError::not_this_format(text));
    }
    let mut beginnings = BEGINNINGS.iter();
    let begun = beginnings
        .find(|(bytes, _)| peek.head.starts_with(bytes))
        .map(|(_, what)| *what);
    let text = || {
        TEXTS
            .iter()
            .find(|(text, _)| peek.text().contains(text))
            .map(|(_, what)| *what)
    };
    let keys = || {
        KEYS.iter()
            .find(|(keys, _)| peek.has_keys(keys))
            .map(|(_, what)| *what)
    };
    let list = || {
        let is_bitwarden = peek.has_path("*.login") && peek.has_path("*.object");
        let what = if is_bitwarden {
            "a list as Bitwarden's `bw list items` prints it (use `bw export --format json`)"
        } else {
            "an export of passwords as JSON, but of no known program"
        };
        peek.has_in_list("password").then_some(what)
    };
    let zip = || {
        archive::has(source, &peek.head, &[PROTON_SEALED])
            .then_some("an encrypted export of Proton Pass (export without encryption)")
    };
    let what = begun
        .or_else(text)
        .or_else(keys)
        .or_else(list)
        .or_else(zip)?;
    Some(FormatError::not_this_format(format!(
        "the file looks like {what}, which is not read, {INSTEAD}"
    )))
}

/// The format that a file almost has, and the reason why it is not of that format.
pub fn almost_known(source: &Source, peek: &Peek, bytes: &[u8]) -> Option<FormatError> {
    if let Some(damage) = &peek.damage {
        return Some(FormatError::not_this_format(format!(
            "the file begins like JSON but is not valid ({damage}): repair it, {INSTEAD}"
        )));
    }
    if csv::is_table_of_passwords(peek) {
        let text = format!(
            "the file looks like a table of passwords, but no known format has its columns (`help formats`): name them \
             with --map name=COLUMN,username=COLUMN,password=COLUMN (--format csv asks for each), {INSTEAD}"
        );
        return Some(FormatError::not_this_format(text));
    }
    if let Some(damage) = shares::damage(bytes) {
        return Some(FormatError::not_this_format(format!(
            "the file looks like a share of a secret, but {damage}: repair it, {INSTEAD}"
        )));
    }
    let damage = dotenv::damage(bytes, &source.file_name())?;
    Some(FormatError::not_this_format(format!(
        "the file looks like a file of variables, but {damage}: repair it, give --format dotenv if it is one, {INSTEAD}"
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use shared::secret::SecretBytes;

    use super::*;
    use crate::registry::{Detected, detect};

    fn found(text: &str) -> Result<String, String> {
        let source = Source::memory(SecretBytes::from(text.as_bytes()), "");
        let detected = detect(&source).map_err(|error| error.to_string())?;
        Ok(match detected {
            Detected::Other => "raw".into(),
            known => known.name().into(),
        })
    }

    #[test]
    fn files_that_resemble_a_known_format_are_refused() {
        let share = "duckling enlarge academic academic agency result length solution fridge kidney coal piece deal \
                     husband erode duke ajar critical decision keyboard";
        assert_eq!(found(share).unwrap(), "shares");
        for (text, says) in [
            (
                "Titel;Adresse;Name;Password\na;b;c;d\n",
                "table of passwords",
            ),
            (
                "\"Group\",\"Title\",\"Username\",\"Password\"\n",
                "table of passwords",
            ),
            ("url,username,password\n", "table of passwords"),
            ("A=1\nexport-me\nDB_PASSWORD=x\n", "line 2"),
            (&share.replace("keyboard", "academic"), "checksum"),
            ("{\"a\":", "JSON"),
        ] {
            let error = found(text).unwrap_err();
            assert!(
                error.contains(says) && error.contains("--format raw"),
                "{error}"
            );
        }
    }

    #[test]
    fn exports_of_programs_that_are_not_read_are_named() {
        for (text, says) in [
            ("", "empty"),
            ("\u{feff}", "empty"),
            ("-----BEGIN PGP MESSAGE-----\nx\n", "Proton Pass"),
            ("SQLite format 3\0...", "SQLite"),
            ("PWS3...", "Password Safe"),
            (
                "<?xml version=\"1.0\"?>\n<!DOCTYPE KEEPASSX_DATABASE>\n<pwlist>",
                "KeePass 1",
            ),
            (
                "\u{feff}<?xml version=\"1.0\"?><passwordsafe delimiter=\";\">",
                "Password Safe",
            ),
            ("Websites\n\nWebsite name: x\nWebsite URL: y\n", "Kaspersky"),
            (
                r#"{"nextId":2,"logins":[{"encryptedPassword":"x"}]}"#,
                "Firefox",
            ),
            (
                r#"{"AUTHENTIFIANT":[{"title":"x","password":"p"}]}"#,
                "Dashlane",
            ),
            (
                r#"{"id":"a","title":"x","category":"LOGIN","fields":[{"id":"password","value":"p"}]}"#,
                "`op`",
            ),
            (
                r#"[{"object":"item","name":"x","login":{"password":"p"}}]"#,
                "bw list items",
            ),
            (
                r#"{"accounts":[{"name":"x","password":"p"}]}"#,
                "no known program",
            ),
            (
                "\u{feff}[{\"name\":\"x\",\"password\":\"p\"}]",
                "no known program",
            ),
        ] {
            let error = found(text).unwrap_err();
            assert!(
                error.contains(says) && error.contains("--format raw"),
                "{text}: {error}"
            );
        }
        let keepass = Source::memory(
            SecretBytes::from(b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5xx".as_slice()),
            "",
        );
        let error = detect(&keepass).err().unwrap().to_string();
        assert!(error.contains("KeePass 1"), "{error}");
    }

    #[test]
    fn values_stay_values() {
        for text in [
            "hunter2",
            "a sentence, with commas, and the word password in it",
            "x = 1\ny: 2\n",
            "dGhlIHZhbHVl==\n",
            "[section]\nkey = value\n",
            "one word after another is no share of anything at all though there are twenty of them in this very line here",
            // A file of the settings of one thing.
            r#"{"host":"db","password":"p","ports":[1,2]}"#,
            r#"{"type":"service_account","private_key":"k"}"#,
            "PK\u{3}\u{4}any other zip",
            " ",
        ] {
            assert_eq!(found(text).unwrap(), "raw", "{text}");
        }
    }
}
