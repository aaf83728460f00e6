//! Log entries, sealed blobs, audit records, checkpoints.

use data_encoding::BASE64;
use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::Metadata;
use parsers::world::{ACCOUNT, DEVICE, SECRET, identity, keys};
use rmpv::Value;
use serde_bytes::ByteBuf;
use shared::audit_record::Record;
use shared::checkpoint::TreeHead;
use shared::codec;
use shared::ids::{Digest, Seq, Version};
use shared::vault_log::{Acknowledge, Describe, Entry, Op, Put, Remove, SignedEntry};

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
    let metadata = ByteBuf::from(bytes(&vectors("formats")["recorded"]["sealed_metadata"]));
    let (secret, version, epoch) = (SECRET, Version(1), 1);
    let ops = [
        ("genesis", Op::Genesis(identity())),
        (
            "put",
            Op::Put(Put {
                secret,
                version,
                epoch,
                value_hash: Digest::new([1; 32]),
                metadata: metadata.clone(),
            }),
        ),
        (
            "describe",
            Op::Describe(Describe {
                secret,
                version,
                epoch,
                metadata,
            }),
        ),
        ("remove", Op::Remove(Remove { secret, version })),
        ("server", Op::Server(identity())),
        (
            "acknowledge",
            Op::Acknowledge(Acknowledge {
                lost_seq: Seq(9),
                lost_hash: Digest::new([2; 32]),
            }),
        ),
    ];
    for (place, (name, op)) in (1..).zip(ops) {
        let entry = Entry {
            format: 1,
            account: ACCOUNT,
            seq: Seq(place),
            previous: Digest::new([0; 32]),
            device: DEVICE,
            time_ms: 1_800_000_000_000,
            seen: (place > 2).then_some(TreeHead {
                size: place,
                root: Digest::new([3; 32]),
            }),
            op,
            former: Vec::new(),
        };
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
    (record.device, record.tag) = (None, None);
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
