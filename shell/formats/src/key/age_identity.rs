//! Files of age identities: one private key per line in Bech32, and comments. Those of X25519 are converted; the hybrid
//! post-quantum ones (ML-KEM-768 with X25519) are stored as they are.

use age::x25519::Identity;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::pem;
use super::private_key::{self, Kind, PrivateKey};
use crate::error::FormatError;

/// Media type of files of age identities.
pub const CONTENT_TYPE: &str = "application/x-age-identity";
/// The human-readable part of keys of X25519.
const X25519: &str = "age-secret-key-";
/// The human-readable part of hybrid keys.
const HYBRID: &str = "age-secret-key-pq-";
/// Length of a key and of a hybrid key's seed, in bytes.
const LEN: usize = 32;

/// The identities of a file, each with whether it is hybrid; `None` for other text.
fn identities(bytes: &[u8]) -> Option<Vec<(&str, bool)>> {
    let text = private_key::text(bytes).ok()?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let found: Option<Vec<_>> = lines.map(|line| Some((line, is_hybrid(line)?))).collect();
    found.filter(|found| !found.is_empty())
}

fn is_hybrid(line: &str) -> Option<bool> {
    let parsed = CheckedHrpstring::new::<Bech32>(line).ok()?;
    let hrp = parsed.hrp().to_lowercase();
    let is_known = hrp == X25519 || hrp == HYBRID;
    (is_known && parsed.byte_iter().count() == LEN).then_some(hrp == HYBRID)
}

/// Whether this is a file of age identities.
pub fn is_identity(bytes: &[u8]) -> bool {
    identities(bytes).is_some()
}

/// Reads the private key of a file with one identity of X25519.
///
/// # Errors
/// [`FormatError`] for other text, for several identities and for hybrid ones.
pub fn read(bytes: &[u8]) -> Result<PrivateKey, FormatError> {
    let none = || FormatError::not_this_format("this is not an age identity");
    match identities(bytes).ok_or_else(none)?.as_slice() {
        [(line, false)] => {
            let parsed = CheckedHrpstring::new::<Bech32>(line).map_err(|_| none())?;
            let mut key = Zeroizing::new([0; LEN]);
            key.iter_mut()
                .zip(parsed.byte_iter())
                .for_each(|(to, byte)| *to = byte);
            PrivateKey::new(Kind::X25519, &*key)
        }
        [(_, true)] => Err(pem::kept("age's hybrid kind")),
        _ => Err(pem::kept("age, of which the file has several")),
    }
}

/// What [`read`] leaves out of a file, each as a short phrase.
pub fn comments(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    // age-keygen writes the time and what follows from the key.
    let usual = ["# created: ", "# public key: "];
    let mut lines = text.lines().map(str::trim);
    let is_lost = lines
        .any(|line| line.starts_with('#') && !usual.iter().any(|begin| line.starts_with(begin)));
    is_lost
        .then(|| "the comments".to_owned())
        .into_iter()
        .collect()
}

/// The public key to each identity of a file, one per line.
///
/// # Errors
/// [`FormatError`] for other text, and for hybrid identities.
pub fn public(bytes: &[u8]) -> Result<String, FormatError> {
    let none = || FormatError::not_this_format("this is not an age identity");
    let all = identities(bytes).ok_or_else(none)?.into_iter();
    let public = all.map(|(line, is_hybrid)| {
        if is_hybrid {
            return Err(pem::kept("age's hybrid kind"));
        }
        let identity: Identity = line.parse().map_err(|_| none())?;
        Ok(format!("{}\n", identity.to_public()))
    });
    public.collect()
}

/// Writes a key of X25519 as age's programs do.
///
/// # Errors
/// [`FormatError`] for keys of other kinds.
pub fn write(key: &PrivateKey) -> Result<SecretBytes, FormatError> {
    if key.kind() != Kind::X25519 {
        let text = format!(
            "an age identity is a key of X25519, and this is one of {}",
            key.kind()
        );
        return Err(FormatError::cannot_carry(text));
    }
    let hrp = Hrp::parse(X25519).map_err(FormatError::library)?;
    let encoded = bech32::encode_upper::<Bech32>(hrp, key.bytes().expose());
    let line = Zeroizing::new(encoded.map_err(FormatError::library)?);
    let text = Zeroizing::new(format!("{}\n", *line));
    Ok(SecretBytes::from(text.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use age::secrecy::ExposeSecret as _;
    use proptest::prelude::*;

    use super::*;
    use crate::format::Portable;
    use crate::key;
    use crate::registry::{detect, named};
    use crate::source::Source;
    use crate::testing::Answers;

    /// An identity of age-keygen's tests, and the public key to it.
    const LINE: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    fn hybrid() -> String {
        let hrp = Hrp::parse(HYBRID).unwrap();
        bech32::encode_upper::<Bech32>(hrp, &[7; LEN]).unwrap()
    }

    fn detected(text: &str) -> &'static str {
        let source = Source::memory(SecretBytes::from(text.as_bytes()), "");
        detect(&source).unwrap().name()
    }

    #[test]
    fn files_of_identities_are_key_files() {
        let file = format!("# created: 2026-01-02T03:04:05Z\n# public key: {PUBLIC}\n{LINE}\n");
        for text in [
            file.clone(),
            LINE.into(),
            hybrid(),
            format!("{file}\n{}\n", hybrid()),
        ] {
            assert_eq!(detected(&text), "key-file");
            let key_file = named("key-file").unwrap();
            let secret = key_file
                .decode(text.as_bytes(), &Answers::default())
                .unwrap();
            assert_eq!(secret.value.expose(), text.as_bytes());
            assert_eq!(secret.content_type.as_deref(), Some(CONTENT_TYPE));
        }
        for text in [
            &LINE.replace("Q2", "Q3"),
            "AGE-SECRET-KEY-1",
            "# nothing\n",
            "age1x",
            PUBLIC,
        ] {
            assert_ne!(detected(text), "key-file", "{text}");
        }
        let secret = Portable::bare(SecretBytes::from(file.as_bytes()));
        let public = key::public(&secret, None, &Answers::default()).unwrap();
        assert_eq!(public.expose(), format!("{PUBLIC}\n").as_bytes());
        let pem = named("pem")
            .unwrap()
            .encode(&secret, &Answers::default())
            .unwrap();
        let again = named("age-identity").unwrap();
        let again = again
            .encode(&Portable::bare(pem), &Answers::default())
            .unwrap();
        assert_eq!(again.expose(), format!("{LINE}\n").as_bytes());
    }

    #[test]
    fn identities_that_are_not_converted_are_named() {
        for (text, says) in [(hybrid(), "hybrid"), (format!("{LINE}\n{LINE}"), "several")] {
            let secret = Portable::bare(SecretBytes::from(text.as_bytes()));
            let error = named("pem").unwrap().encode(&secret, &Answers::default());
            assert!(error.unwrap_err().to_string().contains(says));
        }
        let other = PrivateKey::generate(Kind::Ed25519);
        assert!(write(&other).unwrap_err().to_string().contains("Ed25519"));
        let file = format!("# of the shop\n{LINE}");
        let decoded = named("age-identity")
            .unwrap()
            .decode(file.as_bytes(), &Answers::default());
        assert_eq!(decoded.unwrap().lost, ["the comments"]);
    }

    proptest! {
        #[test]
        fn identities_come_back_as_age_has_them(_ in 0..8) {
            let key = PrivateKey::generate(Kind::X25519);
            let line = write(&key).unwrap();
            prop_assert_eq!(&read(line.expose()).unwrap(), &key);
            let text = std::str::from_utf8(line.expose()).unwrap();
            let age: Identity = text.trim().parse().unwrap();
            let theirs = age.to_string();
            prop_assert_eq!(theirs.expose_secret(), text.trim());
        }

        #[test]
        fn no_text_panics(text in "(#.{0,9}\n|AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]{0,60}\n|.{0,9}\n){0,4}") {
            let _ = (read(text.as_bytes()), public(text.as_bytes()));
        }
    }
}
