//! Who may do what: every operation by nobody, by another account, after the session's end, and in a wrong state.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use serde_bytes::ByteBuf;
use shared::channel::Sealed;
use shared::codec;
use shared::ids::{PendingId, SecretId, Seq, SessionId, Version};
use shared::wire::call::{Answer, Append, AuditRange, Call, Fetch, Logout, Sync, ValueRef};
use shared::wire::error::Refusal;
use shared::wire::path;
use shared::wire::register::RegisterFinish;
use tests::owner::{Owner, Session};
use tests::raw::Raw;
use tests::server::Server;

const PASSWORD: &str = "authorisation of copper wire";
const LOGOUT: Logout = Logout { retire: false };

/// One call of every kind, about this secret.
fn calls(session: &Session, secret: SecretId) -> Vec<Call> {
    let version = Version(1);
    vec![
        Call::Sync(Sync {
            after: Seq(0),
            audit_size: 0,
        }),
        Append(vec![session.new_secret(b"forged").1]).into(),
        Fetch(vec![ValueRef { secret, version }]).into(),
        Call::Audit(AuditRange {
            from: 0,
            limit: 100,
            size: None,
            verified_size: 0,
            proofs: true,
        }),
        LOGOUT.into(),
    ]
}

#[test]
fn there_are_no_other_routes() {
    let server = Server::start();
    let mut raw = Raw::to(&server);
    let known = [
        path::REGISTER_START,
        path::REGISTER_FINISH,
        path::LOGIN_START,
        path::LOGIN_FINISH,
        path::CALL,
    ];
    for path in known {
        let statuses = (raw.get(path).unwrap().0, raw.post(path, b"").unwrap().0);
        assert_eq!(statuses, (405, 400), "{path}");
    }
    for path in [
        "/",
        "/v1",
        "/v2/",
        "/v2/admin",
        "/metrics",
        "/v2/accounts",
        "/v2/call/",
    ] {
        assert_eq!(raw.post(path, b"").unwrap().0, 404, "{path}");
    }
}

#[test]
fn nobody_gets_nothing() {
    let server = Server::start();
    let alice = Owner::register(&server, "alice", PASSWORD);
    let mut session = alice.log_in(&server);
    let secret = session.put(b"sealed");
    let id = session.id();
    let mut raw = Raw::to(&server);
    for call in calls(&session, secret) {
        let body = ByteBuf::from(codec::encode(&call).unwrap());
        // Of no session, and of hers without its key: in plaintext, and under another key.
        let places = [(SessionId::random(), 1), (id, 3), (id, 2), (id, u64::MAX)];
        for (session, counter) in places {
            let body = body.clone();
            let sealed = Sealed {
                session,
                counter,
                body,
            };
            let refused = raw.ask::<Sealed>(path::CALL, &sealed).unwrap_err();
            let expected = if session == id {
                Refusal::OutOfOrder
            } else {
                Refusal::NoSession
            };
            assert_eq!(refused, expected);
        }
    }
    assert!(session.fetch(secret).is_ok(), "her session goes on");
}

#[test]
fn another_account_gets_its_own_and_nothing_else() {
    let server = Server::start();
    let alice = Owner::register(&server, "alice", PASSWORD);
    let bob = Owner::register(&server, "bob", PASSWORD);
    let mut hers = alice.log_in(&server);
    let secret = hers.put(b"sealed by alice");
    let (_, new) = hers.new_secret(b"meant for alice");
    let mut his = bob.log_in(&server);
    // Her secret's id says nothing to his account, as any other id does.
    let unknown = his.fetch(SecretId::random()).unwrap();
    assert_eq!(his.fetch(secret).unwrap(), unknown);
    assert_eq!(unknown, Answer::Fetch(vec![None]));
    // Her entry, signed by her, does not go into his log, neither as it is nor made for that place.
    let refused = his.call(Append(vec![new.clone()])).unwrap();
    assert!(matches!(
        refused,
        Answer::Refused(Refusal::Conflict(_) | Refusal::BadEntry)
    ));
    let own = hers.head();
    hers.follow(his.head());
    let (_, fitting) = hers.new_secret(b"meant for bob");
    hers.follow(own);
    let refused = his.call(Append(vec![fitting])).unwrap();
    assert_eq!(refused, Answer::Refused(Refusal::BadEntry));
    // What he is shown is his: his registration, and the credential of his device.
    let Answer::Sync(sync) = his.sync(0).unwrap() else {
        panic!("no sync");
    };
    let entries: Vec<_> = sync
        .entries
        .iter()
        .map(|logged| logged.entry.decode_unverified().unwrap())
        .collect();
    assert_eq!(entries.len(), 4);
    assert!(entries.iter().all(|entry| entry.account == bob.account));
    // And hers still goes into hers.
    assert!(matches!(
        hers.call(Append(vec![new])).unwrap(),
        Answer::Append(_)
    ));
    // A request that she sealed is nothing in his session.
    let waiting = hers.seal(LOGOUT);
    let moved = Sealed {
        session: his.id(),
        ..waiting.sealed().clone()
    };
    let refused = Raw::to(&server).ask::<Sealed>(path::CALL, &moved);
    assert_eq!(refused.unwrap_err(), Refusal::OutOfOrder);
    assert!(his.sync(0).is_ok());
    assert_eq!(hers.send(waiting).unwrap(), Answer::Logout);
}

#[test]
fn nothing_works_after_the_sessions_end() {
    for (what, server) in [
        ("idle", Server::with(&[("SESSION_IDLE", "1s")])),
        ("lifetime", Server::with(&[("SESSION_LIFETIME", "1s")])),
        ("logout", Server::start()),
    ] {
        let alice = Owner::register(&server, "alice", PASSWORD);
        let mut raw = Raw::to(&server);
        let mut setup = alice.log_in(&server);
        let secret = setup.put(b"sealed");
        let kinds = calls(&setup, secret).len();
        for kind in 0..kinds {
            let mut session = alice.log_in(&server);
            let call = calls(&session, secret).remove(kind);
            if what == "logout" {
                assert_eq!(session.call(LOGOUT).unwrap(), Answer::Logout);
                continue;
            }
            // Time itself is what is tested here.
            std::thread::sleep(Duration::from_millis(1100));
            assert_eq!(
                session.call(call).unwrap_err(),
                Refusal::NoSession,
                "{what}"
            );
        }
        if what == "logout" {
            let mut session = alice.log_in(&server);
            let id = session.id();
            let farewell = session.seal(LOGOUT);
            let body = farewell.sealed().clone();
            session.send(farewell).unwrap();
            // The farewell may be asked for again, to the byte, and nothing more.
            assert!(raw.ask::<Sealed>(path::CALL, &body).is_ok());
            let next = Sealed {
                counter: 3,
                session: id,
                ..body
            };
            assert_eq!(
                raw.ask::<Sealed>(path::CALL, &next).unwrap_err(),
                Refusal::NoSession
            );
        }
    }
}

#[test]
fn a_login_is_finished_once_and_with_its_own_proof() {
    let server = Server::start();
    let alice = Owner::register(&server, "alice", PASSWORD);
    let mut raw = Raw::to(&server);
    let mut prove = || alice.prove(&mut raw, alice.device_slot()).unwrap();
    let [one, two, three] = [prove(), prove(), prove()];
    let mut finish = |finish| raw.ask::<Sealed>(path::LOGIN_FINISH, &finish);
    // The proof of one login for another.
    let mut crossed = one.finish.clone();
    crossed.ke3 = two.finish.ke3.clone();
    assert_eq!(finish(crossed).unwrap_err(), Refusal::LoginRefused);
    // That was the end of the first.
    assert_eq!(finish(one.finish).unwrap_err(), Refusal::LoginRefused);
    // The right one, once.
    assert!(finish(two.finish.clone()).is_ok());
    assert_eq!(finish(two.finish).unwrap_err(), Refusal::LoginRefused);
    // One that was never started.
    let mut unknown = three.finish;
    unknown.pending = PendingId::random();
    assert_eq!(finish(unknown.clone()).unwrap_err(), Refusal::LoginRefused);
    // A login is no registration.
    let (_, new) = alice.log_in(&server).new_secret(b"");
    let registration = RegisterFinish {
        pending: unknown.pending,
        slots: Vec::new(),
        entries: vec![new.entry],
    };
    let refused = raw.ask::<()>(path::REGISTER_FINISH, &registration);
    assert_eq!(refused.unwrap_err(), Refusal::NoSuchPending);
}

#[test]
fn requests_out_of_turn_are_refused_and_the_session_goes_on() {
    let server = Server::start();
    let alice = Owner::register(&server, "alice", PASSWORD);
    let mut session = alice.log_in(&server);
    let mut raw = Raw::to(&server);
    let first = session.seal(LOGOUT);
    let skipped = Sealed {
        counter: 3,
        ..first.sealed().clone()
    };
    let zero = Sealed {
        counter: 0,
        ..first.sealed().clone()
    };
    for sealed in [skipped, zero] {
        let refused = raw.ask::<Sealed>(path::CALL, &sealed).unwrap_err();
        assert_eq!(refused, Refusal::OutOfOrder);
    }
    assert_eq!(session.send(first).unwrap(), Answer::Logout);
    // What is no message is answered inside the channel.
    let mut session = alice.log_in(&server);
    for plaintext in [b"".as_slice(), b"\xc1", &[0x91; 2000]] {
        let waiting = session.seal_bytes(plaintext);
        let answer = session.send(waiting).unwrap();
        assert_eq!(answer, Answer::Refused(Refusal::Malformed));
    }
    let empty = session.call(Fetch(Vec::new())).unwrap();
    assert_eq!(empty, Answer::Refused(Refusal::Malformed));
    let many = vec![
        ValueRef {
            secret: SecretId::random(),
            version: Version(1)
        };
        257
    ];
    let refused = session.call(Fetch(many)).unwrap();
    assert_eq!(refused, Answer::Refused(Refusal::TooLarge));
    assert!(session.sync(0).is_ok());
}

#[test]
fn what_was_captured_is_worth_nothing_after_a_restart() {
    let mut server = Server::start();
    let alice = Owner::register(&server, "alice", PASSWORD);
    let mut raw = Raw::to(&server);
    let proof = alice.prove(&mut raw, alice.device_slot()).unwrap();
    let mut session = alice.log_in(&server);
    let (secret, new) = session.new_secret(b"sealed");
    let append = session.seal(Append(vec![new]));
    let captured = append.sealed().clone();
    assert!(matches!(session.send(append).unwrap(), Answer::Append(_)));
    server.kill();
    server.start_again();
    let mut raw = Raw::to(&server);
    let refused = raw.ask::<Sealed>(path::CALL, &captured).unwrap_err();
    assert_eq!(refused, Refusal::NoSession);
    let refused = raw
        .ask::<Sealed>(path::LOGIN_FINISH, &proof.finish)
        .unwrap_err();
    assert_eq!(refused, Refusal::LoginRefused);
    // It was done once.
    let mut session = alice.log_in(&server);
    let Answer::Sync(sync) = session.sync(0).unwrap() else {
        panic!("no sync");
    };
    assert_eq!(sync.head.seq, Seq(5));
    assert!(matches!(session.fetch(secret).unwrap(), Answer::Fetch(values) if values[0].is_some()));
}
