//! age files under a passphrase (age-encryption.org/v1, scrypt recipient).

use std::io::{Read as _, Write as _};

use age::secrecy::SecretString;
use shared::secret::SecretBytes;

use super::FormatError;

/// Most scrypt work that a file may ask for, as the logarithm of N: 4 GiB would be 22.
const MAX_WORK_FACTOR: u8 = 20;
/// Longest content, in bytes.
const MAX_LEN: u64 = 1 << 30;

/// Seals `content` under a passphrase.
///
/// # Errors
/// [`FormatError`]; writing to memory does not fail.
pub fn seal(content: &SecretBytes, passphrase: &str) -> Result<Vec<u8>, FormatError> {
    let failed = |error: std::io::Error| FormatError::new(format!("age: {error}"));
    let passphrase = SecretString::from(passphrase.to_owned());
    let mut sealed = Vec::with_capacity(content.len() + 4096);
    let mut writer = age::Encryptor::with_user_passphrase(passphrase)
        .wrap_output(&mut sealed)
        .map_err(failed)?;
    writer.write_all(content.expose()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(sealed)
}

/// Opens what [`seal`] or any other age program made with a passphrase.
///
/// # Errors
/// [`FormatError`].
pub fn open(sealed: &[u8], passphrase: &str) -> Result<SecretBytes, FormatError> {
    let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let decryptor = age::Decryptor::new(sealed)
        .map_err(|error| FormatError::new(format!("this is no age file: {error}")))?;
    let reader = decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .map_err(|error| match error {
            age::DecryptError::DecryptionFailed | age::DecryptError::NoMatchingKeys => {
                FormatError::new(
                    "the age file does not open: wrong passphrase, or not sealed by one",
                )
            }
            other => FormatError::new(format!("the age file does not open: {other}")),
        })?;
    // Exact room, so that no copies are left behind by growing.
    let mut content = Vec::with_capacity(sealed.len());
    reader
        .take(MAX_LEN)
        .read_to_end(&mut content)
        .map_err(|_| FormatError::new("the age file is damaged"))?;
    Ok(SecretBytes::new(content))
}
