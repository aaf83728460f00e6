//! A crowd that attacks: garbage, floods, guesses, replays and the requests of others. The server stands, and its owner
//! is served.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyshell_client::opaque::login::StartedLogin;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shared::channel::Sealed;
use shared::codec;
use shared::ids::{SecretId, Version};
use shared::names::AccountName;
use shared::opaque::{SUITE, Slot};
use shared::secret::SecretBytes;
use shared::wire::call::{Answer, Fetch, Logout, ValueRef};
use shared::wire::error::Refusal;
use shared::wire::login::{LoginResponse, LoginStart};
use shared::wire::path;
use shared::wire::register::{RegisterResponse, RegisterStart};
use tests::device::Device;
use tests::foreign::is_root;
use tests::owner::{Owner, Session};
use tests::raw::{Raw, allow_many, tcp};
use tests::server::Server;

const PASSWORD: &str = "crowd of copper wire";
const MIB: u64 = 1024;

fn start(account: &str) -> LoginStart {
    let name = AccountName::parse(account).unwrap();
    let guess = SecretBytes::from(b"guess".as_slice());
    StartedLogin::start(&name, Slot::Password, &guess)
        .unwrap()
        .1
}

/// Tells the threads of a scope to stop, also where the scope ends by a panic: it would wait for them for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs `act` in one thread per number, until `during` has returned; `act` ends when the flag is set.
fn with_crowd(count: u32, act: impl Fn(u32, &AtomicBool) + Sync, during: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (act, stop) = (&act, &stop);
        let _stop = Stop(stop);
        for number in 0..count {
            scope.spawn(move || act(number, stop));
        }
        during();
    });
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number)
}

/// The server as it was before an attack.
struct Before {
    server: Server,
    owner: Device,
    resident_kib: u64,
    rows: String,
}

impl Before {
    /// A server with one owner and one secret.
    fn of(mut server: Server) -> Self {
        let owner = Device::registered(&server, "alice", PASSWORD);
        owner.put("k", b"value");
        let rows = rows(&mut server);
        // So that what a first login needs is there already.
        assert_eq!(owner.get("k"), b"value");
        Self {
            resident_kib: server.resident_kib(),
            server,
            owner,
            rows,
        }
    }

    /// The owner is served, the server has not grown by more than this, and nothing but records came into its
    /// database.
    #[track_caller]
    fn still_stands(mut self, growth_kib: u64) {
        assert_eq!(self.owner.get("k"), b"value");
        let (before, now) = (self.resident_kib, self.server.resident_kib());
        assert!(now < before + growth_kib, "{before} KiB, now {now}");
        self.owner.run(&["audit"]).ok();
        assert_eq!(rows(&mut self.server), self.rows);
    }
}

/// What `check` counts in the database, without the audit records.
fn rows(server: &mut Server) -> String {
    server.stop();
    let output = server.command(&["check"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    server.start_again();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines();
    lines.filter(|line| !line.starts_with("audit")).collect()
}

#[test]
fn garbage_at_every_layer_is_refused() {
    let before = Before::of(Server::start());
    let server = &before.server;
    // No TLS.
    for garbage in [
        b"GET / HTTP/1.0\r\n\r\n".as_slice(),
        &[0; 4096],
        &vec![0x16; 70_000],
    ] {
        let mut stream = tcp(server, Ipv4Addr::LOCALHOST).unwrap();
        // The server may have closed already.
        let _ = stream.write_all(garbage);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // No HTTP, or too much of it.
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5_000));
    let smuggled = "POST /v2/call HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    for garbage in ["\0\0\0\0\r\n\r\n", &long, &many, smuggled] {
        let mut raw = Raw::to(server);
        let _ = raw.write(garbage.as_bytes());
        if let Ok((status, _)) = raw.answer() {
            assert!((400..500).contains(&status), "{status}");
        }
    }
    // No message.
    let paths = [
        path::REGISTER_START,
        path::REGISTER_FINISH,
        path::LOGIN_START,
        path::LOGIN_FINISH,
        path::CALL,
    ];
    let nested = vec![0x91; 10_000];
    for path in paths {
        for garbage in [
            b"".as_slice(),
            b"{}",
            &nested,
            &[0xdd, 0xff, 0xff, 0xff, 0xff],
            &[0xc1],
        ] {
            let (status, body) = Raw::to(server).post(path, garbage).unwrap();
            let refusal: Refusal = codec::decode(&body, 1000).unwrap();
            assert_eq!((status, refusal), (400, Refusal::Malformed));
        }
        let too_long = vec![0; 64 * 1024];
        let (status, _) = Raw::to(server).post(path, &too_long).unwrap();
        assert!(matches!(status, 400 | 413), "{path}: {status}");
    }
    let (status, _) = Raw::to(server).post("/v2/nothing", b"").unwrap();
    assert_eq!(status, 404);
    before.still_stands(64 * MIB);
}

#[test]
fn slow_senders_and_idle_connections_are_closed() {
    // Longer than the owner's key stretching takes, else a connection may end while the owner uses it.
    let options = [("REQUEST_TIMEOUT", "4s"), ("KEEP_ALIVE", "10s")];
    let before = Before::of(Server::with(&options));
    let server = &before.server;
    // More than there may be handshakes at once, were that left to the libraries.
    allow_many();
    let silent: Vec<_> = (0..1200)
        .map(|number| tcp(server, address(number % 8)).unwrap())
        .collect();
    let mut slow: Vec<Raw> = (0..50)
        .map(|number| Raw::from(server, address(number)))
        .collect();
    for raw in &mut slow {
        raw.write(b"POST /v2/login/start HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\ncontent-type: application/msgpack\r\n\r\nx")
            .unwrap();
    }
    // While they wait.
    assert_eq!(before.owner.get("k"), b"value");
    let started = Instant::now();
    for mut stream in silent {
        // Closed or reset: either is an end.
        let _ = stream.read(&mut [0]);
    }
    for mut raw in slow {
        if let Ok((status, body)) = raw.answer() {
            assert_eq!(status, 408, "{:?}", String::from_utf8_lossy(&body));
        }
    }
    assert!(started.elapsed() < Duration::from_secs(30));
    before.still_stands(96 * MIB);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let server = Server::with(&[("CONNECTIONS_PER_ADDRESS", "8")]);
    let (crowd, other) = (address(1), address(2));
    // Polite ones, that answer and stay.
    let mut held: Vec<Raw> = (0..8)
        .map(|_| {
            let mut raw = Raw::from(&server, crowd);
            assert_eq!(raw.get(path::HELLO).unwrap().0, 200);
            raw
        })
        .collect();
    for _ in 0..20 {
        // An end at once, not one after a time-out, which would be an error of another kind.
        let mut refused = tcp(&server, crowd).unwrap();
        let end = refused.read(&mut [0]);
        assert!(
            matches!(&end, Ok(0))
                || end
                    .as_ref()
                    .is_err_and(|e| e.kind() == ErrorKind::ConnectionReset),
            "{end:?}"
        );
    }
    assert_eq!(Raw::from(&server, other).get(path::HELLO).unwrap().0, 200);
    for raw in &mut held {
        assert_eq!(raw.get(path::HELLO).unwrap().0, 200);
    }
    // A place is free again when its connection has ended; when the server notices is its own affair.
    held.pop();
    while Raw::from(&server, crowd).get(path::HELLO).is_err() {}
}

/// Holds idle connections from one address, and connects again where one is closed, until told to stop.
fn idle(server: &Server, from: Ipv4Addr, count: usize, stop: &AtomicBool) {
    let mut streams: Vec<_> = (0..count).map(|_| tcp(server, from).unwrap()).collect();
    while !stop.load(Ordering::SeqCst) {
        let mut events: Vec<_> = streams
            .iter()
            .map(|stream| PollFd::new(stream, PollFlags::IN))
            .collect();
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        poll(&mut events, Some(&timeout)).unwrap();
        let closed: Vec<bool> = events
            .iter()
            .map(|event| !event.revents().is_empty())
            .collect();
        for (stream, closed) in streams.iter_mut().zip(closed) {
            if closed {
                *stream = tcp(server, from).unwrap();
            }
        }
    }
}

/// With room for about 250 connections, and twice as many who want them all the time.
#[test]
fn idle_connections_from_many_addresses_shut_nobody_out() {
    if !is_root("counting the files that the server has open") {
        return;
    }
    allow_many();
    let folder = tempfile::tempdir().unwrap();
    let limited = ["sh", "-c", "ulimit -n 480; exec \"$0\" \"$@\""];
    let server = Server::under(&limited, &folder.path().join("data"), &[]);
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert!(log.contains("the limit of open files lowers"), "{log}");
    let owner = Device::registered(&server, "alice", PASSWORD);
    owner.put("k", b"value");
    let bob = Owner::register(&server, "bob", PASSWORD);
    let mut session = bob.log_in(&server);
    let secret = session.put(b"sealed");
    let crowd = |number, stop: &AtomicBool| idle(&server, address(number), 45, stop);
    with_crowd(12, crowd, || {
        // As soon as they have come.
        while server.open_files() < 250 {}
        for _ in 0..4 {
            assert_eq!(owner.get("k"), b"value");
            // On the connection of before.
            assert!(session.fetch(secret).is_ok());
        }
        assert!(server.open_files() <= 480);
    });
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert!(!log.contains("Too many open files"), "{log}");
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let limited = ["sh", "-c", "ulimit -S -n 100; exec \"$0\" \"$@\""];
    let server = Server::under(&limited, &folder.path().join("data"), &[]);
    let mut held: Vec<Raw> = (0..200)
        .map(|number| {
            let mut raw = Raw::from(&server, address(number % 2));
            assert_eq!(raw.get(path::HELLO).unwrap().0, 200);
            raw
        })
        .collect();
    for raw in &mut held {
        assert_eq!(raw.get(path::HELLO).unwrap().0, 200);
    }
}

#[test]
fn registrations_of_one_address_are_slowed_down() {
    let server = Server::configured(
        "[throttle.address]\nfree = 3\nfirst_ms = 3600000\nlongest_ms = 3600000\nhalf_life_ms = 3600000\n",
    );
    let ask = |from: Ipv4Addr| {
        let message = RegisterStart {
            suite: SUITE,
            account: AccountName::parse("alice").unwrap(),
            invite: None,
            slots: Vec::new(),
        };
        let answer: Result<RegisterResponse, Refusal> =
            Raw::from(&server, from).ask(path::REGISTER_START, &message);
        answer.unwrap_err()
    };
    // Counted before anything is looked at: these lack their slots.
    for _ in 0..3 {
        assert_eq!(ask(address(1)), Refusal::Malformed);
    }
    assert!(matches!(ask(address(1)), Refusal::Throttled(wait) if wait > 1_000_000));
    assert_eq!(ask(address(2)), Refusal::Malformed);
}

#[test]
fn ten_thousand_unfinished_logins_cost_nobody_anything() {
    let before = Before::of(Server::patient());
    let server = &before.server;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn(move || {
                    let mut raw = Raw::from(server, address(number));
                    let message = start(["alice", "nobody"][number as usize % 2]);
                    for _ in 0..1250 {
                        let _: LoginResponse = raw.ask(path::LOGIN_START, &message).unwrap();
                    }
                })
            })
            .collect();
        // The owner logs in meanwhile, again and again.
        while threads.iter().any(|thread| !thread.is_finished()) {
            assert_eq!(before.owner.get("k"), b"value");
        }
    });
    before.still_stands(64 * MIB);
}

#[test]
fn thousands_of_sessions_make_room_for_each_other() {
    let before = Before::of(Server::patient());
    let server = &before.server;
    let bob = Owner::register(server, "bob", PASSWORD);
    let mut first = bob.log_in(server);
    let secret = first.put(b"sealed");
    for _ in 0..2000 {
        bob.log_in(server);
    }
    // The one unused for longest made room; the newest works, and so does a session of another account.
    // Its connection may have been closed for idling meanwhile.
    let waiting = first.seal(Logout { retire: false });
    let refused = Raw::to(server).ask::<Sealed>(path::CALL, waiting.sealed());
    assert_eq!(refused.unwrap_err(), Refusal::NoSession);
    let mut last = bob.log_in(server);
    assert!(last.fetch(secret).is_ok());
    let (owner, now) = (&before.owner, server.resident_kib());
    assert_eq!(owner.get("k"), b"value");
    let grown = now.saturating_sub(before.resident_kib);
    assert!(grown < 64 * MIB, "{grown} KiB");
}

/// What gets through at once, from one address and from many, and after a restart.
#[test]
fn guesses_are_counted_before_they_are_answered_and_restarts_count_on() {
    let mut server = Server::start();
    let owner = Device::registered(&server, "alice", PASSWORD);
    owner.put("k", b"value");
    let burst = |server: &Server, from: Ipv4Addr, guesses: usize| {
        let mut raw = Raw::from(server, from);
        let answers = (0..guesses).map(|_| {
            let answer: Result<LoginResponse, Refusal> =
                raw.ask(path::LOGIN_START, &start("alice"));
            answer.is_ok()
        });
        answers.filter(|passed| *passed).count()
    };
    // 1,000 starts from one address, eight at a time.
    let started = Instant::now();
    let through: usize = std::thread::scope(|scope| {
        let server = &server;
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(move || burst(server, address(0), 125)))
            .collect();
        let counts = threads.into_iter().map(|thread| thread.join().unwrap());
        counts.sum()
    });
    // Five are free; the next ones may come after 1, 3, 7... seconds.
    let late = (started.elapsed().as_secs() + 1).ilog2() as usize;
    assert!((5..=5 + late + 1).contains(&through), "{through}");
    server.kill();
    server.start_again();
    let after = burst(&server, address(0), 20);
    assert!(after <= 1, "{after} after a restart");
    // From 40 addresses, with five free guesses each, the account's own count ends it at 25, of which five are gone.
    let started = Instant::now();
    let many: usize = (1..=40)
        .map(|number| burst(&server, address(number), 5))
        .sum();
    let late = usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!((15..=26 + late).contains(&many), "{many}");
    // The owner is known at their address and waits for nobody.
    assert_eq!(owner.get("k"), b"value");
    // Every start is in the audit log, counted before the owner's own login; none is lost by the kill.
    let run = owner.run_with(&["--json"], &["audit"], b"");
    let json = run.ok().json();
    assert_eq!(json[0]["verified"], true);
    let records = json[0]["records"].as_array().unwrap();
    let of = |operation: &'static str| records.iter().filter(move |r| r["operation"] == operation);
    let starts: u64 = of("login_start")
        .map(|r| r["count"].as_u64().unwrap())
        .sum();
    let own = of("login").count();
    assert_eq!(starts, 1000 + 20 + 200 + own as u64);
    // 42 senders in a minute or two, and the owner's.
    let most = 2 * 17 * 2 + own;
    assert!(of("login_start").count() <= most, "{records:#?}");
    assert!(of("login_start").any(|r| r["remote"] == "others"));
}

/// Row 5 of the review: a success takes its own start back and no other, so that guesses from the address of a busy owner are
/// as few as from anywhere else.
#[test]
fn guesses_beside_a_busy_owner_are_counted() {
    let server = Server::start();
    let owner = Owner::register(&server, "alice", PASSWORD);
    let from = address(0);
    let mut raw = Raw::from(&server, from);
    let started = Instant::now();
    let mut through = 0_usize;
    for _ in 0..60 {
        let guess: Result<LoginResponse, Refusal> = raw.ask(path::LOGIN_START, &start("alice"));
        through += usize::from(guess.is_ok());
        let own = owner.log_in_from(&server, from, owner.device_slot());
        assert!(own.is_ok_and(|mut session| session.sync(0).is_ok()));
    }
    // Five are free; the next ones may come after 1, 3, 7... seconds.
    let late = (started.elapsed().as_secs() + 1).ilog2() as usize;
    assert!((5..=5 + late + 1).contains(&through), "{through}");
}

/// While guessers keep at it from many addresses.
#[test]
fn the_owner_is_never_shut_out() {
    let server = Server::start();
    let alice = Owner::register(&server, "alice", PASSWORD);
    let mut session = alice.log_in(&server);
    let secret = session.put(b"sealed");
    let server = &server;
    let guessers = |number, stop: &AtomicBool| {
        let mut raw = Raw::from(server, address(number));
        let message = start("alice");
        while !stop.load(Ordering::SeqCst) {
            let _: Result<LoginResponse, Refusal> = raw.ask(path::LOGIN_START, &message);
        }
    };
    with_crowd(20, guessers, || {
        // Until the account's own limit is what holds guesses back.
        let mut raw = Raw::from(server, address(100));
        while !matches!(
            raw.ask::<LoginResponse>(path::LOGIN_START, &start("alice")),
            Err(Refusal::Throttled(_))
        ) {}
        // An open session goes on; a device's own credential is let in at once, wherever it is; and so is the password
        // where it was right before.
        assert!(session.fetch(secret).is_ok());
        let from = |number, slot| alice.log_in_from(server, address(number), slot);
        let elsewhere = from(101, alice.device_slot());
        assert!(elsewhere.is_ok_and(|mut session: Session| session.sync(0).is_ok()));
        assert!(from(101, Slot::Password).is_ok());
    });
}

/// The password at an address that nobody knows, while others ask as often as they can.
#[test]
fn nobody_takes_the_turn_of_the_owner() {
    let server = Server::configured(
        "[throttle.account]\nfree = 20\nfirst_ms = 3000\nlongest_ms = 3000\nhalf_life_ms = 3600000\n",
    );
    // Without a device, whose enrolment would be one of the logins that count.
    let alice = Owner::register_without_device(&server, "alice", PASSWORD);
    let guess = |raw: &mut Raw| raw.ask::<LoginResponse>(path::LOGIN_START, &start("alice"));
    // All of them have tried before.
    for number in 0..20 {
        assert!(guess(&mut Raw::from(&server, address(number))).is_ok());
    }
    let server = &server;
    let guessers = |number, stop: &AtomicBool| {
        let mut raw = Raw::from(server, address(number));
        while !stop.load(Ordering::SeqCst) {
            let _ = guess(&mut raw);
        }
    };
    with_crowd(20, guessers, || {
        let log_in = || alice.log_in_from(server, address(100), Slot::Password);
        let early = log_in().map(drop);
        if let Err(Refusal::Throttled(wait)) = early {
            // As a client does that is told to.
            std::thread::sleep(Duration::from_millis(wait));
        }
        let in_time = log_in().map(drop);
        assert!(
            matches!(early, Err(Refusal::Throttled(wait)) if wait <= 3000),
            "{early:?}"
        );
        assert_eq!(in_time, Ok(()));
    });
}

#[test]
fn an_account_that_asks_too_much_is_slowed_down() {
    let server = Server::with(&[("RECORD_RATE", "1"), ("RECORD_BURST", "300")]);
    let [mut busy, mut other] =
        ["alice", "bob"].map(|name| Owner::register(&server, name, PASSWORD).log_in(&server));
    let missing = || {
        let item = |_| ValueRef {
            secret: SecretId::random(),
            version: Version(1),
        };
        Fetch((0..200).map(item).collect::<Vec<_>>())
    };
    assert!(matches!(busy.call(missing()), Ok(Answer::Fetch(_))));
    // 100 records are left, less those of the registration that have not been refilled yet.
    let slowed = busy.call(missing()).unwrap();
    assert!(
        matches!(slowed, Answer::Refused(Refusal::Throttled(wait)) if wait <= 120_000),
        "{slowed:?}"
    );
    assert!(matches!(other.call(missing()), Ok(Answer::Fetch(_))));
    // The session goes on.
    assert!(matches!(busy.sync(0), Ok(Answer::Sync(_))));
}
