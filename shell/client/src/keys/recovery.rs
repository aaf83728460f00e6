//! The recovery code: 160 random bits as text that people can copy by hand.

use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::keys::paper_code::{Form, encode};

const FORM: Form = Form {
    len: 20,
    check: 4,
    label: b"keyshell/1 recovery check",
};

/// A recovery code (20 bytes). OPAQUE gets its canonical text, without hyphens and checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryCode(SecretBytes);

impl RecoveryCode {
    /// A fresh code from the operating system's CSPRNG.
    pub fn random() -> Self {
        Self(encode(SecretBytes::random(FORM.len).expose()))
    }

    /// The password that OPAQUE gets.
    pub fn as_secret(&self) -> &SecretBytes {
        &self.0
    }

    /// The code as eight groups of four characters, and a ninth group that is a checksum.
    pub fn text(&self) -> Zeroizing<String> {
        FORM.show(&self.0)
    }

    /// The numbers of two different random groups, from 0.
    pub fn two_groups() -> [usize; 2] {
        FORM.two_groups()
    }

    /// Whether `typed` is the group of that number.
    pub fn is_group(&self, number: usize, typed: &str) -> bool {
        FORM.is_group(&self.0, number, typed)
    }

    /// Reads the code from a recovery sheet, or from a file that holds it alone.
    ///
    /// # Errors
    /// [`Error::Usage`] where no line is a code.
    pub fn from_sheet(text: &str) -> Result<Self> {
        let code = text.lines().find_map(|line| Self::parse(line).ok());
        code.ok_or_else(no_code)
    }

    /// Parses a typed code: any case, any grouping, `O` for `0`, `I` and `L` for `1`.
    ///
    /// # Errors
    /// [`Error::Usage`] for other or mistyped text.
    pub fn parse(typed: &str) -> Result<Self> {
        FORM.read(typed).map(Self).ok_or_else(no_code)
    }
}

fn no_code() -> Error {
    Error::Usage("this is no recovery code, or it is mistyped".into())
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
