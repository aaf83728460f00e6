//! Requests and answers of operations: their types, and their bytes on the wire.
#![allow(clippy::unwrap_used)]

use ed25519_dalek::SigningKey;
use serde_bytes::ByteBuf;
use shared::audit_record::AuditedOperation;
use shared::codec;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, Version};
use shared::opaque::Slot;
use shared::vault_log::{ENTRY_FORMAT, Entry, Head, Op, Rekey, SecretVersion, SignedEntry};
use shared::wire::call::{
    Answer, Append, AuditRange, Call, Delete, Fetch, Logout, NewEntry, Sync, ValueRef,
};
use shared::wire::error::Refusal;
use shared::wire::limits::{MAX_BATCH, MAX_BODY_LEN, MAX_SLOTS};
use shared::wire::operation::{Operation as _, UnexpectedAnswer};
use shared::wire::slots::{Enrol, Install, ListSlots, NewEpoch, SlotKey, Stage};

#[test]
fn an_answer_is_taken_only_by_its_operation() {
    let head = Head {
        seq: Seq(7),
        hash: Digest::new([7; 32]),
    };
    assert_eq!(
        Append::decode_answer(Append::encode_answer(head)),
        Ok(Ok(head))
    );
    assert_eq!(Logout::decode_answer(Logout::encode_answer(())), Ok(Ok(())));
    let refused = Answer::Refused(Refusal::Conflict(head));
    assert_eq!(
        Append::decode_answer(refused),
        Ok(Err(Refusal::Conflict(head)))
    );
    // Appending and installing both answer with a head, each with its own.
    let other = Install::encode_answer(head);
    assert_eq!(Append::decode_answer(other), Err(UnexpectedAnswer));
    assert_eq!(
        Install::decode_answer(Answer::Logout),
        Err(UnexpectedAnswer)
    );
    assert_eq!(
        Logout::decode_answer(Append::encode_answer(head)),
        Err(UnexpectedAnswer)
    );
}

/// Request types leave no trace in the encoding: a call is its name and its bare content (protocol.md, section 6).
#[test]
fn a_call_is_its_name_and_its_content() {
    let item = ValueRef {
        secret: SecretId::new([1; 16]),
        version: Version(2),
    };
    let install = Install {
        ke3: vec![ByteBuf::from([3; 2])],
        entries: Vec::new(),
        epoch: None,
    };
    let cases = [
        (Append(Vec::new()).into(), named("append", &[0x90])),
        (Enrol(Vec::new()).into(), named("enrol", &[0x90])),
        (
            Fetch(vec![item]).into(),
            named(
                "fetch",
                &[&[0x91, 0x92, 0xc4, 16][..], &[1; 16], &[2]].concat(),
            ),
        ),
        (Delete(5).into(), named("delete", &[5])),
        (
            install.into(),
            named("install", &[0x93, 0x91, 0xc4, 2, 3, 3, 0x90, 0xc0]),
        ),
        (
            Logout { retire: true }.into(),
            named("logout", &[0x91, 0xc3]),
        ),
        (ListSlots.into(), text("slots")),
    ];
    for (call, bytes) in cases {
        let call: Call = call;
        assert_eq!(codec::encode(&call).unwrap(), bytes, "{call:?}");
        assert_eq!(codec::decode::<Call>(&bytes, 100), Ok(call));
    }
}

/// One record per entry, value or step; a call that only names entries is audited by them.
#[test]
fn a_call_is_audited_as_its_parts() {
    let secret = SecretId::new([1; 16]);
    let entry = |op| {
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: AccountId::new([2; 16]),
            seq: Seq(1),
            previous: Digest::new([0; 32]),
            device: DeviceId::new([3; 16]),
            time_ms: 0,
            seen: None,
            op,
            authorisation: None,
        };
        SignedEntry::sign(&entry, &SigningKey::from_bytes(&[4; 32])).unwrap()
    };
    let remove = entry(Op::Remove(SecretVersion {
        secret,
        version: Version(1),
    }));
    let rekey = entry(Op::Rekey(Rekey {
        epoch: 2,
        log_key: PublicKey::new([5; 32]),
        credentials: 0,
    }));
    let note = entry(Op::Note(Digest::of(b"note")));
    let new = |entry: &SignedEntry| NewEntry {
        entry: entry.clone(),
        value: None,
        metadata: None,
    };
    let install = |entries: &[&SignedEntry]| Install {
        ke3: Vec::new(),
        entries: entries.iter().copied().cloned().collect(),
        epoch: None,
    };
    let item = ValueRef {
        secret,
        version: Version(2),
    };
    let range = AuditRange {
        from: 0,
        limit: 1,
        size: None,
        verified_size: 0,
        proofs: false,
    };
    let sync = Sync {
        after: Seq(0),
        audit_size: 0,
    };
    let stage = Stage {
        slots: Vec::new(),
        ke1: Vec::new(),
    };
    let once = |operation| vec![(operation, None, None)];
    let removed = (AuditedOperation::Remove, Some(secret), Some(remove.hash()));
    let noted = (AuditedOperation::Append, None, Some(note.hash()));
    let logout = Logout { retire: false };
    let table: [(Call, Vec<_>); 13] = [
        (sync.into(), once(AuditedOperation::Sync)),
        (Append(Vec::new()).into(), Vec::new()),
        (
            Append(vec![new(&remove), new(&note)]).into(),
            vec![removed, noted],
        ),
        (
            Fetch(vec![item; 2]).into(),
            vec![(AuditedOperation::Get, Some(secret), None); 2],
        ),
        (range.into(), once(AuditedOperation::Audit)),
        (logout.into(), once(AuditedOperation::Logout)),
        (ListSlots.into(), once(AuditedOperation::Slots)),
        (Enrol(Vec::new()).into(), once(AuditedOperation::Enrol)),
        (stage.into(), once(AuditedOperation::Enrol)),
        (install(&[]).into(), once(AuditedOperation::Enrol)),
        (install(&[&remove]).into(), vec![removed]),
        (Delete(0).into(), once(AuditedOperation::Delete)),
        (
            install(&[&rekey, &remove]).into(),
            vec![(AuditedOperation::Rekey, None, Some(rekey.hash())), removed],
        ),
    ];
    for (call, expected) in table {
        let operations = call.operations();
        let operations: Vec<_> = operations
            .iter()
            .map(|operation| (operation.operation, operation.secret, operation.entry))
            .collect();
        assert_eq!(operations, expected, "{call:?}");
    }
}

#[test]
fn sequences_are_bounded_while_they_are_decoded() {
    let slots = |count: usize| vec![ByteBuf::new(); count];
    let stage = |count| {
        codec::encode(&Stage {
            slots: Vec::new(),
            ke1: slots(count),
        })
    };
    let install = |count| {
        codec::encode(&Install {
            ke3: slots(count),
            entries: Vec::new(),
            epoch: None,
        })
    };
    let epoch = |count| {
        let key = SlotKey {
            slot: Slot::Password,
            generation: 1,
            epoch: 2,
            blob: ByteBuf::new(),
        };
        codec::encode(&NewEpoch {
            slot_keys: vec![key; count],
            history: ByteBuf::new(),
        })
    };
    for (count, is_taken) in [(MAX_SLOTS, true), (MAX_SLOTS + 1, false)] {
        let decoded = codec::decode::<Stage>(&stage(count).unwrap(), MAX_BODY_LEN);
        assert_eq!(decoded.is_ok(), is_taken);
        let decoded = codec::decode::<Install>(&install(count).unwrap(), MAX_BODY_LEN);
        assert_eq!(decoded.is_ok(), is_taken);
        let decoded = codec::decode::<NewEpoch>(&epoch(count).unwrap(), MAX_BODY_LEN);
        assert_eq!(decoded.is_ok(), is_taken);
        let answer = codec::encode(&Answer::Enrol(slots(count))).unwrap();
        let decoded = codec::decode::<Answer>(&answer, MAX_BODY_LEN);
        assert_eq!(decoded.is_ok(), is_taken);
    }
    for (count, is_taken) in [(MAX_BATCH, true), (MAX_BATCH + 1, false)] {
        let answer = codec::encode(&Answer::Fetch(vec![None; count])).unwrap();
        let decoded = codec::decode::<Answer>(&answer, MAX_BODY_LEN);
        assert_eq!(decoded.is_ok(), is_taken);
    }
}

fn text(name: &str) -> Vec<u8> {
    let len = u8::try_from(name.len()).unwrap();
    [&[0xa0 | len], name.as_bytes()].concat()
}

fn named(name: &str, content: &[u8]) -> Vec<u8> {
    [&[0x81], text(name).as_slice(), content].concat()
}
