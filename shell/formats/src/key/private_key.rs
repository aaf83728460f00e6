//! Private keys, whatever text form a value has them in: PKCS #8 or SEC 1 in PEM, OpenSSH's own, or a JWK.

use std::fmt;

use rand::rngs::OsRng;
use shared::secret::Key;

use crate::error::FormatError;

/// Longest text of a key, in bytes: RSA keys of 16384 bits have 13 KiB.
pub const MAX_TEXT: usize = 64 * 1024;

/// Kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Signs (RFC 8032).
    Ed25519,
    /// Agrees on keys (RFC 7748).
    X25519,
    /// NIST's curve, for ECDSA and ECDH.
    P256,
    /// SEC 2's curve, for ECDSA.
    Secp256k1,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::X25519 => "X25519",
            Self::P256 => "P-256",
            Self::Secp256k1 => "secp256k1",
        })
    }
}

/// A private key. Scalars are between 1 and the order of their curve.
#[derive(Clone)]
pub struct PrivateKey {
    secret: Secret,
    /// The comment of OpenSSH's form.
    pub comment: String,
}

#[derive(Clone)]
enum Secret {
    Ed25519(Key),
    X25519(Key),
    // They stay where they are when their owner is moved, as the others do.
    P256(Box<p256::SecretKey>),
    Secp256k1(Box<k256::SecretKey>),
}

impl PrivateKey {
    /// A key from its 32 bytes: a seed, or a scalar with its most significant byte first.
    ///
    /// # Errors
    /// [`FormatError`] for scalars out of range, and for other lengths.
    pub fn new(kind: Kind, bytes: &[u8]) -> Result<Self, FormatError> {
        let text = || FormatError::malformed(format!("a private key of {kind} has 32 bytes"));
        let bytes = Key::from_slice(bytes).ok_or_else(text)?;
        let range = |_| {
            let text = format!("the private key is out of range for {kind}");
            FormatError::malformed(text)
        };
        match kind {
            Kind::Ed25519 => Ok(Self::of(Secret::Ed25519(bytes))),
            Kind::X25519 => Ok(Self::of(Secret::X25519(bytes))),
            Kind::P256 => p256::SecretKey::from_slice(bytes.expose())
                .map(Self::from)
                .map_err(range),
            Kind::Secp256k1 => k256::SecretKey::from_slice(bytes.expose())
                .map(Self::from)
                .map_err(range),
        }
    }

    /// A new key from the operating system's CSPRNG.
    pub fn generate(kind: Kind) -> Self {
        Self::of(match kind {
            Kind::Ed25519 => Secret::Ed25519(Key::random()),
            Kind::X25519 => Secret::X25519(clamped(&Key::random())),
            Kind::P256 => Secret::P256(Box::new(p256::SecretKey::random(&mut OsRng))),
            Kind::Secp256k1 => Secret::Secp256k1(Box::new(k256::SecretKey::random(&mut OsRng))),
        })
    }

    fn of(secret: Secret) -> Self {
        Self {
            secret,
            comment: String::new(),
        }
    }

    /// The kind of the key.
    pub fn kind(&self) -> Kind {
        match self.secret {
            Secret::Ed25519(_) => Kind::Ed25519,
            Secret::X25519(_) => Kind::X25519,
            Secret::P256(_) => Kind::P256,
            Secret::Secp256k1(_) => Kind::Secp256k1,
        }
    }

    /// The 32 bytes of the key.
    pub fn bytes(&self) -> Key {
        match &self.secret {
            Secret::Ed25519(bytes) | Secret::X25519(bytes) => bytes.clone(),
            Secret::P256(scalar) => Key::new(scalar.to_bytes().into()),
            Secret::Secp256k1(scalar) => Key::new(scalar.to_bytes().into()),
        }
    }

    /// The public key: 32 bytes, or for the curves of SEC 1 an uncompressed point of 65.
    pub fn public(&self) -> Vec<u8> {
        use p256::elliptic_curve::sec1::ToEncodedPoint as _;
        match &self.secret {
            Secret::Ed25519(seed) => {
                let pair = ed25519_dalek::SigningKey::from_bytes(seed.expose());
                pair.verifying_key().to_bytes().to_vec()
            }
            Secret::X25519(bytes) => {
                let secret = x25519_dalek::StaticSecret::from(*bytes.expose());
                x25519_dalek::PublicKey::from(&secret).to_bytes().to_vec()
            }
            Secret::P256(scalar) => {
                let point = scalar.public_key().to_encoded_point(false);
                point.as_bytes().to_vec()
            }
            Secret::Secp256k1(scalar) => {
                let point = scalar.public_key().to_encoded_point(false);
                point.as_bytes().to_vec()
            }
        }
    }

    /// The key itself, if a file's public key is the one that belongs to it.
    ///
    /// # Errors
    /// [`FormatError`] if not.
    pub fn belonging_to(self, public: &[u8]) -> Result<Self, FormatError> {
        if self.public() == public {
            return Ok(self);
        }
        let text = "the public key does not belong to the private key";
        Err(FormatError::malformed(text))
    }

    /// The scalar, where it is a key of this curve.
    pub fn p256(&self) -> Option<&p256::SecretKey> {
        match &self.secret {
            Secret::P256(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The scalar, where it is a key of this curve.
    pub fn secp256k1(&self) -> Option<&k256::SecretKey> {
        match &self.secret {
            Secret::Secp256k1(scalar) => Some(scalar),
            _ => None,
        }
    }
}

impl From<p256::SecretKey> for PrivateKey {
    fn from(scalar: p256::SecretKey) -> Self {
        Self::of(Secret::P256(Box::new(scalar)))
    }
}

impl From<k256::SecretKey> for PrivateKey {
    fn from(scalar: k256::SecretKey) -> Self {
        Self::of(Secret::Secp256k1(Box::new(scalar)))
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind()
            && self.bytes() == other.bytes()
            && self.comment == other.comment
    }
}

impl Eq for PrivateKey {}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [redacted]", self.kind())
    }
}

/// As RFC 7748 has scalars: a reader that takes them as they are gets what one that clamps does.
fn clamped(bytes: &Key) -> Key {
    let mut clamped = *bytes.expose();
    let [first, .., last] = &mut clamped;
    *first &= 0b1111_1000;
    *last = (*last & 0b0111_1111) | 0b0100_0000;
    Key::new(clamped)
}

/// The text of a value that may be a key.
///
/// # Errors
/// [`FormatError`] for a value that is too long, or is not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, FormatError> {
    let what = "the text is too long for a private key";
    FormatError::check_size(what, bytes.len(), MAX_TEXT, "bytes")?;
    std::str::from_utf8(bytes).map_err(|_| FormatError::not_this_format("the text is not UTF-8"))
}
