//! Starts of logins and wrong proofs: counted at once for any name; audit records when their span is over, or with the
//! owner's next login.

use std::net::{IpAddr, Ipv4Addr};

use shared::audit_record::{AuditedOperation, MANY_ADDRESSES, Outcome, Record};
use shared::names::AccountName;
use shared::opaque::Slot;

use super::owner::{HERE, NOW, Owner, audit, write};
use super::{Fresh, Place, config};
use crate::api::{Draft, FinishLogin, StartLogin, WriteRecords};
use crate::login_aggregates::{BY_HOUR, BY_MINUTE, MAX_ROWS, NETWORKS, NOBODYS_RECORDS};
use crate::store::Store;
use crate::tables::{self, NOBODY, Table};
use crate::write::Write;

const MINUTE: u64 = 60 * 1000;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).unwrap()
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0xc633_0000 + number))
}

/// A start with a slot that is throttled for its address only.
fn start(account: &str, remote: IpAddr) -> Write {
    Write::StartLogin(StartLogin {
        name: name(account),
        slot: Slot::Recovery,
        remote,
    })
}

fn wrong_proof(account: &str, remote: IpAddr) -> Write {
    Write::FinishLogin(FinishLogin {
        name: name(account),
        success: None,
        remote,
    })
}

fn at(engine: &Store, writes: &[Write], now_ms: u64) {
    for result in engine.write_all(writes, now_ms) {
        result.unwrap();
    }
}

fn with_owner(fresh: Fresh) -> (Box<dyn Place>, Store, Owner) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    (place, engine, owner)
}

/// Rows of the tables that unauthenticated logins write to.
fn rows(engine: &Store) -> [u64; 5] {
    let tables = [
        Table::LoginThrottle,
        Table::LoginAggregates,
        Table::Records,
        Table::Nodes,
        Table::Trees,
    ];
    tables.map(|table| engine.read(|view| view.count(table, &[])).unwrap())
}

fn total(records: &[Record], operation: AuditedOperation) -> u64 {
    let of_it = records
        .iter()
        .filter(|record| record.operation == operation);
    of_it.map(|record| record.count).sum()
}

pub(super) fn events_of_names_without_an_account_write_the_same_rows(fresh: Fresh) {
    let (_place, engine, owner) = with_owner(fresh);
    let mut grown = Vec::new();
    for account in ["alice", "nobody"] {
        for event in [start(account, HERE), wrong_proof(account, HERE)] {
            let before = rows(&engine);
            write(&engine, event).unwrap();
            let after = rows(&engine);
            let pairs = before.iter().zip(after);
            grown.push(pairs.map(|(old, new)| new - old).collect::<Vec<_>>());
        }
    }
    // The address has a row of attempts from the first start on.
    assert_eq!(grown, [[1, 1, 0, 0, 0], [0; 5], [0, 1, 0, 0, 0], [0; 5]]);
    assert_eq!(audit(&engine, owner.id).len(), 1);
}

pub(super) fn starts_are_records_when_their_minute_is_over(fresh: Fresh) {
    let (_place, engine, owner) = with_owner(fresh);
    let begin = NOW / MINUTE * MINUTE;
    let events = [
        start("alice", HERE),
        start("alice", HERE),
        wrong_proof("alice", HERE),
    ];
    at(&engine, &events, begin);
    at(&engine, &[Write::Tick], begin + MINUTE - 1);
    assert_eq!(audit(&engine, owner.id).len(), 1);
    at(&engine, &[Write::Tick], begin + MINUTE);
    let records = audit(&engine, owner.id);
    let seen: Vec<_> = records
        .iter()
        .skip(1)
        .map(|record| {
            (
                record.operation,
                record.outcome,
                record.count,
                record.remote.as_str(),
            )
        })
        .collect();
    let here = HERE.to_string();
    let expected = [
        (
            AuditedOperation::LoginStart,
            Outcome::Done,
            2,
            here.as_str(),
        ),
        (AuditedOperation::Login, Outcome::Refused, 1, here.as_str()),
    ];
    assert_eq!(seen, expected);
    at(&engine, &[Write::Tick], begin + 2 * MINUTE);
    assert_eq!(audit(&engine, owner.id).len(), 3, "once");
}

pub(super) fn a_clock_that_was_set_back_hides_nothing(fresh: Fresh) {
    let (_place, engine, owner) = with_owner(fresh);
    at(&engine, &[start("alice", HERE)], NOW + 1_000_000 * MINUTE);
    at(&engine, &[start("alice", HERE), Write::Tick], NOW);
    assert_eq!(
        total(&audit(&engine, owner.id), AuditedOperation::LoginStart),
        1
    );
    write(&engine, owner.succeed(HERE)).unwrap();
    assert_eq!(
        total(&audit(&engine, owner.id), AuditedOperation::LoginStart),
        2
    );
}

pub(super) fn the_owner_sees_all_earlier_events(fresh: Fresh) {
    let (_place, engine, owner) = with_owner(fresh);
    // In two minutes, neither of them recorded yet.
    at(
        &engine,
        &[start("alice", address(1)), start("bob", address(1))],
        NOW,
    );
    at(&engine, &[start("alice", address(2))], NOW + MINUTE);
    at(&engine, &[owner.succeed(HERE)], NOW + MINUTE);
    let records = audit(&engine, owner.id);
    let operations: Vec<_> = records.iter().map(|record| record.operation).collect();
    let expected = [
        AuditedOperation::Register,
        AuditedOperation::LoginStart,
        AuditedOperation::LoginStart,
        AuditedOperation::Login,
    ];
    assert_eq!(operations, expected);
    // And whenever an open session asks.
    at(&engine, &[start("alice", address(3))], NOW + MINUTE);
    let draft = Draft::without_session(AuditedOperation::Audit, Outcome::Done, Some(HERE));
    let question = WriteRecords {
        account: owner.id,
        records: vec![draft],
    };
    at(&engine, &[Write::Records(question)], NOW + MINUTE);
    let records = audit(&engine, owner.id);
    assert_eq!(total(&records, AuditedOperation::LoginStart), 3);
    assert_eq!(records.last().unwrap().operation, AuditedOperation::Audit);
}

pub(super) fn many_addresses_do_not_make_a_log_grow(fresh: Fresh) {
    let (_place, engine, owner) = with_owner(fresh);
    let starts: Vec<Write> = (0..1000)
        .map(|number| start("alice", address(number)))
        .collect();
    let wrong = (0..1000).map(|number| wrong_proof("alice", address(number)));
    at(&engine, &starts, NOW);
    at(&engine, &wrong.collect::<Vec<_>>(), NOW);
    at(&engine, &[Write::Tick], NOW + MINUTE);
    let records = audit(&engine, owner.id);
    assert_eq!(records.len(), 1 + 2 * (NETWORKS + 1));
    for operation in [AuditedOperation::LoginStart, AuditedOperation::Login] {
        assert_eq!(total(&records, operation), 1000);
        let others = records
            .iter()
            .find(|record| record.operation == operation && record.remote == MANY_ADDRESSES);
        assert_eq!(others.unwrap().count, 1000 - NETWORKS as u64);
    }
    // A network of IPv6 is one sender.
    let neighbour = |number: u16| {
        start(
            "alice",
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number]),
        )
    };
    at(
        &engine,
        &(0..100).map(neighbour).collect::<Vec<_>>(),
        NOW + MINUTE,
    );
    at(&engine, &[Write::Tick], NOW + 2 * MINUTE);
    assert_eq!(audit(&engine, owner.id).len(), records.len() + 1);
}

/// What a few hosts can send for days: the log stays short, and no event is lost.
pub(super) fn lasting_floods_get_longer_spans(fresh: Fresh) {
    let (_place, engine, owner) = with_owner(fresh);
    let senders = u32::try_from(NETWORKS + 1).unwrap();
    let starts: Vec<Write> = (0..senders)
        .map(|number| start("alice", address(number)))
        .chain([Write::Tick])
        .collect();
    let begin = NOW.next_multiple_of(24 * 60 * MINUTE);
    let mut sent = 0;
    let mut grown = Vec::new();
    for day in 0..4 {
        let before = audit_len(&engine, &owner);
        // Every fifth minute, to be quick.
        for minute in (0..24 * 60).step_by(5) {
            at(&engine, &starts, begin + (day * 24 * 60 + minute) * MINUTE);
            sent += u64::from(senders);
        }
        grown.push(audit_len(&engine, &owner) - before);
    }
    println!("records a day: {grown:?}");
    // Per minute at first, per day in the end.
    assert!(grown[0] >= u64::from(BY_MINUTE), "{grown:?}");
    assert!(grown[0] <= 2 * u64::from(BY_HOUR), "{grown:?}");
    assert!(grown[1..].iter().all(|day| *day <= 300), "{grown:?}");
    // The owner sees all of it at once, whatever span is under way.
    at(
        &engine,
        &[owner.succeed(HERE)],
        begin + 4 * 24 * 60 * MINUTE - 1,
    );
    let counted = all_records(&engine, &owner);
    assert_eq!(total(&counted, AuditedOperation::LoginStart), sent);
    engine.check().unwrap();
    // After quiet days spans are a minute again.
    let later = begin + 14 * 24 * 60 * MINUTE;
    at(&engine, &[start("alice", HERE)], later);
    let before = audit_len(&engine, &owner);
    at(&engine, &[Write::Tick], later + MINUTE);
    assert_eq!(audit_len(&engine, &owner), before + 1);
}

fn audit_len(engine: &Store, owner: &Owner) -> u64 {
    engine.read(|view| view.tree(&owner.id)).unwrap().size
}

/// All records: more than one page holds.
fn all_records(engine: &Store, owner: &Owner) -> Vec<Record> {
    let record = |index| {
        let key = tables::record(&owner.id, index);
        engine.read(|view| view.open(Table::Records, &key))
    };
    let records = (0..audit_len(engine, owner)).map(|index| record(index).unwrap().unwrap());
    records.collect()
}

pub(super) fn names_without_an_account_take_no_more_than_their_room(fresh: Fresh) {
    let (_place, engine, owner) = with_owner(fresh);
    at(&engine, &[start("alice", HERE)], NOW);
    let names = u32::try_from(MAX_ROWS + NOBODYS_RECORDS + 1000).unwrap();
    let writes: Vec<Write> = (0..names)
        .map(|number| start(&format!("nobody{number}"), address(number % 60_000)))
        .collect();
    at(&engine, &writes, NOW);
    let [_, aggregates, ..] = rows(&engine);
    assert_eq!(aggregates, MAX_ROWS);
    // Some became records before the minute was over, perhaps alice's, and none is lost.
    let mut now = NOW;
    while rows(&engine)[1] > 0 {
        now += MINUTE;
        at(&engine, &[Write::Tick], now);
    }
    assert_eq!(
        total(&audit(&engine, owner.id), AuditedOperation::LoginStart),
        1
    );
    let kept = engine.read(|view| view.count(Table::Records, NOBODY.as_bytes()));
    assert_eq!(kept.unwrap(), NOBODYS_RECORDS);
    engine.check().unwrap();
}
