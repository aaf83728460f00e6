//! An operator who lies about credentials after they were changed. The map of attacks is in `docs/threat-model.md`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::mpsc;

use serde_bytes::ByteBuf;
use shared::opaque::Slot;
use shared::wire::call::{Answer, Call};
use shared::wire::error::Refusal;
use storage::api::Account;
use tests::device::Device;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD, caught};

const NEXT: &str = "seven velvet otters hum";

fn stored(operator: &Operator, device: &Device) -> Account {
    let (sender, receiver) = mpsc::channel();
    operator.lie(Lie::Account(Box::new(move |account| {
        let _ = sender.send(account.clone());
    })));
    device.run(&["ls"]).ok();
    operator.be_honest();
    receiver.recv().unwrap().unwrap()
}

fn passwd(device: &Device) {
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    let file = device.path("next");
    device
        .run(&[&format!("passwd --new-password-file {}", file.display())])
        .ok();
}

/// An account whose password was changed, its devices, and its row of before.
fn changed() -> (Operator, Device, Device, Account) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    let other = operator.device("alice");
    other.run(&["ls"]).ok();
    let old = stored(&operator, &device);
    passwd(&device);
    (operator, device, other, old)
}

fn with_old_password(old: Account) -> Lie {
    Lie::Account(Box::new(move |account| {
        if let Some(account) = account {
            account.slots.clone_from(&old.slots);
        }
    }))
}

/// The record of the old password, and what it wraps, brought back: a device that has seen the new account key notices at
/// the login. Others find an epoch in the vault log that the login gives no key of, and have nothing to go on with.
#[test]
fn an_old_password_cannot_be_brought_back() {
    let (operator, device, other, old) = changed();
    let lines = ["get k"];
    let words = "account key 1, which account key 2 has replaced";
    operator.deceive(&device, &lines, with_old_password(old.clone()), 7, words);
    let words = "the session has ended";
    operator.deceive(&other, &lines, with_old_password(old.clone()), 4, words);
    let fresh = operator.device("alice");
    operator.deceive(&fresh, &lines, with_old_password(old.clone()), 4, words);
    // Without that epoch the log ends before what a device has seen.
    other.set_password(NEXT);
    other.run(&["ls"]).ok();
    other.set_password(PASSWORD);
    let words = "account key 1, which account key 2 has replaced";
    operator.deceive(&other, &lines, with_old_password(old), 7, words);
}

#[test]
fn an_old_password_is_dead_on_an_honest_server() {
    let (_operator, device, other, _) = changed();
    device.run(&["get k"]).expect(4);
    other.run(&["get k"]).expect(4);
    other.set_password(NEXT);
    other.run(&["get k", "audit"]).ok();
}

/// The server says that a password was changed, and stores nothing; or stores it, and says that it did not.
#[test]
fn a_change_that_was_not_made_is_noticed() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    let line = format!(
        "passwd --new-password-file {}",
        device.path("next").display()
    );
    let lies: [fn(&mut Answer); 3] = [
        |answer| {
            if let Answer::Install(head) = answer {
                head.hash = shared::ids::Digest::new([7; 32]);
            }
        },
        |answer| {
            if let Answer::Stage(ke2) = answer {
                ke2.clear();
            }
        },
        |answer| {
            if let Answer::Enrol(responses) = answer {
                responses[0][0] ^= 1;
            }
        },
    ];
    let instead = Lie::Instead(Box::new(|request| match &request.call {
        Call::Install(_) => Some(Answer::Logout),
        _ => None,
    }));
    operator.deceive(&device, &[&line], instead, 7, "another question");
    for (lie, words) in lies.into_iter().zip(["something else", "lacks a slot", ""]) {
        let told = Lie::Answer(Box::new(move |_, answer| lie(answer)));
        operator.deceive(&device, &[&line], told, 7, words);
        device.set_password(PASSWORD);
        let run = device.run(&["ls"]);
        if run.status == 4 {
            device.set_password(NEXT);
            break;
        }
    }
    // Refused, and stored all the same: the next look at the log shows it.
    let device = operator.registered("bob");
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    let line = format!(
        "passwd --new-password-file {}",
        device.path("next").display()
    );
    operator.lie(Lie::Answer(Box::new(|request, answer| {
        if let Call::Install(_) = request.call {
            *answer = Answer::Refused(Refusal::DiskFull);
        }
    })));
    device.run(&[&line]).expect(8);
    operator.be_honest();
    device.set_password(NEXT);
    caught(
        &device,
        &["ls"],
        7,
        "after it had answered that it refused it",
    );
}

/// KE2 that belongs to another credential: the login of what was just registered does not succeed.
#[test]
fn what_is_staged_must_be_what_was_registered() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    let line = format!(
        "passwd --new-password-file {}",
        device.path("next").display()
    );
    let mut before: Option<ByteBuf> = None;
    let swap = Lie::Answer(Box::new(move |_, answer| {
        if let Answer::Stage(ke2) = answer {
            if let Some(old) = &before {
                ke2[0].clone_from(old);
            } else {
                before = Some(ke2[0].clone());
                ke2[0][100] ^= 1;
            }
        }
    }));
    operator.lie(swap);
    for _ in 0..2 {
        let run = device.run(&[&line]).expect(7);
        device.forgive();
        assert!(
            run.stderr
                .contains("does not log in what it just registered"),
            "{run:?}"
        );
    }
    operator.be_honest();
    device.run(&["ls"]).ok();
}

#[test]
fn a_list_of_credentials_that_the_log_does_not_name_is_refused() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    let injected = Lie::Answer(Box::new(|_, answer| {
        if let Answer::Slots(slots) = answer {
            for shown in &mut slots.slots {
                if shown.slot == Slot::Recovery {
                    shown.generation += 1;
                }
            }
        }
    }));
    operator.attack(&device, "devices", injected, 7, "recovery credential");
    device.run(&["recovery off --yes"]).ok();
    // A revoked credential that the server goes by all the same.
    let revived = Lie::Answer(Box::new(|_, answer| {
        if let Answer::Slots(slots) = answer {
            let mut old = slots.slots[0];
            old.slot = Slot::Recovery;
            old.generation = 2;
            slots.slots.push(old);
        }
    }));
    operator.attack(&device, "devices", revived, 7, "revoked");
}

/// A receipt of a deletion that covers nothing of it.
#[test]
fn a_receipt_must_cover_the_deletion() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    let (sender, receiver) = mpsc::channel();
    operator.lie(Lie::sync(move |sync| {
        let _ = sender.send(sync.checkpoint.clone());
    }));
    device.run(&["ls"]).ok();
    operator.be_honest();
    let old = receiver.try_iter().last().unwrap();
    operator.lie(Lie::Answer(Box::new(move |_, answer| {
        if let Answer::Delete(deleted) = answer {
            deleted.checkpoint.clone_from(&old);
            deleted.consistency.clear();
        }
    })));
    let run = device.run(&["account delete --confirm alice"]).expect(7);
    assert!(run.stdout.is_empty(), "{run:?}");
}
