//! `openssh`: a private key as OpenSSH writes it.

use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat};
use crate::key::{self, openssh, pem};

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    is_sealed: |choices| choices.encrypt,
    losses: |secret| pem::beside(secret.value.expose()),
    ..SecretFormat::new(
        "openssh",
        "a private key (Ed25519, P-256) as OpenSSH has it; sealed with --encrypt",
        encode,
        decode,
    )
};

fn encode(secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let mut key = key::read(secret.value.expose(), ask)?;
    if key.comment.is_empty() {
        key.comment = secret.name.clone().unwrap_or_default();
    }
    if !ask.choices().encrypt {
        return openssh::write(&key);
    }
    openssh::sealed(&key, &ask.new_passphrase()?)
}

fn decode(bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError> {
    let block = pem::openssh_block(bytes);
    let block =
        block.ok_or_else(|| FormatError::not_this_format("this is not a key in OpenSSH's form"))?;
    let key = openssh::write(&openssh::read(block, ask)?)?;
    Ok(Portable {
        lost: pem::beside(bytes),
        ..Portable::typed(openssh::CONTENT_TYPE, key)
    })
}
