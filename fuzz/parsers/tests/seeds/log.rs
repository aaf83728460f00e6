//! Log entries, sealed blobs, audit records, checkpoints.

use data_encoding::BASE64;
use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::Metadata;
use parsers::world::{
    ACCOUNT, DEVICE, GENERATION, SECRET, device_slot, identity, keys, next_keys, slot_keys,
};
use rmpv::Value;
use serde_bytes::ByteBuf;
use shared::audit_record::Record;
use shared::checkpoint::TreeHead;
use shared::codec;
use shared::ids::{Digest, Seq, Signature, Version};
use shared::opaque::Slot;
use shared::vault_log::{
    Acknowledge, Credential, Describe, ENTRY_FORMAT, Entry, FIRST_EPOCH, LAST_OF_REGISTRATION, Op,
    Purge, Rekey, Sealed, SecretVersion, SignedEntry,
};
use shared::wire::slots::SlotKey;

use crate::bytes;
use crate::plain;
use crate::seed;
use crate::vectors;

pub fn write() {
    entries();
    sealed();
    audit();
}

fn entries() {
    let recorded = bytes(&vectors("formats")["recorded"]["signed_entry"]);
    seed("log_entry", "recorded", 0, recorded);
    let (secret, version, epoch) = (SECRET, Version(1), FIRST_EPOCH);
    let metadata = Digest::new([4; 32]);
    let content = Sealed {
        secret,
        version,
        epoch,
        value: Digest::new([1; 32]),
        metadata,
    };
    let named = SecretVersion { secret, version };
    let lost = Acknowledge {
        lost_seq: Seq(9),
        lost_hash: Digest::new([2; 32]),
        signature: Some(Signature::new([5; 64])),
    };
    let credential = |slot, is_made: bool| {
        Op::Credential(Credential {
            slot,
            generation: 1,
            keys: is_made.then(|| slot_keys(slot).public(&[6; 92])),
            name: matches!(slot, Slot::Device(_)).then(|| ByteBuf::from(vec![7; 284])),
        })
    };
    let rekey = Rekey {
        epoch: FIRST_EPOCH + 1,
        log_key: next_keys().log_key(),
        credentials: 1,
    };
    let describe = Describe {
        secret,
        version,
        epoch,
        metadata,
    };
    let ops = [
        ("genesis", Op::Genesis(identity())),
        ("credential", credential(Slot::Password, true)),
        ("put", Op::Put(content.clone())),
        ("describe", Op::Describe(describe)),
        ("remove", Op::Remove(named.clone())),
        ("restore", Op::Restore(named.clone())),
        ("reseal", Op::Reseal(content)),
        ("acknowledge", Op::Acknowledge(lost)),
        ("rekey", Op::Rekey(rekey)),
        ("credential-device", credential(device_slot(), true)),
        ("revocation", credential(Slot::Recovery, false)),
        ("note", Op::Note(metadata)),
        ("purge-secret", Op::Purge(Purge::Secret(secret))),
        ("purge-versions", Op::Purge(Purge::Versions(named))),
        ("purge-note", Op::Purge(Purge::Note(Seq(12)))),
    ];
    for (place, (name, op)) in (1..).zip(ops) {
        let mut entry = Entry {
            format: ENTRY_FORMAT,
            account: ACCOUNT,
            seq: Seq(place),
            previous: Digest::new([0; 32]),
            device: DEVICE.id(),
            time_ms: 1_800_000_000_000,
            seen: (place > 2).then_some(TreeHead {
                size: place,
                root: Digest::new([3; 32]),
            }),
            op,
            authorisation: None,
        };
        if entry.seq > LAST_OF_REGISTRATION && entry.op.needs_authorisation() {
            let key = slot_keys(Slot::Password).signing();
            entry.authorise(Slot::Password, &key).unwrap();
        }
        let signed = SignedEntry::sign(&entry, &keys().signing()).unwrap();
        let signed = codec::encode(&signed).unwrap();
        seed("log_entry", &format!("signed-{name}"), 0, signed);
        seed("log_entry", name, 1, codec::encode(&entry).unwrap());
    }
}

fn sealed() {
    let formats = vectors("formats");
    let recorded = &formats["recorded"];
    for name in ["sealed_value", "sealed_metadata"] {
        let content = [&[0, 0], bytes(&recorded[name]).as_slice()].concat();
        seed("sealed", name, 0, content);
    }
    let padded = [&[0; 7][..], &[7, 53], &[0; 7], &[7], b"a value"].concat();
    seed("sealed", "padding", 1, padded);
    let wrapped = [&[0, 1], bytes(&recorded["wrapped_account_key"]).as_slice()].concat();
    seed("sealed", "wrapped", 2, wrapped);
    for (name, slot) in [
        ("password", Slot::Password),
        ("recovery", Slot::Recovery),
        ("device", device_slot()),
    ] {
        let sealed = SlotKey {
            slot,
            generation: GENERATION,
            epoch: FIRST_EPOCH + 1,
            blob: ByteBuf::from(bytes(&recorded["slot_keys"][name])),
        };
        let script = [&[0, 1], codec::encode(&sealed).unwrap().as_slice()].concat();
        seed("sealed", &format!("slot-key-{name}"), 4, script);
    }
    // Slot, altered byte and how, epoch, account key, and a foreign KEM key.
    let kem = slot_keys(Slot::Recovery).public(&[]).kem;
    let script = [&[2, 9, 1, 0, 0, 0, 2, 0, 0, 0, 0][..], &[8; 32], &kem].concat();
    seed("sealed", "encapsulated", 5, script);
    let history = [&[0, 1], bytes(&recorded["key_history"]).as_slice()].concat();
    seed("sealed", "key-history", 6, history);
    seed("sealed", "own-history", 7, [&[3], &[9; 64][..]].concat());
    seed(
        "sealed",
        "own-history-short",
        7,
        [&[3], &[9; 63][..]].concat(),
    );
    seed(
        "sealed",
        "metadata",
        3,
        bytes(&formats["inputs"]["metadata"]),
    );
    seed("sealed", "metadata-all", 3, all_metadata().expose());
}

/// Metadata with everything that there is, unknown keys too.
fn all_metadata() -> shared::secret::SecretBytes {
    let mut metadata = Metadata::named(SecretName::parse("é/x").unwrap());
    metadata.set_tags(vec!["b".into(), "a".into()]);
    metadata.note = "note".into();
    metadata.content_type = Some("text/plain".into());
    metadata.created_ms = Some(7);
    let nested = Value::Array(vec![Value::from(1.5), Value::Nil, Value::from(-3)]);
    metadata.other.insert("x".into(), nested);
    metadata.encode().unwrap()
}

fn audit() {
    let formats = vectors("formats");
    let recorded = bytes(&formats["audit"]["record"]);
    plain("audit_record", "recorded", &recorded);
    let mut record: Record = codec::decode(&recorded, recorded.len()).unwrap();
    record.operation = shared::audit_record::AuditedOperation::LoginStart;
    (record.secret, record.session) = (None, None);
    (record.device, record.signature) = (None, None);
    (record.entry, record.opening) = (None, None);
    (record.counter, record.position) = (0, 0);
    record.count = 70_000;
    record.remote = "2001:db8::1".into();
    plain("audit_record", "flood", record.encode().unwrap());

    let note = formats["audit"]["checkpoint"].as_str().unwrap();
    seed("checkpoint", "recorded", 0, note);
    // The same signature as two texts in a row.
    let (before, signature) = note.trim_end().rsplit_once(' ').unwrap();
    let signature = BASE64.decode(signature.as_bytes()).unwrap();
    let (first, second) = signature.split_at(1);
    let joined = BASE64.encode(first) + &BASE64.encode(second);
    seed("checkpoint", "joined", 0, format!("{before} {joined}\n"));
    let (body, _) = note.split_once("\n\n").unwrap();
    seed("checkpoint", "body", 1, format!("{body}\n"));
    seed("checkpoint", "own", 2, [5; 44]);
}
