//! Files that almost have a known format. The import refuses them, because it would otherwise store a whole file of
//! passwords as the value of one secret.

use crate::format::{FormatError, Peek, Source};
use crate::secrets::shares;
use crate::vaults::{csv, dotenv};

/// The alternative that every error names.
const INSTEAD: &str = "or give --format raw to store it as one value";

/// The format that a file almost has, and the reason why it is not of that format.
pub fn almost_known(source: &Source, peek: &Peek, bytes: &[u8]) -> Option<FormatError> {
    if let Some(damage) = &peek.damage {
        return Some(FormatError::not_this_format(format!(
            "the file begins like JSON but is not valid ({damage}): repair it, {INSTEAD}"
        )));
    }
    if csv::is_table_of_passwords(peek) {
        let text = format!(
            "the file looks like a table of passwords, but no known format has its columns (`help formats`): name \
             them as Chrome does (name,url,username,password,note), {INSTEAD}"
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
                "Title,URL,Username,Password,Notes,OTPAuth\na,b,c,d,e,f\n",
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
    fn values_stay_values() {
        for text in [
            "hunter2",
            "a sentence, with commas, and the word password in it",
            "x = 1\ny: 2\n",
            "dGhlIHZhbHVl==\n",
            "[section]\nkey = value\n",
            "one word after another is no share of anything at all though there are twenty of them in this very line here",
            "",
        ] {
            assert_eq!(found(text).unwrap(), "raw", "{text}");
        }
    }
}
