//! Character sets of passwords.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::generate::GenerateError;

/// A set of at least two characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charset(Vec<char>);

impl Charset {
    fn new(characters: impl Iterator<Item = char>) -> Result<Self, GenerateError> {
        let distinct: BTreeSet<char> = characters.filter(|c| !c.is_control()).collect();
        if distinct.len() < 2 {
            return Err(GenerateError::Charset);
        }
        Ok(Self(distinct.into_iter().collect()))
    }

    /// The characters, in ascending order.
    pub fn characters(&self) -> &[char] {
        &self.0
    }

    /// Entropy of `length` random characters, in bits.
    #[allow(clippy::cast_precision_loss)]
    pub fn entropy_bits(&self, length: usize) -> f64 {
        (self.0.len() as f64).log2() * length as f64
    }
}

/// `alnum`, which any keyboard can type and a double click selects.
impl Default for Charset {
    fn default() -> Self {
        Self(alnum().collect::<BTreeSet<_>>().into_iter().collect())
    }
}

fn alnum() -> impl Iterator<Item = char> {
    ('0'..='9').chain('A'..='Z').chain('a'..='z')
}

impl FromStr for Charset {
    type Err = GenerateError;

    fn from_str(text: &str) -> Result<Self, GenerateError> {
        match text {
            "alnum" => Ok(Self::default()),
            "printable" => Self::new('!'..='~'),
            "digits" => Self::new('0'..='9'),
            "lower" => Self::new('a'..='z'),
            "upper" => Self::new('A'..='Z'),
            "hex" => Self::new(('0'..='9').chain('a'..='f')),
            other => other
                .strip_prefix("custom:")
                .map_or(Err(GenerateError::NoCharset), |set| Self::new(set.chars())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_no_set_of_its_letters() {
        for (text, size) in [
            ("alnum", 62),
            ("printable", 94),
            ("digits", 10),
            ("lower", 26),
            ("upper", 26),
            ("hex", 16),
            ("custom:digit", 4),
        ] {
            let size_of = |set: Charset| set.characters().len();
            assert_eq!(text.parse().map(size_of), Ok(size), "{text}");
        }
        for text in ["digit", "alnm", "custom", ""] {
            assert_eq!(
                text.parse::<Charset>(),
                Err(GenerateError::NoCharset),
                "{text}"
            );
        }
        assert_eq!("custom:aa".parse::<Charset>(), Err(GenerateError::Charset));
    }
}
