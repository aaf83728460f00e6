//! Sealed values, sealed metadata, the account key as a credential and a slot key hold it, and what is inside.

use std::collections::BTreeMap;

use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::{MAX_LEN, Metadata};
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::SecretContext;
use keyshell_client::keys::wrap::WrapContext;
use shared::aead;
use shared::ids::{AccountId, Version};
use shared::kdf::{derive, length_prefixed};
use shared::opaque::{SUITE, Slot};
use shared::secret::Key;
use shared::vault_log::{FIRST_EPOCH, MAX_EPOCH};
use shared::wire::limits::MAX_BODY_LEN;
use shared::wire::slots::{SLOT_KEY_LEN, SlotKey};

use crate::cursor::Cursor;
use crate::wire::canonical;
use crate::world::{
    ACCOUNT, EXPORT_KEY, SECRET, device_slot, keys, next_keys, slot_context, slot_keys,
};

const PLACE: SecretContext = SecretContext {
    secret: SECRET,
    version: Version(1),
};

/// Opens made-up and altered ciphertexts, any padding under a good seal, and any metadata.
pub(crate) fn sealed(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(10) {
        0 => opened(&mut script),
        1 => padding(&mut script),
        2 => wrapped(&mut script),
        3 => metadata(script.rest()),
        4 => slot_key(&mut script),
        5 => encapsulated(&mut script),
        6 => key_history(&mut script),
        7 => own_history(&mut script),
        _ => own_metadata(&mut script),
    }
}

fn opens(sealed: &[u8]) -> bool {
    let as_value = PLACE.open_value(&keys(), FIRST_EPOCH, sealed).is_ok();
    let as_metadata = PLACE.open_metadata(&keys(), FIRST_EPOCH, sealed).is_ok();
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
    let keys = next_keys();
    for (place, epoch) in [(elsewhere, FIRST_EPOCH), (PLACE, FIRST_EPOCH + 1)] {
        assert!(place.open_value(&keys, epoch, sealed).is_err());
        assert!(place.open_metadata(&keys, epoch, sealed).is_err());
    }
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

    let sealed_len = |value| PLACE.seal_value(&keys(), &value).unwrap().len();
    let right = sealed_len(content.as_slice().into()) == padded.len() + 28
        && content.len() == says as usize;
    let aad = length_prefixed(&[
        b"keyshell/2 sealed value",
        &[SUITE],
        ACCOUNT.as_bytes(),
        SECRET.as_bytes(),
        &PLACE.version.0.to_be_bytes(),
        &FIRST_EPOCH.to_be_bytes(),
    ]);
    let key = keys().value(&SECRET, PLACE.version, FIRST_EPOCH).unwrap();
    let nonce = [0; aead::NONCE_LEN];
    let sealed = [&nonce[..], &aead::seal(&key, &nonce, &aad, &padded)].concat();
    match PLACE.open_value(&keys(), FIRST_EPOCH, &sealed) {
        Ok(value) => {
            // Zeros at the end may belong to the value or to the padding.
            assert_eq!(value.len(), says as usize);
            assert_eq!(value.expose(), &padded[4..4 + value.len()]);
            assert_eq!(sealed_len(value), sealed.len());
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
    assert_eq!(key, *keys().current());
    let mut altered = blob.to_vec();
    altered[place % blob.len()] ^= mask;
    assert!(mask == 0 || context.unwrap(&EXPORT_KEY, &altered).is_err());
    let other = WrapContext {
        generation: 2,
        ..context
    };
    assert!(other.unwrap(&EXPORT_KEY, blob).is_err());
}

/// The script is a slot key. Where it opens, it opens for one credential and epoch, and not once it is altered.
fn slot_key(script: &mut Cursor<'_>) {
    let (place, mask) = (usize::from(script.byte()) * 5, script.byte());
    let Some(sealed) = canonical::<SlotKey>(script.rest(), MAX_BODY_LEN) else {
        return;
    };
    let Ok(key) = slot_keys(sealed.slot).open(&sealed) else {
        return;
    };
    assert_eq!(key, *next_keys().current());
    assert_eq!(sealed.blob.len(), SLOT_KEY_LEN);
    check_altered(&sealed, place, mask);
}

fn check_altered(sealed: &SlotKey, place: usize, mask: u8) {
    let keys = slot_keys(sealed.slot);
    let mut altered = sealed.clone();
    altered.blob[place % sealed.blob.len()] ^= mask;
    assert_eq!(keys.open(&altered).is_ok(), mask == 0);
    let epoch = sealed.epoch ^ 1;
    let generation = sealed.generation ^ 1;
    for other in [
        SlotKey {
            epoch,
            ..sealed.clone()
        },
        SlotKey {
            generation,
            ..sealed.clone()
        },
    ] {
        assert!(keys.open(&other).is_err());
    }
}

/// The script is an account key, or a KEM key that an entry could name.
fn encapsulated(script: &mut Cursor<'_>) {
    let slot = [Slot::Password, Slot::Recovery, device_slot()][usize::from(script.choice(3))];
    let (place, mask) = (usize::from(script.byte()) * 5, script.byte());
    let epoch = u32::try_from(script.number() >> 32).unwrap();
    let key = Key::new(script.array());
    let kem = slot_keys(slot).public(&[]).kem;
    let sealed = slot_context(slot).encapsulate(&kem, epoch, &key).unwrap();
    assert_eq!(slot_keys(slot).open(&sealed).as_ref(), Ok(&key));
    check_altered(&sealed, place, mask);
    let foreign = script.rest();
    if let Ok(sealed) = slot_context(slot).encapsulate(foreign, epoch, &key) {
        assert_eq!(sealed.blob.len(), SLOT_KEY_LEN);
        let opened = slot_keys(slot).open(&sealed);
        assert_eq!(opened.is_ok(), foreign == kem.as_slice());
    }
}

/// The script is a sealed key history.
fn key_history(script: &mut Cursor<'_>) {
    let (place, mask) = (usize::from(script.byte()), script.byte());
    let (history, epoch) = (script.rest(), FIRST_EPOCH + 1);
    let open = |account, epoch, history: &[u8]| {
        let current = next_keys().current().clone();
        AccountKeys::open(account, epoch, current, Some(history))
    };
    let Ok(opened) = open(ACCOUNT, epoch, history) else {
        return;
    };
    assert_eq!(opened.of_epoch(FIRST_EPOCH), Some(keys().current()));
    assert_eq!(opened.log_key(), next_keys().log_key());
    let mut altered = history.to_vec();
    altered[place % history.len()] ^= mask;
    assert_eq!(open(ACCOUNT, epoch, &altered).is_ok(), mask == 0);
    assert!(open(ACCOUNT, epoch + 1, history).is_err());
    assert!(open(AccountId::new([1; 16]), epoch, history).is_err());
}

/// The script is what is under the seal of a history: one key per former epoch is accepted, and nothing else.
fn own_history(script: &mut Cursor<'_>) {
    let epoch = match script.byte() {
        255 => u32::try_from(script.number() >> 32).unwrap(),
        small => u32::from(small),
    };
    let content = script.rest();
    let fields: [&[u8]; 2] = [ACCOUNT.as_bytes(), &epoch.to_be_bytes()];
    let label = "keyshell/2 key history";
    let current = next_keys().current().clone();
    let key = Key::new(*derive::<32>(current.expose(), label, &fields));
    let aad = length_prefixed(&[label.as_bytes(), &[SUITE], fields[0], fields[1]]);
    let history = aead::seal_random(&key, &aad, content);
    let opened = AccountKeys::open(ACCOUNT, epoch, current, Some(&history));
    let former = usize::try_from(epoch).unwrap().wrapping_sub(1);
    let is_right = (FIRST_EPOCH..=MAX_EPOCH).contains(&epoch) && content.len() == former * Key::LEN;
    assert_eq!(opened.is_ok(), is_right);
    let Ok(opened) = opened else { return };
    assert_eq!(opened.epoch(), epoch);
    for (epoch, key) in (FIRST_EPOCH..).zip(content.chunks(Key::LEN)) {
        assert_eq!(opened.of_epoch(epoch).unwrap().expose(), key);
    }
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
