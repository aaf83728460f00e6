//! Private keys in PKCS #8 (RFC 5958, 8410, 5915) as PEM text (RFC 7468), plain or encrypted by PBES2 (RFC 8018)
//! with scrypt (RFC 7914) and AES-256-CBC. SEC 1 (RFC 5915) and PBKDF2 are read, too.

use data_encoding::BASE64URL_NOPAD;
use pkcs8::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef};
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode as _, Encode as _, SliceReader};
use pkcs8::pkcs5::pbes2::{self, Kdf};
use pkcs8::pkcs5::{self, EncryptionScheme};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{Document, EncryptedPrivateKeyInfo, PrivateKeyInfo, SecretDocument};
use rand::RngCore as _;
use rand::rngs::OsRng;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::private_key::{self, Kind, PrivateKey};
use crate::ask::Ask;
use crate::ciphers::check_scrypt_work;
use crate::error::FormatError;

/// Media type of keys in PEM.
pub const CONTENT_TYPE: &str = "application/x-pem-file";

const PKCS8: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const OPENSSH: &str = "OPENSSH PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// The label of a curve's name before a key in SEC 1, which names the curve too.
const EC_PARAMETERS: &str = "EC PARAMETERS";
/// Labels of private keys that are stored and not converted.
const OTHERS: [&str; 2] = ["RSA PRIVATE KEY", "DSA PRIVATE KEY"];

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// Algorithms and curves that only have a name here.
const NAMES: [(ObjectIdentifier, &str); 12] = [
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13"),
        "PBES2 with a cipher other than AES and 3DES",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.3"),
        "PBE with MD5 and DES",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.10"),
        "PBE with SHA-1 and DES",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.1"),
        "PBE with SHA-1 and RC4",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3"),
        "PBE with SHA-1 and 3DES",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.6"),
        "PBE with SHA-1 and RC2",
    ),
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.7"), "DES"),
    (RSA, "RSA"),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
    (ObjectIdentifier::new_unwrap("1.3.101.111"), "X448"),
    (P384, "P-384"),
    (P521, "P-521"),
];

/// Costs of scrypt in exports: N = 2^14, r = 8, p = 5, one of OWASP's equal settings. OpenSSL refuses to use more than
/// 32 MiB, which rules out those with a larger N.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);
/// Most iterations of PBKDF2 that a file may ask for.
const MAX_PBKDF2: u64 = 10_000_000;

/// One block of PEM: its label and its whole text.
type Block<'a> = (&'a str, &'a str);

/// The blocks of a text. Text between them explains them (RFC 7468, section 5.2).
fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    const BEGIN: &str = "-----BEGIN ";
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut starts = rest.match_indices(BEGIN).map(|(start, _)| start);
        let begins_line = |start: &usize| {
            let before = rest.get(..*start).unwrap_or_default();
            before.is_empty() || before.ends_with('\n')
        };
        let block = rest.get(starts.find(begins_line)?..)?;
        let (label, _) = block.strip_prefix(BEGIN)?.split_once("-----")?;
        let end = format!("-----END {label}-----");
        let len = block.find(&end)? + end.len();
        let (block, after) = block.split_at_checked(len)?;
        rest = after;
        Some((label, block))
    })
}

fn private_block(bytes: &[u8]) -> Option<Block<'_>> {
    let text = private_key::text(bytes).ok()?;
    blocks(text.trim_start()).find(|(label, _)| is_private_label(label))
}

fn is_private_label(label: &str) -> bool {
    [PKCS8, ENCRYPTED, SEC1, OPENSSH].contains(&label) || OTHERS.contains(&label)
}

/// The contents of a file beside its first private key, each as a short phrase: forms of one key cannot carry them.
pub fn beside(bytes: &[u8]) -> Vec<String> {
    let Ok(text) = private_key::text(bytes) else {
        return Vec::new();
    };
    let (mut beside, mut has_key) = (Vec::new(), false);
    let mut rest = text.trim_start();
    let mut is_explained = false;
    for (label, block) in blocks(rest) {
        let (before, behind) = rest.split_once(block).unwrap_or(("", rest));
        is_explained |= !before.trim().is_empty();
        rest = behind;
        let is_key = !has_key && is_private_label(label);
        has_key |= is_key;
        if !is_key && label != EC_PARAMETERS {
            let short: String = label.chars().take(40).collect();
            let name = short.to_lowercase();
            let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) {
                "an"
            } else {
                "a"
            };
            beside.push(format!("{article} {}", name.escape_debug()));
        }
    }
    if !has_key {
        return Vec::new();
    }
    if is_explained || !rest.trim().is_empty() {
        beside.push("the text beside the key".into());
    }
    beside
}

/// Whether this is a file with a private key of any kind.
pub fn is_private(bytes: &[u8]) -> bool {
    private_block(bytes).is_some()
}

/// The text of a private key in OpenSSH's form.
pub fn openssh_block(bytes: &[u8]) -> Option<&str> {
    let (label, block) = private_block(bytes)?;
    (label == OPENSSH).then_some(block)
}

pub(super) fn kept(what: impl std::fmt::Display) -> FormatError {
    FormatError::unsupported(format!(
        "a key of {what} is not converted into another form: store it with --format key-file"
    ))
}

fn broken(error: impl std::fmt::Display) -> FormatError {
    FormatError::malformed(format!("the key is damaged: {error}"))
}

/// Reads a private key in PKCS #8 or SEC 1.
pub fn read(bytes: &[u8], ask: &dyn Ask) -> Result<PrivateKey, FormatError> {
    let none = || FormatError::not_this_format("this is not a private key in PEM");
    let (label, block) = private_block(bytes).ok_or_else(none)?;
    if let Some((name, _)) = label.split_once(' ').filter(|_| OTHERS.contains(&label)) {
        return Err(kept(name));
    }
    // Headers are OpenSSL's encryption from before PKCS #8: its key stretching is one MD5, and no crate has it.
    if block.contains("Proc-Type:") {
        let name = block
            .lines()
            .find_map(|line| line.strip_prefix("DEK-Info:"));
        let name = name
            .unwrap_or_default()
            .split(',')
            .next()
            .unwrap_or_default();
        let short: String = name.trim().chars().take(40).collect();
        return Err(FormatError::unsupported(format!(
            "the private key has OpenSSL's old encryption ({}), which is not read: convert it with `openssl pkcs8 -topk8 \
             -scrypt -in FILE -out NEW`",
            short.escape_debug()
        )));
    }
    let (_, document) = SecretDocument::from_pem(block).map_err(broken)?;
    match label {
        PKCS8 => from_pkcs8(document.as_bytes()),
        SEC1 => from_sec1(document.as_bytes()),
        ENCRYPTED => from_pkcs8(opened(document.as_bytes(), ask)?.as_bytes()),
        _ => Err(none()),
    }
}

fn from_pkcs8(der: &[u8]) -> Result<PrivateKey, FormatError> {
    let info = PrivateKeyInfo::from_der(der).map_err(broken)?;
    let kind = match info.algorithm.oid {
        ED25519 => Kind::Ed25519,
        X25519 => Kind::X25519,
        EC => {
            let curve = info.algorithm.parameters_oid().ok();
            return from_curve(curve, info);
        }
        other => return Err(kept(named(other))),
    };
    if info.algorithm.parameters.is_some() {
        return Err(broken("its algorithm has parameters"));
    }
    let bytes = OctetStringRef::from_der(info.private_key).map_err(broken)?;
    let key = PrivateKey::new(kind, bytes.as_bytes())?;
    match info.public_key {
        Some(public) => key.belonging_to(public),
        None => Ok(key),
    }
}

fn from_sec1(der: &[u8]) -> Result<PrivateKey, FormatError> {
    let info = sec1::EcPrivateKey::from_der(der).map_err(broken)?;
    let curve = info.parameters.and_then(sec1::EcParameters::named_curve);
    from_curve(curve, info)
}

/// The key of PKCS #8 or SEC 1 on a named curve.
fn from_curve<I, E: std::fmt::Display>(
    curve: Option<ObjectIdentifier>,
    info: I,
) -> Result<PrivateKey, FormatError>
where
    p256::SecretKey: TryFrom<I, Error = E>,
    k256::SecretKey: TryFrom<I, Error = E>,
{
    match curve.ok_or_else(|| broken("its curve has no name"))? {
        P256 => p256::SecretKey::try_from(info).map(Into::into),
        SECP256K1 => k256::SecretKey::try_from(info).map(Into::into),
        other => return Err(kept(named(other))),
    }
    .map_err(broken)
}

fn named(oid: ObjectIdentifier) -> String {
    let known = NAMES.iter().find(|(own, _)| *own == oid);
    known.map_or_else(|| oid.to_string(), |(_, name)| (*name).to_owned())
}

/// SSH's name of ECDSA keys of P-256.
pub const SSH_P256: &str = "ecdsa-sha2-nistp256";

/// SSH's name of the algorithm of a private key in PKCS #8 and DER (RFC 8332, 8709, 5656).
pub fn ssh_type(der: &[u8]) -> Option<&'static str> {
    let algorithm = PrivateKeyInfo::try_from(der).ok()?.algorithm;
    match algorithm.oid {
        ED25519 => Some("ssh-ed25519"),
        RSA => Some("ssh-rsa"),
        EC => match algorithm.parameters_oid().ok()? {
            P256 => Some(SSH_P256),
            P384 => Some("ecdsa-sha2-nistp384"),
            P521 => Some("ecdsa-sha2-nistp521"),
            _ => None,
        },
        _ => None,
    }
}

/// The PEM text of a private key in PKCS #8, DER and base64url; `None` for other text.
pub fn from_base64url(text: &str) -> Option<Zeroizing<String>> {
    let der = BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes());
    let document = SecretDocument::try_from(der.ok()?).ok()?;
    document.to_pem(PKCS8, LineEnding::LF).ok()
}

/// The DER of a private key in PKCS #8 and PEM; `None` for other text.
pub fn pkcs8_der(text: &str) -> Option<SecretDocument> {
    let (label, document) = SecretDocument::from_pem(text).ok()?;
    (label == PKCS8).then_some(document)
}

/// Decrypts PBES2 within the cost limits.
fn opened(der: &[u8], ask: &dyn Ask) -> Result<SecretDocument, FormatError> {
    let old = |what: &dyn std::fmt::Display| {
        FormatError::unsupported(format!(
            "the private key has an encryption that is not read ({what}): convert it with `openssl pkcs8 -topk8 -scrypt -in \
             FILE -out NEW`"
        ))
    };
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|error| {
        let oid = encryption(der);
        oid.map_or_else(|| old(&error), |oid| old(&named(oid)))
    })?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(old(&named(info.encryption_algorithm.oid())));
    };
    check_work(&parameters.kdf)?;
    let passphrase = ask.passphrase()?;
    info.decrypt(passphrase.as_bytes())
        .map_err(|error| match error {
            pkcs8::Error::EncryptedPrivateKey(
                pkcs5::Error::UnsupportedAlgorithm { .. }
                | pkcs5::Error::AlgorithmParametersInvalid { .. },
            ) => old(&named(parameters.encryption.oid())),
            _ => FormatError::wrong_passphrase("the key does not open: wrong passphrase"),
        })
}

/// The algorithm of an encrypted key.
fn encryption(der: &[u8]) -> Option<ObjectIdentifier> {
    let mut reader = SliceReader::new(der).ok()?;
    let sequence = AnyRef::decode(&mut reader).ok()?;
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    Some(AlgorithmIdentifierRef::decode(&mut reader).ok()?.oid)
}

fn check_work(kdf: &Kdf<'_>) -> Result<(), FormatError> {
    match kdf {
        Kdf::Scrypt(scrypt) => {
            let (r, p) = (scrypt.block_size.into(), scrypt.parallelization.into());
            let n = scrypt.cost_parameter;
            check_scrypt_work(n, r, p)?;
            // The library relies on it.
            if n < 2 || !n.is_power_of_two() || r == 0 || p == 0 {
                return Err(broken("scrypt does not allow its parameters"));
            }
        }
        Kdf::Pbkdf2(pbkdf2) => {
            let count = pbkdf2.iteration_count.into();
            FormatError::check_cost("iterations of PBKDF2", count, 0..=MAX_PBKDF2)?;
        }
        _ => {}
    }
    Ok(())
}

/// Calls `with` on the key in PKCS #8.
fn with_pkcs8<T>(
    key: &PrivateKey,
    with: impl FnOnce(PrivateKeyInfo<'_>) -> pkcs8::Result<T>,
) -> Result<T, FormatError> {
    let curve = |curve: &ObjectIdentifier| -> pkcs8::der::Result<Vec<u8>> { curve.to_der() };
    let (oid, parameters, private) = match (key.p256(), key.secp256k1()) {
        (Some(scalar), _) => (EC, Some(curve(&P256)), scalar.to_sec1_der()),
        (_, Some(scalar)) => (EC, Some(curve(&SECP256K1)), scalar.to_sec1_der()),
        _ => {
            let bytes = key.bytes();
            let octets = OctetStringRef::new(bytes.expose()).and_then(|octets| octets.to_der());
            (okp(key.kind()), None, octets.map(Zeroizing::new))
        }
    };
    let private = private.map_err(broken)?;
    let parameters = parameters.transpose().map_err(broken)?;
    let parameters = parameters.as_deref().map(TryInto::try_into);
    let algorithm = AlgorithmIdentifierRef {
        oid,
        parameters: parameters.transpose().map_err(broken)?,
    };
    with(PrivateKeyInfo::new(algorithm, &private)).map_err(broken)
}

fn okp(kind: Kind) -> ObjectIdentifier {
    match kind {
        Kind::Ed25519 => ED25519,
        Kind::X25519 => X25519,
        Kind::P256 | Kind::Secp256k1 => EC,
    }
}

fn armoured(document: &SecretDocument, label: &'static str) -> Result<SecretBytes, FormatError> {
    let text = document.to_pem(label, LineEnding::LF).map_err(broken)?;
    Ok(SecretBytes::from(text.as_bytes()))
}

/// Writes a private key in plain PKCS #8.
///
/// # Errors
/// [`FormatError`] if the library does not write it.
pub fn write(key: &PrivateKey) -> Result<SecretBytes, FormatError> {
    let document = with_pkcs8(key, |info| SecretDocument::try_from(info))?;
    armoured(&document, PKCS8)
}

/// Writes a private key in encrypted PKCS #8.
pub fn sealed(key: &PrivateKey, passphrase: &str) -> Result<SecretBytes, FormatError> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    OsRng.fill_bytes(&mut salt);
    OsRng.fill_bytes(&mut iv);
    let (log_n, r, p) = SCRYPT;
    let work = pkcs5::scrypt::Params::new(log_n, r, p, 32).map_err(broken)?;
    let parameters = pbes2::Parameters::scrypt_aes256cbc(work, &salt, &iv).map_err(broken)?;
    let document = with_pkcs8(key, |info| {
        info.encrypt_with_params(parameters, passphrase.as_bytes())
    })?;
    armoured(&document, ENCRYPTED)
}

/// Writes the public key as SubjectPublicKeyInfo (RFC 5280, 8410, 5480).
pub fn public(key: &PrivateKey) -> Result<String, FormatError> {
    let curve = match key.kind() {
        Kind::P256 => Some(&P256),
        Kind::Secp256k1 => Some(&SECP256K1),
        Kind::Ed25519 | Kind::X25519 => None,
    };
    let bytes = key.public();
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: okp(key.kind()),
            parameters: curve.map(Into::into),
        },
        subject_public_key: BitStringRef::from_bytes(&bytes).map_err(broken)?,
    };
    let document = Document::encode_msg(&info).map_err(broken)?;
    document.to_pem(PUBLIC, LineEnding::LF).map_err(broken)
}
