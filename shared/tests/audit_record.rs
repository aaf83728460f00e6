//! Audit records: names of operations, their classes, and what a request's signature covers.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use ed25519_dalek::{Signer as _, SigningKey};
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Outcome, RECORD_FORMAT, Record};
use shared::codec;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, SessionId, Signature};
use shared::opaque::Slot;
use shared::request::{Opening, SignedMessage, SignedOperation, verify, verify_all};

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
    // In one batch, which names the wrong ones.
    let mut signed: Vec<_> = others
        .iter()
        .map(|other| SignedMessage {
            key: own,
            message: other.message(),
            signature: other.sign(&key),
        })
        .collect();
    assert_eq!(verify_all(&signed), vec![true; others.len()]);
    assert_eq!(verify_all(&[]), Vec::<bool>::new());
    signed.get_mut(2).unwrap().key = other_key;
    signed.get_mut(4).unwrap().signature = signature;
    let expected: Vec<_> = (0..others.len()).map(|at| at != 2 && at != 4).collect();
    assert_eq!(verify_all(&signed), expected);
}

/// A key of small order verifies signatures that nobody made; a batch that has one is verified one by one.
#[test]
fn keys_of_small_order_verify_nothing() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let message = b"message".to_vec();
    let own = SignedMessage {
        key: public(&key),
        signature: Signature::new(key.sign(&message).to_bytes()),
        message,
    };
    // The neutral element as key and as `R`, and `S = 0`: the equation holds for each message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let forged = SignedMessage {
        key: PublicKey::new(neutral),
        signature: Signature::new(signature),
        ..own.clone()
    };
    let signed = [own.clone(), forged.clone()];
    assert_eq!(verify_all(&signed), [true, false]);
    assert_eq!(verify_all(&[forged]), [false]);
    let not_a_key = SignedMessage {
        key: PublicKey::new([2; 32]),
        ..own.clone()
    };
    assert_eq!(verify_all(&[not_a_key, own]), [false, true]);
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
