//! A thief of a device, who has its keys: what they sign cannot lock the vault for the owner, who can still shut them out.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use keyshell_client::keys::seal::SecretContext;
use serde_bytes::ByteBuf;
use shared::checkpoint::TreeHead;
use shared::codec;
use shared::ids::{DeviceId, Digest, PublicKey, SecretId, Seq, Version};
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::{
    Acknowledge, Credential, Describe, Entry, Op, Purge, Rekey, Sealed, SecretVersion,
};
use shared::wire::call::{Answer, Call, NewEntry};
use shared::wire::error::Refusal;
use tests::device::Device;
use tests::operator::PASSWORD;
use tests::owner::{Owner, Session};
use tests::server::Server;

type Change = Box<dyn FnOnce(&mut Entry)>;

const JUNK: &[u8] = b"neither sealed nor padded";

fn account() -> (Server, Owner, Session, Device) {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", PASSWORD);
    let thief = owner.log_in(&server);
    let device = Device::new(&server, "alice", PASSWORD);
    (server, owner, thief, device)
}

/// A note that nobody can open.
fn note(session: &Session, change: impl FnOnce(&mut Entry)) -> NewEntry {
    let junk = vec![0; 300];
    let mut new = session.entry(Op::Note(Digest::of(&junk)), change);
    new.metadata = Some(ByteBuf::from(junk));
    new
}

#[test]
fn what_cannot_be_read_locks_nobody_out() {
    let (_server, owner, mut thief, device) = account();
    thief.put(JUNK);
    let junk = note(&thief, |_| {});
    thief.append(junk).unwrap();
    // It is said whose doing it is, and not the server's.
    let run = device.run(&["ls"]).ok();
    assert!(run.text().starts_with("unreadable "), "{run:?}");
    assert!(run.stderr.contains("cannot be read: device"), "{run:?}");
    let name = run.text().trim().to_owned();
    device.put("k", b"value");
    // It takes no name away either, and no value but its own.
    let Ok(Answer::Sync(shown)) = thief.sync(0) else {
        panic!("no log");
    };
    let Op::Put(known) = shown
        .entries
        .last()
        .unwrap()
        .entry
        .decode_unverified()
        .unwrap()
        .op
    else {
        panic!("not the newest secret");
    };
    thief.follow(shown.head);
    let describe = Op::Describe(Describe {
        secret: known.secret,
        version: known.version,
        epoch: known.epoch,
        metadata: Digest::of(JUNK),
    });
    let mut junk = thief.entry(describe, |_| {});
    junk.metadata = Some(ByteBuf::from(JUNK.to_vec()));
    thief.append(junk).unwrap();
    device.run(&["ls", "info k", "audit"]).ok();
    assert_eq!(device.get("k"), b"value");
    let run = device.run(&[&format!("get '{name}'")]).expect(1);
    assert!(run.stderr.contains("cannot be read"), "{run:?}");
    // The owner shuts the thief out, and takes the key that they know.
    let id = owner.device_slot().to_string();
    let id = id.strip_prefix("device:").unwrap();
    device.run(&[&format!("devices revoke {id} --yes")]).ok();
    assert!(matches!(thief.call(Call::Slots), Err(Refusal::NoSession)));
    device.run(&["rotate-key --yes"]).ok();
    assert_eq!(device.get("k"), b"value");
    let fresh = device.another(PASSWORD);
    assert_eq!(fresh.get("k"), b"value");
    let run = fresh.run(&[&format!("get '{name}'")]).expect(1);
    assert!(run.stderr.contains("cannot be read"), "{run:?}");
    fresh.run(&[&format!("rm '{name}' --yes"), "audit"]).ok();
    assert_eq!(fresh.run(&["ls"]).ok().text().trim(), "k");
}

/// Metadata over the limits of this program, as a thief or another client can write them, are re-encrypted as they are.
#[test]
fn more_tags_than_a_secret_may_have_stop_no_rotation() {
    let (_server, _owner, mut thief, device) = account();
    let (secret, version) = (SecretId::random(), Version(1));
    let tags: Vec<_> = (10..75).map(|number| format!("tag{number}")).collect();
    let map = codec::encode(&serde_json::json!({"name": "many", "tags": tags})).unwrap();
    let place = SecretContext { secret, version };
    let value = place
        .seal_value(&thief.keys, &SecretBytes::from(b"value".as_slice()))
        .unwrap();
    let metadata = place.seal_metadata(&thief.keys, &map).unwrap();
    let op = Op::Put(Sealed {
        secret,
        version,
        epoch: 1,
        value: Digest::of(&value),
        metadata: Digest::of(&metadata),
    });
    let new = NewEntry {
        value: Some(ByteBuf::from(value)),
        metadata: Some(ByteBuf::from(metadata)),
        ..thief.entry(op, |_| {})
    };
    thief.append(new).unwrap();
    let tags = |device: &Device| {
        let run = device.run_with(&["--json"], &["info many"], b"").ok();
        run.json()[0]["tags"].as_array().unwrap().len()
    };
    assert_eq!(tags(&device), 65);
    let run = device.run(&["rotate-key --yes"]).ok();
    assert!(!run.stderr.contains("cannot be read"), "{run:?}");
    assert_eq!((tags(&device), device.get("many")), (65, b"value".to_vec()));
}

/// Notes count towards the quota until the owner destroys them.
#[test]
fn notes_of_a_thief_are_destroyed_by_the_owner() {
    let (_server, _owner, mut thief, device) = account();
    for _ in 0..3 {
        let junk = note(&thief, |_| {});
        thief.append(junk).unwrap();
    }
    let run = device.run(&["purge --notes --yes"]).ok();
    assert!(run.stderr.contains("destroyed: 3 notes"), "{run:?}");
    let run = device.run(&["purge --notes --yes"]).ok();
    assert!(run.stderr.contains("there are no notes"), "{run:?}");
    device.another(PASSWORD).run(&["ls", "audit"]).ok();
}

/// What was removed is destroyed after 30 days by the owner's devices; a removal that claims to be of long ago is not.
#[test]
fn a_removal_with_a_wrong_time_destroys_nothing() {
    let (_server, _owner, mut thief, device) = account();
    device.put("k", b"value");
    let Ok(Answer::Sync(shown)) = thief.sync(0) else {
        panic!("no log");
    };
    let newest = shown.entries.last().unwrap().entry.decode_unverified();
    let Op::Put(put) = newest.unwrap().op else {
        panic!("not the secret");
    };
    thief.follow(shown.head);
    let remove = Op::Remove(SecretVersion {
        secret: put.secret,
        version: put.version,
    });
    // In January 1970.
    let new = thief.entry(remove, |entry| entry.time_ms = 1);
    thief.append(new).unwrap();
    for _ in 0..2 {
        assert!(device.run(&["ls"]).ok().stdout.is_empty());
    }
    device.run(&["restore k"]).ok();
    assert_eq!(device.get("k"), b"value");
    assert!(!device.run(&["audit"]).ok().text().contains("purge"));
}

/// Which no device would replay: the server takes none of it.
#[test]
fn what_no_device_can_have_said_is_refused() {
    let (_server, _owner, mut thief, device) = account();
    let beyond = |size, root| move |entry: &mut Entry| entry.seen = Some(TreeHead { size, root });
    let key = thief.slot_keys.signing();
    let slot = thief.slot;
    let changes: [Change; 4] = [
        Box::new(beyond(u64::MAX, Digest::of(b"another"))),
        Box::new(beyond(1, Digest::of(b"another"))),
        Box::new(|entry| entry.device = DeviceId::new([9; 16])),
        // An authorisation where none belongs.
        Box::new(move |entry| entry.authorise(slot, &key).unwrap()),
    ];
    for change in changes {
        let junk = note(&thief, change);
        assert_eq!(thief.append(junk).unwrap_err(), Refusal::BadEntry);
    }
    let sealed = |epoch| Sealed {
        secret: SecretId::random(),
        version: Version(1),
        epoch,
        value: Digest::of(JUNK),
        metadata: Digest::of(JUNK),
    };
    let with_content = |op, value: &[u8], metadata: &[u8]| NewEntry {
        value: Some(ByteBuf::from(value.to_vec())),
        metadata: Some(ByteBuf::from(metadata.to_vec())),
        ..thief.entry(op, |_| {})
    };
    let junk = [
        with_content(Op::Put(sealed(2)), JUNK, JUNK),
        with_content(Op::Put(sealed(1)), b"another", JUNK),
        with_content(Op::Put(sealed(1)), JUNK, b"another"),
        NewEntry {
            metadata: None,
            ..with_content(Op::Put(sealed(1)), JUNK, JUNK)
        },
    ];
    for junk in junk {
        assert_eq!(thief.append(junk).unwrap_err(), Refusal::BadEntry);
    }
    device.run(&["ls", "audit"]).ok();
}

/// Row 3 of the review: whatever a session appends, no device is locked out by it, and the thief can be shut out. What
/// outlives sessions needs the password.
#[test]
fn no_entry_that_a_session_can_append_locks_the_vault() {
    let (_server, owner, mut thief, device) = account();
    let secret = thief.put(JUNK);
    let at = SecretVersion {
        secret,
        version: Version(1),
    };
    let own = |generation, keys| Credential {
        slot: owner.device_slot(),
        generation,
        keys,
        name: None,
    };
    let taken = [
        Op::Remove(at.clone()),
        Op::Restore(at.clone()),
        Op::Remove(at.clone()),
        Op::Restore(at.clone()),
    ];
    let refused = [
        Op::Rekey(Rekey {
            epoch: 2,
            log_key: PublicKey::new([7; 32]),
            credentials: 0,
        }),
        Op::Acknowledge(Acknowledge {
            lost_seq: Seq(9),
            lost_hash: Digest::of(b"lost"),
            signature: None,
        }),
        Op::Credential(Credential {
            slot: Slot::Recovery,
            ..own(2, None)
        }),
        Op::Credential(own(2, None)),
        Op::Reseal(Sealed {
            secret,
            version: Version(1),
            epoch: 1,
            value: Digest::of(JUNK),
            metadata: Digest::of(JUNK),
        }),
        Op::Purge(Purge::Secret(secret)),
        Op::Purge(Purge::Versions(at)),
        Op::Purge(Purge::Note(Seq(1))),
    ];
    for (number, op) in refused.into_iter().enumerate() {
        let new = thief.entry(op, |_| {});
        let refusal = thief.append(new).unwrap_err();
        let is_refused = matches!(refusal, Refusal::BadEntry | Refusal::NeedsPassword);
        assert!(is_refused, "{number}: {refusal:?}");
    }
    for op in taken {
        let new = thief.entry(op, |_| {});
        thief.append(new).unwrap();
    }
    let id = owner.device_slot().to_string();
    let id = id.strip_prefix("device:").unwrap();
    device.put("k", b"value");
    for line in [
        "ls",
        "get k",
        "devices",
        "audit",
        "rotate-key --yes",
        &format!("devices revoke {id} --yes"),
        "audit",
    ] {
        device.run(&[line]).ok();
    }
    device.run(&["acknowledge --yes"]).expect(1);
    assert_eq!(device.another(PASSWORD).get("k"), b"value");
    device.run(&["account delete --confirm alice"]).ok();
}
