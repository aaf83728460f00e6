//! The local store's file.
#![allow(missing_docs, clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use keyshell_client::device::local::{
    LocalError, LocalSecret, LocalStore, Opener, Origin, Owner, item_of,
};
use shared::aead;
use shared::ids::{AccountId, DeviceId, Version};
use shared::kdf::{derive, length_prefixed};
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
fn stored_secrets_are_read_with_the_password_and_with_the_key() {
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
fn a_secret_of_the_keyring_is_wanted_besides_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (key, kept, other) = (Key::random(), Key::random(), Key::random());
    let right = password("right");
    let with = |password, keyring| Opener { password, keyring };
    let open = |opener| LocalStore::open_with_password(&path, OWNER, opener);
    let mut store = LocalStore::create(&path, OWNER, &right, &key).unwrap();
    store.put(secret("a", b"value")).unwrap();
    assert_eq!(LocalStore::keyring_item_of(&path).unwrap(), None);
    // One that is not wanted does no harm.
    assert!(open(with(&right, Some(&kept))).is_ok());
    assert_eq!(store.set_opener(with(&right, Some(&kept))).unwrap(), None);
    let item = item_of(OWNER, &kept);
    assert_eq!(LocalStore::keyring_item_of(&path).unwrap(), Some(item));
    assert_ne!(item, item_of(OWNER, &other));

    let opened = open(with(&right, Some(&kept))).unwrap();
    assert_eq!(opened.secrets(), store.secrets());
    let wrong = password("wrong");
    for (opener, error) in [
        (with(&right, None), LocalError::NoKeyring),
        (with(&right, Some(&other)), LocalError::NoKeyring),
        (with(&wrong, Some(&kept)), LocalError::WrongPassword),
    ] {
        assert_eq!(open(opener).unwrap_err(), error);
    }
    // A session needs neither, also for what is changed by others meanwhile.
    let mut by_key = LocalStore::open_with_key(&path, OWNER, &key).unwrap();
    assert_eq!(by_key.keyring_item(), Some(item));
    let replaced = by_key.set_opener(with(&right, Some(&other))).unwrap();
    assert_eq!(replaced, Some(item));
    store.put(secret("b", b"value")).unwrap();
    assert!(open(with(&right, Some(&other))).is_ok());
    let item = item_of(OWNER, &other);
    assert_eq!(store.set_opener(&right).unwrap(), Some(item));
    assert_eq!(open((&right).into()).unwrap().secrets().len(), 2);
}

/// Section 10 of the protocol, step by step.
#[test]
fn a_store_that_wants_the_keyring_is_what_the_protocol_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (key, kept) = (Key::random(), Key::random());
    let opener = Opener {
        password: &password("right"),
        keyring: Some(&kept),
    };
    LocalStore::create(&path, OWNER, opener, &key).unwrap();
    let file = std::fs::read(&path).unwrap();
    let mut rest = file.as_slice();
    let mut take = |len: usize| rest.split_off(..len).unwrap();
    assert_eq!(take(8), b"KSLOCAL2");
    let (parameters, salt, item) = (take(12), take(16), take(16));
    let (commitment, wrapped) = (take(32), take(60));
    let content = take(file.len() - 8 - 12 - 16 - 16 - 32 - 60 - 32);
    assert_eq!(parameters, [65_536, 3, 4].map(u32::to_be_bytes).concat());

    let (account, device) = (OWNER.account.as_bytes(), OWNER.device.as_bytes());
    let label = "keyshell/1 local keyring item";
    let id = derive::<16>(kept.expose(), label, &[account, device]);
    assert_eq!(item, &id[..]);
    let params = argon2::Params::new(65_536, 3, 4, Some(32)).unwrap();
    let mut stretched = [0; 32];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(b"right", salt, &mut stretched)
        .unwrap();
    let okm = derive::<64>(
        &length_prefixed(&[&stretched, kept.expose()]),
        "keyshell/1 local wrap with keyring",
        &[account, device, parameters, salt],
    );
    let (wrap_key, committed) = okm.split_at(32);
    assert_eq!(commitment, committed);
    let aad = |label: &str| {
        length_prefixed(&[
            label.as_bytes(),
            &[1],
            account,
            device,
            parameters,
            salt,
            item,
        ])
    };
    let wrap_key = Key::from_slice(wrap_key).unwrap();
    let unwrapped = aead::open_random(&wrap_key, &aad("keyshell/1 local key"), wrapped).unwrap();
    assert_eq!(unwrapped.expose(), key.expose());
    assert!(aead::open_random(&key, &aad("keyshell/1 local content"), content).is_ok());
}

/// A store that needs the keyring cannot be presented as one that does not, or the reverse.
#[test]
fn what_a_store_wants_is_bound_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (key, kept, right) = (Key::random(), Key::random(), password("right"));
    let opener = Opener {
        password: &right,
        keyring: Some(&kept),
    };
    LocalStore::create(&path, OWNER, opener, &key).unwrap();
    let good = std::fs::read(&path).unwrap();
    let (head, rest) = good.split_at(36);
    let (item, rest) = rest.split_at(16);
    let rest = rest.get(..rest.len() - 32).unwrap();
    let parameters = head.get(8..).unwrap();
    let write = |parts: &[&[u8]]| {
        let mut forged = parts.concat();
        let checksum = shared::ids::Digest::of(&forged);
        forged.extend_from_slice(checksum.as_bytes());
        std::fs::write(&path, &forged).unwrap();
    };
    write(&[b"KSLOCAL1", parameters, rest]);
    for opener in [opener, (&right).into()] {
        let error = LocalStore::open_with_password(&path, OWNER, opener).unwrap_err();
        assert_eq!(error, LocalError::WrongPassword);
    }
    assert!(LocalStore::open_with_key(&path, OWNER, &key).is_err());
    write(&[b"KSLOCAL2", parameters, &[7; 16], rest]);
    let error = LocalStore::open_with_password(&path, OWNER, opener).unwrap_err();
    assert_eq!(error, LocalError::NoKeyring);
    assert!(LocalStore::open_with_key(&path, OWNER, &key).is_err());
    write(&[b"KSLOCAL3", parameters, item, rest]);
    let error = LocalStore::open_with_key(&path, OWNER, &key).unwrap_err();
    assert_eq!(error, LocalError::Damaged(path.clone()));
    write(&[b"KSLOCAL2", parameters, item, rest]);
    assert!(LocalStore::open_with_key(&path, OWNER, &key).is_ok());
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
    assert!(matches!(
        keyshell_client::error::Error::from(error),
        keyshell_client::error::Error::Limit(_)
    ));
    let read = LocalStore::open_with_key(&path, OWNER, &key).unwrap();
    assert_eq!(read.secrets(), [secret("a", b"value")]);
}
