//! A terminal that would obey what is stored: nothing reaches it raw, and nothing changes by being shown.
#![allow(missing_docs, clippy::unwrap_used)]

use rexpect::session::{PtySession, spawn_command};
use tests::device::{Device, run};
use tests::server::Server;

const PASSWORD: &str = "terminal of copper wire";
/// For one step at the terminal: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;
/// A control sequence, an override of the direction, a line separator, a mark.
const HOSTILE: &str = "a\u{9b}31m\u{202e}b\u{2028}c\u{61c}d";
const RAW: [char; 4] = ['\u{9b}', '\u{202e}', '\u{2028}', '\u{61c}'];

fn hostile() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let mut command = device.command();
    let line = format!("put k --tag '{HOSTILE}' --note '{HOSTILE}'");
    command.args(["-c", &line]);
    run(command, "value \u{202e}".as_bytes()).ok();
    (server, device)
}

fn terminal(device: &Device) -> PtySession {
    let mut session = spawn_command(device.command(), Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    session
}

fn assert_harmless(shown: &str) {
    assert!(!shown.contains(RAW), "{shown:?}");
}

#[test]
fn json_is_escaped_and_means_the_same() {
    let (_server, device) = hostile();
    for line in ["info k", "ls --long", "get k", "history k"] {
        let run = device.run_with(&["--json"], &[line], b"").ok();
        assert_harmless(&run.text());
    }
    let info = device.run_with(&["--json"], &["info k"], b"").ok().json();
    let info = info.first().unwrap();
    assert_eq!(info["note"], HOSTILE);
    let run = device.run_with(&["--json"], &["get k"], b"").ok();
    assert_eq!(run.json().first().unwrap()["text"], "value \u{202e}");
    let exported = device.run(&["export k"]).ok().text();
    assert_harmless(&exported);

    let mut session = terminal(&device);
    session.send_line("get k --format json").unwrap();
    let shown = session.exp_string(&device.prompt()).unwrap();
    assert_harmless(&shown);
    assert!(shown.contains("\\u202e"), "{shown}");
}

#[test]
fn editing_shows_escapes_and_keeps_what_is_not_touched() {
    let (_server, device) = hostile();
    let mut session = terminal(&device);
    session.send_line("edit k").unwrap();
    let mut shown = session.exp_string("Tags (separated by commas): ").unwrap();
    shown += &session.exp_string("{61c}d").unwrap();
    session.send_line(", new").unwrap();
    shown += &session.exp_string("Note: ").unwrap();
    shown += &session.exp_string("{61c}d").unwrap();
    session.send_line("").unwrap();
    shown += &session.exp_string(&device.prompt()).unwrap();
    assert_harmless(&shown);
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    let info = device.run_with(&["--json"], &["info k"], b"").ok().json();
    let info = info.first().unwrap();
    assert_eq!(info["note"], HOSTILE);
    assert_eq!(info["tags"], serde_json::json!([HOSTILE, "new"]));
}
