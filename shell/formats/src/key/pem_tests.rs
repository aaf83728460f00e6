use crate::format::FormatError;
use crate::key::{Kind, PrivateKey, pem};
use crate::registry::{Detected, detect, named};
use crate::testing::Answers;
use crate::{Portable, source::Source};
use shared::secret::SecretBytes;

const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJQIhGnheo3hYShu36asI6t5HLJTsXpJ13xlKm+ZEcgB
-----END PRIVATE KEY-----
";
const EC: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIF7LwbP2jOqHeuUGkoI/Z35Mby2OyB1/c9n4vM+x/vawoAoGCCqGSM49
AwEHoUQDQgAEEg1u6fbttPMeWHJMenJh2w/2z+BHPaDny3sZ4dC8R6j1JHXK+CCU
JAXIF0Yjmci9cWtvmCwX0BPezEF3VtFt9Q==
-----END EC PRIVATE KEY-----
";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

/// [`KEY`] as OpenSSL 3.0 encrypts it, with the options of `openssl pkcs8 -topk8`; the passphrase is "demopass".
const ENCRYPTED: [(&str, &str); 4] = [
    (
        "-v2 aes-128-cbc -v2prf hmacWithSHA1",
        "MIGNMEkGCSqGSIb3DQEFDTA8MBsGCSqGSIb3DQEFDDAOBAhu7EuulV+PKAICA+gw
HQYJYIZIAWUDBAECBBAjz5Nr8uizbHgiAMKI/FxtBEB5nQXF+7fmv01x7zETMKCY
43WjRcrolEx3hzvgOHF6tIpYOTiNOFiqjPhcKmP1U+hr2aVgznVJ4CNpecokNfQx",
    ),
    (
        "-v2 aes-192-cbc -v2prf hmacWithSHA512",
        "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiRyGgo7FwKuwICA+gw
DAYIKoZIhvcNAgsFADAdBglghkgBZQMEARYEEOqRm1h4MVXhNoon4+txScoEQNGx
EtZITlpma9JhQbEE1bJ+lNq3KP2iK0gP3gvPdWhbq7Zt0fPNF/XEc+gcgJnwpxIW
jgQNEjUbbADhdusIVsw=",
    ),
    (
        "-v2 aes-256-cbc",
        "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhzO16AZtITAgICA+gw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDTFoloQTe4YAJYXXbPfsaUEQEAU
jROk3PkCmDDyu2OmjFtPE30t+aFFfprVrOSXyyB46cUKtO2mQ0FnKXa6mUSefD0o
3wuZSZPOHxUT7O8LFNc=",
    ),
    (
        "-v2 des3",
        "MIGKME4GCSqGSIb3DQEFDTBBMCkGCSqGSIb3DQEFDDAcBAiFQViJ+UM9NAICA+gw
DAYIKoZIhvcNAgkFADAUBggqhkiG9w0DBwQI+jTs5Mvx3LcEOPGJ75ZVF01tSdbN
Yl2a2bXRWnKvySXpovjV/QX71ly/dAhdYSuA0x25CRVV2VbwIJozDxFogw/9",
    ),
];
/// The same in ways that are not read, each with its name.
const NOT_READ: [(&str, &str); 2] = [
    (
        "PBE with SHA-1 and 3DES",
        "MFgwHAYKKoZIhvcNAQwBAzAOBAhe8FCqnkDutwICA+gEOOaHnvOnB4yp80Ct6EjZ
RBG7sqcuSLY7XILNvSh5lyqkWu6CFRaiVnlXUNDExm78dDTw74ui+yUb",
    ),
    (
        "PBES2 with a cipher other than",
        "MIGdMFkGCSqGSIb3DQEFDTBMMCkGCSqGSIb3DQEFDDAcBAgwRyqNERY6sgICA+gw
DAYIKoZIhvcNAgkFADAfBgsqgwiMmks9AQEBAgQQS3F7nYMuV9Vu+YxJD1U5QwRA
4PBIreCh1oHsdnQ9Hq5+pZ+L+vT0L+06sQxgFYZ/lbhULuiSKaX+vonFbfQUdTcj
a0FMCf13Pz6Or8TB1Zsn7A==",
    ),
];

fn sealed(body: &str) -> String {
    format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----\n")
}

fn answers() -> Answers {
    Answers {
        passphrase: Some("demopass"),
        ..Answers::default()
    }
}

fn decoded(format: &str, text: &str) -> Result<Portable, FormatError> {
    named(format).unwrap().decode(text.as_bytes(), &answers())
}

#[test]
fn encryptions_of_openssl_are_read_or_named() {
    let key = pem::read(KEY.as_bytes(), &answers()).unwrap();
    for (options, body) in ENCRYPTED {
        let opened = pem::read(sealed(body).as_bytes(), &answers());
        assert_eq!(opened.unwrap(), key, "{options}");
        let wrong = pem::read(sealed(body).as_bytes(), &Answers::default()).unwrap_err();
        assert!(matches!(wrong, FormatError::WrongPassphrase(_)), "{wrong}");
    }
    for (name, body) in NOT_READ {
        let error = pem::read(sealed(body).as_bytes(), &answers()).unwrap_err();
        assert!(matches!(error, FormatError::Unsupported(_)), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(name) && error.contains("openssl pkcs8"),
            "{error}"
        );
    }
    let old = EC.replace(
        "EC PRIVATE KEY-----\nMH",
        "EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,CB3F\n\nMH",
    );
    let error = pem::read(old.as_bytes(), &answers())
        .unwrap_err()
        .to_string();
    assert!(error.contains("(AES-128-CBC)"), "{error}");
}

#[test]
fn text_before_a_key_is_allowed() {
    let bag =
        format!("Bag Attributes\n    friendlyName: my key\nKey Attributes: <No Attributes>\n{KEY}");
    for text in [
        bag.clone(),
        bag.replace('\n', "\r\n"),
        format!("\n{KEY}"),
        format!("# of the shop\n{EC}"),
        format!("subject=CN = x\n{CERTIFICATE}\n{bag}"),
    ] {
        let source = Source::memory(SecretBytes::from(text.as_bytes()), "");
        let detected = detect(&source).unwrap();
        assert!(matches!(detected, Detected::Secret(format) if format.name == "key-file"));
        let secret = decoded("key-file", &text).unwrap();
        assert_eq!(secret.value.expose(), text.as_bytes());
        assert!(pem::read(text.as_bytes(), &answers()).is_ok(), "{text}");
    }
    for text in [
        format!("see {KEY}"),
        CERTIFICATE.to_owned(),
        KEY.replace("-----END", "-----EN"),
    ] {
        assert!(!pem::is_private(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_stands_beside_a_key_is_listed() {
    let cases = [
        (KEY.to_owned(), &[][..]),
        (EC.to_owned(), &[]),
        (format!("{CERTIFICATE}{KEY}"), &["a certificate"]),
        (
            format!("{KEY}{CERTIFICATE}{CERTIFICATE}{EC}"),
            &["a certificate", "a certificate", "an ec private key"],
        ),
        (
            format!("Bag Attributes\n{KEY}"),
            &["the text beside the key"],
        ),
        (
            format!("{KEY}\nmore\n{CERTIFICATE}"),
            &["a certificate", "the text beside the key"],
        ),
        (format!("{KEY}more"), &["the text beside the key"]),
    ];
    for (text, expected) in cases {
        assert_eq!(pem::beside(text.as_bytes()), expected, "{text}");
        assert_eq!(decoded("pem", &text).unwrap().lost, expected, "{text}");
        let secret = Portable::bare(SecretBytes::from(text.as_bytes()));
        for format in ["pem", "openssh", "jwk"] {
            let losses = named(format).unwrap().losses;
            assert_eq!(losses(&secret), expected, "{format}: {text}");
        }
    }
    assert!(pem::beside(CERTIFICATE.as_bytes()).is_empty());
}

/// Every kind of key in every format of keys: it comes back as the same key, or the format says that it has no such keys.
#[test]
fn a_key_goes_out_in_every_format_that_has_its_kind() {
    let all = [Kind::Ed25519, Kind::X25519, Kind::P256, Kind::Secp256k1];
    let formats: [(&str, &[Kind]); 6] = [
        ("pem", &all),
        ("jwk", &all),
        ("key-file", &all),
        ("openssh", &[Kind::Ed25519, Kind::P256]),
        ("age-identity", &[Kind::X25519]),
        ("eth-keystore", &[Kind::Secp256k1]),
    ];
    for kind in all {
        let key = PrivateKey::generate(kind);
        let secret = Portable::bare(pem::write(&key).unwrap());
        for (name, kinds) in formats {
            let format = named(name).unwrap();
            let written = format.encode(&secret, &answers());
            assert_eq!(written.is_ok(), kinds.contains(&kind), "{kind} in {name}");
            let Ok(written) = written else {
                continue;
            };
            let again = format.decode(written.expose(), &answers()).unwrap();
            let value = again.value.expose();
            let again = match name {
                "eth-keystore" => PrivateKey::new(kind, value).unwrap(),
                _ => crate::key::read(value, &answers()).unwrap(),
            };
            assert_eq!(again, key, "{kind} in {name}");
        }
    }
}
