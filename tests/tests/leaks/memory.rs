//! The memory of an idle, locked session.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use keyshell::vault::keys::EPOCH;
use rexpect::session::{PtySession, spawn_command};
use tests::client::Client;
use tests::device::Device;
use tests::server::Server;

use crate::processes::process_with;
use crate::{ACCOUNT, PASSWORD, count, is_root};

/// For one step at the terminal: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;
/// Something harmless that a session keeps: a line of its history.
const HARMLESS: &str = "harmless-line-3c1f";

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

#[test]
fn a_locked_session_has_forgotten_everything() {
    if !is_root("reading another process's memory") {
        return;
    }
    let server = Server::start();
    let device = Device::registered(&server, ACCOUNT, PASSWORD);
    let (short, long) = (
        b"short-value-8d1e",
        "long-value-77f0!".repeat(300).into_bytes(),
    );
    device.put("short", short);
    device.put("long", &long);
    let mut client = Client::new(&server.url, &server.pin, ACCOUNT, PASSWORD);
    client.sync().unwrap();
    let keys = client.vault().session().keys().clone();

    let command = device.command_without_password();
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    let pid = process_with(&device.home());
    let open_prompt = &format!("{ACCOUNT}>");
    step(
        &mut session,
        HARMLESS,
        &["there is no command", "(locked)>"],
    );
    step(&mut session, "get short", &["Password of"]);
    step(&mut session, PASSWORD, &["short-value-8d1e", open_prompt]);
    for line in [
        "get long",
        "get short --save",
        "get short --local",
        "ls --long",
    ] {
        step(&mut session, line, &["\r\n", open_prompt]);
    }
    step(&mut session, "put typed", &["Value: "]);
    step(
        &mut session,
        "typed-value-44be",
        &["typed: version 1", open_prompt],
    );
    let open = Memory::of(pid);
    assert!(
        !open.find(keys.root().expose()).is_empty(),
        "the search does not find keys"
    );
    step(&mut session, "logout", &["closed", "(locked)>"]);

    let locked = Memory::of(pid);
    assert!(!locked.find(HARMLESS.as_bytes()).is_empty());
    let derived = [keys.local_store(), keys.metadata(EPOCH), keys.request_tag()];
    let secrets: [(&str, &[u8]); 9] = [
        ("the password", PASSWORD.as_bytes()),
        ("the password's begin", PASSWORD[..24].as_bytes()),
        ("a short value", short),
        ("a long value", b"long-value-77f0!long-value"),
        ("a typed value", b"typed-value-44be"),
        ("the account key", keys.root().expose()),
        ("the local store's key", derived[0].expose()),
        ("the metadata's key", derived[1].expose()),
        ("the request tags' key", derived[2].expose()),
    ];
    let found: Vec<String> = secrets
        .iter()
        .filter_map(|(what, needle)| {
            let places = locked.find(needle);
            (!places.is_empty()).then(|| format!("{what}: {places:?}"))
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
