//! An operator who lies about the replacement of an account key. The map of attacks is in `docs/threat-model.md`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use shared::ids::{Digest, Seq};
use shared::vault_log::{Entry, Head, Op, SignedEntry};
use shared::wire::call::{Answer, Call, SyncAnswer};
use shared::wire::error::Refusal;
use tests::device::Device;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD, caught};

type Change = fn(&mut Answer);

const ROTATE: &str = "rotate-key --yes";

fn account() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    (operator, device)
}

/// The old account key, with everything under it, brought back: that is what a thief of it would wish for.
#[test]
fn an_old_account_key_cannot_be_brought_back() {
    let (mut operator, device) = account();
    let other = operator.device("alice");
    other.run(&["get k"]).ok();
    let old = operator.copy();
    device.run(&[ROTATE]).ok();
    other.run(&["get k"]).ok();
    operator.roll_back(old);
    let words = "account key 1, which account key 2 has replaced";
    for device in [&device, &other] {
        caught(device, &["get k"], 7, words);
    }
    // Unless the owner says that it was an honest restore; then the key is to be replaced once more.
    let run = device.run(&["acknowledge --yes"]).ok();
    assert!(run.stderr.contains("run `rotate-key` again"), "{run:?}");
    device.run(&[ROTATE, "audit"]).ok();
    assert_eq!(device.get("k"), b"value");
}

/// Told again on top of another log than a device has seen.
#[test]
fn a_fork_is_not_covered_by_a_new_key() {
    let (mut operator, device) = account();
    let other = operator.device("alice");
    other.run(&["get k"]).ok();
    let old = operator.copy();
    other.put("seen", b"by one device alone");
    operator.roll_back(old);
    device.put("another", b"in its place");
    device.run(&[ROTATE]).ok();
    caught(&other, &["get k"], 7, "the vault log was forked: entry 3");
    caught(&other, &["ls"], 7, "the vault log was forked: entry 3");
}

/// What a log without its last entries looks like.
fn shortened(sync: &mut SyncAnswer, keep: impl Fn(&Entry) -> bool) {
    let is_kept = |signed: &&SignedEntry| keep(&signed.decode_unverified().unwrap());
    let kept: Vec<_> = sync.entries.iter().take_while(is_kept).cloned().collect();
    if let Some(last) = kept.last() {
        let seq = last.decode_unverified().unwrap().seq;
        sync.head = Head {
            seq,
            hash: last.hash(),
        };
        sync.entries = kept;
    }
}

/// Devices that know nothing of the log yet, which are those that a server can tell most.
#[test]
fn the_entry_about_the_new_key_cannot_be_withheld() {
    let (operator, device) = account();
    device.run(&[ROTATE]).ok();
    let lie = || Lie::sync(|sync| shortened(sync, |entry| !matches!(entry.op, Op::Rekey(_))));
    let words = "does not say that the account key was replaced";
    let fresh = operator.device("alice");
    operator.deceive(&fresh, &["get k"], lie(), 7, words);
    // Nor can what it says of the credentials.
    let is_credential = |entry: &Entry| matches!(entry.op, Op::Credential(_));
    let lie = Lie::sync(move |sync| shortened(sync, |entry| !is_credential(entry)));
    let fresh = operator.device("alice");
    operator.deceive(&fresh, &["get k"], lie, 7, "another generation");
}

/// With the old key nothing can be added to the new log: the server has it, and the owner's old entries.
#[test]
fn the_old_key_signs_nothing_that_a_device_takes() {
    let (operator, device) = account();
    let mut thief = operator.client("alice");
    thief.sync().unwrap();
    let old = thief.vault().session().keys().clone();
    device.run(&[ROTATE]).ok();
    let forged = move |sync: &mut SyncAnswer| {
        let head = sync.head;
        let Ok(mut entry) = sync
            .entries
            .last()
            .map_or(Err(()), |last| last.decode_unverified().map_err(drop))
        else {
            return;
        };
        entry.seq = head.seq.next();
        entry.previous = head.hash;
        let signed = SignedEntry::sign(&entry, &old.signing()).unwrap();
        sync.head = head.with(&signed);
        sync.entries.push(signed);
    };
    let fresh = operator.device("alice");
    let words = "not signed by the account's key";
    operator.deceive(&fresh, &["get k"], Lie::sync(forged), 7, words);
}

#[test]
fn every_step_of_a_replacement_is_checked() {
    let (operator, device) = account();
    for number in 0..3 {
        device.put(&format!("k{number}"), b"value");
    }
    let lies: [(Change, &str); 4] = [
        (
            |answer| {
                if let Answer::Prepared(Some(prepared)) = answer {
                    prepared.head.seq = Seq(3);
                }
            },
            "begins another log",
        ),
        (
            |answer| {
                if let Answer::Append(head) = answer {
                    head.hash = Digest::new([7; 32]);
                }
            },
            "something else",
        ),
        (
            |answer| {
                if let Answer::Rewritten(entries) = answer {
                    entries.reverse();
                }
            },
            "another log than was prepared",
        ),
        (
            |answer| {
                if let Answer::Rewritten(entries) = answer {
                    entries.clear();
                }
            },
            "another log than was prepared",
        ),
    ];
    for (lie, words) in lies {
        let told = Lie::Answer(Box::new(move |_, answer| lie(answer)));
        operator.deceive(&device, &[ROTATE], told, 7, words);
        // Nothing has changed, and what was prepared is there.
        device.run(&["get k"]).ok();
    }
    let conflict = Lie::Answer(Box::new(|request, answer| {
        if let (Call::Rekey(_), Answer::Install(head)) = (&request.call, &*answer) {
            *answer = Answer::Refused(Refusal::Conflict(*head));
        }
    }));
    operator.lie(conflict);
    device.run(&[ROTATE]).expect(7);
    device.forgive();
    operator.be_honest();
    caught(
        &device,
        &["get k"],
        7,
        "after it had answered that it refused it",
    );
}

/// Refused, and stored all the same: the next look at the log shows it.
#[test]
fn a_replacement_that_was_refused_cannot_be_stored_later() {
    let (operator, device) = account();
    operator.lie(Lie::Answer(Box::new(|request, answer| {
        if let Call::Rekey(_) = request.call {
            *answer = Answer::Refused(Refusal::DiskFull);
        }
    })));
    device.run(&[ROTATE]).expect(8);
    operator.be_honest();
    let words = "after it had answered that it refused it";
    caught(&device, &["get k"], 7, words);
    // Also where another device has told it again in the meantime.
    let (operator, device) = account();
    let other = operator.device("alice");
    other.run(&["ls"]).ok();
    operator.lie(Lie::Answer(Box::new(|request, answer| {
        if let Call::Append(_) = request.call {
            *answer = Answer::Refused(Refusal::DiskFull);
        }
    })));
    other.run_with(&[], &["put refused"], b"value").expect(8);
    operator.be_honest();
    device.run(&[ROTATE]).ok();
    caught(&other, &["ls"], 7, words);
    // The answer was lost instead: that is no lie.
    let (operator, device) = account();
    operator.lie(Lie::Answer(Box::new(|request, answer| {
        if let Call::Rekey(_) = request.call {
            *answer = Answer::Logout;
        }
    })));
    let run = device.run(&[ROTATE]).expect(7);
    operator.be_honest();
    device.forgive();
    assert_eq!(device.get("k"), b"value");
    // And the new recovery code, which holds, was shown.
    assert!(run.stderr.contains("keep both codes"), "{run:?}");
    let text = run.text();
    let shown = text
        .lines()
        .find_map(|line| line.strip_prefix("recovery code: "));
    let fresh = operator.device("alice");
    std::fs::write(fresh.path("code"), shown.unwrap()).unwrap();
    std::fs::write(fresh.path("next"), format!("{PASSWORD}\n")).unwrap();
    let (code, next) = (fresh.path("code"), fresh.path("next"));
    let line = format!(
        "recover --code-file {} --new-password-file {}",
        code.display(),
        next.display()
    );
    fresh.run(&[&line]).ok();
    assert_eq!(operator.device("alice").get("k"), b"value");
    assert_eq!(device.another(PASSWORD).get("k"), b"value");
}
