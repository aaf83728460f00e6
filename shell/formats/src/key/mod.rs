//! Private keys in the text forms that a value can have: PKCS #8 or SEC 1 in PEM, OpenSSH's own form, JWK, age identities.

pub mod age_identity;
pub mod jwk;
pub mod openssh;
pub mod pem;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod pem_tests;
mod private_key;

pub use private_key::{Kind, MAX_TEXT, PrivateKey};
use shared::secret::SecretBytes;

use crate::ask::Ask;
use crate::error::FormatError;
use crate::model::Portable;

/// Whether a value is surely meant as a private key, by its text form: of a kind that is in [`Kind`], or of any other.
pub fn is_meant(bytes: &[u8]) -> bool {
    pem::is_private(bytes) || jwk::is_private(bytes) || age_identity::is_identity(bytes)
}

/// The key that a value is, in whatever text form; a sealed one is opened.
///
/// # Errors
/// [`FormatError`] for other values, for keys of other kinds, and for what sealed keys ask for.
pub fn read(bytes: &[u8], ask: &dyn Ask) -> Result<PrivateKey, FormatError> {
    if jwk::is_private(bytes) {
        return jwk::parse(bytes)?.key();
    }
    if age_identity::is_identity(bytes) {
        return age_identity::read(bytes);
    }
    if !pem::is_private(bytes) {
        let text = "the value is not a private key in PEM, OpenSSH's form, JWK or an age identity";
        return Err(FormatError::not_this_format(text));
    }
    match pem::openssh_block(bytes) {
        Some(block) => openssh::read(block, ask),
        None => pem::read(bytes, ask),
    }
}

/// The public key to a secret's private key. Without a format it is what belongs to the private key's form: a line of
/// OpenSSH's, age's public keys, or else PEM.
///
/// # Errors
/// As [`read`]; also for formats that have no such key.
pub fn public(
    secret: &Portable,
    format: Option<&str>,
    ask: &dyn Ask,
) -> Result<SecretBytes, FormatError> {
    let bytes = secret.value.expose();
    let name = secret.name.as_deref();
    let text = match (format, pem::openssh_block(bytes)) {
        (None | Some("openssh"), Some(block)) => openssh::public_of(block)?,
        (None, None) if age_identity::is_identity(bytes) => age_identity::public(bytes)?,
        (None | Some("pem"), _) => pem::public(&read(bytes, ask)?)?,
        (Some("openssh"), None) => openssh::public(&read(bytes, ask)?, name.unwrap_or_default())?,
        (Some("jwk"), _) => {
            return jwk::encoded(&jwk::document(&read(bytes, ask)?, name, false));
        }
        (Some(other), _) => {
            let text = format!("a public key has no format `{other}`; use pem, openssh or jwk");
            return Err(FormatError::Usage(text));
        }
    };
    Ok(SecretBytes::new(text.into_bytes()))
}
