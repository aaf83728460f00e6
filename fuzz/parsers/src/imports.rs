//! Import formats of single secrets and our own of whole vaults; age files are in [`crate::age_files`].

use keyshell::commands::import::prepare::{Names, prepare};
use keyshell_client::index::metadata::Metadata;
use keyshell_formats::native::{NAME, VAULT};
use keyshell_formats::source::Source;
use keyshell_formats::{
    Ask, Choices, Detected, FormatError, Incoming, SecretFormat, VaultFormat, detect, named,
};
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use zeroize::Zeroizing;

use crate::cursor::Cursor;

/// The formats of this target, by the first byte of what it is given; ours of a whole vault comes after them.
pub const BASE: [&str; 7] = ["raw", "hex", "base64", "base64url", "len", "len32", "json"];

/// In, out and in again is the same as in.
pub(crate) fn imports(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = usize::from(script.choice(8));
    let bytes = script.rest();
    match BASE.get(kind) {
        Some(name) => secret(named(name).unwrap(), bytes),
        None => vault(&VAULT, bytes),
    }
}

/// Answers what formats ask.
pub struct Answers(pub Choices);

impl Ask for Answers {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        Ok(Zeroizing::new("correct horse".into()))
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn choices(&self) -> &Choices {
        &self.0
    }
}

fn secret(format: &SecretFormat, bytes: &[u8]) {
    let answers = Answers(Choices::default());
    let Ok(secret) = format.decode(bytes, &answers) else {
        return;
    };
    assert!(secret.value.len() <= MAX_VALUE_LEN);
    let encoded = format.encode(&secret, &answers).unwrap();
    assert_eq!(format.decode(encoded.expose(), &answers).unwrap(), secret);
    let text = bytes.trim_ascii();
    match format.name {
        "raw" | "len" | "len32" => assert_eq!(encoded.expose(), bytes),
        "hex" => assert_eq!(encoded.expose(), text.to_ascii_lowercase()),
        "json" => {
            let source = Source::memory(encoded, "");
            let detected = detect(&source).unwrap();
            assert!(matches!(detected, Detected::Secret(format) if format.name == "json"));
        }
        // base64 and base64url
        _ => assert_eq!(encoded.expose(), text),
    }
}

/// Whatever a file says, what comes of it can be stored and read again by every device.
pub(crate) fn vault(format: &VaultFormat, bytes: &[u8]) {
    let source = Source::memory(SecretBytes::from(bytes), "");
    let _ = detect(&source);
    let answers = Answers(Choices::default());
    let names = if format.name == NAME {
        Names::Ours
    } else {
        Names::Foreign
    };
    let _ = format.read(&source, &answers, &mut |incoming| {
        if let Incoming::Item(item) = incoming {
            assert!(!item.versions.is_empty());
            for new in prepare(*item, names, None)?.0 {
                let encoded = new.metadata.encode().unwrap();
                Metadata::decode(encoded.expose()).expect("it can be read again");
                assert!(!new.versions.is_empty());
                let fits = |(_, value): &(_, SecretBytes)| value.len() <= MAX_VALUE_LEN;
                assert!(new.versions.iter().all(fits));
            }
        }
        Ok(())
    });
}
