//! The memory of an idle, locked session.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rexpect::session::{PtySession, spawn_command};
use tests::client::Client;
use tests::device::Device;
use tests::foreign::is_root;
use tests::server::Server;

use crate::processes::process_with;
use crate::{ACCOUNT, PASSWORD, count};

/// For one step at the terminal: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;
/// Something harmless that a session keeps: a line of its history.
const HARMLESS: &str = "harmless-line-3c1f";
/// So many bytes of a secret are looked for at once: growing buffers leave pieces.
const PIECE: usize = 12;
const SHORT: &str = "short-value-8d1e";
const LONG: &str = "long-value-77f0!long-value-77f1!";
const TYPED: &str = "typed-value-44be-q8w7e6r5t4y3u2i1o0pa";

/// What can be read of a process.
struct Memory(Vec<(String, Vec<u8>)>);

impl Memory {
    fn of(pid: u32) -> Self {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let regions = maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            // What the program never writes holds none of its secrets.
            if !rest.starts_with("rw") {
                return None;
            }
            let (from, to) = range.split_once('-')?;
            let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            memory.read_exact_at(&mut bytes, from).ok()?;
            Some((line.to_owned(), bytes))
        });
        Self(regions.collect())
    }

    /// Where bytes were found, and how often.
    fn find(&self, needle: &[u8]) -> Vec<String> {
        let regions = self.0.iter();
        let found = regions.filter_map(|(name, bytes)| match count(bytes, needle) {
            0 => None,
            times => Some(format!("{times} x in {name}")),
        });
        found.collect()
    }
}

/// What is typed before the prompt is thrown away, so a command's last answer is the next prompt.
fn step(session: &mut PtySession, line: &str, answers: &[&str]) {
    session.send_line(line).unwrap();
    for answer in answers {
        session.exp_string(answer).unwrap();
    }
}

/// Fails where any piece of a secret is left.
fn assert_forgotten(pid: u32, secrets: &[(&str, &[u8])]) {
    let memory = Memory::of(pid);
    assert!(!memory.find(HARMLESS.as_bytes()).is_empty());
    let mut found = Vec::new();
    for (what, secret) in secrets {
        let pieces = secret.windows(PIECE.min(secret.len()));
        let left = pieces.map(|piece| memory.find(piece));
        found.extend(
            left.filter(|places| !places.is_empty())
                .map(|places| (*what, places)),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn locked_session(device: &Device) -> (PtySession, u32) {
    session_with(device, &[])
}

fn session_with(device: &Device, options: &[&str]) -> (PtySession, u32) {
    let mut command = device.command_without_password();
    command.args(options);
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    let pid = process_with(&device.home());
    step(
        &mut session,
        &format!("help {HARMLESS}"),
        &["there is no command", "(locked)>"],
    );
    (session, pid)
}

#[test]
fn a_locked_session_has_forgotten_everything() {
    if !is_root("reading another process's memory") {
        return;
    }
    let server = Server::start();
    let device = Device::registered(&server, ACCOUNT, PASSWORD);
    let long = LONG.repeat(200);
    device.put("short", SHORT.as_bytes());
    device.put("long", long.as_bytes());
    let mut client = Client::new(&server.url, &server.pin, ACCOUNT, PASSWORD);
    client.sync().unwrap();
    let keys = client.vault().session().keys().clone();

    let (mut session, pid) = locked_session(&device);
    let open = &device.prompt();
    step(&mut session, "get short", &["Password of"]);
    step(&mut session, PASSWORD, &[SHORT, open]);
    for line in [
        "get long",
        "get short --save",
        "get short --local",
        "export short",
    ] {
        step(&mut session, line, &["\r\n", open]);
    }
    step(&mut session, "put typed", &["Value: "]);
    step(&mut session, TYPED, &["typed: version 1", open]);
    let found = Memory::of(pid).find(keys.current().expose());
    assert!(!found.is_empty(), "the search does not find keys");
    step(&mut session, "logout", &["closed", "(locked)>"]);

    let derived = [keys.local_store(), keys.metadata(1).unwrap()];
    let signing = keys.signing().to_bytes();
    let exported = data_encoding::BASE64.encode(SHORT.as_bytes());
    let secrets: [(&str, &[u8]); 9] = [
        ("the password", PASSWORD.as_bytes()),
        ("a short value", SHORT.as_bytes()),
        ("an exported value", exported.as_bytes()),
        ("a long value", LONG.as_bytes()),
        ("a typed value", TYPED.as_bytes()),
        ("the account key", keys.current().expose()),
        ("the local store's key", derived[0].expose()),
        ("the metadata's key", derived[1].expose()),
        ("the log signing key's seed", &signing),
    ];
    assert_forgotten(pid, &secrets);
}

#[test]
fn a_session_that_locks_itself_forgets_while_its_prompt_waits() {
    if !is_root("reading another process's memory") {
        return;
    }
    let server = Server::start();
    let device = Device::registered(&server, ACCOUNT, PASSWORD);
    device.put("short", SHORT.as_bytes());
    let mut client = Client::new(&server.url, &server.pin, ACCOUNT, PASSWORD);
    client.sync().unwrap();
    let keys = client.vault().session().keys().clone();

    let (mut session, pid) = session_with(&device, &["--idle-lock", "3s"]);
    step(&mut session, "get short --save", &["Password of"]);
    step(
        &mut session,
        PASSWORD,
        &["saved on this device", &device.prompt()],
    );
    let found = Memory::of(pid).find(keys.current().expose());
    assert!(!found.is_empty(), "the search does not find keys");
    for said in ["locked: the keys are wiped", "(locked)>"] {
        session.exp_string(said).unwrap();
    }
    let (local, metadata) = (keys.local_store(), keys.metadata(1).unwrap());
    let secrets: [(&str, &[u8]); 5] = [
        ("the password", PASSWORD.as_bytes()),
        ("a value", SHORT.as_bytes()),
        ("the account key", keys.current().expose()),
        ("the local store's key", local.expose()),
        ("the metadata's key", metadata.expose()),
    ];
    assert_forgotten(pid, &secrets);
}

#[test]
fn a_registration_is_forgotten_too() {
    if !is_root("reading another process's memory") {
        return;
    }
    let server = Server::start();
    let device = Device::new(&server, ACCOUNT, PASSWORD);
    let (mut session, pid) = locked_session(&device);
    let open = &device.prompt();
    // Judging a password leaves copies in zxcvbn's buffers, which are not ours to wipe.
    step(
        &mut session,
        "register --no-confirm --force",
        &["New password of"],
    );
    step(&mut session, PASSWORD, &["The same again: "]);
    session.send_line(PASSWORD).unwrap();
    let said = session.exp_string(open).unwrap();
    let (_, code) = said.split_once("recovery code: ").unwrap();
    let code = code.lines().next().unwrap().trim();
    let compact = code.replace('-', "");
    step(&mut session, "gen g", &["version 1", open]);
    step(&mut session, "logout", &["closed", "(locked)>"]);
    let secrets = [
        ("the password", PASSWORD.as_bytes()),
        ("the recovery code", code.as_bytes()),
        ("the recovery code without hyphens", compact.as_bytes()),
    ];
    assert_forgotten(pid, &secrets);
}
