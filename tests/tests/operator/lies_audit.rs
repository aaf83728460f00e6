//! An operator who lies about the audit log. The map of attacks is in `docs/threat-model.md`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::mpsc;

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use keyshell_client::device::identity::DeviceIdentity;
use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Outcome, Record};
use shared::checkpoint;
use shared::codec;
use shared::ids::{
    AccountId, DeviceId, Digest, PublicKey, SecretId, ServerId, SessionId, Signature,
};
use shared::opaque::Slot;
use shared::request::{Opening, SignedOperation};
use shared::secret::SecretBytes;
use shared::wire::call::Call;
use tests::device::Device;
use tests::operator::ledger::Ledger;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD, assert_caught, caught};
use tests::owner::Owner;

fn account() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    device.run(&["get k"]).ok();
    (operator, device)
}

fn altered(record: &ByteBuf, change: impl Fn(&mut Record)) -> ByteBuf {
    let mut record: Record = codec::decode(record, MAX_RECORD_LEN).unwrap();
    change(&mut record);
    record.encode().unwrap().into()
}

/// Gives records the indices that belong to their places.
fn renumber(records: &mut [ByteBuf]) {
    for (index, record) in (0..).zip(records) {
        *record = altered(record, |record| record.index = index);
    }
}

fn lengthened(records: &mut Vec<ByteBuf>) {
    let last = records.last().unwrap().clone();
    records.extend(vec![last; 64]);
    renumber(records);
}

#[test]
fn records_that_the_checkpoint_does_not_cover_are_refused() {
    let (operator, device) = account();
    let cases: [fn(&mut Vec<ByteBuf>); 5] = [
        |records| {
            records.remove(2);
        },
        |records| records[2] = altered(&records[2], |record| record.time_ms += 1),
        |records| records.swap(1, 2),
        |records| records.insert(1, records[1].clone()),
        Vec::clear,
    ];
    for case in cases {
        let lie = Lie::audit(move |page| {
            if page.records.len() > 3 {
                case(&mut page.records);
            }
        });
        operator.attack(&device, "audit", lie, 7, "audit record");
    }
}

/// The operator has the key: what they cannot do is to sign a tree that contradicts one that they signed before.
#[test]
fn a_history_written_anew_is_refused() {
    let (operator, device) = account();
    let cases: [fn(&mut Vec<ByteBuf>); 4] = [
        |records| {
            records.remove(2);
        },
        |records| records[2] = altered(&records[2], |record| record.remote = "192.0.2.1".into()),
        |records| records.swap(1, 2),
        |records| records.insert(1, records[1].clone()),
    ];
    for case in cases {
        let ledger = Ledger::of(&operator, &device, |records| {
            case(records);
            lengthened(records);
        });
        operator.attack(
            &device,
            "audit",
            ledger.clone().shown(),
            7,
            "does not extend",
        );
        operator.attack(&device, "get k", ledger.shown(), 7, "does not extend");
    }
}

#[test]
fn a_tree_that_was_rolled_back_is_refused() {
    let (operator, device) = account();
    let ledger = Ledger::of(&operator, &device, |records| records.truncate(4));
    operator.attack(&device, "get k", ledger.shown(), 7, "rolled back");
}

#[test]
fn a_checkpoint_of_another_key_or_account_is_refused() {
    let (operator, device) = account();
    let ledger = Ledger::of(&operator, &device, lengthened);
    let other = ledger.signed_with(SigningKey::from_bytes(&[7; 32]));
    operator.attack(&device, "get k", other.shown(), 7, "checkpoint");
    let bob = operator.registered("bob");
    let bobs = Ledger::of(&operator, &bob, lengthened);
    operator.attack(&device, "get k", bobs.shown(), 7, "checkpoint");
}

#[test]
fn a_consistency_proof_of_another_tree_is_refused() {
    let (operator, device) = account();
    let swap = |change: fn(&mut Vec<Digest>)| {
        Lie::sync(move |sync| {
            change(&mut sync.consistency);
        })
    };
    let cases: [fn(&mut Vec<Digest>); 4] = [
        |proof| proof.push(Digest::new([7; 32])),
        Vec::clear,
        |proof| proof.reverse(),
        |proof| {
            if let Some(first) = proof.first_mut() {
                *first = Digest::new([7; 32]);
            }
        },
    ];
    for case in cases {
        operator.attack(&device, "get k", swap(case), 7, "does not extend");
    }
}

/// A record at the end, where no device has looked yet: the tree proves it, and no device of the owner's has signed it.
#[test]
fn records_without_a_devices_signature_are_shown_as_forged() {
    let (operator, device) = account();
    let cases: [fn(&mut Record); 7] = [
        |_| {},
        |record| record.device = Some(DeviceId::new([9; 16])),
        |record| record.secret = Some(SecretId::new([9; 16])),
        |record| record.entry = Some(Digest::of(b"another")),
        |record| record.signature = None,
        |record| record.signature = Some(Signature::new([7; 64])),
        |record| record.counter += 1,
    ];
    for case in cases {
        let lie = Ledger::lengthened(&operator, &device, move |records| {
            append(records, AuditedOperation::Get, case);
        });
        operator.lie(lie);
        let run = device.run(&["audit"]).expect(7);
        assert!(operator.told() > 0);
        assert!(run.text().contains("FORGED"), "{run:#?}");
        assert!(run.text().contains("NOT VERIFIED"), "{run:#?}");
        // The history that was invented is the one that this device now knows; another begins with what is true.
        std::fs::remove_dir_all(device.home().join("state")).unwrap();
        operator.be_honest();
        device.run(&["audit"]).ok();
    }
}

/// Copies the newest record of this operation to the end of the log, and lets `change` make something of it.
fn append(records: &mut Vec<ByteBuf>, operation: AuditedOperation, change: impl Fn(&mut Record)) {
    let decode = |record: &ByteBuf| codec::decode::<Record>(record, MAX_RECORD_LEN).unwrap();
    let last = decode(records.last().unwrap());
    let mut all = records.iter().rev().map(decode);
    let mut record = all.find(|record| record.operation == operation).unwrap();
    record.index = last.index + 1;
    record.time_ms = last.time_ms;
    change(&mut record);
    records.push(record.encode().unwrap().into());
}

/// One login of the owner's is not two, with other times and addresses.
#[test]
fn a_login_counts_once() {
    let (operator, device) = account();
    let lie = Ledger::lengthened(&operator, &device, |records| {
        append(records, AuditedOperation::Login, |record| {
            record.remote = "192.0.2.1".into();
        });
    });
    operator.lie(lie);
    let run = device.run(&["audit --op login"]).expect(7);
    assert!(run.text().contains("192.0.2.1 "), "{run:#?}");
    assert_eq!(run.text().matches("FORGED").count(), 1, "{run:#?}");
}

type Change = fn(&mut Record);

/// Times that go back, counts and addresses that no server writes: each would hide a record, or tell stories.
#[test]
fn records_that_no_honest_server_writes_are_refused() {
    let (operator, device) = account();
    let cases: [(AuditedOperation, Change); 8] = [
        (AuditedOperation::Get, |record| record.time_ms = 0),
        (AuditedOperation::Get, |record| record.count = 1000),
        (AuditedOperation::LoginStart, |record| record.count = 0),
        (AuditedOperation::LoginStart, |record| record.counter = 1),
        (AuditedOperation::Login, |record| {
            record.secret = Some(SecretId::new([7; 16]));
        }),
        (AuditedOperation::Get, |record| {
            record.remote = "here".into();
        }),
        (AuditedOperation::Get, |record| record.format = 3),
        (AuditedOperation::Register, |_| {}),
    ];
    for (operation, case) in cases {
        let lie = Ledger::lengthened(&operator, &device, move |records| {
            append(records, operation, case);
        });
        operator.attack(&device, "audit", lie, 7, "is malformed");
    }
}

/// Row 10 of the review: each of these was once shown as harmless.
#[test]
fn outcomes_that_no_honest_server_records_are_refused() {
    use AuditedOperation as Audited;

    let (operator, device) = account();
    let cases: [(AuditedOperation, Change); 10] = [
        (Audited::Login, |record| record.session = None),
        (Audited::Login, |record| record.outcome = Outcome::NotFound),
        (Audited::Login, |record| record.outcome = Outcome::Conflict),
        (Audited::Login, |record| record.outcome = Outcome::Refused),
        (Audited::LoginStart, |record| {
            record.outcome = Outcome::Conflict;
        }),
        (Audited::LoginStart, |record| {
            record.outcome = Outcome::NotFound;
        }),
        (Audited::LoginStart, |record| {
            record.session = Some(SessionId::new([7; 16]));
        }),
        (Audited::Get, |record| record.outcome = Outcome::Conflict),
        (Audited::Sync, |record| record.outcome = Outcome::NotFound),
        (Audited::Get, |record| record.session = None),
    ];
    for (operation, case) in cases {
        let lie = Ledger::lengthened(&operator, &device, move |records| {
            append(records, operation, case);
        });
        operator.attack(&device, "audit", lie, 7, "is malformed");
    }
}

type ChangeRecord = Box<dyn Fn(&mut Record) + Send>;

/// A login with a first request, by a credential that vouches for a device: an opening of the operator's own making, or of
/// another session, slot, generation or device than it says.
#[test]
fn a_session_without_a_valid_opening_is_forged() {
    let (operator, device) = account();
    let account = operator.account(&device);
    let session = SessionId::random();
    let own = DeviceIdentity::random();
    let key = own.signing();
    // The key of the true password credential, by way of its owner: what it vouches for in another place is worth nothing.
    let password = SecretBytes::from(PASSWORD.as_bytes());
    let unused = (DeviceIdentity::random(), SecretBytes::default());
    let owner = Owner::of(&operator, "alice", &password, unused);
    let former = owner.log_in_by(&operator, Slot::Password).slot_keys;
    let by = |slot, generation, key: SigningKey| {
        let own = own.clone();
        opened_by(account, session, own, move |device| {
            Opening::sign(&account, &session, (slot, generation), device, &key)
        })
    };
    let control = by(Slot::Password, 1, former.signing());
    let other = SessionId::random();
    let other_session = {
        let key = former.signing();
        opened_by(account, session, own.clone(), move |device| {
            Opening::sign(&account, &other, (Slot::Password, 1), device, &key)
        })
    };
    let other_device = {
        let key = former.signing();
        opened_by(account, session, own.clone(), move |_| {
            let device = DeviceIdentity::random().public();
            Opening::sign(&account, &session, (Slot::Password, 1), device, &key)
        })
    };
    let cases: Vec<ChangeRecord> = vec![
        by(Slot::Password, 1, key.clone()),
        by(Slot::Password, 2, key.clone()),
        by(Slot::Recovery, 1, key.clone()),
        by(Slot::Device(own.id()), 1, key),
        by(Slot::Recovery, 1, former.signing()),
        by(Slot::Password, 2, former.signing()),
        by(Slot::Device(own.id()), 1, former.signing()),
        other_session,
        other_device,
        Box::new(|record| record.opening = None),
        // The opening and signature of the session that was copied.
        Box::new(|_| {}),
    ];
    let verdict = |case: ChangeRecord| {
        let lie = Ledger::lengthened(&operator, &device, move |records| {
            append(records, AuditedOperation::Login, |record| {
                record.session = Some(session);
            });
            append(records, AuditedOperation::Sync, |record| {
                record.session = Some(session);
                record.counter = 1;
                record.position = 0;
                case(record);
            });
        });
        operator.lie(lie);
        let run = device.run(&["audit"]);
        assert!(operator.told() > 0);
        std::fs::remove_dir_all(device.home().join("state")).unwrap();
        operator.be_honest();
        device.run(&["audit"]).ok();
        (run.status, run.text().matches("FORGED").count())
    };
    for (number, case) in cases.into_iter().enumerate() {
        assert_eq!(verdict(case), (7, 1), "{number}");
    }
    // By the credential that holds it is the owner's.
    assert_eq!(verdict(control), (0, 0));
    // And not any more once the password was replaced.
    std::fs::write(device.path("next"), format!("{PASSWORD} 2\n")).unwrap();
    let line = format!(
        "passwd --new-password-file {}",
        device.path("next").display()
    );
    device.run(&[&line]).ok();
    device.set_password(&format!("{PASSWORD} 2"));
    let replaced = by(Slot::Password, 1, former.signing());
    assert_eq!(verdict(replaced), (7, 1));
}

/// A first request of a session that `opening` makes, signed by this device.
fn opened_by(
    account: AccountId,
    session: SessionId,
    device: DeviceIdentity,
    opening: impl Fn(PublicKey) -> Opening + Send + 'static,
) -> ChangeRecord {
    Box::new(move |record| {
        record.session = Some(session);
        record.device = Some(device.id());
        record.opening = Some(opening(device.public()));
        let signed = SignedOperation::of(&account, record).unwrap();
        record.signature = Some(signed.sign(&device.signing()));
    })
}

/// What a device asked for itself must have been written down, even where the tree was never seen before.
#[test]
fn a_request_that_was_not_written_down_is_missed() {
    let (operator, device) = account();
    let fresh = operator.device("alice");
    let shown = Ledger::of(&operator, &device, |_| {}).shown();
    let words = "did not write down request 1 of this session";
    operator.deceive(&fresh, &["audit"], shown, 7, words);
}

/// The last requests of a session leave no gap between counters: the device knows them.
#[test]
fn the_last_requests_of_an_earlier_session_are_missed() {
    fn decoded(record: &ByteBuf) -> Record {
        codec::decode(record, MAX_RECORD_LEN).unwrap()
    }
    fn newest_get(records: &[ByteBuf]) -> Record {
        let mut newest_first = records.iter().rev().map(decoded);
        newest_first
            .find(|record| record.operation == AuditedOperation::Get)
            .unwrap()
    }
    fn omit(records: &mut Vec<ByteBuf>) {
        let newest = newest_get(records);
        records.retain(|record| {
            let record = decoded(record);
            record.session != newest.session || record.counter < newest.counter
        });
        renumber(records);
    }
    let (operator, device) = account();
    let other = operator.device("alice");
    let before = Ledger::of(&operator, &other, omit);
    let (Lie::Answer(mut sync), Lie::Answer(mut audit)) =
        (before.shown(), Ledger::lengthened(&operator, &device, omit))
    else {
        panic!("lies about answers");
    };
    let lie = Lie::Answer(Box::new(move |request, answer| match request.call {
        Call::Sync(_) => sync(request, answer),
        _ => audit(request, answer),
    }));
    let words = "of an earlier session of this device";
    operator.deceive(&device, &["audit"], lie, 7, words);
}

/// A credential that was installed after the last sync is no forgery.
#[test]
fn a_device_that_logs_in_meanwhile_is_the_owners() {
    let (operator, device) = account();
    let other = operator.device("alice");
    let (lie, at, release) = Lie::hold_first(|call| matches!(call, Call::Audit(_)));
    operator.lie(lie);
    let unlocked = std::thread::spawn(move || {
        at.recv().unwrap();
        let run = other.run(&["unlock"]);
        let read = other.run(&["get k"]);
        drop(release);
        (other, [run, read])
    });
    let run = device.run(&["audit"]);
    let (other, runs) = unlocked.join().unwrap();
    other.run(&["lock"]).ok();
    for run in runs {
        run.ok();
    }
    assert!(run.ok().text().contains(" 0 forged"));
}

#[test]
fn devices_that_were_shown_different_logs_find_out() {
    let (operator, device) = account();
    // A second device is shown a log without the newest records, and others in their place.
    let ledger = Ledger::of(&operator, &device, |records| {
        records.truncate(records.len() - 2);
        lengthened(records);
    });
    let other = operator.device("alice");
    operator.lie(ledger.shown());
    other.put("from the other", b"1");
    assert!(operator.told() > 0);
    let fingerprint = |device: &Device| {
        let run = device.run_with(&["--json"], &["status"], b"").ok();
        run.json()[0]["audit_log"]["fingerprint"].clone()
    };
    assert_ne!(fingerprint(&device), fingerprint(&other));
    operator.be_honest();
    // What the other device wrote down in the vault log tells the first one, and the log itself tells the other.
    caught(&device, &["ls"], 7, "was shown another audit log");
    caught(&other, &["ls"], 7, "the audit log");
}

/// Row 15 of the review: what other devices have seen costs no request, and so no record, however many they are.
#[test]
fn reading_costs_one_request_whatever_other_devices_have_seen() {
    let (operator, device) = account();
    for number in 0..3 {
        let other = operator.device("alice");
        other.put(&format!("from {number}"), b"value");
    }
    for reader in [&device, &operator.device("alice")] {
        let before = operator.calls().len();
        reader.run(&["ls"]).ok();
        let calls = operator.calls().split_off(before);
        let [Call::Sync(_), Call::Logout(_)] = calls.as_slice() else {
            panic!("{calls:?}");
        };
    }
    device.run(&["audit"]).ok();
}

/// The proofs that stand for those requests.
#[test]
fn what_other_devices_have_seen_is_proven() {
    let (operator, device) = account();
    for number in 0..2 {
        let other = operator.device("alice");
        other.put(&format!("from {number}"), b"value");
    }
    let cases: [fn(&mut Vec<Vec<Digest>>); 6] = [
        Vec::clear,
        |proofs| proofs.truncate(1),
        |proofs| proofs.reverse(),
        |proofs| {
            proofs.remove(0);
        },
        |proofs| proofs.iter_mut().for_each(Vec::clear),
        |proofs| {
            for proof in proofs {
                proof.push(Digest::new([7; 32]));
            }
        },
    ];
    for case in cases {
        let lie = Lie::sync(move |sync| {
            if sync.seen.len() > 1 {
                case(&mut sync.seen);
            }
        });
        let fresh = operator.device("alice");
        operator.deceive(&fresh, &["ls"], lie, 7, "was shown another audit log");
    }
    device.run(&["ls"]).ok();
}

#[test]
fn devices_that_are_in_step_show_the_same_fingerprints() {
    let (operator, device) = account();
    let other = operator.device("alice");
    other.run(&["ls"]).ok();
    device.run(&["ls"]).ok();
    let status = |device: &Device| {
        let run = device.run_with(&["--json"], &["status"], b"").ok();
        run.json()[0].clone()
    };
    let (ours, theirs) = (status(&device), status(&other));
    assert_eq!(ours["vault_log"], theirs["vault_log"]);
    assert!(ours["vault_log"]["fingerprint"].is_string());
    // The audit log has grown meanwhile: one device shows what it was when the other looked.
    let line = format!("audit --at {}", theirs["audit_log"]["records"]);
    let run = device.run_with(&["--json"], &[&line], b"").ok();
    assert_eq!(run.json()[0]["at"], theirs["audit_log"]);
    device.run(&["audit --at 100000"]).expect(2);
}

/// No device may be made to read for ever, or to run out of memory, by a number: even by one that proves out.
#[test]
fn absurd_sizes_are_bounded() {
    for size in [u64::MAX, 1 << 62, 1 << 32] {
        let (operator, device) = account();
        let ledger = Ledger::of(&operator, &device, |_| {});
        operator.lie(ledger.grown_to(size));
        let run = device.run(&["audit"]);
        assert!(operator.told() > 0);
        assert_caught(&run, 8, &size.to_string());
        operator.be_honest();
        caught(&device, &["ls"], 7, "rolled back");
    }
}

#[test]
fn an_audit_file_proves_what_it_holds_and_nothing_else() {
    let (_operator, device) = account();
    let file = device.path("evidence.json");
    let path = file.display();
    device.run(&[&format!("audit --out {path}")]).ok();
    let verify = format!("audit --verify {path}");
    device.run(&[&verify]).ok();
    let honest: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let record = |number: usize| honest["records"][number].clone();
    let mut cases = Vec::new();
    // The proof of another record, another record under a proof, and each part of the checkpoint altered.
    let mut swapped = honest.clone();
    swapped["records"][1]["proof"] = record(2)["proof"].clone();
    cases.push(swapped);
    let mut swapped = honest.clone();
    swapped["records"][1]["record"] = record(2)["record"].clone();
    cases.push(swapped);
    let mut reordered = honest.clone();
    reordered["records"][1]["proof"]
        .as_array_mut()
        .unwrap()
        .reverse();
    cases.push(reordered);
    let note = honest["checkpoint"].as_str().unwrap();
    for (from, to) in [("\n1", "\n2"), ("\n2", "\n3"), ("keyshell", "keyshelL")] {
        let mut altered = honest.clone();
        altered["checkpoint"] = note.replacen(from, to, 1).into();
        if altered != honest {
            cases.push(altered);
        }
    }
    let mut other_key = honest.clone();
    other_key["checkpoint_key"] = "07".repeat(32).into();
    cases.push(other_key);
    // Everything right, under a key of the forger's own.
    let key = SigningKey::from_bytes(&[7; 32]);
    let mut signed = honest.clone();
    let (account, server) = (ids(&honest, "account"), ids(&honest, "server"));
    let (server, account) = (ServerId::new(server), AccountId::new(account));
    let known = PublicKey::from_hex(honest["checkpoint_key"].as_str().unwrap()).unwrap();
    let head = checkpoint::verify(note, &known, &server, &account).unwrap();
    signed["checkpoint"] = checkpoint::sign(&key, &server, &account, &head).into();
    signed["checkpoint_key"] = HEXLOWER.encode(key.verifying_key().as_bytes()).into();
    cases.push(signed);
    let mut twice = honest.clone();
    let first = record(0);
    twice["records"].as_array_mut().unwrap().push(first);
    cases.push(twice);
    for case in cases {
        std::fs::write(&file, serde_json::to_vec(&case).unwrap()).unwrap();
        let run = device.run(&[&verify]);
        assert_eq!((run.status, run.stdout.len()), (7, 0), "{run:#?}\n{case}");
    }
}

fn ids(file: &serde_json::Value, name: &str) -> [u8; 16] {
    let bytes = HEXLOWER.decode(file[name].as_str().unwrap().as_bytes());
    bytes.unwrap().try_into().unwrap()
}

/// The true audit log beside a vault log that lacks its end: what another device was told is stored must be there.
#[test]
fn entries_that_only_the_audit_log_has_are_withheld() {
    let (operator, device) = account();
    let other = operator.device("alice");
    other.run(&["ls"]).ok();
    let (sender, receiver) = mpsc::channel();
    operator.lie(Lie::sync(move |sync| {
        let _ = sender.send(sync.head);
    }));
    other.run(&["ls"]).ok();
    operator.be_honest();
    let head = receiver.try_iter().last().unwrap();
    device.put("hidden", b"value");
    let withheld = Lie::sync(move |sync| {
        sync.entries.clear();
        sync.head = head;
    });
    operator.deceive(
        &other,
        &["audit"],
        withheld,
        7,
        "the server withholds entries",
    );
}
