//! Credentials: replaced, revoked, and never skipping a generation.

use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::{DeviceId, Digest};
use shared::opaque::Slot;
use shared::vault_log::{Credential, Head, Op};
use shared::wire::error::Refusal;
use shared::wire::register::{SlotRecord, WrappedKey};

use super::owner::{HERE, Owner, head, refusal, write};
use super::{Fresh, config};
use crate::api::{Draft, Install};
use crate::error::StorageError;
use crate::store::{Store, WriteResult};
use crate::verified::VerifiedEntry;
use crate::write::Write;

const DEVICE: Slot = Slot::Device(DeviceId::new([1; 16]));

fn record(slot: Slot, generation: u64) -> SlotRecord {
    SlotRecord {
        slot,
        record: ByteBuf::from(vec![6; 192]),
        wrapped: WrappedKey {
            generation,
            epoch: 1,
            blob: ByteBuf::from(vec![6; 92]),
        },
    }
}

fn entry_of(
    owner: &Owner,
    on: Head,
    slot: Slot,
    generation: u64,
    wrapped: Option<Digest>,
) -> VerifiedEntry {
    let credential = Credential {
        slot,
        generation,
        wrapped,
        name: None,
    };
    owner.bare(on, Op::Credential(credential))
}

/// Puts a credential of this generation in place.
fn install(engine: &Store, owner: &Owner, slot: Slot, generation: u64) -> WriteResult {
    let new = record(slot, generation);
    let wrapped = Some(Digest::of(&new.wrapped.blob));
    let install = Write::Install(Install {
        account: owner.id,
        entries: vec![entry_of(owner, owner.head, slot, generation, wrapped)],
        slots: vec![new],
        records: vec![Draft::without_session(
            AuditedOperation::Slot,
            Outcome::Done,
            Some(HERE),
        )],
    });
    write(engine, install)
}

/// A session whose credential was replaced or revoked is refused even before it is ended.
pub(super) fn nothing_is_done_for_a_credential_that_is_gone(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let asked = |by: (Slot, u64), owner: &mut Owner| {
        let note = owner.bare(owner.head, Op::Note(ByteBuf::from(vec![5; 40])));
        let Write::Append(mut append) = owner.append(vec![note]) else {
            unreachable!()
        };
        append.records[0].by = Some(by);
        match write(&engine, Write::Append(append)) {
            Err(StorageError::Refused(refusal)) => Some(refusal),
            done => {
                owner.head = head(done);
                None
            }
        }
    };
    assert_eq!(asked((Slot::Password, 1), &mut owner), None);
    assert_eq!(asked((DEVICE, 1), &mut owner), Some(Refusal::NoSession));
    owner.head = head(install(&engine, &owner, DEVICE, 1));
    assert_eq!(asked((DEVICE, 1), &mut owner), None);
    let revoked = entry_of(&owner, owner.head, DEVICE, 2, None);
    owner.head = head(write(&engine, owner.append(vec![revoked])));
    assert_eq!(asked((DEVICE, 1), &mut owner), Some(Refusal::NoSession));
    owner.head = head(install(&engine, &owner, Slot::Password, 2));
    let old = asked((Slot::Password, 1), &mut owner);
    assert_eq!(old, Some(Refusal::NoSession));
    assert_eq!(asked((Slot::Password, 2), &mut owner), None);
}

/// A credential of the last generation could neither be revoked nor replaced: a thief must not be able to set one.
pub(super) fn a_generation_is_never_jumped_over(fresh: Fresh) {
    let place = fresh();
    let mut owner = Owner::new("alice");
    {
        let engine = place.open(config());
        write(&engine, owner.register()).unwrap();
        for (slot, next) in [(DEVICE, 1), (Slot::Recovery, 2), (Slot::Password, 2)] {
            for wrong in [0, next - 1, next + 1, u64::MAX] {
                let refused = refusal(install(&engine, &owner, slot, wrong));
                assert_eq!(refused, Refusal::BadEntry, "{slot} {wrong}");
            }
            owner.head = head(install(&engine, &owner, slot, next));
        }
        // Nor by an entry that revokes, or by several at once.
        let jump = entry_of(&owner, owner.head, DEVICE, u64::MAX, None);
        let refused = refusal(write(&engine, owner.append(vec![jump])));
        assert_eq!(refused, Refusal::BadEntry);
        let first = entry_of(&owner, owner.head, DEVICE, 2, None);
        let then = owner.head.with(&first.signed);
        let jump = entry_of(&owner, then, DEVICE, 4, None);
        let refused = refusal(write(&engine, owner.append(vec![first, jump])));
        assert_eq!(refused, Refusal::BadEntry);
        let revoked = entry_of(&owner, owner.head, DEVICE, 2, None);
        owner.head = head(write(&engine, owner.append(vec![revoked])));
    }
    // Of a revoked credential only the generation is kept, also across a restart.
    let engine = place.open(config());
    for wrong in [1, 2, 4, u64::MAX] {
        let refused = refusal(install(&engine, &owner, DEVICE, wrong));
        assert_eq!(refused, Refusal::BadEntry, "{wrong}");
    }
    head(install(&engine, &owner, DEVICE, 3));
    engine.check().unwrap();
}
