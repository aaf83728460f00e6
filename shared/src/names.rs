//! Account names, checked by both sides.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// An account's name: 1 to 64 bytes of UTF-8 in NFC, without control characters or white space.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

/// The text is no account name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an account name has 1 to 64 bytes and no white space or control characters")]
pub struct BadAccountName;

impl AccountName {
    /// Longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Normalises typed text to NFC, then checks it.
    ///
    /// # Errors
    /// [`BadAccountName`].
    pub fn parse(typed: &str) -> Result<Self, BadAccountName> {
        if typed.len() > 4 * Self::MAX_LEN {
            return Err(BadAccountName);
        }
        Self::try_from(typed.nfc().collect::<String>())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountName {
    type Error = BadAccountName;

    fn try_from(name: String) -> Result<Self, BadAccountName> {
        let well_formed = (1..=Self::MAX_LEN).contains(&name.len())
            && !name.chars().any(|c| c.is_control() || c.is_whitespace())
            && name.nfc().eq(name.chars());
        if well_formed {
            Ok(Self(name))
        } else {
            Err(BadAccountName)
        }
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountName([redacted])")
    }
}
