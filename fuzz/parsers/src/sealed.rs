//! Sealed values, sealed metadata, the wrapped account key, and what is inside.

use shared::vault_log::FIRST_EPOCH;
use std::collections::BTreeMap;

use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::{MAX_LEN, Metadata};
use keyshell_client::keys::seal::SecretContext;
use keyshell_client::keys::wrap::WrapContext;
use shared::aead;
use shared::ids::{Seq, Version};
use shared::kdf::length_prefixed;
use shared::opaque::{SUITE, Slot};

use crate::cursor::Cursor;
use crate::world::{ACCOUNT, EXPORT_KEY, SECRET, keys};

const SEQ: Seq = Seq(2);
const PLACE: SecretContext = SecretContext {
    secret: SECRET,
    version: Version(1),
};

/// Opens made-up and altered ciphertexts, any padding under a good seal, and any metadata.
pub(crate) fn sealed(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(6) {
        0 => opened(&mut script),
        1 => padding(&mut script),
        2 => wrapped(&mut script),
        3 => metadata(script.rest()),
        _ => own_metadata(&mut script),
    }
}

fn opens(sealed: &[u8]) -> bool {
    let as_value = PLACE.open_value(&keys(), sealed).is_ok();
    let as_metadata = PLACE.open_metadata(&keys(), SEQ, sealed).is_ok();
    assert!(!(as_value && as_metadata));
    as_value || as_metadata
}

/// The script is a ciphertext. Where it opens, it opens in one place only, and not once it is altered.
fn opened(script: &mut Cursor<'_>) {
    let (place, mask) = (usize::from(script.byte()), script.byte());
    let sealed = script.rest();
    if !opens(sealed) {
        return;
    }
    let elsewhere = SecretContext {
        version: Version(2),
        ..PLACE
    };
    assert!(elsewhere.open_value(&keys(), sealed).is_err());
    assert!(elsewhere.open_metadata(&keys(), SEQ, sealed).is_err());
    assert!(PLACE.open_metadata(&keys(), SEQ.next(), sealed).is_err());
    let mut altered = sealed.to_vec();
    altered[place % sealed.len()] ^= mask;
    assert!(mask == 0 || !opens(&altered));
}

/// The script is what is under the seal: only the one right padding is accepted.
fn padding(script: &mut Cursor<'_>) {
    let len = usize::try_from(script.number() % 1024).unwrap();
    let zeros = usize::from(script.byte());
    let says = u32::try_from(script.number() % 4096).unwrap();
    let mut content = script.rest().to_vec();
    content.truncate(len);
    let mut padded = says.to_be_bytes().to_vec();
    padded.extend_from_slice(&content);
    padded.resize(padded.len() + zeros, 0);

    let right = PLACE.seal_value(&keys(), &content.as_slice().into()).len() == padded.len() + 28
        && content.len() == says as usize;
    let aad = length_prefixed(&[
        b"keyshell/2 sealed value",
        &[SUITE],
        ACCOUNT.as_bytes(),
        SECRET.as_bytes(),
        &PLACE.version.0.to_be_bytes(),
        &FIRST_EPOCH.to_be_bytes(),
    ]);
    let key = keys().value(&SECRET, PLACE.version);
    let nonce = [0; aead::NONCE_LEN];
    let sealed = [&nonce[..], &aead::seal(&key, &nonce, &aad, &padded)].concat();
    match PLACE.open_value(&keys(), &sealed) {
        Ok(value) => {
            // Zeros at the end may belong to the value or to the padding.
            assert_eq!(value.len(), says as usize);
            assert_eq!(value.expose(), &padded[4..4 + value.len()]);
            assert_eq!(PLACE.seal_value(&keys(), &value).len(), sealed.len());
        }
        Err(_) => assert!(!right),
    }
}

/// The script is a wrapped account key.
fn wrapped(script: &mut Cursor<'_>) {
    let (place, mask) = (usize::from(script.byte()), script.byte());
    let context = WrapContext {
        account: &ACCOUNT,
        slot: &Slot::Password,
        generation: 1,
        epoch: FIRST_EPOCH,
    };
    let blob = script.rest();
    let Ok(key) = context.unwrap(&EXPORT_KEY, blob) else {
        return;
    };
    assert_eq!(key, *keys().root());
    let mut altered = blob.to_vec();
    altered[place % blob.len()] ^= mask;
    assert!(mask == 0 || context.unwrap(&EXPORT_KEY, &altered).is_err());
    let other = WrapContext {
        generation: 2,
        ..context
    };
    assert!(other.unwrap(&EXPORT_KEY, blob).is_err());
}

/// The script is encoded metadata: written once more they are in their one form, which stays.
fn metadata(bytes: &[u8]) {
    let Ok(decoded) = Metadata::decode(bytes) else {
        return;
    };
    let Ok(encoded) = decoded.encode() else {
        return;
    };
    assert!(encoded.len() <= MAX_LEN);
    let again = Metadata::decode(encoded.expose()).unwrap();
    assert_eq!(again.encode().unwrap(), encoded);
    assert_eq!(again.name, decoded.name);
    assert_eq!(again.tags, decoded.tags);
    assert_eq!(again.note, decoded.note);
}

/// What this program encodes, whatever unknown keys an import brought in, every device can read: else one entry would
/// lock the vault.
fn own_metadata(script: &mut Cursor<'_>) {
    let Some(name) = std::str::from_utf8(script.chunk())
        .ok()
        .and_then(|text| SecretName::parse(text).ok())
    else {
        return;
    };
    let mut metadata = Metadata::named(name.clone());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    metadata.set_tags(
        (0..script.choice(4))
            .map(|_| text(script.chunk()))
            .collect(),
    );
    metadata.note = text(script.chunk());
    metadata.content_type = (script.choice(2) == 1).then(|| text(script.chunk()));
    metadata.created_ms = (script.choice(2) == 1).then(|| script.number());
    let mut other = BTreeMap::new();
    for _ in 0..script.choice(4) {
        let key = text(script.chunk());
        let mut value = script.chunk();
        if let Ok(value) = rmpv::decode::read_value_with_max_depth(&mut value, 16) {
            other.insert(key, value);
        }
    }
    metadata.other = other;
    let Ok(encoded) = metadata.encode() else {
        return;
    };
    let decoded = Metadata::decode(encoded.expose()).expect("it can be read again");
    assert_eq!(decoded.name, name);
    assert_eq!(decoded.encode().unwrap(), encoded);
}
