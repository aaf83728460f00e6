//! Every message comes back from its bytes, and no other bytes are accepted for it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome, Record};
use shared::channel::Sealed;
use shared::checkpoint::{self, TreeHead};
use shared::codec;
use shared::ids::{
    AccountId, DeviceId, Digest, PendingId, PublicKey, SecretId, Seq, ServerId, SessionId,
    Signature, Version,
};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::request::Opening;
use shared::vault_log::{
    Acknowledge, Authorisation, Credential, CredentialKeys, Describe, Entry, Head, Identity, Op,
    Purge, Rekey, Sealed as SealedForm, SecretVersion, SignedEntry,
};
use shared::wire::call::{
    Answer, Append, AuditAnswer, AuditRange, Call, Fetch, LoggedEntry, Logout, NewEntry, Request,
    Sync, SyncAnswer, ValueRef,
};
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart, Welcome};
use shared::wire::register::{
    Lease, RegisterFinish, RegisterResponse, RegisterStart, SlotRecord, SlotRequest, WrappedKey,
};
use shared::wire::slots::{Install, NewEpoch, SlotKey};
use shared::wire::{Hello, Registration};

const LIMIT: usize = 1 << 20;

fn bytes() -> impl Strategy<Value = ByteBuf> {
    vec(any::<u8>(), 0..300).prop_map(ByteBuf::from)
}

fn id() -> impl Strategy<Value = [u8; 16]> {
    any::<[u8; 16]>()
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::new)
}

fn key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(PublicKey::new)
}

fn name() -> impl Strategy<Value = AccountName> {
    "[a-zA-Z0-9äß@._-]{1,20}".prop_map(|text| AccountName::parse(&text).unwrap())
}

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![
        Just(Slot::Password),
        Just(Slot::Recovery),
        id().prop_map(|id| Slot::Device(DeviceId::new(id))),
    ]
}

fn tree_head() -> impl Strategy<Value = TreeHead> {
    (any::<u64>(), digest()).prop_map(|(size, root)| TreeHead { size, root })
}

fn head() -> impl Strategy<Value = Head> {
    (any::<u64>(), digest()).prop_map(|(seq, hash)| Head {
        seq: Seq(seq),
        hash,
    })
}

fn identity() -> impl Strategy<Value = Identity> {
    (id(), key(), key(), key(), any::<u8>()).prop_map(
        |(server, opaque_key, checkpoint_key, log_key, suite)| Identity {
            server: ServerId::new(server),
            opaque_key,
            checkpoint_key,
            log_key,
            suite,
        },
    )
}

fn signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 64]>().prop_map(Signature::new)
}

fn secret_version() -> impl Strategy<Value = SecretVersion> {
    (id(), any::<u64>()).prop_map(|(secret, version)| SecretVersion {
        secret: SecretId::new(secret),
        version: Version(version),
    })
}

fn sealed() -> impl Strategy<Value = SealedForm> {
    (secret_version(), any::<u32>(), digest(), digest()).prop_map(
        |(named, epoch, value, metadata)| SealedForm {
            secret: named.secret,
            version: named.version,
            epoch,
            value,
            metadata,
        },
    )
}

fn credential() -> impl Strategy<Value = Credential> {
    let keys = (digest(), bytes(), key()).prop_map(|(wrapped, kem, signing)| CredentialKeys {
        wrapped,
        kem,
        signing,
    });
    (slot(), any::<u64>(), option::of(keys), option::of(bytes())).prop_map(
        |(slot, generation, keys, name)| Credential {
            slot,
            generation,
            keys,
            name,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        identity().prop_map(Op::Genesis),
        sealed().prop_map(Op::Put),
        sealed().prop_map(Op::Reseal),
        (secret_version(), any::<u32>(), digest()).prop_map(|(named, epoch, metadata)| {
            Op::Describe(Describe {
                secret: named.secret,
                version: named.version,
                epoch,
                metadata,
            })
        }),
        secret_version().prop_map(Op::Remove),
        secret_version().prop_map(Op::Restore),
        id().prop_map(|id| Op::Purge(Purge::Secret(SecretId::new(id)))),
        secret_version().prop_map(|kept| Op::Purge(Purge::Versions(kept))),
        any::<u64>().prop_map(|seq| Op::Purge(Purge::Note(Seq(seq)))),
        (any::<u64>(), digest(), option::of(signature())).prop_map(
            |(seq, lost_hash, signature)| {
                Op::Acknowledge(Acknowledge {
                    lost_seq: Seq(seq),
                    lost_hash,
                    signature,
                })
            }
        ),
        credential().prop_map(Op::Credential),
        digest().prop_map(Op::Note),
        (any::<u32>(), key(), any::<u8>()).prop_map(|(epoch, log_key, credentials)| {
            Op::Rekey(Rekey {
                epoch,
                log_key,
                credentials,
            })
        }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let authorisation =
        (slot(), signature()).prop_map(|(slot, signature)| Authorisation { slot, signature });
    (
        (any::<u8>(), id(), any::<u64>(), digest()),
        (id(), any::<u64>(), option::of(tree_head()), op()),
        option::of(authorisation),
    )
        .prop_map(
            |((format, account, seq, previous), (device, time_ms, seen, op), authorisation)| {
                Entry {
                    format,
                    account: AccountId::new(account),
                    seq: Seq(seq),
                    previous,
                    device: DeviceId::new(device),
                    time_ms,
                    seen,
                    op,
                    authorisation,
                }
            },
        )
}

fn opening() -> impl Strategy<Value = Opening> {
    (slot(), any::<u64>(), key(), signature()).prop_map(
        |(slot, generation, device, certificate)| Opening {
            slot,
            generation,
            device,
            certificate,
        },
    )
}

fn slot_key() -> impl Strategy<Value = SlotKey> {
    (slot(), any::<u64>(), any::<u32>(), bytes()).prop_map(|(slot, generation, epoch, blob)| {
        SlotKey {
            slot,
            generation,
            epoch,
            blob,
        }
    })
}

fn signed() -> impl Strategy<Value = SignedEntry> {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    entry().prop_map(move |entry| SignedEntry::sign(&entry, &key).unwrap())
}

fn wrapped() -> impl Strategy<Value = WrappedKey> {
    (any::<u64>(), any::<u32>(), bytes()).prop_map(|(generation, epoch, blob)| WrappedKey {
        generation,
        epoch,
        blob,
    })
}

fn call() -> impl Strategy<Value = Call> {
    let new_entry = (signed(), option::of(bytes()), option::of(bytes())).prop_map(
        |(entry, value, metadata)| NewEntry {
            entry,
            value,
            metadata,
        },
    );
    let epoch = (vec(slot_key(), 0..3), bytes())
        .prop_map(|(slot_keys, history)| NewEpoch { slot_keys, history });
    let reference = (id(), any::<u64>()).prop_map(|(secret, version)| ValueRef {
        secret: SecretId::new(secret),
        version: Version(version),
    });
    prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(after, audit_size)| Call::Sync(Sync {
            after: Seq(after),
            audit_size
        })),
        vec(new_entry, 0..3).prop_map(|entries| Append(entries).into()),
        vec(reference, 0..5).prop_map(|items| Fetch(items).into()),
        (
            any::<u64>(),
            any::<u32>(),
            option::of(any::<u64>()),
            any::<u64>(),
            any::<bool>()
        )
            .prop_map(|(from, limit, size, verified_size, proofs)| Call::Audit(
                AuditRange {
                    from,
                    limit,
                    size,
                    verified_size,
                    proofs
                }
            )),
        any::<bool>().prop_map(|retire| Logout { retire }.into()),
        (vec(bytes(), 0..3), vec(signed(), 0..3), option::of(epoch)).prop_map(
            |(ke3, entries, epoch)| Install {
                ke3,
                entries,
                epoch
            }
            .into()
        ),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::Malformed),
        Just(Refusal::LoginRefused),
        Just(Refusal::Quota),
        any::<u64>().prop_map(Refusal::Throttled),
        head().prop_map(Refusal::Conflict),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let proof = || vec(digest(), 0..4);
    let logged = (signed(), option::of(bytes()))
        .prop_map(|(entry, metadata)| LoggedEntry { entry, metadata });
    prop_oneof![
        (
            vec(logged, 0..3),
            head(),
            ".{0,50}",
            proof(),
            vec(proof(), 0..3)
        )
            .prop_map(|(entries, head, checkpoint, consistency, seen)| {
                Answer::Sync(SyncAnswer {
                    entries,
                    head,
                    checkpoint,
                    consistency,
                    seen,
                })
            }),
        head().prop_map(Answer::Append),
        vec(option::of(bytes()), 0..4).prop_map(Answer::Fetch),
        (vec(bytes(), 0..3), ".{0,50}", proof(), vec(proof(), 0..3)).prop_map(
            |(records, checkpoint, consistency, inclusion)| Answer::Audit(AuditAnswer {
                records,
                checkpoint,
                consistency,
                inclusion
            })
        ),
        Just(Answer::Logout),
        refusal().prop_map(Answer::Refused),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let optional_id = || option::of(id());
    (
        (any::<u64>(), any::<u64>(), optional_id(), optional_id()),
        (any::<u64>(), any::<u32>(), optional_id(), ".{0,40}"),
        (
            option::of(signature()),
            option::of(digest()),
            option::of(opening()),
            any::<u64>(),
        ),
    )
        .prop_map(
            |((index, time_ms, secret, session), (counter, position, device, remote), rest)| {
                Record {
                    format: 2,
                    index,
                    time_ms,
                    operation: AuditedOperation::Get,
                    secret: secret.map(SecretId::new),
                    outcome: Outcome::NotFound,
                    session: session.map(SessionId::new),
                    counter,
                    position,
                    device: device.map(DeviceId::new),
                    remote,
                    signature: rest.0,
                    entry: rest.1,
                    opening: rest.2,
                    count: rest.3,
                }
            },
        )
}

/// Comes back; and neither a byte more nor a byte less is accepted.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    message: &T,
) -> Result<(), TestCaseError> {
    let encoded = codec::encode(message).unwrap();
    prop_assert_eq!(&codec::decode::<T>(&encoded, LIMIT).unwrap(), message);
    prop_assert!(codec::decode::<T>(&encoded, encoded.len() - 1).is_err());
    let mut longer = encoded.clone();
    longer.push(0xc0);
    prop_assert!(codec::decode::<T>(&longer, LIMIT).is_err());
    let shorter = encoded.get(..encoded.len() - 1).unwrap();
    prop_assert!(codec::decode::<T>(shorter, LIMIT).is_err());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn logs_come_back(entry in entry(), signed in signed(), record in record(), head in head()) {
        round_trip(&entry)?;
        round_trip(&signed)?;
        round_trip(&record)?;
        round_trip(&head)?;
    }

    #[test]
    fn calls_come_back(
        call in call(), opening in option::of(opening()), signatures in vec(signature(), 0..3),
    ) {
        round_trip(&Request { opening, signatures, call })?;
    }

    #[test]
    fn answers_come_back(answer in answer(), session in id(), counter in any::<u64>()) {
        round_trip(&answer)?;
        let body = ByteBuf::from(codec::encode(&answer).unwrap());
        round_trip(&Sealed { session: SessionId::new(session), counter, body })?;
    }

    #[test]
    fn logins_come_back(
        account in name(), slot in slot(), blob in bytes(), pending in id(), wrapped in wrapped(),
        head in head(), seconds in any::<u32>(), suite in any::<u8>(),
        slot_key in option::of(slot_key()), history in option::of(bytes()),
    ) {
        let pending = PendingId::new(pending);
        round_trip(&LoginStart { suite, account, slot, ke1: blob.clone() })?;
        round_trip(&LoginResponse { pending, ke2: blob.clone() })?;
        round_trip(&LoginFinish { pending, ke3: blob })?;
        round_trip(&Welcome {
            account: AccountId::new([1; 16]), wrapped, slot_key, history, head,
            idle_seconds: seconds, lifetime_seconds: seconds,
        })?;
    }

    #[test]
    fn registrations_come_back(
        account in name(), slot in slot(), blob in bytes(), pending in id(), wrapped in wrapped(),
        invite in option::of(".{0,30}"), entries in vec(signed(), 0..4), key in key(),
        seconds in any::<u32>(), renewed in any::<bool>(),
    ) {
        let pending = PendingId::new(pending);
        let slots = vec![SlotRequest { slot, request: blob.clone() }];
        round_trip(&RegisterStart { suite: 1, account, invite, slots })?;
        round_trip(&RegisterResponse { pending, responses: vec![blob.clone()] })?;
        let lease = Some(Lease { seconds, renewed });
        let slots = vec![SlotRecord { slot, record: blob, wrapped, lease }];
        round_trip(&RegisterFinish { pending, slots, entries })?;
        round_trip(&Hello {
            protocol: 2, server: ServerId::new([1; 16]), opaque_key: key, checkpoint_key: key,
            registration: Registration::Invite,
        })?;
    }

    #[test]
    fn checkpoints_come_back(head in tree_head(), server in id(), account in id()) {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let public = PublicKey::new(key.verifying_key().to_bytes());
        let (server, account) = (ServerId::new(server), AccountId::new(account));
        let note = checkpoint::sign(&key, &server, &account, &head);
        prop_assert_eq!(checkpoint::verify(&note, &public, &server, &account), Ok(head));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = codec::decode::<Request>(&bytes, LIMIT);
        let _ = codec::decode::<Answer>(&bytes, LIMIT);
        let _ = codec::decode::<RegisterFinish>(&bytes, LIMIT);
        let _ = codec::decode::<Record>(&bytes, LIMIT);
        let _ = codec::decode::<Entry>(&bytes, LIMIT);
    }
}
