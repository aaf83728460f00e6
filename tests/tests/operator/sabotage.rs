//! A thief of a device, who has its keys: what they sign cannot lock the vault for the owner, who can still shut them out.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use serde_bytes::ByteBuf;
use shared::checkpoint::TreeHead;
use shared::ids::{DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, Version};
use shared::vault_log::{Acknowledge, Describe, Entry, FormerHash, Identity, Op, Put};
use shared::wire::call::{Answer, Call};
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

fn note() -> Op {
    Op::Note(ByteBuf::from(vec![0; 300]))
}

#[test]
fn what_cannot_be_read_locks_nobody_out() {
    let (_server, owner, mut thief, device) = account();
    thief.put(JUNK);
    let junk = thief.entry(note(), |_| {});
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
        metadata: ByteBuf::from(vec![0; 300]),
    });
    let junk = thief.entry(describe, |_| {});
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

/// Which no device would replay: the server takes none of it.
#[test]
fn what_no_device_can_have_said_is_refused() {
    let (_server, _owner, mut thief, device) = account();
    let beyond = |size, root| move |entry: &mut Entry| entry.seen = Some(TreeHead { size, root });
    let changes: [Change; 4] = [
        Box::new(beyond(u64::MAX, Digest::of(b"another"))),
        Box::new(beyond(1, Digest::of(b"another"))),
        Box::new(|entry| entry.device = DeviceId::new([9; 16])),
        Box::new(|entry| {
            entry.former.push(FormerHash {
                epoch: 1,
                hash: Digest::of(b"former"),
            });
        }),
    ];
    for change in changes {
        let junk = thief.entry(note(), change);
        assert_eq!(thief.append(junk).unwrap_err(), Refusal::BadEntry);
    }
    let later = Op::Put(Put {
        secret: SecretId::random(),
        version: Version(1),
        epoch: 2,
        value_hash: Digest::of(JUNK),
        metadata: ByteBuf::from(vec![0; 300]),
    });
    let mut junk = thief.entry(later, |_| {});
    junk.value = Some(ByteBuf::from(JUNK.to_vec()));
    assert_eq!(thief.append(junk).unwrap_err(), Refusal::BadEntry);
    // Who the server is, and what may be lost, only the owner says.
    let key = PublicKey::new([7; 32]);
    let identity = Identity {
        server: ServerId::new([7; 16]),
        opaque_key: key,
        checkpoint_key: key,
        log_key: key,
        suite: 1,
    };
    let lost = Acknowledge {
        lost_seq: Seq(9),
        lost_hash: Digest::of(b"lost"),
    };
    for op in [Op::Server(identity), Op::Acknowledge(lost)] {
        let junk = thief.entry(op, |_| {});
        assert_eq!(thief.append(junk).unwrap_err(), Refusal::NeedsPassword);
    }
    device.run(&["ls", "audit"]).ok();
}
