//! The questions that a format asks its caller, and the choices that the caller made beforehand.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::error::FormatError;

/// The questions that a format asks its caller.
pub trait Ask {
    /// The passphrase of an encrypted file.
    ///
    /// # Errors
    /// [`FormatError::Caller`] where no answer is possible.
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError>;

    /// The passphrase for a file that is about to be encrypted.
    ///
    /// # Errors
    /// As [`Self::passphrase`].
    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError>;

    /// The passphrase of a file that does not state whether it is encrypted.
    ///
    /// # Errors
    /// As [`Self::passphrase`]; `None` where no answer is possible.
    fn passphrase_if_any(&self) -> Result<Option<Zeroizing<String>>, FormatError> {
        Ok(None)
    }

    /// One more share of a secret; `missing` states how many are missing.
    ///
    /// # Errors
    /// As [`Self::passphrase`].
    fn share(&self, missing: &str) -> Result<Zeroizing<String>, FormatError> {
        Err(FormatError::malformed(format!(
            "more shares are needed: {missing}"
        )))
    }

    /// The answer to a question, as one line; `None` where no answer is possible.
    ///
    /// # Errors
    /// As [`Self::passphrase`].
    fn line(&self, question: &str) -> Result<Option<String>, FormatError> {
        let _ = question;
        Ok(None)
    }

    /// The choices of the command line.
    fn choices(&self) -> &Choices;
}

/// Choices for formats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Encrypt with a passphrase where the format leaves the choice.
    pub encrypt: bool,
    /// Public keys to encrypt to, as typed.
    pub recipients: Vec<String>,
    /// Files with private keys, which decrypt files that are encrypted to public keys.
    pub identities: Vec<PathBuf>,
    /// The key file of a KeePass database.
    pub key_file: Option<PathBuf>,
    /// The number of shares that restore the secret.
    pub threshold: Option<u8>,
    /// The number of shares.
    pub shares: Option<u8>,
    /// The columns of a table that has no format of its own: each a use and the name of a column.
    pub map: Vec<(String, String)>,
    /// Decode HTML entities in a table that its program encoded.
    pub decode_entities: bool,
}
