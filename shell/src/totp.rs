//! Time-based one-time codes (RFC 6238).

use std::borrow::Cow;

use shared::secret::SecretBytes;
use totp_rs::{Algorithm, TOTP};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Scheme of a URI that holds a seed with its parameters.
const SCHEME: &str = "otpauth://";
const DIGITS: usize = 6;
const PERIOD: u64 = 30;
/// Longest period, in seconds.
const MAX_PERIOD: u64 = 24 * 60 * 60;
/// Shortest seed, in bytes: RFC 4226 wants 16, real ones have 10.
const MIN_SEED: usize = 10;

/// Generates the codes of one seed.
pub struct Generator(TOTP);

/// A code.
#[derive(Debug)]
pub struct Code {
    /// The digits.
    pub text: Zeroizing<String>,
    /// Seconds for which the code remains valid.
    pub seconds: u64,
    /// Period of the codes, in seconds.
    pub period: u64,
}

impl Generator {
    /// Parses a stored value: an `otpauth://totp/` URI, a seed in base32, or a binary seed.
    ///
    /// # Errors
    /// [`Error::usage`], without any part of the value.
    pub fn parse(value: &SecretBytes) -> Result<Self> {
        let Ok(text) = std::str::from_utf8(value.expose()) else {
            return Self::new(Parts::of(SecretBytes::clone(value)));
        };
        let text = text.trim();
        let begin = text.get(..SCHEME.len());
        if begin.is_some_and(|begin| begin.eq_ignore_ascii_case(SCHEME)) {
            return Self::new(Parts::of_uri(text)?);
        }
        let seed = base32(text)
            .ok_or_else(|| bad("it is neither an otpauth:// URI nor a seed in base32"))?;
        Self::new(Parts::of(seed))
    }

    fn new(parts: Parts) -> Result<Self> {
        if parts.seed.len() < MIN_SEED {
            return Err(bad("the seed is too short"));
        }
        if !(6..=8).contains(&parts.digits) {
            return Err(bad("codes have 6 to 8 digits"));
        }
        if !(1..=MAX_PERIOD).contains(&parts.period) {
            return Err(bad("the period is 1 second to 1 day"));
        }
        // The crate's own check of the length refuses seeds of 10 bytes, which are in use.
        let (seed, digits) = (parts.seed.expose().to_vec(), parts.digits);
        let totp = TOTP::new_unchecked(parts.algorithm, digits, 0, parts.period, seed);
        Ok(Self(totp))
    }

    /// The code at a time, in seconds since 1970.
    pub fn at(&self, now: u64) -> Code {
        let period = self.0.step;
        Code {
            text: Zeroizing::new(self.0.generate(now)),
            seconds: period - now % period,
            period,
        }
    }
}

struct Parts {
    seed: SecretBytes,
    algorithm: Algorithm,
    digits: usize,
    period: u64,
}

impl Parts {
    fn of(seed: SecretBytes) -> Self {
        Self {
            seed,
            algorithm: Algorithm::SHA1,
            digits: DIGITS,
            period: PERIOD,
        }
    }

    /// <https://github.com/google/google-authenticator/wiki/Key-Uri-Format>
    fn of_uri(uri: &str) -> Result<Self> {
        let rest = uri.get(SCHEME.len()..).unwrap_or_default();
        let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if !kind.eq_ignore_ascii_case("totp") {
            return Err(bad(
                "only otpauth://totp/ is supported, not codes by counter (hotp)",
            ));
        }
        let (_, query) = rest.split_once('?').unwrap_or_default();
        let query = query.split('#').next().unwrap_or_default();
        let mut parts = Self::of(SecretBytes::default());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key.to_ascii_lowercase() {
                "secret" => {
                    let value = wiped(value);
                    parts.seed = base32(&value).ok_or_else(|| bad("`secret` is not base32"))?;
                }
                "algorithm" => parts.algorithm = algorithm(&value)?,
                "digits" => {
                    parts.digits = value.parse().map_err(|_| bad("`digits` is not a number"))?;
                }
                "period" => {
                    parts.period = value.parse().map_err(|_| bad("`period` is not a number"))?;
                }
                "encoder" => return Err(bad("`encoder` is not supported")),
                _ => {}
            }
        }
        Ok(parts)
    }
}

fn wiped(text: Cow<'_, str>) -> Zeroizing<String> {
    Zeroizing::new(text.into_owned())
}

fn algorithm(name: &str) -> Result<Algorithm> {
    match &*name.to_ascii_uppercase() {
        "SHA1" => Ok(Algorithm::SHA1),
        "SHA256" => Ok(Algorithm::SHA256),
        "SHA512" => Ok(Algorithm::SHA512),
        _ => Err(bad("`algorithm` is not SHA1, SHA256 or SHA512")),
    }
}

/// Decodes base32 with spaces, dashes and lower-case letters, with padding or without.
fn base32(text: &str) -> Option<SecretBytes> {
    let letters = text.bytes().filter(|byte| !b" -=".contains(byte));
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    plain.extend(letters.map(|byte| byte.to_ascii_uppercase()));
    let decoded = data_encoding::BASE32_NOPAD.decode(&plain).ok()?;
    Some(SecretBytes::new(decoded)).filter(|seed| !seed.is_empty())
}

fn bad(why: &str) -> Error {
    Error::usage(format!("the value is not a seed of one-time codes: {why}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn generator(text: &str) -> Result<Generator, Error> {
        Generator::parse(&SecretBytes::from(text.as_bytes()))
    }

    /// RFC 6238, appendix B; the seeds are as long as the hash, which only its program says.
    #[test]
    fn the_vectors_of_rfc_6238_hold() {
        let vectors = [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ];
        let seed = |len| -> Vec<u8> { b"1234567890".iter().copied().cycle().take(len).collect() };
        let generators = [("SHA1", 20), ("SHA256", 32), ("sha512", 64)].map(|(name, len)| {
            let secret = data_encoding::BASE32_NOPAD.encode(&seed(len));
            let uri = format!("otpauth://totp/x?digits=8&algorithm={name}&secret={secret}");
            generator(&uri).unwrap()
        });
        for (time, sha1, sha256, sha512) in vectors {
            let codes = generators.iter().map(|generator| generator.at(time).text);
            let codes: Vec<String> = codes.map(|text| text.to_string()).collect();
            assert_eq!(codes, [sha1, sha256, sha512]);
        }
    }

    #[test]
    fn the_same_seed_in_all_its_forms_makes_the_same_codes() {
        let seed = [0xff; 10];
        let plain = Generator::parse(&SecretBytes::from(&seed[..])).unwrap();
        let base32 = data_encoding::BASE32.encode(&seed);
        assert_eq!(base32, "7777777777777777");
        for text in [
            "7777777777777777",
            " 7777 7777-7777 7777\n",
            "otpauth://totp/ACME:me%40x?secret=7777777777777777&issuer=ACME",
            "OTPAUTH://TOTP/x?Secret=7777%207777+77777777&period=30&digits=6#f",
        ] {
            let code = generator(text).unwrap().at(89);
            assert_eq!(code.text, plain.at(89).text, "{text}");
            assert_eq!((code.seconds, code.period), (1, 30));
        }
        let lower = generator("jbswy3dpehpk3pxp").unwrap();
        let upper = generator("JBSWY3DPEHPK3PXP======").unwrap();
        assert_eq!(lower.at(0).text, upper.at(0).text);
        let slow = generator("otpauth://totp/x?secret=7777777777777777&period=60").unwrap();
        assert_eq!(slow.at(60).seconds, 60);
    }

    #[test]
    fn invalid_seeds_are_refused_without_being_shown() {
        for text in [
            "",
            "correct horse battery staple",
            "7777777",
            "otpauth://hotp/x?secret=7777777777777777&counter=1",
            "otpauth://totp/x",
            "otpauth://totp",
            "otpauth://totp/x?secret=1",
            "otpauth://totp/x?secret=7777777777777777&digits=9",
            "otpauth://totp/x?secret=7777777777777777&digits=5",
            "otpauth://totp/x?secret=7777777777777777&period=0",
            "otpauth://totp/x?secret=7777777777777777&period=x",
            "otpauth://totp/x?secret=7777777777777777&algorithm=MD5",
            "otpauth://totp/x?secret=7777777777777777&encoder=steam",
        ] {
            let error = generator(text).map(|_| ()).unwrap_err();
            assert_eq!(error.status(), 2, "{text}");
            assert!(!error.to_string().contains("777"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value: Vec<u8>, query in ".{0,60}", now: u64) {
            let uri = format!("otpauth://totp/{query}").into_bytes();
            for value in [value, uri] {
                if let Ok(generator) = Generator::parse(&SecretBytes::new(value)) {
                    prop_assert_eq!(generator.at(now).text.len(), 6);
                }
            }
        }
    }
}
