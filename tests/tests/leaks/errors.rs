//! What commands say when they fail.

use shared::wire::path;
use tests::device::{Device, Run, run};
use tests::mitm::{Mitm, Way};
use tests::server::Server;

use crate::ACCOUNT;
use crate::NAME;
use crate::PASSWORD;
use crate::contains;
use crate::value;

/// A device with a value on the server and one of its own, seen through a proxy.
struct Subject {
    server: Server,
    proxy: Mitm,
    device: Device,
    said: Vec<Run>,
}

impl Subject {
    fn new() -> Self {
        let server = Server::patient();
        let proxy = Mitm::before(&server);
        let device = Device::at(&proxy.url, &proxy.pin, ACCOUNT, PASSWORD);
        device.run(&["register"]).ok();
        device.put(NAME, value().as_bytes());
        let local = format!("put {NAME} --local");
        device.run_with(&[], &[&local], value().as_bytes()).ok();
        Self {
            server,
            proxy,
            device,
            said: Vec::new(),
        }
    }

    fn fails(&mut self, status: i32, line: &str, input: &[u8]) {
        for option in ["--verbose", "--json"] {
            let mut command = self.device.command();
            command.args([option, "-c", line]);
            // Without a display the clipboard is one more failure.
            command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
            let run = run(command, input);
            self.device.forgive();
            self.said.push(run.expect(status));
        }
    }

    fn damaged(&mut self, file: &std::path::Path, status: i32, line: &str) {
        let good = std::fs::read(file).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 0x80;
        std::fs::write(file, bad).unwrap();
        self.fails(status, line, b"");
        std::fs::write(file, good).unwrap();
    }
}

#[test]
fn failing_commands_name_no_secret() {
    let mut subject = Subject::new();
    let secret = value();
    let (get, put) = (format!("get {NAME}"), format!("put {NAME}"));
    subject.fails(6, &put, secret.as_bytes());
    subject.fails(6, &format!("get {NAME} --save"), b"");
    subject.fails(1, &format!("get {NAME} --clip"), b"");
    let long = secret.repeat(1024 * 1024 / secret.len() + 1);
    subject.fails(8, "put long", long.as_bytes());
    subject.fails(3, "get missing", b"");
    subject.fails(2, "put 'a", secret.as_bytes());
    files_that_do_not_decode(&mut subject, &secret);
    let home = subject.device.home().join("data/default");
    let store = std::fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_store = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "local");
    let store = store.into_iter().find(is_store).unwrap();
    subject.damaged(&store, 1, &format!("get {NAME} --local"));
    subject.damaged(&subject.device.pins(), 1, &get);
    subject.device.set_password("planted-wrong-password");
    subject.fails(4, &get, b"");
    subject.fails(4, &format!("get {NAME} --local"), b"");
    std::fs::write(subject.device.path("password"), b"planted-wrong-\xff\n").unwrap();
    subject.fails(1, &get, b"");
    subject.device.set_password(&"planted-wrong-".repeat(200));
    subject.fails(2, &get, b"");
    subject.device.set_password(PASSWORD);
    for _ in 0..2 {
        subject.proxy.alter(Way::ToClient, path::CALL);
        let run = subject.device.run_with(&["--verbose"], &[&get], b"");
        subject.device.forgive();
        subject.said.push(run.expect(7));
    }
    subject.server.kill();
    subject.fails(5, &format!("info {NAME}"), b"");
    assert!(subject.said.len() > 30);
    for run in &subject.said {
        let said = [&run.stdout, run.stderr.as_bytes()].concat();
        assert!(!said.is_empty());
        for secret in [PASSWORD, "planted-value", "planted-wrong"] {
            assert!(!contains(&said, secret.as_bytes()), "{run:?}");
        }
    }
}

/// Imports whose values are no base64, end too early, or are of another type.
fn files_that_do_not_decode(subject: &mut Subject, secret: &str) {
    let head = r#"{"format": "keyshell-secret", "version": 1, "name": "x", "value": "#;
    let file = subject.device.path("file.json");
    for (value, status) in [
        (format!("\"{secret}\"}}"), 1),
        (format!("\"{secret}"), 1),
        (format!("[\"{secret}\"]}}"), 1),
    ] {
        std::fs::write(&file, format!("{head}{value}")).unwrap();
        subject.fails(
            status,
            &format!("import {} --format json", file.display()),
            b"",
        );
    }
}
