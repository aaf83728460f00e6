//! An operator who lies about the vault log. The map of attacks is in `docs/threat-model.md`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use ed25519_dalek::SigningKey;
use keyshell_client::error::Error;
use keyshell_client::verification::VerificationError;
use shared::codec;
use shared::ids::{Digest, Seq, Version};
use shared::vault_log::{Entry, Head, Op, SecretVersion, SignedEntry};
use shared::wire::call::{Answer, Call, LoggedEntry};
use shared::wire::error::Refusal;
use tests::device::Device;
use tests::operator::lie::Lie;
use tests::operator::{Operator, caught};

/// An account whose log is: genesis, password, recovery code, put `a`, put `b`, rename `a` to `c`, put `d`, remove `d`.
fn account() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("a", b"of a");
    device.put("b", b"of b");
    device.run(&["mv a c"]).ok();
    device.put("d", b"of d");
    device.run(&["rm d --yes"]).ok();
    (operator, device)
}

/// The head of a log that ends with this entry.
fn head_of(last: &SignedEntry) -> Head {
    Head {
        seq: last.decode_unverified().unwrap().seq,
        hash: last.hash(),
    }
}

/// Shows only the first `n` entries, as if there were no more.
fn prefix(n: usize) -> Lie {
    let mut shown: Vec<LoggedEntry> = Vec::new();
    Lie::sync(move |sync| {
        if shown.is_empty() {
            shown.clone_from(&sync.entries);
        }
        sync.entries.truncate(n);
        sync.head = head_of(&shown[n.min(shown.len()) - 1].entry);
    })
}

/// Forgets what can be computed anew, but not the pins.
fn forget_cache(device: &Device) {
    std::fs::remove_dir_all(device.home().join("cache")).unwrap();
}

#[test]
fn a_truncated_log_is_noticed() {
    let (operator, device) = account();
    for n in 1..8 {
        forget_cache(&device);
        operator.deceive(&device, &["ls"], prefix(n), 7, "rolled back");
        operator.be_honest();
        device.run(&["ls"]).ok();
    }
    // With the cache, where nothing but the head has to be lied about.
    let known = Lie::sync(|sync| sync.head.seq = Seq(sync.head.seq.0 - 1));
    operator.attack(&device, "ls", known, 7, "rolled back");
}

#[test]
fn a_removed_secret_is_not_resurrected() {
    let (operator, device) = account();
    device.run(&["get d"]).expect(3);
    forget_cache(&device);
    operator.deceive(&device, &["get d"], prefix(7), 7, "rolled back");
}

#[test]
fn a_rename_is_not_undone() {
    let (operator, device) = account();
    device.run(&["get c"]).ok();
    forget_cache(&device);
    operator.deceive(&device, &["get a"], prefix(5), 7, "rolled back");
    // Leaving just the rename out breaks the chain.
    let hole = Lie::sync(|sync| {
        if sync.entries.len() > 5 {
            sync.entries.remove(5);
        }
    });
    operator.deceive(&device, &["get a"], hole, 7, "does not continue the log");
}

type ChangeEntries = fn(&mut Vec<LoggedEntry>);

#[test]
fn reordered_and_duplicated_entries_are_noticed() {
    let (operator, device) = account();
    let (order, contradiction) = ("does not continue the log", "contradicts the entries");
    let cases: [(ChangeEntries, &str); 5] = [
        (|entries| entries.swap(1, 2), order),
        (|entries| entries.swap(3, 4), order),
        (|entries| entries.insert(2, entries[1].clone()), order),
        // A log that does not begin with the entry that names its key.
        (|entries| entries.swap(0, 1), contradiction),
        (|entries| entries.reverse(), contradiction),
    ];
    for (case, words) in cases {
        forget_cache(&device);
        let lie = Lie::sync(move |sync| {
            if sync.entries.len() > 4 {
                case(&mut sync.entries);
            }
        });
        operator.deceive(&device, &["ls"], lie, 7, words);
        operator.be_honest();
        device.run(&["ls"]).ok();
    }
}

/// What follows the log in the operator's own words.
fn forged(entry: &Entry, key: &SigningKey) -> (SignedEntry, Head) {
    let signed = SignedEntry::sign(entry, key).unwrap();
    let head = head_of(&signed);
    (signed, head)
}

fn next(operator: &Operator, head: Head) -> Entry {
    let appended = operator.appended();
    let last = appended
        .last()
        .unwrap()
        .1
        .entry
        .decode_unverified()
        .unwrap();
    let put =
        appended
            .iter()
            .find_map(|(_, new)| match new.entry.decode_unverified().unwrap().op {
                Op::Put(put) => Some(put),
                _ => None,
            });
    Entry {
        seq: head.seq.next(),
        previous: head.hash,
        op: Op::Remove(SecretVersion {
            secret: put.unwrap().secret,
            version: Version(1),
        }),
        ..last
    }
}

#[test]
fn entries_of_the_operators_own_making_are_refused() {
    let (operator, device) = account();
    let last = operator.appended().last().unwrap().1.entry.clone();
    let entry = next(&operator, head_of(&last));
    operator.registered("bob");
    let mut bob = operator.client("bob");
    bob.sync().unwrap();
    let bobs = bob.vault().session().keys().signing();
    for key in [
        SigningKey::from_bytes(&[7; 32]),
        operator.keys().checkpoint,
        bobs,
    ] {
        let (signed, head) = forged(&entry, &key);
        let lie = Lie::sync(move |sync| {
            sync.entries.push(without_content(signed.clone()));
            sync.head = head;
        });
        operator.attack(&device, "get c", lie, 7, "not signed by the account's key");
    }
    // A signature of the owner's on another entry.
    let (bytes, _) = parts(&forged(&entry, &operator.keys().checkpoint).0);
    let (_, signature) = parts(&operator.appended()[1].1.entry);
    let lie = Lie::sync(move |sync| {
        let forged = joined(&bytes, &signature);
        sync.head = head_of(&forged);
        sync.entries.push(without_content(forged));
    });
    operator.attack(&device, "get c", lie, 7, "not signed by the account's key");
}

type Parts = (serde_bytes::ByteBuf, shared::ids::Signature);

fn parts(signed: &SignedEntry) -> Parts {
    let bytes = codec::encode(signed).unwrap();
    codec::decode(&bytes, bytes.len()).unwrap()
}

fn joined(entry: &serde_bytes::ByteBuf, signature: &shared::ids::Signature) -> SignedEntry {
    let bytes = codec::encode(&(entry, signature)).unwrap();
    codec::decode(&bytes, bytes.len()).unwrap()
}

fn without_content(entry: SignedEntry) -> LoggedEntry {
    LoggedEntry {
        entry,
        metadata: None,
    }
}

/// Neither the hashes that entries name, nor what stands beside the log under them.
#[test]
fn metadata_cannot_be_swapped_between_entries() {
    let (operator, device) = account();
    let lie = Lie::sync(|sync| {
        if sync.entries.len() < 5 {
            return;
        }
        let (first, second) = sync.entries.split_at_mut(4);
        std::mem::swap(&mut first[3].metadata, &mut second[0].metadata);
    });
    forget_cache(&device);
    let words = "the content of vault log entry 4 is not the one that it names";
    operator.deceive(&device, &["ls"], lie, 7, words);
    // None at all, of one entry that a later one replaces and of one that stays.
    for place in [3, 4] {
        let lie = Lie::sync(move |sync| {
            if let Some(logged) = sync.entries.get_mut(place) {
                logged.metadata = None;
            }
        });
        let words = format!("withholds the content of vault log entry {}", place + 1);
        operator.deceive(&device, &["ls"], lie, 7, &words);
    }
    let lie = Lie::sync(|sync| {
        if sync.entries.len() < 5 {
            return;
        }
        let (a, sig_a) = parts(&sync.entries[3].entry);
        let (b, sig_b) = parts(&sync.entries[4].entry);
        let mut first: Entry = codec::decode(&a, a.len()).unwrap();
        let mut second: Entry = codec::decode(&b, b.len()).unwrap();
        if let (Op::Put(first), Op::Put(second)) = (&mut first.op, &mut second.op) {
            std::mem::swap(&mut first.metadata, &mut second.metadata);
        }
        let encoded = |entry: &Entry| codec::encode(entry).unwrap().into();
        sync.entries[3].entry = joined(&encoded(&first), &sig_a);
        sync.entries[4].entry = joined(&encoded(&second), &sig_b);
        let (first, second) = sync.entries.split_at_mut(4);
        std::mem::swap(&mut first[3].metadata, &mut second[0].metadata);
    });
    operator.deceive(&device, &["ls"], lie, 7, "not signed by the account's key");
}

#[test]
fn the_log_of_another_account_is_refused() {
    let (operator, device) = account();
    let bob = operator.registered("bob");
    bob.put("a", b"bob's");
    // Bob's whole log, as his own client is shown it.
    let (sender, theirs) = std::sync::mpsc::channel();
    operator.lie(Lie::sync(move |sync| {
        // The receiver takes the first one.
        let _ = sender.send((sync.entries.clone(), sync.head));
    }));
    forget_cache(&bob);
    bob.run(&["ls"]).ok();
    let (entries, head) = theirs.recv().unwrap();
    let lie = Lie::sync(move |sync| {
        sync.entries.clone_from(&entries);
        sync.head = head;
    });
    forget_cache(&device);
    operator.deceive(&device, &["ls"], lie, 7, "not signed by the account's key");
}

#[test]
fn an_empty_log_is_refused_on_every_device() {
    let (operator, device) = account();
    let empty = || {
        Lie::sync(|sync| {
            sync.entries.clear();
            sync.head = Head::EMPTY;
        })
    };
    operator.attack(&device, "ls", empty(), 7, "rolled back");
    forget_cache(&device);
    operator.deceive(&device, &["ls"], empty(), 7, "rolled back");
    let fresh = operator.device("alice");
    operator.deceive(&fresh, &["ls"], empty(), 7, "empty vault log");
}

#[test]
fn a_forked_log_is_noticed_when_the_devices_meet_again() {
    let (mut operator, device) = account();
    let mut other = operator.device("alice");
    other.run(&["ls"]).ok();
    let fork = operator.fork();
    other.set_server(&fork.url);
    // Each device works for a while on its own continuation, and neither can know.
    device.put("here", b"1");
    other.put("there", b"2");
    assert_eq!(device.get("here"), b"1");
    assert_eq!(other.get("there"), b"2");
    // One is brought over to the other's.
    other.set_server(&operator.url);
    caught(&other, &["ls"], 7, "forked");
    device.put("here too", b"3");
    caught(&other, &["ls"], 7, "does not continue the log");
    forget_cache(&other);
    caught(&other, &["ls"], 7, "forked");
    // Who stays is not disturbed.
    assert_eq!(device.get("here"), b"1");
}

#[test]
fn a_rolled_back_database_is_noticed() {
    let (mut operator, device) = account();
    let copy = operator.copy();
    device.put("later", b"lost");
    operator.roll_back(copy);
    caught(&device, &["get c"], 7, "rolled back");
    caught(&device, &["put new --file /dev/null"], 7, "rolled back");
}

#[test]
fn an_older_index_on_the_device_changes_nothing() {
    let (operator, device) = account();
    let cache = device.home().join("cache");
    let kept = device.path("kept");
    tests::server::copy_folder(&cache, &kept);
    device.run_with(&[], &["put c --force"], b"new").ok();
    std::fs::remove_dir_all(&cache).unwrap();
    tests::server::copy_folder(&kept, &cache);
    assert_eq!(device.get("c"), b"new");
    // Together with a server that hides what came after it.
    std::fs::remove_dir_all(&cache).unwrap();
    tests::server::copy_folder(&kept, &cache);
    let hidden = Lie::sync(|sync| {
        sync.head.seq = Seq(sync.head.seq.0 - 1);
        sync.head.hash = Digest::new([7; 32]);
        sync.entries.clear();
    });
    operator.deceive(&device, &["get c"], hidden, 7, "rolled back");
}

/// Neither of two runs on one device may forget what the other has seen.
#[test]
fn two_runs_on_one_device_cannot_be_shown_two_logs() {
    let (mut operator, _device) = account();
    let mut first = operator.client("alice");
    first.sync().unwrap();
    let fork = operator.fork();
    let mut second = first.beside();
    second.set_server(&fork.url);
    second.put("there", b"2").unwrap();
    first.close();
    let error = first.put("here", b"1").unwrap_err();
    let is_noticed = matches!(
        error,
        Error::Verification(VerificationError::RolledBack { .. })
    );
    assert!(is_noticed, "{error}");
}

#[test]
fn two_runs_on_one_device_share_what_they_have_seen() {
    let (operator, _device) = account();
    let mut first = operator.client("alice");
    first.sync().unwrap();
    let mut second = first.beside();
    second.put("there", b"2").unwrap();
    assert_eq!(first.get("there"), Ok(Some(b"2".to_vec())));
    first.put("here", b"3").unwrap();
    assert_eq!(second.get("here"), Ok(Some(b"3".to_vec())));
}

#[test]
fn an_old_answer_to_the_same_question_is_refused() {
    let (operator, _device) = account();
    let mut client = operator.client("alice");
    client.sync().unwrap();
    let mut first: Option<Vec<u8>> = None;
    operator.lie(Lie::Plaintext(Box::new(move |_, answer| {
        let old = first.get_or_insert_with(|| answer.clone());
        answer.clone_from(old);
    })));
    client.sync().unwrap();
    let error = client.sync().unwrap_err();
    let stale = VerificationError::StaleCheckpoint;
    assert_eq!(error, Error::Verification(stale));
    assert_eq!(operator.told(), 1);
}

/// What another device removed, destroyed or re-encrypted between the sync and the reading is no lie.
#[test]
fn a_secret_that_was_changed_meanwhile_is_not_withheld() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    let mut client = operator.client("alice");
    client.sync().unwrap();
    device.run(&["rm k --yes"]).ok();
    // Removed is not gone.
    assert_eq!(client.fetch("k"), Ok(Some(b"value".to_vec())));
    client.sync().unwrap();
    assert_eq!(client.restore("k"), Ok(true));
    let mut other = operator.client("alice");
    other.remove("k").unwrap();
    other.purge("k").unwrap();
    let destroyed = Error::NoSuchSecret("k".into());
    assert_eq!(client.fetch("k"), Err(destroyed));
    // Re-encrypted after the sync in which this device followed into the new epoch.
    device.put("k", b"value");
    operator.lie(Lie::Instead(Box::new(|request| match request.call {
        Call::Append(_) => Some(Answer::Refused(Refusal::DiskFull)),
        _ => None,
    })));
    assert!(other.rotate().is_err());
    operator.be_honest();
    client.sync().unwrap();
    other.rotate().unwrap();
    assert_eq!(client.fetch("k"), Ok(Some(b"value".to_vec())));
    // The same answers with the log that says so withheld as well.
    device.put("k2", b"value");
    client.sync().unwrap();
    operator.lie(Lie::values(|values| values.fill(None)));
    let error = client.fetch("k").unwrap_err();
    let is_noticed = matches!(
        error,
        Error::Verification(VerificationError::ValueWithheld { .. })
    );
    assert!(is_noticed, "{error}");
}
