//! `doctor` on devices that are well, and on others.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tests::device::{Device, bare_command, run};
use tests::operator::Operator;
use tests::server::Server;

const PASSWORD: &str = "doctor of copper wire";

/// Status and message of each check of a device.
struct Report(Value);

impl Report {
    /// Runs `doctor` with this exit status, twice: what people see says the same as what programs get. No password is at
    /// hand.
    #[track_caller]
    fn of(device: &Device, options: &[&str], status: i32) -> Self {
        let run_with = |more: &[&str]| {
            let mut command = device.command_without_password();
            command.args(options).args(more).arg("doctor");
            command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
            run(command, b"").expect(status)
        };
        let report = Self(run_with(&["--json"]).json()[0].clone());
        let text = run_with(&[]).text();
        let checks = report.0["checks"].as_array().unwrap();
        assert_eq!(text.lines().count(), checks.len(), "{text}");
        for (line, check) in text.lines().zip(checks) {
            let word = check["status"].as_str().unwrap();
            assert!(line.to_lowercase().starts_with(word), "{line}");
            assert!(line.contains(check["name"].as_str().unwrap()), "{line}");
        }
        report
    }

    fn status(&self, name: &str) -> &str {
        self.check(name)["status"].as_str().unwrap()
    }

    /// What it says of `name`.
    fn says(&self, name: &str) -> &str {
        self.check(name)["message"].as_str().unwrap()
    }

    fn check(&self, name: &str) -> &Value {
        let mut checks = self.0["checks"].as_array().unwrap().iter();
        checks.find(|check| check["name"] == name).unwrap()
    }

    /// Names of the checks that failed.
    fn failed(&self) -> Vec<&str> {
        let checks = self.0["checks"].as_array().unwrap().iter();
        let failed = checks.filter(|check| check["status"] == "fail");
        failed
            .map(|check| check["name"].as_str().unwrap())
            .collect()
    }
}

#[test]
fn a_device_that_is_well() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let report = Report::of(&device, &[], 0);
    for name in [
        "files",
        "unfinished",
        "profile",
        "pins",
        "trust",
        "server",
        "clock",
        "core files",
        "clipboard",
        "terminal",
    ] {
        assert_eq!(report.status(name), "ok", "{name}: {}", report.0);
    }
    assert!(
        report.says("server").contains("its pinned key"),
        "{}",
        report.0
    );
    for name in ["memory lock", "swap"] {
        assert_ne!(report.status(name), "fail", "{name}: {}", report.0);
    }
    assert_eq!(report.0["failed"], 0);
}

#[test]
fn a_machine_that_knows_nothing_yet() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = bare_command(&folder.path().join("home"));
    command.args(["--json", "doctor"]);
    let report = Report(run(command, b"").ok().json()[0].clone());
    assert!(report.says("server").contains("--server"), "{}", report.0);
    assert!(report.says("account").contains("--account"), "{}", report.0);
    assert!(!folder.path().join("home").exists(), "nothing is changed");
}

#[test]
fn a_server_that_is_gone() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    server.stop();
    let report = Report::of(&device, &[], 1);
    assert_eq!(report.failed(), ["server"]);
    assert!(
        report.says("server").contains("is not reached"),
        "{}",
        report.0
    );
    assert_eq!(report.status("clock"), "warn");
}

#[test]
fn a_server_with_another_key_and_another_server_altogether() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let other = Server::start();
    let wrong = Device::at(&server.url, &other.pin, "alice", PASSWORD);
    let report = Report::of(&wrong, &[], 1);
    assert_eq!(report.failed(), ["server"]);
    assert!(
        report.says("server").contains("not the pinned"),
        "{}",
        report.0
    );
    // The key is right, but the account is not there.
    let elsewhere = ["--server", &*other.url, "--pin", &*other.pin];
    let mut command = bare_command(&device.home());
    command.args(elsewhere).args(["--json", "doctor"]);
    let report = Report(run(command, b"").expect(1).json()[0].clone());
    assert!(
        report
            .says("server")
            .contains("not the one that this account is on")
    );
}

#[test]
fn files_that_others_can_read_or_change() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let set = |mode| fs::set_permissions(device.pins(), Permissions::from_mode(mode)).unwrap();
    set(0o644);
    let report = Report::of(&device, &[], 0);
    assert_eq!(report.status("files"), "warn");
    assert!(report.says("files").contains("mode 0644"), "{}", report.0);
    set(0o666);
    let report = Report::of(&device, &[], 1);
    assert_eq!(report.failed(), ["files"]);
    // What it says to do helps.
    let advice = report.says("files").split('`').nth(1).unwrap().to_owned();
    let done = std::process::Command::new("sh")
        .args(["-c", &advice])
        .status();
    assert!(done.unwrap().success());
    Report::of(&device, &[], 0);
}

#[test]
fn files_that_are_damaged_or_left_over() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let state = device.pins().parent().unwrap().to_owned();
    fs::write(state.join(".keyshell-unfinished-x"), "half").unwrap();
    fs::set_permissions(
        state.join(".keyshell-unfinished-x"),
        Permissions::from_mode(0o600),
    )
    .unwrap();
    let report = Report::of(&device, &[], 0);
    assert_eq!(report.status("unfinished"), "warn");
    fs::write(device.pins(), "{").unwrap();
    let report = Report::of(&device, &[], 1);
    assert_eq!(report.failed(), ["pins"]);
    fs::write(
        device.home().join("config/profiles/default.toml"),
        "server = [",
    )
    .unwrap();
    let report = Report::of(&device, &[], 1);
    assert_eq!(report.failed(), ["profile", "pins"]);
    device.run(&["ls"]).expect(1);
}

#[test]
fn a_server_that_was_caught() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    let copy = operator.copy();
    device.put("k", b"1");
    operator.roll_back(copy);
    device.run(&["ls"]).expect(7);
    let report = Report::of(&device, &[], 1);
    assert_eq!(report.failed(), ["trust"]);
    assert!(report.says("trust").contains("rolled back"), "{}", report.0);
}
