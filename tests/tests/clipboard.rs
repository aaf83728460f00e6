//! The clipboard of a real X server, read by a foreign program.
//!
//! Without an X server this is skipped, and says so; where `CI` is set, its absence is a failure.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr
)]

use std::process::Command;
use std::time::{Duration, Instant};

use tests::device::{Device, run};
use tests::server::Server;

#[test]
fn a_copied_value_can_be_pasted_and_is_gone_after_the_time() {
    if std::env::var_os("DISPLAY").is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have an X server");
        eprintln!("skipped: there is no X server (DISPLAY is not set)");
        return;
    }
    let server = Server::start();
    let device = Device::registered(&server, "alice", "clipboard of copper wire");
    device.put("k", "pásted".as_bytes());
    let run = device.run(&["get k --clip --for 3s"]).ok();
    let copied = Instant::now();
    assert!(run.stdout.is_empty());
    assert_eq!(pasted(), "pásted");
    while pasted() == "pásted" {
        assert!(copied.elapsed() < Duration::from_secs(20), "it stays");
    }
    assert!(copied.elapsed() > Duration::from_secs(2), "gone too early");

    // What somebody else copied meanwhile stays.
    device.run(&["get k --clip --for 1s"]).ok();
    let mut other = Command::new("xclip");
    other.args(["-selection", "clipboard", "-in", "-loops", "0"]);
    let copied = Instant::now();
    run_detached(other, b"of somebody else");
    while copied.elapsed() < Duration::from_secs(3) {
        assert_eq!(pasted(), "of somebody else");
    }

    // Binary values are refused, with a way out.
    device.put("binary", &[0, 255]);
    let refused = device.run(&["get binary --clip"]).expect(2);
    assert!(refused.stderr.contains("--format"), "{}", refused.stderr);
}

#[test]
fn without_a_display_it_says_so() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", "clipboard of copper wire");
    device.put("k", b"value");
    let mut command = device.command();
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.args(["-c", "get k --clip"]);
    let refused = run(command, b"").expect(1);
    assert!(refused.stderr.contains("clipboard"), "{}", refused.stderr);
}

fn pasted() -> String {
    let output = Command::new("xclip")
        .args(["-selection", "clipboard", "-out"])
        .output()
        .expect("xclip is installed");
    String::from_utf8(output.stdout).unwrap()
}

/// xclip goes into the background by itself once it holds the selection.
fn run_detached(mut command: Command, input: &[u8]) {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    assert!(child.wait().unwrap().success());
}
