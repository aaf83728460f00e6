//! `key-file`: a private key's file as it is, whatever the kind and the encryption, with its media type.

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};
use crate::key::{age_identity, openssh, pem};

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    recognises: is_key_file,
    ..SecretFormat::new(
        "key-file",
        "a private key's file in PEM or OpenSSH's form, or of age identities, byte for byte",
        |secret, _| check(secret.value.expose()).map(|()| secret.value.clone()),
        decode,
    )
};

fn decode(bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
    check(bytes)?;
    let content_type = match pem::openssh_block(bytes) {
        Some(_) => openssh::CONTENT_TYPE,
        None if age_identity::is_identity(bytes) => age_identity::CONTENT_TYPE,
        None => pem::CONTENT_TYPE,
    };
    Ok(Portable::typed(content_type, bounded(bytes.to_vec())?))
}

fn is_key_file(bytes: &[u8]) -> bool {
    pem::is_private(bytes) || age_identity::is_identity(bytes)
}

fn check(bytes: &[u8]) -> Result<(), FormatError> {
    if is_key_file(bytes) {
        return Ok(());
    }
    let text = "this is not a private key in PEM or OpenSSH's form, and no age identity";
    Err(FormatError::not_this_format(text))
}
