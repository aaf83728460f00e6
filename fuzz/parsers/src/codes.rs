//! Exports of programs for one-time codes, key files of KeePass, and JWK sets.

use data_encoding::BASE64URL_NOPAD;
use keyshell_formats::record::{Record, field};
use keyshell_formats::source::Source;
use keyshell_formats::{Choices, Incoming, VaultFormat, jwks, keepass, otp};
use shared::secret::SecretBytes;

use crate::cursor::Cursor;
use crate::imports::{Answers, vault};

/// By the first byte: URIs, the message in a URI of Google Authenticator, Aegis, 2FAS, andOTP, a key file of KeePass, a JWK set.
pub(crate) fn codes(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = script.choice(7);
    let bytes = script.rest();
    match kind {
        0 => checked(&otp::URIS, bytes),
        1 => checked(&otp::URIS, &migration(bytes)),
        // What is sealed asks for work that a fuzzer has no time for.
        2 if !has(bytes, b"\"n\"") => checked(&otp::AEGIS, bytes),
        3 if !has(bytes, b"servicesEncrypted") => checked(&otp::TWOFAS, bytes),
        4 if bytes.trim_ascii_start().starts_with(b"[") => checked(&otp::ANDOTP, bytes),
        5 => {
            let _ = keepass::key_file::key(bytes);
        }
        6 => vault(&jwks::FORMAT, bytes),
        _ => {}
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The URI with this message.
pub fn migration(message: &[u8]) -> Vec<u8> {
    // Of both alphabets of base64, this one needs no encoding; the reader wants the other.
    let text = BASE64URL_NOPAD
        .encode(message)
        .replace('-', "%2B")
        .replace('_', "/");
    format!("otpauth-migration://offline?data={text}").into_bytes()
}

/// Whatever comes in as an account has a URI.
fn checked(format: &VaultFormat, bytes: &[u8]) {
    vault(format, bytes);
    let source = Source::memory(SecretBytes::from(bytes), "");
    let _ = format.read(&source, &Answers(Choices::default()), &mut |incoming| {
        if let Incoming::Item(item) = incoming {
            let record = Record::decode(item.newest().unwrap().value.expose()).unwrap();
            let uri = record.get(field::TOTP).unwrap();
            assert!(uri.contains("://"));
        }
        Ok(())
    });
}
