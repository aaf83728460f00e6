//! `jwk`: a JSON Web Key; `oct` for a value that is no private key.

use keyshell_base::names::SecretName;
use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};
use crate::key::jwk::{self, Document};
use crate::key::{self, openssh, pem};

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    recognises: |bytes| jwk::parse(bytes).is_ok_and(|document| document.is_taken()),
    losses: openssh::lost,
    ..SecretFormat::new(
        "jwk",
        "JSON Web Key: a private key (Ed25519, X25519, P-256, secp256k1), or any bytes as `oct`; with the name",
        encode,
        |bytes, _| decode(bytes),
    )
};

fn encode(secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let value = secret.value.expose();
    let name = secret.name.as_deref();
    // A key of another kind is no mere bytes, though it could be called so.
    if key::is_meant(value) {
        let key = key::read(value, ask)?;
        return jwk::encoded(&jwk::document(&key, name, true));
    }
    jwk::encoded(&Document::octets(value, name))
}

/// The secret of a JWK.
///
/// # Errors
/// [`FormatError`] for other text, and for keys that are not converted.
pub fn decode(bytes: &[u8]) -> Result<Portable, FormatError> {
    let document = jwk::parse(bytes)?;
    let mut lost: Vec<_> = document.other.keys().map(|name| member(name)).collect();
    let kid = document.kid.as_deref();
    let name = kid.filter(|kid| SecretName::parse(kid).is_ok());
    if kid.is_some() && name.is_none() {
        lost.push("`kid`: it is no name that a secret can have".into());
    }
    let secret = if document.kty == "oct" {
        Portable::bare(bounded(document.value()?.to_vec())?)
    } else {
        Portable::typed(pem::CONTENT_TYPE, pem::write(&document.key()?)?)
    };
    Ok(Portable {
        name: name.map(str::to_owned),
        lost,
        ..secret
    })
}

pub fn member(name: &str) -> String {
    let short: String = name.chars().take(40).collect();
    format!("member `{}`", short.escape_debug())
}
