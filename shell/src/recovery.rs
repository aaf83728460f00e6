//! The recovery code: 160 random bits in a form that people can copy by hand.

use std::fmt;

use data_encoding::{Encoding, Specification};
use rand::Rng as _;
use rand::rngs::OsRng;
use shared::ids::Digest;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::error::Error;

/// Random bytes of a code.
const LEN: usize = 20;
/// Characters of a group.
const GROUP: usize = 4;
/// Groups of a code; the last one finds typing errors.
const GROUPS: usize = LEN * 8 / 5 / GROUP + 1;
/// Bytes of the check group: 20 bits are used.
const CHECK: usize = 4;

/// A recovery code. What OPAQUE gets is its canonical text without hyphens and check group.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(SecretBytes);

impl RecoveryCode {
    /// A fresh code from the operating system's CSPRNG.
    pub fn random() -> Self {
        let bytes = SecretBytes::random(LEN);
        Self(SecretBytes::new(
            encoding().encode(bytes.expose()).into_bytes(),
        ))
    }

    /// What goes into OPAQUE.
    pub fn as_secret(&self) -> &SecretBytes {
        &self.0
    }

    /// Eight groups of four characters and a ninth that finds typing errors.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(9 * (GROUP + 1)));
        let code = String::from_utf8_lossy(self.0.expose());
        for (position, character) in code.chars().chain(self.check().chars()).enumerate() {
            if position > 0 && position % GROUP == 0 {
                text.push('-');
            }
            text.push(character);
        }
        text
    }

    /// Numbers of two different groups, from 0, by chance.
    pub fn two_groups() -> [usize; 2] {
        let first = OsRng.gen_range(0..GROUPS);
        let other = OsRng.gen_range(0..GROUPS - 1);
        [first, if other >= first { other + 1 } else { other }]
    }

    /// Whether this was typed for the group of that number.
    pub fn is_group(&self, number: usize, typed: &str) -> bool {
        let text = self.text();
        let group = text.split('-').nth(number).unwrap_or_default();
        plain(typed).as_str() == group
    }

    /// Reads a code as a person typed it: any case, any grouping, `O` for `0`, `I` and `L` for `1`.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is no code, or mistyped.
    pub fn parse(typed: &str) -> Result<Self, Error> {
        let bad = || Error::Usage("this is no recovery code, or it is mistyped".into());
        let compact = plain(typed);
        let (code, check) = compact.split_at_checked(LEN * 8 / 5).ok_or_else(bad)?;
        let decoded = encoding().decode(code.as_bytes()).map_err(|_| bad())?;
        let canonical = Zeroizing::new(decoded);
        let parsed = Self(SecretBytes::new(encoding().encode(&canonical).into_bytes()));
        if parsed.check() == check {
            Ok(parsed)
        } else {
            Err(bad())
        }
    }

    fn check(&self) -> String {
        let digest = Digest::of(&[b"keyshell/1 recovery check", self.0.expose()].concat());
        let bytes = digest.as_bytes().get(..CHECK).unwrap_or_default();
        encoding().encode(bytes).chars().take(GROUP).collect()
    }
}

/// What was meant by what was typed.
fn plain(typed: &str) -> Zeroizing<String> {
    let meant = typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        });
    Zeroizing::new(meant.collect())
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Crockford's alphabet: no `I`, `L`, `O`, `U`.
fn encoding() -> Encoding {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification
        .encoding()
        .unwrap_or(data_encoding::BASE32_NOPAD)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_handwriting_and_mistyping_is_found() {
        let code = RecoveryCode::random();
        let text = code.text();
        assert_eq!(text.len(), 9 * 4 + 8);
        let sloppy = text
            .to_lowercase()
            .replace('-', " ")
            .replace('0', "o")
            .replace('1', "l");
        assert_eq!(RecoveryCode::parse(&sloppy).unwrap(), code);
        let mut mistyped = text.to_string();
        let first = mistyped.remove(0);
        mistyped.insert(0, if first == 'A' { 'B' } else { 'A' });
        assert!(RecoveryCode::parse(&mistyped).is_err());
        for number in RecoveryCode::two_groups() {
            let group = text.split('-').nth(number).unwrap();
            assert!(code.is_group(number, &group.to_lowercase()));
            assert!(!code.is_group(number, &format!("{group}0")));
        }
        assert!(RecoveryCode::parse("").is_err());
        assert!(RecoveryCode::parse(&format!("{}0", text.as_str())).is_err());
    }
}
