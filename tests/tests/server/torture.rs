//! Clients work while the server is killed, again and again: what was acknowledged stays, and nothing is half there.
//!
//! `TORTURE_KILLS=200 cargo test -p tests torture:: -- --nocapture` is the long form; it prints a summary.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use keyshell_client::error::Error;
use keyshell_client::vault::audit::VerifiedRecord;
use keyshell_client::vault::audit_verifier::Attribution;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shared::audit_record::{AuditedOperation, Outcome};
use shared::vault_log::LAST_OF_REGISTRATION;
use tests::client::{Client, status as status_of};
use tests::device::Device;
use tests::server::Server;

const KILLS: u32 = 15;
const ACCOUNTS: [&str; 2] = ["alice", "bob"];
const DEVICES: usize = 4;
const NAMES: usize = 6;
const PASSWORD: &str = "torture of copper wire";
/// Between two tries to reach a server that is down.
const PAUSE: Duration = Duration::from_millis(20);

/// What a name may hold: one thing where the last write was acknowledged, two where nobody knows.
type Possible = Vec<Option<Vec<u8>>>;

/// One device, with names that it alone writes.
struct Worker {
    client: Client,
    own: String,
    expected: BTreeMap<String, Possible>,
    rng: StdRng,
    done: Sender<()>,
}

impl Worker {
    fn work(mut self, stop: &AtomicBool) -> Client {
        while !stop.load(Ordering::SeqCst) {
            match self.step() {
                // The main thread may have enough already.
                Ok(()) => drop(self.done.send(())),
                Err(error) => self.recover(&error),
            }
        }
        self.verify();
        self.client
    }

    fn name(&mut self) -> String {
        format!("{}/{}", self.own, self.rng.gen_range(0..NAMES))
    }

    fn known(&self, name: &str) -> Option<Vec<u8>> {
        match self.expected.get(name).map(Vec::as_slice) {
            None => None,
            Some([one]) => one.clone(),
            Some(_) => panic!("{name} is not settled"),
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        let (name, other) = (self.name(), self.name());
        let (before, at_other) = (self.known(&name), self.known(&other));
        match self.rng.gen_range(0..10) {
            0 if before.is_some() => {
                self.expect(&name, before.clone(), None);
                self.client.remove(&name)?;
                self.settle(&name, None);
            }
            1 if before.is_some() && at_other.is_none() && name != other => {
                self.expect(&name, before.clone(), None);
                self.expect(&other, None, before.clone());
                self.client.rename(&name, &other)?;
                self.settle(&name, None);
                self.settle(&other, before);
            }
            2..=4 => assert_eq!(self.client.get(&name)?, before, "{name}"),
            _ => {
                let len = if self.rng.gen_bool(0.05) {
                    300_000
                } else {
                    500
                };
                let value: Vec<u8> = (0..self.rng.gen_range(0..len))
                    .map(|_| self.rng.r#gen())
                    .collect();
                self.expect(&name, before, Some(value.clone()));
                self.client.put(&name, &value)?;
                self.settle(&name, Some(value));
            }
        }
        Ok(())
    }

    fn expect(&mut self, name: &str, one: Option<Vec<u8>>, other: Option<Vec<u8>>) {
        self.expected.insert(name.to_owned(), vec![one, other]);
    }

    fn settle(&mut self, name: &str, value: Option<Vec<u8>>) {
        self.expected.insert(name.to_owned(), vec![value]);
    }

    /// The session is gone with the server: back in as soon as it is there, and look at everything.
    fn recover(&mut self, error: &Error) {
        let mut status = status_of(error);
        loop {
            // A session of before; not reached; or others were faster again and again, which a busy machine does.
            assert!(matches!(status, 4..=6), "{error}");
            self.client.close();
            match self.client.sync() {
                Ok(()) => return self.verify(),
                Err(error) => status = status_of(&error),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Everything is as it was acknowledged, or one of the two where that is not known.
    fn verify(&mut self) {
        let names: Vec<String> = self.expected.keys().cloned().collect();
        for name in names {
            let seen = loop {
                match self.client.get(&name) {
                    Ok(seen) => break seen,
                    Err(error) => {
                        assert!(matches!(status_of(&error), 4 | 5), "{error}");
                        self.client.close();
                        std::thread::sleep(PAUSE);
                    }
                }
            };
            let possible = self.expected.get(&name).unwrap();
            assert!(possible.contains(&seen), "{name}: lost or half done");
            self.settle(&name, seen);
        }
    }
}

/// One acknowledged or unacknowledged mutation in the log has one record, made with it.
fn mutations(records: &[VerifiedRecord]) -> u64 {
    let done = records.iter().filter(|checked| {
        let record = &checked.record;
        let mutates = matches!(
            record.operation,
            AuditedOperation::Put | AuditedOperation::Describe | AuditedOperation::Remove
        );
        mutates && record.outcome == Outcome::Done
    });
    u64::try_from(done.count()).unwrap()
}

/// Returns how many operations were acknowledged between the kills.
fn torment(server: &mut Server, rng: &mut StdRng, kills: u32, done: &Receiver<()>) -> u64 {
    let mut operations = 0;
    for _ in 0..kills {
        for _ in 0..rng.gen_range(1..60) {
            done.recv().unwrap();
            operations += 1;
        }
        server.kill();
        server.start_again();
    }
    operations
}

#[test]
fn acknowledged_writes_survive_every_kill() {
    let kills = std::env::var("TORTURE_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    let mut server = Server::patient();
    let mut rng = StdRng::from_entropy();
    let (sender, done) = channel();
    let mut workers = Vec::new();
    for account in ACCOUNTS {
        Device::registered(&server, account, PASSWORD);
        for number in 0..DEVICES {
            workers.push(Worker {
                client: Client::new(&server.url, &server.pin, account, PASSWORD),
                own: format!("device {number}"),
                expected: BTreeMap::new(),
                rng: StdRng::from_rng(&mut rng).unwrap(),
                done: sender.clone(),
            });
        }
    }
    drop(sender);
    let stop = AtomicBool::new(false);
    let mut operations = 0;
    let clients: Vec<Client> = std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(|| worker.work(&stop)))
            .collect();
        operations = torment(&mut server, &mut rng, kills, &done);
        stop.store(true, Ordering::SeqCst);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let mut summary = String::new();
    for mut client in clients {
        // From the pins on the disk, as a process that was just started.
        client.close();
        let records = client.audit().unwrap();
        assert!(
            records
                .iter()
                .all(|record| record.attribution != Attribution::Forged)
        );
        // All but those of the registration.
        let entries = client.vault().index().head().seq.0 - LAST_OF_REGISTRATION.0;
        assert_eq!(mutations(&records), entries);
        summary = format!(
            "{entries} entries and {} records in the newest account",
            records.len()
        );
    }
    eprintln!(
        "{kills} kills, {operations} operations acknowledged between them; {summary}: nothing lost, all proven"
    );
}
