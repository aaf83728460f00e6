//! `jwk`: a JSON Web Key (RFC 7517): `OKP` (RFC 8037) and `EC` (RFC 7518, 8812) where the value is such a key, and `oct`
//! for any other bytes.

use data_encoding::BASE64URL_NOPAD;
use keyshell_base::json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use zeroize::Zeroizing;

use super::private_key::{self, Kind, PrivateKey};
use crate::error::FormatError;

/// Longest text of a JWK, in bytes: a value in base64, and what stands around it.
const MAX_TEXT: usize = MAX_VALUE_LEN * 4 / 3 + private_key::MAX_TEXT;

/// A JWK.
#[derive(Default, Serialize, Deserialize)]
pub struct Document {
    /// The key type: `OKP`, `EC`, `RSA` or `oct`.
    pub kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The key ID: the name of the secret.
    pub kid: Option<String>,
    #[serde(flatten)]
    /// Members that this program does not use.
    pub other: Map<String, Value>,
}

fn text(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(BASE64URL_NOPAD.encode(bytes))
}

/// Parses a JWK.
///
/// # Errors
/// [`FormatError`] for text that is longer than a value can be, and for other JSON.
pub fn parse(bytes: &[u8]) -> Result<Document, FormatError> {
    let no = |why: &dyn std::fmt::Display| {
        FormatError::not_this_format(format!("this is not a JWK: {why}"))
    };
    let bytes = bytes.trim_ascii();
    if bytes.len() > MAX_TEXT {
        return Err(no(&"it is too long for a value of 1 MiB"));
    }
    // Most of what is no JWK is no JSON object either.
    if !bytes.starts_with(b"{") {
        return Err(no(&"it is no JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| no(&error))
}

fn decoded(text: &str, name: &str) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
    bytes.map(Zeroizing::new).map_err(|error| {
        FormatError::malformed(format!("the JWK's `{name}` is not base64url: {error}"))
    })
}

impl Document {
    /// The JWK of bytes that are no key of a known kind.
    pub fn octets(bytes: &[u8], name: Option<&str>) -> Self {
        Self {
            kty: "oct".into(),
            k: Some(text(bytes)),
            kid: name.map(str::to_owned),
            ..Self::default()
        }
    }

    /// The bytes of an `oct` key.
    ///
    /// # Errors
    /// [`FormatError`] where `k` is missing or malformed.
    pub fn value(&self) -> Result<Zeroizing<Vec<u8>>, FormatError> {
        let missing = || FormatError::malformed("the JWK has no `k`");
        decoded(self.k.as_ref().ok_or_else(missing)?, "k")
    }

    fn kind(&self) -> Option<Kind> {
        match (self.kty.as_str(), self.crv.as_deref()?) {
            ("OKP", "Ed25519") => Some(Kind::Ed25519),
            ("OKP", "X25519") => Some(Kind::X25519),
            ("EC", "P-256") => Some(Kind::P256),
            ("EC", "secp256k1") => Some(Kind::Secp256k1),
            _ => None,
        }
    }

    /// Whether it is the JWK of a private key of any kind.
    fn is_private(&self) -> bool {
        self.d.is_some() && ["OKP", "EC", "RSA"].contains(&self.kty.as_str())
    }

    /// Whether it has something that is taken in.
    pub fn is_taken(&self) -> bool {
        self.kty == "oct" && self.k.is_some() || self.d.is_some() && self.kind().is_some()
    }

    /// The private key.
    ///
    /// # Errors
    /// [`FormatError`] for key types and curves that are not converted, and for inconsistent keys.
    pub fn key(&self) -> Result<PrivateKey, FormatError> {
        let Some(kind) = self.kind() else {
            let what = self.crv.as_deref().unwrap_or(&self.kty);
            let short: String = what.chars().take(40).collect();
            let text = format!(
                "a JWK of `{}` is not converted: without --format the file is stored unchanged",
                short.escape_debug()
            );
            return Err(FormatError::unsupported(text));
        };
        let missing = || FormatError::malformed("the JWK has no private key");
        let private = decoded(self.d.as_ref().ok_or_else(missing)?, "d")?;
        let key = PrivateKey::new(kind, &private)?;
        let part = |text: &Option<String>, name| decoded(text.as_deref().unwrap_or_default(), name);
        let x = part(&self.x, "x")?;
        if matches!(kind, Kind::Ed25519 | Kind::X25519) {
            return key.belonging_to(&x);
        }
        let y = part(&self.y, "y")?;
        key.belonging_to(&[&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat())
    }
}

/// The first byte of an uncompressed point in SEC 1.
const UNCOMPRESSED: u8 = 4;
/// Length of a coordinate, in bytes.
const COORDINATE: usize = 32;

/// The JWK of a key.
pub fn document(key: &PrivateKey, name: Option<&str>, private: bool) -> Document {
    let (kty, crv) = match key.kind() {
        Kind::Ed25519 => ("OKP", "Ed25519"),
        Kind::X25519 => ("OKP", "X25519"),
        Kind::P256 => ("EC", "P-256"),
        Kind::Secp256k1 => ("EC", "secp256k1"),
    };
    let public = key.public();
    let point = public.strip_prefix(&[UNCOMPRESSED]).filter(|_| kty == "EC");
    let (x, y) = match point.and_then(|point| point.split_at_checked(COORDINATE)) {
        Some((x, y)) => (x, Some(BASE64URL_NOPAD.encode(y))),
        None => (public.as_slice(), None),
    };
    Document {
        kty: kty.into(),
        crv: Some(crv.into()),
        x: Some(BASE64URL_NOPAD.encode(x)),
        y,
        d: private.then(|| text(key.bytes().expose())),
        kid: name.map(str::to_owned),
        ..Document::default()
    }
}

/// Writes a JWK.
///
/// # Errors
/// Errors of encoding; writing to memory has none.
pub fn encoded(document: &Document) -> Result<SecretBytes, FormatError> {
    json::encode(document).map_err(FormatError::library)
}

/// Whether a value is the JWK of a private key of any kind.
pub fn is_private(bytes: &[u8]) -> bool {
    bytes.len() <= private_key::MAX_TEXT && parse(bytes).is_ok_and(|document| document.is_private())
}
