//! Guesses against the engine on a real database, with a clock of the tests' own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::{IpAddr, Ipv4Addr};

use shared::audit_record::Operation;
use shared::ids::DeviceId;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::wire::error::Refusal;

use super::StorageConfig;
use super::api::{StartLogin, StorageError};
use super::engine::{Engine as _, Write, Written};
use super::lmdb::Lmdb;
use super::tests::{HERE, NOW, Owner, audit, config, head, open, refusal, write};

const SECOND: u64 = 1000;
const HOUR: u64 = 60 * 60 * SECOND;

fn start(slot: Slot, remote: IpAddr) -> Write {
    Write::StartLogin(StartLogin {
        name: AccountName::parse("alice").unwrap(),
        slot,
        remote,
    })
}

/// One start at this moment; the wait in milliseconds where it is refused.
fn start_at(engine: &Lmdb, slot: Slot, remote: IpAddr, now_ms: u64) -> Result<(), u64> {
    match engine.write(&[start(slot, remote)], now_ms).pop().unwrap() {
        Ok(_) => Ok(()),
        Err(StorageError::Refused(Refusal::Throttled(wait_ms))) => Err(wait_ms),
        Err(other) => panic!("{other}"),
    }
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0xc633_6400 + number))
}

#[test]
fn a_thousand_starts_at_once_count_as_a_thousand_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut owner = Owner::new("alice");
    let start = || start(Slot::Password, HERE);
    {
        let engine = open(config(&folder));
        write(&engine, owner.register()).unwrap();
        let results = engine.write(&vec![start(); 1000], NOW);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    }
    let engine = open(config(&folder));
    let refused = refusal(write(&engine, start()));
    assert!(matches!(refused, Refusal::Throttled(wait) if wait > 0));
    assert!(engine.write(&[Write::Tick], NOW + 60_000)[0].is_ok());
    let records = audit(&engine, owner.id);
    let starts = records
        .iter()
        .filter(|record| record.operation == Operation::LoginStart);
    assert_eq!(starts.map(|record| record.count).sum::<u64>(), 1001);
    assert!(records.len() <= 4, "a flood must not make the log grow");
}

#[test]
fn a_success_takes_the_guesses_back() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(config(&folder));
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    for _ in 0..20 {
        let started = write(&engine, start(Slot::Password, HERE));
        assert!(matches!(started, Ok(Written::Account(Some(_)))));
        let finished = write(&engine, owner.succeed(HERE));
        assert_eq!(head(finished), owner.head);
    }
}

/// Guesses that get through in each hour, when every address tries again at the first moment that it may.
fn guesses_per_hour(engine: &Lmdb, addresses: u32, hours: u64) -> Vec<u32> {
    let mut next: Vec<u64> = vec![NOW; addresses as usize];
    let mut through = vec![0; usize::try_from(hours).unwrap()];
    loop {
        let now_ms = *next.iter().min().unwrap();
        let Some(count) = through.get_mut(usize::try_from((now_ms - NOW) / HOUR).unwrap()) else {
            return through;
        };
        let who: Vec<usize> = (0..next.len()).filter(|who| next[*who] == now_ms).collect();
        let guess = |who: &usize| start(Slot::Password, address(u32::try_from(*who).unwrap()));
        let answers = engine.write(&who.iter().map(guess).collect::<Vec<_>>(), now_ms);
        for (who, answer) in who.into_iter().zip(answers) {
            match answer {
                Ok(_) => *count += 1,
                Err(StorageError::Refused(Refusal::Throttled(wait_ms))) => {
                    next[who] = now_ms + wait_ms;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn guesses_per_hour_are_few_from_one_address_and_from_many() {
    // One; some, whose free starts are soon used up; and so many that some have free ones all the time.
    for (addresses, first, later) in [
        (1, 5..=25, 12..=13),
        (12, 100..=160, 58..=61),
        (400, 100..=180, 110..=121),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(config(&folder));
        write(&engine, Owner::new("alice").register()).unwrap();
        let through = guesses_per_hour(&engine, addresses, 2);
        assert!(first.contains(&through[0]), "{addresses}: {through:?}");
        for hour in &through[1..] {
            assert!(later.contains(hour), "{addresses}: {through:?}");
        }
    }
}

/// After an hour of guesses from so many addresses: the owner's waits at home and at a new address, and what else is
/// let in at once.
fn owner_after_an_hour(
    addresses: u32,
) -> (Result<(), u64>, Result<(), u64>, Lmdb, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(config(&folder));
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    // At home, where a login succeeded before.
    start_at(&engine, Slot::Password, HERE, NOW).unwrap();
    write(&engine, owner.succeed(HERE)).unwrap();
    guesses_per_hour(&engine, addresses, 1);
    let now = NOW + HOUR;
    // They race the owner to this very moment.
    for number in 0..addresses {
        let _ = start_at(&engine, Slot::Password, address(number), now);
    }
    for slot in [Slot::Recovery, Slot::Device(DeviceId::random())] {
        assert_eq!(start_at(&engine, slot, elsewhere(), now), Ok(()));
    }
    let new = start_at(&engine, Slot::Password, elsewhere(), now);
    let at_home = start_at(&engine, Slot::Password, HERE, now);
    (at_home, new, engine, folder)
}

fn elsewhere() -> IpAddr {
    address(1000)
}

#[test]
fn the_owner_does_not_stand_in_line_behind_some_addresses() {
    let (at_home, new, ..) = owner_after_an_hour(12);
    assert_eq!((at_home, new), (Ok(()), Ok(())));
}

#[test]
fn behind_very_many_the_owner_waits_a_minute_where_nobody_knows_them() {
    let (at_home, new, engine, _folder) = owner_after_an_hour(100);
    assert_eq!(at_home, Ok(()));
    let wait_ms = new.unwrap_err();
    assert!(wait_ms <= 60 * SECOND, "{wait_ms}");
    let later = NOW + HOUR + wait_ms;
    assert_eq!(
        start_at(&engine, Slot::Password, elsewhere(), later),
        Ok(())
    );
}

#[test]
fn a_full_table_forgets_what_says_least() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(StorageConfig {
        guess_rows: 100,
        ..config(&folder)
    });
    let (familiar, elsewhere) = (address(1), address(2));
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    start_at(&engine, Slot::Password, familiar, NOW).unwrap();
    write(&engine, owner.succeed(familiar)).unwrap();
    for _ in 0..5 {
        start_at(&engine, Slot::Password, elsewhere, NOW).unwrap();
    }
    let junk: Vec<Write> = (0..2000)
        .map(|number| {
            Write::StartLogin(StartLogin {
                name: AccountName::parse(&format!("junk{number}")).unwrap(),
                slot: Slot::Password,
                remote: address(1000 + number),
            })
        })
        .collect();
    assert!(engine.write(&junk, NOW).iter().all(Result::is_ok));
    let rows = engine.snapshot(|txn| engine.tables.guesses.count(txn));
    assert_eq!(rows.unwrap(), 100);
    assert!(start_at(&engine, Slot::Password, elsewhere, NOW).is_err());
    for _ in 0..5 {
        start_at(&engine, Slot::Password, familiar, NOW).unwrap();
    }
}
