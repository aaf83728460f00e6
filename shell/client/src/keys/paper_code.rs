//! Random bytes as text that people can copy by hand: Crockford's base 32 in groups of four characters, with a
//! checksum.

use data_encoding::{Encoding, Specification};
use rand::Rng as _;
use rand::rngs::OsRng;
use shared::ids::Digest;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

/// Characters of a group.
const GROUP: usize = 4;
/// Bits of a character.
const BITS: usize = 5;

/// The form of one kind of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Number of random bytes.
    pub len: usize,
    /// Number of checksum characters, which complete the last group; at most 6.
    pub check: usize,
    /// Prefix of the hashed text that the checksum is made from.
    pub label: &'static [u8],
}

impl Form {
    /// Number of characters without the checksum.
    const fn text_len(self) -> usize {
        (self.len * 8).div_ceil(BITS)
    }

    /// Number of groups, with the checksum.
    pub const fn groups(self) -> usize {
        (self.text_len() + self.check) / GROUP
    }

    /// Decodes a canonical text; `None` for other text.
    pub fn decode(self, text: &SecretBytes) -> Option<SecretBytes> {
        let bytes = SecretBytes::new(encoding().decode(text.expose()).ok()?);
        (bytes.len() == self.len).then_some(bytes)
    }

    /// The displayed form of a canonical text: with hyphens and checksum.
    pub fn show(self, text: &SecretBytes) -> Zeroizing<String> {
        let mut shown = Zeroizing::new(String::with_capacity(self.groups() * (GROUP + 1)));
        let code = Zeroizing::new(String::from_utf8_lossy(text.expose()).into_owned());
        let check = self.check_of(text);
        for (position, character) in code.chars().chain(check.chars()).enumerate() {
            if position > 0 && position % GROUP == 0 {
                shown.push('-');
            }
            shown.push(character);
        }
        shown
    }

    /// Parses a typed code to its canonical text: any case, any grouping, `O` for `0`, `I` and `L` for `1`. `None` for
    /// other or mistyped text.
    pub fn read(self, typed: &str) -> Option<SecretBytes> {
        let compact = plain(typed);
        let (code, check) = compact.split_at_checked(self.text_len())?;
        let decoded = SecretBytes::new(encoding().decode(code.as_bytes()).ok()?);
        let canonical = encode(decoded.expose());
        (decoded.len() == self.len && self.check_of(&canonical) == check).then_some(canonical)
    }

    /// The numbers of two different random groups, from 0.
    pub fn two_groups(self) -> [usize; 2] {
        let first = OsRng.gen_range(0..self.groups());
        let other = OsRng.gen_range(0..self.groups() - 1);
        [first, if other >= first { other + 1 } else { other }]
    }

    /// Whether `typed` is the group of that number.
    pub fn is_group(self, text: &SecretBytes, number: usize, typed: &str) -> bool {
        let shown = self.show(text);
        let group = shown.split('-').nth(number).unwrap_or_default();
        plain(typed).as_str() == group
    }

    fn check_of(self, text: &SecretBytes) -> String {
        let digest = Digest::of(&[self.label, text.expose()].concat());
        let bytes = digest.as_bytes().get(..4).unwrap_or_default();
        encoding().encode(bytes).chars().take(self.check).collect()
    }
}

/// The canonical text of these bytes, without hyphens and checksum.
pub fn encode(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(encoding().encode(bytes).into_bytes())
}

/// The typed characters in the canonical alphabet, without spaces and hyphens.
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
