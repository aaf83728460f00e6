//! The local store's file.
#![allow(missing_docs, clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use keyshell::local::{LocalError, LocalSecret, LocalStore, Origin, Owner};
use shared::ids::{AccountId, DeviceId, Version};
use shared::secret::{Key, SecretBytes};

const OWNER: Owner = Owner {
    account: AccountId::new([1; 16]),
    device: DeviceId::new([2; 16]),
};

fn password(text: &str) -> SecretBytes {
    SecretBytes::from(text.as_bytes())
}

fn secret(name: &str, value: &[u8]) -> LocalSecret {
    LocalSecret {
        name: name.into(),
        tags: vec!["t".into()],
        note: "n".into(),
        content_type: None,
        origin: Origin::Local,
        version: Version(1),
        changed_ms: 7,
        value: SecretBytes::from(value),
    }
}

#[test]
fn what_is_stored_comes_back_with_the_password_and_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let key = Key::random();
    let mut store = LocalStore::create(&path, OWNER, &password("right"), &key).unwrap();
    let empty = std::fs::metadata(&path).unwrap();
    assert_eq!(empty.permissions().mode() & 0o777, 0o600);
    store.put(secret("a", b"value")).unwrap();
    store.put(secret("b", &[0; 3000])).unwrap();
    assert!(store.remove("b").unwrap());
    assert!(!store.remove("b").unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), empty.len());

    let by_key = LocalStore::open_with_key(&path, OWNER, &key).unwrap();
    assert_eq!(by_key.secrets(), [secret("a", b"value")]);
    let by_password = LocalStore::open_with_password(&path, OWNER, &password("right")).unwrap();
    assert_eq!(by_password.get("a"), Some(&secret("a", b"value")));
    let wrong = LocalStore::open_with_password(&path, OWNER, &password("wrong")).unwrap_err();
    assert_eq!(wrong, LocalError::WrongPassword);
    let other = Owner {
        account: AccountId::new([9; 16]),
        ..OWNER
    };
    assert!(LocalStore::open_with_key(&path, other, &key).is_err());
}

#[test]
fn damage_anywhere_is_damage_and_never_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let key = Key::random();
    let mut store = LocalStore::create(&path, OWNER, &password("right"), &key).unwrap();
    store.put(secret("a", b"value")).unwrap();
    let good = std::fs::read(&path).unwrap();
    for position in (0..good.len())
        .step_by(97)
        .chain([0, 8, 20, 36, 68, good.len() - 1])
    {
        let mut bad = good.clone();
        *bad.get_mut(position).unwrap() ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let error = LocalStore::open_with_key(&path, OWNER, &key).unwrap_err();
        assert_eq!(error, LocalError::Damaged(path.clone()), "byte {position}");
    }
    for len in [0, 7, 100, good.len() - 1] {
        std::fs::write(&path, good.get(..len).unwrap()).unwrap();
        assert!(LocalStore::open_with_key(&path, OWNER, &key).is_err());
    }
}

#[test]
fn weak_or_absurd_key_stretching_is_refused_even_with_a_good_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    LocalStore::create(&path, OWNER, &password("right"), &Key::random()).unwrap();
    let good = std::fs::read(&path).unwrap();
    for (memory_kib, passes, lanes) in [(8u32, 3u32, 4u32), (65_536, 1, 4), (u32::MAX, 3, 4)] {
        let body = good.get(..good.len() - 32).unwrap();
        let mut forged = body.to_vec();
        let fields = [memory_kib, passes, lanes].map(u32::to_be_bytes).concat();
        forged.get_mut(8..20).unwrap().copy_from_slice(&fields);
        let checksum = shared::ids::Digest::of(&forged);
        forged.extend_from_slice(checksum.as_bytes());
        std::fs::write(&path, &forged).unwrap();
        let error = LocalStore::open_with_password(&path, OWNER, &password("right")).unwrap_err();
        assert_eq!(error, LocalError::OutOfBounds(path.clone()));
    }
}

#[test]
fn runs_beside_each_other_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let key = Key::random();
    let mut one = LocalStore::create(&path, OWNER, &password("right"), &key).unwrap();
    let mut two = LocalStore::open_with_key(&path, OWNER, &key).unwrap();
    one.put(secret("a", b"of one")).unwrap();
    two.put(secret("b", b"of two")).unwrap();
    let seen = two.put_with("a", |before| {
        assert_eq!(before, Some(&secret("a", b"of one")));
        Err(LocalError::Io("changed its mind".into()))
    });
    assert!(seen.is_err());
    assert!(one.remove("b").unwrap());
    two.refresh().unwrap();
    assert_eq!(two.secrets(), [secret("a", b"of one")]);

    std::thread::scope(|scope| {
        for run in 0..4 {
            let (path, key) = (&path, &key);
            scope.spawn(move || {
                let mut store = LocalStore::open_with_key(path, OWNER, key).unwrap();
                for n in 0..10 {
                    store.put(secret(&format!("{run}/{n}"), b"value")).unwrap();
                }
            });
        }
    });
    one.refresh().unwrap();
    assert_eq!(one.secrets().len(), 41);
}

#[test]
fn a_store_is_never_made_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let key = Key::random();
    let mut store = LocalStore::create(&path, OWNER, &password("right"), &key).unwrap();
    store.put(secret("a", b"value")).unwrap();
    let again = LocalStore::create(&path, OWNER, &password("right"), &key).unwrap_err();
    assert_eq!(again, LocalError::Exists(path.clone()));
    store.refresh().unwrap();
    assert_eq!(store.secrets().len(), 1);
}

#[test]
fn a_store_that_could_not_be_read_again_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let key = Key::random();
    let mut store = LocalStore::create(&path, OWNER, &password("right"), &key).unwrap();
    store.put(secret("a", b"value")).unwrap();
    let too_much = LocalSecret {
        value: SecretBytes::new(vec![0; 256 * 1024 * 1024]),
        ..secret("b", b"")
    };
    let error = store.put(too_much).unwrap_err();
    assert_eq!(error, LocalError::Full(256));
    assert_eq!(keyshell::error::Error::from(error).status(), 8);
    let read = LocalStore::open_with_key(&path, OWNER, &key).unwrap();
    assert_eq!(read.secrets(), [secret("a", b"value")]);
}
