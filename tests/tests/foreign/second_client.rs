//! The client of `docs/second-client`, which was written from the specification, and `keyshell` on one account.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;

use tempfile::TempDir;
use tests::device::{Device, Run, run};
use tests::foreign::{python_with, script};
use tests::server::{Server, copy_folder};

const ACCOUNT: &str = "älice";
const PASSWORD: &str = "caravans of copper wire";
const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/second-client/client.py"
);

/// What the program imports beside the standard library.
const MODULES: [&str; 5] = [
    "argon2",
    "cryptography.hazmat.primitives.asymmetric.mlkem",
    "msgpack",
    "nacl",
    "rbcl",
];

/// A device on which the second client runs.
struct Second {
    python: PathBuf,
    server: [String; 2],
    state: TempDir,
}

impl Second {
    /// `None` where the packages are missing, which is noted.
    fn new(server: &Server) -> Option<Self> {
        Some(Self {
            python: python_with(&MODULES)?,
            server: [server.address().to_owned(), server.pin.clone()],
            state: tempfile::tempdir().unwrap(),
        })
    }

    fn run(&self, words: &[&str], input: &[u8]) -> Run {
        let [server, pin] = &self.server;
        let state = self.state.path().to_str().unwrap();
        let options = [
            PROGRAM,
            "--server",
            server,
            "--pin",
            pin,
            "--state",
            state,
            "--account",
            ACCOUNT,
        ];
        let mut command = script(&self.python, &options);
        command.args(words).env("KEYSHELL_PASSWORD", PASSWORD);
        run(command, input)
    }

    #[track_caller]
    fn get(&self, name: &str) -> Vec<u8> {
        self.run(&["get", name], b"").ok().stdout
    }

    /// Operation and attribution of each record.
    #[track_caller]
    fn audit(&self) -> Vec<(String, String)> {
        let text = self.run(&["audit"], b"").ok().text();
        let rows = text.lines().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, _, operation, _, _, _, _, attribution] = words[..] else {
                panic!("{line}");
            };
            (operation.to_owned(), attribution.to_owned())
        });
        rows.collect()
    }
}

#[track_caller]
fn count(records: &[(String, String)], operation: &str) -> usize {
    let found = records.iter().filter(|(found, _)| found == operation);
    found.count()
}

/// Nothing but what happens outside sessions is unsigned.
#[track_caller]
fn check_own(records: &[(String, String)]) {
    for (operation, attribution) in records {
        let is_outside = ["register", "login_start"].contains(&operation.as_str());
        let expected = if is_outside { "open" } else { "own" };
        assert_eq!(attribution, expected, "{operation}");
    }
}

#[test]
fn what_the_second_client_writes_is_read_by_keyshell() {
    let server = Server::start();
    let Some(second) = Second::new(&server) else {
        return;
    };
    let code = second.run(&["register"], b"").ok().text();
    let value: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    second.run(&["put", "from/python"], b"first").ok();
    second.run(&["put", "from/python"], &value).ok();
    second.run(&["put", "empty"], b"").ok();
    let device = Device::new(&server, ACCOUNT, PASSWORD);
    assert_eq!(device.get("from/python"), value);
    let first = device.run(&["get from/python --version 1"]).ok();
    assert_eq!(first.stdout, b"first");
    assert_eq!(device.get("empty"), b"");
    device.run(&["audit", "devices"]).ok();
    // A key epoch: the account key reaches the second client's recovery code by its KEM key.
    let sheet = device.path("sheet");
    let next = device.path("next");
    std::fs::write(&next, "an army of paper cranes\n").unwrap();
    let passwd = format!("passwd --new-password-file {}", next.display());
    device.run(&[&passwd]).ok();
    std::fs::write(&sheet, code).unwrap();
    std::fs::write(&next, format!("{PASSWORD}\n")).unwrap();
    let recover = format!(
        "recover --code-file {} --new-password-file {} --recovery-file {}",
        sheet.display(),
        next.display(),
        device.path("new-sheet").display()
    );
    device.run(&[&recover]).ok();
    device.put("after", b"recovered");
    assert_eq!(second.get("after"), b"recovered");
    check_own(&second.audit());
}

#[test]
fn what_keyshell_writes_is_read_by_the_second_client() {
    let server = Server::start();
    let Some(second) = Second::new(&server) else {
        return;
    };
    let device = Device::registered(&server, ACCOUNT, PASSWORD);
    device.put("kept", b"first");
    device
        .run_with(&[], &["put kept --force --tag work --note why"], b"second")
        .ok();
    device.put("gone", b"removed");
    let lines = ["rm gone --yes", "mv kept moved", "devices rename workshop"];
    device.run(&lines).ok();
    assert_eq!(second.get("moved"), b"second");
    assert_eq!(second.run(&["ls"], b"").ok().text(), "\"moved\"\n");
    second.run(&["get", "gone"], b"").expect(1);
    // Two key epochs: the account keys reach the second client by the KEM key of the password, and the former ones open
    // by the key history; then everything is sealed again.
    let renew = format!(
        "recovery renew --recovery-file {}",
        device.path("sheet").display()
    );
    device.run(&[&renew]).ok();
    device.put("later", b"third");
    assert_eq!(second.get("moved"), b"second");
    assert_eq!(second.get("later"), b"third");
    device.run(&["rotate-key --yes"]).ok();
    assert_eq!(second.get("moved"), b"second");
    // A new version keeps what it does not replace.
    second.run(&["put", "moved"], b"fourth").ok();
    let info = device.run_with(&["--json"], &["info moved"], b"").ok();
    let [info] = &info.json()[..] else {
        panic!("{info:?}");
    };
    assert_eq!(info["tags"], serde_json::json!(["work"]));
    assert_eq!(info["note"], "why");
    assert_eq!(device.get("moved"), b"fourth");
    let records = second.audit();
    check_own(&records);
    assert_eq!(count(&records, "put"), 5);
    assert_eq!(count(&records, "rekey"), 2);
    // The versions of `kept`, `gone` and `later`.
    assert_eq!(count(&records, "reseal"), 4);
    device.run(&["audit"]).ok();
}

#[test]
fn the_second_client_notices_a_server_that_goes_back() {
    let mut server = Server::start();
    let Some(second) = Second::new(&server) else {
        return;
    };
    second.run(&["register"], b"").ok();
    second.run(&["put", "k"], b"old").ok();
    server.stop();
    let copy = second.state.path().join("copy");
    copy_folder(&server.data(), &copy);
    server.start_again();
    second.run(&["put", "k"], b"new").ok();
    server.stop();
    std::fs::remove_dir_all(server.data()).unwrap();
    std::fs::rename(&copy, server.data()).unwrap();
    server.start_again();
    let noticed = second.run(&["get", "k"], b"").expect(7);
    assert!(noticed.stderr.contains("rolled back"), "{noticed:?}");
    assert_eq!(noticed.text(), "");
}
