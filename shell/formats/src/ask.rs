//! The questions that a format asks its caller, and the choices that the caller made beforehand.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::error::FormatError;

/// What formats ask for beside the bytes.
pub trait Ask {
    /// The passphrase of a file that is sealed with one.
    ///
    /// # Errors
    /// [`FormatError::Caller`] where nobody can be asked.
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError>;

    /// The passphrase for a file that is about to be sealed.
    ///
    /// # Errors
    /// As [`Self::passphrase`].
    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError>;

    /// The passphrase of what does not say whether it is sealed with one.
    ///
    /// # Errors
    /// As [`Self::passphrase`], but it is none where nobody can be asked.
    fn passphrase_if_any(&self) -> Result<Option<Zeroizing<String>>, FormatError> {
        Ok(None)
    }

    /// Another share of a secret; `missing` says what is.
    ///
    /// # Errors
    /// As [`Self::passphrase`].
    fn share(&self, missing: &str) -> Result<Zeroizing<String>, FormatError> {
        Err(FormatError::malformed(format!(
            "more shares are needed: {missing}"
        )))
    }

    /// What was chosen on the command line.
    fn choices(&self) -> &Choices;
}

/// What may be chosen for formats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Seal with a passphrase what the format can also carry open.
    pub encrypt: bool,
    /// Public keys to seal to, as typed.
    pub recipients: Vec<String>,
    /// Files with private keys that open what is sealed to public ones.
    pub identities: Vec<PathBuf>,
    /// How many shares bring the secret back.
    pub threshold: Option<u8>,
    /// How many shares there are.
    pub shares: Option<u8>,
}
