//! The nine workflows, with the real binaries.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use tests::device::{Device, bare_command, run};
use tests::server::Server;

const PASSWORD: &str = "correct horse battery staple";

#[test]
fn one_run_registers_generates_and_reads_back() {
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let run = device
        .run(&["register", "gen k", "get k --format hex"])
        .ok();
    let text = run.text();
    let (code, hex) = text.split_once('\n').unwrap();
    let code = code.strip_prefix("recovery code: ").unwrap();
    assert_eq!(code.split('-').count(), 9);
    assert_eq!(hex.len(), 64);
    assert!(hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn later_runs_need_no_options_but_the_password() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"value");
    let mut command = bare_command(&device.home());
    command.arg("--password-file").arg(device.path("password"));
    command.args(["-c", "login", "-c", "get k", "-c", "logout"]);
    assert_eq!(run(command, b"").ok().stdout, b"value");
}

#[test]
fn every_command_speaks_json() {
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let lines = [
        "register",
        "status",
        "gen k --bits 128",
        "get k",
        "ls",
        "info k",
        "edit k --tag work --note 'for the door'",
        "mv k key",
        "history key",
        "gen key --password 12 --force",
        "get key --version 1",
        "get key --save",
        "ls --local",
        "audit key",
        "rm key --yes",
        "logout",
    ];
    let run = device.run_with(&["--json"], &lines, b"").ok();
    let json = run.json();
    assert_eq!(json.len(), lines.len(), "{json:#?}");
    assert_eq!(json[1]["account"], "alice");
    assert_eq!(json[2]["entropy_bits"], 128.0);
    let value = json[3]["base64"].as_str().unwrap();
    assert_eq!(json[4]["secrets"][0]["name"], "k");
    assert_eq!(json[6]["tags"][0], "work");
    assert_eq!(json[8]["versions"][0]["version"], 1);
    assert_eq!(json[9]["version"], 2);
    assert_eq!(json[10]["base64"], value);
    assert_eq!(json[12]["secrets"][0]["saved"], true);
    assert_eq!(json[13]["verified"], true);
    let operations: Vec<&str> = json[13]["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["operation"].as_str().unwrap())
        .collect();
    let expected = ["put", "get", "describe", "describe", "put", "get", "get"];
    assert_eq!(operations, expected);
    assert_eq!(json[15]["closed"], true);
}

#[test]
fn errors_speak_json_and_have_their_statuses() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"1");
    let cases: [(&str, i32); 7] = [
        ("get nothing", 3),
        ("put k", 6),
        ("get", 2),
        ("nonsense", 2),
        ("get 'k", 2),
        ("rm k", 2),
        ("get k --format nonsense", 2),
    ];
    for (line, status) in cases {
        let run = device.run_with(&["--json"], &[line], b"2").expect(status);
        assert_eq!(run.json()[0]["error"]["status"], status, "{line}");
        let plain = device.run_with(&[], &[line], b"2").expect(status);
        assert!(plain.stdout.is_empty(), "{line}");
        assert!(plain.stderr.starts_with("keyshell: "), "{line}");
    }
    assert_eq!(device.get("k"), b"1");
}

#[test]
fn lines_stop_at_the_first_that_fails_unless_told_to_keep_going() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let lines = ["get nothing", "gen k"];
    device.run(&lines).expect(3);
    device.run(&["get k"]).expect(3);
    device.run_with(&["--keep-going"], &lines, b"").expect(3);
    assert_eq!(device.get("k").len(), 32);
}

#[test]
fn scripts_run_and_may_hold_comments() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let script = device.path("script");
    std::fs::write(
        &script,
        "# a key\n\ngen k --password 10\n  get k\nexit\nget x\n",
    )
    .unwrap();
    let mut command = device.command();
    command.arg(script);
    assert_eq!(run(command, b"").ok().stdout.len(), 10);
}

#[test]
fn the_embedded_server_keeps_its_data() {
    let device = Device::embedded(PASSWORD);
    let first = device.run(&["register", "gen k", "get k --format hex", "audit k"]);
    let text = first.ok().text();
    assert!(text.contains("verified: 2 of"), "{text}");
    let again = device.run(&["get k --format hex", "exit"]).ok().text();
    assert!(text.contains(&again));
}

#[test]
fn the_local_store_opens_without_the_server() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("saved", b"from the server");
    device
        .run_with(&[], &["put here --local"], b"only here")
        .ok();
    let run = device.run(&["get saved --save"]).ok();
    assert_eq!(run.stdout, b"", "what is saved is not shown");
    server.stop();
    let run = device.run(&["get saved --local"]).ok();
    assert_eq!(run.stdout, b"from the server");
    assert_eq!(device.run(&["get here --local"]).ok().stdout, b"only here");
    let names = device.run(&["ls --local"]).ok().text();
    assert_eq!(names, "here\nsaved\n");
    device.set_password("wrong");
    let wrong = device.run(&["ls --local"]).expect(4);
    assert!(wrong.stderr.contains("wrong password"), "{}", wrong.stderr);
    device.set_password(PASSWORD);
    let folder = device.home().join("data/default");
    let files = std::fs::read_dir(folder).unwrap();
    let path = files
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "local")
        })
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = device.run(&["ls --local"]).expect(1);
    assert!(damaged.stderr.contains("damaged"), "{}", damaged.stderr);
}

#[test]
fn a_whole_vault_moves_to_a_fresh_account_unchanged() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("a", b"one");
    device.run_with(&[], &["put a --force"], b"two").ok();
    device.put("b/ü \u{1f511}", &[0, 255, 1, 10]);
    device
        .run_with(&[], &["put c --tag t --tag s --note 'n\u{e9}'"], b"")
        .ok();
    let passphrase = device.path("passphrase");
    std::fs::write(&passphrase, "leaving\n").unwrap();
    let sealed = device.path("vault.age");
    let export = format!(
        "export --all --out {} --passphrase-file {}",
        sealed.display(),
        passphrase.display()
    );
    device.run(&[&export]).ok();
    assert!(
        std::fs::read(&sealed)
            .unwrap()
            .starts_with(b"age-encryption.org/v1")
    );

    let other = Device::registered(&server, "bob", "another of copper wire");
    let import = format!(
        "import {} --passphrase-file {}",
        sealed.display(),
        passphrase.display()
    );
    let dry = other.run(&[&format!("{import} --dry-run")]).ok();
    assert_eq!(dry.text().lines().count(), 3);
    other.run(&["get a"]).expect(3);
    other.run(&[&import]).ok();
    // What is here already stays.
    other.run(&[&import]).ok();
    let plain = |device: &Device| {
        let path = device.path("plain.json");
        let line = format!("export --all --plaintext --yes --out {}", path.display());
        device.run(&[&line]).ok();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        json["secrets"].clone()
    };
    assert_eq!(plain(&device), plain(&other));
    assert_eq!(other.run(&["get a --version 1"]).ok().stdout, b"one");
    let mut command = other.command();
    command.args(["-c", "export --all --plaintext --out /nowhere/x"]);
    run(command, b"").expect(2);
}

#[test]
fn single_secrets_travel_in_every_format() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let value: Vec<u8> = (0..=255).collect();
    device.put("k", &value[1..]);
    for format in ["raw", "hex", "base64", "base64url", "len", "len32", "json"] {
        let path = device.path(format);
        let line = format!("export k --format {format} --out {}", path.display());
        device.run(&[&line]).ok();
        let line = format!(
            "import {} --format {format} --name {format}",
            path.display()
        );
        device.run(&[&line]).ok();
        assert_eq!(device.get(format), &value[1..], "{format}");
    }
    device.put("long", &value);
    let refused = device.run(&["export long --format len"]).expect(1);
    assert!(refused.stderr.contains("len32"), "{}", refused.stderr);
}

#[test]
fn audit_files_verify_offline_and_show_tampering() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"value");
    let path = device.path("audit.json");
    let line = format!("audit k --out {}", path.display());
    device.run(&[&line]).ok();
    server.stop();
    let verify = format!("audit --verify {}", path.display());
    device.run(&[&verify]).ok();
    let text = std::fs::read_to_string(&path).unwrap();
    let tampered = text.replacen("\"proof\": [\n        \"", "\"proof\": [\n        \"0", 1);
    assert_ne!(text, tampered);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut changed = json.clone();
    let record = changed["records"][0]["record"].as_str().unwrap();
    let mut bytes = data_encoding::BASE64.decode(record.as_bytes()).unwrap();
    let time = bytes.len() - 40;
    bytes[time] ^= 1;
    changed["records"][0]["record"] = data_encoding::BASE64.encode(&bytes).into();
    std::fs::write(&path, changed.to_string()).unwrap();
    device.run(&[&verify]).expect(7);
}

#[test]
fn help_explains_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let help = |line: &str| {
        let mut command = bare_command(folder.path());
        command.args(["-c", line]);
        run(command, b"").ok().text()
    };
    let all = help("help");
    for name in [
        "register", "login", "logout", "status", "gen", "put", "get", "ls", "info", "history",
        "mv", "rm", "edit", "import", "export", "audit", "help", "exit",
    ] {
        assert!(all.contains(&format!("  {name} ")), "{name}");
        assert!(help(&format!("help {name}")).contains("Usage"), "{name}");
    }
}

/// Fields of a file go into signed metadata; what no device could read back would lock the vault for good.
#[test]
fn an_imported_file_cannot_lock_the_vault() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"value");
    let nested: Vec<u8> = [vec![0x91; 15], vec![1]].concat();
    let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let fields = [
        ("tags", base64(&[1])),
        ("note", base64(&[0x90])),
        ("name", base64(b"\xa3new")),
        ("deep", base64(&nested)),
        ("long", base64(&[1, 2])),
        ("text", "no base64".to_owned()),
    ];
    let file = device.path("vault.json");
    for (key, value) in fields {
        let document = serde_json::json!({
            "format": "keyshell-vault", "version": 1, "exported_ms": 0,
            "secrets": [
                {"name": "good", "tags": [], "note": "", "content_type": null, "fields": {},
                 "versions": [{"version": 1, "created_ms": 0, "value": ""}]},
                {"name": "bad", "tags": [], "note": "", "content_type": null, "fields": {key: value},
                 "versions": [{"version": 1, "created_ms": 0, "value": ""}]},
            ],
        });
        std::fs::write(&file, document.to_string()).unwrap();
        let run = device
            .run(&[&format!("import {}", file.display())])
            .expect(1);
        assert!(run.stderr.contains("malformed"), "{key}: {run:?}");
    }
    let run = device.run(&["ls"]).ok();
    assert!(!run.text().contains("good"), "{run:?}");
    assert_eq!(device.get("k"), b"value");
}

/// Notes take room in a request as values do.
#[test]
fn secrets_with_long_notes_are_imported_in_batches() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let note = "n".repeat(30_000);
    let secrets: Vec<_> = (0..200)
        .map(|number| {
            serde_json::json!({
                "name": format!("long {number}"), "tags": [], "note": note, "content_type": null, "fields": {},
                "versions": [{"version": 1, "created_ms": 0, "value": ""}],
            })
        })
        .collect();
    let document = serde_json::json!({
        "format": "keyshell-vault", "version": 1, "exported_ms": 0, "secrets": secrets,
    });
    let file = device.path("vault.json");
    std::fs::write(&file, document.to_string()).unwrap();
    device.run(&[&format!("import {}", file.display())]).ok();
    assert_eq!(device.get("long 199"), b"");
}
