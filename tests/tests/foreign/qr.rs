//! `get --qr`, read by foreign programs: rsvg-convert draws, zbarimg reads.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use tests::device::Device;
use tests::picture::{can_read, drawn, rendered, scanned};
use tests::server::Server;

const PASSWORD: &str = "pictures of copper wire";
const VALUE: &str = "otpauth://totp/ACME:me?secret=GEZDGNBVGY3TQOJQ välue";
/// For one step: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;

fn device() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", VALUE.as_bytes());
    device.put("binary", &[0, 255, 7]);
    device.put("long", &[b'x'; 3000]);
    (server, device)
}

#[test]
fn the_picture_holds_the_value() {
    let (_server, device) = device();
    let out = device.path("k.svg");
    let line = format!("get k --qr --out {}", out.display());
    let run = device.run(&[&line]).ok();
    assert!(run.stdout.is_empty());
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&out).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    device.run(&[&line]).expect(6);
    let other = format!("get k --qr --out {}", device.path("k.jpg").display());
    let refused = device.run(&[&other]).expect(2);
    assert!(refused.stderr.contains(".svg"), "{}", refused.stderr);
    assert!(!device.path("k.jpg").exists());
    let pixels = device.path("k.png");
    device
        .run(&[&format!("get k --qr --out {}", pixels.display())])
        .ok();
    if can_read() {
        assert_eq!(scanned(&pixels), VALUE);
        rendered(&out, &device.path("drawn.png"));
        assert_eq!(scanned(&device.path("drawn.png")), VALUE);
    }
}

#[test]
fn half_blocks_hold_the_value() {
    let (_server, device) = device();
    let text = device.run(&["get k --qr"]).ok().text();
    let encoded = device.run(&["get binary --qr --format base64"]).ok().text();
    assert_eq!(device.run(&["export k --format qr"]).ok().text(), text);
    device.run(&["export k --format qr --encrypt"]).expect(2);
    if can_read() {
        let picture = device.path("picture.pgm");
        drawn(&text, false, &picture);
        assert_eq!(scanned(&picture), VALUE);
        drawn(&encoded, false, &picture);
        assert_eq!(scanned(&picture).trim_end(), "AP8H");
    }
}

#[test]
fn what_no_code_can_hold_is_refused() {
    let (_server, device) = device();
    let refused = device.run(&["get binary --qr"]).expect(2);
    assert!(
        refused.stderr.contains("--format base64"),
        "{}",
        refused.stderr
    );
    let refused = device.run(&["get long --qr"]).expect(8);
    assert!(refused.stderr.contains("2953"), "{}", refused.stderr);
    device.run(&["get k --qr --clip"]).expect(2);
    let json = device
        .run_with(&["--json"], &["get k --qr"], b"")
        .ok()
        .json();
    assert!(json[0]["svg"].as_str().unwrap().contains("<svg"));
}

fn at_terminal(device: &Device, columns: u16) -> PtySession {
    let mut command = Command::new("sh");
    let shell = device.command();
    command.args([
        "-c",
        &format!("stty cols {columns} rows 50; exec \"$0\" \"$@\" get k --qr"),
    ]);
    command.arg(shell.get_program()).args(shell.get_args());
    command.env_remove("NO_COLOR");
    spawn_command(command, Some(PATIENCE_MS)).unwrap()
}

#[test]
fn a_terminal_shows_it_black_on_white_or_says_that_it_is_too_narrow() {
    const COLOURS: &str = "\u{1b}[38;5;16m\u{1b}[48;5;231m";
    let (_server, device) = device();
    let shown = at_terminal(&device, 80).exp_eof().unwrap();
    // rexpect makes a character of every byte.
    let bytes: Vec<u8> = shown.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let shown = String::from_utf8(bytes).unwrap();
    let lines = shown.lines().filter_map(|line| line.strip_prefix(COLOURS));
    let lines: Vec<&str> = lines
        .map(|line| line.strip_suffix("\u{1b}[0m").unwrap())
        .collect();
    assert!(!lines.is_empty(), "{shown}");
    if can_read() {
        let picture = device.path("picture.pgm");
        drawn(&lines.join("\n"), true, &picture);
        assert_eq!(scanned(&picture), VALUE);
    }
    let shown = at_terminal(&device, 20).exp_eof().unwrap();
    assert!(
        shown.contains("columns") && shown.contains(".svg"),
        "{shown}"
    );
    assert!(!shown.contains('\u{2580}'), "{shown}");
}
