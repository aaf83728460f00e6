//! Every wire message.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::channel::{Sealed, session_id};
use shared::codec;
use shared::wire::Hello;
use shared::wire::call::{Answer, Call, Request};
use shared::wire::error::Refusal;
use shared::wire::limits::{
    MAX_BATCH, MAX_BODY_LEN, MAX_OPEN_BODY_LEN, MAX_PAGE, MAX_SEEN, MAX_SESSIONS, MAX_SLOTS,
};
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart, Welcome};
use shared::wire::register::{RegisterFinish, RegisterResponse, RegisterStart};
use unicode_normalization::is_nfc;

use crate::audit::check_opening;
use crate::cursor::Cursor;
use crate::world::SESSION_KEY;

/// Decodes, and checks that these bytes are the only encoding of what they decode to: by the codec itself, and by
/// another implementation of MessagePack that writes the shortest forms.
pub(crate) fn canonical<T>(bytes: &[u8], limit: usize) -> Option<T>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let message: T = codec::decode(bytes, limit).ok()?;
    assert!(bytes.len() <= limit);
    let encoded = codec::encode(&message).unwrap();
    assert_eq!(encoded, bytes);
    assert_eq!(codec::decode::<T>(&encoded, limit).unwrap(), message);

    let mut rest = bytes;
    let value = rmpv::decode::read_value(&mut rest).unwrap();
    assert!(rest.is_empty());
    let mut shortest = Vec::new();
    rmpv::encode::write_value(&mut shortest, &value).unwrap();
    assert_eq!(shortest, bytes);

    let longer = [bytes, &[0xc0]].concat();
    let shorter = &bytes[..bytes.len() - 1];
    assert!(codec::decode::<T>(&longer, usize::MAX).is_err());
    assert!(codec::decode::<T>(shorter, limit).is_err());
    assert!(codec::decode::<T>(bytes, bytes.len() - 1).is_err());
    Some(message)
}

/// What travels before there is a session, and refusals.
pub(crate) fn wire_before_login(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = script.choice(8);
    let body = script.rest();
    match kind {
        0 => drop(canonical::<Hello>(body, MAX_BODY_LEN)),
        1 => {
            if let Some(start) = canonical::<RegisterStart>(body, MAX_OPEN_BODY_LEN) {
                check_name(start.account.as_str());
            }
        }
        2 => {
            if let Some(response) = canonical::<RegisterResponse>(body, MAX_BODY_LEN) {
                assert!(response.responses.len() <= MAX_SLOTS);
            }
        }
        3 => drop(canonical::<RegisterFinish>(body, MAX_OPEN_BODY_LEN)),
        4 => {
            if let Some(start) = canonical::<LoginStart>(body, MAX_OPEN_BODY_LEN) {
                check_name(start.account.as_str());
                let _ = keyserver::sessions::login::check(&start);
            }
        }
        5 => drop(canonical::<LoginResponse>(body, MAX_BODY_LEN)),
        6 => drop(canonical::<LoginFinish>(body, MAX_OPEN_BODY_LEN)),
        _ => {
            if let Some(refusal) = canonical::<Refusal>(body, MAX_BODY_LEN) {
                check_refusal(refusal);
            }
        }
    }
}

/// What travels in a session, sealed and opened.
pub(crate) fn wire_session(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = script.choice(4);
    let body = script.rest();
    match kind {
        0 => drop(canonical::<Sealed>(body, MAX_BODY_LEN)),
        1 => drop(canonical::<Welcome>(body, MAX_BODY_LEN)),
        2 => {
            if let Some(request) = canonical::<Request>(body, MAX_BODY_LEN) {
                check_operations(&request.call);
                if let Some(opening) = &request.opening {
                    check_opening(opening, &session_id(&SESSION_KEY));
                }
            }
        }
        _ => {
            if let Some(answer) = canonical::<Answer>(body, MAX_BODY_LEN) {
                check_answer(answer);
            }
        }
    }
}

fn check_name(name: &str) {
    assert!((1..=64).contains(&name.len()) && is_nfc(name));
    assert!(!name.chars().any(|c| c.is_control() || c.is_whitespace()));
}

/// No more items than were ever asked for.
fn check_answer(answer: Answer) {
    match answer {
        Answer::Sync(sync) => {
            assert!(sync.entries.len() <= MAX_PAGE && sync.seen.len() <= MAX_SEEN);
        }
        Answer::Fetch(values) => assert!(values.len() <= MAX_BATCH),
        Answer::Audit(audit) => {
            assert!(audit.records.len().max(audit.inclusion.len()) <= MAX_PAGE);
        }
        Answer::Refused(refusal) => check_refusal(refusal),
        Answer::Slots(slots) => {
            assert!(slots.slots.len() <= MAX_SLOTS && slots.sessions.len() <= MAX_SESSIONS);
        }
        Answer::Enrol(list) | Answer::Stage(list) => assert!(list.len() <= MAX_SLOTS),
        Answer::Append(_) | Answer::Install(_) | Answer::Delete(_) | Answer::Logout => {}
    }
}

/// Each becomes one line for a person, with an exit status that says failure.
fn check_refusal(refusal: Refusal) {
    assert!(!refusal.to_string().contains('\n'));
    let error = keyshell::error::Error::from(keyshell_client::error::Error::from(refusal));
    assert_ne!(error.status(), 0);
}

/// One record in the audit log, and one signature, for each part of a call.
fn check_operations(call: &Call) {
    let operations = call.operations();
    let expected = match call {
        Call::Append(append) => append.0.len(),
        Call::Fetch(fetch) => fetch.0.len(),
        Call::Install(install) => {
            let keys = install.epoch.iter().map(|epoch| epoch.slot_keys.len());
            assert!(install.ke3.len() <= MAX_SLOTS && keys.sum::<usize>() <= MAX_SLOTS);
            install.entries.len().max(1)
        }
        Call::Sync(_)
        | Call::Audit(_)
        | Call::Slots
        | Call::Enrol(_)
        | Call::Stage(_)
        | Call::Delete(_)
        | Call::Logout(_) => 1,
    };
    assert_eq!(operations.len(), expected);
    for operation in operations {
        assert!(operation.operation.is_signed());
        assert!(!operation.operation.is_change() || operation.entry.is_some());
    }
}
