//! Bitwarden's JSON and the tables of logins, read and written by Python's own modules.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::device::{Device, run};
use tests::foreign::{python, script};
use tests::server::Server;

const PASSWORD: &str = "caravans of copper wire";

/// Rows as objects, as text.
const READS: &str = r"
import csv, json, sys
with open(sys.argv[1], encoding='utf-8', newline='') as file:
    print(json.dumps(list(csv.DictReader(file, strict=True))))
";

const WRITES: &str = r"
import csv, json, sys
rows = json.load(sys.stdin)
with open(sys.argv[1], 'w', encoding='utf-8', newline='') as file:
    writer = csv.DictWriter(file, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
";

#[track_caller]
fn says(python: &PathBuf, code: &str, file: &Path, input: &[u8]) -> String {
    let arguments = ["-c", code, file.to_str().unwrap()];
    run(script(python, &arguments), input).ok().text()
}

/// Texts that a table has to quote, and one that a spreadsheet would run.
const PASSWORDS: [&str; 5] = [
    "a \"quoted\", b",
    "snëw \u{1f511} ",
    "two\r\nlines\n",
    "=HYPERLINK(1)",
    "'",
];

fn login(name: &str, password: &str) -> Value {
    json!({
        "type": 1, "name": name, "notes": "of, \"it\"",
        "login": {"username": "anna", "password": password, "uris": [{"uri": "https://a.example/x,y"}]},
    })
}

/// Puts the logins into a vault.
fn filled(device: &Device) {
    let logins = (0..).zip(PASSWORDS);
    let logins = logins.map(|(number, password)| login(&format!("Site {number}"), password));
    let document = json!({"encrypted": false, "folders": [], "items": logins.collect::<Vec<_>>()});
    let path = device.path("in.json");
    std::fs::write(&path, document.to_string()).unwrap();
    device.run(&[&format!("import {}", path.display())]).ok();
}

fn export(device: &Device, format: &str, status: i32) -> PathBuf {
    let path = device.path(format);
    let line = format!(
        "export --all --format {format} --plaintext --yes --out {}",
        path.display()
    );
    device.run(&[&line]).expect(status);
    path
}

#[test]
fn python_reads_our_tables() {
    let Some(python) = python() else { return };
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    filled(&device);
    // Two cells are made harmless, which is listed: what Python then sees is with the sign before it.
    let guarded = |password: &str| match password {
        "=HYPERLINK(1)" => "'=HYPERLINK(1)".to_owned(),
        "'" => "''".to_owned(),
        other => other.to_owned(),
    };
    for (format, names) in [
        (
            "chrome-csv",
            ["name", "url", "username", "password", "note"],
        ),
        (
            "bitwarden-csv",
            [
                "name",
                "login_uri",
                "login_username",
                "login_password",
                "notes",
            ],
        ),
    ] {
        let table = export(&device, format, 9);
        let rows: Value = serde_json::from_str(&says(&python, READS, &table, b"")).unwrap();
        let rows = rows.as_array().unwrap();
        assert_eq!(rows.len(), PASSWORDS.len(), "{format}");
        for ((number, password), row) in (0..).zip(PASSWORDS).zip(rows) {
            let found = names.map(|name| row[name].as_str().unwrap());
            let (name, password) = (format!("Site {number}"), guarded(password));
            let expected = [
                name.as_str(),
                "https://a.example/x,y",
                "anna",
                &password,
                "of, \"it\"",
            ];
            assert_eq!(found, expected, "{format}");
        }
        // And they come back.
        let other = Device::registered(&server, &format!("from-{format}"), PASSWORD);
        other.run(&[&format!("import {}", table.display())]).ok();
        for (number, password) in (0..).zip(PASSWORDS) {
            let got = other.get(&format!("Site {number}#password"));
            assert_eq!(got, password.as_bytes(), "{format}");
        }
    }
}

#[test]
fn tables_of_pythons_come_in() {
    let Some(python) = python() else { return };
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let rows: Vec<_> = (0..)
        .zip(PASSWORDS)
        .map(|(number, password)| {
            json!({
                "name": format!("Site {number}"), "url": "https://a.example", "username": "anna",
                "password": password, "note": "",
            })
        })
        .collect();
    let table = device.path("table");
    says(&python, WRITES, &table, json!(rows).to_string().as_bytes());
    device.run(&[&format!("import {}", table.display())]).ok();
    for (number, password) in (0..).zip(PASSWORDS) {
        let got = device.get(&format!("Site {number}#password"));
        assert_eq!(got, password.as_bytes());
    }
}

/// What Bitwarden's file has, and what was never there, is unchanged when our own export of it comes in.
#[test]
fn our_own_export_changes_nothing() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shell/formats/tests/vectors");
    let theirs = vectors.join("bitwarden.json");
    device
        .run(&[&format!("import {}", theirs.display())])
        .expect(9);
    device.put("token", b"just a value");
    device.put("Work/bytes", &[0, 255]);
    let put = |value: &[u8]| device.run_with(&[], &["put token --force"], value).ok();
    put(b"another value");
    let ours = export(&device, "bitwarden", 0);
    let line = format!("import {}", ours.display());
    // A member that nobody knows is listed each time.
    let again = device.run_with(&["--json"], &[&line], b"");
    let again = again.expect(9).json();
    assert_eq!(again[0]["imported"], json!([]), "{}", again[0]);
    assert_eq!(again[0]["unchanged"], json!(7), "{}", again[0]);
    // Into an empty vault, too.
    let other = Device::registered(&server, "ben", PASSWORD);
    other.run(&[&line]).expect(9);
    assert_eq!(other.get("token"), b"another value");
    assert_eq!(
        other.run(&["get token --version 1"]).ok().stdout,
        b"just a value"
    );
    assert_eq!(other.get("Work/bytes"), [0, 255]);
    let document =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let once_more = export(&other, "bitwarden", 0);
    assert_eq!(document(&once_more)["items"], document(&ours)["items"]);
}
