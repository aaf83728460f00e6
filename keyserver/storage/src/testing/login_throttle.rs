//! Throttled logins, with a clock of the tests' own.

use std::net::{IpAddr, Ipv4Addr};

use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::DeviceId;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::wire::error::Refusal;

use super::owner::{HERE, NOW, Owner, audit, device, login, record, refusal, write};
use super::{Fresh, config};
use crate::api::{Draft, StartLogin, WriteRecords};
use crate::config::Config;
use crate::error::StorageError;
use crate::store::{Store, WriteResult};
use crate::tables::Table;
use crate::write::{Write, Written};

const SECOND: u64 = 1000;
const HOUR: u64 = 60 * 60 * SECOND;

fn start(slot: Slot, remote: IpAddr) -> Write {
    start_of("alice", slot, remote)
}

fn start_of(name: &str, slot: Slot, remote: IpAddr) -> Write {
    Write::StartLogin(StartLogin {
        name: AccountName::parse(name).unwrap(),
        slot,
        remote,
    })
}

/// Whether a start was admitted; the wait in milliseconds where it was refused.
fn through(answer: WriteResult) -> Result<(), u64> {
    match answer {
        Ok(_) => Ok(()),
        Err(StorageError::Refused(Refusal::Throttled(wait_ms))) => Err(wait_ms),
        Err(other) => panic!("{other}"),
    }
}

/// One start at this moment.
fn start_at(engine: &Store, slot: Slot, remote: IpAddr, now_ms: u64) -> Result<(), u64> {
    through(
        engine
            .write_all(&[start(slot, remote)], now_ms)
            .pop()
            .unwrap(),
    )
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0xc633_6400 + number))
}

pub(super) fn a_thousand_starts_at_once_count_as_a_thousand_across_a_restart(fresh: Fresh) {
    let place = fresh();
    let mut owner = Owner::new("alice");
    let start = || start(Slot::Password, HERE);
    {
        let engine = place.open(config());
        write(&engine, owner.register()).unwrap();
        let results = engine.write_all(&vec![start(); 1000], NOW);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    }
    let engine = place.open(config());
    let refused = refusal(write(&engine, start()));
    assert!(matches!(refused, Refusal::Throttled(wait) if wait > 0));
    assert!(engine.write_all(&[Write::Tick], NOW + 60_000)[0].is_ok());
    let records = audit(&engine, owner.id);
    let starts = records
        .iter()
        .filter(|record| record.operation == AuditedOperation::LoginStart);
    assert_eq!(starts.map(|record| record.count).sum::<u64>(), 1001);
    assert!(records.len() <= 4, "a flood must not make the log grow");
}

pub(super) fn a_success_takes_back_its_start(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    for _ in 0..20 {
        let started = write(&engine, start(Slot::Password, HERE));
        assert!(matches!(started, Ok(Written::Account(Some(_)))));
        let finished = login(write(&engine, owner.succeed(HERE)));
        assert_eq!(finished.head, owner.head);
    }
}

/// An owner behind the same address as a guesser, whose programs log in by device all the time, and who sometimes types
/// the password.
pub(super) fn a_busy_owner_hides_no_guesses(fresh: Fresh) {
    for (logins_per_minute, types) in [(0, false), (6, false), (6, true)] {
        let place = fresh();
        let engine = place.open(config());
        let mut owner = Owner::new("alice");
        let own = device(1);
        write(&engine, owner.register_with(&[own])).unwrap();
        let mut credential = record(own, 1, 1);
        credential.lease = None;
        let mut guesses = [0u32; 2];
        let (mut next_ms, mut typed_ms, mut successes) = (NOW, NOW, 0);
        for second in (0..2 * 3600).step_by(10) {
            let now_ms = NOW + second * SECOND;
            for _ in 0..logins_per_minute / 6 {
                start_at(&engine, own, HERE, now_ms).unwrap();
                let by_device = owner.succeed_with(credential.clone(), HERE);
                login(engine.write_at(by_device, now_ms));
            }
            // Renews the lease.
            engine.write_at(ask(&owner, own), now_ms).unwrap();
            while next_ms < now_ms + 10 * SECOND {
                let asks_ms = next_ms.max(now_ms);
                // The owner is there before the guesser, every ten minutes.
                while types && typed_ms <= asks_ms {
                    match start_at(&engine, Slot::Password, HERE, typed_ms) {
                        Ok(()) => {
                            login(engine.write_at(owner.succeed(HERE), typed_ms));
                            typed_ms += 600 * SECOND;
                            successes += 1;
                        }
                        Err(wait_ms) => typed_ms += wait_ms,
                    }
                }
                match start_at(&engine, Slot::Password, HERE, asks_ms) {
                    Ok(()) => guesses[usize::try_from(second / 3600).unwrap()] += 1,
                    Err(wait_ms) => next_ms = asks_ms + wait_ms,
                }
            }
        }
        println!("{logins_per_minute} logins per minute: {guesses:?} guesses per hour");
        assert!((5..=25).contains(&guesses[0]), "{guesses:?}");
        assert!((6..=13).contains(&guesses[1]), "{guesses:?}");
        assert!(successes >= u32::from(types) * 4, "{successes}");
    }
}

/// A request of a session that the device opened.
fn ask(owner: &Owner, by: Slot) -> Write {
    Write::Records(WriteRecords {
        account: owner.id,
        records: vec![Draft {
            by: Some((by, 1)),
            ..Draft::without_session(AuditedOperation::Sync, Outcome::Done, Some(HERE))
        }],
    })
}

/// Many addresses that guess.
struct Crowd<'a> {
    engine: &'a Store,
    name: &'a str,
    first: u32,
    /// When each tries again: at the first moment that it may.
    next: Vec<u64>,
    /// Guesses that were admitted.
    through: u32,
}

impl<'a> Crowd<'a> {
    fn new(engine: &'a Store, name: &'a str, addresses: u32) -> Self {
        Self {
            engine,
            name,
            first: 0,
            next: vec![NOW; addresses as usize],
            through: 0,
        }
    }

    /// Guesses until this time.
    fn until(&mut self, end_ms: u64) -> &mut Self {
        while let Some(now_ms) = self.next.iter().copied().min().filter(|ms| *ms < end_ms) {
            let who: Vec<usize> = (0..self.next.len())
                .filter(|who| self.next[*who] == now_ms)
                .collect();
            self.guess(&who, now_ms);
        }
        self
    }

    /// All of them guess at once, whatever waits they were told.
    fn rush(&mut self, now_ms: u64) {
        self.guess(&(0..self.next.len()).collect::<Vec<_>>(), now_ms);
    }

    fn guess(&mut self, who: &[usize], now_ms: u64) {
        let guess = |who: &usize| {
            let from = address(self.first + u32::try_from(*who).unwrap());
            start_of(self.name, Slot::Password, from)
        };
        let guesses: Vec<Write> = who.iter().map(guess).collect();
        for (who, answer) in who.iter().zip(self.engine.write_all(&guesses, now_ms)) {
            match through(answer) {
                Ok(()) => {
                    self.through += 1;
                    self.next[*who] = now_ms;
                }
                Err(wait_ms) => self.next[*who] = now_ms + wait_ms,
            }
        }
    }
}

/// Guesses that get through in each hour, when every address tries again at the first moment that it may.
fn guesses_per_hour(engine: &Store, addresses: u32, hours: u64) -> Vec<u32> {
    let mut crowd = Crowd::new(engine, "alice", addresses);
    let mut of_hour = |hour| {
        let before = crowd.through;
        crowd.until(NOW + (hour + 1) * HOUR).through - before
    };
    (0..hours).map(&mut of_hour).collect()
}

pub(super) fn guesses_per_hour_are_few_from_one_address_and_from_many(fresh: Fresh) {
    // One; some, whose free starts are soon used up; and so many that some have free ones all the time.
    for (addresses, first, later) in [
        (1, 5..=25, 12..=13),
        (12, 100..=160, 55..=61),
        (100, 80..=180, 55..=121),
        (400, 80..=180, 55..=121),
    ] {
        let place = fresh();
        let engine = place.open(config());
        write(&engine, Owner::new("alice").register()).unwrap();
        let through = guesses_per_hour(&engine, addresses, 2);
        println!("{addresses} addresses: {through:?} guesses an hour");
        assert!(first.contains(&through[0]), "{addresses}: {through:?}");
        for hour in &through[1..] {
            assert!(later.contains(hour), "{addresses}: {through:?}");
        }
    }
}

pub(super) fn asking_all_the_time_lets_no_more_through(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    write(&engine, Owner::new("alice").register()).unwrap();
    let mut crowd = Crowd::new(&engine, "alice", 30);
    let mut hours = [0; 2];
    for hour in [0, 1] {
        let before = crowd.through;
        for second in (0..3600).step_by(20) {
            crowd.rush(NOW + hour * HOUR + second * SECOND);
        }
        hours[usize::try_from(hour).unwrap()] = crowd.through - before;
    }
    println!("30 addresses that ask all the time: {hours:?} guesses an hour");
    assert!(hours[0] <= 180 && hours[1] <= 121, "{hours:?}");
}

fn elsewhere() -> IpAddr {
    address(1000)
}

/// An owner who logged in at home before.
fn owner_at_home(engine: &Store) -> Owner {
    let mut owner = Owner::new("alice");
    write(engine, owner.register()).unwrap();
    start_at(engine, Slot::Password, HERE, NOW).unwrap();
    write(engine, owner.succeed(HERE)).unwrap();
    owner
}

/// How long the owner waits at a new address, who comes back when told to; the crowd rushes in at that moment, before
/// the owner and after.
fn owners_wait(crowd: &mut Crowd<'_>, mut now_ms: u64) -> u64 {
    let begin_ms = now_ms;
    loop {
        crowd.until(now_ms).rush(now_ms);
        let asked = start_at(crowd.engine, Slot::Password, elsewhere(), now_ms);
        crowd.rush(now_ms);
        match asked {
            Ok(()) => return now_ms - begin_ms,
            Err(wait_ms) => now_ms += wait_ms,
        }
    }
}

pub(super) fn nobody_outruns_the_owner(fresh: Fresh) {
    // Some, who have no free guesses left; and many, who have some, but all of whom have tried.
    for (addresses, hours, most) in [(12, 2, 0), (100, 2, 60 * SECOND)] {
        let place = fresh();
        let engine = place.open(config());
        owner_at_home(&engine);
        let mut crowd = Crowd::new(&engine, "alice", addresses);
        let now = NOW + hours * HOUR;
        crowd.until(now).rush(now);
        // At home, with a recovery code and with a device's credential at once.
        assert_eq!(start_at(&engine, Slot::Password, HERE, now), Ok(()));
        for slot in [Slot::Recovery, Slot::Device(DeviceId::new([9; 16]))] {
            assert_eq!(start_at(&engine, slot, elsewhere(), now), Ok(()));
        }
        let wait_ms = owners_wait(&mut crowd, now);
        println!("{addresses} addresses after {hours} hours: the owner waits {wait_ms} ms");
        assert!(wait_ms <= most, "{addresses}: {wait_ms}");
    }
}

pub(super) fn fresh_addresses_cost_the_owner_a_minute_each_at_most(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    owner_at_home(&engine);
    let mut crowd = Crowd::new(&engine, "alice", 100);
    // None has ever tried, and all are faster.
    crowd.rush(NOW);
    let wait_ms = owners_wait(&mut crowd, NOW);
    println!(
        "100 fresh addresses: the owner waits {} s",
        wait_ms / SECOND
    );
    assert!(wait_ms <= 100 * 60 * SECOND, "{wait_ms}");
}

/// A name that is an account's and one that nobody has, under the same attack; the owner logs in meanwhile.
pub(super) fn nobody_sees_that_the_owner_logs_in(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let owner = owner_at_home(&engine);
    through(write(&engine, start_of("nobody", Slot::Password, HERE))).unwrap();
    let mut crowds = ["alice", "nobody"].map(|name| Crowd::new(&engine, name, 40));
    // The clock runs twice, once for each.
    crowds[1].first = 10_000;
    for minute in 1..60 {
        let now_ms = NOW + minute * 60 * SECOND;
        for crowd in &mut crowds {
            crowd.until(now_ms);
        }
        // At home.
        start_at(&engine, Slot::Password, HERE, now_ms).unwrap();
        let succeeded = engine.write_all(&[owner.succeed(HERE)], now_ms);
        assert!(succeeded[0].is_ok());
        // At a new address; for the other name somebody starts as well, and gets no further.
        let travelling = address(5000 + u32::try_from(minute).unwrap());
        let starts = ["alice", "nobody"].map(|name| {
            let start = start_of(name, Slot::Password, travelling);
            through(engine.write_all(&[start], now_ms).remove(0))
        });
        assert_eq!(starts[0], starts[1]);
        if starts[0].is_ok() {
            assert!(engine.write_all(&[owner.succeed(travelling)], now_ms)[0].is_ok());
        }
        let [known, unknown] = &crowds;
        assert_eq!(known.next, unknown.next, "minute {minute}");
        assert_eq!(known.through, unknown.through, "minute {minute}");
    }
}

pub(super) fn a_full_table_evicts_the_rows_with_the_fewest_attempts(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(Config {
        throttle_rows: 100,
        ..config()
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
    assert!(engine.write_all(&junk, NOW).iter().all(Result::is_ok));
    let rows = engine.read(|view| view.count(Table::LoginThrottle, &[]));
    assert_eq!(rows.unwrap(), 100);
    assert!(start_at(&engine, Slot::Password, elsewhere, NOW).is_err());
    for _ in 0..5 {
        start_at(&engine, Slot::Password, familiar, NOW).unwrap();
    }
}
