//! Lost answers, restarts, and sessions that end.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use rexpect::session::{PtySession, spawn_command};
use tests::device::Device;
use tests::proxy::Proxy;
use tests::server::Server;

const PASSWORD: &str = "faults of copper wire";
/// For one step at the terminal: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;

#[test]
fn a_write_whose_answer_is_lost_happens_once() {
    let server = Server::start();
    let mut device = Device::registered(&server, "alice", PASSWORD);
    let value = vec![7; 200_000];
    for cuts in 1..=3 {
        let proxy = Proxy::losing(server.address(), value.len(), cuts);
        let name = format!("cut{cuts}");
        device.set_server(&proxy.url);
        device.put(&name, &value);
        assert_eq!(proxy.cuts(), cuts);
        device.set_server(&server.url);
        let run = device
            .run_with(&["--json"], &[&format!("history {name}")], b"")
            .ok();
        let json = run.json();
        let versions = json.first().unwrap()["versions"].as_array().unwrap().len();
        assert_eq!(versions, 1, "{cuts} answers lost");
        assert_eq!(device.get(&name), value);
    }
}

#[test]
fn a_write_whose_answers_are_all_lost_says_that_nobody_knows() {
    let server = Server::start();
    let mut device = Device::registered(&server, "alice", PASSWORD);
    let proxy = Proxy::losing(server.address(), 200_000, usize::MAX);
    device.set_server(&proxy.url);
    let run = device
        .run_with(&[], &["put k"], &vec![7; 200_000])
        .expect(5);
    assert!(
        run.stderr
            .contains("it is unknown whether the change was stored"),
        "{}",
        run.stderr
    );
    device.set_server(&server.url);
    assert_eq!(device.get("k").len(), 200_000);
}

#[test]
fn a_registration_whose_answer_is_lost_leaves_its_recovery_code() {
    let server = Server::start();
    let mut device = Device::new(&server, "alice", PASSWORD);
    let code = device.path("code");
    let line = format!("register --recovery-file {}", code.display());
    let mut lost = false;
    // The answer to the last message is one of these; more than five logins that fail would be throttled.
    for sent in (1750..3000).step_by(250) {
        let proxy = Proxy::losing(server.address(), sent, 1);
        device.set_server(&proxy.url);
        let run = device.run(&[&line]);
        device.set_server(&server.url);
        if device.run(&["ls"]).status == 0 {
            lost = run.status == 5;
            assert!(code.exists());
            break;
        }
        run.expect(5);
        let _ = std::fs::remove_file(&code);
    }
    assert!(
        lost,
        "no answer to the last message of a registration was lost"
    );
}

#[test]
fn a_server_restarts_between_two_lines_of_a_session() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let mut session = repl(&device, true);
    session.send_line("gen before").unwrap();
    session.exp_string("before: version 1").unwrap();
    server.kill();
    server.start_again();
    session.send_line("gen after").unwrap();
    session.exp_string("after: version 1").unwrap();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    assert_eq!(device.get("before").len(), 32);
    assert_eq!(device.get("after").len(), 32);
}

#[test]
fn an_expired_session_is_opened_again_and_carries_on() {
    let server = Server::with(&[("SESSION_IDLE", "1s")]);
    let device = Device::registered(&server, "alice", PASSWORD);
    let mut session = repl(&device, false);
    session.send_line("gen before").unwrap();
    session.exp_string("Password of alice").unwrap();
    session.send_line(PASSWORD).unwrap();
    session.exp_string("before: version 1").unwrap();
    // Time itself is what is tested here.
    std::thread::sleep(Duration::from_millis(1500));
    session.send_line("gen after").unwrap();
    // By the credential that the shell has for as long as it runs.
    session.exp_string("opened again").unwrap();
    session.exp_string("after: version 1").unwrap();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    let history = std::fs::read_to_string(device.home().join("state/default/history")).unwrap();
    assert!(history.contains("gen after"));
    assert!(!history.contains(PASSWORD));
}

#[test]
fn a_stopped_server_finishes_and_exits_cleanly() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"value");
    assert!(server.stop().success());
    server.start_again();
    assert_eq!(device.get("k"), b"value");
}

#[test]
fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    for round in 0..5 {
        let name = format!("k{round}");
        device.put(&name, name.as_bytes());
        server.kill();
        server.start_again();
        assert_eq!(device.get(&name), name.as_bytes());
    }
    device.run(&["audit"]).ok();
}

#[test]
fn a_nearly_full_disk_refuses_writes_and_serves_reads() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"value");
    server.stop();
    server.set("MIN_FREE_BYTES", &i64::MAX.to_string());
    server.start_again();
    let run = device.run_with(&[], &["put other"], b"value").expect(8);
    assert!(run.stderr.contains("disk"), "{}", run.stderr);
    assert_eq!(device.get("k"), b"value");
    device.run(&["get other"]).expect(3);
    device.run(&["audit"]).ok();
}

#[test]
fn an_account_over_its_quota_is_told_so() {
    let server = Server::with(&[("QUOTA_BYTES", "10000")]);
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("small", &[1; 1000]);
    let run = device
        .run_with(&[], &["put large"], &vec![1; 20_000])
        .expect(8);
    assert!(run.stderr.contains("quota"), "{}", run.stderr);
    device.run(&["rm small --yes"]).ok();
    device.put("another", &[1; 1000]);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start();
    let output = server
        .command(&["run", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    let words = format!("(process {}) uses", server.id());
    assert!(text.contains(&words), "{text}");
}

fn repl(device: &Device, with_password: bool) -> PtySession {
    let command = if with_password {
        device.command()
    } else {
        device.command_without_password()
    };
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("(locked)>").unwrap();
    session
}

#[test]
fn an_address_that_is_taken_is_said_in_one_line() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(tests::binary("keyserver"));
    command
        .args(["--listen", server.address()])
        .arg("--data-dir")
        .arg(folder.path());
    let refused = tests::device::run(command, b"").expect(1);
    let line = refused.stderr.trim_end();
    assert!(line.contains("cannot listen"), "{refused:?}");
    assert!(!line.contains("panicked"), "{refused:?}");
}
