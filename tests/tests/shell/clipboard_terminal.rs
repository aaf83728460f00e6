//! Without a display: the terminal's own clipboard (OSC 52).
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use tests::device::{Device, run};
use tests::foreign::has;
use tests::server::Server;

const PASSWORD: &str = "clipboard of copper wire";
const VALUE: &str = "pästed";
/// For one step: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;
const CLEARED: &str = "\u{1b}]52;c;IA==\u{7}\u{1b}]52;c;\u{7}";

fn device() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", VALUE.as_bytes());
    (server, device)
}

fn without_display(device: &Device) -> Command {
    let mut command = device.command();
    for variable in ["DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "TMUX"] {
        command.env_remove(variable);
    }
    command
}

fn at_terminal(device: &Device) -> PtySession {
    let mut session = spawn_command(without_display(device), Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    session
}

fn sequence() -> String {
    let encoded = data_encoding::BASE64.encode(VALUE.as_bytes());
    format!("\u{1b}]52;c;{encoded}\u{7}")
}

#[test]
fn it_is_asked_for_once_and_cleared_after_the_time() {
    let (_server, device) = device();
    let mut session = at_terminal(&device);
    session.send_line("get k --clip --for 1s").unwrap();
    session.exp_string("There is no display here").unwrap();
    session.exp_string("[y/N] ").unwrap();
    session.send_line("y").unwrap();
    session.exp_string(&sequence()).unwrap();
    session.exp_string("cannot be checked").unwrap();
    session.exp_string(CLEARED).unwrap();
    session.send_line("get k --clip --for 1h").unwrap();
    let between = session.exp_string(&sequence()).unwrap();
    assert!(!between.contains("[y/N]"), "{between}");
    // A second one restarts the time: the older holder goes, and this one clears.
    session.send_line("get k --clip --for 1s").unwrap();
    session.exp_string(&sequence()).unwrap();
    session.exp_string(CLEARED).unwrap();
    drop(session);

    if !has(&["script"]) {
        return;
    }
    let shown = at_terminal_that_ends(&device, "get k --clip --for 1h");
    assert!(shown.contains(&sequence()), "{shown}");
    assert!(!shown.contains("[y/N]"), "{shown}");
    // With the terminal, its holder goes too.
    let home = device.home();
    while holders(home.to_str().unwrap()) > 0 {
        std::thread::yield_now();
    }
}

/// The terminal is closed as soon as the shell has ended, as that of an ssh session is.
fn at_terminal_that_ends(device: &Device, line: &str) -> String {
    let shell = without_display(device);
    let words = [shell.get_program()].into_iter().chain(shell.get_args());
    let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{} {line}", words.join(" ")), "/dev/null"]);
    for (name, value) in shell.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    run(command, b"").ok().text()
}

fn holders(home: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap();
    let arguments = processes.filter_map(|entry| {
        let arguments = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&arguments).into_owned())
    });
    arguments
        .filter(|all| all.contains("__hold-clipboard") && all.contains(home))
        .count()
}

#[test]
fn a_no_is_remembered_too() {
    let (_server, device) = device();
    let mut session = at_terminal(&device);
    for round in 0..2 {
        session.send_line("get k --clip").unwrap();
        if round == 0 {
            session.exp_string("[y/N] ").unwrap();
            session.send_line("").unwrap();
        }
        let shown = session.exp_string("terminal_clipboard").unwrap();
        assert!(!shown.contains("]52;"), "{shown}");
        session.exp_string(&device.prompt()).unwrap();
    }
}

#[test]
fn where_nobody_can_be_asked_it_says_why() {
    let (_server, device) = device();
    let mut command = without_display(&device);
    command.args(["--non-interactive", "get", "k", "--clip"]);
    let refused = run(command, b"").expect(1);
    assert!(refused.stderr.contains("no display"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--out"), "{}", refused.stderr);

    let mut command = without_display(&device);
    command.args(["--non-interactive", "get", "k", "--clip"]);
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    let shown = session.exp_eof().unwrap();
    assert!(
        shown.contains("not interactive") && !shown.contains("]52;"),
        "{shown}"
    );
}
