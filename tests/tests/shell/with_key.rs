//! Accounts whose password goes together with a device key.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keyshell_client::error::Error;
use rexpect::session::spawn_command;
use tests::client::Client;
use tests::device::{Device, Run};
use tests::server::Server;

const PASSWORD: &str = "lock of copper wire";
const NEXT: &str = "seven velvet otters hum";
const PATIENCE_MS: u64 = 60_000;

/// An account with a device key, its first device, and the recovery sheet.
fn account() -> (Server, Device, PathBuf) {
    let server = Server::patient();
    let device = Device::new(&server, "alice", PASSWORD);
    let sheet = device.path("sheet");
    device
        .run(&[&format!(
            "register --with-key --recovery-file {}",
            sheet.display()
        )])
        .ok();
    device.put("k", b"value");
    (server, device, sheet)
}

fn key_files(device: &Device) -> Vec<PathBuf> {
    let state = std::fs::read_dir(device.home().join("state/default")).unwrap();
    let files = state.map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|kind| kind == "key"))
        .collect()
}

fn key_of(sheet: &Path) -> String {
    let text = std::fs::read_to_string(sheet).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("device key"));
    line.unwrap().trim().to_owned()
}

fn log_in_with(device: &Device, file: &Path) -> Run {
    device.run(&[&format!("login --key-file {}", file.display())])
}

fn new_password(device: &Device) -> String {
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    format!("--new-password-file {}", device.path("next").display())
}

#[test]
fn the_password_alone_opens_nothing() {
    let (server, device, sheet) = account();
    let files = key_files(&device);
    let mode = std::fs::metadata(&files[0]).unwrap().permissions().mode();
    assert_eq!((files.len(), mode & 0o777), (1, 0o600));
    let kept = std::fs::read_to_string(&files[0]).unwrap();
    assert_eq!(kept.trim(), key_of(&sheet));
    assert_eq!(device.get("k"), b"value");
    // What the operator could guess is not enough.
    let mut operator = Client::new(&server.url, &server.pin, "alice", PASSWORD);
    assert_eq!(operator.sync(), Err(Error::LoginRefused));
    let other = device.another(PASSWORD);
    let run = other.run(&["get k"]).expect(4);
    assert!(run.stderr.contains("`login --with-key`"), "{run:?}");
    assert!(key_files(&other).is_empty());
}

/// The password is asked for again where the session ended, and the key is mixed into that one too.
#[test]
fn a_session_that_ended_is_opened_again_with_the_key() {
    let server = Server::with(&[("SESSION_IDLE", "1s")]);
    let device = Device::new(&server, "alice", PASSWORD);
    let sheet = device.path("sheet");
    let line = format!("register --with-key --recovery-file {}", sheet.display());
    device.run(&[&line]).ok();
    device.put("k", b"value");
    let run = device.run(&["get k", "run -- sleep 2", "get k"]).ok();
    assert_eq!(run.stdout, b"valuevalue", "{run:?}");
}

#[test]
fn a_new_device_is_given_the_key_once() {
    let (mut server, device, sheet) = account();
    let other = device.another(PASSWORD);
    // Another key is refused, and not kept.
    let wrong = device.path("wrong");
    let stranger = Device::new(&server, "bob", PASSWORD);
    let line = format!("register --with-key --recovery-file {}", wrong.display());
    stranger.run(&[&line]).ok();
    let run = log_in_with(&other, &wrong).expect(4);
    assert!(run.stderr.contains("wrong device key"), "{run:?}");
    assert!(key_files(&other).is_empty());
    std::fs::write(&wrong, "nonsense\n").unwrap();
    log_in_with(&other, &wrong).expect(2);
    other.run(&["login --with-key"]).expect(2);
    log_in_with(&other, &sheet).ok();
    assert_eq!(other.get("k"), b"value");
    // The local store opens with both, also offline.
    other.run(&["pull k"]).ok();
    server.stop();
    assert_eq!(other.run(&["get k"]).ok().stdout, b"value");
    let [key] = key_files(&other).try_into().unwrap();
    std::fs::remove_file(key).unwrap();
    other.run(&["get k --local"]).expect(4);
}

#[test]
fn a_key_is_typed_hidden() {
    let (_server, device, sheet) = account();
    let other = device.another(PASSWORD);
    let mut command = other.command();
    command.args(["-c", "login --with-key", "-c", "get k"]);
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("Device key of alice:").unwrap();
    let key = key_of(&sheet).to_lowercase();
    session.send_line(&key).unwrap();
    session.exp_string("session open").unwrap();
    session.exp_string("value").unwrap();
    let rest = session.exp_eof().unwrap();
    assert!(!rest.contains(&key), "{rest}");
    assert_eq!(key_files(&other).len(), 1);
}

#[test]
fn a_registration_without_a_file_shows_both() {
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let run = device
        .run_with(&["--json"], &["register --with-key"], b"")
        .ok();
    let seen = run.json().remove(0);
    let kept = std::fs::read_to_string(&key_files(&device)[0]).unwrap();
    assert_eq!(seen["device_key"], kept.trim(), "{run:?}");
    // One that fails before there is an account leaves nothing.
    let again = device.another(PASSWORD);
    again.run(&["register --with-key"]).expect(6);
    assert!(key_files(&again).is_empty());
}

#[test]
fn the_key_outlives_password_and_recovery_code() {
    let (_server, device, sheet) = account();
    let other = device.another(PASSWORD);
    log_in_with(&other, &sheet).ok();
    device
        .run(&[&format!("passwd {}", new_password(&device))])
        .ok();
    device.run(&["get k"]).expect(4);
    for device in [&device, &other] {
        device.set_password(NEXT);
        assert_eq!(device.get("k"), b"value");
    }
    // Without the key the new password is worth as little as the old one.
    let third = device.another(NEXT);
    third.run(&["get k"]).expect(4);
    let line = format!(
        "recover --code-file {} --recovery-file {} {}",
        sheet.display(),
        third.path("new-sheet").display(),
        new_password(&third)
    );
    // The sheet has both.
    third.run(&[&line]).ok();
    assert_eq!(key_of(&third.path("new-sheet")), key_of(&sheet));
    for device in [&device, &third] {
        assert_eq!(device.get("k"), b"value");
    }
    device.another(NEXT).run(&["get k"]).expect(4);
    device.run(&["account delete --confirm alice"]).ok();
    assert!(key_files(&device).is_empty());
}

#[test]
fn a_recovery_without_the_key_does_without_it() {
    let (_server, device, sheet) = account();
    let text = std::fs::read_to_string(&sheet).unwrap();
    let code = device.path("code");
    std::fs::write(&code, text.lines().next().unwrap()).unwrap();
    let other = device.another(PASSWORD);
    let line = format!(
        "recover --code-file {} --recovery-file {} {}",
        code.display(),
        other.path("new-sheet").display(),
        new_password(&other)
    );
    other.run(&[&line]).ok();
    assert_eq!(other.another(NEXT).get("k"), b"value");
    device.set_password(NEXT);
    let run = device.run(&["get k"]).expect(4);
    assert!(run.stderr.contains("`login --without-key`"), "{run:?}");
    device.run(&["login --without-key"]).ok();
    assert!(key_files(&device).is_empty());
    assert_eq!(device.get("k"), b"value");
}
