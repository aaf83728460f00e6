//! Commands given as the program's arguments.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::ffi::OsStringExt as _;

use tests::device::{Device, run};
use tests::server::Server;

const PASSWORD: &str = "arguments of copper wire";

#[test]
fn a_command_needs_no_line() {
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    device.run_words(&["register"], b"").ok();
    // Words are as the system's shell left them: nothing is split or unquoted again.
    let name = "with 'quotes\" and \\ spaces";
    device.run_words(&["put", name], b"value").ok();
    assert_eq!(device.run_words(&["get", name], b"").ok().stdout, b"value");
    assert_eq!(
        device.run_words(&["get", "--", name], b"").ok().stdout,
        b"value"
    );
    device.run_words(&["get", "nothing"], b"").expect(3);
    device.run_words(&["get"], b"").expect(2);
    let json = device.run_words(&["--json", "ls"], b"").ok().json();
    assert_eq!(json[0]["secrets"][0]["name"], name);
}

#[test]
fn help_is_there_without_a_server() {
    let device = Device::embedded(PASSWORD);
    let all = device.run_words(&["help"], b"").ok().text();
    assert!(all.contains("  get ") && all.contains("  run "), "{all}");
    let one = device.run_words(&["help", "get"], b"").ok().text();
    assert!(one.contains("--clip"), "{one}");
    assert_eq!(device.run_words(&["get", "--help"], b"").ok().text(), one);
    let part = device.run_words(&["help", "recovery", "renew"], b"").ok();
    assert!(part.text().contains("Usage: recovery renew"), "{part:?}");
    let none = device.run_words(&["help", "get", "renew"], b"").expect(2);
    assert!(
        none.stderr.contains("`help get` shows the usage"),
        "{none:?}"
    );
    let own = device.run_words(&["--help"], b"").ok().text();
    assert!(own.contains("keyshell help"), "{own}");
}

#[test]
fn what_is_neither_command_nor_script_is_said_so() {
    let device = Device::embedded(PASSWORD);
    for words in [
        &["gett", "k"][..],
        &["gett"],
        &["./gett"],
        &["--bogus"],
        &["get", "k", "--json"],
        &["get", "k", "-q"],
    ] {
        let run = device.run_words(words, b"").expect(2);
        let why = match words {
            ["--bogus"] => "--bogus",
            ["get", ..] => "before the command",
            ["./gett"] => "no script of that name was found",
            _ => "is no command (did you mean `get`?)",
        };
        assert!(run.stderr.contains(why), "{words:?}: {}", run.stderr);
        assert!(run.stderr.starts_with("keyshell: "), "{run:?}");
    }
    let told = device.run_words(&["--json", "--bogus"], b"").expect(2);
    assert_eq!(told.json()[0]["error"]["kind"], "usage");
    assert_eq!(told.stderr, "");
    let mut command = device.command();
    command.args(["-c", "help", "help"]);
    run(command, b"").expect(2);
    // Arguments may be any bytes; names may not.
    let mut command = device.command();
    command
        .arg("get")
        .arg(std::ffi::OsString::from_vec(vec![0xff]));
    run(command, b"").expect(2);
}

/// A script wins against nothing: a command of its name is a command.
#[test]
fn a_script_of_a_commands_name_needs_its_folder() {
    let device = Device::embedded(PASSWORD);
    let script = device.path("help");
    std::fs::write(&script, "help get\n").unwrap();
    let mut command = device.command();
    command.current_dir(script.parent().unwrap()).arg("help");
    let all = run(command, b"").ok().text();
    let mut command = device.command();
    command.current_dir(script.parent().unwrap()).arg("./help");
    let one = run(command, b"").ok().text();
    assert!(all.contains("  gen ") && !one.contains("  gen "));
    assert!(one.contains("--clip"), "{one}");
}
