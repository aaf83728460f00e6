//! An operator who lies on the way: sealed messages of another time and place, and answers that are none. The map of
//! attacks is in `docs/threat-model.md`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Command;
use std::time::{Duration, Instant};

use keyshell_client::error::Error;
use keyshell_client::verification::VerificationError;
use shared::channel::{ChannelError, Sealed};
use shared::vault_log::Head;
use shared::wire::call::{Answer, Call};
use shared::wire::path;
use tests::binary;
use tests::device::{Device, run};
use tests::operator::lie::Lie;
use tests::operator::{Operator, assert_caught};

const SEALED: &str = "sealed channel";

fn account() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    (operator, device)
}

/// Gives every answer of a session from the second on to the question after it.
fn replay() -> Lie {
    let mut before: Option<Sealed> = None;
    Lie::Sealed(Box::new(move |_, answer| {
        if let Some(before) = before.replace(answer.clone()) {
            *answer = before;
        }
    }))
}

#[test]
fn an_answer_cannot_be_replayed() {
    let (operator, device) = account();
    operator.attack(&device, "get k", replay(), 7, SEALED);
    // With the number of the question, which is authenticated as well.
    let mut before: Option<Sealed> = None;
    let renumbered = Lie::Sealed(Box::new(move |request, answer| {
        let old = before.get_or_insert_with(|| answer.clone());
        answer.body.clone_from(&old.body);
        answer.counter = request.counter;
    }));
    operator.attack(&device, "get k", renumbered, 7, SEALED);
}

#[test]
fn a_request_cannot_be_reflected() {
    let (operator, device) = account();
    let reflect = Lie::Sealed(Box::new(|request, answer| *answer = request.clone()));
    operator.attack(&device, "get k", reflect, 7, SEALED);
}

/// Also what was recorded before a login, when it is played after it.
#[test]
fn answers_of_another_session_are_refused() {
    let (operator, device) = account();
    let (sender, recorded) = std::sync::mpsc::channel();
    operator.lie(Lie::Sealed(Box::new(move |_, answer| {
        sender.send(answer.clone()).unwrap();
    })));
    device.run(&["get k"]).ok();
    operator.be_honest();
    let old: Vec<Sealed> = recorded.try_iter().collect();
    for relabelled in [false, true] {
        let old = old.clone();
        let lie = Lie::Sealed(Box::new(move |request, answer| {
            let mut other = old[usize::try_from(request.counter).unwrap() - 1].clone();
            if relabelled {
                other.session = request.session;
            }
            *answer = other;
        }));
        operator.attack(&device, "get k", lie, 7, SEALED);
    }
    // The welcome of one login in another.
    let (sender, recorded) = std::sync::mpsc::channel();
    operator.lie(Lie::Begin(Box::new(move |welcome| {
        sender.send(welcome.clone()).unwrap();
    })));
    device.run(&["get k"]).ok();
    let old = recorded.recv().unwrap();
    let lie = Lie::Begin(Box::new(move |welcome| *welcome = old.clone()));
    operator.attack(&device, "get k", lie, 7, SEALED);
}

#[test]
fn no_byte_of_a_sealed_answer_can_be_changed() {
    let (operator, _device) = account();
    let mut client = operator.client("alice");
    for place in [0, 1, 100, usize::MAX] {
        client.close();
        operator.be_honest();
        client.sync().unwrap();
        operator.lie(Lie::Sealed(Box::new(move |_, answer| {
            let last = answer.body.len() - 1;
            answer.body[place.min(last)] ^= 0x80;
        })));
        let error = client.get("k").unwrap_err();
        let is_noticed = matches!(
            error,
            Error::Verification(VerificationError::Channel(ChannelError::DoesNotOpen))
        );
        assert!(is_noticed, "{error}");
        assert_eq!(operator.told(), 1);
    }
}

#[test]
fn the_answer_to_another_question_is_refused() {
    let (operator, device) = account();
    let wrong = [
        Answer::Logout,
        Answer::Append(Head::EMPTY),
        Answer::Fetch(vec![None]),
    ];
    for answer in wrong {
        let to_sync = answer.clone();
        let lie = Lie::Answer(Box::new(move |request, answer| {
            if matches!(request.call, Call::Sync(_)) {
                *answer = to_sync.clone();
            }
        }));
        operator.attack(&device, "ls", lie, 7, "answered another question");
        if matches!(answer, Answer::Fetch(_)) {
            continue;
        }
        let lie = Lie::Answer(Box::new(move |request, to_fetch| {
            if matches!(request.call, Call::Fetch(_)) {
                *to_fetch = answer.clone();
            }
        }));
        operator.attack(&device, "get k", lie, 7, "answered another question");
    }
}

#[test]
fn a_session_that_the_server_denies_is_no_endless_loop() {
    let (operator, device) = account();
    let denied = shared::codec::encode(&shared::wire::error::Refusal::NoSession).unwrap();
    let lie = Lie::Http(path::CALL, 401, denied);
    operator.attack(&device, "get k", lie, 4, "session has ended");
}

/// Every answer that is no message, at every path, ends in one line; within a memory that an honest run needs as well.
#[test]
fn garbage_is_refused_in_bounded_memory() {
    let (operator, device) = account();
    let nested = vec![0x91; 1_000_000];
    let endless_array = vec![0xdd, 0xff, 0xff, 0xff, 0xff];
    let endless_bytes = vec![0xc6, 0xff, 0xff, 0xff, 0xff];
    let bodies = [
        b"<html>".to_vec(),
        Vec::new(),
        nested,
        endless_array,
        endless_bytes,
    ];
    for body in bodies {
        for path in [
            path::HELLO,
            path::LOGIN_START,
            path::LOGIN_FINISH,
            path::CALL,
        ] {
            operator.lie(Lie::Http(path, 200, body.clone()));
            let run = bounded(&device, "get k");
            device.forgive();
            assert!(operator.told() > 0);
            assert_caught(&run, 7, "malformed");
        }
    }
    operator.lie(Lie::Http(path::CALL, 200, vec![0; 6 * 1024 * 1024]));
    assert_caught(&bounded(&device, "get k"), 5, "length limit exceeded");
    operator.lie(Lie::Http(path::CALL, 502, b"Bad Gateway".to_vec()));
    assert_caught(&bounded(&device, "get k"), 5, "HTTP status 502");
    operator.lie(Lie::Http(path::CALL, 404, b"not here".to_vec()));
    assert_caught(&bounded(&device, "get k"), 1, "no keyserver");
    operator.be_honest();
    assert_eq!(bounded(&device, "get k").ok().stdout, b"value");
}

/// Address space that an honest run fits into, in KiB: 64 MiB of it are Argon2id's.
const ADDRESS_SPACE: u32 = 400_000;

fn bounded(device: &Device, line: &str) -> tests::device::Run {
    let unbounded = device.command();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("ulimit -v {ADDRESS_SPACE}; exec \"$0\" \"$@\""),
        ])
        .arg(binary("keyshell"))
        .args(unbounded.get_args())
        .args(["-c", line]);
    run(command, b"")
}

#[test]
fn a_slow_answer_ends_in_time() {
    let (operator, device) = account();
    for path in [path::HELLO, path::CALL] {
        operator.lie(Lie::Drip(path));
        let started = Instant::now();
        let caught = device.run_with(&["--timeout", "300ms"], &["get k"], b"");
        assert_caught(&caught, 5, "no answer in time");
        // Four tries of a sealed request, with pauses of 1.3 s between them; ten times that on a busy machine.
        assert!(started.elapsed() < Duration::from_secs(25), "{caught:?}");
        assert!(operator.told() > 0);
    }
    operator.be_honest();
    device.run(&["get k"]).ok();
}
