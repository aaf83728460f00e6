//! The clipboards of real display servers, X11 and Wayland, read and written by foreign programs.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rexpect::session::spawn_command;
use tests::device::{Device, Run, run};
use tests::display::Display;
use tests::foreign::has;
use tests::server::Server;

const PASSWORD: &str = "clipboard of copper wire";
const VALUE: &str = "pästed";
/// For one step: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;
/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_mins(1);

/// A device that has copied nothing yet, and both kinds of display that are there.
fn on_displays(test: impl Fn(&Device, &Display)) {
    let mut displays = Vec::new();
    if has(&["Xvfb", "xclip"]) {
        displays.push(Display::x11());
    }
    if has(&["sway", "wl-copy", "wl-paste"]) {
        displays.push(Display::wayland());
    }
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", VALUE.as_bytes());
    for display in displays {
        test(&device, &display);
        wait_until("no holder is left", || {
            holders(&device, &display).is_empty()
        });
    }
}

fn words(device: &Device, display: &Display, words: &[&str]) -> Run {
    let mut command = device.command();
    display.give(&mut command);
    command.args(words);
    run(command, b"")
}

/// Processes that hold a clipboard for this device or display.
fn holders(device: &Device, display: &Display) -> Vec<u32> {
    let mut command = Command::new("true");
    display.give(&mut command);
    let folder = command
        .get_envs()
        .find(|(name, _)| *name == "XDG_RUNTIME_DIR")
        .and_then(|(_, folder)| folder.map(|folder| folder.to_str().unwrap().to_owned()))
        .unwrap();
    let home = device.home();
    let mine = [folder, home.to_str().unwrap().to_owned()];
    let processes = std::fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        let arguments = std::fs::read(Path::new("/proc").join(id.to_string()).join("cmdline"));
        let arguments = String::from_utf8_lossy(&arguments.unwrap_or_default()).into_owned();
        arguments.contains("__hold-clipboard") && mine.iter().any(|part| arguments.contains(part))
    })
    .collect()
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_copied_value_can_be_pasted_and_is_gone_after_the_time() {
    on_displays(|device, display| {
        let run = words(device, display, &["get", "k", "--clip", "--for", "6s"]).ok();
        let copied = Instant::now();
        assert!(run.stdout.is_empty());
        assert_eq!(display.pasted(), VALUE);
        // What keeps it out of the history of clipboard managers.
        let hint = display.pasted_as(Some("x-kde-passwordManagerHint"));
        assert_eq!(hint, "secret");
        wait_until("the clipboard is empty", || display.pasted().is_empty());
        assert!(copied.elapsed() > Duration::from_secs(5), "gone too early");
    });
}

#[test]
fn what_somebody_else_copies_meanwhile_stays() {
    on_displays(|device, display| {
        words(device, display, &["get", "k", "--clip", "--for", "1h"]).ok();
        display.copy("of somebody else");
        // The holder leaves long before its time.
        wait_until("no holder is left", || holders(device, display).is_empty());
        assert_eq!(display.pasted(), "of somebody else");
    });
}

#[test]
fn copying_again_restarts_the_time() {
    on_displays(|device, display| {
        words(device, display, &["get", "k", "--clip", "--for", "1h"]).ok();
        let older = holders(device, display);
        assert_eq!(older.len(), 1);
        // The same value: in the clipboard itself nothing changes that the older holder could see.
        words(device, display, &["get", "k", "--clip", "--for", "1h"]).ok();
        wait_until("the older holder is gone", || {
            let now = holders(device, display);
            now.len() == 1 && now != older
        });
        assert_eq!(display.pasted(), VALUE);
        words(device, display, &["get", "k", "--clip", "--for", "1s"]).ok();
        wait_until("the clipboard is empty", || display.pasted().is_empty());
    });
}

#[test]
fn it_is_cleared_after_the_session_and_its_terminal_are_gone() {
    on_displays(|device, display| {
        let mut command = device.command();
        display.give(&mut command);
        let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
        session.exp_string("(locked)>").unwrap();
        session.send_line("get k --clip --for 8s").unwrap();
        session
            .exp_string("in the clipboard for 8 seconds")
            .unwrap();
        session.exp_string(&device.prompt()).unwrap();
        // The terminal is closed under it.
        drop(session);
        assert_eq!(display.pasted(), VALUE);
        assert_eq!(holders(device, display).len(), 1);
        wait_until("the clipboard is empty", || display.pasted().is_empty());
    });
}

#[test]
fn codes_and_new_secrets_can_be_copied_and_binary_values_in_a_form() {
    on_displays(|device, display| {
        device
            .run_with(&[], &["put seed --force"], b"GEZDGNBVGY3TQOJQ")
            .ok();
        let run = words(
            device,
            display,
            &["--json", "totp", "seed", "--clip", "--for", "1s"],
        )
        .ok();
        assert_eq!(run.json()[0]["clipboard"], true);
        let pasted = display.pasted();
        assert!(pasted.is_empty() || pasted.len() == 6, "{pasted}");
        wait_until("the clipboard is empty", || display.pasted().is_empty());
        let words_of = ["gen", "new", "--password", "--force", "--clip"];
        words(device, display, &words_of).ok();
        assert_eq!(display.pasted().as_bytes(), device.get("new"));
        display.copy("");
        words(device, display, &["gen", "b", "--force", "--clip"]).ok();
        let hex = data_encoding::HEXLOWER.encode(&device.get("b"));
        assert_eq!(display.pasted(), hex);
        display.copy("");
        let refused = words(device, display, &["get", "b", "--clip"]).expect(2);
        assert!(refused.stderr.contains("--format"), "{}", refused.stderr);
    });
}

#[test]
fn a_display_that_is_not_there_is_no_success() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", VALUE.as_bytes());
    let folder = device.path("runtime");
    std::fs::create_dir(&folder).unwrap();
    for (variable, name) in [("DISPLAY", ":65000"), ("WAYLAND_DISPLAY", "nowhere")] {
        let mut command = device.command();
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command.env(variable, name).env("XDG_RUNTIME_DIR", &folder);
        command.args(["get", "k", "--clip"]);
        let refused = run(command, b"").expect(1);
        assert!(
            refused.stderr.contains("cannot be used"),
            "{}",
            refused.stderr
        );
    }
}
