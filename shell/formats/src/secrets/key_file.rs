//! `key-file`: a private key's file as it is, whatever the kind and the encryption, with its media type.

use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};
use crate::key::{openssh, pem};

pub struct KeyFile;

impl SecretFormat for KeyFile {
    fn name(&self) -> &'static str {
        "key-file"
    }

    fn about(&self) -> &'static str {
        "a private key's file in PEM or OpenSSH's form, byte for byte"
    }

    fn recognises(&self, bytes: &[u8]) -> bool {
        pem::is_private(bytes)
    }

    fn encode(&self, secret: &Portable, _: &dyn Ask) -> Result<SecretBytes, FormatError> {
        check(secret.value.expose())?;
        Ok(secret.value.clone())
    }

    fn decode(&self, bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
        check(bytes)?;
        let content_type = match pem::openssh_block(bytes) {
            Some(_) => openssh::CONTENT_TYPE,
            None => pem::CONTENT_TYPE,
        };
        Ok(Portable::typed(content_type, bounded(bytes.to_vec())?))
    }
}

fn check(bytes: &[u8]) -> Result<(), FormatError> {
    if pem::is_private(bytes) {
        return Ok(());
    }
    let text = "this is not a private key in PEM or OpenSSH's form";
    Err(FormatError::not_this_format(text))
}
