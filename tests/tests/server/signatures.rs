//! Requests that no device of the owner's has signed, or that it has signed for another place: refused before anything is
//! done, and without a record, so that no thief and no broken client spoils the audit log (rows 4 and 14 of the review).
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::Ipv4Addr;

use keyshell_client::device::identity::DeviceIdentity;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Record};
use shared::codec;
use shared::ids::{DeviceId, SessionId, Signature, Version};
use shared::opaque::Slot;
use shared::request::{Opening, SignedOperation};
use shared::wire::call::{Answer, AuditRange, Call, Fetch, Request, Sync, ValueRef};
use shared::wire::error::Refusal;
use tests::device::Device;
use tests::owner::{Owner, Session};
use tests::server::Server;

const PASSWORD: &str = "signatures of copper wire";

type Change = Box<dyn FnOnce(&mut Request)>;

fn changed(change: impl FnOnce(&mut Request) + 'static) -> Change {
    Box::new(change)
}

fn refused(session: &mut Session, call: impl Into<Call>, change: Change) -> Refusal {
    let waiting = session.seal_changed(call, change);
    match session.send(waiting).unwrap() {
        Answer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn records(session: &mut Session) -> Vec<Record> {
    let range = AuditRange {
        from: 0,
        limit: 1000,
        size: None,
        verified_size: 0,
        proofs: false,
    };
    let Answer::Audit(audit) = session.call(Call::Audit(range)).unwrap() else {
        panic!("no audit log");
    };
    let records = audit.records.iter();
    records
        .map(|record| codec::decode(record, MAX_RECORD_LEN).unwrap())
        .collect()
}

#[test]
fn a_wrong_signature_is_refused_and_leaves_no_record() {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", PASSWORD);
    let mut session = owner.log_in(&server);
    let secret = session.put(b"sealed");
    let other = session.put(b"sealed as well");
    let version = Version(1);
    let fetch = || {
        let items = [secret, other].map(|secret| ValueRef { secret, version });
        Call::from(Fetch(items.to_vec()))
    };
    let (account, id) = (owner.account, session.id());
    let stranger = DeviceIdentity::random();
    let by = move |device: DeviceIdentity, session: SessionId, counter: u64| {
        changed(move |request| {
            let operations = request.call.operations();
            let signed = (0..).zip(&operations).map(|(position, operation)| {
                SignedOperation {
                    account: &account,
                    session: &session,
                    counter,
                    position,
                    operation: operation.operation,
                    secret: operation.secret.as_ref(),
                    entry: operation.entry.as_ref(),
                }
                .sign(&device.signing())
            });
            request.signatures = signed.collect();
        })
    };
    let before = records(&mut session).len();
    let next = session.next_counter();
    let device = session.device().clone();
    let wrong: Vec<Change> = vec![
        changed(|request| request.signatures.swap(0, 1)),
        changed(|request| request.signatures[1] = Signature::new([0; 64])),
        changed(|request| request.signatures[0] = Signature::new([0xff; 64])),
        changed(|request| request.signatures[0] = request.signatures[1]),
        changed(|request| {
            let Call::Fetch(Fetch(items)) = &mut request.call else {
                panic!("no fetch");
            };
            items.swap(0, 1);
        }),
        by(stranger, id, next + 5),
        by(device.clone(), SessionId::random(), next + 6),
        by(device.clone(), id, next),
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        let refusal = refused(&mut session, fetch(), change);
        assert_eq!(refusal, Refusal::BadSignature, "{number}");
    }
    let malformed: Vec<Change> = vec![
        changed(|request| request.signatures.clear()),
        changed(|request| request.signatures.truncate(1)),
        changed(|request| request.signatures.push(request.signatures[0])),
    ];
    for change in malformed {
        assert_eq!(refused(&mut session, fetch(), change), Refusal::Malformed);
    }
    // The same signatures in their place are right, and the session goes on.
    let counter = session.next_counter();
    let waiting = session.seal_changed(fetch(), by(device, id, counter));
    assert!(matches!(session.send(waiting).unwrap(), Answer::Fetch(_)));
    // One record of the listing before, and one per value; of this listing as well.
    assert_eq!(records(&mut session).len(), before + 2 + 1);
    let device = Device::new(&server, "alice", PASSWORD);
    device.run(&["audit"]).ok();
}

const SYNC: Sync = Sync {
    after: shared::ids::Seq(0),
    audit_size: 0,
};

/// The credential vouches for the device's key, and a password does not make one device another.
/// Makes an opening, for a session and a stranger's device.
type Vouch = fn(&Session, &DeviceIdentity) -> Opening;

#[test]
fn a_session_is_opened_for_the_device_that_signs() {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", PASSWORD);
    let log_in = |slot| {
        let opened = owner.log_in_from(&server, Ipv4Addr::LOCALHOST, slot);
        opened.unwrap()
    };
    let stranger = DeviceIdentity::random();
    let cases: Vec<(Slot, Vouch)> = vec![
        // Another device is named than the one that signs, by the credential itself.
        (Slot::Password, |session, stranger| {
            opening(session, stranger, &session.slot_keys.signing())
        }),
        (owner.device_slot(), |session, stranger| {
            opening(session, stranger, &session.slot_keys.signing())
        }),
        // The device vouches for itself.
        (Slot::Password, |session, _| {
            opening(session, session.device(), &session.device().signing())
        }),
        (Slot::Password, |session, _| Opening {
            generation: 2,
            ..session.opening.clone().unwrap()
        }),
        (Slot::Password, |session, _| Opening {
            slot: Slot::Recovery,
            ..session.opening.clone().unwrap()
        }),
        (Slot::Password, |session, _| Opening {
            certificate: Signature::new([0; 64]),
            ..session.opening.clone().unwrap()
        }),
        // The certificate is that of another session.
        (Slot::Password, |session, _| {
            let mut other = session.opening.clone().unwrap();
            let (by, device) = ((other.slot, other.generation), other.device);
            let key = session.slot_keys.signing();
            let account = session.keys.account();
            other = Opening::sign(&account, &SessionId::random(), by, device, &key);
            other
        }),
    ];
    let mut refused_sessions = Vec::new();
    for (number, (slot, wrong)) in cases.into_iter().enumerate() {
        let mut session = log_in(slot);
        refused_sessions.push(session.id());
        let wrong = wrong(&session, &stranger);
        let change = changed(move |request| request.opening = Some(wrong));
        let refusal = refused(&mut session, SYNC, change);
        assert_eq!(refusal, Refusal::BadSignature, "{number}");
    }
    // Nothing comes before a sync with an opening.
    let mut session = log_in(Slot::Password);
    refused_sessions.push(session.id());
    let without = changed(|request| request.opening = None);
    assert_eq!(refused(&mut session, SYNC, without), Refusal::Malformed);
    let as_it_is = changed(|_| {});
    assert_eq!(
        refused(&mut session, Call::Slots, as_it_is),
        Refusal::Malformed
    );
    // The session that was opened by a device's credential is that device's.
    let mut session = owner.log_in(&server);
    let made = records(&mut session);
    let named = |id: &SessionId| {
        let records = made.iter().filter(|record| record.session == Some(*id));
        records.map(|record| record.operation).collect::<Vec<_>>()
    };
    for id in &refused_sessions {
        assert_eq!(named(id), [AuditedOperation::Login]);
    }
    let own = Slot::Device(session.device().id());
    assert_eq!(own, owner.device_slot());
    let strangers = DeviceId::of(&stranger.public());
    assert!(made.iter().all(|record| record.device != Some(strangers)));
    // What the owner sees of it: sessions that nothing followed, and no lie.
    let run = Device::new(&server, "alice", PASSWORD).run(&["audit"]).ok();
    assert!(!run.text().contains("FORGED"), "{run:?}");
}

fn opening(session: &Session, device: &DeviceIdentity, key: &ed25519_dalek::SigningKey) -> Opening {
    let known = session.opening.as_ref().unwrap();
    Opening::sign(
        &session.keys.account(),
        &session.id(),
        (known.slot, known.generation),
        device.public(),
        key,
    )
}
