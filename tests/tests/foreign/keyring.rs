//! The desktop's keyring: a real one, on a session bus of its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rexpect::session::{PtySession, spawn_command};
use serde_json::{Value, json};
use tests::device::{Device, Run, run};
use tests::keyring::{BUS, Desktop};
use tests::server::Server;

const PASSWORD: &str = "keyring of silver thread";
const NEXT: &str = "seven velvet otters hum";
/// For one step at the terminal: three Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;
const QUESTION: &str = "Keep one there? [y/N] ";

fn command(desktop: &Desktop, device: &Device, lines: &[&str]) -> Command {
    let mut command = device.command();
    command.env(BUS, desktop.address());
    for line in lines {
        command.args(["-c", line]);
    }
    command
}

fn at(desktop: &Desktop, device: &Device, lines: &[&str]) -> Run {
    run(command(desktop, device, lines), b"")
}

fn json_at(desktop: &Desktop, device: &Device, line: &str) -> Value {
    let mut command = command(desktop, device, &[line]);
    command.arg("--json");
    run(command, b"").json().remove(0)
}

/// An account whose local store wants the keyring, and holds a secret.
fn with_keyring() -> Option<(Desktop, Server, Device)> {
    let desktop = Desktop::start()?;
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.run_with(&[], &["put own --local"], b"mine").ok();
    at(&desktop, &device, &["keyring on"]).ok();
    Some((desktop, server, device))
}

/// One line that says all of this.
#[track_caller]
fn assert_says(run: &Run, words: &[&str]) {
    let said: Vec<&str> = run.stderr.lines().collect();
    let [said] = said[..] else {
        panic!("{run:?}");
    };
    for word in words {
        assert!(said.contains(word), "{word}: {run:?}");
    }
}

#[test]
fn a_stolen_store_does_not_open_with_the_password_alone() {
    let Some((mut desktop, mut server, device)) = with_keyring() else {
        return;
    };
    let get = ["get own --local"];
    assert_eq!(json_at(&desktop, &device, "status")["keyring"], json!(true));
    server.stop();
    assert_eq!(at(&desktop, &device, &get).ok().stdout, b"mine");
    // On another machine: no bus; a bus without a keyring; a keyring without the secret.
    let stolen = device.run(&get).expect(1);
    assert_says(&stolen, &["no keyring here", "`login` opens"]);
    let other = Desktop::start().unwrap();
    let stolen = at(&other, &device, &get).expect(1);
    assert_says(&stolen, &["not there any more", "`keyring on`"]);
    desktop.stop_keyring();
    let stolen = at(&desktop, &device, &get).expect(1);
    assert_says(&stolen, &["no keyring here"]);
    // And the keyring alone is not enough either.
    desktop.unlock();
    device.set_password("wrong of silver thread");
    at(&desktop, &device, &get).expect(4);
}

#[test]
fn the_keyring_shows_nothing_but_what_its_items_are_for() {
    let Some((desktop, server, device)) = with_keyring() else {
        return;
    };
    let other = Device::registered(&server, "bob", PASSWORD);
    at(&desktop, &other, &["keyring on"]).ok();
    let items = desktop.items();
    assert_eq!(desktop.count("local store"), 2, "{items}");
    let shown = items.lines().filter(|line| {
        line.starts_with("attribute.") || line.starts_with("label") || line.starts_with("schema")
    });
    let mut ids = Vec::new();
    for line in shown {
        match line.split_once(" = ").unwrap() {
            ("attribute.application", value) => assert_eq!(value, "keyshell"),
            ("attribute.kind", value) => assert_eq!(value, "local store"),
            ("label", value) => assert_eq!(value, "keyshell: local store"),
            ("schema", value) => assert_eq!(value, "org.freedesktop.Secret.Generic"),
            ("attribute.item", id) => {
                assert!(id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit()));
                ids.push(id);
            }
            _ => panic!("{line}"),
        }
    }
    assert!(ids.len() == 2 && ids[0] != ids[1], "{items}");
    // An account that goes takes its item along, and no other.
    at(&desktop, &other, &["account delete --confirm bob"]).ok();
    assert_eq!(desktop.count("local store"), 1);
    at(&desktop, &device, &["get own --local"]).ok();
}

#[test]
fn a_session_opens_the_store_without_the_keyring_and_mends_it() {
    let Some((mut desktop, mut server, device)) = with_keyring() else {
        return;
    };
    let get = ["get own --local"];
    desktop.lock();
    let locked = at(&desktop, &device, &get).expect(1);
    assert_says(&locked, &["the keyring is locked", "`login` opens"]);
    assert_eq!(
        at(&desktop, &device, &["login", get[0]]).ok().stdout,
        b"mine"
    );
    // A person hears why it takes so long; here nobody unlocks it.
    let mut session = at_terminal(&desktop, &device);
    session.send_line(get[0]).unwrap();
    session.exp_string("unlock it where the desktop").unwrap();
    session.exp_string("and the keyring is locked").unwrap();
    drop(session);
    // In a script nobody is asked, and nothing changes.
    at(&desktop, &device, &["keyring on"]).expect(1);
    desktop.unlock();
    assert_eq!(at(&desktop, &device, &get).ok().stdout, b"mine");
    desktop.replace("local store");
    let other = at(&desktop, &device, &get).expect(1);
    assert_says(&other, &["something else", "`keyring on`"]);
    at(&desktop, &device, &["keyring on", "logout", get[0]]).ok();
    desktop.clear();
    let gone = at(&desktop, &device, &get).expect(1);
    assert_says(&gone, &["not there any more", "`keyring on`"]);
    assert_eq!(device.run(&["login", get[0]]).ok().stdout, b"mine");
    at(&desktop, &device, &["keyring on"]).ok();
    // Once more changes nothing.
    let items = desktop.items();
    at(&desktop, &device, &["keyring on"]).ok();
    assert_eq!(desktop.items(), items);
    server.stop();
    assert_eq!(at(&desktop, &device, &get).ok().stdout, b"mine");
}

#[test]
fn off_goes_back_to_the_password_alone() {
    let Some((desktop, mut server, device)) = with_keyring() else {
        return;
    };
    at(&desktop, &device, &["keyring off"]).ok();
    assert_eq!(desktop.count("local store"), 0);
    assert_eq!(
        json_at(&desktop, &device, "status")["keyring"],
        json!(false)
    );
    at(&desktop, &device, &["keyring on"]).ok();
    // Also where the keyring is away; then its item stays, and it is said.
    let run = device.run(&["keyring off"]).ok();
    assert!(run.stderr.contains("stays in the keyring"), "{run:?}");
    device.run(&["keyring on"]).expect(1);
    server.stop();
    assert_eq!(device.run(&["get own --local"]).ok().stdout, b"mine");
}

#[test]
fn a_new_password_goes_with_the_same_secret() {
    let Some((desktop, mut server, device)) = with_keyring() else {
        return;
    };
    let next = device.path("next");
    std::fs::write(&next, format!("{NEXT}\n")).unwrap();
    let passwd = format!("passwd --new-password-file {}", next.display());
    let get = ["get own --local"];
    let items = desktop.items();
    // Where the keyring is away the store follows at the next login that has it.
    let run = device.run(&[&passwd]).ok();
    assert!(run.stderr.contains("the password of before"), "{run:?}");
    at(&desktop, &device, &get).ok();
    device.set_password(NEXT);
    at(&desktop, &device, &get).expect(4);
    at(&desktop, &device, &["login"]).ok();
    server.stop();
    assert_eq!(at(&desktop, &device, &get).ok().stdout, b"mine");
    device.run(&get).expect(1);
    server.start_again();
    std::fs::write(&next, format!("{PASSWORD}\n")).unwrap();
    at(&desktop, &device, &[&passwd]).ok();
    device.set_password(PASSWORD);
    server.stop();
    assert_eq!(at(&desktop, &device, &get).ok().stdout, b"mine");
    assert_eq!(desktop.items(), items);
}

fn at_terminal(desktop: &Desktop, device: &Device) -> PtySession {
    let session = spawn_command(command(desktop, device, &[]), Some(PATIENCE_MS));
    let mut session = session.unwrap();
    session.exp_string("(locked)>").unwrap();
    session
}

#[test]
fn it_is_asked_for_once_and_on_a_terminal_only() {
    let Some(desktop) = Desktop::start() else {
        return;
    };
    let server = Server::start();
    for (account, answer, wanted) in [("alice", "y", true), ("bob", "", false)] {
        let device = Device::new(&server, account, PASSWORD);
        // Neither a script nor a one-shot is asked.
        at(&desktop, &device, &["register", "login"]).ok();
        assert_eq!(
            json_at(&desktop, &device, "status")["keyring"],
            json!(false)
        );
        let before = desktop.count("local store");
        let mut session = at_terminal(&desktop, &device);
        session.send_line("login").unwrap();
        session.exp_string(QUESTION).unwrap();
        session.send_line(answer).unwrap();
        session.exp_string("session open").unwrap();
        session.exp_string(&device.prompt()).unwrap();
        for line in ["logout", "login"] {
            session.send_line(line).unwrap();
            let said = session.exp_string("session ").unwrap();
            assert!(!said.contains("[y/N]"), "{said}");
        }
        drop(session);
        let mut session = at_terminal(&desktop, &device);
        session.send_line("ls").unwrap();
        let said = session.exp_string(&device.prompt()).unwrap();
        assert!(!said.contains("[y/N]"), "{said}");
        let keyring = &json_at(&desktop, &device, "status")["keyring"];
        assert_eq!(keyring, &json!(wanted), "{account}");
        assert_eq!(desktop.count("local store"), before + usize::from(wanted));
    }
}

#[test]
fn a_person_who_wants_it_registers_with_it() {
    let Some(desktop) = Desktop::start() else {
        return;
    };
    let mut server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let mut session = at_terminal(&desktop, &device);
    let sheet = device.path("sheet");
    let register = format!("register --recovery-file {}", sheet.display());
    session.send_line(&register).unwrap();
    session.exp_string(QUESTION).unwrap();
    // No answer is no, and no end of the registration.
    session.send_control('c').unwrap();
    session.exp_string("recovery code").unwrap();
    assert!(sheet.exists());
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    assert_eq!(desktop.count("local store"), 0);
    let mut session = at_terminal(&desktop, &device);
    session.send_line("put own --local").unwrap();
    session.exp_string("Value:").unwrap();
    session.send_line("mine").unwrap();
    session.exp_string("own: version 1").unwrap();
    session.send_line("login").unwrap();
    session.exp_string(QUESTION).unwrap();
    session.send_line("y").unwrap();
    session.exp_string("session open").unwrap();
    server.stop();
    let get = ["get own --local"];
    assert_eq!(at(&desktop, &device, &get).ok().stdout, b"mine");
    device.run(&get).expect(1);
}

#[test]
fn a_keyring_that_never_answers_holds_nobody_up_for_ever() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let path = device.path("bus");
    let _silent = UnixListener::bind(&path).unwrap();
    let mut command = device.command();
    command.env(BUS, format!("unix:path={}", path.display()));
    command.args(["-c", "keyring on"]);
    let started = Instant::now();
    let run = run(command, b"").expect(1);
    assert_says(&run, &["the keyring does not answer"]);
    assert!(started.elapsed() < Duration::from_mins(1));
}

/// An account whose device key is in the keyring, and its recovery sheet.
fn with_key() -> Option<(Desktop, Server, Device, PathBuf)> {
    let desktop = Desktop::start()?;
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let sheet = device.path("sheet");
    let register = format!(
        "register --with-key --key-in keyring --recovery-file {}",
        sheet.display()
    );
    // Before anything is made.
    let refused = device.run(&[&register]).expect(1);
    assert_says(&refused, &["no keyring here", "--key-in file"]);
    assert!(!sheet.exists());
    at(&desktop, &device, &[&register]).ok();
    Some((desktop, server, device, sheet))
}

/// What the device keeps of its key in a file.
fn key_file(device: &Device) -> String {
    let state = std::fs::read_dir(device.home().join("state/default")).unwrap();
    let mut files = state.map(|file| file.unwrap().path());
    let is_key = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "key");
    std::fs::read_to_string(files.find(is_key).unwrap()).unwrap()
}

#[test]
fn a_device_key_can_be_kept_in_the_keyring() {
    let Some((mut desktop, _server, device, sheet)) = with_key() else {
        return;
    };
    let text = std::fs::read_to_string(&sheet).unwrap();
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("device key"));
    let key = key.unwrap().trim();
    assert_eq!(desktop.count("device key"), 1);
    assert!(!key_file(&device).contains(key));
    let login = ["login"];
    at(&desktop, &device, &login).ok();
    let away = device.run(&login).expect(1);
    assert_says(&away, &["device key of `alice`", "no keyring here"]);
    desktop.lock();
    let locked = at(&desktop, &device, &login).expect(1);
    assert_says(&locked, &["locked", "`login --with-key`"]);
    desktop.unlock();
    // It moves, and leaves nothing behind.
    at(&desktop, &device, &["login --key-in file"]).ok();
    assert_eq!(desktop.count("device key"), 0);
    assert_eq!(key_file(&device).trim(), key);
    device.run(&login).ok();
    at(&desktop, &device, &["login --key-in keyring"]).ok();
    assert_eq!(desktop.count("device key"), 1);
    assert!(!key_file(&device).contains(key));
    // Gone: the sheet has it.
    desktop.clear();
    let gone = at(&desktop, &device, &login).expect(1);
    assert_says(&gone, &["not there any more", "`login --with-key`"]);
    let given = format!("login --key-file {}", sheet.display());
    device.run(&[&given]).ok();
    assert_eq!(key_file(&device).trim(), key);
    device.run(&login).ok();
}

#[test]
fn a_place_without_a_key_is_refused() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let run = device.run(&["login --key-in file"]).expect(2);
    assert_says(&run, &["no device key"]);
    let other = Device::new(&server, "bob", PASSWORD);
    let run = other.run(&["register --key-in file"]).expect(2);
    assert_says(&run, &["--with-key"]);
}

#[test]
fn a_new_device_is_asked_where_to_keep_its_key() {
    let Some((desktop, _server, device, sheet)) = with_key() else {
        return;
    };
    let other = device.another(PASSWORD);
    let given = format!("login --key-file {}", sheet.display());
    let mut session = at_terminal(&desktop, &other);
    session.send_line(&given).unwrap();
    session.exp_string("instead of in a file? [y/N] ").unwrap();
    session.send_line("y").unwrap();
    session.exp_string(QUESTION).unwrap();
    session.send_line("n").unwrap();
    session.exp_string("session open").unwrap();
    assert_eq!(desktop.count("device key"), 2);
    at(&desktop, &other, &["login"]).ok();
    at(&desktop, &other, &["account delete --confirm alice"]).ok();
    assert_eq!(desktop.count("device key"), 1);
}

/// Status and message of one check of `doctor`.
fn check(desktop: &Desktop, device: &Device, name: &str) -> (String, String) {
    let report = json_at(desktop, device, "doctor");
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    let text = |field: &str| check[field].as_str().unwrap().to_owned();
    (text("status"), text("message"))
}

#[test]
fn doctor_looks_without_asking_for_anything() {
    let Some((mut desktop, _server, device, _)) = with_key() else {
        return;
    };
    let (status, message) = check(&desktop, &device, "keyring");
    assert_eq!(status, "ok", "{message}");
    assert!(message.contains("`keyring on`"), "{message}");
    at(&desktop, &device, &["keyring on"]).ok();
    for locked in [false, true] {
        if locked {
            desktop.lock();
        }
        for name in ["keyring", "device key"] {
            let (status, message) = check(&desktop, &device, name);
            assert_eq!(status, "ok", "{message}");
            assert!(message.contains("the keyring holds"), "{message}");
        }
    }
    desktop.unlock();
    desktop.clear();
    for (name, next) in [
        ("keyring", "`keyring on`"),
        ("device key", "`login --with-key`"),
    ] {
        let (status, message) = check(&desktop, &device, name);
        assert_eq!(status, "fail", "{message}");
        assert!(message.contains(next), "{message}");
    }
    desktop.stop_keyring();
    assert_eq!(check(&desktop, &device, "keyring").0, "warn");
}
