//! Private keys: PEM, OpenSSH's form, JWK and JWE. Nobody knows a passphrase, so that none is stretched.

use keyshell_formats::key::{self, PrivateKey};
use keyshell_formats::{Ask, Choices, FormatError, Portable, named};
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use zeroize::Zeroizing;

use crate::cursor::Cursor;

/// The formats of this target, by the first byte of what it is given; reading a key in whatever form comes after them.
pub const FORMATS: [&str; 5] = ["key-file", "pem", "openssh", "jwk", "jwe"];

struct Nobody(Choices);

impl Ask for Nobody {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        Err(FormatError::caller("nobody answers"))
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn choices(&self) -> &Choices {
        &self.0
    }
}

/// What is read is the same after it was written and read again, in its own form and in every other that has it.
pub(crate) fn keys(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = usize::from(script.choice(6));
    let bytes = script.rest();
    let nobody = Nobody(Choices::default());
    let Some(name) = FORMATS.get(kind) else {
        if let Ok(key) = key::read(bytes, &nobody) {
            every_form(&key, bytes, &nobody);
        }
        return;
    };
    let format = named(name).unwrap();
    let _ = (format.recognises)(bytes);
    let Ok(mut secret) = format.decode(bytes, &nobody) else {
        return;
    };
    assert!(*name != "jwe", "opened without a passphrase");
    assert!(secret.value.len() <= MAX_VALUE_LEN);
    assert!(*name != "key-file" || secret.value.expose() == bytes);
    // Bytes that a JWK calls `oct` may be a key; only other keys are converted.
    let value = secret.value.expose();
    if *name == "jwk" && key::is_meant(value) && secret.content_type.is_none() {
        return;
    }
    let encoded = format.encode(&secret, &nobody).unwrap();
    secret.lost.clear();
    let mut again = format.decode(encoded.expose(), &nobody).unwrap();
    again.name.clone_from(&secret.name);
    assert_eq!(again, secret);
}

fn every_form(key: &PrivateKey, bytes: &[u8], nobody: &Nobody) {
    let secret = Portable::bare(SecretBytes::from(bytes));
    for name in ["pem", "openssh", "jwk"] {
        let Ok(encoded) = named(name).unwrap().encode(&secret, nobody) else {
            assert_eq!(name, "openssh", "the others have every kind");
            continue;
        };
        let again = key::read(encoded.expose(), nobody).unwrap();
        assert_eq!((again.kind(), again.bytes()), (key.kind(), key.bytes()));
        assert!(key::public(&secret, Some(name), nobody).is_ok());
    }
}
