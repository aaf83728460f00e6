//! JSON that no terminal acts upon, in memory that is wiped.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use shared::secret::{SecretBytes, SecretWriter};

use crate::text::is_harmless;

/// Encodes on one line. Characters that [`printable`](crate::text::printable) would not show are escaped: JSON means
/// the same by it.
///
/// # Errors
/// Those of the object's `Serialize`.
pub fn encode(object: &impl Serialize) -> serde_json::Result<SecretBytes> {
    let mut writer = SecretWriter::default();
    object.serialize(&mut Serializer::with_formatter(&mut writer, Harmless))?;
    Ok(writer.finish())
}

struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((position, character)) = rest.char_indices().find(|(_, c)| !is_harmless(*c))
        {
            let (plain, from) = rest.split_at(position);
            writer.write_all(plain.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(character))?;
            rest = from.get(character.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_mean_the_same() {
        let text = "a\u{1b}[2J \u{9b}1m\u{202e}b\u{2028}\u{61c}\u{200f}\u{7f} \"é\\漢\u{1f511}\n\t";
        let json = encode(&[text, "plain", ""]).unwrap();
        let json = std::str::from_utf8(json.expose()).unwrap();
        assert!(
            json.chars().all(|c| is_harmless(c) && !"\n\t".contains(c)),
            "{json}"
        );
        assert!(json.contains("\\u009b") && json.contains("é") && json.contains("漢\u{1f511}"));
        let back: Vec<String> = serde_json::from_str(json).unwrap();
        assert_eq!(back, [text, "plain", ""]);
    }
}
