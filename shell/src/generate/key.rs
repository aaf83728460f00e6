//! Private keys.

use clap::ValueEnum;
use keyshell_formats::key::{Kind, PrivateKey};
use keyshell_formats::{FormatError, openssh, pem};
use shared::secret::SecretBytes;

/// Algorithm and text format of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// Ed25519 in PKCS #8 PEM.
    Ed25519,
    /// X25519 in PKCS #8 PEM.
    X25519,
    /// P-256 in PKCS #8 PEM.
    P256,
    /// secp256k1 in PKCS #8 PEM.
    Secp256k1,
    /// Ed25519 in OpenSSH's format, with the secret's name as comment.
    SshEd25519,
}

impl KeyType {
    /// The media type of its text.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::SshEd25519 => openssh::CONTENT_TYPE,
            _ => pem::CONTENT_TYPE,
        }
    }

    /// Entropy in bits. X25519 fixes five bits; the orders of P-256 and secp256k1 round to 2^256.
    pub fn entropy_bits(self) -> f64 {
        match self {
            Self::X25519 => 251.0,
            _ => 256.0,
        }
    }
}

/// Generates a private key.
///
/// # Errors
/// [`FormatError`] if the key cannot be encoded.
pub fn key(kind: KeyType, name: &str) -> Result<SecretBytes, FormatError> {
    let mut key = PrivateKey::generate(match kind {
        KeyType::Ed25519 | KeyType::SshEd25519 => Kind::Ed25519,
        KeyType::X25519 => Kind::X25519,
        KeyType::P256 => Kind::P256,
        KeyType::Secp256k1 => Kind::Secp256k1,
    });
    if kind != KeyType::SshEd25519 {
        return pem::write(&key);
    }
    name.clone_into(&mut key.comment);
    openssh::write(&key)
}
