//! Private keys, the same each time.

use keyshell_formats::key::{Kind, PrivateKey};
use keyshell_formats::{Choices, Portable, named};
use parsers::imports::Answers;
use shared::secret::SecretBytes;

use crate::seed;

/// A JWE with next to no work: it is refused for want of a passphrase, and not before.
const JWE: &str = "eyJhbGciOiJQQkVTMi1IUzUxMitBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIiwicDJjIjoxLCJwMnMiOiJBQUFBQUFBQUFBQSJ9.\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA";
/// A key that ssh-keygen encrypted once under `right`, by one round of bcrypt-pbkdf.
const ENCRYPTED: &str = include_str!("openssh-encrypted.pem");
/// One that openssl encrypted under it, by one iteration of PBKDF2 and by scrypt with N = 2.
const PBKDF2: &str = include_str!("pkcs8-pbkdf2.pem");
const SCRYPT: &str = include_str!("pkcs8-scrypt.pem");

pub fn write() {
    let answers = Answers(Choices::default());
    let bytes: Vec<u8> = (1..=32).collect();
    for (kind, name) in [
        (Kind::Ed25519, "ed25519"),
        (Kind::X25519, "x25519"),
        (Kind::P256, "p256"),
        (Kind::Secp256k1, "secp256k1"),
    ] {
        let key = PrivateKey::new(kind, &bytes).unwrap();
        let pem = keyshell_formats::pem::write(&key).unwrap();
        let mut secret = Portable::bare(pem.clone());
        secret.name = Some("me@here".into());
        for (choice, format) in [(1, "pem"), (2, "openssh"), (3, "jwk")] {
            let Ok(text) = named(format).unwrap().encode(&secret, &answers) else {
                continue;
            };
            seed("keys", &format!("{format}-{name}"), choice, text.expose());
            seed("keys", &format!("any-{format}-{name}"), 5, text.expose());
        }
        seed("keys", &format!("file-{name}"), 0, pem.expose());
    }
    let oct = Portable::bare(SecretBytes::from([0, 255].as_slice()));
    let oct = named("jwk").unwrap().encode(&oct, &answers).unwrap();
    seed("keys", "jwk-oct", 3, oct.expose());
    seed("keys", "jwe", 4, JWE);
    seed("keys", "openssh-encrypted", 2, ENCRYPTED);
    seed("keys", "pem-pbkdf2", 1, PBKDF2);
    seed("keys", "pem-scrypt", 1, SCRYPT);
}
