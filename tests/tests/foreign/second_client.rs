//! The client of `docs/second-client`, which was written from the specification, and `keyshell` on one account.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;

use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Record};
use shared::codec;
use shared::ids::ServerId;
use shared::wire::login::Welcome;
use tempfile::TempDir;
use tests::device::{Device, Run, run};
use tests::foreign::{python_with, script};
use tests::operator::ledger::Ledger;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD};
use tests::server::{Server, copy_folder};

const ACCOUNT: &str = "älice";
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

/// The vectors of `docs/vectors`, computed and opened by the second client's code.
#[test]
fn the_second_client_agrees_with_the_vectors() {
    let Some(python) = python_with(&MODULES) else {
        return;
    };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let arguments = [
        &format!("{root}/tests/python/vectors.py"),
        &format!("{root}/docs/second-client"),
        &format!("{root}/docs/vectors"),
    ];
    let arguments = arguments.map(String::as_str);
    let compared = run(script(&python, &arguments), b"").ok().text();
    let compared: usize = compared.trim().parse().unwrap();
    assert!(compared >= 66, "{compared}");
}

/// A device on which the second client runs.
struct Second {
    python: PathBuf,
    server: [String; 2],
    state: TempDir,
}

impl Second {
    /// `None` where the packages are missing, which is noted.
    fn new(server: &Server) -> Option<Self> {
        Self::at(&server.url, &server.pin)
    }

    fn at(url: &str, pin: &str) -> Option<Self> {
        Some(Self {
            python: python_with(&MODULES)?,
            server: [url.to_owned(), pin.to_owned()],
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

/// An account of an operator, in its second key epoch: a slot key and a key history come with each login.
fn of_operator() -> (Operator, Device) {
    let operator = Operator::start();
    let device = operator.registered(ACCOUNT);
    device.put("k", b"value");
    let sheet = device.path("sheet");
    let renew = format!("recovery renew --recovery-file {}", sheet.display());
    device.run(&[&renew]).ok();
    (operator, device)
}

fn altered(record: &ByteBuf, change: impl Fn(&mut Record)) -> ByteBuf {
    let mut record: Record = codec::decode(record, MAX_RECORD_LEN).unwrap();
    change(&mut record);
    record.encode().unwrap().into()
}

fn flip(bytes: &mut ByteBuf) {
    *bytes.last_mut().unwrap() ^= 1;
}

#[test]
fn the_second_client_notices_an_operator_who_lies() {
    let (operator, _) = of_operator();
    let Some(second) = Second::at(&operator.url, &operator.pin) else {
        return;
    };
    let values = |change: fn(&mut Option<ByteBuf>)| {
        Lie::values(move |values| values.iter_mut().for_each(change))
    };
    let welcome = |change: fn(&mut Welcome)| Lie::Welcome(Box::new(change));
    let cases = [
        (
            "get",
            values(|value| flip(value.as_mut().unwrap())),
            "not the one that entry",
        ),
        ("get", values(|value| *value = None), "withholds a value"),
        (
            "ls",
            Lie::sync(|sync| sync.entries[3].metadata = None),
            "withholds content",
        ),
        (
            "ls",
            Lie::sync(|sync| sync.entries.swap(3, 4)),
            "does not continue the log",
        ),
        (
            "ls",
            Lie::Hello(Box::new(|hello| hello.server = ServerId::random())),
            "another one than before",
        ),
        (
            "ls",
            welcome(|welcome| flip(&mut welcome.wrapped.blob)),
            "does not open",
        ),
        (
            "ls",
            welcome(|welcome| flip(&mut welcome.slot_key.as_mut().unwrap().blob)),
            "does not open",
        ),
        (
            "ls",
            welcome(|welcome| flip(welcome.history.as_mut().unwrap())),
            "does not open",
        ),
        (
            "audit",
            Lie::audit(|audit| {
                let elsewhere = |record: &mut Record| record.remote = "192.0.2.1".into();
                audit.records[2] = altered(&audit.records[2], elsewhere);
            }),
            "not those that the checkpoint covers",
        ),
        (
            "audit",
            Lie::audit(|audit| audit.records.truncate(2)),
            "not full",
        ),
    ];
    for (command, lie, expected) in cases {
        let words: &[&str] = if command == "get" {
            &["get", "k"]
        } else {
            &[command]
        };
        second.run(words, b"").ok();
        operator.lie(lie);
        let run = second.run(words, b"").expect(7);
        let (told, written) = (operator.told(), operator.writes_after());
        operator.be_honest();
        assert!(told > 0, "{expected}: the lie did not reach the client");
        assert_eq!(written, 0, "{expected}: the client wrote afterwards");
        assert!(run.stderr.contains(expected), "{expected}: {run:#?}");
        assert_eq!(run.text(), "");
    }
}

/// A record at the end that the tree proves, and that no device has signed.
#[test]
fn the_second_client_shows_what_the_operator_made_up() {
    let (operator, device) = of_operator();
    let Some(second) = Second::at(&operator.url, &operator.pin) else {
        return;
    };
    device.run(&["get k"]).ok();
    check_own(&second.audit());
    operator.lie(Ledger::lengthened(&operator, &device, |records| {
        let decode = |record: &ByteBuf| codec::decode::<Record>(record, MAX_RECORD_LEN).unwrap();
        let last = decode(records.last().unwrap());
        let mut all = records.iter().map(decode);
        let mut get = all.find(|record| record.operation == AuditedOperation::Get);
        let record = get.as_mut().unwrap();
        (record.index, record.time_ms) = (last.index + 1, last.time_ms);
        records.push(record.encode().unwrap().into());
    }));
    let run = second.run(&["audit"], b"").expect(7);
    assert!(operator.told() > 0);
    let text = run.text();
    let forged: Vec<&str> = text
        .lines()
        .filter(|line| line.ends_with("FORGED"))
        .collect();
    assert_eq!(forged.len(), 1, "{text}");
    assert!(forged[0].contains(" get done "), "{text}");
}
