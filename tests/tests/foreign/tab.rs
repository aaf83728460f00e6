//! Tab in bash, zsh and fish, at a terminal as people have it: names of secrets, as long as the agent is unlocked.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::Command;

use rexpect::session::spawn_command;
use tests::binary;
use tests::device::{Device, run};
use tests::foreign::has;
use tests::server::Server;

const PASSWORD: &str = "tabs of copper wire";
/// For one line, on a busy machine.
const PATIENCE_MS: u64 = 60_000;
/// What a shell would act upon if it were not quoted. Two characters tell each from all others.
const NAMES: [&str; 18] = [
    "aa plain words",
    "ab'single",
    "ac\"double",
    "ad$(touch acted)",
    "ae`touch acted`",
    "af\\back\\",
    "ag!bang",
    "ah\u{e9}\u{1f511} x",
    "ai;touch acted",
    "aj&touch acted",
    "ak*?[x]",
    "al{a,b}",
    "am:co=lon@x:y",
    "an#hash ~tilde",
    "ao|touch acted",
    "ap<acted>acted",
    "aq${HOME}$HOME%n",
    "ar(x) ^y",
];
/// In a folder, whose name is to be quoted too.
const LEAF: &str = "dir $1/sub 'two'/leaf";

/// An account with all of these, a folder for a shell to work in, and the scripts in it.
fn account() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let mut lines = Vec::new();
    for name in NAMES.iter().chain(&[LEAF]) {
        let file = device.path(&format!("value-{}", &name[..2]));
        std::fs::write(&file, format!("value of {name}")).unwrap();
        let words = ["put", name, "--file", file.to_str().unwrap()];
        lines.push(shlex::try_join(words).unwrap());
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    device.run(&lines).ok();
    std::fs::create_dir(device.path("work")).unwrap();
    for (shell, file) in [("bash", "bash"), ("zsh", "_keyshell"), ("fish", "fish")] {
        let script = device.run_words(&["completions", shell], b"").ok();
        std::fs::write(device.path(file), script.stdout).unwrap();
    }
    (server, device)
}

/// Unlocked until the test ends.
struct Unlocked<'a>(&'a Device);

impl<'a> Unlocked<'a> {
    fn new(device: &'a Device, line: &str) -> Self {
        device.run(&[line]).ok();
        Self(device)
    }
}

impl Drop for Unlocked<'_> {
    fn drop(&mut self) {
        self.0.run(&["lock"]);
    }
}

/// A shell that finds the program and the device's home, and nothing of whoever runs the tests.
fn shell(device: &Device, program: &str) -> Command {
    let programs = binary("keyshell").parent().unwrap().to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs([("PATH", &*path), ("TERM", "xterm"), ("LC_ALL", "C.UTF-8")])
        .env("HOME", device.path("work"))
        .env("KEYSHELL_HOME", device.home())
        .current_dir(device.path("work"));
    command
}

/// Types lines with Tab in them into a shell; each writes a value to a file, which must be the right one.
fn types(device: &Device, mut command: Command, setup: &str, lines: &[(&str, &str)]) {
    command.arg("-i");
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    let mut enter = |line: &str, number: usize| {
        // What is echoed is not what is printed.
        let line = format!("{line}; echo 'seen''-{number}'.");
        session.send_line(&line).unwrap();
        session.exp_string(&format!("seen-{number}.")).unwrap();
    };
    enter(setup, 0);
    for ((typed, _), number) in lines.iter().zip(1..) {
        enter(&format!("{typed} >out-{number}"), number);
    }
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    let work = device.path("work");
    for ((typed, name), number) in lines.iter().zip(1..) {
        let got = std::fs::read_to_string(work.join(format!("out-{number}"))).unwrap();
        assert_eq!(got, format!("value of {name}"), "{typed}");
    }
    assert!(!work.join("acted").exists(), "a name was run");
}

/// The first two characters of each name, then Tab; and a folder, one part after the other.
fn everything() -> Vec<(String, &'static str)> {
    let short = |name: &'static str| (format!("keyshell get {}\t", &name[..2]), name);
    let mut lines: Vec<_> = NAMES.into_iter().map(short).collect();
    lines.push(("keyshell get di\t\t\t".to_owned(), LEAF));
    lines
}

fn borrowed<'a>(lines: &'a [(String, &'static str)]) -> Vec<(&'a str, &'static str)> {
    lines
        .iter()
        .map(|(line, name)| (line.as_str(), *name))
        .collect()
}

#[test]
fn bash_completes_names_and_runs_none() {
    if !has(&["bash"]) {
        return;
    }
    let (_server, device) = account();
    let _agent = Unlocked::new(&device, "unlock");
    let mut lines = everything();
    // Quotes that are open already, and words that bash cuts in two.
    for (typed, name) in [
        ("keyshell get \"aa pl\t", NAMES[0]),
        ("keyshell get 'ac\t", NAMES[2]),
        ("keyshell get \"ad\t", NAMES[3]),
        ("keyshell get \"ae\t", NAMES[4]),
        ("keyshell get aa\\ p\t", NAMES[0]),
        ("keyshell get am:co=l\t", NAMES[12]),
        ("keyshell get -- aa\t", NAMES[0]),
    ] {
        lines.push((typed.to_owned(), name));
    }
    let mut command = shell(&device, "bash");
    command.args(["--norc", "--noprofile"]);
    let setup = format!("source {}", device.path("bash").display());
    types(&device, command, &setup, &borrowed(&lines));
}

#[test]
fn zsh_completes_names_and_runs_none() {
    if !has(&["zsh"]) {
        return;
    }
    let (_server, device) = account();
    let _agent = Unlocked::new(&device, "unlock");
    let mut command = shell(&device, "zsh");
    command.arg("-f");
    let folder = device.path("");
    let setup = format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D",
        folder.display()
    );
    let mut lines = everything();
    lines.push(("keyshell get 'aa pl\t".to_owned(), NAMES[0]));
    lines.push(("keyshell get -- aa\t".to_owned(), NAMES[0]));
    types(&device, command, &setup, &borrowed(&lines));
}

#[test]
fn fish_completes_names_and_runs_none() {
    if !has(&["fish"]) {
        return;
    }
    let (_server, device) = account();
    let fish = |line: &str| {
        let mut command = shell(&device, "fish");
        command.arg("--no-config");
        let script = device.path("fish");
        let typed = line.replace('\\', "\\\\").replace('\'', "\\'");
        let line = format!("source {}; complete -C '{typed}'", script.display());
        command.args(["-c", &line]);
        let run = run(command, b"").ok();
        assert_eq!(run.stderr, "", "{run:?}");
        run.text().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let agent = Unlocked::new(&device, "unlock");
    for name in NAMES {
        let typed = format!("keyshell get {}", &name[..2]);
        assert_eq!(fish(&typed), [name]);
    }
    assert_eq!(fish("keyshell get di"), ["dir $1/"]);
    assert_eq!(fish("keyshell get 'dir $1/"), ["dir $1/sub 'two'/"]);
    assert_eq!(fish("keyshell info \"aa p"), ["aa plain words"]);
    assert!(!device.path("work/acted").exists());
    drop(agent);
    assert!(
        !fish("keyshell get a")
            .iter()
            .any(|offer| NAMES.contains(&&**offer))
    );
}

/// What the scripts get to know.
fn offered(device: &Device, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(binary("keyshell"));
    command.args(["__complete", "words"]);
    command.arg("--home").arg(device.home()).args(words);
    let run = run(command, b"").ok();
    assert_eq!(run.stderr, "", "{run:?}");
    let text = run.text();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn names_come_where_names_belong() {
    let (_server, device) = account();
    device.run(&["gen other", "gen -- -dash"]).ok();
    let agent = Unlocked::new(&device, "unlock");
    for words in [
        &["get", "o"][..],
        &["info", "o"],
        &["mv", "o"],
        &["mv", "other", "o"],
        &["rm", "--yes", "o"],
        &["history", "o"],
        &["export", "o"],
        &["totp", "o"],
        &["audit", "o"],
        &["edit", "o"],
        &["pull", "o"],
        &["--json", "get", "--clip", "o"],
    ] {
        assert_eq!(offered(&device, words), ["other"], "{words:?}");
    }
    for words in [
        &["o"][..],
        &["get", "other", "o"],
        &["get", "--out", "o"],
        &["get", "--local", "o"],
        &["push", "o"],
        &["ls", "--tag", "o"],
        &["help", "o"],
        &["devices", "rename", "o"],
        &["run", "--", "o"],
        &["nonsense", "o"],
        &["--account", "bob", "get", "o"],
        &["--server", "https://127.0.0.1:1", "get", "o"],
        &["--nonsense", "get", "o"],
        &[],
    ] {
        assert_eq!(offered(&device, words), [""; 0], "{words:?}");
    }
    // It would be an option.
    assert_eq!(offered(&device, &["get", "-"]), [""; 0]);
    assert!(!offered(&device, &["get", ""]).contains(&"-dash".to_owned()));
    assert_eq!(offered(&device, &["get", "--", "-"]), ["-dash"]);
    // What another run on this device stored, without asking the server: that would be written down.
    let records = || {
        let run = device.run_with(&["--json"], &["audit --op sync"], b"").ok();
        run.json()[0]["records"].as_array().unwrap().len()
    };
    device.run(&["gen newest"]).ok();
    let before = records();
    assert_eq!(offered(&device, &["get", "ne"]), ["newest"]);
    let after = records();
    // Looking costs the same with Tab before it and without.
    assert_eq!(records() - after, after - before);
    drop(agent);
    assert_eq!(offered(&device, &["get", "o"]), [""; 0]);
    assert!(!agent_socket(&device).exists(), "Tab unlocks nothing");
    let _agent = Unlocked::new(&device, "unlock --no-reveal");
    assert_eq!(offered(&device, &["get", "o"]), [""; 0]);
    assert_eq!(offered(&device, &["totp", "o"]), [""; 0]);
}

fn agent_socket(device: &Device) -> PathBuf {
    device.home().join("state/default/agent")
}
