//! `jwk`: a JSON Web Key; `oct` for a value that is no private key.

use keyshell_base::names::SecretName;
use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};
use crate::key::jwk::{self, Document};
use crate::key::{self, openssh, pem};

/// The format.
pub struct Jwk;

impl SecretFormat for Jwk {
    fn name(&self) -> &'static str {
        "jwk"
    }

    fn about(&self) -> &'static str {
        "JSON Web Key: a private key (Ed25519, X25519, P-256, secp256k1), or any bytes as `oct`; with the name"
    }

    fn recognises(&self, bytes: &[u8]) -> bool {
        jwk::parse(bytes).is_ok_and(|document| document.is_taken())
    }

    fn losses(&self, secret: &Portable) -> Vec<String> {
        openssh::lost_comment(secret)
    }

    fn encode(&self, secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
        let value = secret.value.expose();
        let name = secret.name.as_deref();
        // A key of another kind is no mere bytes, though it could be called so.
        if key::is_meant(value) {
            let key = key::read(value, ask)?;
            return jwk::encoded(&jwk::document(&key, name, true));
        }
        jwk::encoded(&Document::octets(value, name))
    }

    fn decode(&self, bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
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
}

pub fn member(name: &str) -> String {
    let short: String = name.chars().take(40).collect();
    format!("member `{}`", short.escape_debug())
}
