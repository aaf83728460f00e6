//! Replacing the account key: a re-encrypted log takes the place of the former one.

use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::{DeviceId, Digest, SecretId, Seq, Version};
use shared::opaque::Slot;
use shared::vault_log::{Credential, Head, Op, Rekey, SignedEntry};
use shared::wire::call::ValueRef;
use shared::wire::error::Refusal;
use shared::wire::register::{SlotRecord, WrappedKey};
use shared::wire::rekey::NewLog;

use super::owner::{HERE, Owner, audit, head, refusal, write};
use super::{Fresh, config};
use crate::api::{Append, Draft, Install, Prepare, ReadEntries, ReadValues, Which};
use crate::store::{Store, WriteResult};
use crate::verified::VerifiedEntry;
use crate::write::Write;

const VALUE: &[u8] = &[9; 100];
const ANEW: &[u8] = &[8; 100];

/// An account with one secret, and its owner with the next account key.
fn account(engine: &Store) -> (Owner, Owner, SecretId) {
    let mut owner = Owner::new("alice");
    write(engine, owner.register()).unwrap();
    let secret = SecretId::random();
    let put = owner.put(owner.head, secret, 1, VALUE);
    owner.head = head(write(engine, owner.append(vec![put])));
    let next = owner.with_next_key();
    (owner, next, secret)
}

fn wrapped(slot: Slot, generation: u64, epoch: u32) -> SlotRecord {
    SlotRecord {
        slot,
        record: ByteBuf::from(vec![6; 192]),
        wrapped: WrappedKey {
            generation,
            epoch,
            blob: ByteBuf::from(vec![6; 92]),
        },
    }
}

fn draft(epoch: u32) -> Draft {
    Draft {
        epoch: Some(epoch),
        ..Draft::without_session(AuditedOperation::Rewrite, Outcome::Done, Some(HERE))
    }
}

fn prepare(next: &Owner) -> Write {
    Write::Prepare(Prepare {
        account: next.id,
        log: NewLog {
            log_key: next.log_key(),
            wrapped: wrapped(Slot::Password, 1, 2).wrapped,
        },
        records: vec![draft(1)],
    })
}

fn reencrypted(next: &Owner, entries: Vec<VerifiedEntry>) -> Write {
    let append = Append {
        account: next.id,
        records: entries.iter().map(|_| draft(1)).collect(),
        entries,
    };
    Write::Rewrite(next.log_key(), append)
}

/// Re-encrypts the log of [`account`].
fn rewrite(engine: &Store, next: &mut Owner, secret: SecretId) {
    let genesis = next.bare(Head::EMPTY, Op::Genesis(next.identity()));
    let first = Head::EMPTY.with(&genesis.signed);
    let put = next.put(first, secret, 1, ANEW);
    let write = reencrypted(next, vec![genesis, put]);
    next.head = head(super::owner::write(engine, write));
}

/// The last entries: the new key, and what becomes of each slot.
fn last(next: &Owner, rekey: Rekey, slots: &[SlotRecord], gone: &[Slot]) -> Vec<VerifiedEntry> {
    let mut top = next.head;
    let made = slots.iter().map(|record| {
        Op::Credential(Credential {
            slot: record.slot,
            generation: record.wrapped.generation,
            wrapped: Some(Digest::of(&record.wrapped.blob)),
            name: None,
        })
    });
    let revoked = gone.iter().map(|slot| {
        Op::Credential(Credential {
            slot: *slot,
            generation: 1,
            wrapped: None,
            name: None,
        })
    });
    let ops = [Op::Rekey(rekey)].into_iter().chain(made).chain(revoked);
    ops.map(|op| {
        let entry = next.bare(top, op);
        top = top.with(&entry.signed);
        entry
    })
    .collect()
}

fn rekey(former: Head) -> Rekey {
    Rekey {
        epoch: 2,
        former,
        keys: ByteBuf::from(vec![5; 92]),
    }
}

fn finish(next: &Owner, slots: &[SlotRecord], entries: Vec<VerifiedEntry>) -> Write {
    let install = Install {
        account: next.id,
        slots: slots.to_vec(),
        records: entries.iter().map(|_| draft(1)).collect(),
        entries,
    };
    Write::Rekey(next.log_key(), install)
}

fn entries(engine: &Store, owner: &Owner, of: Which) -> Vec<SignedEntry> {
    let read = ReadEntries {
        account: owner.id,
        after: Seq(0),
        of,
    };
    engine.entries(&read).unwrap().0
}

pub(super) fn a_new_log_takes_the_place_of_the_old_one(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (owner, mut next, secret) = account(&engine);
    write(&engine, prepare(&next)).unwrap();
    rewrite(&engine, &mut next, secret);
    // Beside it, and whole, also across a restart; the old one goes on.
    drop(engine);
    let engine = place.open(config());
    assert_eq!(engine.check().unwrap().stages, 1);
    assert_eq!(engine.prepared(&owner.id).unwrap().unwrap().head, next.head);
    assert_eq!(entries(&engine, &owner, Which::Prepared).len(), 2);
    assert_ne!(
        entries(&engine, &owner, Which::Current),
        entries(&engine, &owner, Which::Prepared)
    );
    let slots = [wrapped(Slot::Password, 2, 2)];
    let gone = [Slot::Device(DeviceId::new([3; 16]))];
    let new = last(&next, rekey(owner.head), &slots, &gone);
    let top = head(write(&engine, finish(&next, &slots, new)));
    assert_eq!(top.seq, Seq(5));

    let now = entries(&engine, &owner, Which::Current);
    assert_eq!(now.len(), 5);
    assert!(
        now.iter()
            .all(|entry| entry.verify(&next.id, &next.log_key()).is_ok())
    );
    let items = vec![ValueRef {
        secret,
        version: Version(1),
    }];
    let account = owner.id;
    let values = engine.values(&ReadValues { account, items }).unwrap();
    assert_eq!(values, [Some(ByteBuf::from(ANEW.to_vec()))]);
    assert_eq!(engine.read(|view| view.slots(&account)).unwrap().len(), 1);
    assert_eq!(
        engine
            .read(|view| view.log_key(&account, Which::Current))
            .unwrap(),
        Some(next.log_key())
    );
    assert!(engine.prepared(&account).unwrap().is_none());
    let summary = engine.check().unwrap();
    assert_eq!((summary.entries, summary.values, summary.stages), (5, 1, 0));
    // Sessions that know the former key are refused; the audit records name the operations.
    let late = owner.put(owner.head, SecretId::random(), 1, VALUE);
    assert!(matches!(
        refusal(write(&engine, owner.append(vec![late]))),
        Refusal::Conflict(_)
    ));
    let refused = refusal(write(&engine, prepare(&next)));
    assert_eq!(refused, Refusal::NoSession);
    assert!(audit(&engine, account).len() > 5);
}

pub(super) fn a_new_log_must_hold_everything_and_replace_every_credential(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut owner, mut next, secret) = account(&engine);
    let slots = [wrapped(Slot::Password, 2, 2)];
    let unbegun = last(&next, rekey(owner.head), &slots, &[]);
    assert_eq!(
        refusal(write(&engine, finish(&next, &slots, unbegun))),
        Refusal::BadEntry
    );
    write(&engine, prepare(&next)).unwrap();
    rewrite(&engine, &mut next, secret);
    let refused = |slots: &[SlotRecord], entries: Vec<VerifiedEntry>| {
        refusal(write(&engine, finish(&next, slots, entries)))
    };
    let right = || last(&next, rekey(owner.head), &slots, &[]);
    let wrong_epoch = Rekey {
        epoch: 3,
        ..rekey(owner.head)
    };
    let device = Slot::Device(DeviceId::new([3; 16]));
    for (slots, entries) in [
        (&slots[..], Vec::new()),
        (&slots[..], right().split_off(1)),
        (&slots[..], last(&next, wrong_epoch, &slots, &[])),
        // Neither without a password, nor with one that wraps the old key, nor one that is made and goes.
        (&[][..], last(&next, rekey(owner.head), &[], &[])),
        (
            &[][..],
            last(&next, rekey(owner.head), &[], &[Slot::Password]),
        ),
        (
            &[wrapped(device, 1, 2)][..],
            last(&next, rekey(owner.head), &[wrapped(device, 1, 2)], &[]),
        ),
        (
            &[wrapped(Slot::Password, 2, 1)][..],
            last(
                &next,
                rekey(owner.head),
                &[wrapped(Slot::Password, 2, 1)],
                &[],
            ),
        ),
        (
            &[wrapped(Slot::Password, 1, 2)][..],
            last(
                &next,
                rekey(owner.head),
                &[wrapped(Slot::Password, 1, 2)],
                &[],
            ),
        ),
        (
            &slots[..],
            last(&next, rekey(owner.head), &slots, &[Slot::Password]),
        ),
    ] {
        assert_eq!(refused(slots, entries), Refusal::BadEntry);
    }
    // Not into the log of now either.
    let stray = owner.bare(owner.head, Op::Rekey(rekey(owner.head)));
    assert_eq!(
        refusal(write(&engine, owner.append(vec![stray]))),
        Refusal::BadEntry
    );
    // Another device was faster.
    let put = owner.put(owner.head, SecretId::random(), 1, VALUE);
    let before = owner.head;
    owner.head = head(write(&engine, owner.append(vec![put])));
    let entries = last(&next, rekey(before), &slots, &[]);
    let conflict = refusal(write(&engine, finish(&next, &slots, entries)));
    assert_eq!(conflict, Refusal::Conflict(owner.head));
    // Its entry must be re-encrypted as well.
    let entries = last(&next, rekey(owner.head), &slots, &[]);
    let incomplete = refusal(write(&engine, finish(&next, &slots, entries)));
    assert_eq!(incomplete, Refusal::BadEntry);
    engine.check().unwrap();
}

pub(super) fn a_reencryption_begun_anew_leaves_nothing_of_the_former_one(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (owner, mut next, secret) = account(&engine);
    write(&engine, prepare(&next)).unwrap();
    rewrite(&engine, &mut next, secret);
    let mut again = owner.with_next_key();
    write(&engine, prepare(&again)).unwrap();
    assert!(entries(&engine, &owner, Which::Prepared).is_empty());
    // Entries that were verified by the key of before, and come late.
    let late = next.bare(Head::EMPTY, Op::Genesis(next.identity()));
    let late = reencrypted(&next, vec![late]);
    assert_eq!(refusal(write(&engine, late)), Refusal::BadEntry);
    rewrite(&engine, &mut again, secret);
    let summary = engine.check().unwrap();
    assert_eq!((summary.entries, summary.values, summary.stages), (4, 2, 1));
    let wrong: WriteResult = write(
        &engine,
        Write::Prepare(Prepare {
            account: again.id,
            log: NewLog {
                log_key: again.log_key(),
                wrapped: wrapped(Slot::Password, 1, 3).wrapped,
            },
            records: vec![draft(1)],
        }),
    );
    assert_eq!(refusal(wrong), Refusal::BadEntry);
}
