//! The index by replay.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{ACCOUNT, Owner};
use ed25519_dalek::SigningKey;
use keyshell_base::names::SecretName;
use keyshell_client::index::{Index, ReplayError};
use keyshell_client::keys::account::AccountKeys;
use serde_bytes::ByteBuf;
use shared::ids::{DeviceId, Digest, PublicKey, SecretId, Seq, Version};
use shared::opaque::Slot;
use shared::secret::Key;
use shared::vault_log::{
    Acknowledge, CredentialKeys, Head, LogError, Op, Purge, Rekey, SecretVersion, SignedEntry,
};
use shared::wire::call::LoggedEntry;

const SECRET: SecretId = SecretId::new([7; 16]);

fn named(secret: SecretId, version: u64) -> SecretVersion {
    SecretVersion {
        secret,
        version: Version(version),
    }
}

fn refused(error: LogError) -> Result<(), ReplayError> {
    Err(ReplayError::Log(error))
}

/// Another program of the owner's may give a name twice: every secret stays in reach, and the cache tells the same as
/// the replay.
#[test]
fn secrets_of_one_name_do_not_hide_each_other() {
    for [first, second] in [[1, 2], [2, 1]] {
        let (first, second) = (SecretId::new([first; 16]), SecretId::new([second; 16]));
        let mut owner = Owner::registered();
        owner.put(first, 1, "same");
        owner.put(second, 1, "same");
        let name = SecretName::parse("same").unwrap();
        assert_eq!(owner.index.secrets().len(), 2);
        let found = owner.index.find(&name).unwrap().id;
        let cached = owner.index.encode().unwrap();
        let restored = Index::decode(cached.expose()).unwrap();
        assert_eq!(restored, owner.index);
        assert_eq!(restored.find(&name).unwrap().id, found);
        owner.append(Op::Remove(named(second, 1)));
        assert_eq!(owner.index.find(&name).unwrap().id, first);
    }
}

/// A credential of the last generation there is could be neither revoked nor replaced.
#[test]
fn a_credential_cannot_jump_out_of_reach() {
    let mut owner = Owner::registered();
    let slot = owner.device_slot();
    let try_credential = |owner: &mut Owner, generation, is_made| {
        let op = if is_made {
            owner.credential(slot, generation)
        } else {
            Owner::revocation(slot, generation)
        };
        let entry = owner.next(op, Some(Slot::Password));
        owner.replay(&entry, None).map(drop)
    };
    let bad = refused(LogError::Contradiction);
    assert_eq!(try_credential(&mut owner, 2, true), bad);
    try_credential(&mut owner, 1, true).unwrap();
    for wrong in [0, 1, 3, u64::MAX] {
        assert_eq!(try_credential(&mut owner, wrong, true), bad, "{wrong}");
        assert_eq!(try_credential(&mut owner, wrong, false), bad, "{wrong}");
    }
    try_credential(&mut owner, 2, false).unwrap();
    assert_eq!(try_credential(&mut owner, 2, true), bad);
    try_credential(&mut owner, 3, true).unwrap();
    assert_eq!(owner.index.credentials().generation(&slot), 3);
}

/// All devices share the log-signing key: a stolen session must not change what outlives sessions.
#[test]
fn what_outlives_sessions_needs_a_credential() {
    let mut owner = Owner::registered();
    owner.put(SECRET, 1, "name");
    owner.put(SECRET, 2, "name");
    let (note, text) = owner.note("text");
    owner.replay(&owner.next(note, None), Some(text)).unwrap();
    let note = owner.index.head().seq;
    let device = owner.device_slot();
    owner.append_by(Slot::Password, owner.credential(device, 1));
    let next = owner.keys.with_next(Key::new([8; 32]));
    let rekey = Op::Rekey(Rekey {
        epoch: 2,
        log_key: next.log_key(),
        credentials: 0,
    });
    let acknowledge = Op::Acknowledge(Acknowledge {
        lost_seq: Seq(9),
        lost_hash: Digest::new([9; 32]),
        signature: None,
    });
    let reseal = Op::Reseal(owner.sealed(SECRET, 2, "name").0);
    let ops = [
        owner.credential(Slot::Password, 2),
        owner.credential(Slot::Recovery, 2),
        Owner::revocation(Slot::Recovery, 2),
        Owner::revocation(device, 2),
        rekey,
        acknowledge,
        reseal,
        Op::Purge(Purge::Versions(named(SECRET, 2))),
        Op::Purge(Purge::Note(note)),
    ];
    let before = owner.index.clone();
    let unauthorised = refused(LogError::Unauthorised);
    for op in ops {
        // By nothing; by the device; by a key that is no credential's; for another operation.
        for by in [None, Some(device)] {
            let entry = owner.next(op.clone(), by);
            assert_eq!(owner.replay(&entry, None).map(drop), unauthorised, "{op:?}");
        }
        let mut entry = owner.next(op.clone(), None);
        let thief = SigningKey::from_bytes(&[9; 32]);
        entry.authorise(Slot::Password, &thief).unwrap();
        assert_eq!(owner.replay(&entry, None).map(drop), unauthorised, "{op:?}");
        let other = Op::Purge(Purge::Note(Seq(1)));
        entry.authorisation = owner.next(other, Some(Slot::Password)).authorisation;
        assert_eq!(owner.replay(&entry, None).map(drop), unauthorised, "{op:?}");
        assert_eq!(owner.index, before);
    }
    // A device may set the next generation of its own credential.
    owner.append_by(device, owner.credential(device, 2));
    // An authorisation that nothing asks for is refused as well.
    let entry = owner.next(Op::Remove(named(SECRET, 2)), Some(Slot::Password));
    let bad = refused(LogError::Contradiction);
    assert_eq!(owner.replay(&entry, None).map(drop), bad);
}

/// A device id names its key, so that the server cannot put another key in its place.
#[test]
fn a_devices_credential_names_the_devices_key() {
    let mut owner = Owner::registered();
    let slot = Slot::Device(DeviceId::new([9; 16]));
    let entry = owner.next(owner.credential(slot, 1), Some(Slot::Password));
    let bad = refused(LogError::Contradiction);
    assert_eq!(owner.replay(&entry, None).map(drop), bad);
}

/// The key that a `rekey` names signs from the next entry on, and no other one does.
#[test]
fn a_key_epoch_has_one_log_key() {
    let mut owner = Owner::registered();
    let former = owner.keys.clone();
    owner.rekey(Key::new([8; 32]), 0);
    assert_eq!(owner.index.epoch(), 2);
    let entry = owner.next(Op::Note(Digest::of(b"note")), None);
    let by_former = LoggedEntry {
        entry: SignedEntry::sign(&entry, &former.signing()).unwrap(),
        metadata: None,
    };
    let result = owner.index.replay(&owner.keys, &by_former).map(drop);
    assert_eq!(result, refused(LogError::BadSignature));
    owner.put(SECRET, 1, "of the second epoch");

    let mut later = Owner::registered();
    let mut rekey = |epoch, log_key: PublicKey| {
        let op = Op::Rekey(Rekey {
            epoch,
            log_key,
            credentials: 0,
        });
        let entry = later.next(op, Some(Slot::Password));
        later.replay(&entry, None).map(drop)
    };
    let next = former.with_next(Key::new([8; 32]));
    for epoch in [0, 1, 3] {
        let bad = refused(LogError::Contradiction);
        assert_eq!(rekey(epoch, next.log_key()), bad, "{epoch}");
    }
    // This session has no account key of the second epoch yet.
    let result = rekey(2, next.log_key());
    assert_eq!(result, Err(ReplayError::LaterEpoch(Seq(4))));
    // A log key that does not descend from the account key of the epoch.
    let entry = later.next(
        Op::Rekey(Rekey {
            epoch: 2,
            log_key: PublicKey::new([1; 32]),
            credentials: 0,
        }),
        Some(Slot::Password),
    );
    let signed = LoggedEntry {
        entry: SignedEntry::sign(&entry, &former.signing()).unwrap(),
        metadata: None,
    };
    let result = later.index.replay(&next, &signed).map(drop);
    assert_eq!(result, Err(ReplayError::OtherLogKey(Seq(4))));
}

/// A log that ends inside an installation, or after an acknowledgement, was cut: the operator could else show the new key
/// epoch and withhold the revocations that it began for.
#[test]
fn a_log_that_ends_inside_an_installation_is_not_whole() {
    let mut owner = Owner::registered();
    let device = owner.device_slot();
    owner.append_by(Slot::Password, owner.credential(device, 1));
    assert!(owner.index.is_whole());
    owner.append_by(
        Slot::Password,
        Op::Acknowledge(Acknowledge {
            lost_seq: Seq(9),
            lost_hash: Digest::new([9; 32]),
            signature: None,
        }),
    );
    assert!(!owner.index.is_whole());
    owner.rekey(Key::new([8; 32]), 2);
    let bad = refused(LogError::Contradiction);
    for op in [
        owner.credential(Slot::Password, 2),
        Owner::revocation(device, 2),
    ] {
        assert!(!owner.index.is_whole());
        // The cache of a device keeps what is due.
        let cached = owner.index.encode().unwrap();
        owner.index = Index::decode(cached.expose()).unwrap();
        assert!(!owner.index.is_whole());
        let note = owner.next(Op::Note(Digest::of(b"note")), None);
        assert_eq!(owner.replay(&note, None).map(drop), bad);
        owner.append_by(Slot::Password, op);
    }
    assert!(owner.index.is_whole());
    owner.put(SECRET, 1, "name");
}

/// A genesis entry that another account key signed is no log of this account.
#[test]
fn the_first_log_key_descends_from_the_first_account_key() {
    let owner = Owner::registered();
    let mut index = Index::new();
    let other = AccountKeys::first(ACCOUNT, Key::new([9; 32]));
    let mut forged = Owner {
        keys: other,
        index: Index::new(),
        device: owner.device.clone(),
    };
    let genesis = Op::Genesis(shared::vault_log::Identity {
        log_key: forged.keys.log_key(),
        ..owner.index.identity().unwrap().clone()
    });
    let entry = forged.next(genesis, None);
    let logged = LoggedEntry {
        entry: SignedEntry::sign(&entry, &forged.keys.signing()).unwrap(),
        metadata: None,
    };
    let result = index.replay(&owner.keys, &logged).map(drop);
    assert_eq!(result, Err(ReplayError::OtherLogKey(Seq(1))));
    assert_eq!(index.head(), Head::EMPTY);
    assert!(forged.replay(&entry, None).is_ok());
}

/// Sealed content in a former epoch's key is refused after a `rekey`: a device that was revoked cannot make it.
#[test]
fn content_is_of_the_current_epoch() {
    let mut owner = Owner::registered();
    let (sealed, metadata) = owner.sealed(SECRET, 1, "name");
    owner.rekey(Key::new([8; 32]), 0);
    let entry = owner.next(Op::Put(sealed), None);
    let bad = refused(LogError::Contradiction);
    assert_eq!(owner.replay(&entry, Some(metadata)).map(drop), bad);
}

/// Content is missing until an entry says that it was destroyed or re-encrypted.
#[test]
fn missing_content_needs_an_entry_that_explains_it() {
    let withheld = || {
        let mut owner = Owner::registered();
        let (sealed, _) = owner.sealed(SECRET, 1, "name");
        let entry = owner.next(Op::Put(sealed), None);
        owner.replay(&entry, None).unwrap();
        assert_eq!(owner.index.withheld(), Some(Seq(4)));
        owner
    };
    let mut resealed = withheld();
    let (sealed, metadata) = resealed.sealed(SECRET, 1, "name");
    let entry = resealed.next(Op::Reseal(sealed), Some(Slot::Password));
    resealed.replay(&entry, Some(metadata)).unwrap();
    assert_eq!(resealed.index.withheld(), None);
    let name = SecretName::parse("name").unwrap();
    assert_eq!(resealed.index.find(&name).unwrap().id, SECRET);

    let mut purged = withheld();
    purged.append(Op::Remove(named(SECRET, 1)));
    assert_eq!(purged.index.withheld(), Some(Seq(4)));
    purged.append(Op::Purge(Purge::Secret(SECRET)));
    assert_eq!(purged.index.withheld(), None);

    let mut pruned = withheld();
    pruned.put(SECRET, 2, "name");
    assert_eq!(pruned.index.withheld(), Some(Seq(4)));
    pruned.append_by(Slot::Password, Op::Purge(Purge::Versions(named(SECRET, 2))));
    assert_eq!(pruned.index.withheld(), None);
    let versions = &pruned.index.get(&SECRET).unwrap().versions;
    assert_eq!(versions.len(), 1);

    let mut owner = Owner::registered();
    let (note, _) = owner.note("text");
    owner.append(note);
    assert_eq!(owner.index.withheld(), Some(Seq(4)));
    let restored = Index::decode(owner.index.encode().unwrap().expose()).unwrap();
    assert_eq!(restored, owner.index);
    owner.append_by(Slot::Recovery, Op::Purge(Purge::Note(Seq(4))));
    assert_eq!(owner.index.withheld(), None);
}

#[test]
fn content_has_the_hash_that_its_entry_names() {
    let mut owner = Owner::registered();
    let (sealed, metadata) = owner.sealed(SECRET, 1, "name");
    let (other, _) = owner.note("text");
    let before = owner.index.clone();
    for op in [Op::Put(sealed.clone()), other] {
        let entry = owner.next(op, None);
        let result = owner.replay(&entry, Some(b"other content".to_vec()));
        assert_eq!(result.map(drop), Err(ReplayError::OtherContent(Seq(4))));
    }
    assert_eq!(owner.index, before);
    let entry = owner.next(Op::Put(sealed), None);
    owner.replay(&entry, Some(metadata.clone())).unwrap();
    // An entry that names no content comes with none.
    let entry = owner.next(Op::Remove(named(SECRET, 1)), None);
    let result = owner.replay(&entry, Some(metadata)).map(drop);
    assert_eq!(result, Err(ReplayError::OtherContent(Seq(5))));
}

/// A removed secret comes back with all of its versions; a destroyed one keeps its name and nothing else.
#[test]
fn removed_secrets_come_back_and_destroyed_ones_do_not() {
    let mut owner = Owner::registered();
    let name = SecretName::parse("name").unwrap();
    owner.put(SECRET, 1, "name");
    owner.put(SECRET, 2, "name");
    let live = owner.index.get(&SECRET).unwrap().clone();
    owner.append(Op::Remove(named(SECRET, 2)));
    assert_eq!(owner.index.find(&name), None);
    assert_eq!(owner.index.removed().first().unwrap().secret, live);
    assert!(owner.index.was_removed(&SECRET));
    let cached = Index::decode(owner.index.encode().unwrap().expose()).unwrap();
    assert_eq!(cached, owner.index);
    owner.append(Op::Restore(named(SECRET, 2)));
    assert_eq!(owner.index.find(&name), Some(&live));
    owner.append(Op::Remove(named(SECRET, 2)));
    owner.append(Op::Purge(Purge::Secret(SECRET)));
    assert_eq!(owner.index.known(&SECRET), None);
    assert_eq!(owner.index.name_of(&SECRET), Some(&name));
    let again = owner.next(Op::Restore(named(SECRET, 2)), None);
    let bad = refused(LogError::Contradiction);
    assert_eq!(owner.replay(&again, None).map(drop), bad);
    let (sealed, metadata) = owner.sealed(SECRET, 1, "name");
    let again = owner.next(Op::Put(sealed), None);
    assert_eq!(owner.replay(&again, Some(metadata)).map(drop), bad);
}

/// Older audit records carry certificates by credentials that were replaced since.
#[test]
fn the_index_keeps_the_keys_of_each_generation() {
    let mut owner = Owner::registered();
    owner.append_by(Slot::Password, owner.credential(Slot::Password, 2));
    let (second, _) = owner.newest();
    owner.append_by(Slot::Password, Owner::revocation(Slot::Recovery, 2));
    let generations = owner.index.credentials().generations();
    let signing = |slot, generation| {
        let keys: CredentialKeys = owner.slot_keys(slot, generation).public(b"");
        Some(keys.signing)
    };
    let known: Vec<_> = generations
        .iter()
        .map(|(place, generation)| (*place, generation.signing))
        .collect();
    assert_eq!(
        known,
        [
            ((Slot::Password, 1), signing(Slot::Password, 1)),
            ((Slot::Password, 2), signing(Slot::Password, 2)),
            ((Slot::Recovery, 1), signing(Slot::Recovery, 1)),
            ((Slot::Recovery, 2), None),
        ]
    );
    let entry = generations.get(&(Slot::Password, 2)).unwrap().entry;
    assert_eq!(entry, second);
    let in_use = owner.index.credentials().in_use();
    assert_eq!(in_use.into_iter().collect::<Vec<_>>(), [Slot::Password]);
    let encoded = owner.index.encode().unwrap();
    assert_eq!(Index::decode(encoded.expose()).unwrap(), owner.index);
}

/// A KEM key of another length would make the next key epoch impossible.
#[test]
fn a_kem_key_has_its_length() {
    let mut owner = Owner::registered();
    let mut op = owner.credential(Slot::Password, 2);
    if let Op::Credential(credential) = &mut op {
        credential.keys.as_mut().unwrap().kem = ByteBuf::from(vec![0; 1215]);
    }
    let entry = owner.next(op, Some(Slot::Password));
    let bad = refused(LogError::Contradiction);
    assert_eq!(owner.replay(&entry, None).map(drop), bad);
}
