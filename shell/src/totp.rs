//! One-time codes by time (RFC 6238) and by counter (RFC 4226), and Steam's.

use std::borrow::Cow;

use shared::secret::SecretBytes;
use totp_rs::{Algorithm, TOTP};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Scheme of a URI that holds a seed with its parameters.
const SCHEME: &str = "otpauth://";
/// Scheme of a URI that holds a seed of Steam, as Bitwarden has it.
const STEAM_SCHEME: &str = "steam://";
/// Issuer and encoder of Steam's codes.
const STEAM: &str = "steam";
/// Length of Steam's codes.
const STEAM_DIGITS: usize = 5;
const DIGITS: usize = 6;
/// Most digits of a code: the number that they show has 31 bits.
const MAX_DIGITS: usize = 10;
const PERIOD: u64 = 30;
/// Longest period, in seconds.
const MAX_PERIOD: u64 = 24 * 60 * 60;
/// Length in bytes of seeds below which a notice is due: RFC 4226 wants 16, and many services give 10.
const SHORT_SEED: usize = 10;

/// Generates the codes of one seed.
pub struct Generator {
    totp: TOTP,
    /// The counter of codes that are not by time.
    counter: Option<u64>,
}

/// A code.
#[derive(Debug)]
pub struct Code {
    /// The digits, or Steam's letters.
    pub text: Zeroizing<String>,
    /// Seconds for which the code remains valid.
    pub seconds: u64,
    /// Period of the codes, in seconds.
    pub period: u64,
}

impl Generator {
    /// Parses a stored value: an `otpauth://` URI, a `steam://` URI, a seed in base32, or a binary seed.
    ///
    /// # Errors
    /// [`Error::usage`], without any part of the value.
    pub fn parse(value: &SecretBytes) -> Result<Self> {
        let Ok(text) = std::str::from_utf8(value.expose()) else {
            return Self::new(Parts::of(SecretBytes::clone(value)));
        };
        let text = text.trim();
        if after(text, SCHEME).is_some() {
            return Self::new(Parts::of_uri(text)?);
        }
        let steam = after(text, STEAM_SCHEME);
        let seed = base32(steam.unwrap_or(text))
            .ok_or_else(|| bad("it is neither an otpauth:// URI nor a seed in base32"))?;
        let mut parts = Parts::of(seed);
        parts.is_steam = steam.is_some();
        Self::new(parts)
    }

    fn new(parts: Parts) -> Result<Self> {
        if parts.seed.is_empty() {
            return Err(bad("it has no seed"));
        }
        let (digits, algorithm) = match parts.digits {
            None | Some(STEAM_DIGITS) if parts.is_steam => (STEAM_DIGITS, Algorithm::Steam),
            digits => (digits.unwrap_or(DIGITS), parts.algorithm),
        };
        if algorithm != Algorithm::Steam && !(DIGITS..=MAX_DIGITS).contains(&digits) {
            return Err(bad("codes have 6 to 10 digits"));
        }
        if !(1..=MAX_PERIOD).contains(&parts.period) {
            return Err(bad("the period is 1 second to 1 day"));
        }
        // The counter is the number of the step.
        let period = if parts.counter.is_some() {
            1
        } else {
            parts.period
        };
        // The crate's own check of the length refuses seeds of 10 bytes, which are in use.
        let seed = parts.seed.expose().to_vec();
        Ok(Self {
            totp: TOTP::new_unchecked(algorithm, digits, 0, period, seed),
            counter: parts.counter,
        })
    }

    /// The counter, for codes that are not by time. Each code is used once.
    pub fn counter(&self) -> Option<u64> {
        self.counter
    }

    /// The length of the seed in bytes, if it is so short that others may find it by trying.
    pub fn short_seed(&self) -> Option<usize> {
        Some(self.totp.secret.len()).filter(|len| *len < SHORT_SEED)
    }

    /// The code at a time, in seconds since 1970; or that of a counter.
    pub fn at(&self, now: u64) -> Code {
        let period = self.totp.step;
        let text = match self.totp.digits {
            // The crate divides by a number that has no place in 32 bits.
            MAX_DIGITS => ten_digits(&self.totp.sign(now)),
            _ => self.totp.generate(now),
        };
        Code {
            text: Zeroizing::new(text),
            seconds: period - now % period,
            period,
        }
    }
}

/// The number that a code shows (RFC 4226, section 5.3), with all its digits.
fn ten_digits(mac: &[u8]) -> String {
    let offset = usize::from(mac.last().copied().unwrap_or_default() & 0xf);
    let bytes = mac.iter().skip(offset).take(4);
    let number = bytes.fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{:010}", number & 0x7fff_ffff)
}

/// The value with the counter after this one, where it is a URI of codes by counter.
pub fn advanced(value: &str, counter: u64) -> Option<Zeroizing<String>> {
    let next = counter.checked_add(1)?.to_string();
    let (begin, rest) = value.split_once('?')?;
    let (query, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let mut is_stated = false;
    let mut new = Zeroizing::new(format!("{begin}?"));
    for (number, part) in query.split('&').enumerate() {
        if number > 0 {
            new.push('&');
        }
        let name = part.split('=').next().unwrap_or_default();
        if name.eq_ignore_ascii_case("counter") {
            new.extend([name, "=", &next]);
            is_stated = true;
        } else {
            new.push_str(part);
        }
    }
    if !is_stated {
        new.extend(["&counter=", &next]);
    }
    if !fragment.is_empty() {
        new.extend(["#", fragment]);
    }
    Some(new)
}

/// The text after a prefix, whatever its case.
fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (begin, rest) = text.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

struct Parts {
    seed: SecretBytes,
    algorithm: Algorithm,
    digits: Option<usize>,
    period: u64,
    counter: Option<u64>,
    is_steam: bool,
}

impl Parts {
    fn of(seed: SecretBytes) -> Self {
        Self {
            seed,
            algorithm: Algorithm::SHA1,
            digits: None,
            period: PERIOD,
            counter: None,
            is_steam: false,
        }
    }

    /// <https://github.com/google/google-authenticator/wiki/Key-Uri-Format>
    fn of_uri(uri: &str) -> Result<Self> {
        let rest = uri.get(SCHEME.len()..).unwrap_or_default();
        // Some programs write neither a label nor the slash before it.
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (kind, label) = path.split_once('/').unwrap_or((path, ""));
        let is_by_counter = match kind.to_ascii_lowercase().as_str() {
            "totp" => false,
            "hotp" => true,
            _ => return Err(bad("an otpauth:// URI is one of totp or hotp")),
        };
        let query = query.split('#').next().unwrap_or_default();
        let mut parts = Self::of(SecretBytes::default());
        parts.counter = is_by_counter.then_some(0);
        // Programs that do not write the encoder name the service.
        let label = percent_encoding::percent_decode_str(label).decode_utf8_lossy();
        let issuer = label.split(':').next().unwrap_or_default();
        parts.is_steam = label.contains(':') && issuer.trim().eq_ignore_ascii_case(STEAM);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = |what: &str| bad(&format!("`{what}` is not a number"));
            match &*key.to_ascii_lowercase() {
                "secret" => {
                    let value = wiped(value);
                    parts.seed = base32(&value).ok_or_else(|| bad("`secret` is not base32"))?;
                }
                "algorithm" => parts.algorithm = algorithm(&value)?,
                "digits" => {
                    parts.digits = Some(value.parse().map_err(|_| number("digits"))?);
                }
                "period" => parts.period = value.parse().map_err(|_| number("period"))?,
                "counter" if is_by_counter => {
                    parts.counter = Some(value.parse().map_err(|_| number("counter"))?);
                }
                "issuer" | "encoder" if value.eq_ignore_ascii_case(STEAM) => {
                    parts.is_steam = true;
                }
                "encoder" => return Err(bad("`encoder` is none but steam")),
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
    match name
        .to_ascii_uppercase()
        .replace("HMAC", "")
        .replace('-', "")
        .as_str()
    {
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
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
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
            "otpauth://totp?secret=7777777777777777",
            "otpauth://totp/?secret=7777777777777777&algorithm=HmacSHA1",
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

    /// RFC 4226, appendix D.
    #[test]
    fn the_vectors_of_rfc_4226_hold() {
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        let numbers = ["1284755224", "1094287082", "0137359152"];
        let mut uri = "otpauth://hotp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned();
        for (counter, code) in (0..).zip(codes) {
            let by_counter = generator(&uri).unwrap();
            assert_eq!(by_counter.counter(), Some(counter));
            assert_eq!(*by_counter.at(counter).text, code);
            uri = advanced(&uri, counter).unwrap().to_string();
            assert!(uri.ends_with(&format!("&counter={}", counter + 1)), "{uri}");
        }
        for (counter, number) in (0..).zip(numbers) {
            for digits in [8, 9, 10] {
                let uri = format!(
                    "otpauth://hotp?digits={digits}&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
                );
                let code = generator(&uri).unwrap().at(counter).text;
                assert_eq!(*code, number[10 - digits..], "{digits}");
            }
        }
    }

    #[test]
    fn a_counter_is_replaced_and_all_else_stays() {
        let next = |uri: &str, counter| advanced(uri, counter).map(|uri| uri.to_string());
        let uri = "otpauth://hotp/a%20b?Counter=5&secret=AA&counters=5#counter=5";
        let expected = uri.replacen("=5", "=6", 1);
        assert_eq!(next(uri, 5).unwrap(), expected);
        assert_eq!(next(uri, u64::MAX), None);
        assert_eq!(next("AAAA", 1), None);
    }

    #[test]
    fn steam_has_five_letters_of_its_own() {
        let codes: Vec<_> = [
            "steam://GEZDGNBVGY3TQOJQ",
            "STEAM://gezd gnbv gy3t qojq",
            "otpauth://totp/Steam:ana?secret=GEZDGNBVGY3TQOJQ",
            "otpauth://totp/ana?secret=GEZDGNBVGY3TQOJQ&issuer=Steam",
            "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&digits=5&period=30&encoder=steam",
        ]
        .iter()
        .map(|uri| generator(uri).unwrap().at(0).text)
        .collect();
        // As KeePassXC and Bitwarden compute it.
        assert!(codes.iter().all(|code| **code == *codes[0]), "{codes:?}");
        assert_eq!(codes[0].len(), 5);
        let letters = "23456789BCDFGHJKMNPQRTVWXY";
        assert!(codes[0].chars().all(|c| letters.contains(c)));
        // A service of that name whose codes have digits.
        let digits = generator("otpauth://totp/Steam:x?secret=GEZDGNBVGY3TQOJQ&digits=6").unwrap();
        assert!(digits.at(0).text.bytes().all(|byte| byte.is_ascii_digit()));
    }

    #[test]
    fn short_seeds_make_codes_and_are_named() {
        let short = generator("otpauth://totp/x?secret=GEZDGNBVGY3TQ&digits=6").unwrap();
        assert_eq!(short.short_seed(), Some(8));
        assert_eq!(short.at(0).text.len(), 6);
        assert_eq!(generator("GEZDGNBVGY3TQOJQ").unwrap().short_seed(), None);
    }

    #[test]
    fn invalid_seeds_are_refused_without_being_shown() {
        for text in [
            "",
            "correct horse battery staple",
            "777777",
            "otpauth://hotp/x?secret=7777777777777777&counter=x",
            "otpauth://yaotp/x?secret=7777777777777777",
            "otpauth://totp/x",
            "otpauth://totp",
            "otpauth://totp/x?secret=1",
            "otpauth://totp/x?secret=7777777777777777&digits=11",
            "otpauth://totp/x?secret=7777777777777777&digits=5",
            "otpauth://totp/x?secret=7777777777777777&encoder=steam&digits=4",
            "otpauth://totp/x?secret=7777777777777777&period=0",
            "otpauth://totp/x?secret=7777777777777777&period=x",
            "otpauth://totp/x?secret=7777777777777777&algorithm=MD5",
            "otpauth://totp/x?secret=7777777777777777&encoder=other",
            "steam://",
            "steam://x",
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
                    prop_assert!((5..=10).contains(&generator.at(now).text.len()));
                }
            }
        }
    }
}
