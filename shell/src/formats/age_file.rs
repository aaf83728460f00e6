//! age files (age-encryption.org/v1) around whole files: under a passphrase, or opened with one.

use std::io::{Read, Seek, Write};

use age::secrecy::SecretString;
use zeroize::Zeroizing;

use super::FormatError;
use super::source::ReadSeek;

/// Most scrypt work that a file may ask for, as the logarithm of N: 4 GiB would be 22.
const MAX_WORK_FACTOR: u8 = 20;
/// How every age file begins, unless it is armoured.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// Whether this is the beginning of an age file.
pub fn is_sealed(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Whether the file is sealed with a passphrase, by its header. One that is sealed to public keys is not.
pub fn is_under_passphrase(head: &[u8]) -> bool {
    let rest = head.strip_prefix(MAGIC).unwrap_or_default();
    rest.starts_with(b"-> scrypt ")
}

/// Seals what is written under a passphrase; [`age::stream::StreamWriter::finish`] ends it.
///
/// # Errors
/// [`FormatError`].
pub fn writer<W: Write>(
    out: W,
    passphrase: &str,
) -> Result<age::stream::StreamWriter<W>, FormatError> {
    let passphrase = SecretString::from(passphrase.to_owned());
    age::Encryptor::with_user_passphrase(passphrase)
        .wrap_output(out)
        .map_err(|error| FormatError::new(format!("age: {error}")))
}

/// Opens what [`writer`] or any other age program sealed with a passphrase.
///
/// # Errors
/// [`FormatError`].
pub fn reader<'a>(
    sealed: Box<dyn ReadSeek + 'a>,
    passphrase: &Zeroizing<String>,
) -> Result<impl Read + Seek + use<'a>, FormatError> {
    let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_string()));
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let decryptor = age::Decryptor::new(sealed)
        .map_err(|error| FormatError::new(format!("this is no age file: {error}")))?;
    decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .map_err(|error| refusal(&error))
}

fn refusal(error: &age::DecryptError) -> FormatError {
    match error {
        age::DecryptError::DecryptionFailed | age::DecryptError::NoMatchingKeys => {
            FormatError::new("the age file does not open: wrong passphrase, or not sealed by one")
        }
        other => FormatError::new(format!("the age file does not open: {other}")),
    }
}
