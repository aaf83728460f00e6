//! What is on disks and in logs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rexpect::session::{PtySession, spawn_command};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tests::device::{Device, run};
use tests::server::Server;

use crate::ACCOUNT;
use crate::NAME;
use crate::NOTE;
use crate::PASSWORD;
use crate::PLANTED;
use crate::TAG;
use crate::contains;
use crate::holds;
use crate::value;

/// For one step at the terminal: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;

#[test]
fn nothing_planted_is_found_in_the_data_folder() {
    let mut server = Server::with(&[("LOG", "trace")]);
    let device = Device::registered(&server, ACCOUNT, PASSWORD);
    let line = format!("put {NAME} --tag {TAG} --note {NOTE}");
    device.run_with(&[], &[&line], value().as_bytes()).ok();
    device.run(&[&format!("get {NAME} --save"), "audit"]).ok();
    device.set_password("planted-wrong-password");
    device.run(&["ls"]).expect(4);
    server.stop();
    assert!(!holds(&server.data(), PLANTED));
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert!(log.contains("listening"));
    assert!(!contains(log.as_bytes(), PLANTED), "{log}");
    // The same search finds what is there.
    std::fs::write(server.data().join("proof"), "a planted-thing").unwrap();
    assert!(holds(&server.data(), PLANTED));
    for folder in ["cache", "data", "state"] {
        assert!(!holds(&device.home().join(folder), PLANTED), "{folder}");
    }
}

#[test]
fn the_clients_folders_hold_no_secret_and_are_its_owners_alone() {
    let server = Server::start();
    let device = Device::new(&server, ACCOUNT, PASSWORD);
    let mut session = spawn_command(device.command_without_password(), Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    // What is typed before the prompt is thrown away, so a command's last answer is the next prompt.
    let open = device.prompt();
    let step = |session: &mut PtySession, line: &str, answer: &str| {
        session.send_line(line).unwrap();
        session.exp_string(answer).unwrap()
    };
    step(&mut session, "register --no-confirm", "New password of");
    step(&mut session, PASSWORD, "The same again: ");
    let said = step(&mut session, PASSWORD, &open);
    step(
        &mut session,
        &format!("put {NAME} --note {NOTE}"),
        "Value: ",
    );
    step(&mut session, &value(), &open);
    for line in [format!("get {NAME}"), format!("get {NAME} --save")] {
        step(&mut session, &line, "\r\n");
        session.exp_string(&open).unwrap();
    }
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    let (_, code) = said.split_once("recovery code: ").unwrap();
    let code = code.lines().next().unwrap().trim();
    assert_eq!(code.split('-').count(), 9, "{code}");
    let secrets = [PASSWORD, "planted-value", code, &code.replace('-', "")];
    for secret in secrets {
        assert!(!holds(&device.home(), secret.as_bytes()), "{secret}");
    }
    // What is typed at the prompt is kept, and what is remembered in the clear is known.
    assert!(holds(&device.home().join("state"), NOTE.as_bytes()));
    assert!(holds(&device.home().join("config"), ACCOUNT.as_bytes()));
    assert_private(&device.home());
}

fn assert_private(path: &Path) {
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can use {}", path.display());
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            assert_private(&entry.unwrap().path());
        }
    }
}

#[test]
fn nothing_is_written_to_folders_for_temporary_files() {
    let server = Server::start();
    let temporary = tempfile::tempdir().unwrap();
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(
        &watch,
        temporary.path(),
        WatchFlags::CREATE | WatchFlags::MOVED_TO,
    )
    .unwrap();
    let created = || {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
        inotify::Reader::new(&watch, &mut buffer).next().is_ok()
    };
    let device = Device::new(&server, ACCOUNT, PASSWORD);
    let out = |name: &str| device.path(name).display().to_string();
    std::fs::write(device.path("value"), value()).unwrap();
    std::fs::write(device.path("passphrase"), "passphrase\n").unwrap();
    let lines = [
        "register".to_owned(),
        format!("put {NAME} --file {}", out("value")),
        format!("get {NAME} --save"),
        format!("get {NAME} --out {}", out("out")),
        format!(
            "export --all --out {} --passphrase-file {}",
            out("vault"),
            out("passphrase")
        ),
        format!("audit --out {}", out("audit")),
        format!("audit --verify {}", out("audit")),
    ];
    let mut command = device.command();
    command.env("TMPDIR", temporary.path());
    for line in &lines {
        command.args(["-c", line]);
    }
    run(command, b"").ok();
    assert!(!created(), "a temporary file was made");
    std::fs::write(temporary.path().join("control"), "").unwrap();
    assert!(created());
}

#[test]
fn paddings_hide_lengths() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let local = device.home().join("data/default");
    let sizes = || {
        let mut sizes: Vec<u64> = std::fs::read_dir(&local)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .filter(|len| *len > 0)
            .collect();
        sizes.sort_unstable();
        sizes
    };
    let empty = sizes();
    device.run_with(&[], &["put pin --local"], b"1234").ok();
    device.run_with(&[], &["put key --local"], &[1; 2000]).ok();
    assert_eq!(sizes(), empty);
}
