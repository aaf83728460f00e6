//! An operator who lies about key epochs: account keys, slot keys, key histories, and the entries that begin an epoch and
//! re-encrypt. The map of attacks is in `docs/threat-model.md`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_dalek::{Signer as _, SigningKey};
use keyshell_client::account::Renewal;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::keys::slot::SlotContext;
use serde_bytes::ByteBuf;
use shared::ids::{Digest, PublicKey, SecretId, Seq, Signature, Version};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{
    Acknowledge, Credential, CredentialKeys, Entry, Head, Op, Purge, Rekey, Sealed, SecretVersion,
    SignedEntry,
};
use shared::wire::call::{Answer, Call, LoggedEntry, SyncAnswer};
use shared::wire::error::Refusal;
use shared::wire::login::Welcome;
use shared::wire::slots::{Install, NewEpoch, SlotKey};
use tests::device::Device;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD, caught};
use tests::owner::{Owner, Session};

type Change = fn(&mut Answer);
type ChangeWelcome = fn(&mut Welcome);

const ROTATE: &str = "rotate-key --yes";
const SLOT_KEY: &str = "the account key of the current epoch does not open with this login";
const HISTORY: &str = "the account keys that the server shows do not lead to the one of this login";
const NOT_LOGGED: &str = "does not say that the account key was replaced";
const IN_PARTS: &str = "in the middle of a change of credentials";
const REFUSED: &str = "after it had answered that it refused it";

/// An account in its first epoch, whose log is: genesis, password, recovery code, put `k`.
fn account() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    (operator, device)
}

/// The same account in its second epoch; its log goes on with: rekey, reseal of `k`.
fn rotated() -> (Operator, Device) {
    let (operator, device) = account();
    device.run(&[ROTATE]).ok();
    (operator, device)
}

/// The installations that devices asked for, oldest first.
fn installs(operator: &Operator) -> Vec<Install> {
    let calls = operator.calls().into_iter();
    calls
        .filter_map(|call| match call {
            Call::Install(install) => Some(install),
            _ => None,
        })
        .collect()
}

/// The whole log, as a device that knows nothing yet is shown it.
fn whole_log(operator: &Operator) -> Vec<LoggedEntry> {
    let (sender, receiver) = std::sync::mpsc::channel();
    operator.lie(Lie::sync(move |sync| {
        // The first answer has all of it.
        let _ = sender.send(sync.entries.clone());
    }));
    operator.device("alice").run(&["ls"]).ok();
    operator.be_honest();
    receiver.recv().unwrap()
}

fn credential(log: &[LoggedEntry], slot: Slot) -> CredentialKeys {
    let ops = log
        .iter()
        .map(|logged| logged.entry.decode_unverified().unwrap().op);
    let mut keys = ops.filter_map(|op| match op {
        Op::Credential(credential) if credential.slot == slot => credential.keys,
        _ => None,
    });
    keys.next_back().unwrap()
}

/// The old account key, with everything under it, brought back: a thief of it would wish for that.
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
    // Unless the owner says that it was an honest restore; then the key is replaced in the same step.
    let run = device.run(&["acknowledge --yes"]).ok();
    let words = "a replaced account key is valid again: a new one replaces it now";
    assert!(run.stderr.contains(words), "{run:?}");
    let rekeyed = installs(&operator).pop().unwrap();
    assert!(rekeyed.epoch.is_some());
    device.run(&["audit"]).ok();
    assert_eq!(device.get("k"), b"value");
    // The restored log does not go up to the epoch that the other device has seen: no signature of the old key's holder
    // is enough for it, and it asks its owner.
    caught(&other, &["get k"], 7, "acknowledge");
    other.run(&["acknowledge --yes"]).ok();
    assert_eq!(other.get("k"), b"value");
}

/// The operator has a backup of the first epoch, and a recovery code that was renewed since: they fork the log, begin an
/// epoch of the number of the true one, and acknowledge what the other devices have seen in the owner's name. With the
/// password, which is the same as before, no device follows.
#[test]
fn a_former_credential_acknowledges_no_loss_for_others() {
    for by_new_key in [false, true] {
        let mut operator = Operator::start();
        let device = operator.device("alice");
        let file = device.path("code");
        let line = format!("register --recovery-file {}", file.display());
        device.run(&[&line]).ok();
        let other = operator.device("alice");
        let old = operator.copy();
        device.run(&["recovery renew"]).ok();
        other.run(&["ls"]).ok();
        operator.roll_back(old);
        let pins = std::fs::read_to_string(other.pins()).unwrap();
        let pins: serde_json::Value = serde_json::from_str(&pins).unwrap();
        let lost = Head {
            seq: Seq(pins["head"]["seq"].as_u64().unwrap()),
            hash: Digest::from_hex(pins["head"]["hash"].as_str().unwrap()).unwrap(),
        };
        let code = RecoveryCode::from_sheet(&std::fs::read_to_string(file).unwrap()).unwrap();
        let secret = (DeviceIdentity::random(), code.as_secret().clone());
        let password = SecretBytes::from(PASSWORD.as_bytes());
        let thief = Owner::of(&operator, "alice", &password, secret);
        let mut thief = thief.log_in_by(&operator, Slot::Recovery);
        let next = thief.keys.with_next(Key::random());
        let call = acknowledging(&operator, &mut thief, &next, lost, by_new_key);
        assert!(matches!(thief.call(call).unwrap(), Answer::Install(_)));
        caught(&other, &["ls"], 7, "acknowledge");
        caught(&device, &["ls"], 7, "acknowledge");
        // A device that knows nothing of the true log can be told anything that fits together.
        operator.device("alice").run(&["ls"]).ok();
    }
}

/// An epoch that begins with the acknowledgement of a loss, signed by the key of this epoch or of the one before.
fn acknowledging(
    operator: &Operator,
    by: &mut Session,
    next: &AccountKeys,
    lost: Head,
    by_new_key: bool,
) -> Install {
    let account = by.keys.account();
    let signer = if by_new_key { next } else { &by.keys };
    let message = Acknowledge::message(&account, &lost, &by.head().hash);
    let signature = signer.signing().sign(&message).to_bytes();
    let acknowledge = Op::Acknowledge(Acknowledge {
        lost_seq: lost.seq,
        lost_hash: lost.hash,
        signature: Some(Signature::new(signature)),
    });
    let first = by.entry(acknowledge, |_| {}).entry;
    by.follow(by.head().with(&first));
    let rekey = Op::Rekey(Rekey {
        epoch: next.epoch(),
        log_key: next.log_key(),
        credentials: 0,
    });
    let second = by.entry(rekey, |_| {}).entry;
    let log = whole_log(operator);
    let slot_keys = [Slot::Password, Slot::Recovery].map(|slot| {
        let context = SlotContext {
            account,
            slot,
            generation: 1,
        };
        let kem = credential(&log, slot).kem;
        let encapsulated = context.encapsulate(&kem, next.epoch(), next.current());
        encapsulated.unwrap()
    });
    Install {
        ke3: Vec::new(),
        entries: vec![first, second],
        epoch: Some(NewEpoch {
            slot_keys: slot_keys.to_vec(),
            history: ByteBuf::from(next.seal_history()),
        }),
    }
}

/// The log goes on with another entry than a device has seen, and a new epoch on top of it.
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
    for line in ["get k", "ls"] {
        caught(
            &other,
            &[line],
            7,
            "does not continue the log at position 6",
        );
    }
    std::fs::remove_dir_all(other.home().join("cache")).unwrap();
    caught(&other, &["ls"], 7, "the vault log was forked: entry 5");
}

/// What a log without its last entries looks like.
fn shortened(sync: &mut SyncAnswer, keep: impl Fn(&Entry) -> bool) {
    let is_kept = |logged: &&LoggedEntry| keep(&logged.entry.decode_unverified().unwrap());
    let kept: Vec<_> = sync.entries.iter().take_while(is_kept).cloned().collect();
    if let Some(LoggedEntry { entry: last, .. }) = kept.last() {
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
fn the_entries_about_a_new_epoch_cannot_be_withheld() {
    let (operator, device) = rotated();
    let lie = || Lie::sync(|sync| shortened(sync, |entry| !matches!(entry.op, Op::Rekey(_))));
    let fresh = operator.device("alice");
    operator.deceive(&fresh, &["get k"], lie(), 7, NOT_LOGGED);
    // Nor what an epoch begins with: the new password.
    std::fs::write(device.path("next"), format!("{PASSWORD} 2\n")).unwrap();
    let next = device.path("next");
    let passwd = format!("passwd --new-password-file {}", next.display());
    device.run(&[&passwd]).ok();
    let fresh = operator.device("alice");
    fresh.set_password(&format!("{PASSWORD} 2"));
    let is_second = |entry: &Entry| matches!(&entry.op, Op::Credential(new) if new.generation > 1);
    let lie = Lie::sync(move |sync| shortened(sync, |entry| !is_second(entry)));
    operator.deceive(&fresh, &["get k"], lie, 7, IN_PARTS);
    fresh.run(&["get k"]).ok();
}

/// A device that took the new epoch without the revocation, or without the new recovery code, would encapsulate the next
/// account key to the credential that the owner has shut out.
#[test]
fn an_epoch_is_not_shown_without_the_credentials_that_it_began_for() {
    let operator = Operator::start();
    let device = operator.device("alice");
    let file = device.path("code");
    let line = format!("register --recovery-file {}", file.display());
    device.run(&[&line]).ok();
    device.put("k", b"value");
    let mut phone = operator.client("alice");
    let lease = Renewal::default().lease;
    phone
        .change(async |vault| vault.enrol_device(lease).await)
        .unwrap();
    let id = phone.vault().session().device();
    let other = operator.device("alice");
    other.run(&["ls"]).ok();
    // The last line would begin an epoch of its own.
    let lines = ["ls", "put x", ROTATE];
    let withheld = |slot| {
        let is_second = move |op: &Op| matches!(op, Op::Credential(new) if (new.slot, new.generation) == (slot, 2));
        Lie::sync(move |sync| shortened(sync, |entry| !is_second(&entry.op)))
    };

    let line = format!("devices revoke {id} --yes");
    device.run(&[&line]).ok();
    for device in [&other, &operator.device("alice")] {
        for line in lines {
            operator.deceive(device, &[line], withheld(Slot::Device(id)), 7, IN_PARTS);
        }
    }
    other.run(&["get k"]).ok();

    std::fs::write(device.path("next"), format!("{PASSWORD} 2\n")).unwrap();
    let line = format!(
        "recover --code-file {} --new-password-file {}",
        file.display(),
        device.path("next").display()
    );
    device.run(&[&line]).ok();
    let fresh = operator.device("alice");
    for device in [&other, &fresh] {
        device.set_password(&format!("{PASSWORD} 2"));
        for cut in [Slot::Password, Slot::Recovery] {
            for line in lines {
                operator.deceive(device, &[line], withheld(cut), 7, IN_PARTS);
            }
        }
        device.run(&["get k", "audit"]).ok();
    }
}

/// With the old key nothing can be added to the log of the new epoch: the server may have it from a thief.
#[test]
fn the_old_key_signs_nothing_that_a_device_takes() {
    let (operator, device) = account();
    let mut thief = operator.client("alice");
    thief.sync().unwrap();
    let old = thief.vault().session().keys().clone();
    device.run(&[ROTATE]).ok();
    let note = Op::Note(Digest::of(b"a note"));
    let forged = signed_on_top(note, |_| {}, old.signing());
    let fresh = operator.device("alice");
    let words = "not signed by the account's key";
    operator.deceive(&fresh, &["get k"], forged, 7, words);
}

/// Shows the log with one more entry: `op` as this key signs it, after `change`.
fn signed_on_top(op: Op, change: impl Fn(&mut Entry) + Send + 'static, key: SigningKey) -> Lie {
    Lie::sync(move |sync| {
        let Some(last) = sync.entries.last() else {
            return;
        };
        let mut entry = last.entry.decode_unverified().unwrap();
        entry.seq = sync.head.seq.next();
        entry.previous = sync.head.hash;
        entry.op = op.clone();
        entry.authorisation = None;
        change(&mut entry);
        let signed = SignedEntry::sign(&entry, &key).unwrap();
        sync.head = sync.head.with(&signed);
        sync.entries.push(LoggedEntry {
            entry: signed,
            metadata: None,
        });
    })
}

/// The operator has the log-signing key, from a stolen session: what outlives sessions needs the password, the recovery
/// code, or the device that it concerns.
#[test]
fn a_stolen_session_names_no_credential_and_begins_no_epoch() {
    let (operator, device) = account();
    let mut thief = operator.client("alice");
    thief.sync().unwrap();
    let keys = thief.vault().session().keys().clone();
    let own = SigningKey::from_bytes(&[9; 32]);
    let public = PublicKey::new(own.verifying_key().to_bytes());
    let log = whole_log(&operator);
    let credential_of = |slot, generation| {
        Op::Credential(Credential {
            slot,
            generation,
            keys: Some(CredentialKeys {
                signing: public,
                ..credential(&log, Slot::Password)
            }),
            name: None,
        })
    };
    let thiefs = Slot::Device(shared::ids::DeviceId::of(&public));
    let secret = log[3].entry.decode_unverified().unwrap().op.secret();
    let named = SecretVersion {
        secret: secret.unwrap(),
        version: Version(1),
    };
    let ops = [
        credential_of(Slot::Password, 2),
        credential_of(Slot::Recovery, 2),
        credential_of(thiefs, 1),
        Op::Credential(Credential {
            slot: Slot::Recovery,
            generation: 2,
            keys: None,
            name: None,
        }),
        Op::Rekey(Rekey {
            epoch: 2,
            log_key: public,
            credentials: 0,
        }),
        Op::Reseal(Sealed {
            secret: named.secret,
            version: named.version,
            epoch: 1,
            value: Digest::of(b"value"),
            metadata: Digest::of(b"metadata"),
        }),
        Op::Purge(Purge::Versions(named)),
        Op::Purge(Purge::Note(Seq(4))),
    ];
    for op in ops {
        for slot in [
            None,
            Some(Slot::Password),
            Some(Slot::Recovery),
            Some(thiefs),
        ] {
            let own = own.clone();
            let change = move |entry: &mut Entry| {
                if let Some(slot) = slot {
                    entry.authorise(slot, &own).unwrap();
                }
            };
            let lie = signed_on_top(op.clone(), change, keys.signing());
            let fresh = operator.device("alice");
            let words = "not authorised by the password, the recovery code or the device";
            operator.deceive(&fresh, &["get k"], lie, 7, words);
        }
    }
    device.run(&["get k", "audit"]).ok();
}

fn welcome(change: impl Fn(&mut Welcome) + Send + 'static) -> Lie {
    Lie::Welcome(Box::new(change))
}

/// The server can encapsulate to every credential, as everybody can who reads the log. It cannot say of its key that the
/// owner's came before it.
#[test]
fn an_injected_slot_key_opens_nothing() {
    let (operator, device) = account();
    let context = SlotContext {
        account: operator.account(&device),
        slot: Slot::Password,
        generation: 1,
    };
    let kem = credential(&whole_log(&operator), Slot::Password).kem;
    let made_up = AccountKeys::first(context.account, Key::random()).with_next(Key::random());
    let slot_key = context.encapsulate(&kem, 2, made_up.current()).unwrap();
    let history = ByteBuf::from(made_up.seal_history());
    for history in [Some(history), None, Some(ByteBuf::from(vec![7; 60]))] {
        let slot_key = slot_key.clone();
        let lie = welcome(move |welcome| {
            welcome.slot_key = Some(slot_key.clone());
            welcome.history.clone_from(&history);
        });
        operator.attack(&device, "get k", lie, 7, HISTORY);
    }
    // Nor does an epoch fit that came before the one of the credential.
    for epoch in [0, 1] {
        let slot_key = context.encapsulate(&kem, epoch, &Key::random()).unwrap();
        let lie = welcome(move |welcome| welcome.slot_key = Some(slot_key.clone()));
        operator.attack(&device, "get k", lie, 7, SLOT_KEY);
    }
    // The same in the second epoch, beside the true history.
    device.run(&[ROTATE]).ok();
    let fresh = operator.device("alice");
    let slot_key = context.encapsulate(&kem, 2, made_up.current()).unwrap();
    let lie = welcome(move |welcome| welcome.slot_key = Some(slot_key.clone()));
    operator.deceive(&fresh, &["get k"], lie, 7, HISTORY);
}

fn slot_key(welcome: &mut Welcome) -> &mut SlotKey {
    welcome.slot_key.as_mut().unwrap()
}

fn history(welcome: &mut Welcome) -> &mut ByteBuf {
    welcome.history.as_mut().unwrap()
}

#[test]
fn no_part_of_a_slot_key_or_key_history_can_be_changed() {
    let (operator, device) = rotated();
    // Both parts of the X-Wing ciphertext, the sealed key and its tag, each at its ends; then what it is bound to.
    let cases: [(ChangeWelcome, &str); 20] = [
        (|welcome| slot_key(welcome).blob[0] ^= 1, SLOT_KEY),
        (|welcome| slot_key(welcome).blob[1087] ^= 1, SLOT_KEY),
        (|welcome| slot_key(welcome).blob[1088] ^= 1, SLOT_KEY),
        (|welcome| slot_key(welcome).blob[1119] ^= 1, SLOT_KEY),
        (|welcome| slot_key(welcome).blob[1120] ^= 1, SLOT_KEY),
        (|welcome| slot_key(welcome).blob[1167] ^= 1, SLOT_KEY),
        (|welcome| slot_key(welcome).blob.truncate(0), SLOT_KEY),
        (|welcome| slot_key(welcome).blob.truncate(1119), SLOT_KEY),
        (|welcome| slot_key(welcome).blob.truncate(1167), SLOT_KEY),
        (|welcome| slot_key(welcome).blob.push(0), SLOT_KEY),
        (|welcome| slot_key(welcome).generation += 1, SLOT_KEY),
        (|welcome| slot_key(welcome).slot = Slot::Recovery, SLOT_KEY),
        (|welcome| slot_key(welcome).epoch += 1, SLOT_KEY),
        (|welcome| welcome.slot_key = None, HISTORY),
        (|welcome| welcome.history = None, HISTORY),
        (|welcome| history(welcome)[0] ^= 1, HISTORY),
        (|welcome| history(welcome)[12] ^= 1, HISTORY),
        (
            |welcome| *history(welcome).last_mut().unwrap() ^= 1,
            HISTORY,
        ),
        (|welcome| history(welcome).truncate(59), HISTORY),
        (|welcome| history(welcome).clear(), HISTORY),
    ];
    for (change, words) in cases {
        operator.attack(&device, "get k", welcome(change), 7, words);
    }
    // Those of another credential, and of another account.
    let epoch = installs(&operator).pop().unwrap().epoch.unwrap();
    let of = |slot| {
        let mut keys = epoch.slot_keys.iter();
        keys.find(|key| key.slot == slot).unwrap().clone()
    };
    let mut recovery = of(Slot::Recovery);
    for renamed in [false, true] {
        if renamed {
            recovery.slot = Slot::Password;
        }
        let recovery = recovery.clone();
        let lie = welcome(move |welcome| welcome.slot_key = Some(recovery.clone()));
        operator.attack(&device, "get k", lie, 7, SLOT_KEY);
    }
    let bob = operator.registered("bob");
    bob.run(&[ROTATE]).ok();
    let bobs = installs(&operator).pop().unwrap().epoch.unwrap();
    let theirs = bobs.history.clone();
    let lie = welcome(move |welcome| welcome.history = Some(theirs.clone()));
    operator.attack(&device, "get k", lie, 7, HISTORY);
    let mut theirs = bobs.slot_keys.into_iter();
    let theirs = theirs.find(|key| key.slot == Slot::Password);
    let lie = welcome(move |welcome| welcome.slot_key.clone_from(&theirs));
    operator.attack(&device, "get k", lie, 7, SLOT_KEY);
}

/// The keys of an epoch that is over, which the operator has kept.
#[test]
fn a_replaced_account_key_is_not_shown_again() {
    let (operator, device) = rotated();
    let old = installs(&operator).pop().unwrap().epoch.unwrap();
    device.run(&[ROTATE]).ok();
    let password = |key: &&SlotKey| key.slot == Slot::Password;
    let slot_key = old.slot_keys.iter().find(password).unwrap().clone();
    let history = old.history;
    let second = || {
        let (slot_key, history) = (slot_key.clone(), history.clone());
        welcome(move |welcome| {
            welcome.slot_key = Some(slot_key.clone());
            welcome.history = Some(history.clone());
        })
    };
    let first = || {
        welcome(|welcome| {
            welcome.slot_key = None;
            welcome.history = None;
        })
    };
    let words = "account key 2, which account key 3 has replaced";
    operator.attack(&device, "get k", second(), 7, words);
    let words = "account key 1, which account key 3 has replaced";
    operator.attack(&device, "get k", first(), 7, words);
    // A device that knows nothing yet notices with the log.
    for lie in [first(), second()] {
        let fresh = operator.device("alice");
        operator.lie(lie);
        let run = fresh.run(&["get k"]);
        assert!(operator.told() > 0);
        assert!(run.status != 0 && run.stdout.is_empty(), "{run:?}");
        assert_eq!(operator.writes_after(), 0);
        operator.be_honest();
        fresh.forgive();
        assert_eq!(fresh.get("k"), b"value");
    }
}

#[test]
fn every_step_of_a_rotation_is_checked() {
    let (operator, device) = account();
    for number in 0..3 {
        device.put(&format!("k{number}"), b"value");
    }
    let lies: [(Change, &str); 4] = [
        (
            |answer| {
                if let Answer::Install(head) = answer {
                    head.hash = Digest::new([7; 32]);
                }
            },
            "something else",
        ),
        (
            |answer| {
                if let Answer::Install(head) = answer {
                    head.seq = head.seq.next();
                }
            },
            "something else",
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
                if let Answer::Install(_) = answer {
                    *answer = Answer::Logout;
                }
            },
            "answered another question",
        ),
    ];
    for (lie, words) in lies {
        let told = Lie::Answer(Box::new(move |_, answer| lie(answer)));
        operator.lie(told);
        let run = device.run(&[ROTATE]);
        assert!(operator.told() > 0, "{words}: {run:?}");
        device.forgive();
        operator.be_honest();
        tests::operator::assert_caught(&run, 7, words);
        // What was done is in the log, and everything can be read.
        assert_eq!(device.get("k"), b"value");
        assert_eq!(operator.device("alice").get("k1"), b"value");
        // A rotation that began is finished before another one begins.
        device.run(&[ROTATE]).ok();
    }
    let conflict = Lie::Answer(Box::new(|request, answer| {
        if let (Call::Install(_), Answer::Install(head)) = (&request.call, &*answer) {
            *answer = Answer::Refused(Refusal::Conflict(*head));
        }
    }));
    operator.lie(conflict);
    device.run(&[ROTATE]).expect(7);
    device.forgive();
    operator.be_honest();
    caught(&device, &["get k"], 7, REFUSED);
}

fn refusing(which: fn(&Call) -> bool) -> Lie {
    Lie::Answer(Box::new(move |request, answer| {
        if which(&request.call) {
            *answer = Answer::Refused(Refusal::DiskFull);
        }
    }))
}

/// Refused, and stored all the same: the next look at the log shows it.
#[test]
fn an_epoch_that_was_refused_cannot_be_stored_later() {
    let (operator, device) = account();
    operator.lie(refusing(|call| matches!(call, Call::Install(_))));
    device.run(&[ROTATE]).expect(8);
    operator.be_honest();
    caught(&device, &["get k"], 7, REFUSED);
    // Also a new form of a value.
    let (operator, device) = account();
    operator.lie(refusing(|call| matches!(call, Call::Append(_))));
    device.run(&[ROTATE]).expect(8);
    operator.be_honest();
    caught(&device, &["get k"], 7, REFUSED);
    // Also where another device has begun an epoch in the meantime.
    let (operator, device) = account();
    let other = operator.device("alice");
    other.run(&["ls"]).ok();
    operator.lie(refusing(|call| matches!(call, Call::Append(_))));
    other.run_with(&[], &["put refused"], b"value").expect(8);
    operator.be_honest();
    device.run(&[ROTATE]).ok();
    caught(&other, &["ls"], 7, REFUSED);
}

/// What was not re-encrypted when a rotation broke off is re-encrypted by the next one, in the epoch that has begun.
#[test]
fn a_rotation_that_was_refused_halfway_goes_on() {
    let (operator, device) = account();
    operator.lie(Lie::Instead(Box::new(|request| match request.call {
        Call::Append(_) => Some(Answer::Refused(Refusal::DiskFull)),
        _ => None,
    })));
    let run = device.run(&[ROTATE]).expect(8);
    assert!(run.stderr.contains("rotate-key"), "{run:?}");
    operator.be_honest();
    assert_eq!(device.get("k"), b"value");
    let epochs = installs(&operator).len();
    device.run(&[ROTATE]).ok();
    assert_eq!(installs(&operator).len(), epochs, "no epoch more");
    let is_resealed = whole_log(&operator).iter().any(|logged| {
        let op = logged.entry.decode_unverified().unwrap().op;
        matches!(op, Op::Reseal(new) if new.epoch == 2)
    });
    assert!(is_resealed);
    assert_eq!(operator.device("alice").get("k"), b"value");
    device.run(&["audit"]).ok();
}

/// What a rotation replaced is gone from the server, and a copy of it is not taken for the new form.
#[test]
fn a_replaced_form_is_not_taken_for_the_new_one() {
    let (operator, device) = rotated();
    let values = operator.values();
    let [old, new] = values.as_slice() else {
        panic!("{} values", values.len());
    };
    assert_ne!(old, new);
    let words = "is not the one that log entry 6 names";
    operator.attack(&device, "get k", Lie::value(old), 7, words);
    // The metadata of the replaced form are gone, which the log explains; those of the new one must be there.
    let log = whole_log(&operator);
    let shown = |at: usize| log[at].metadata.is_some();
    assert_eq!((shown(3), shown(5)), (false, true));
    let withheld = Lie::sync(|sync| {
        for logged in &mut sync.entries {
            logged.metadata = None;
        }
    });
    let fresh = operator.device("alice");
    let words = "the server withholds the content of vault log entry 6";
    operator.deceive(&fresh, &["get k"], withheld, 7, words);
    // An entry of an epoch that is over, in the new one.
    let mut thief = operator.client("alice");
    thief.sync().unwrap();
    let keys = thief.vault().session().keys().clone();
    let put = Op::Put(Sealed {
        secret: SecretId::random(),
        version: Version(1),
        epoch: 1,
        value: Digest::of(b"value"),
        metadata: Digest::of(b"metadata"),
    });
    let lie = signed_on_top(put, |_| {}, keys.signing());
    let fresh = operator.device("alice");
    let words = "contradicts the entries before it";
    operator.deceive(&fresh, &["get k"], lie, 7, words);
}
