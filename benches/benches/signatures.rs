//! Signatures over requests: what a device makes, what the server verifies before it acts, and what `audit` verifies.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::SigningKey;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::index::Index;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::slot::SlotContext;
use keyshell_client::session::ExpectedRecords;
use keyshell_client::vault::audit_verifier::AuditVerifier;
use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Outcome, RECORD_FORMAT, Record};
use shared::codec;
use shared::ids::{AccountId, PublicKey, SecretId, ServerId, SessionId, Signature};
use shared::merkle::Frontier;
use shared::opaque::Slot;
use shared::request::{Opening, SignedMessage, SignedOperation, verify, verify_all};
use shared::secret::Key;
use shared::vault_log::{Credential, ENTRY_FORMAT, Entry, Head, Identity, Op, SignedEntry};
use shared::wire::call::LoggedEntry;
use shared::wire::limits::{MAX_BATCH, MAX_PAGE};

const ACCOUNT: AccountId = AccountId::new([1; 16]);
const SESSION: SessionId = SessionId::new([2; 16]);
const SECRET: SecretId = SecretId::new([3; 16]);
const RECORDS: u64 = 100_000;

fn get(counter: u64, position: u32) -> SignedOperation<'static> {
    SignedOperation {
        account: &ACCOUNT,
        session: &SESSION,
        counter,
        position,
        operation: AuditedOperation::Get,
        secret: Some(&SECRET),
        entry: None,
    }
}

/// Signed operations of one request, by a device with this key.
fn signed(device: &DeviceIdentity, count: usize) -> Vec<(SignedOperation<'static>, Signature)> {
    let key = device.signing();
    let positions = 0..u32::try_from(count).unwrap();
    let operations = positions.map(|position| get(1, position));
    operations
        .map(|operation| (operation, operation.sign(&key)))
        .collect()
}

/// What the server does with the operations of a request.
fn verify_each(device: PublicKey, signed: &[(SignedOperation<'_>, Signature)]) -> bool {
    let mut signed = signed.iter();
    signed.all(|(operation, signature)| verify(&device, &operation.message(), signature))
}

/// What the audit does with records.
fn verify_batch(device: PublicKey, signed: &[(SignedOperation<'_>, Signature)]) -> bool {
    let messages = signed.iter().map(|(operation, signature)| SignedMessage {
        key: device,
        message: operation.message(),
        signature: *signature,
    });
    let messages: Vec<_> = messages.collect();
    verify_all(&messages).into_iter().all(|is_valid| is_valid)
}

fn requests(c: &mut Criterion) {
    let device = DeviceIdentity::random();
    let key = device.signing();
    let mut group = c.benchmark_group("request");
    group.bench_function("sign one operation", |b| {
        b.iter(|| black_box(get(1, 0).sign(&key)));
    });
    for count in [1, MAX_BATCH] {
        let signed = signed(&device, count);
        group.throughput(Throughput::Elements(u64::try_from(count).unwrap()));
        group.bench_with_input(
            BenchmarkId::new("verify each", count),
            &signed,
            |b, signed| {
                b.iter(|| assert!(verify_each(device.public(), signed)));
            },
        );
    }
    for count in [16, MAX_PAGE] {
        let signed = signed(&device, count);
        group.throughput(Throughput::Elements(u64::try_from(count).unwrap()));
        group.bench_with_input(
            BenchmarkId::new("verify in a batch", count),
            &signed,
            |b, signed| {
                b.iter(|| assert!(verify_batch(device.public(), signed)));
            },
        );
    }
    let slot = SigningKey::from_bytes(&[7; 32]);
    let public = PublicKey::new(slot.verifying_key().to_bytes());
    let opening = Opening::sign(
        &ACCOUNT,
        &SESSION,
        (Slot::Password, 1),
        device.public(),
        &slot,
    );
    group.throughput(Throughput::Elements(1));
    group.bench_function("verify the opening of a session", |b| {
        b.iter(|| assert!(opening.is_signed_by(&ACCOUNT, &SESSION, &public)));
    });
    group.finish();
}

/// The vault log of an account that was just registered.
fn registered(keys: &AccountKeys, device: &DeviceIdentity) -> Index {
    let credential = |slot| {
        let place = SlotContext {
            account: ACCOUNT,
            slot,
            generation: 1,
        };
        Op::Credential(Credential {
            slot,
            generation: 1,
            keys: Some(
                place
                    .keys_of(&EXPORT_KEY, keys.current(), device)
                    .public(&[]),
            ),
            name: None,
        })
    };
    let identity = Identity {
        server: ServerId::new([1; 16]),
        opaque_key: PublicKey::new([2; 32]),
        checkpoint_key: PublicKey::new([3; 32]),
        log_key: keys.log_key(),
        suite: 1,
    };
    let (mut index, mut head) = (Index::new(), Head::EMPTY);
    for op in [
        Op::Genesis(identity),
        credential(Slot::Password),
        credential(Slot::Recovery),
    ] {
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: ACCOUNT,
            seq: head.seq.next(),
            previous: head.hash,
            device: device.id(),
            time_ms: 0,
            seen: None,
            op,
            authorisation: None,
        };
        let entry = SignedEntry::sign(&entry, &keys.signing()).unwrap();
        head = head.with(&entry);
        let logged = LoggedEntry {
            entry,
            metadata: None,
        };
        index.replay(keys, &logged).unwrap();
    }
    index
}

const EXPORT_KEY: [u8; 64] = [7; 64];

/// A registration, a login, and gets of one session, as a server records them.
fn records(keys: &AccountKeys, device: &DeviceIdentity) -> Vec<ByteBuf> {
    let place = SlotContext {
        account: ACCOUNT,
        slot: Slot::Password,
        generation: 1,
    };
    let slot = place.keys_of(&EXPORT_KEY, keys.current(), device).signing();
    let by = (Slot::Password, 1);
    let opening = Opening::sign(&ACCOUNT, &SESSION, by, device.public(), &slot);
    let key = device.signing();
    let record = |index: u64| {
        let mut record = Record {
            format: RECORD_FORMAT,
            index,
            time_ms: 1_800_000_000_000 + index,
            operation: AuditedOperation::Register,
            secret: None,
            outcome: Outcome::Done,
            session: None,
            counter: 0,
            position: 0,
            device: None,
            remote: "192.0.2.1".into(),
            signature: None,
            entry: None,
            opening: None,
            count: 1,
        };
        if index > 0 {
            record.operation = AuditedOperation::Login;
            record.session = Some(SESSION);
        }
        if let Some(counter) = index.checked_sub(1).filter(|counter| *counter > 0) {
            let operation = get(counter, 0);
            record.operation = operation.operation;
            record.secret = Some(SECRET);
            record.counter = counter;
            record.device = Some(device.id());
            record.signature = Some(operation.sign(&key));
            record.opening = (counter == 1).then(|| opening.clone());
        }
        ByteBuf::from(record.encode().unwrap())
    };
    (0..RECORDS).map(record).collect()
}

/// What the client does with the records of a whole audit log, without network and disk.
fn audit(c: &mut Criterion) {
    let device = DeviceIdentity::random();
    let keys = AccountKeys::first(ACCOUNT, Key::random());
    let index = registered(&keys, &device);
    let records = records(&keys, &device);
    let mut group = c.benchmark_group("audit");
    group.sample_size(10);
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function(BenchmarkId::new("verify records", RECORDS), |b| {
        b.iter(|| {
            let asked = ExpectedRecords {
                session: SESSION,
                records: Vec::new(),
            };
            let mut verifier = AuditVerifier::new(ACCOUNT, index.credentials(), asked);
            let mut tree = Frontier::new();
            for page in records.chunks(MAX_PAGE) {
                let decoded = page.iter().map(|encoded| {
                    tree.push(Record::leaf_hash(encoded));
                    codec::decode(encoded, MAX_RECORD_LEN).unwrap()
                });
                let decoded: Vec<Record> = decoded.collect();
                black_box(verifier.verify(&decoded).unwrap());
            }
            assert!(verifier.confirms(&SESSION) && verifier.gaps() == 0);
            black_box(tree.root())
        });
    });
    group.finish();
}

criterion_group!(benches, requests, audit);
criterion_main!(benches);
