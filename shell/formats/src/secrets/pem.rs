//! `pem`: a private key in PKCS #8 as PEM text.

use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat};
use crate::key::{self, openssh, pem};

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    is_sealed: |choices| choices.encrypt,
    losses: openssh::lost,
    ..SecretFormat::new(
        "pem",
        "a private key (Ed25519, X25519, P-256, secp256k1) in PKCS #8; sealed with --encrypt",
        encode,
        decode,
    )
};

fn encode(secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let key = key::read(secret.value.expose(), ask)?;
    if ask.choices().encrypt {
        return pem::sealed(&key, &ask.new_passphrase()?);
    }
    pem::write(&key)
}

fn decode(bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError> {
    if pem::openssh_block(bytes).is_some() {
        let text = "this is a key in OpenSSH's form: use --format openssh";
        return Err(FormatError::not_this_format(text));
    }
    let key = pem::write(&pem::read(bytes, ask)?)?;
    Ok(Portable {
        lost: pem::beside(bytes),
        ..Portable::typed(pem::CONTENT_TYPE, key)
    })
}
