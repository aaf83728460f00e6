//! Audit records: names of operations, their classes, and what a request's signature covers.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use ed25519_dalek::SigningKey;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Outcome, RECORD_FORMAT, Record};
use shared::codec;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, SessionId, Signature};
use shared::opaque::Slot;
use shared::request::{Opening, SignedOperation, verify, verify_batch};

#[test]
fn an_operation_has_one_name_on_the_wire_and_on_the_command_line() {
    let mut names = HashSet::new();
    for operation in AuditedOperation::ALL {
        let name = operation.name();
        assert!(names.insert(name), "{name}");
        assert_eq!(AuditedOperation::named(name), Some(operation));
        assert_eq!(codec::encode(&operation), codec::encode(&name));
    }
    assert_eq!(AuditedOperation::named("PUT"), None);
    assert_eq!(AuditedOperation::named(""), None);
}

#[test]
fn operations_are_classified() {
    let names = |is: fn(AuditedOperation) -> bool| -> Vec<&str> {
        let matching = AuditedOperation::ALL
            .into_iter()
            .filter(|operation| is(*operation));
        matching.map(AuditedOperation::name).collect()
    };
    assert_eq!(
        names(AuditedOperation::is_change),
        [
            "put", "describe", "remove", "restore", "purge", "reseal", "append", "slot", "rekey"
        ]
    );
    assert_eq!(
        names(|operation| !operation.is_signed()),
        ["register", "login_start", "login"]
    );
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::new(key.verifying_key().to_bytes())
}

#[test]
fn a_signature_covers_each_field_of_an_operation() {
    let (account, other_account) = (AccountId::random(), AccountId::random());
    let (session, other_session) = (SessionId::random(), SessionId::random());
    let (secret, entry) = (SecretId::random(), Digest::of(b"entry"));
    let operation = SignedOperation {
        account: &account,
        session: &session,
        counter: 1,
        position: 0,
        operation: AuditedOperation::Put,
        secret: Some(&secret),
        entry: Some(&entry),
    };
    let others = [
        SignedOperation {
            account: &other_account,
            ..operation
        },
        SignedOperation {
            session: &other_session,
            ..operation
        },
        SignedOperation {
            counter: 2,
            ..operation
        },
        SignedOperation {
            position: 1,
            ..operation
        },
        SignedOperation {
            operation: AuditedOperation::Get,
            ..operation
        },
        SignedOperation {
            secret: None,
            ..operation
        },
        SignedOperation {
            entry: None,
            ..operation
        },
    ];
    let key = SigningKey::from_bytes(&[1; 32]);
    let (own, other_key) = (public(&key), public(&SigningKey::from_bytes(&[2; 32])));
    let signature = operation.sign(&key);
    assert!(verify(&own, &operation.message(), &signature));
    assert!(!verify(&other_key, &operation.message(), &signature));
    for other in others {
        assert!(!verify(&own, &other.message(), &signature), "{other:?}");
    }
    // In batches: all of them, or none.
    let messages: Vec<Vec<u8>> = others.iter().map(SignedOperation::message).collect();
    let mut signatures: Vec<Signature> = others.iter().map(|other| other.sign(&key)).collect();
    assert!(verify_batch(&own, &messages, &signatures));
    assert!(!verify_batch(&other_key, &messages, &signatures));
    assert!(!verify_batch(
        &own,
        &messages,
        signatures.split_last().unwrap().1
    ));
    signatures.swap(0, 1);
    assert!(!verify_batch(&own, &messages, &signatures));
}

#[test]
fn a_certificate_is_for_one_session_and_one_device() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let (account, session) = (AccountId::random(), SessionId::random());
    let device = public(&SigningKey::from_bytes(&[2; 32]));
    let opening = Opening::sign(&account, &session, (Slot::Password, 3), device, &key);
    assert!(opening.is_signed_by(&account, &session, &public(&key)));
    assert!(!opening.is_signed_by(&account, &session, &device));
    assert!(!opening.is_signed_by(&AccountId::random(), &session, &public(&key)));
    assert!(!opening.is_signed_by(&account, &SessionId::random(), &public(&key)));
    for other in [
        Opening {
            slot: Slot::Recovery,
            ..opening.clone()
        },
        Opening {
            generation: 4,
            ..opening.clone()
        },
        Opening {
            device: public(&key),
            ..opening.clone()
        },
    ] {
        let is_signed = other.is_signed_by(&account, &session, &public(&key));
        assert!(!is_signed, "{other:?}");
    }
    assert_eq!(DeviceId::from(&opening), DeviceId::of(&device));
}

#[test]
fn the_longest_record_fits_its_bound() {
    let session = SessionId::random();
    let slot = Slot::Device(DeviceId::new([9; 16]));
    let record = Record {
        format: RECORD_FORMAT,
        index: u64::MAX,
        time_ms: u64::MAX,
        operation: AuditedOperation::LoginStart,
        secret: Some(SecretId::random()),
        outcome: Outcome::NotFound,
        session: Some(session),
        counter: u64::MAX,
        position: u32::MAX,
        device: Some(DeviceId::new([9; 16])),
        remote: "2001:0db8:0000:0000:0000:0000:0000:0001".into(),
        signature: Some(Signature::new([7; 64])),
        entry: Some(Digest::of(b"entry")),
        opening: Some(Opening {
            slot,
            generation: u64::MAX,
            device: PublicKey::new([8; 32]),
            certificate: Signature::new([7; 64]),
        }),
        count: u64::MAX,
    };
    let encoded = record.encode().unwrap();
    assert!(encoded.len() <= MAX_RECORD_LEN, "{}", encoded.len());
    assert_eq!(codec::decode(&encoded, MAX_RECORD_LEN), Ok(record));
}
