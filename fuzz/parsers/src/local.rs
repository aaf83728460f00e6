//! The local store's file, with the work of key stretching left out: it is opened by its key, and by password only
//! where its parameters must be refused before any work.

use std::fs;
use std::path::PathBuf;

use keyshell_client::device::keyring::ItemId;
use keyshell_client::device::local::{LocalError, LocalSecret, LocalStore, Origin};
use padme_padding::Padme;
use shared::aead;
use shared::codec;
use shared::ids::{Digest, Version};
use shared::kdf::length_prefixed;
use shared::opaque::SUITE;
use shared::secret::SecretBytes;

use crate::cursor::Cursor;
use crate::world::{ACCOUNT, DEVICE, folder, keys, owner};

/// Length of the length before the content, in bytes.
const LEN_LEN: usize = 4;
/// Least size of the padded content, in bytes.
const MIN_CONTENT: usize = 64 * 1024;
const MAGIC: &[u8] = b"KSLOCAL1";
/// Of a file that wants a secret in the keyring.
const MAGIC_WITH_KEYRING: &[u8] = b"KSLOCAL2";
/// From the magic to the wrapped key.
const HEAD_LEN: usize = 8 + 12 + 16 + 32 + 60;
/// The item of the keyring, after the salt.
const ITEM_LEN: usize = 16;

/// Any file; any content under a good seal; any head of either kind under a good checksum.
pub(crate) fn local_store(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(4) {
        0 => {
            let _ = open(script.rest());
        }
        1 => content(script.rest()),
        2 => head(&mut script),
        _ => head_with_keyring(&mut script),
    }
}

fn path() -> PathBuf {
    folder().join("store")
}

fn open(file: &[u8]) -> Result<LocalStore, LocalError> {
    fs::write(path(), file).unwrap();
    LocalStore::open_with_key(&path(), owner(), &keys().local_store())
}

/// Adds the checksum.
pub fn whole(mut file: Vec<u8>) -> Vec<u8> {
    let checksum = Digest::of(&file);
    file.extend_from_slice(checksum.as_bytes());
    file
}

/// The head of a file with these parameters; salt, commitment and wrapped key are zeros.
fn plain_head() -> Vec<u8> {
    let parameters = [65_536, 3, 4].map(u32::to_be_bytes).concat();
    let mut head = [MAGIC, &parameters].concat();
    head.resize(HEAD_LEN, 0);
    head
}

/// A file whose content is these padded bytes, sealed as section 10 of the protocol says.
pub fn sealed(padded: &[u8]) -> Vec<u8> {
    let head = plain_head();
    let aad = length_prefixed(&[
        b"keyshell/2 local content",
        &[SUITE],
        ACCOUNT.as_bytes(),
        DEVICE.id().as_bytes(),
        &head[8..20],
        &head[20..36],
    ]);
    let nonce = [0; aead::NONCE_LEN];
    let content = aead::seal(&keys().local_store(), &nonce, &aad, padded);
    whole([&head[..], &nonce, &content].concat())
}

/// The bytes are what is under the seal.
fn content(padded: &[u8]) {
    let expected = padded.split_first_chunk().and_then(|(len, rest)| {
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (content, zeros) = rest.split_at_checked(len)?;
        let canonical = Padme::padded_len(LEN_LEN + len).max(MIN_CONTENT);
        let is_canonical = padded.len() == canonical && zeros.iter().all(|byte| *byte == 0);
        let content = is_canonical.then_some(content)?;
        codec::decode::<Vec<LocalSecret>>(content, len).ok()
    });
    let opened = open(&sealed(padded));
    let Some(secrets) = expected else {
        assert_eq!(opened.err(), Some(LocalError::Damaged(path())));
        return;
    };
    let mut store = opened.unwrap();
    assert_eq!(store.secrets(), secrets);
    store.put(added()).unwrap();
    let again = LocalStore::open_with_key(&path(), owner(), &keys().local_store()).unwrap();
    assert_eq!(again.secrets(), store.secrets());
    assert_eq!(again.get("added"), Some(&added()));
    assert!(
        secrets
            .iter()
            .all(|secret| again.get(&secret.name).is_some())
    );
}

fn added() -> LocalSecret {
    LocalSecret {
        name: "added".into(),
        tags: Vec::new(),
        note: String::new(),
        content_type: None,
        origin: Origin::Local,
        version: Version(1),
        changed_ms: 7,
        value: SecretBytes::from([1, 2, 3].as_slice()),
    }
}

/// The error for a file with a good checksum: with a negligible chance is it sealed under the key that opens it.
fn not_ours(is_long_enough: bool) -> LocalError {
    if is_long_enough {
        LocalError::OtherKey(path())
    } else {
        LocalError::Damaged(path())
    }
}

/// Parameters, salt, commitment, wrapped key and content from the script, under a good checksum.
fn head(script: &mut Cursor<'_>) {
    let parameters: [u8; 12] = script.array();
    let file = whole([MAGIC, &parameters, script.rest()].concat());
    let is_long_enough = file.len() >= HEAD_LEN + Digest::LEN;
    assert_eq!(open(&file).err(), Some(not_ours(is_long_enough)));
    if !is_acceptable(&parameters) {
        let expected = if is_long_enough {
            LocalError::OutOfBounds(path())
        } else {
            LocalError::Damaged(path())
        };
        assert_eq!(open_by_password(), expected);
    }
}

/// The same with an item of the keyring after the salt: nothing is worked on before its secret is there.
fn head_with_keyring(script: &mut Cursor<'_>) {
    let parameters: [u8; 12] = script.array();
    let rest = script.rest();
    let file = whole([MAGIC_WITH_KEYRING, &parameters, rest].concat());
    let is_long_enough = file.len() >= HEAD_LEN + ITEM_LEN + Digest::LEN;
    assert_eq!(open(&file).err(), Some(not_ours(is_long_enough)));
    let expected = match (is_long_enough, is_acceptable(&parameters)) {
        (false, _) => LocalError::Damaged(path()),
        (true, false) => LocalError::OutOfBounds(path()),
        (true, true) => LocalError::NoKeyring,
    };
    assert_eq!(open_by_password(), expected);
    if is_long_enough {
        let item = rest[16..].first_chunk().map(|item| ItemId::new(*item));
        assert_eq!(LocalStore::keyring_item_of(&path()).unwrap(), item);
    }
}

fn open_by_password() -> LocalError {
    let password = SecretBytes::from(b"password".as_slice());
    LocalStore::open_with_password(&path(), owner(), &password).unwrap_err()
}

fn is_acceptable(parameters: &[u8; 12]) -> bool {
    let field = |place: usize| {
        let bytes = parameters[place..].first_chunk().unwrap();
        u32::from_be_bytes(*bytes)
    };
    (65_536..=1_048_576).contains(&field(0))
        && (3..=16).contains(&field(4))
        && (1..=16).contains(&field(8))
}
