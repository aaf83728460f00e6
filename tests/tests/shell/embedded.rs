//! The private server inside the shell, which every user of the machine can connect to.
#![allow(missing_docs, clippy::unwrap_used)]

use rexpect::session::spawn_command;
use tests::device::{Device, bare_command, run};

const PASSWORD: &str = "embedded of copper wire";
/// For one step at the terminal: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;

#[test]
fn the_private_server_takes_its_owner_and_nobody_else() {
    let device = Device::embedded(PASSWORD);
    // Without an account it is no use to anybody, and stays open.
    let none = device.run(&["ls"]).expect(2);
    assert!(none.stderr.contains("`register` creates it"), "{none:?}");
    let mut command = device.command();
    command.arg("--verbose");
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    session.send_line("register --no-confirm").unwrap();
    session.exp_string("` created").unwrap();
    session.exp_string("me@embedded>").unwrap();
    session.send_line("gen k").unwrap();
    session.exp_string("version 1").unwrap();
    session.exp_string("me@embedded>").unwrap();
    session.send_line("logout").unwrap();
    session.exp_string("closed").unwrap();
    session.exp_string("(locked)>").unwrap();
    session.send_line("ls").unwrap();
    session.exp_string("connecting to ").unwrap();
    let url = session.read_line().unwrap();
    let url = url.trim();
    session.exp_string("me@embedded>").unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = bare_command(home.path());
    command.args([
        "--server",
        url,
        "--account",
        "other",
        "--trust-on-first-use",
    ]);
    command.arg("--password-file").arg(device.path("password"));
    command.args(["-c", "register"]);
    let refused = run(command, b"").expect(1);
    assert!(refused.stderr.contains("no new accounts"), "{refused:?}");
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    // Nor the owner twice.
    let mut command = device.command();
    command.args(["--account", "second", "-c", "register"]);
    let refused = run(command, b"").expect(1);
    assert!(refused.stderr.contains("no new accounts"), "{refused:?}");
    device.run(&["get k"]).ok();
}

/// Each waits for its turn at the data.
#[test]
fn several_one_shots_at_once_are_all_answered() {
    let device = Device::embedded(PASSWORD);
    device.run(&["register --no-confirm", "gen k"]).ok();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| device.run(&["get k"])))
            .collect();
        for run in runs {
            run.join().unwrap().ok();
        }
    });
}

/// A device that lost what it knew of its own private server still opens it with the recovery code.
#[test]
fn the_owner_of_a_private_server_recovers_without_pins() {
    let device = Device::embedded(PASSWORD);
    let sheet = device.path("sheet");
    let register = format!("register --recovery-file {}", sheet.display());
    device.run(&[&register, "gen k"]).ok();
    std::fs::remove_dir_all(device.home().join("state")).unwrap();
    std::fs::remove_file(device.home().join("data/default/server/owned")).unwrap();
    let recover = format!(
        "recover --code-file {} --recovery-file {} --new-password-file {}",
        sheet.display(),
        device.path("next-sheet").display(),
        device.path("password").display()
    );
    device.run(&[&recover]).ok();
    device.run(&["get k --format hex"]).ok();
}
