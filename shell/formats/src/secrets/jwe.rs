//! `jwe`: the value as a compact JSON Web Encryption (RFC 7516) under a passphrase: the content key wrapped by
//! PBES2-HS512+A256KW (RFC 7518, section 4.8), the content under A256GCM, its media type in `cty`.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use aes_kw::KekAes256;
use data_encoding::BASE64URL_NOPAD;
use keyshell_base::json;
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::Sha512;
use shared::secret::{Key, SecretBytes};
use shared::wire::limits::MAX_VALUE_LEN;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};
use crate::secrets::jwk;

const ALG: &str = "PBES2-HS512+A256KW";
const ENC: &str = "A256GCM";
/// Iterations of PBKDF2 in exported files. OWASP recommends 210,000 for HMAC-SHA-512; this leaves a margin for years.
const ITERATIONS: u32 = 310_000;
/// Most iterations that a file may ask for.
const MAX_ITERATIONS: u64 = 10_000_000;
/// Length of the salt in exported files, in bytes.
const SALT: usize = 16;
/// Length of salts that are read, in bytes: the least is RFC 7518's.
const SALTS: std::ops::RangeInclusive<usize> = 8..=1024;
/// Length of A256GCM's nonce, and of its tag.
const NONCE: usize = 12;
const TAG: usize = 16;
/// Length of a wrapped content key.
const WRAPPED: usize = Key::LEN + 8;
/// Longest header, in base64.
const MAX_HEADER: usize = 16 * 1024;
/// Longest file, in bytes: a value as a JWK, in base64.
const MAX_TEXT: usize = 2 * MAX_VALUE_LEN;
/// The media type of a key as content (RFC 7517, section 7).
const JWK: &str = "application/jwk+json";

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    recognises,
    is_sealed: |_| true,
    ..SecretFormat::new(
        "jwe",
        "JSON Web Encryption of the value under a passphrase, with its media type",
        encode,
        decode,
    )
};

fn recognises(bytes: &[u8]) -> bool {
    Parts::parse(bytes).is_ok_and(|parts| parts.header().is_ok_and(|header| header.is_ours()))
}

fn encode(secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let mut salt = [0; SALT];
    OsRng.fill_bytes(&mut salt);
    let header = Header {
        alg: ALG.into(),
        enc: ENC.into(),
        p2s: BASE64URL_NOPAD.encode(&salt),
        p2c: ITERATIONS.into(),
        cty: secret.content_type.as_deref().map(|cty| short(cty).into()),
        other: serde_json::Map::new(),
    };
    let passphrase = ask.new_passphrase()?;
    let (content_key, mut nonce) = (Key::random(), [0; NONCE]);
    OsRng.fill_bytes(&mut nonce);
    let kek = KekAes256::from(*key(passphrase.as_bytes(), &salt, ITERATIONS).expose());
    let wrapped = kek.wrap_vec(content_key.expose()).map_err(|_| failed())?;
    let header = json::encode(&header).map_err(|_| failed())?;
    let header = BASE64URL_NOPAD.encode(header.expose());
    let payload = Payload {
        msg: secret.value.expose(),
        aad: header.as_bytes(),
    };
    let sealed = Aes256Gcm::new(content_key.expose().into()).encrypt(&nonce.into(), payload);
    let sealed = sealed.map_err(|_| failed())?;
    let (content, tag) = sealed.split_at(sealed.len().saturating_sub(TAG));
    let parts = [&wrapped, nonce.as_slice(), content, tag];
    let parts = parts.map(|part| BASE64URL_NOPAD.encode(part)).join(".");
    Ok(SecretBytes::new(format!("{header}.{parts}").into_bytes()))
}

fn decode(bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError> {
    let parts = Parts::parse(bytes)?;
    let header = parts.header()?;
    let (salt, iterations) = header.checked()?;
    let passphrase = ask.passphrase()?;
    let value = parts.open(&key(passphrase.as_bytes(), &salt, iterations))?;
    let content_type = header.cty.as_deref().map(whole);
    let is_type = |cty: &String| cty.len() <= 127 && cty.bytes().all(|b| b.is_ascii_graphic());
    let taken = content_type.as_ref().filter(|cty| is_type(cty)).cloned();
    let mut lost: Vec<_> = header.other.keys().map(|name| jwk::member(name)).collect();
    if content_type.as_deref() == Some(JWK) {
        let mut key = jwk::decode(value.expose())?;
        key.lost.extend(lost);
        return Ok(key);
    }
    if content_type.is_some() && taken.is_none() {
        lost.push("`cty`: it is no media type".into());
    }
    Ok(Portable {
        content_type: taken,
        lost,
        ..Portable::bare(bounded(value.expose().to_vec())?)
    })
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    enc: String,
    #[serde(default)]
    p2s: String,
    #[serde(default)]
    p2c: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cty: Option<String>,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
}

impl Header {
    fn is_ours(&self) -> bool {
        (self.alg.as_str(), self.enc.as_str()) == (ALG, ENC)
    }

    /// The salt and the iterations.
    fn checked(&self) -> Result<(Vec<u8>, u32), FormatError> {
        let refused = |text: String| Err(FormatError::unsupported(text));
        if !self.is_ours() {
            return refused(format!(
                "the JWE is no {ALG} with {ENC}, which is all that is opened here"
            ));
        }
        // Critical members must be understood; compressed content has no length that could be trusted.
        if let Some(name) = ["crit", "zip"]
            .iter()
            .find(|name| self.other.contains_key(**name))
        {
            return refused(format!("the JWE has `{name}`, which is not taken here"));
        }
        let iterations =
            FormatError::check_cost("iterations (`p2c`)", self.p2c, 1..=MAX_ITERATIONS)?;
        let iterations = u32::try_from(iterations).unwrap_or(u32::MAX);
        let salt = BASE64URL_NOPAD.decode(self.p2s.as_bytes()).ok();
        match salt.filter(|salt| SALTS.contains(&salt.len())) {
            Some(salt) => Ok((salt, iterations)),
            None => refused("the JWE's `p2s` is no base64url of 8 to 1024 bytes".into()),
        }
    }
}

/// A media type as JOSE shortens it (RFC 7515, section 4.1.10).
fn short(content_type: &str) -> &str {
    let rest = content_type.strip_prefix("application/");
    rest.filter(|rest| !rest.contains('/'))
        .unwrap_or(content_type)
}

fn whole(cty: &str) -> String {
    if cty.contains('/') {
        cty.to_owned()
    } else {
        format!("application/{cty}")
    }
}

/// The key that wraps the content key: PBKDF2-HMAC-SHA-512 over the algorithm's name, a zero byte and the salt.
fn key(passphrase: &[u8], salt: &[u8], iterations: u32) -> Key {
    let salt = [ALG.as_bytes(), &[0], salt].concat();
    let mut key = [0; Key::LEN];
    pbkdf2::pbkdf2_hmac::<Sha512>(passphrase, &salt, iterations, &mut key);
    Key::new(key)
}

fn failed() -> FormatError {
    FormatError::library("the JWE could not be encrypted")
}

/// The five parts of the compact form.
struct Parts<'a> {
    header: &'a str,
    wrapped: Vec<u8>,
    nonce: [u8; NONCE],
    /// Content and tag.
    sealed: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let no =
            |why: &str| FormatError::not_this_format(format!("this is not a compact JWE: {why}"));
        let bytes = bytes.trim_ascii();
        if bytes.len() > MAX_TEXT {
            return Err(no("it is too long for a value of 1 MiB"));
        }
        let five = || no("it has not five parts of base64url");
        // A cheap check before the whole text is parsed.
        if !bytes.starts_with(b"ey") {
            return Err(five());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| five())?;
        let mut texts = text.split('.');
        let header = texts.next().ok_or_else(five)?;
        if header.len() > MAX_HEADER {
            return Err(no("its header is too long"));
        }
        let mut part = || -> Result<Vec<u8>, FormatError> {
            let part = texts.next().ok_or_else(five)?;
            BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| five())
        };
        let (wrapped, nonce, content, tag) = (part()?, part()?, part()?, part()?);
        if texts.next().is_some() {
            return Err(five());
        }
        if tag.len() != TAG {
            return Err(no("its tag has not 16 bytes"));
        }
        Ok(Self {
            header,
            wrapped,
            nonce: nonce
                .try_into()
                .map_err(|_| no("its nonce has not 12 bytes"))?,
            sealed: [content, tag].concat(),
        })
    }

    fn header(&self) -> Result<Header, FormatError> {
        let no =
            |why: String| FormatError::malformed(format!("the JWE's header is damaged: {why}"));
        let header = BASE64URL_NOPAD.decode(self.header.as_bytes());
        let header = header.map_err(|error| no(error.to_string()))?;
        serde_json::from_slice(&header).map_err(|error| no(error.to_string()))
    }

    fn open(&self, key: &Key) -> Result<SecretBytes, FormatError> {
        let no = || {
            FormatError::wrong_passphrase(
                "the JWE does not open: wrong passphrase, or it is damaged",
            )
        };
        let content_key = unwrapped(key, &self.wrapped).ok_or_else(no)?;
        self.content(&content_key).ok_or_else(no)
    }

    fn content(&self, key: &Key) -> Option<SecretBytes> {
        let payload = Payload {
            msg: &self.sealed,
            aad: self.header.as_bytes(),
        };
        let cipher = Aes256Gcm::new(key.expose().into());
        let content = cipher.decrypt(&self.nonce.into(), payload).ok()?;
        Some(SecretBytes::new(content))
    }
}

/// The content key of 256 bits that was wrapped (RFC 3394).
fn unwrapped(key: &Key, wrapped: &[u8]) -> Option<Key> {
    if wrapped.len() != WRAPPED {
        return None;
    }
    let content_key = KekAes256::from(*key.expose()).unwrap_vec(wrapped).ok()?;
    Key::from_slice(SecretBytes::new(content_key).expose())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use data_encoding::HEXUPPER;

    use super::*;

    fn decoded(text: &str) -> Vec<u8> {
        BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
    }

    /// RFC 7520, section 5.3: a content key of 256 bits under PBES2-HS512+A256KW.
    #[test]
    fn content_keys_are_wrapped_as_in_the_cookbook() {
        let passphrase = "entrap_o\u{2013}peter_long\u{2013}credit_tun";
        let key = key(
            passphrase.as_bytes(),
            &decoded("8Q1SzinasR3xchYz6ZZcHA"),
            8192,
        );
        let wrapped = decoded("d3qNhUWfqheyPp4H8sjOWsDYajoej4c5Je6rlUtFPWdgtURtmeDV1g");
        let content_key = unwrapped(&key, &wrapped).unwrap();
        let expected = decoded("uwsjJXaBK407Qaf0_zpcpmr1Cs0CC50hIUEyGNEt3m0");
        assert_eq!(content_key.expose(), expected.as_slice());
    }

    /// RFC 3394, section 4.6.
    #[test]
    fn keys_are_unwrapped_as_in_the_standard() {
        let kek = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F";
        let kek = Key::from_slice(&HEXUPPER.decode(kek.as_bytes()).unwrap()).unwrap();
        let wrapped =
            "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21";
        let mut wrapped = HEXUPPER.decode(wrapped.as_bytes()).unwrap();
        let key = unwrapped(&kek, &wrapped).unwrap();
        assert_eq!(
            HEXUPPER.encode(key.expose()),
            "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"
        );
        *wrapped.last_mut().unwrap() ^= 1;
        assert_eq!(unwrapped(&kek, &wrapped), None);
        assert_eq!(unwrapped(&kek, &[0; 16]), None);
    }

    /// RFC 7516, appendix A.1: content under A256GCM; how its key is wrapped is another matter.
    #[test]
    fn content_is_opened_as_in_the_standard() {
        let text = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ..48V1_ALb6US04U3b.\
            5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A.\
            XFBoMYUZodetZdvTiFvSkQ";
        let key = Key::new([
            177, 161, 244, 128, 84, 143, 225, 115, 63, 180, 3, 255, 107, 154, 212, 246, 138, 7,
            110, 91, 112, 46, 34, 105, 47, 130, 203, 46, 122, 234, 64, 252,
        ]);
        let parts = Parts::parse(text.as_bytes()).unwrap();
        let content = parts.content(&key).unwrap();
        assert_eq!(
            std::str::from_utf8(content.expose()).unwrap(),
            "The true sign of intelligence is not knowledge but imagination."
        );
        assert!(!(FORMAT.recognises)(text.as_bytes()));
    }
}
