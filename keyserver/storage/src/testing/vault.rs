//! Accounts, appends, content, quotas and audit records.

use std::net::{IpAddr, Ipv4Addr};

use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::{SecretId, Seq, SessionId, Version};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::Key;
use shared::vault_log::{MAX_METADATA_LEN, Op, Purge, SecretState, SecretVersion, Versions};
use shared::wire::call::{NewEntry, ValueRef};
use shared::wire::error::Refusal;
use shared::wire::limits::{MAX_SEALED_VALUE_LEN, REMOVED_KEPT_MS};

use super::owner::{
    HERE, METADATA_LEN, NOW, Owner, audit, head, metadata, proven, refusal, unproven, write,
};
use super::{Fresh, Place, config};
use crate::accounts::SecretRow;
use crate::api::{Draft, ReadValues, StartLogin, WriteRecords};
use crate::config::Config;
use crate::engine::CommitOutcome;
use crate::store::Store;
use crate::tables::{SCHEMA, Table};
use crate::write::Write;

const DAY: u64 = 24 * 60 * 60 * 1000;

pub(super) fn appends_survive_reopening_and_conflicts_are_recorded(fresh: Fresh) {
    let place = fresh();
    let mut owner = Owner::new("alice");
    let (secret, value) = (SecretId::random(), vec![9; 100]);
    let first;
    {
        let engine = place.open(config());
        write(&engine, owner.register()).unwrap();
        first = metadata(owner.head);
        let put = owner.put(owner.head, secret, 1, &value);
        let new_head = head(write(&engine, owner.append(&engine, vec![put])));
        assert_eq!(new_head.seq, Seq(4));
        let late = owner.put(owner.head, SecretId::random(), 1, b"late");
        let refused = refusal(write(&engine, owner.append(&engine, vec![late])));
        assert_eq!(refused, Refusal::Conflict(new_head));
        let wrong_version = owner.put(new_head, secret, 3, b"x");
        let refused = refusal(write(&engine, owner.append(&engine, vec![wrong_version])));
        assert_eq!(refused, Refusal::BadEntry);
        owner.head = new_head;
    }
    let engine = place.open(config());
    let account = owner.id;
    let (entries, stored) = engine.entries(account).unwrap();
    assert_eq!((entries.len(), stored), (4, owner.head));
    assert_eq!(entries[3].metadata, Some(first));
    assert_eq!(
        values_of(&engine, &owner, secret),
        [Some(value.len()), None, None]
    );
    let outcomes: Vec<_> = audit(&engine, account).iter().map(|r| r.outcome).collect();
    let expected = [
        Outcome::Done,
        Outcome::Done,
        Outcome::Conflict,
        Outcome::Refused,
    ];
    assert_eq!(outcomes, expected);
}

/// Lengths of the values of the first three versions of a secret.
fn values_of(engine: &Store, owner: &Owner, secret: SecretId) -> Vec<Option<usize>> {
    let items = [1, 2, 3].map(|version| ValueRef {
        secret,
        version: Version(version),
    });
    let read = ReadValues {
        account: owner.id,
        items: items.to_vec(),
    };
    let values = engine.values(&read).unwrap().into_iter();
    values.map(|value| value.map(|value| value.len())).collect()
}

/// Whether each entry of the log still has its metadata.
fn with_metadata(engine: &Store, owner: &Owner) -> Vec<bool> {
    let (entries, _) = engine.entries(owner.id).unwrap();
    let entries = entries.iter().skip(3);
    entries.map(|entry| entry.metadata.is_some()).collect()
}

fn of(secret: SecretId, version: u64) -> SecretVersion {
    SecretVersion {
        secret,
        version: Version(version),
    }
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
            writes.push(owner.append(&engine, vec![put]));
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
    write(&engine, alice.append(&engine, vec![put])).unwrap();
    assert_eq!(values_of(&engine, &bob, secret), [None; 3]);
    assert_eq!(values_of(&engine, &alice, secret)[0], Some(4));
}

pub(super) fn a_removed_secret_is_restored_or_purged_for_good(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let (secret, other) = (SecretId::random(), SecretId::random());
    for (secret, version) in [(secret, 1), (secret, 2), (other, 1)] {
        let put = owner.put(owner.head, secret, version, &[7; 50]);
        owner.done(&engine, put);
    }
    let usage = owner.usage(&engine);
    assert_eq!(usage, 3 * (50 + METADATA_LEN as u64));
    let both = Versions {
        oldest: Version(1),
        newest: Version(2),
    };
    let row = |engine: &Store, owner: &Owner| {
        let row = engine.read(|view| view.secret(&owner.id, &secret));
        row.unwrap().unwrap()
    };
    // Hidden, and nothing else.
    let removed = owner.bare(owner.head, Op::Remove(of(secret, 2)));
    owner.done(&engine, removed);
    let expected = SecretRow {
        state: SecretState::Removed(both),
        bytes: 2 * (50 + METADATA_LEN as u64),
        removed_ms: Some(NOW),
    };
    assert_eq!(row(&engine, &owner), expected);
    assert_eq!(
        values_of(&engine, &owner, secret),
        [Some(50), Some(50), None]
    );
    assert_eq!(owner.usage(&engine), usage);
    let put = owner.put(owner.head, secret, 3, b"hidden");
    assert_eq!(owner.refused_by(&engine, put, &proven()), Refusal::BadEntry);
    let restored = owner.bare(owner.head, Op::Restore(of(secret, 2)));
    owner.done(&engine, restored);
    let live = SecretRow {
        state: SecretState::Live(both),
        removed_ms: None,
        ..expected
    };
    assert_eq!(row(&engine, &owner), live);
    engine.check().unwrap();
    // Purged: by a proven session at once, else thirty days after the last removal.
    let purge = |owner: &Owner| owner.bare(owner.head, Op::Purge(Purge::Secret(secret)));
    let refused = owner.refused_by(&engine, purge(&owner), &proven());
    assert_eq!(refused, Refusal::BadEntry, "it is live");
    let removed = owner.bare(owner.head, Op::Remove(of(secret, 2)));
    let later = NOW + 10 * DAY;
    let removed = owner.append(&engine, vec![removed]);
    owner.head = head(engine.write_at(removed, later));
    for early in [later, later + REMOVED_KEPT_MS, NOW - DAY] {
        let purge = owner.append(&engine, vec![purge(&owner)]);
        let refused = refusal(engine.write_at(purge, early));
        assert_eq!(refused, Refusal::NeedsPassword);
    }
    let mut proven_owner = owner.clone();
    let early = purge(&owner);
    let by_proven = owner.append_by(&engine, vec![early], &proven());
    let by_any = owner.append(&engine, vec![purge(&owner)]);
    let after_days = head(engine.write_at(by_any, later + REMOVED_KEPT_MS + 1));
    // The same entry, whoever made it.
    assert!(matches!(
        refusal(write(&engine, by_proven)),
        Refusal::Conflict(_)
    ));
    owner.head = after_days;
    proven_owner.head = after_days;
    let gone = SecretRow {
        state: SecretState::Purged,
        bytes: 0,
        removed_ms: None,
    };
    assert_eq!(row(&engine, &owner), gone);
    assert_eq!(values_of(&engine, &owner, secret), [None; 3]);
    assert_eq!(owner.usage(&engine), 50 + METADATA_LEN as u64);
    let has = with_metadata(&engine, &owner);
    assert_eq!(has[..3], [false, false, true]);
    for op in [Op::Restore(of(secret, 2)), Op::Remove(of(secret, 2))] {
        let entry = owner.bare(owner.head, op);
        assert_eq!(
            owner.refused_by(&engine, entry, &proven()),
            Refusal::BadEntry
        );
    }
    let again = owner.put(owner.head, secret, 1, b"again");
    assert_eq!(
        owner.refused_by(&engine, again, &proven()),
        Refusal::BadEntry
    );
    // A proven session does not wait.
    let removed = owner.bare(owner.head, Op::Remove(of(other, 1)));
    owner.done(&engine, removed);
    let purge = owner.bare(owner.head, Op::Purge(Purge::Secret(other)));
    owner.done_by(&engine, purge, &proven());
    assert_eq!(owner.usage(&engine), 0);
    let summary = engine.check().unwrap();
    assert_eq!(
        (summary.secrets, summary.values, summary.metadata),
        (0, 0, 0)
    );
}

pub(super) fn old_versions_and_notes_are_purged_by_a_proof_only(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secret = SecretId::random();
    for (version, len) in [(1, 10), (2, 20), (3, 40)] {
        let put = owner.put(owner.head, secret, version, &vec![7; len]);
        owner.done(&engine, put);
    }
    // A form of the metadata per entry: overwriting it destroys nothing.
    let described = owner.describe(owner.head, secret, 3);
    owner.done(&engine, described);
    let noted = owner.head.seq.next();
    let note = owner.note(owner.head, 100);
    owner.done(&engine, note);
    let metadata_len = METADATA_LEN as u64;
    assert_eq!(owner.usage(&engine), 70 + 4 * metadata_len + 100);
    assert_eq!(with_metadata(&engine, &owner), [true; 5]);
    let versions = Op::Purge(Purge::Versions(of(secret, 3)));
    let note = Op::Purge(Purge::Note(noted));
    for op in [versions.clone(), note.clone()] {
        let entry = owner.bare(owner.head, op);
        let refused = owner.refused_by(&engine, entry, &unproven());
        assert_eq!(refused, Refusal::NeedsPassword);
    }
    for op in [
        Purge::Versions(of(secret, 4)),
        Purge::Note(Seq(4)),
        Purge::Note(Seq(99)),
    ] {
        let entry = owner.bare(owner.head, Op::Purge(op));
        assert_eq!(
            owner.refused_by(&engine, entry, &proven()),
            Refusal::BadEntry
        );
    }
    let purge = owner.bare(owner.head, versions);
    owner.done_by(&engine, purge, &proven());
    assert_eq!(values_of(&engine, &owner, secret), [None, None, Some(40)]);
    assert_eq!(owner.usage(&engine), 40 + 2 * metadata_len + 100);
    engine.check().unwrap();
    let purge = owner.bare(owner.head, note.clone());
    owner.done_by(&engine, purge, &proven());
    assert_eq!(owner.usage(&engine), 40 + 2 * metadata_len);
    let again = owner.bare(owner.head, note);
    assert_eq!(
        owner.refused_by(&engine, again, &proven()),
        Refusal::BadEntry
    );
    assert_eq!(
        with_metadata(&engine, &owner),
        [false, false, true, true, false, false, false]
    );
    let summary = engine.check().unwrap();
    assert_eq!((summary.values, summary.metadata, summary.notes), (1, 2, 0));
}

pub(super) fn a_reseal_replaces_the_forms_of_its_version(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secret = SecretId::random();
    for (version, len) in [(1, 10), (2, 20)] {
        let put = owner.put(owner.head, secret, version, &vec![7; len]);
        owner.done(&engine, put);
    }
    for _ in 0..2 {
        let described = owner.describe(owner.head, secret, 2);
        owner.done(&engine, described);
    }
    let reseal = owner.reseal(owner.head, secret, 2, &[8; 25]);
    let refused = owner.refused_by(&engine, reseal.clone(), &unproven());
    assert_eq!(refused, Refusal::NeedsPassword);
    for (version, why) in [(3, "no such version"), (0, "no version")] {
        let reseal = owner.reseal(owner.head, secret, version, b"");
        let refused = owner.refused_by(&engine, reseal, &proven());
        assert_eq!(refused, Refusal::BadEntry, "{why}");
    }
    owner.done_by(&engine, reseal, &proven());
    assert_eq!(
        values_of(&engine, &owner, secret),
        [Some(10), Some(25), None]
    );
    assert_eq!(
        with_metadata(&engine, &owner),
        [true, false, false, false, true]
    );
    assert_eq!(owner.usage(&engine), 35 + 2 * METADATA_LEN as u64);
    // Also where it is removed; and not where the version has no value any more.
    let purge = owner.bare(owner.head, Op::Purge(Purge::Versions(of(secret, 2))));
    owner.done_by(&engine, purge, &proven());
    let removed = owner.bare(owner.head, Op::Remove(of(secret, 2)));
    owner.done(&engine, removed);
    let reseal = owner.reseal(owner.head, secret, 1, b"");
    assert_eq!(
        owner.refused_by(&engine, reseal, &proven()),
        Refusal::BadEntry
    );
    let reseal = owner.reseal(owner.head, secret, 2, &[9; 30]);
    owner.done_by(&engine, reseal, &proven());
    assert_eq!(owner.usage(&engine), 30 + METADATA_LEN as u64);
    engine.check().unwrap();
}

/// Content of earlier entries of the same call counts like stored content.
pub(super) fn a_call_destroys_what_it_wrote_before(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secret = SecretId::random();
    let put = owner.put(owner.head, secret, 1, &[7; 10]);
    owner.done(&engine, put);
    let mut top = owner.head;
    let mut entries = Vec::new();
    let mut push = |make: &dyn Fn(shared::vault_log::Head) -> NewEntry| {
        let new = make(top);
        top = top.with(&new.entry);
        entries.push(new);
        top.seq
    };
    push(&|top| owner.put(top, secret, 2, &[7; 20]));
    push(&|top| owner.reseal(top, secret, 1, &[7; 11]));
    push(&|top| owner.describe(top, secret, 2));
    push(&|top| owner.reseal(top, secret, 2, &[7; 22]));
    push(&|top| owner.put(top, secret, 3, &[7; 40]));
    push(&|top| owner.bare(top, Op::Purge(Purge::Versions(of(secret, 3)))));
    let noted = push(&|top| owner.note(top, 100));
    push(&|top| owner.bare(top, Op::Purge(Purge::Note(noted))));
    owner.head = head(write(&engine, owner.append_by(&engine, entries, &proven())));
    assert_eq!(values_of(&engine, &owner, secret), [None, None, Some(40)]);
    assert_eq!(owner.usage(&engine), 40 + METADATA_LEN as u64);
    engine.check().unwrap();
    // A value that comes and goes in one call leaves nothing behind.
    let other = SecretId::random();
    let put = owner.put(owner.head, other, 1, &[7; 5000]);
    let top = owner.head.with(&put.entry);
    let removed = owner.bare(top, Op::Remove(of(other, 1)));
    let top = top.with(&removed.entry);
    let purged = owner.bare(top, Op::Purge(Purge::Secret(other)));
    let entries = vec![put, removed, purged];
    head(write(&engine, owner.append_by(&engine, entries, &proven())));
    assert_eq!(owner.usage(&engine), 40 + METADATA_LEN as u64);
    engine.check().unwrap();
}

/// An entry comes with exactly the content that it names.
pub(super) fn content_is_what_its_entry_names(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secret = SecretId::random();
    let put = owner.put(owner.head, secret, 1, b"value");
    let note = owner.note(owner.head, 10);
    let other = Some(ByteBuf::from(b"other".to_vec()));
    let altered = |new: &NewEntry, change: fn(&mut NewEntry, Option<ByteBuf>)| {
        let mut altered = new.clone();
        change(&mut altered, other.clone());
        altered
    };
    for new in [
        altered(&put, |new, other| new.value = other),
        altered(&put, |new, other| new.metadata = other),
        altered(&put, |new, _| new.value = None),
        altered(&put, |new, _| new.metadata = None),
        altered(&note, |new, other| new.value = other),
        altered(&note, |new, _| new.metadata = None),
    ] {
        assert_eq!(owner.refused_by(&engine, new, &proven()), Refusal::BadEntry);
    }
    let long = owner.put(owner.head, secret, 1, &vec![7; MAX_SEALED_VALUE_LEN + 1]);
    assert_eq!(
        owner.refused_by(&engine, long, &proven()),
        Refusal::TooLarge
    );
    let long = owner.note(owner.head, MAX_METADATA_LEN + 1);
    assert_eq!(
        owner.refused_by(&engine, long, &proven()),
        Refusal::TooLarge
    );
    let longest = owner.note(owner.head, MAX_METADATA_LEN);
    owner.done(&engine, longest);
    let put = owner.put(owner.head, secret, 1, &vec![7; MAX_SEALED_VALUE_LEN]);
    owner.done(&engine, put);
}

/// An owner with so many secrets, and how many bytes they use.
fn filled(place: &dyn Place) -> (Owner, Vec<SecretId>, u64) {
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secrets: Vec<_> = (0..20).map(|_| SecretId::random()).collect();
    for secret in &secrets {
        let put = owner.put(owner.head, *secret, 1, &[7; 1000]);
        owner.done(&engine, put);
    }
    let usage = owner.usage(&engine);
    (owner, secrets, usage)
}

pub(super) fn a_full_account_and_a_full_disk_refuse_what_needs_room_and_nothing_else(fresh: Fresh) {
    for (disk, refused) in [(false, Refusal::Quota), (true, Refusal::DiskFull)] {
        let place = fresh();
        let (mut owner, secrets, usage) = filled(&*place);
        assert_eq!(usage, 20 * (1000 + METADATA_LEN as u64));
        let engine = place.open(Config {
            quota_bytes: if disk { u64::MAX } else { usage },
            min_free_bytes: if disk { u64::MAX } else { 0 },
            ..config()
        });
        let put = owner.put(owner.head, SecretId::random(), 1, b"");
        assert_eq!(owner.refused_by(&engine, put, &proven()), refused);
        let described = owner.describe(owner.head, secrets[0], 1);
        assert_eq!(owner.refused_by(&engine, described, &proven()), refused);
        let note = owner.note(owner.head, 1);
        assert_eq!(owner.refused_by(&engine, note, &proven()), refused);
        // What does not grow is accepted within the quota.
        let reseal = owner.reseal(owner.head, secrets[0], 1, &[8; 1000]);
        let resealed = write(&engine, owner.append_by(&engine, vec![reseal], &proven()));
        match resealed {
            Ok(_) => owner.head = head(resealed),
            Err(_) => assert_eq!((disk, refusal(resealed)), (true, Refusal::DiskFull)),
        }
        // Everything in one go.
        let mut top = owner.head;
        let mut entries = Vec::new();
        let removed = secrets.iter().map(|secret| Op::Remove(of(*secret, 1)));
        let purged = secrets.iter().map(|id| Op::Purge(Purge::Secret(*id)));
        for op in removed.chain(purged) {
            let new = owner.bare(top, op);
            top = top.with(&new.entry);
            entries.push(new);
        }
        owner.head = head(write(&engine, owner.append_by(&engine, entries, &proven())));
        assert_eq!(owner.usage(&engine), 0);
        engine.check().unwrap();
        let put = owner.put(owner.head, SecretId::random(), 1, &[7; 100]);
        assert_eq!(
            write(&engine, owner.append(&engine, vec![put])).is_ok(),
            !disk
        );
        engine.check().unwrap();
    }
}

/// A request of a session that makes so many records.
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
    let refused = refusal(write(&engine, alice.append(&engine, vec![put])));
    assert_eq!(refused, Refusal::Quota);
    // It can be looked at, up to a bound, and left in any case; and bob does not notice.
    for _ in 0..100 {
        write(&engine, request(&alice, AuditedOperation::Sync, 1)).unwrap();
    }
    assert_eq!(over(AuditedOperation::Audit), Refusal::Quota);
    write(&engine, request(&alice, AuditedOperation::Logout, 1)).unwrap();
    write(&engine, request(&bob, AuditedOperation::Get, 200)).unwrap();
    // Whoever is there in person goes on, to shut out whichever device it was: up to another bound.
    let in_person = |operation, is_proven| match request(&alice, operation, 1) {
        Write::Records(mut message) => {
            message.records[0].is_person = true;
            message.records[0].is_proven = is_proven;
            write(&engine, Write::Records(message))
        }
        _ => unreachable!(),
    };
    for _ in 0..99 {
        in_person(AuditedOperation::Get, false).unwrap();
    }
    let refused = refusal(in_person(AuditedOperation::Get, false));
    assert_eq!(refused, Refusal::Quota);
    for _ in 0..100 {
        in_person(AuditedOperation::Slot, false).unwrap();
    }
    let refused = refusal(in_person(AuditedOperation::Slot, false));
    assert_eq!(refused, Refusal::Quota);
    // A proof is always enough to shut out devices and to destroy what they wrote, and for nothing more.
    for operation in [
        AuditedOperation::Sync,
        AuditedOperation::Enrol,
        AuditedOperation::Rekey,
        AuditedOperation::Slot,
        AuditedOperation::Purge,
        AuditedOperation::Remove,
        AuditedOperation::Delete,
    ] {
        in_person(operation, true).unwrap();
    }
    let refused = refusal(in_person(AuditedOperation::Put, true));
    assert_eq!(refused, Refusal::Quota);
    engine.check().unwrap();
}

/// What a flood of requests used up comes back with time, little by little.
pub(super) fn the_budget_of_records_refills(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(Config {
        record_quota: 3000,
        ..config()
    });
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    for _ in 0..15 {
        write(&engine, request(&owner, AuditedOperation::Get, 200)).unwrap();
    }
    let admitted = |count, now_ms| {
        let get = request(&owner, AuditedOperation::Get, count);
        engine.write_at(get, now_ms).is_ok()
    };
    assert!(!admitted(1, NOW));
    // A hundred per day; small requests lose nothing by rounding.
    assert!(!admitted(101, NOW + DAY));
    assert!(admitted(100, NOW + DAY));
    assert!(!admitted(1, NOW + DAY));
    let mut some = 0;
    for minute in 0..24 * 60 {
        some += u32::from(admitted(1, NOW + DAY + minute * 60_000));
    }
    assert!((98..=100).contains(&some), "{some}");
    // A clock that was ahead and is set back does not stop it.
    assert!(admitted(1, NOW + 100 * DAY));
    assert!(admitted(200, NOW));
    for _ in 0..13 {
        assert!(admitted(200, NOW));
    }
    assert!(!admitted(200, NOW));
    assert!(admitted(200, NOW + 3 * DAY));
    engine.check().unwrap();
}

pub(super) fn the_last_half_of_the_reserve_is_for_those_who_made_few_records(fresh: Fresh) {
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
