//! Accounts, appends, quotas and audit records.

use std::net::{IpAddr, Ipv4Addr};

use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome};
use shared::checkpoint::TreeHead;
use shared::ids::{DeviceId, Digest, SecretId, Seq, SessionId, Version};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::Key;
use shared::vault_log::{Acknowledge, Credential, Entry, FormerHash, Op, Remove, SecretState};
use shared::wire::call::ValueRef;
use shared::wire::error::Refusal;

use super::owner::{HERE, NOW, Owner, audit, head, refusal, write};
use super::{Fresh, Place, config};
use crate::accounts::SecretRow;
use crate::api::{Draft, ReadEntries, ReadValues, StartLogin, Which, WriteRecords};
use crate::config::Config;
use crate::engine::CommitOutcome;
use crate::store::Store;
use crate::tables::{LogId, SCHEMA, Table};
use crate::write::{Write, Written};

pub(super) fn appends_survive_reopening_and_conflicts_are_recorded(fresh: Fresh) {
    let place = fresh();
    let mut owner = Owner::new("alice");
    let (secret, value) = (SecretId::random(), vec![9; 100]);
    {
        let engine = place.open(config());
        write(&engine, owner.register()).unwrap();
        let put = owner.put(owner.head, secret, 1, &value);
        let new_head = head(write(&engine, owner.append(vec![put])));
        assert_eq!(new_head.seq, Seq(2));
        let late = owner.put(owner.head, SecretId::random(), 1, b"late");
        let refused = refusal(write(&engine, owner.append(vec![late])));
        assert_eq!(refused, Refusal::Conflict(new_head));
        let wrong_version = owner.put(new_head, secret, 3, b"x");
        let refused = refusal(write(&engine, owner.append(vec![wrong_version])));
        assert_eq!(refused, Refusal::BadEntry);
        owner.head = new_head;
    }
    let engine = place.open(config());
    let after = Seq(0);
    let account = owner.id;
    let of = Which::Current;
    let read = ReadEntries { account, after, of };
    let (entries, stored) = engine.entries(&read).unwrap();
    assert_eq!((entries.len(), stored), (2, owner.head));
    let items = vec![ValueRef {
        secret,
        version: Version(1),
    }];
    let values = engine.values(&ReadValues { account, items }).unwrap();
    assert_eq!(values, [Some(ByteBuf::from(value))]);
    let outcomes: Vec<_> = audit(&engine, account).iter().map(|r| r.outcome).collect();
    let expected = [
        Outcome::Done,
        Outcome::Done,
        Outcome::Conflict,
        Outcome::Refused,
    ];
    assert_eq!(outcomes, expected);
}

pub(super) fn a_batch_mixes_accounts_and_refusals_do_not_spread(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owners: Vec<Owner> = (0..10).map(|n| Owner::new(&format!("owner{n}"))).collect();
    let registrations: Vec<Write> = owners.iter_mut().map(Owner::register).collect();
    assert!(
        engine
            .write_all(&registrations, NOW)
            .iter()
            .all(Result::is_ok)
    );
    let mut writes = Vec::new();
    for owner in &owners {
        for n in 0..10 {
            // Only the first of these continues the log.
            let put = owner.put(owner.head, SecretId::random(), 1, &[n; 10]);
            writes.push(owner.append(vec![put]));
        }
    }
    let results = engine.write_all(&writes, NOW);
    assert_eq!(results.len(), 100);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    for owner in &owners {
        assert_eq!(audit(&engine, owner.id).len(), 11);
    }
}

pub(super) fn another_accounts_values_are_out_of_reach(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut alice, mut bob) = (Owner::new("alice"), Owner::new("bob"));
    write(&engine, alice.register()).unwrap();
    write(&engine, bob.register()).unwrap();
    let secret = SecretId::random();
    let put = alice.put(alice.head, secret, 1, b"hers");
    write(&engine, alice.append(vec![put])).unwrap();
    let items = vec![ValueRef {
        secret,
        version: Version(1),
    }];
    let account = bob.id;
    let values = engine.values(&ReadValues { account, items }).unwrap();
    assert_eq!(values, [None]);
}

pub(super) fn removing_a_secret_removes_its_values_for_good(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secret = SecretId::random();
    let put = owner.put(owner.head, secret, 1, b"value");
    let top = head(write(&engine, owner.append(vec![put])));
    let removed = owner.bare(top, remove(secret));
    let top = head(write(&engine, owner.append(vec![removed])));
    let row = engine.read(|view| view.secret(&LogId::first(owner.id), &secret));
    let removed = SecretRow {
        state: SecretState::Removed,
        bytes: 0,
    };
    assert_eq!(row.unwrap(), Some(removed));
    let items = vec![ValueRef {
        secret,
        version: Version(1),
    }];
    let account = owner.id;
    assert_eq!(
        engine.values(&ReadValues { account, items }).unwrap(),
        [None]
    );
    let again = owner.put(top, secret, 1, b"again");
    let refused = refusal(write(&engine, owner.append(vec![again])));
    assert_eq!(refused, Refusal::BadEntry);
}

/// An owner with this many secrets, and the bytes that they use.
fn filled(place: &dyn Place) -> (Owner, Vec<SecretId>, u64) {
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secrets: Vec<_> = (0..20).map(|_| SecretId::random()).collect();
    for secret in &secrets {
        let put = owner.put(owner.head, *secret, 1, &[7; 1000]);
        owner.head = head(write(&engine, owner.append(vec![put])));
    }
    let usage = engine.read(|view| view.usage(&LogId::first(owner.id)));
    let usage = usage.unwrap();
    (owner, secrets, usage)
}

pub(super) fn a_full_account_and_a_full_disk_refuse_only_requests_that_need_room(fresh: Fresh) {
    for (disk, refused) in [(false, Refusal::Quota), (true, Refusal::DiskFull)] {
        let place = fresh();
        let (mut owner, secrets, usage) = filled(&*place);
        let engine = place.open(Config {
            quota_bytes: if disk { u64::MAX } else { usage },
            min_free_bytes: if disk { u64::MAX } else { 0 },
            ..config()
        });
        let put = owner.put(owner.head, SecretId::random(), 1, b"");
        assert_eq!(refusal(write(&engine, owner.append(vec![put]))), refused);
        // A device is shut out, and a loss accepted.
        for op in [
            Op::Credential(Credential {
                slot: Slot::Device(DeviceId::random()),
                generation: 1,
                wrapped: None,
                name: None,
            }),
            Op::Acknowledge(Acknowledge {
                lost_seq: Seq(9),
                lost_hash: Digest::of(b"lost"),
            }),
        ] {
            let entry = owner.bare(owner.head, op);
            owner.head = head(write(&engine, owner.append(vec![entry])));
        }
        // Everything in one go.
        let mut top = owner.head;
        let mut entries = Vec::new();
        for secret in &secrets {
            let entry = owner.bare(top, remove(*secret));
            top = entry.signed.verify_next(&entry.entry, &top).unwrap();
            entries.push(entry);
        }
        owner.head = head(write(&engine, owner.append(entries)));
        engine.check().unwrap();
        let put = owner.put(owner.head, SecretId::random(), 1, &[7; 100]);
        assert_eq!(write(&engine, owner.append(vec![put])).is_ok(), !disk);
        engine.check().unwrap();
    }
}

pub(super) fn short_entries_cannot_go_far_over_the_quota(fresh: Fresh) {
    let place = fresh();
    let (mut owner, _, usage) = filled(&*place);
    let engine = place.open(Config {
        quota_bytes: usage,
        ..config()
    });
    let mut appended = 0;
    let refused = loop {
        let mut top = owner.head;
        let mut entries = Vec::new();
        for number in 0..200 {
            let entry = owner.bare(
                top,
                Op::Acknowledge(Acknowledge {
                    lost_seq: Seq(number),
                    lost_hash: Digest::of(b"lost"),
                }),
            );
            top = entry.signed.verify_next(&entry.entry, &top).unwrap();
            entries.push(entry);
        }
        match write(&engine, owner.append(entries)) {
            Ok(Written::Head(head)) => owner.head = head,
            other => break refusal(other),
        }
        appended += 200;
        assert!(appended < 10_000);
    };
    assert_eq!(refused, Refusal::Quota);
    assert!(appended > 2000, "only {appended} short entries fit");
}

pub(super) fn entries_with_false_claims_are_refused(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    // The tree of one record, that of the registration.
    let shown = engine.read(|view| Ok(view.nodes(&owner.id).page(1, 0)?.head));
    let shown = shown.unwrap();
    let append = |claim: &dyn Fn(&mut Entry)| {
        let mut note = owner.bare(owner.head, Op::Note(ByteBuf::from(vec![5; 40])));
        claim(&mut note.entry);
        let Write::Append(mut append) = owner.append(vec![note]) else {
            unreachable!()
        };
        append.records[0].device = Some(DeviceId::new([1; 16]));
        write(&engine, Write::Append(append))
    };
    let larger = TreeHead {
        size: shown.size + 1000,
        ..shown
    };
    let forked = TreeHead {
        root: Digest::of(b"forked"),
        ..shown
    };
    let former = FormerHash {
        epoch: 1,
        hash: Digest::of(b"former"),
    };
    let claims: [&dyn Fn(&mut Entry); 4] = [
        &|entry| entry.device = DeviceId::new([9; 16]),
        &|entry| entry.seen = Some(larger),
        &|entry| entry.seen = Some(forked),
        &|entry| entry.former.push(former),
    ];
    for claim in claims {
        assert_eq!(refusal(append(claim)), Refusal::BadEntry);
    }
    append(&|entry| entry.seen = Some(shown)).unwrap();
}

/// The bytes of a value are free again where it is removed by a later entry of the same append.
pub(super) fn a_value_that_comes_and_goes_is_not_billed(fresh: Fresh) {
    let place = fresh();
    let (owner, ..) = filled(&*place);
    let engine = place.open(config());
    let secret = SecretId::random();
    let put = owner.put(owner.head, secret, 1, &[7; 5000]);
    let top = put.signed.verify_next(&put.entry, &owner.head).unwrap();
    let removed = owner.bare(top, remove(secret));
    head(write(&engine, owner.append(vec![put, removed])));
    engine.check().unwrap();
}

fn remove(secret: SecretId) -> Op {
    Op::Remove(Remove {
        secret,
        version: Version(1),
    })
}

/// A request of a session that causes this many records.
fn request(owner: &Owner, operation: AuditedOperation, count: u32) -> Write {
    let session = SessionId::random();
    let draft = |position| Draft {
        session: Some(session),
        counter: 1,
        position,
        ..Draft::without_session(operation, Outcome::NotFound, Some(HERE))
    };
    Write::Records(WriteRecords {
        account: owner.id,
        records: (0..count).map(draft).collect(),
    })
}

pub(super) fn an_account_pays_for_the_records_of_its_sessions_and_for_no_others(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(Config {
        record_quota: 800,
        ..config()
    });
    let (mut alice, mut bob) = (Owner::new("alice"), Owner::new("bob"));
    write(&engine, alice.register()).unwrap();
    write(&engine, bob.register()).unwrap();
    // Strangers.
    let starts: Vec<Write> = (0..20)
        .map(|number| {
            Write::StartLogin(StartLogin {
                name: alice.name.clone(),
                slot: Slot::Recovery,
                remote: IpAddr::V4(Ipv4Addr::from(0xc633_0000 + number)),
            })
        })
        .collect();
    for minute in 0..10 {
        engine.write_all(&starts, NOW + minute * 60_000);
        engine.write_all(&[Write::Tick], NOW + (minute + 1) * 60_000);
    }
    let size = engine.read(|view| view.tree(&alice.id));
    assert!(size.unwrap().size > 100);
    // As many as there may be.
    for _ in 0..4 {
        write(&engine, request(&alice, AuditedOperation::Get, 200)).unwrap();
    }
    let over = |operation| refusal(write(&engine, request(&alice, operation, 1)));
    assert_eq!(over(AuditedOperation::Get), Refusal::Quota);
    let put = alice.put(alice.head, SecretId::random(), 1, b"value");
    let refused = refusal(write(&engine, alice.append(vec![put])));
    assert_eq!(refused, Refusal::Quota);
    // It can be looked at, up to a bound, and left in any case; and bob does not notice.
    for _ in 0..100 {
        write(&engine, request(&alice, AuditedOperation::Sync, 1)).unwrap();
    }
    assert_eq!(over(AuditedOperation::Audit), Refusal::Quota);
    write(&engine, request(&alice, AuditedOperation::Logout, 1)).unwrap();
    write(&engine, request(&bob, AuditedOperation::Get, 200)).unwrap();
    // A session opened in person goes on, to revoke the device that used the quota up: to a higher limit.
    let in_person = |operation| match request(&alice, operation, 1) {
        Write::Records(mut message) => {
            message.records[0].is_person = true;
            write(&engine, Write::Records(message))
        }
        _ => unreachable!(),
    };
    for _ in 0..99 {
        in_person(AuditedOperation::Get).unwrap();
    }
    assert_eq!(refusal(in_person(AuditedOperation::Get)), Refusal::Quota);
    for _ in 0..100 {
        in_person(AuditedOperation::Slot).unwrap();
    }
    assert_eq!(refusal(in_person(AuditedOperation::Slot)), Refusal::Quota);
    engine.check().unwrap();
}

pub(super) fn the_last_half_of_the_reserve_is_for_accounts_with_few_records(fresh: Fresh) {
    let place = fresh();
    let (mut alice, mut bob) = (Owner::new("alice"), Owner::new("bob"));
    {
        let engine = place.open(config());
        write(&engine, alice.register()).unwrap();
        write(&engine, bob.register()).unwrap();
        write(&engine, request(&alice, AuditedOperation::Get, 200)).unwrap();
    }
    let engine = place.open(Config {
        record_quota: 6400,
        min_free_bytes: u64::MAX,
        ..config()
    });
    let refused = refusal(write(&engine, request(&alice, AuditedOperation::Get, 1)));
    assert_eq!(refused, Refusal::DiskFull);
    for owner in [&alice, &bob] {
        write(&engine, owner.succeed(HERE)).unwrap();
    }
    write(&engine, request(&bob, AuditedOperation::Get, 50)).unwrap();
    // With the record of the login this is 1/64 of the quota, and no more is left.
    write(&engine, request(&bob, AuditedOperation::Get, 49)).unwrap();
    let refused = refusal(write(&engine, request(&bob, AuditedOperation::Get, 1)));
    assert_eq!(refused, Refusal::DiskFull);
}

pub(super) fn a_database_of_another_schema_is_refused(fresh: Fresh) {
    for (schema, advice) in [(SCHEMA + 1, "newer"), (SCHEMA - 1, "begin with an empty")] {
        let place = fresh();
        drop(place.open(config()));
        let engine = place.engine();
        let written = engine.write(&mut |transaction| {
            transaction.put(Table::Meta, b"schema", &schema.to_be_bytes())
        });
        assert!(matches!(written, CommitOutcome::Committed));
        let opened = Store::open(engine, config(), &Key::new([7; 32]));
        let error = opened.unwrap_err().to_string();
        assert!(error.contains(&format!("schema {schema}")), "{error}");
        assert!(error.contains(advice), "{error}");
    }
}

pub(super) fn a_wrong_counter_is_damage(fresh: Fresh) {
    for table in [Table::LoginThrottle, Table::LoginAggregates] {
        let place = fresh();
        let engine = place.open(config());
        let start = StartLogin {
            name: AccountName::parse("alice").unwrap(),
            slot: Slot::Password,
            remote: HERE,
        };
        write(&engine, Write::StartLogin(start)).unwrap();
        engine.check().unwrap();
        drop(engine);
        let written = place.engine().write(&mut |transaction| {
            let key = table.name().as_bytes();
            let count = transaction.get(Table::Counters, key)?.unwrap();
            let count = u64::from_be_bytes((*count).try_into().unwrap()) + 1;
            transaction.put(Table::Counters, key, &count.to_be_bytes())
        });
        assert!(matches!(written, CommitOutcome::Committed));
        let error = place.open(config()).check().unwrap_err();
        assert!(error.to_string().contains("counters"), "{error}");
    }
}

/// The bytes of a secret's values are kept beside its state, so that removing it reads none of them.
pub(super) fn the_bytes_of_a_secret_are_counted(fresh: Fresh) {
    let place = fresh();
    let (mut owner, _, before) = filled(&*place);
    let engine = place.open(config());
    let secret = SecretId::random();
    for (version, len) in [(1, 1000), (2, 500), (3, 0)] {
        let put = owner.put(owner.head, secret, version, &vec![7; len]);
        owner.head = head(write(&engine, owner.append(vec![put])));
    }
    let log = LogId::first(owner.id);
    let row = engine.read(|view| view.secret(&log, &secret)).unwrap();
    assert_eq!(row.unwrap().bytes, 1500);
    engine.check().unwrap();
    let with_values = engine.read(|view| view.usage(&log)).unwrap();
    let removed = owner.bare(
        owner.head,
        Op::Remove(Remove {
            secret,
            version: Version(3),
        }),
    );
    let entry_len = shared::codec::encoded_len(&removed.signed).unwrap() as u64;
    head(write(&engine, owner.append(vec![removed])));
    let usage = engine.read(|view| view.usage(&log)).unwrap();
    assert_eq!(usage, with_values + entry_len - 1500);
    assert!(usage > before);
    engine.check().unwrap();
}
