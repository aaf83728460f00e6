//! Load on a real `keyserver` over loopback: what it does in a second and how long it takes, and with `--attack` what an
//! honest owner feels of a crowd. Build the server first: `cargo build --release -p keyserver`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::Table;
use keyshell_client::opaque::login::StartedLogin;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::error::Refusal;
use shared::wire::login::{LoginResponse, LoginStart};
use shared::wire::path;
use tests::owner::Owner;
use tests::raw::Raw;
use tests::server::Server;

/// Bytes of a value.
const VALUE: [u8; 256] = [7; 256];

/// Load on a keyserver
#[derive(Debug, Parser)]
struct Arguments {
    /// How long each measurement takes
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Clients, or attackers, at once
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Attack from many addresses, and measure one honest owner
    #[arg(long)]
    attack: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let mut table = Table::new();
    table.set_header(["what", "a second", "p50 ms", "p99 ms", "server MiB"]);
    if arguments.attack {
        attack(&arguments, &mut table);
    } else {
        load(&arguments, &mut table);
    }
    println!("{table}");
}

/// How long each of many events took.
#[derive(Default)]
struct Took(Vec<Duration>);

impl Took {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.0.push(started.elapsed());
        done
    }

    fn row(mut self, what: &str, over: Duration, server: &Server, table: &mut Table) {
        self.0.sort();
        let at = |hundredth: usize| {
            let place = self.0.len() * hundredth / 100;
            let took = self.0.get(place).or(self.0.last());
            took.map_or_else(String::new, |took| {
                format!("{:.1}", took.as_secs_f64() * 1e3)
            })
        };
        table.add_row([
            what.to_owned(),
            (self.0.len() as u64 / over.as_secs().max(1)).to_string(),
            at(50),
            at(99),
            (server.resident_kib() / 1024).to_string(),
        ]);
    }
}

/// What one client does until the time is over, over and over.
type Work = fn(&Server, &Owner, Ipv4Addr, &mut Took, Instant);

fn logins(server: &Server, owner: &Owner, from: Ipv4Addr, took: &mut Took, end: Instant) {
    while Instant::now() < end {
        took.time(|| {
            owner
                .log_in_from(server, from, owner.device_slot())
                .unwrap()
        });
    }
}

fn puts(server: &Server, owner: &Owner, _: Ipv4Addr, took: &mut Took, end: Instant) {
    let mut session = owner.log_in(server);
    while Instant::now() < end {
        took.time(|| session.put(&VALUE));
    }
}

fn gets(server: &Server, owner: &Owner, _: Ipv4Addr, took: &mut Took, end: Instant) {
    let mut session = owner.log_in(server);
    let secret = session.put(&VALUE);
    while Instant::now() < end {
        took.time(|| session.fetch(secret).unwrap());
    }
}

fn load(arguments: &Arguments, table: &mut Table) {
    let server = Server::patient();
    let owners: Vec<Owner> = (0..arguments.clients)
        .map(|number| Owner::register(&server, &format!("owner{number}"), "password"))
        .collect();
    let works: [(&str, Work); 3] = [("logins", logins), ("puts", puts), ("gets", gets)];
    let over = Duration::from_secs(arguments.seconds);
    for (what, work) in works {
        let end = Instant::now() + over;
        let mut all = Took::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..)
                .zip(&owners)
                .map(|(number, owner)| {
                    let server = &server;
                    scope.spawn(move || {
                        let mut took = Took::default();
                        work(server, owner, address(number), &mut took, end);
                        took.0
                    })
                })
                .collect();
            for thread in threads {
                all.0.extend(thread.join().unwrap());
            }
        });
        all.row(what, over, &server, table);
    }
}

/// One of 65,536 addresses.
fn address(number: u32) -> Ipv4Addr {
    let first = u32::from(Ipv4Addr::new(127, 3, 0, 0));
    Ipv4Addr::from(first + number % 0x1_0000)
}

/// An owner logs in, writes and reads, alone and then in a crowd. Throttles are as they are by default.
fn attack(arguments: &Arguments, table: &mut Table) {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", "password");
    let over = Duration::from_secs(arguments.seconds);
    honest("alone", &server, &owner, over, table);
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for attacker in 0..arguments.clients {
            let (server, stop, sent) = (&server, &stop, &sent);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    pester(
                        server,
                        address(number * arguments.clients + attacker),
                        number,
                    );
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        honest("attacked", &server, &owner, over, table);
        stop.store(true, Ordering::SeqCst);
    });
    let hits = sent.load(Ordering::SeqCst) / arguments.seconds.max(1);
    println!(
        "{hits} attacks a second: garbage, half-open logins and guesses, each from another address"
    );
}

fn honest(when: &str, server: &Server, owner: &Owner, over: Duration, table: &mut Table) {
    let [mut logins, mut puts, mut gets] = [(); 3].map(|()| Took::default());
    let end = Instant::now() + over;
    while Instant::now() < end {
        let mut session = logins.time(|| owner.log_in(server));
        let secret = puts.time(|| session.put(&VALUE));
        gets.time(|| session.fetch(secret).unwrap());
    }
    for (what, took) in [("logins", logins), ("puts", puts), ("gets", gets)] {
        took.row(&format!("{what}, {when}"), over, server, table);
    }
}

/// One hostile connection: whatever becomes of it is the server's affair.
fn pester(server: &Server, from: Ipv4Addr, number: u32) {
    let mut raw = Raw::from(server, from);
    match number % 4 {
        0 => drop(raw.post(path::LOGIN_START, &[0xc1; 2000])),
        1 => drop(raw.write(b"POST /v2/call HTTP/1.1\r\n")),
        2 => drop(guess(&mut raw, &format!("nobody{number}"))),
        _ => drop(guess(&mut raw, "alice")),
    }
}

/// A login that is not finished.
fn guess(raw: &mut Raw, account: &str) -> Result<LoginResponse, Refusal> {
    let name = AccountName::parse(account).unwrap();
    let credential = SecretBytes::from(b"guess".as_slice());
    let (_, start): (_, LoginStart) =
        StartedLogin::start(&name, Slot::Password, &credential).unwrap();
    raw.ask(path::LOGIN_START, &start)
}
