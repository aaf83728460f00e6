use proptest::prelude::*;
use serde_json::Value;
use shared::secret::SecretBytes;

use super::{AEGIS, ANDOTP, TWOFAS, URIS};
use crate::format::{FormatError, Source, VaultFormat};
use crate::model::item::Item;
use crate::model::record::field;
use crate::registry::{Detected, detect};
use crate::testing::{Answers, read_all};

/// Exports with the same accounts, plain, and sealed by the Python package `cryptography` with "demopass" as the apps do.
const VECTORS: &str = include_str!("../../../tests/vectors/one-time-codes.json");
/// Two parts of an export of Google Authenticator.
const MIGRATION: [&str; 2] = [
    "otpauth-migration://offline?data=CiAKCjEyMzQ1Njc4OTASB09uZTphbmEaA09uZSABKAEwAgoeCgoxMjM0NTY3ODkwEgNib2IaA1R3byACKAIwATgHEAEYAiAAKGM%3D",
    "otpauth-migration://offline?data=Ch4KCjEyMzQ1Njc4OTASBGNhcmwaACADKAEwAkICaWQKHQoKMTIzNDU2Nzg5MBIEZG9yYRoBRCAEKAEwAkgBEAEYAiABKGM%3D",
];

fn vector(name: &str) -> Vec<u8> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    match &all[name] {
        Value::String(text) => data_encoding::BASE64.decode(text.as_bytes()).unwrap(),
        other => other.to_string().into_bytes(),
    }
}

fn read_with(
    format: &VaultFormat,
    bytes: &[u8],
    passphrase: &'static str,
) -> Result<(Vec<Item>, Vec<String>), FormatError> {
    let answers = Answers {
        passphrase: Some(passphrase),
        ..Answers::default()
    };
    read_all(
        format,
        &Source::memory(SecretBytes::from(bytes), ""),
        &answers,
    )
}

fn detected(bytes: &[u8]) -> String {
    let source = Source::memory(SecretBytes::from(bytes), "");
    detect(&source).unwrap().name().to_owned()
}

/// The name, the URI, the tags and the losses of each item.
fn told(items: &[Item]) -> Vec<(String, String, String, String)> {
    let told = |item: &Item| {
        let record = item.as_record().unwrap();
        assert_eq!(record.kind, "totp");
        let uri = record.get(field::TOTP).unwrap().to_owned();
        (
            item.name.clone(),
            uri,
            item.tags.join(","),
            item.losses.join(","),
        )
    };
    items.iter().map(told).collect()
}

fn row(name: &str, uri: &str, tags: &str, losses: &str) -> (String, String, String, String) {
    (name.into(), uri.into(), tags.into(), losses.into())
}

const SEED: &str = "GEZDGNBVGY3TQOJQ";
const FIRST: &str = "otpauth://totp/One%3Aana?secret=JBSWY3DPEHPK3PXP&issuer=One&algorithm=SHA256&digits=8&period=60";

fn second() -> String {
    format!("otpauth://hotp/Two%3Abob?secret={SEED}&issuer=Two&counter=7&algorithm=SHA1&digits=6")
}

#[test]
fn exports_of_aegis_are_read_plain_and_sealed() {
    let steam = format!(
        "otpauth://totp/Steam%3Acarl?secret={SEED}&issuer=Steam&digits=5&encoder=steam&period=30"
    );
    let eve = format!("otpauth://totp/eve?secret={SEED}&algorithm=SHA1&digits=6&period=30");
    for name in ["aegis", "aegisSealed"] {
        let file = vector(name);
        assert_eq!(detected(&file), "aegis");
        let (items, missing) = read_with(&AEGIS, &file, "demopass").unwrap();
        let expected = [
            row("One:ana", FIRST, "work,favourite", ""),
            row("Two:bob", &second(), "", ""),
            row("Steam:carl", &steam, "", ""),
            row("eve", &eve, "", "member `later`"),
        ];
        assert_eq!(told(&items), expected);
        let record = items[0].as_record().unwrap();
        assert_eq!(record.get(field::NOTE), Some("of one"));
        let expected = [
            "Y:dora: codes of the kind `yandex` are not known",
            "the file: members `icon`, `icon_mime`, `icons_optimized` of the app's own",
        ];
        assert_eq!(missing, expected);
    }
    let wrong = read_with(&AEGIS, &vector("aegisSealed"), "wrong").unwrap_err();
    assert!(matches!(wrong, FormatError::WrongPassphrase(_)), "{wrong}");
    let text = String::from_utf8(vector("aegisSealed")).unwrap();
    for (from, to, says) in [
        ("\"n\":16", "\"n\":16777216", "scrypt work"),
        ("\"n\":16", "\"n\":17", "power of two"),
        ("\"type\":1", "\"type\":2", "no password"),
        ("\"version\":1", "\"version\":2", "version 2"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = read_with(&AEGIS, text.replace(from, to).as_bytes(), "demopass").unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn backups_of_2fas_are_read_plain_and_sealed() {
    let steam =
        format!("otpauth://totp/Steam%3Ax?secret={SEED}&issuer=Steam&digits=5&encoder=steam");
    for name in ["twofas", "twofasSealed"] {
        let file = vector(name);
        assert_eq!(detected(&file), "2fas");
        let (items, missing) = read_with(&TWOFAS, &file, "demopass").unwrap();
        let expected = [
            row("One:ana", FIRST, "work", ""),
            row("Two:bob", &second(), "", ""),
            row(
                "Steam:x",
                &steam,
                "",
                "the name `Mine` that the app shows,member `later`",
            ),
        ];
        assert_eq!(told(&items), expected);
        assert_eq!(
            items[0].newest().unwrap().created_ms,
            Some(1_704_874_073_731)
        );
        let expected = ["the file: members `icon`, `link`, `order`, `source` of the app's own"];
        assert_eq!(missing, expected);
    }
    let wrong = read_with(&TWOFAS, &vector("twofasSealed"), "wrong").unwrap_err();
    assert!(matches!(wrong, FormatError::WrongPassphrase(_)), "{wrong}");
}

#[test]
fn backups_of_andotp_are_read_plain_and_sealed() {
    let steam =
        format!("otpauth://totp/Steam%3Acarl?secret={SEED}&digits=5&encoder=steam&period=30");
    assert_eq!(detected(&vector("andotp")), "andotp");
    for name in ["andotp", "andotpSealed", "andotpOld"] {
        let (items, missing) = read_with(&ANDOTP, &vector(name), "demopass").unwrap();
        let expected = [
            row("One:ana", FIRST, "work", ""),
            row("Two:bob", &second(), "", ""),
            row("Steam:carl", &steam, "", ""),
        ];
        assert_eq!(told(&items), expected, "{name}");
        let expected = [
            "Bad:x: its secret is not base32",
            "the file: members `last_used`, `thumbnail`, `used_frequency` of the app's own",
        ];
        assert_eq!(missing, expected);
    }
    for name in ["andotpSealed", "andotpOld"] {
        let wrong = read_with(&ANDOTP, &vector(name), "wrong").unwrap_err();
        assert!(matches!(wrong, FormatError::WrongPassphrase(_)), "{wrong}");
        let cut = &vector(name)[..20];
        assert!(read_with(&ANDOTP, cut, "demopass").is_err());
    }
    assert!(read_with(&ANDOTP, b"", "demopass").is_err());
}

#[test]
fn lists_of_uris_are_one_item_each() {
    let uris = format!(
        "\u{feff}\r\notpauth://totp/One:ana?secret={SEED}&issuer=One\r\n\nOTPAUTH://hotp/bob?secret={SEED}&issuer=T%20wo&counter=7\n\
         otpauth://totp?secret={SEED}\nno URI\nsteam://{SEED}\notpauth://totp/a%2Fb?secret={SEED}#x\n"
    );
    assert_eq!(detected(uris.as_bytes()), "otpauth");
    let (items, missing) = read_with(&URIS, uris.as_bytes(), "").unwrap();
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["One:ana", "T wo:bob", "", "", "a\u{2215}b"]);
    let lines: Vec<_> = told(&items).into_iter().map(|(_, uri, ..)| uri).collect();
    let expected = uris
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("://"));
    assert_eq!(lines, expected.collect::<Vec<_>>());
    assert_eq!(missing, ["line 6: it is not an otpauth URI"]);
    // One URI is a value, under the name that is given.
    for text in [
        "otpauth://totp/x?secret=AA\n",
        "otpauth",
        "hunter2\notpauth://totp/x?secret=AA\n",
    ] {
        assert_eq!(detected(text.as_bytes()), "raw", "{text}");
    }
}

#[test]
fn exports_of_google_authenticator_are_one_item_per_account() {
    let both = MIGRATION.join("\n");
    assert_eq!(detected(both.as_bytes()), "otpauth");
    assert_eq!(detected(MIGRATION[0].as_bytes()), "otpauth");
    let (items, missing) = read_with(&URIS, both.as_bytes(), "").unwrap();
    let uri = |rest: &str| format!("otpauth://{rest}").replace("SEED", SEED);
    let expected = [
        row(
            "One:ana",
            &uri("totp/One%3Aana?secret=SEED&issuer=One&algorithm=SHA1&digits=6"),
            "",
            "",
        ),
        row(
            "Two:bob",
            &uri("hotp/Two%3Abob?secret=SEED&issuer=Two&counter=7&algorithm=SHA256&digits=8"),
            "",
            "",
        ),
        row(
            "carl",
            &uri("totp/carl?secret=SEED&algorithm=SHA512&digits=6"),
            "",
            "",
        ),
        row(
            "D:dora",
            &uri("totp/D%3Adora?secret=SEED&issuer=D&algorithm=MD5&digits=6"),
            "",
            "member 9 of the account, which is not known",
        ),
    ];
    assert_eq!(told(&items), expected);
    assert!(missing.is_empty());
    let (items, missing) = read_with(&URIS, MIGRATION[1].as_bytes(), "").unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(
        missing,
        ["the file: part 1 of 2 of the export: import its QR code as well"]
    );
    for bad in [
        "otpauth-migration://offline?data=%00",
        "otpauth-migration://offline?x=1",
        "otpauth-migration://offline?data=CiAK",
        "otpauth-migration://offline?data=/////////////w8=",
    ] {
        let error = read_with(&URIS, bad.as_bytes(), "")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("line 1: "), "{error}");
    }
}

#[test]
fn detected_names_are_those_of_the_table() {
    for format in [&URIS, &AEGIS, &TWOFAS, &ANDOTP] {
        let detected = Detected::Vault(format);
        assert!(crate::registry::vault_named(detected.name()).is_some());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in ".{0,60}") {
        let migration = format!("{}{}", "otpauth-migration://offline?data=", data_encoding::BASE64.encode(&bytes));
        let json = format!("{{\"version\":1,\"header\":{{}},\"db\":{{\"entries\":[{{\"name\":{text:?}}}]}}}}");
        // A sealed backup that asks for one round.
        let sealed = [&[0, 0, 0, 1], bytes.as_slice()].concat();
        let _ = read_with(&ANDOTP, &sealed, "x");
        for format in [&URIS, &AEGIS, &TWOFAS] {
            for bytes in [bytes.as_slice(), migration.as_bytes(), text.as_bytes(), json.as_bytes()] {
                let _ = read_with(format, bytes, "x");
            }
        }
    }
}
