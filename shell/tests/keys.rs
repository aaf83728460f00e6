//! Private keys in each of their text forms, against the vectors of the standards.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::Signer as _;
use keyshell::generate::{self, KeyType};
use keyshell_formats::key::{self, Kind, PrivateKey};
use keyshell_formats::source::Source;
use keyshell_formats::{self as formats, Ask, Choices, FormatError, Portable};
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

const KINDS: [Kind; 4] = [Kind::Ed25519, Kind::X25519, Kind::P256, Kind::Secp256k1];

struct Answers {
    passphrase: Option<&'static str>,
    choices: Choices,
}

impl Ask for Answers {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        let text = self.passphrase.map(|text| Zeroizing::new(text.to_owned()));
        text.ok_or_else(|| FormatError::caller("nobody answers"))
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn choices(&self) -> &Choices {
        &self.choices
    }
}

fn answers(passphrase: Option<&'static str>, encrypt: bool) -> Answers {
    Answers {
        passphrase,
        choices: Choices {
            encrypt,
            ..Choices::default()
        },
    }
}

fn decode(format: &str, text: &[u8]) -> Result<Portable, String> {
    let decoded = formats::named(format)
        .unwrap()
        .decode(text, &answers(None, false));
    decoded.map_err(|error| error.to_string())
}

fn encode(format: &str, secret: &Portable) -> Result<SecretBytes, String> {
    let encoded = formats::named(format)
        .unwrap()
        .encode(secret, &answers(None, false));
    encoded.map_err(|error| error.to_string())
}

fn read(text: &[u8]) -> PrivateKey {
    key::read(text, &answers(None, false)).unwrap()
}

fn bare(text: &[u8]) -> Portable {
    Portable::bare(SecretBytes::from(text))
}

fn public(value: &[u8], format: Option<&str>) -> Result<String, String> {
    let public = key::public(&bare(value), format, &answers(None, false));
    let public = public.map_err(|error| error.to_string())?;
    Ok(std::str::from_utf8(public.expose()).unwrap().to_owned())
}

fn public_jwk(value: &[u8]) -> Value {
    serde_json::from_str(&public(value, Some("jwk")).unwrap()).unwrap()
}

/// RFC 8410, section 10.3; the second has attributes and the public key.
const RFC8410: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----\n\
     MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
     -----END PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n\
     MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
     oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n\
     Z9w7lshQhqowtrbLDFw4rXAxZuE=\n\
     -----END PRIVATE KEY-----\n",
];
const RFC8410_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
     MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
     -----END PUBLIC KEY-----\n";

#[test]
fn pkcs8_is_that_of_the_standard() {
    for text in RFC8410 {
        let decoded = decode("pem", text.as_bytes()).unwrap();
        assert_eq!(decoded.value.expose(), RFC8410[0].as_bytes());
        assert_eq!(public(text.as_bytes(), None).unwrap(), RFC8410_PUBLIC);
    }
    // Another public key than the private one's.
    let foreign = RFC8410[1].replace(
        "Z9w7lshQhqowtrbLDFw4rXAxZuE=",
        "Z9w7lshQhqowtrbLDFw4rXAxZuA=",
    );
    let error = decode("pem", foreign.as_bytes()).unwrap_err();
    assert!(error.contains("public key"), "{error}");
}

/// RFC 8037, appendices A.1 to A.4.
#[test]
fn okp_is_that_of_the_standard() {
    let jwk = br#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let secret = decode("jwk", jwk).unwrap();
    let public = public_jwk(secret.value.expose());
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_eq!(public, json!({"kty": "OKP", "crv": "Ed25519", "x": x}));
    // The members that count, in order: a thumbprint (RFC 7638).
    let canonical = serde_json::to_string(&public).unwrap();
    assert_eq!(
        canonical,
        format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
    );
    let thumbprint = BASE64URL_NOPAD.encode(&Sha256::digest(canonical));
    assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let seed = read(secret.value.expose()).bytes();
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = ed25519_dalek::SigningKey::from_bytes(seed.expose()).sign(signed.as_bytes());
    assert_eq!(
        BASE64URL_NOPAD.encode(&signature.to_bytes()),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

/// RFC 7517, appendices A.1 and A.2.
const EC: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","use":"enc","kid":"1"}"#;

#[test]
fn ec_is_that_of_the_standard_and_what_has_no_place_is_listed() {
    let secret = decode("jwk", EC.as_bytes()).unwrap();
    assert_eq!(secret.name.as_deref(), Some("1"));
    assert_eq!(secret.lost, ["member `use`"]);
    assert_eq!(
        secret.content_type.as_deref(),
        Some("application/x-pem-file")
    );
    let again = encode("jwk", &secret).unwrap();
    let (again, mut before): (Value, Value) = (
        serde_json::from_slice(again.expose()).unwrap(),
        serde_json::from_str(EC).unwrap(),
    );
    before.as_object_mut().unwrap().remove("use");
    assert_eq!(again, before);

    let mut only_public = before.clone();
    only_public.as_object_mut().unwrap().remove("d");
    let error = decode("jwk", only_public.to_string().as_bytes()).unwrap_err();
    assert!(error.contains("has no private key"), "{error}");
    before["y"] = json!("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyA");
    assert!(decode("jwk", before.to_string().as_bytes()).is_err());
}

/// RFC 7517, appendix A.3.
#[test]
fn oct_is_that_of_the_standard() {
    let jwk = br#"{"kty":"oct","alg":"A128KW","k":"GawgguFyGrWKav7AX4VKUg"}"#;
    let secret = decode("jwk", jwk).unwrap();
    assert_eq!(
        HEXLOWER.encode(secret.value.expose()),
        "19ac2082e1721ab58a6afec05f854a52"
    );
    assert_eq!(secret.lost, ["member `alg`"]);
    let jwk = br#"{"kty":"oct","kid":"HMAC key used in JWS spec Appendix A.1 example",
        "k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    let secret = decode("jwk", jwk).unwrap();
    assert_eq!(secret.value.len(), 64);
    assert!(secret.name.unwrap().starts_with("HMAC key"));
    let odd = decode("jwk", br#"{"kty":"oct","k":"","kid":"a\u001bb"}"#).unwrap();
    assert_eq!((odd.name, odd.lost.len()), (None, 1));
}

#[test]
fn scalars_are_in_range() {
    let p256 = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let secp256k1 = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    for (kind, order) in [(Kind::P256, p256), (Kind::Secp256k1, secp256k1)] {
        let order = HEXLOWER.decode(order.as_bytes()).unwrap();
        for wrong in [&order, &vec![0; 32], &vec![0xff; 32], &vec![1; 31]] {
            assert!(PrivateKey::new(kind, wrong).is_err(), "{kind} {wrong:?}");
        }
        let mut last = order;
        last[31] -= 1;
        assert!(PrivateKey::new(kind, &last).is_ok());
    }
    // SEC 2's base points are the public keys to 1.
    let mut one = [0; 32];
    one[31] = 1;
    let x = |kind| HEXLOWER.encode(&PrivateKey::new(kind, &one).unwrap().public()[1..33]);
    assert_eq!(
        x(Kind::Secp256k1),
        "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    );
    assert_eq!(
        x(Kind::P256),
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    );
    for wrong in [&[0; 31][..], &[0; 33], &[]] {
        assert!(PrivateKey::new(Kind::Ed25519, wrong).is_err());
        assert!(PrivateKey::new(Kind::X25519, wrong).is_err());
    }
}

fn any_key() -> impl Strategy<Value = (Kind, [u8; 32], String)> {
    (
        proptest::sample::select(&KINDS[..]),
        any::<[u8; 32]>(),
        "[!-~äß€]([ -~äß€]{0,38}[!-~äß€])?",
    )
}

proptest! {
    #[test]
    fn keys_survive_every_form((kind, bytes, name) in any_key()) {
        let Ok(key) = PrivateKey::new(kind, &bytes) else {
            return Ok(());
        };
        let jwk = json!({
            "kty": if key.public().len() == 65 { "EC" } else { "OKP" },
            "crv": kind.to_string(),
            "d": BASE64URL_NOPAD.encode(&bytes),
            "x": BASE64URL_NOPAD.encode(key.public().strip_prefix(&[4]).filter(|p| p.len() == 64).map_or(&key.public()[..], |p| &p[..32])),
            "y": key.public().get(33..).filter(|y| y.len() == 32).map(|y| BASE64URL_NOPAD.encode(y)),
        });
        let jwk = jwk.to_string();
        prop_assert_eq!(&read(jwk.as_bytes()), &key);
        let mut secret = bare(jwk.as_bytes());
        secret.name = Some(name.clone());
        for format in ["pem", "jwk", "openssh", "jwk", "openssh", "pem"] {
            let has_none = format == "openssh" && matches!(kind, Kind::X25519 | Kind::Secp256k1);
            let encoded = encode(format, &secret);
            prop_assert_eq!(encoded.is_err(), has_none, "{} {:?}", format, encoded);
            let Ok(encoded) = encoded else { continue };
            let decoded = decode(format, encoded.expose()).unwrap();
            prop_assert!(decoded.lost.is_empty());
            let again = read(decoded.value.expose());
            prop_assert_eq!((again.kind(), again.bytes()), (key.kind(), key.bytes()));
            secret.value = decoded.value;
            if format == "openssh" {
                prop_assert_eq!(&again.comment, &name);
            }
        }
    }

    #[test]
    fn bytes_survive_jwk(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        let encoded = encode("jwk", &bare(&value)).unwrap();
        let decoded = decode("jwk", encoded.expose()).unwrap();
        prop_assert_eq!(decoded, bare(&value));
    }

    #[test]
    fn no_text_makes_a_parser_panic(
        label in "(OPENSSH |EC |ENCRYPTED |)PRIVATE KEY",
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        text in "[{\"a-z:,.0-9}]{0,60}",
    ) {
        let body = data_encoding::BASE64.encode(&bytes);
        let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        for format in ["pem", "openssh", "jwk", "jwe", "key-file"] {
            let _ = decode(format, pem.as_bytes());
            let _ = decode(format, text.as_bytes());
            let _ = decode(format, &bytes);
        }
    }
}

fn detected(bytes: &[u8]) -> &'static str {
    let source = Source::memory(SecretBytes::from(bytes), "");
    formats::detect(&source).unwrap().name()
}

#[test]
fn key_files_stay_as_they_are_until_a_form_is_asked_for() {
    let ssh = generate::key(KeyType::SshEd25519, "me@here").unwrap();
    let rsa = b"-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n";
    for (file, content_type) in [
        (ssh.expose(), "application/x-openssh-private-key"),
        (RFC8410[1].as_bytes(), "application/x-pem-file"),
        (rsa, "application/x-pem-file"),
    ] {
        assert_eq!(detected(file), "key-file");
        let secret = decode("key-file", file).unwrap();
        assert_eq!(secret.value.expose(), file);
        assert_eq!(secret.content_type.as_deref(), Some(content_type));
    }
    for format in ["pem", "openssh", "jwk"] {
        let error = encode(format, &bare(rsa)).unwrap_err();
        assert!(error.contains("RSA"), "{format}: {error}");
        let error = encode(format, &bare(br#"{"kty":"RSA","d":"AA"}"#)).unwrap_err();
        assert!(error.contains("RSA"), "{format}: {error}");
    }
    // What only looks like it at a distance.
    for other in [
        "see -----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nMAA=",
        r#"{"kty":"RSA","d":"AA"}"#,
        r#"{"kty":"EC","crv":"P-256"}"#,
        "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(detected(other.as_bytes()), "raw", "{other}");
    }
    assert_eq!(detected(EC.as_bytes()), "jwk");
    let error = decode("pem", ssh.expose()).unwrap_err();
    assert!(error.contains("--format openssh"), "{error}");
}

#[test]
fn comments_are_kept_and_their_loss_is_told() {
    let ssh = generate::key(KeyType::SshEd25519, "me@here").unwrap();
    let secret = Portable::bare(ssh.clone());
    let line = public(ssh.expose(), None).unwrap();
    assert!(
        line.starts_with("ssh-ed25519 AAAA") && line.ends_with(" me@here\n"),
        "{line}"
    );
    let losses = |format: &str| (formats::named(format).unwrap().losses)(&secret);
    assert_eq!(losses("openssh"), Vec::<String>::new());
    for format in ["pem", "jwk"] {
        assert_eq!(losses(format), ["the comment of the key"], "{format}");
    }
    let again = encode("openssh", &secret).unwrap();
    assert_eq!(again, ssh);
}

#[test]
fn public_keys_have_their_own_formats() {
    let pem = RFC8410[0].as_bytes();
    let line = public(pem, Some("openssh")).unwrap();
    assert!(line.starts_with("ssh-ed25519 AAAA"), "{line}");
    assert_eq!(public(pem, Some("pem")).unwrap(), RFC8410_PUBLIC);
    assert!(
        public(pem, Some("hex"))
            .unwrap_err()
            .contains("pem, openssh or jwk")
    );
    assert!(public(b"no key", None).is_err());
    let x25519 = generate::key(KeyType::X25519, "").unwrap();
    let error = public(x25519.expose(), Some("openssh")).unwrap_err();
    assert!(error.contains("X25519"), "{error}");
}

#[test]
fn sealed_keys_open_with_their_passphrase_alone() {
    let ssh = generate::key(KeyType::SshEd25519, "me@here").unwrap();
    let pem = SecretBytes::from(RFC8410[0].as_bytes());
    let any = SecretBytes::from([0, 255, 7].as_slice());
    for (format, value) in [("pem", pem), ("openssh", ssh), ("jwe", any)] {
        let codec = formats::named(format).unwrap();
        let mut secret = Portable::bare(value);
        let right = answers(Some("right"), true);
        assert!((codec.is_sealed)(right.choices()));
        let sealed = codec.encode(&secret, &right).unwrap();
        let opened = codec.decode(sealed.expose(), &right).unwrap();
        secret.content_type.clone_from(&opened.content_type);
        assert_eq!(opened, secret, "{format}");
        for wrong in [Some("wrong"), None] {
            let error = codec.decode(sealed.expose(), &answers(wrong, true));
            let error = error.unwrap_err().to_string();
            let expected = wrong.map_or("nobody answers", |_| "does not open");
            assert!(error.contains(expected), "{format}: {error}");
        }
    }
}

#[test]
fn a_jwe_carries_the_media_type_and_a_key_inside() {
    let right = answers(Some("right"), false);
    let jwe = formats::named("jwe").unwrap();
    for content_type in ["text/plain", "application/x-pem-file", "application/a/b"] {
        let mut secret = bare(b"value");
        secret.content_type = Some(content_type.into());
        let sealed = jwe.encode(&secret, &right).unwrap();
        assert_eq!(detected(sealed.expose()), "jwe");
        assert_eq!(jwe.decode(sealed.expose(), &right).unwrap(), secret);
    }
    // RFC 7517, section 7.
    let mut key = bare(EC.as_bytes());
    key.content_type = Some("application/jwk+json".into());
    let sealed = jwe.encode(&key, &right).unwrap();
    let opened = jwe.decode(sealed.expose(), &right).unwrap();
    assert_eq!(opened, decode("jwk", EC.as_bytes()).unwrap());
    // Of each part one bit.
    let text = std::str::from_utf8(sealed.expose()).unwrap();
    for part in 1..5 {
        let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        let mut bytes = BASE64URL_NOPAD.decode(parts[part].as_bytes()).unwrap();
        bytes[0] ^= 1;
        parts[part] = BASE64URL_NOPAD.encode(&bytes);
        assert!(jwe.decode(parts.join(".").as_bytes(), &right).is_err());
    }
}

fn jwe(header: Value) -> String {
    let header = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
    let zeros = |len: usize| BASE64URL_NOPAD.encode(&vec![0; len]);
    format!(
        "{header}.{}.{}.{}.{}",
        zeros(40),
        zeros(12),
        zeros(1),
        zeros(16)
    )
}

#[test]
fn foreign_files_do_not_choose_how_much_work_they_are() {
    let right = answers(Some("right"), false);
    let refused = |format: &str, text: &[u8]| {
        let decoded = formats::named(format).unwrap().decode(text, &right);
        decoded.unwrap_err().to_string()
    };
    let head = |p2c: Value, salt: &str| json!({"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": p2c, "p2s": salt});
    let salt = "AAAAAAAAAAA";
    for (header, why) in [
        (head(json!(10_000_001), salt), "10000000"),
        (head(json!(u64::MAX), salt), "10000000"),
        (head(json!(0), salt), "10000000"),
        (head(json!(1), "AAAA"), "p2s"),
        (json!({"alg": "dir", "enc": "A256GCM"}), "PBES2-HS512"),
    ] {
        let error = refused("jwe", jwe(header).as_bytes());
        assert!(error.contains(why), "{error}");
    }
    let mut critical = head(json!(1), salt);
    critical["crit"] = json!(["x"]);
    assert!(refused("jwe", jwe(critical).as_bytes()).contains("crit"));
    // With little work it comes as far as the seal.
    assert!(refused("jwe", jwe(head(json!(1), salt)).as_bytes()).contains("does not open"));

    let scrypt = |n, r, p| {
        pbes2::Kdf::Scrypt(pbes2::ScryptParams {
            salt: &[0; 8],
            cost_parameter: n,
            block_size: r,
            parallelization: p,
            key_length: None,
        })
    };
    let pbkdf2 = |iteration_count| {
        pbes2::Kdf::Pbkdf2(pbes2::Pbkdf2Params {
            salt: &[0; 8],
            iteration_count,
            key_length: None,
            prf: pbes2::Pbkdf2Prf::HmacWithSha256,
        })
    };
    for (kdf, why) in [
        (scrypt(1 << 21, 8, 1), "8388608"),
        (scrypt(1 << 20, 8, 2), "8388608"),
        (scrypt(u64::MAX, 8, 1), "8388608"),
        (scrypt(0, 8, 1), "does not allow its parameters"),
        (scrypt(3, 8, 1), "does not allow its parameters"),
        (scrypt(16, 0, 1), "does not allow its parameters"),
        (pbkdf2(10_000_001), "10000000"),
        (pbkdf2(1), "does not open"),
        (scrypt(16, 8, 1), "does not open"),
    ] {
        let error = refused("pem", &sealed(kdf));
        assert!(error.contains(why), "{error}");
    }
}

fn sealed(kdf: pbes2::Kdf<'_>) -> Vec<u8> {
    let info = EncryptedPrivateKeyInfo {
        encryption_algorithm: pbes2::Parameters {
            kdf,
            encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: &[0; 16] },
        }
        .into(),
        encrypted_data: &[0; 64],
    };
    let document = SecretDocument::try_from(info).unwrap();
    let pem = document.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF);
    pem.unwrap().as_bytes().to_vec()
}

#[test]
fn openssh_files_do_not_choose_how_much_work_they_are() {
    let ssh = generate::key(KeyType::SshEd25519, "me@here").unwrap();
    let key = ssh_key::PrivateKey::from_openssh(ssh.expose()).unwrap();
    let salt = vec![0xa5; 16];
    let kdf = ssh_key::Kdf::Bcrypt {
        salt: salt.clone(),
        rounds: 1,
    };
    let sealed = key
        .encrypt_with(ssh_key::Cipher::Aes256Ctr, kdf, 7, b"right")
        .unwrap();
    let mut blob = sealed.to_bytes().unwrap().to_vec();
    let with = |blob: &[u8]| {
        let key = ssh_key::PrivateKey::from_bytes(blob).unwrap();
        let text = key.to_openssh(pkcs8::LineEnding::LF).unwrap();
        let format = formats::named("openssh").unwrap();
        format.decode(text.as_bytes(), &answers(Some("right"), false))
    };
    assert_eq!(with(&blob).unwrap().value, ssh);
    let place = blob.windows(16).position(|window| window == salt).unwrap() + 16;
    blob[place..place + 4].copy_from_slice(&1025u32.to_be_bytes());
    let error = with(&blob).unwrap_err().to_string();
    assert!(error.contains("0 to 1024 are allowed"), "{error}");
}

#[test]
fn other_files_get_one_clear_error() {
    let deep = format!("{{\"kty\":\"oct\",\"k\":{}", "[".repeat(1_000_000));
    for (format, text) in [
        ("jwk", deep.as_bytes()),
        ("jwk", b"{}"),
        ("jwk", b"[]"),
        ("jwk", br#"{"kty":"oct"}"#),
        ("jwk", br#"{"kty":"oct","k":"AA=="}"#),
        ("jwk", br#"{"kty":"oct","k":"AA","k":"AA"}"#),
        ("jwk", b"{\"kty\":\"oct\",\"k\":\"\xff\"}"),
        ("jwe", b"a.b.c.d.e"),
        ("jwe", deep.as_bytes()),
        (
            "pem",
            b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        ),
        ("pem", b"\xff"),
        ("openssh", RFC8410[0].as_bytes()),
        ("key-file", b"x"),
    ] {
        let error = decode(format, text).unwrap_err();
        assert!(
            error.len() < 200 && !error.contains('\n'),
            "{format}: {error}"
        );
    }
    let error = decode("pem", b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n-----END EC PRIVATE KEY-----");
    assert!(error.unwrap_err().contains("openssl pkcs8 -topk8"));
}
