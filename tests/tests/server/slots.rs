//! What the server holds credentials to: their leases, the key epochs that replace them, and what takes a typed password.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use keyshell_client::account::Renewal;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::slot::SlotContext;
use serde_bytes::ByteBuf;
use shared::ids::{SecretId, Version};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{Op, Purge, Rekey, SecretVersion};
use shared::wire::call::{Answer, Call, Logout};
use shared::wire::error::Refusal;
use shared::wire::register::Lease;
use shared::wire::slots::{Install, NewEpoch, SLOT_KEY_LEN, SlotKey};
use tests::client::Client;
use tests::owner::{Owner, Session};
use tests::server::Server;

const PASSWORD: &str = "credentials of copper wire";
const LEASE: Duration = Duration::from_secs(2);

fn tries(owner: &Owner, server: &Server) -> Result<(), Refusal> {
    let slot = owner.device_slot();
    owner
        .log_in_from(server, Ipv4Addr::LOCALHOST, slot)
        .map(drop)
}

/// Time itself is what is tested here.
fn outlast(lease: Duration) {
    std::thread::sleep(lease + Duration::from_millis(300));
}

/// The session is gone, or each of its requests is refused.
fn has_ended(answer: &Result<Answer, Refusal>) -> bool {
    matches!(
        answer,
        Err(Refusal::NoSession) | Ok(Answer::Refused(Refusal::NoSession))
    )
}

/// A lease ends where nobody uses the credential, whoever has it: a login looks like one by an unknown credential, and
/// sessions end. The password gives a new one.
#[test]
fn a_lease_that_is_over_opens_no_session_and_ends_those_that_are_open() {
    let server = Server::with(&[("DEVICE_LEASE", "2s")]);
    let owner = Owner::register(&server, "alice", PASSWORD);
    let mut session = owner.log_in(&server);
    let secret = session.put(b"sealed");
    // Use renews it.
    let started = Instant::now();
    while started.elapsed() < 2 * LEASE {
        assert!(session.fetch(secret).is_ok());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut idle = owner.log_in(&server);
    outlast(LEASE);
    assert!(has_ended(&idle.sync(0)));
    assert!(has_ended(&session.fetch(secret)));
    assert_eq!(tries(&owner, &server), Err(Refusal::LoginRefused));
    // The password is not concerned.
    let mut by_password = owner.log_in_by(&server, Slot::Password);
    assert!(by_password.fetch(secret).is_ok());
}

/// An agent for a certain time cannot prolong it, neither by use nor by a new secret for its credential.
#[test]
fn a_lease_that_use_does_not_renew_ends_while_it_is_used() {
    let server = Server::start();
    let lease = Lease {
        seconds: 2,
        renewed: false,
    };
    let owner = Owner::register_with_lease(&server, "alice", PASSWORD, lease);
    let mut session = owner.log_in(&server);
    let started = Instant::now();
    loop {
        let answer = session.sync(0);
        if has_ended(&answer) {
            break;
        }
        assert!(matches!(answer, Ok(Answer::Sync(_))), "{answer:?}");
        assert!(started.elapsed() < 5 * LEASE, "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(tries(&owner, &server), Err(Refusal::LoginRefused));
}

/// What a program gives up at its end is worth nothing to whoever copied it.
#[test]
fn a_retired_credential_opens_nothing() {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", PASSWORD);
    let mut other = owner.log_in(&server);
    let mut session = owner.log_in(&server);
    let farewell = session.call(Logout { retire: true }).unwrap();
    assert_eq!(farewell, Answer::Logout);
    assert!(has_ended(&other.sync(0)));
    assert_eq!(tries(&owner, &server), Err(Refusal::LoginRefused));
}

/// Sessions that the former secret opened do not outlive it.
#[test]
fn a_new_secret_of_a_device_ends_the_sessions_of_the_former_one() {
    let server = Server::start();
    Owner::register_without_device(&server, "alice", PASSWORD);
    let mut device = Client::new(&server.url, &server.pin, "alice", PASSWORD);
    let identity = DeviceIdentity::random();
    device.set_device(identity.clone());
    let mut renew = || {
        let renewed = device.change(async |vault| {
            vault.enrol_device(Renewal::default().lease).await?;
            Ok(vault.device_secret().cloned().unwrap())
        });
        renewed.unwrap()
    };
    let former = renew();
    let password = SecretBytes::from(PASSWORD.as_bytes());
    let thief = Owner::of(&server, "alice", &password, (identity, former));
    let mut stolen = thief.log_in(&server);
    assert!(matches!(stolen.sync(0), Ok(Answer::Sync(_))));
    renew();
    assert!(has_ended(&stolen.sync(0)));
    assert_eq!(tries(&thief, &server), Err(Refusal::LoginRefused));
}

fn at(secret: SecretId) -> SecretVersion {
    SecretVersion {
        secret,
        version: Version(1),
    }
}

fn append(session: &mut Session, op: Op) -> Result<(), Refusal> {
    let new = session.entry(op, |_| {});
    session.append(new)
}

/// A stolen device hides secrets, and destroys none: for 30 days that takes a typed password.
#[test]
fn a_removed_secret_is_restored_and_no_device_purges_it() {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", PASSWORD);
    let mut thief = owner.log_in(&server);
    let secret = thief.put(b"sealed");
    append(&mut thief, Op::Remove(at(secret))).unwrap();
    for purge in [
        Purge::Secret(secret),
        Purge::Versions(at(secret)),
        Purge::Note(shared::ids::Seq(1)),
    ] {
        let refusal = append(&mut thief, Op::Purge(purge)).unwrap_err();
        let is_refused = matches!(refusal, Refusal::NeedsPassword | Refusal::BadEntry);
        assert!(is_refused, "{refusal:?}");
    }
    let purge = || Op::Purge(Purge::Secret(secret));
    assert_eq!(append(&mut thief, purge()), Err(Refusal::NeedsPassword));
    let is_there = |session: &mut Session| match session.fetch(secret).unwrap() {
        Answer::Fetch(values) => values[0].is_some(),
        other => panic!("{other:?}"),
    };
    let mut person = owner.log_in_by(&server, Slot::Password);
    append(&mut person, Op::Restore(at(secret))).unwrap();
    assert!(is_there(&mut person));
    // What is live is not purged by anybody; what is removed is, by a person, and does not come back.
    assert_eq!(append(&mut person, purge()), Err(Refusal::BadEntry));
    append(&mut person, Op::Remove(at(secret))).unwrap();
    append(&mut person, purge()).unwrap();
    assert!(!is_there(&mut person));
    let restore = Op::Restore(at(secret));
    assert_eq!(append(&mut person, restore), Err(Refusal::BadEntry));
}

/// The KEM keys of all credentials, as the log names them.
fn kems(session: &mut Session) -> Vec<(Slot, ByteBuf)> {
    let Answer::Sync(sync) = session.sync(0).unwrap() else {
        panic!("no sync");
    };
    let ops = sync
        .entries
        .iter()
        .map(|logged| logged.entry.decode_unverified().unwrap().op);
    ops.filter_map(|op| match op {
        Op::Credential(credential) => Some((credential.slot, credential.keys?.kem)),
        _ => None,
    })
    .collect()
}

/// The next account key for every credential.
fn epoch(session: &Session, kems: &[(Slot, ByteBuf)], next: &AccountKeys) -> NewEpoch {
    let slot_keys = kems.iter().map(|(slot, kem)| {
        let context = SlotContext {
            account: session.keys.account(),
            slot: *slot,
            generation: 1,
        };
        let encapsulated = context.encapsulate(kem, next.epoch(), next.current());
        encapsulated.unwrap()
    });
    NewEpoch {
        slot_keys: slot_keys.collect(),
        history: ByteBuf::from(next.seal_history()),
    }
}

fn install(session: &Session, next: &AccountKeys, epoch: Option<NewEpoch>) -> Call {
    let rekey = Op::Rekey(Rekey {
        epoch: next.epoch(),
        log_key: next.log_key(),
        credentials: 0,
    });
    let install = Install {
        ke3: Vec::new(),
        entries: vec![session.entry(rekey, |_| {}).entry],
        epoch,
    };
    install.into()
}

type Change = fn(&mut NewEpoch);

/// No credential that holds is left behind by a new epoch, and none gets its key that does not hold.
#[test]
fn an_epoch_reaches_exactly_the_credentials_that_hold() {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", PASSWORD);
    let mut person = owner.log_in_by(&server, Slot::Password);
    let kems = kems(&mut person);
    assert_eq!(kems.len(), 3);
    let next = person.keys.with_next(Key::random());
    let right = epoch(&person, &kems, &next);
    let wrong: [Change; 11] = [
        |epoch| epoch.slot_keys.clear(),
        |epoch| drop(epoch.slot_keys.pop()),
        |epoch| epoch.slot_keys.push(epoch.slot_keys[0].clone()),
        |epoch| epoch.slot_keys[1] = epoch.slot_keys[0].clone(),
        |epoch| {
            let stranger = shared::ids::DeviceId::new([9; 16]);
            let unknown = SlotKey {
                slot: Slot::Device(stranger),
                ..epoch.slot_keys[0].clone()
            };
            epoch.slot_keys.push(unknown);
        },
        |epoch| epoch.slot_keys[0].generation = 2,
        |epoch| epoch.slot_keys[0].epoch = 3,
        |epoch| epoch.slot_keys[2].blob.truncate(SLOT_KEY_LEN - 1),
        |epoch| epoch.slot_keys[2].blob.push(0),
        |epoch| epoch.history.truncate(59),
        |epoch| epoch.history.push(0),
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        let mut epoch = right.clone();
        change(&mut epoch);
        let call = install(&person, &next, Some(epoch));
        let refused = person.call(call).unwrap();
        assert_eq!(refused, Answer::Refused(Refusal::BadEntry), "{number}");
    }
    let call = install(&person, &next, None);
    let refused = person.call(call).unwrap();
    assert_eq!(refused, Answer::Refused(Refusal::BadEntry));
    // A device begins no epoch: neither by its own authorisation nor by one that the password gave.
    let mut device = owner.log_in(&server);
    let own = install(&device, &next, Some(right.clone()));
    let borrowed = install(&person, &next, Some(right.clone()));
    for call in [own, borrowed] {
        let Answer::Refused(refusal) = device.call(call).unwrap() else {
            panic!("installed");
        };
        let is_refused = matches!(refusal, Refusal::NeedsPassword | Refusal::BadEntry);
        assert!(is_refused, "{refusal:?}");
    }
    let call = install(&person, &next, Some(right));
    assert!(matches!(person.call(call).unwrap(), Answer::Install(_)));
    // It ends all other sessions; the device logs in again by itself, with the new account key.
    assert!(has_ended(&device.sync(0)));
    let again = owner.log_in(&server);
    assert_eq!(again.keys.epoch(), 2);
    assert_eq!(again.keys.current(), next.current());
}

/// A former credential is shut out by the server itself.
#[test]
fn a_replaced_password_opens_no_session() {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", PASSWORD);
    let mut open = owner.log_in_by(&server, Slot::Password);
    let mut client = Client::new(&server.url, &server.pin, "alice", PASSWORD);
    client.change_password("another of copper wire").unwrap();
    assert!(has_ended(&open.sync(0)));
    let refused = owner.log_in_from(&server, Ipv4Addr::LOCALHOST, Slot::Password);
    assert_eq!(refused.map(drop), Err(Refusal::LoginRefused));
    // The device goes on without a question to the owner.
    assert_eq!(owner.log_in(&server).keys.epoch(), 2);
}
