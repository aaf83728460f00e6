//! Names of secrets.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// A secret's name: 1 to 255 bytes of UTF-8 in NFC, no control characters, no white space at either end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

/// Text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to 255 bytes, no control characters, and no white space at its beginning or end"
)]
pub struct BadName;

impl SecretName {
    /// Longest name, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Normalises typed text to NFC and checks it.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn parse(typed: &str) -> Result<Self, BadName> {
        if typed.len() > 4 * Self::MAX_LEN {
            return Err(BadName);
        }
        Self::try_from(typed.nfc().collect::<String>())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SecretName {
    type Error = BadName;

    fn try_from(name: String) -> Result<Self, BadName> {
        let well_formed = (1..=Self::MAX_LEN).contains(&name.len())
            && name.trim() == name
            && !name.chars().any(char::is_control)
            && name.nfc().eq(name.chars());
        well_formed.then_some(Self(name)).ok_or(BadName)
    }
}

impl std::str::FromStr for SecretName {
    type Err = BadName;

    fn from_str(typed: &str) -> Result<Self, BadName> {
        Self::parse(typed)
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
