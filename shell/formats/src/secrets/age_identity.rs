//! `age-identity`: a private key of X25519 as age's programs keep it.

use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat};
use crate::key::{self, age_identity, openssh, pem};

/// The format. A file of identities that comes in without its name is stored as it is.
pub const FORMAT: SecretFormat = SecretFormat {
    losses: openssh::lost,
    ..SecretFormat::new(
        "age-identity",
        "a private key of X25519 as an age identity",
        encode,
        |bytes, _| decode(bytes),
    )
};

fn encode(secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    age_identity::write(&key::read(secret.value.expose(), ask)?)
}

fn decode(bytes: &[u8]) -> Result<Portable, FormatError> {
    let key = age_identity::read(bytes)?;
    Ok(Portable {
        lost: age_identity::comments(bytes),
        ..Portable::typed(pem::CONTENT_TYPE, pem::write(&key)?)
    })
}
