//! An operator who lies about values. The map of attacks is in `docs/threat-model.md`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use keyshell_client::error::Error;
use keyshell_client::verification::VerificationError;
use shared::wire::call::Answer;
use tests::device::Device;
use tests::operator::Operator;
use tests::operator::lie::Lie;

const NOT_THE_ONE: &str = "is not the one that log entry";

/// An account with `k` in two versions and `other` in one.
fn account() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"first");
    device.run_with(&[], &["put k --force"], b"second").ok();
    device.put("other", b"of another secret");
    (operator, device)
}

#[test]
fn an_older_version_is_not_taken_for_the_newest() {
    let (operator, device) = account();
    let first = &operator.values()[0];
    operator.attack(&device, "get k", Lie::value(first), 7, NOT_THE_ONE);
    assert_eq!(device.get("k"), b"second");
}

#[test]
fn a_newer_version_is_not_taken_for_an_older_one() {
    let (operator, device) = account();
    let second = &operator.values()[1];
    let line = "get k --version 1";
    operator.attack(&device, line, Lie::value(second), 7, NOT_THE_ONE);
}

#[test]
fn two_secrets_cannot_be_swapped() {
    let (operator, device) = account();
    let values = operator.values();
    operator.attack(&device, "get k", Lie::value(&values[2]), 7, NOT_THE_ONE);
    operator.attack(&device, "get other", Lie::value(&values[1]), 7, NOT_THE_ONE);
    let swap = Lie::values(|values| values.reverse());
    let file = device.path("never");
    let all = format!("export --all --plaintext --yes --out {}", file.display());
    operator.deceive(&device, &[&all], swap, 7, NOT_THE_ONE);
    assert!(!file.exists());
}

#[test]
fn a_value_of_another_account_is_not_taken() {
    let (operator, device) = account();
    let bob = operator.registered("bob");
    bob.put("k", b"bob's");
    let theirs = operator.values()[3].clone();
    operator.attack(&device, "get k", Lie::value(&theirs), 7, NOT_THE_ONE);
}

#[test]
fn truncated_and_extended_values_are_not_taken() {
    let (operator, device) = account();
    let value = operator.values()[1].clone();
    let cases = [
        Vec::new(),
        value[..value.len() - 1].to_vec(),
        value[1..].to_vec(),
        [value.as_slice(), &[0]].concat(),
        [&[0], value.as_slice()].concat(),
        [value.as_slice(), value.as_slice()].concat(),
    ];
    for case in cases {
        operator.attack(&device, "get k", Lie::value(&case), 7, NOT_THE_ONE);
    }
}

#[test]
fn a_value_cannot_be_withheld() {
    let (operator, device) = account();
    let nothing = Lie::values(|values| values.fill(None));
    operator.attack(&device, "get k", nothing, 7, "withholds the value of `k`");
    let too_few = Lie::values(Vec::clear);
    operator.attack(&device, "get k", too_few, 7, "wrong number of values");
    let too_many = Lie::values(|values| values.push(values[0].clone()));
    operator.attack(&device, "get k", too_many, 7, "wrong number of values");
}

#[test]
fn an_append_that_was_not_done_is_not_believed() {
    let (operator, device) = account();
    let head = |answer: &Answer| match answer {
        Answer::Append(head) => *head,
        other => panic!("{other:?}"),
    };
    // Another head than the signed entries lead to.
    let other = Lie::Answer(Box::new(move |_, answer| {
        if let Answer::Append(_) = answer {
            let mut wrong = head(answer);
            wrong.seq = wrong.seq.next();
            *answer = Answer::Append(wrong);
        }
    }));
    let line = "rm other --yes";
    operator.deceive(&device, &[line], other, 7, "something else");
    // The right head, with nothing stored: the next look at the log tells.
    let swallowed = Lie::Instead(Box::new(|request| {
        let shared::wire::call::Call::Append(shared::wire::call::Append(entries)) = &request.call
        else {
            return None;
        };
        let entry = &entries[0].entry;
        Some(Answer::Append(shared::vault_log::Head {
            seq: entry.decode_unverified().unwrap().seq,
            hash: entry.hash(),
        }))
    }));
    operator.lie(swallowed);
    let device = operator.device("alice");
    device.run(&["edit k --note n"]).ok();
    assert_eq!(operator.told(), 1);
    operator.be_honest();
    let run = device.run(&["get k"]);
    tests::operator::assert_caught(&run, 7, "rolled back");
}

#[test]
fn no_bit_of_a_stored_value_can_be_flipped() {
    let (operator, _device) = account();
    let mut client = operator.client("alice");
    assert_eq!(client.get("k"), Ok(Some(b"second".to_vec())));
    let len = operator.values()[1].len();
    let mut errors = std::collections::BTreeSet::new();
    for place in 0..len * 8 {
        operator.lie(Lie::values(move |values| {
            values[0].as_mut().unwrap()[place / 8] ^= 1 << (place % 8);
        }));
        let error = client.fetch("k").unwrap_err();
        assert_eq!(operator.told(), 1, "bit {place}");
        let is_noticed = matches!(
            error,
            Error::Verification(VerificationError::WrongValue { .. })
        );
        assert!(is_noticed, "bit {place}: {error}");
        errors.insert(error.to_string());
    }
    assert_eq!(errors.len(), 1, "one error for every bit: {errors:?}");
    operator.be_honest();
    assert_eq!(client.get("k"), Ok(Some(b"second".to_vec())));
}

#[test]
fn no_byte_of_an_answer_can_be_changed() {
    let (operator, _device) = account();
    for call in ["sync", "fetch", "audit"] {
        let mut client = operator.client("alice");
        let mut place = 0;
        loop {
            client.close();
            operator.be_honest();
            client.sync().unwrap();
            let at = place;
            operator.lie(Lie::Plaintext(Box::new(move |request, plaintext| {
                use shared::wire::call::Call;
                let wanted = match request.call {
                    Call::Sync(_) => "sync",
                    Call::Audit(_) => "audit",
                    _ => "fetch",
                };
                if let Some(byte) = plaintext.get_mut(at)
                    && wanted == call
                {
                    *byte ^= 0xff;
                }
            })));
            let outcome = match call {
                "audit" => client.audit().map(drop),
                _ => client.get("k").map(drop),
            };
            if operator.told() == 0 {
                assert!(place > 64, "{call} has {place} bytes only");
                break;
            }
            let error = outcome.unwrap_err();
            let is_noticed = error.verification().is_some();
            assert!(is_noticed, "byte {place} of {call}: {error}");
            // An audit answer grows with every login, so that its end is never reached.
            if call == "audit" && place > 1500 {
                break;
            }
            place += if call == "audit" { 37 } else { 13 };
        }
    }
}
