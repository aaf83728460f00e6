//! `age`: the value in an age file (age-encryption.org/v1), under a passphrase or sealed to public keys.
//!
//! Without `--format age`, an age file is opened first and then known by what is in it, as every other file is.

use std::io::Cursor;

use keyshell_base::files;
use shared::wire::limits::MAX_VALUE_LEN;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};
use crate::input::age_file::{self, Key, Lock};

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    is_sealed: |_| true,
    takes_recipients: true,
    ..SecretFormat::new(
        age_file::NAME,
        "the value in an age file, under a passphrase or sealed to public keys",
        |secret, ask| age_file::seal(Lock::chosen(ask)?, secret.value.expose()),
        decode,
    )
};

fn decode(bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError> {
    if !age_file::is_sealed(bytes) {
        return Err(FormatError::not_this_format("this is not an age file"));
    }
    let key = Key::asked(bytes, ask)?;
    let opened = age_file::reader(Box::new(Cursor::new(bytes)), &key)?;
    let value = files::read_all(opened, MAX_VALUE_LEN as u64)
        .map_err(|error| FormatError::malformed(format!("the age file does not open: {error}")))?;
    bounded(value.expose().to_vec()).map(Portable::bare)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::path::{Path, PathBuf};

    use age::secrecy::ExposeSecret as _;
    use age::x25519::Identity;
    use proptest::prelude::*;
    use shared::secret::SecretBytes;

    use super::*;
    use crate::ask::Choices;
    use crate::testing::Answers;

    fn sealed_to(recipients: &[String]) -> Answers {
        Answers {
            choices: Choices {
                recipients: recipients.to_vec(),
                ..Choices::default()
            },
            ..Answers::default()
        }
    }

    fn opened_by(files: &[&Path]) -> Answers {
        Answers {
            choices: Choices {
                identities: files.iter().copied().map(PathBuf::from).collect(),
                ..Choices::default()
            },
            ..Answers::default()
        }
    }

    fn encode(value: &[u8], answers: &Answers) -> Result<SecretBytes, FormatError> {
        FORMAT.encode(&Portable::bare(SecretBytes::from(value)), answers)
    }

    fn decode(sealed: &SecretBytes, answers: &Answers) -> Result<SecretBytes, FormatError> {
        FORMAT
            .decode(sealed.expose(), answers)
            .map(|secret| secret.value)
    }

    #[test]
    fn each_of_several_keys_opens_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let new = |name: &str| {
            let identity = Identity::generate();
            let path = folder.path().join(name);
            let text = identity.to_string();
            std::fs::write(&path, format!("# key\n{}\n", text.expose_secret())).unwrap();
            (path, identity.to_public().to_string())
        };
        let ((one, first), (two, second), (other, _)) = (new("one"), new("two"), new("other"));
        let sealed = encode(b"value", &sealed_to(&[first, second])).unwrap();
        for files in [vec![one.as_path()], vec![&two], vec![&other, &two]] {
            let opened = decode(&sealed, &opened_by(&files)).unwrap();
            assert_eq!(opened.expose(), b"value");
        }
        let error = decode(&sealed, &opened_by(&[&other])).unwrap_err();
        assert!(error.to_string().contains("other public keys"), "{error}");
        let error = decode(&sealed, &opened_by(&[])).unwrap_err();
        assert!(error.to_string().contains("--identity"), "{error}");
        std::fs::write(&other, "no key\n").unwrap();
        let error = decode(&sealed, &opened_by(&[&other])).unwrap_err();
        assert!(!error.to_string().contains("no key\n"), "{error}");
        std::fs::write(&other, "# nothing\n").unwrap();
        assert!(decode(&sealed, &opened_by(&[&other])).is_err());
    }

    #[test]
    fn other_text_than_public_keys_is_refused() {
        for bad in ["", "age1", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1"] {
            let error = encode(b"value", &sealed_to(&[bad.to_owned()])).unwrap_err();
            assert!(error.to_string().contains("age1"), "{error}");
        }
    }

    #[test]
    fn a_passphrase_opens_and_another_does_not() {
        let answers = |passphrase| Answers {
            passphrase: Some(passphrase),
            ..Answers::default()
        };
        let sealed = encode(b"value", &answers("right")).unwrap();
        assert_eq!(
            decode(&sealed, &answers("right")).unwrap().expose(),
            b"value"
        );
        assert!(decode(&sealed, &answers("wrong")).is_err());
        assert!(decode(&SecretBytes::from(&b"value"[..]), &answers("right")).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_round_trip_gives_the_same_value(value: Vec<u8>) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            let identity = Identity::generate();
            std::fs::write(&path, identity.to_string().expose_secret()).unwrap();
            let sealed = encode(&value, &sealed_to(&[identity.to_public().to_string()])).unwrap();
            let opened = decode(&sealed, &opened_by(&[&path])).unwrap();
            prop_assert_eq!(opened.expose(), value);
        }
    }
}
