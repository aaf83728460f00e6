//! The vault log's rules: what follows what, who may sign, and what an operation may do to a secret.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::fixed;
use ed25519_dalek::SigningKey;
use serde_bytes::ByteBuf;
use shared::audit_record::Operation;
use shared::codec;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, Version};
use shared::opaque::Slot;
use shared::vault_log::{
    Acknowledge, Credential, Describe, ENTRY_FORMAT, Entry, Head, Identity, LogError,
    MAX_ENTRY_LEN, Op, Put, Rekey, Remove, SecretState, SignedEntry, apply, next_generation,
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
        former: Vec::new(),
    }
}

fn put(version: u64) -> Op {
    Op::Put(Put {
        secret: SECRET,
        version: Version(version),
        epoch: 1,
        value_hash: Digest::of(b"sealed"),
        metadata: ByteBuf::from(vec![7; 40]),
    })
}

fn describe(version: u64) -> Op {
    Op::Describe(Describe {
        secret: SECRET,
        version: Version(version),
        epoch: 1,
        metadata: ByteBuf::from(vec![8; 40]),
    })
}

fn remove(version: u64) -> Op {
    Op::Remove(Remove {
        secret: SECRET,
        version: Version(version),
    })
}

fn acknowledge() -> Op {
    Op::Acknowledge(Acknowledge {
        lost_seq: Seq(9),
        lost_hash: Digest::of(b"lost"),
    })
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
        Op::Server(identity()),
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
        Entry { format: 2, ..good },
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
    use SecretState::{Live, Removed};
    let live = |version| Some(Live(Version(version)));
    let bad = Err(LogError::Contradiction);
    let table = [
        (None, put(1), Ok(live(1))),
        (None, put(2), bad),
        (None, put(0), bad),
        (None, describe(1), bad),
        (None, describe(0), bad),
        (None, remove(1), bad),
        (None, remove(0), bad),
        (live(1), put(2), Ok(live(2))),
        (live(1), put(1), bad),
        (live(1), put(3), bad),
        (live(2), describe(2), Ok(live(2))),
        (live(2), describe(1), bad),
        (live(2), describe(3), bad),
        (live(2), remove(2), Ok(Some(Removed))),
        (live(2), remove(1), bad),
        (Some(Removed), put(1), bad),
        (Some(Removed), put(3), bad),
        (Some(Removed), describe(2), bad),
        (Some(Removed), remove(2), bad),
        (None, Op::Server(identity()), Ok(None)),
        (None, acknowledge(), Ok(None)),
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
        (Op::Server(identity()), Err(LogError::Contradiction)),
        (acknowledge(), Err(LogError::Contradiction)),
    ] {
        assert_eq!(apply(None, &entry(1, Head::EMPTY.hash, op)), expected);
    }
}

#[test]
fn an_operation_names_its_audit_record_its_epoch_and_its_secret() {
    let credential = Credential {
        slot: Slot::Password,
        generation: 2,
        wrapped: None,
        name: None,
    };
    let rekey = Rekey {
        epoch: 2,
        former: Head::EMPTY,
        keys: ByteBuf::new(),
    };
    let table = [
        (Op::Genesis(identity()), None, None, None),
        (put(1), Some(Operation::Put), Some(1), Some(SECRET)),
        (
            describe(1),
            Some(Operation::Describe),
            Some(1),
            Some(SECRET),
        ),
        (remove(1), Some(Operation::Remove), None, Some(SECRET)),
        (Op::Server(identity()), Some(Operation::Append), None, None),
        (acknowledge(), Some(Operation::Append), None, None),
        (
            Op::Note(ByteBuf::new()),
            Some(Operation::Append),
            None,
            None,
        ),
        (
            Op::Credential(credential),
            Some(Operation::Slot),
            None,
            None,
        ),
        (Op::Rekey(rekey), Some(Operation::Rekey), None, None),
    ];
    for (op, operation, epoch, secret) in table {
        let seen = (op.operation(), op.epoch(), op.secret());
        assert_eq!(seen, (operation, epoch, secret), "{op:?}");
    }
}

#[test]
fn an_entry_is_bounded_and_knows_its_size() {
    let with_note = |len: usize| {
        let note = Op::Note(ByteBuf::from(vec![0; len]));
        let entry = entry(2, Digest::of(b"previous"), note);
        let encoded = codec::encoded_len(&entry).unwrap();
        (SignedEntry::sign(&entry, &key()).unwrap(), encoded)
    };
    let (signed, encoded) = with_note(66_000);
    assert_eq!(signed.size(), encoded + 64);
    let room = MAX_ENTRY_LEN - encoded;
    let (longest, encoded) = with_note(66_000 - 1 + room);
    assert_eq!(encoded, MAX_ENTRY_LEN - 1);
    assert!(longest.verify(&ACCOUNT, &public(&key())).is_ok());
    let (longest, _) = with_note(66_000 + room);
    assert!(longest.decode_unverified().is_ok());
    let (longer, _) = with_note(66_000 + 1 + room);
    assert_eq!(longer.decode_unverified(), Err(LogError::Malformed));
    assert_eq!(
        longer.verify(&ACCOUNT, &public(&key())),
        Err(LogError::Malformed)
    );
}

#[test]
fn each_credential_is_the_next_one_of_its_slot() {
    let device = Slot::Device(DeviceId::new(fixed(6)));
    let bad = Err(LogError::Contradiction);
    let table = [
        // A registration has set the first ones.
        (Slot::Password, None, 2, Ok(2)),
        (Slot::Recovery, None, 2, Ok(2)),
        (Slot::Recovery, None, 1, bad),
        (device, None, 1, Ok(1)),
        (device, None, 2, bad),
        (device, Some(7), 8, Ok(8)),
        (device, Some(7), 7, bad),
        (device, Some(7), 6, bad),
        // Whoever could jump to the last one could never be revoked.
        (device, Some(7), u64::MAX, bad),
        (device, Some(u64::MAX), u64::MAX, bad),
        (device, Some(u64::MAX), 0, bad),
    ];
    for (slot, before, generation, expected) in table {
        let made = Credential {
            slot,
            generation,
            wrapped: Some(Digest::of(b"wrapped")),
            name: None,
        };
        let said = next_generation(before, &made);
        assert_eq!(said, expected, "{before:?} {made:?}");
        let revoked = Credential {
            wrapped: None,
            ..made.clone()
        };
        let is_password = slot == Slot::Password;
        let expected = if is_password { bad } else { expected };
        assert_eq!(next_generation(before, &revoked), expected);
        let named = Credential {
            name: Some(ByteBuf::from(vec![8; 40])),
            ..made
        };
        let is_device = matches!(slot, Slot::Device(_));
        let expected = if is_device { expected } else { bad };
        assert_eq!(next_generation(before, &named), expected);
    }
}
