//! An operator who says no, or says less: false conflicts, refusals, crumbs.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use keyshell_client::device::pins::MAX_REFUSED;
use keyshell_client::error::Error;
use keyshell_client::verification::VerificationError;
use serde_bytes::ByteBuf;
use shared::codec;
use shared::vault_log::Head;
use shared::wire::call::{Answer, Call, LoggedEntry};
use shared::wire::error::Refusal;
use shared::wire::path;
use tests::device::{Device, run};
use tests::operator::lie::Lie;
use tests::operator::{Operator, caught};

fn account() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    (operator, device)
}

/// Refuses appends, after doing them where `stored`.
fn refuse(refusal: Refusal, stored: bool) -> Lie {
    if stored {
        return Lie::Answer(Box::new(move |request, answer| {
            if let Call::Append(_) = request.call {
                *answer = Answer::Refused(refusal.clone());
            }
        }));
    }
    Lie::Instead(Box::new(move |request| match request.call {
        Call::Append(_) => Some(Answer::Refused(refusal.clone())),
        _ => None,
    }))
}

/// The client signs one entry for a position and not one for every time that it is sent away.
#[test]
fn a_conflict_with_nobody_is_a_lie() {
    let (operator, device) = account();
    let conflict = refuse(Refusal::Conflict(Head::EMPTY), false);
    let line = "edit k --note n";
    operator.deceive(&device, &[line], conflict, 7, "shows no newer one");
    device.run(&[line]).ok();
}

/// What the server says it refused must not turn up in the log: the owner believes that it did not happen.
#[test]
fn an_entry_that_was_refused_is_not_stored_later() {
    for refusal in [Refusal::Quota, Refusal::Throttled(1000)] {
        let (operator, device) = account();
        operator.lie(refuse(refusal, true));
        device.run(&["rm k --yes"]).expect(8);
        assert_eq!(operator.told(), 1);
        operator.be_honest();
        caught(
            &device,
            &["ls"],
            7,
            "after it had answered that it refused it",
        );
    }
    // The same for a conflict, which the client itself comes back from.
    let (operator, device) = account();
    let lie = refuse(Refusal::Conflict(Head::EMPTY), true);
    operator.deceive(
        &device,
        &["rm k --yes"],
        lie,
        7,
        "after it had answered that it refused it",
    );
}

/// Row 8 of the review: a device remembers every entry that it signed and that was refused, and signs no more for a position
/// than it can remember.
#[test]
fn no_refused_entry_is_stored_after_any_number_of_refusals() {
    let (operator, device) = account();
    let mut client = operator.client("alice");
    client.sync().unwrap();
    let before = operator.appended().len();
    operator.lie(refuse(Refusal::DiskFull, false));
    let mut refusals = 0;
    let error = loop {
        match client.put("new", b"value").unwrap_err() {
            Error::Limit(_) => refusals += 1,
            error => break error,
        }
    };
    operator.be_honest();
    assert_eq!(refusals, MAX_REFUSED);
    assert!(error.to_string().contains("signs no more there"), "{error}");
    let mut refused = operator.appended().split_off(before);
    assert_eq!(refused.len(), MAX_REFUSED);
    // Whichever it stores all the same, the first and last of them by age and by hash among others.
    let by_age = refused.clone();
    refused.sort_by_key(|(_, new)| new.entry.hash());
    let shown = [&by_age, &refused].into_iter().flat_map(|refused| {
        let places = [0, MAX_REFUSED / 2, MAX_REFUSED - 1];
        places.map(|place| refused[place].1.clone())
    });
    for new in shown {
        operator.lie(Lie::sync(move |sync| {
            sync.head = sync.head.with(&new.entry);
            sync.entries.push(LoggedEntry {
                entry: new.entry.clone(),
                metadata: new.metadata.clone(),
            });
        }));
        client.close();
        let error = client.sync().unwrap_err();
        let is_noticed = matches!(
            error.verification(),
            Some(VerificationError::RefusedEntryStored(_))
        );
        assert!(is_noticed, "{error}");
        operator.be_honest();
    }
    // Another device can write, and this one follows.
    device.put("from another", b"value");
    client.put("new", b"value").unwrap();
    assert_eq!(client.get("new"), Ok(Some(b"value".to_vec())));
}

/// Honest refusals leave nothing behind.
#[test]
fn what_was_refused_can_be_tried_again() {
    let (operator, device) = account();
    for _ in 0..3 {
        operator.lie(refuse(Refusal::DiskFull, false));
        device.run(&["edit k --note n"]).expect(8);
        operator.be_honest();
    }
    device.run(&["edit k --note n", "get k"]).ok();
}

/// Whoever sits in between can refuse in the server's name; only what the server would say there is believed.
#[test]
fn refusals_outside_the_channel_say_little() {
    let (operator, device) = account();
    let refusals = [
        (Refusal::NoSession, 4, "session has ended"),
        (Refusal::Unavailable, 5, "shutting down"),
        (Refusal::Busy, 5, "still working"),
        (Refusal::Internal, 5, "failed"),
        (Refusal::TooLarge, 8, "over a limit"),
        (Refusal::OutOfOrder, 7, "out of order"),
        (Refusal::LoginRefused, 7, "outside its sealed channel"),
        (Refusal::DiskFull, 7, "outside its sealed channel"),
        (Refusal::Quota, 7, "outside its sealed channel"),
        (
            Refusal::Conflict(Head::EMPTY),
            7,
            "outside its sealed channel",
        ),
        (Refusal::BadEntry, 7, "outside its sealed channel"),
        (Refusal::Malformed, 7, "outside its sealed channel"),
    ];
    for (refusal, status, words) in refusals {
        let lie = || Lie::Http(path::CALL, 400, codec::encode(&refusal).unwrap());
        operator.attack(&device, "get k", lie(), status, words);
    }
}

/// In an open session the refusal of a login is no refusal of the credential, which the device keeps.
#[test]
fn a_login_refused_inside_a_session_is_a_lie() {
    let (operator, device) = account();
    let lie = || {
        Lie::Instead(Box::new(|request| match request.call {
            Call::Sync(_) => Some(Answer::Refused(Refusal::LoginRefused)),
            _ => None,
        }))
    };
    let mut client = operator.client("alice");
    operator.lie(lie());
    let refused = client.sync().unwrap_err();
    assert_eq!(
        refused.verification(),
        Some(&VerificationError::LoginRefusedInSession)
    );
    operator.attack(&device, "get k", lie(), 7, "of an open session");
    // The agent has a credential of its own, which outlives the lie.
    device.run(&["unlock"]).ok();
    operator.lie(lie());
    let mut command = device.command_without_password();
    command.args(["--json", "get", "k"]);
    run(command, b"").expect(7);
    operator.be_honest();
    let status = device.run_with(&["--json"], &["status"], b"").ok().json();
    assert!(status[0]["agent"].is_object(), "{status:?}");
    device.run(&["lock"]).ok();
}

/// A log that comes entry by entry would keep a device, and all runs beside it, waiting as long as the server likes.
#[test]
fn crumbs_are_refused() {
    let (operator, device) = account();
    for number in 0..4 {
        device.put(&format!("more {number}"), b"1");
    }
    let crumbs = Lie::sync(|sync| sync.entries.truncate(1));
    let other = operator.device("alice");
    operator.deceive(&other, &["ls"], crumbs, 7, "fewer log entries than fit");
    let crumbs = Lie::audit(|page| page.records.truncate(1));
    operator.attack(&device, "audit", crumbs, 7, "withholds audit records");
    let long = Lie::audit(|page| page.records[0] = ByteBuf::from(vec![0xc0; 3_000_000]));
    operator.attack(&device, "audit", long, 7, "malformed");
    let many = Lie::audit(|page| page.records = vec![ByteBuf::new(); 1_500_000]);
    operator.attack(&device, "audit", many, 7, "malformed");
    let nothings = Lie::values(|values| *values = vec![None; 3_000_000]);
    operator.attack(&device, "get k", nothings, 7, "malformed");
}

/// A session's id is nobody's choice: one that was used before would put the marks of two sessions in one place.
#[test]
fn a_session_id_is_not_the_servers_choice() {
    let (operator, device) = account();
    let lie = Lie::Begin(Box::new(|welcome| {
        welcome.session = shared::ids::SessionId::new([7; 16]);
    }));
    operator.attack(&device, "get k", lie, 7, "sealed channel");
}

/// A failed verification holds for the runs after it, until the owner decides.
#[test]
fn distrust_outlives_the_run() {
    let (operator, device) = account();
    operator.lie(Lie::value(b"another"));
    device.run(&["get k"]).expect(7);
    operator.be_honest();
    let appended = operator.appended().len();
    for line in ["get k", "put new --file /dev/null", "ls"] {
        let run = device.run(&[line]).expect(7);
        assert!(
            run.stderr.contains("`login` asks the server again"),
            "{run:?}"
        );
        assert!(run.stdout.is_empty());
    }
    assert_eq!(operator.appended().len(), appended);
    let run = device.run(&["status"]).ok();
    assert!(run.text().contains("trust"), "{run:?}");
    device.run(&["login", "get k"]).ok();
    device.run(&["get k"]).ok();
}

/// A logout that is answered with something else is no logout.
#[test]
fn the_end_of_a_session_is_proven_as_well() {
    let (operator, device) = account();
    let lie = Lie::Answer(Box::new(|request, answer| {
        if let Call::Logout(_) = request.call {
            *answer = Answer::Append(Head::EMPTY);
        }
    }));
    operator.lie(lie);
    let run = device.run(&["get k"]).expect(7);
    assert_eq!(
        (operator.told(), run.stdout.as_slice()),
        (1, b"value".as_slice())
    );
}

/// The answer is lost, and the login after it refused: whoever asked must not believe that nothing happened, and what the
/// server holds of it with their signature must not turn up later.
#[test]
fn an_entry_whose_answer_was_lost_is_not_said_to_be_undone() {
    let (operator, device) = account();
    let body = codec::encode(&Refusal::NoSession).unwrap();
    operator.lie(Lie::Http(path::CALL, 401, body));
    // Its login succeeds; the session's first request already ends it again.
    let run = device.run(&["rm k --yes"]);
    assert_ne!(run.status, 0, "{run:?}");
    operator.be_honest();
    device.run(&["get k"]).ok();

    // The entry is stored, the session said to be gone, and the login after it refused.
    operator.lie(Lie::Lost);
    let run = device.run(&["rm k --yes"]).expect(8);
    assert_eq!(operator.told(), 2);
    assert!(
        run.stderr
            .contains("it is unknown whether the change was stored"),
        "{run:?}"
    );
    operator.be_honest();
    device.run(&["get k"]).expect(3);
}
