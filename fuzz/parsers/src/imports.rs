//! Import formats; age files are in [`crate::age_files`].

use data_encoding::BASE64;
use keyshell::formats::vault::{SecretDocument, VaultDocument};
use keyshell::formats::{ALL, Detected, SecretFormat, detect};
use keyshell::vault::metadata::Metadata;
use keyshell::vault::names::SecretName;
use shared::wire::limits::MAX_VALUE_LEN;

use crate::cursor::Cursor;

/// In, out and in again is the same as in.
pub(crate) fn imports(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = usize::from(script.choice(8));
    let bytes = script.rest();
    match ALL.get(kind) {
        Some(format) => secret(*format, bytes),
        None => vault(bytes),
    }
}

fn secret(format: &dyn SecretFormat, bytes: &[u8]) {
    let Ok(secret) = format.decode(bytes) else {
        return;
    };
    assert!(secret.value.len() <= MAX_VALUE_LEN);
    let encoded = format.encode(&secret).unwrap();
    assert_eq!(format.decode(encoded.expose()).unwrap(), secret);
    let text = bytes.trim_ascii();
    match format.name() {
        "raw" | "len" | "len32" => assert_eq!(encoded.expose(), bytes),
        "hex" => assert_eq!(encoded.expose(), text.to_ascii_lowercase()),
        "json" => assert_eq!(detect(encoded.expose()), Detected::Secret),
        // base64 and base64url
        _ => assert_eq!(encoded.expose(), text),
    }
}

fn vault(bytes: &[u8]) {
    let detected = detect(bytes);
    let Ok(document) = VaultDocument::decode(bytes) else {
        return;
    };
    assert_eq!(detected, Detected::Vault);
    let encoded = document.encode().unwrap();
    assert_eq!(VaultDocument::decode(encoded.expose()).unwrap(), document);
    document.secrets.iter().for_each(check_secret);
}

fn check_secret(secret: &SecretDocument) {
    assert!(!secret.versions.is_empty());
    for (number, version) in (1..).zip(&secret.versions) {
        assert_eq!(version.version, number);
        assert!(version.value.0.len() <= MAX_VALUE_LEN);
    }
    // What `import` makes of it must be metadata that every device can read.
    let Ok(name) = SecretName::parse(&secret.name) else {
        return;
    };
    let mut metadata = Metadata::named(name);
    metadata.set_tags(secret.tags.clone());
    metadata.note.clone_from(&secret.note);
    metadata.content_type.clone_from(&secret.content_type);
    for (key, encoded) in &secret.fields {
        if let Ok(bytes) = BASE64.decode(encoded.as_bytes())
            && let Ok(value) = rmpv::decode::read_value_with_max_depth(&mut bytes.as_slice(), 16)
        {
            metadata.other.insert(key.clone(), value);
        }
    }
    if let Ok(encoded) = metadata.encode() {
        Metadata::decode(encoded.expose()).expect("it can be read again");
    }
}
