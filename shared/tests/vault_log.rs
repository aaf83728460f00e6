//! The vault log's rules: what follows what, who may sign, and what an operation may do to a secret.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::fixed;
use ed25519_dalek::SigningKey;
use serde_bytes::ByteBuf;
use shared::audit_record::AuditedOperation;
use shared::codec;
use shared::ids::{
    AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, Signature, Version,
};
use shared::opaque::Slot;
use shared::vault_log::{
    Acknowledge, Credential, CredentialKeys, Describe, Due, ENTRY_FORMAT, Entry, Head, Identity,
    KEM_KEY_LEN, LogError, MAX_ENTRY_LEN, MAX_EPOCH, Op, Purge, Rekey, Sealed, SecretState,
    SecretVersion, SignedEntry, Signer, Versions, apply, next_generation,
};

const ACCOUNT: AccountId = AccountId::new([1; 16]);
const SECRET: SecretId = SecretId::new([2; 16]);

fn key() -> SigningKey {
    SigningKey::from_bytes(&fixed(9))
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::new(key.verifying_key().to_bytes())
}

fn identity() -> Identity {
    Identity {
        server: ServerId::new(fixed(3)),
        opaque_key: PublicKey::new(fixed(4)),
        checkpoint_key: PublicKey::new(fixed(5)),
        log_key: public(&key()),
        suite: 1,
    }
}

fn entry(seq: u64, previous: Digest, op: Op) -> Entry {
    Entry {
        format: ENTRY_FORMAT,
        account: ACCOUNT,
        seq: Seq(seq),
        previous,
        device: DeviceId::new(fixed(6)),
        time_ms: 1_800_000_000_000,
        seen: None,
        op,
        authorisation: None,
    }
}

fn sealed(version: u64) -> Sealed {
    Sealed {
        secret: SECRET,
        version: Version(version),
        epoch: 1,
        value: Digest::of(b"value"),
        metadata: Digest::of(b"metadata"),
    }
}

fn put(version: u64) -> Op {
    Op::Put(sealed(version))
}

fn reseal(version: u64) -> Op {
    Op::Reseal(sealed(version))
}

fn describe(version: u64) -> Op {
    Op::Describe(Describe {
        secret: SECRET,
        version: Version(version),
        epoch: 1,
        metadata: Digest::of(b"metadata"),
    })
}

fn named(version: u64) -> SecretVersion {
    SecretVersion {
        secret: SECRET,
        version: Version(version),
    }
}

fn remove(version: u64) -> Op {
    Op::Remove(named(version))
}

fn restore(version: u64) -> Op {
    Op::Restore(named(version))
}

fn purge(version: u64) -> Op {
    Op::Purge(Purge::Versions(named(version)))
}

fn purge_secret() -> Op {
    Op::Purge(Purge::Secret(SECRET))
}

fn acknowledge() -> Op {
    Op::Acknowledge(Acknowledge {
        lost_seq: Seq(9),
        lost_hash: Digest::of(b"lost"),
        signature: Some(Signature::new([7; 64])),
    })
}

fn note() -> Op {
    Op::Note(Digest::of(b"note"))
}

fn rekey(epoch: u32) -> Rekey {
    Rekey {
        epoch,
        log_key: public(&SigningKey::from_bytes(&fixed(20))),
        credentials: 0,
    }
}

/// The slot of the device with this key.
fn device(key: &SigningKey) -> Slot {
    Slot::Device(DeviceId::of(&public(key)))
}

fn credential(slot: Slot, generation: u64, signing: &SigningKey) -> Credential {
    Credential {
        slot,
        generation,
        keys: Some(CredentialKeys {
            wrapped: Digest::of(b"wrapped"),
            kem: ByteBuf::from(vec![3; KEM_KEY_LEN]),
            signing: public(signing),
        }),
        name: None,
    }
}

#[test]
fn a_chain_is_followed_from_the_empty_log() {
    let mut head = Head::EMPTY;
    let ops = [
        Op::Genesis(identity()),
        put(1),
        put(2),
        describe(2),
        remove(2),
        restore(2),
        note(),
        acknowledge(),
    ];
    for (op, seq) in ops.into_iter().zip(1..) {
        let signed = SignedEntry::sign(&entry(seq, head.hash, op), &key()).unwrap();
        let verified = signed.verify(&ACCOUNT, &public(&key())).unwrap();
        head = signed.verify_next(&verified, &head).unwrap();
        assert_eq!(
            head,
            Head {
                seq: Seq(seq),
                hash: signed.hash()
            }
        );
    }
}

#[test]
fn a_gap_a_repetition_and_another_past_do_not_follow() {
    let genesis =
        SignedEntry::sign(&entry(1, Head::EMPTY.hash, Op::Genesis(identity())), &key()).unwrap();
    let head = genesis
        .verify_next(&genesis.decode_unverified().unwrap(), &Head::EMPTY)
        .unwrap();
    for (seq, previous) in [
        (3, head.hash),
        (1, head.hash),
        (2, Digest::of(b"another past")),
        (0, head.hash),
    ] {
        let entry = entry(seq, previous, put(1));
        let signed = SignedEntry::sign(&entry, &key()).unwrap();
        let expected = LogError::NotNext {
            expected: Seq(2),
            got: Seq(seq),
        };
        assert_eq!(signed.verify_next(&entry, &head).unwrap_err(), expected);
    }
}

#[test]
fn only_the_account_key_signs_and_only_for_its_account() {
    let good = entry(2, Digest::of(b"previous"), put(1));
    let signed = SignedEntry::sign(&good, &key()).unwrap();
    let verify =
        |signed: &SignedEntry, account, key: &SigningKey| signed.verify(account, &public(key));
    assert_eq!(verify(&signed, &ACCOUNT, &key()).unwrap(), good);
    let stranger = SigningKey::from_bytes(&fixed(10));
    assert_eq!(
        verify(&signed, &ACCOUNT, &stranger).unwrap_err(),
        LogError::BadSignature
    );
    let other = AccountId::new([9; 16]);
    assert_eq!(
        verify(&signed, &other, &key()).unwrap_err(),
        LogError::BadSignature
    );
    // Signed by the right key, but made for another account or in another format.
    for wrong in [
        Entry {
            account: other,
            ..good.clone()
        },
        Entry { format: 1, ..good },
    ] {
        let signed = SignedEntry::sign(&wrong, &key()).unwrap();
        assert_eq!(
            verify(&signed, &ACCOUNT, &key()).unwrap_err(),
            LogError::BadSignature
        );
    }
    // Not even a key that is no point of the curve makes a panic.
    let invalid = (0..=u8::MAX).map(|byte| PublicKey::new([byte; 32]));
    assert!(
        invalid
            .into_iter()
            .all(|key| signed.verify(&ACCOUNT, &key).is_err())
    );
}

#[test]
fn every_altered_bit_of_a_signed_entry_is_refused() {
    let signed = SignedEntry::sign(&entry(2, Digest::of(b"previous"), put(1)), &key()).unwrap();
    let bytes = codec::encode(&signed).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        if let Some(byte) = altered.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        let Ok(decoded) = codec::decode::<SignedEntry>(&altered, usize::MAX) else {
            continue;
        };
        assert!(
            decoded.verify(&ACCOUNT, &public(&key())).is_err(),
            "bit {bit}"
        );
        assert_ne!(decoded.hash(), signed.hash(), "bit {bit}");
    }
}

#[test]
fn the_hash_covers_the_signature() {
    let entry = entry(2, Digest::of(b"previous"), put(1));
    let ours = SignedEntry::sign(&entry, &key()).unwrap();
    let theirs = SignedEntry::sign(&entry, &SigningKey::from_bytes(&fixed(10))).unwrap();
    assert_ne!(ours.hash(), theirs.hash());
}

#[test]
fn secrets_live_by_the_rules() {
    use SecretState::{Live, Purged, Removed};
    let from_to = |oldest, newest| Versions {
        oldest: Version(oldest),
        newest: Version(newest),
    };
    let live = |newest| Some(Live(from_to(1, newest)));
    let removed = |newest| Some(Removed(from_to(1, newest)));
    let bad = Err(LogError::Contradiction);
    let table = [
        (None, put(1), Ok(live(1))),
        (None, put(2), bad),
        (None, put(0), bad),
        (None, reseal(1), bad),
        (None, describe(1), bad),
        (None, describe(0), bad),
        (None, remove(1), bad),
        (None, remove(0), bad),
        (None, restore(1), bad),
        (None, purge(1), bad),
        (None, purge_secret(), bad),
        (live(1), put(2), Ok(live(2))),
        (live(1), put(1), bad),
        (live(1), put(3), bad),
        (live(2), describe(2), Ok(live(2))),
        (live(2), describe(1), bad),
        (live(2), describe(3), bad),
        (live(2), reseal(1), Ok(live(2))),
        (live(2), reseal(2), Ok(live(2))),
        (live(2), reseal(3), bad),
        (live(2), reseal(0), bad),
        (live(2), remove(2), Ok(removed(2))),
        (live(2), remove(1), bad),
        (live(2), restore(2), bad),
        (live(2), purge_secret(), bad),
        (live(3), purge(3), Ok(Some(Live(from_to(3, 3))))),
        (live(3), purge(1), Ok(live(3))),
        (live(3), purge(4), bad),
        (live(3), purge(0), bad),
        (Some(Live(from_to(2, 3))), purge(1), bad),
        (Some(Live(from_to(2, 3))), reseal(1), bad),
        (
            Some(Live(from_to(2, 3))),
            put(4),
            Ok(Some(Live(from_to(2, 4)))),
        ),
        (removed(2), put(1), bad),
        (removed(2), put(3), bad),
        (removed(2), describe(2), bad),
        (removed(2), remove(2), bad),
        (removed(2), purge(2), bad),
        (removed(2), reseal(1), Ok(removed(2))),
        (removed(2), restore(1), bad),
        (removed(2), restore(2), Ok(live(2))),
        (removed(2), purge_secret(), Ok(Some(Purged))),
        (Some(Purged), put(1), bad),
        (Some(Purged), put(3), bad),
        (Some(Purged), reseal(2), bad),
        (Some(Purged), restore(2), bad),
        (Some(Purged), purge_secret(), bad),
        (None, note(), Ok(None)),
        (None, Op::Purge(Purge::Note(Seq(1))), Ok(None)),
        (None, acknowledge(), Ok(None)),
        (None, Op::Rekey(rekey(2)), Ok(None)),
        (None, Op::Genesis(identity()), bad),
    ];
    for (before, op, expected) in table {
        let entry = entry(2, Digest::of(b"previous"), op);
        assert_eq!(apply(before, &entry), expected, "{before:?} {:?}", entry.op);
    }
}

#[test]
fn genesis_is_first_and_nothing_else_is() {
    for (op, expected) in [
        (Op::Genesis(identity()), Ok(None)),
        (put(1), Err(LogError::Contradiction)),
        (note(), Err(LogError::Contradiction)),
        (acknowledge(), Err(LogError::Contradiction)),
    ] {
        assert_eq!(apply(None, &entry(1, Head::EMPTY.hash, op)), expected);
    }
}

#[test]
#[allow(clippy::too_many_lines)]
fn an_operation_names_its_audit_record_its_epoch_its_secret_and_its_content() {
    let value = Some(Digest::of(b"value"));
    let metadata = Some(Digest::of(b"metadata"));
    let made = credential(Slot::Password, 2, &key());
    let table = [
        (Op::Genesis(identity()), None, None, None, None, None),
        (
            put(1),
            Some(AuditedOperation::Put),
            Some(1),
            Some(SECRET),
            value,
            metadata,
        ),
        (
            reseal(1),
            Some(AuditedOperation::Reseal),
            Some(1),
            Some(SECRET),
            value,
            metadata,
        ),
        (
            describe(1),
            Some(AuditedOperation::Describe),
            Some(1),
            Some(SECRET),
            None,
            metadata,
        ),
        (
            remove(1),
            Some(AuditedOperation::Remove),
            None,
            Some(SECRET),
            None,
            None,
        ),
        (
            restore(1),
            Some(AuditedOperation::Restore),
            None,
            Some(SECRET),
            None,
            None,
        ),
        (
            purge(1),
            Some(AuditedOperation::Purge),
            None,
            Some(SECRET),
            None,
            None,
        ),
        (
            purge_secret(),
            Some(AuditedOperation::Purge),
            None,
            Some(SECRET),
            None,
            None,
        ),
        (
            Op::Purge(Purge::Note(Seq(2))),
            Some(AuditedOperation::Purge),
            None,
            None,
            None,
            None,
        ),
        (
            acknowledge(),
            Some(AuditedOperation::Append),
            None,
            None,
            None,
            None,
        ),
        (
            note(),
            Some(AuditedOperation::Append),
            None,
            None,
            None,
            Some(Digest::of(b"note")),
        ),
        (
            Op::Credential(made),
            Some(AuditedOperation::Slot),
            None,
            None,
            None,
            None,
        ),
        (
            Op::Rekey(rekey(2)),
            Some(AuditedOperation::Rekey),
            None,
            None,
            None,
            None,
        ),
    ];
    for (op, operation, epoch, secret, value, metadata) in table {
        let seen = (op.audited(), op.epoch(), op.secret());
        assert_eq!(seen, (operation, epoch, secret), "{op:?}");
        assert_eq!((op.value(), op.metadata()), (value, metadata), "{op:?}");
    }
}

#[test]
fn an_entry_is_bounded_and_knows_its_size() {
    let with_name = |len: usize| {
        let made = Credential {
            name: Some(ByteBuf::from(vec![0; len])),
            ..credential(device(&key()), 1, &key())
        };
        let entry = entry(2, Digest::of(b"previous"), Op::Credential(made));
        let encoded = codec::encoded_len(&entry).unwrap();
        (SignedEntry::sign(&entry, &key()), encoded)
    };
    let (signed, encoded) = with_name(1000);
    assert_eq!(signed.unwrap().size(), encoded + 64);
    let longest = 1000 + MAX_ENTRY_LEN - encoded;
    let (signed, encoded) = with_name(longest);
    assert_eq!(encoded, MAX_ENTRY_LEN);
    let signed = signed.unwrap();
    assert!(signed.verify(&ACCOUNT, &public(&key())).is_ok());
    assert_eq!(with_name(longest + 1).0, Err(LogError::Malformed));
    // Nor is a longer one read, whoever signed it.
    let mut longer = codec::encode(&(ByteBuf::from(vec![0; MAX_ENTRY_LEN + 1]), [0u8; 0])).unwrap();
    longer.truncate(longer.len() - 1);
    longer.extend(codec::encode(&Signature::new([0; 64])).unwrap());
    let longer: SignedEntry = codec::decode(&longer, usize::MAX).unwrap();
    assert_eq!(longer.decode_unverified(), Err(LogError::Malformed));
}

#[test]
fn each_credential_is_the_next_one_of_its_slot() {
    let own = key();
    let bad = Err(LogError::Contradiction);
    let table = [
        (None, 1, Ok(1)),
        (None, 0, bad),
        (None, 2, bad),
        (Some(7), 8, Ok(8)),
        (Some(7), 7, bad),
        (Some(7), 6, bad),
        // Whoever could jump to the last one could never be revoked.
        (Some(7), u64::MAX, bad),
        (Some(u64::MAX), u64::MAX, bad),
        (Some(u64::MAX), 0, bad),
    ];
    for slot in [Slot::Password, Slot::Recovery, device(&own)] {
        for (before, generation, expected) in table {
            let made = credential(slot, generation, &own);
            let said = next_generation(before, &made);
            assert_eq!(said, expected, "{before:?} {made:?}");
            let revoked = Credential {
                keys: None,
                ..made.clone()
            };
            let is_password = slot == Slot::Password;
            let as_revoked = if is_password { bad } else { expected };
            assert_eq!(next_generation(before, &revoked), as_revoked);
            let named = Credential {
                name: Some(ByteBuf::from(vec![8; 40])),
                ..made
            };
            let is_device = matches!(slot, Slot::Device(_));
            let as_named = if is_device { expected } else { bad };
            assert_eq!(next_generation(before, &named), as_named);
        }
    }
    // The slot of a device is that of its key.
    let other = SigningKey::from_bytes(&fixed(10));
    let of_other = credential(device(&own), 1, &other);
    assert_eq!(next_generation(None, &of_other), bad);
    for len in [0, KEM_KEY_LEN - 1, KEM_KEY_LEN + 1] {
        let mut made = credential(Slot::Password, 1, &own);
        made.keys.as_mut().unwrap().kem = ByteBuf::from(vec![3; len]);
        assert_eq!(next_generation(None, &made), bad, "{len}");
    }
}

#[test]
fn epochs_follow_each_other_and_content_is_of_its_epoch() {
    let first = Signer::of_genesis(&identity());
    assert_eq!((first.epoch, first.log_key), (1, public(&key())));
    let second = first.after(&Op::Rekey(rekey(2))).unwrap();
    assert_eq!((second.epoch, second.log_key), (2, rekey(2).log_key));
    for epoch in [0, 1, 3, u32::MAX] {
        let refused = first.after(&Op::Rekey(rekey(epoch)));
        assert_eq!(refused, Err(LogError::Contradiction), "{epoch}");
    }
    let last = Signer {
        epoch: MAX_EPOCH - 1,
        ..first
    };
    let last = last.after(&Op::Rekey(rekey(MAX_EPOCH))).unwrap();
    let beyond = last.after(&Op::Rekey(rekey(MAX_EPOCH + 1)));
    assert_eq!(beyond, Err(LogError::Contradiction));
    for op in [put(1), reseal(1), describe(1)] {
        assert_eq!(first.after(&op), Ok(first), "{op:?}");
        let refused = second.after(&op);
        assert_eq!(refused, Err(LogError::Contradiction), "{op:?}");
    }
    for op in [remove(1), note(), purge_secret()] {
        assert_eq!(second.after(&op), Ok(second), "{op:?}");
    }
}

/// An operator who could cut a log inside an installation would show the new key epoch without the revocations that it
/// began for.
#[test]
fn the_entries_of_an_installation_belong_together() {
    let refused = Err(LogError::Contradiction);
    let whole = Signer::of_genesis(&identity());
    assert!(whole.is_whole());
    let own = SigningKey::from_bytes(&fixed(11));
    let made = Op::Credential(credential(device(&own), 1, &own));
    let rekeyed = |credentials| {
        Op::Rekey(Rekey {
            credentials,
            ..rekey(2)
        })
    };
    let others = [
        put(1),
        reseal(1),
        describe(1),
        remove(1),
        restore(1),
        purge_secret(),
        note(),
        Op::Genesis(identity()),
    ];

    let acknowledged = whole.after(&acknowledge()).unwrap();
    assert_eq!((acknowledged.due, acknowledged.epoch), (Due::Rekey, 1));
    assert!(!acknowledged.is_whole());
    for op in [&acknowledge(), &made].into_iter().chain(&others) {
        assert_eq!(acknowledged.after(op), refused, "{op:?}");
    }

    for before in [whole, acknowledged] {
        assert!(before.after(&rekeyed(0)).unwrap().is_whole());
        let mut signer = before.after(&rekeyed(3)).unwrap();
        assert_eq!((signer.epoch, signer.log_key), (2, rekey(2).log_key));
        for left in [3, 2, 1] {
            assert_eq!(signer.due, Due::Credentials(left));
            assert!(!signer.is_whole());
            let next = Op::Rekey(rekey(3));
            for op in [&acknowledge(), &next].into_iter().chain(&others) {
                assert_eq!(signer.after(op), refused, "{left} {op:?}");
            }
            signer = signer.after(&made).unwrap();
        }
        assert!(signer.is_whole());
        assert_eq!((signer.epoch, signer.log_key), (2, rekey(2).log_key));
        // A credential outside an installation, as of a device that enrols, stands for itself.
        assert_eq!(signer.after(&made), Ok(signer));
    }
}

#[test]
fn what_outlives_sessions_is_authorised_by_a_credential() {
    let (password, own, other) = (
        key(),
        SigningKey::from_bytes(&fixed(11)),
        SigningKey::from_bytes(&fixed(12)),
    );
    let signing_key = |slot: &Slot| {
        let keys = [
            (Slot::Password, &password),
            (device(&own), &own),
            (device(&other), &other),
        ];
        let known = keys.into_iter().find(|(known, _)| known == slot);
        known.map(|(_, key)| public(key))
    };
    let verified = |seq, op: &Op, by: Option<(Slot, &SigningKey)>| {
        let mut entry = entry(seq, Digest::of(b"previous"), op.clone());
        if let Some((slot, key)) = by {
            entry.authorise(slot, key).unwrap();
        }
        entry.verify_authorisation(signing_key)
    };
    let refused = Err(LogError::Unauthorised);
    let by_password = Some((Slot::Password, &password));
    let by_own = Some((device(&own), &own));
    let revoked = Credential {
        keys: None,
        ..credential(device(&own), 2, &own)
    };
    let next = Op::Credential(credential(device(&own), 2, &own));
    for (op, by_device) in [
        (next.clone(), Ok(())),
        (Op::Credential(revoked), refused),
        (
            Op::Credential(credential(device(&other), 2, &other)),
            refused,
        ),
        (Op::Credential(credential(Slot::Password, 2, &own)), refused),
        (Op::Rekey(rekey(2)), refused),
        (acknowledge(), refused),
        (reseal(1), refused),
        (purge(1), refused),
        (Op::Purge(Purge::Note(Seq(4))), refused),
    ] {
        assert_eq!(verified(4, &op, by_password), Ok(()), "{op:?}");
        assert_eq!(verified(4, &op, by_own), by_device, "{op:?}");
        assert_eq!(verified(4, &op, None), refused, "{op:?}");
        let by_wrong_key = Some((Slot::Password, &own));
        assert_eq!(verified(4, &op, by_wrong_key), refused, "{op:?}");
        let by_unknown = Some((Slot::Recovery, &password));
        assert_eq!(verified(4, &op, by_unknown), refused, "{op:?}");
        // The entries of a registration are exempt, and carry none.
        assert_eq!(verified(3, &op, None), Ok(()), "{op:?}");
        assert_eq!(verified(3, &op, by_password), Err(LogError::Contradiction));
    }
    for op in [
        put(1),
        describe(1),
        remove(1),
        restore(1),
        purge_secret(),
        note(),
    ] {
        assert_eq!(verified(4, &op, None), Ok(()), "{op:?}");
        let superfluous = verified(4, &op, by_password);
        assert_eq!(superfluous, Err(LogError::Contradiction), "{op:?}");
    }
    // It is for one position of one log.
    let mut good = entry(4, Digest::of(b"previous"), next);
    good.authorise(Slot::Password, &password).unwrap();
    for moved in [
        Entry {
            seq: Seq(5),
            ..good.clone()
        },
        Entry {
            previous: Digest::of(b"other"),
            ..good.clone()
        },
        Entry {
            account: AccountId::new([9; 16]),
            ..good.clone()
        },
        Entry {
            op: Op::Rekey(rekey(2)),
            ..good.clone()
        },
    ] {
        assert_eq!(moved.verify_authorisation(signing_key), refused);
    }
}
