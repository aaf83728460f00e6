//! Vaults on their way in and out: nothing is lost, nothing comes twice, everything can be taken back.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::device::{Device, run};
use tests::python::{python, script};
use tests::server::Server;

const PASSWORD: &str = "caravans of copper wire";

fn secret(name: &str, values: &[&str]) -> Value {
    let versions = (1..).zip(values).map(|(number, value)| {
        let value = data_encoding::BASE64.encode(value.as_bytes());
        json!({"version": number, "created_ms": 1_700_000_000_000_u64 + number, "value": value})
    });
    json!({"name": name, "versions": versions.collect::<Vec<_>>()})
}

fn vault(device: &Device, file: &str, secrets: &[Value]) -> PathBuf {
    let path = device.path(file);
    let document = json!({
        "format": "keyshell-vault", "version": 1, "exported_ms": 0, "secrets": secrets,
    });
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

fn import(path: &Path, options: &str) -> String {
    format!("import {} {options}", path.display())
}

fn names(device: &Device) -> Vec<String> {
    let listed = device.run(&["ls"]).ok().text();
    listed.lines().map(str::to_owned).collect()
}

/// What `import` said for programs.
fn told(device: &Device, line: &str) -> Value {
    let run = device.run_with(&["--json"], &[line], b"").ok();
    run.json().remove(0)
}

#[test]
fn the_same_file_again_changes_nothing() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let path = vault(
        &device,
        "v",
        &[secret("a", &["1", "2"]), secret("b", &["x"])],
    );
    let first = told(&device, &import(&path, ""));
    assert_eq!(first["imported"], json!(["a", "b"]));
    let head = told(&device, "status");
    let again = told(&device, &import(&path, ""));
    assert_eq!(
        (&again["imported"], &again["unchanged"]),
        (&json!([]), &json!(2))
    );
    assert_eq!(told(&device, "status")["vault_log"], head["vault_log"]);
    // Nor where it was changed meanwhile: what the owner did stays.
    device.run_with(&[], &["put a --force"], b"mine").ok();
    assert_eq!(told(&device, &import(&path, ""))["unchanged"], json!(2));
    assert_eq!(device.get("a"), b"mine");
    // Nor for what is here by other means, with the same content.
    let same = vault(&device, "same", &[secret("a", &["mine"])]);
    assert_eq!(told(&device, &import(&same, ""))["unchanged"], json!(1));
}

#[test]
fn conflicts_are_decided_as_chosen() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("a", b"mine");
    let path = vault(
        &device,
        "v",
        &[secret("a", &["theirs"]), secret("b", &["x"])],
    );
    let refused = device.run(&[&import(&path, "")]).expect(6);
    assert!(
        refused.stderr.contains("names exist: a;"),
        "{}",
        refused.stderr
    );
    assert_eq!(names(&device), ["a"]);
    let dry = device
        .run(&[&import(&path, "--on-conflict rename --dry-run")])
        .ok();
    assert_eq!(dry.text(), "a (2)\nb\n");
    assert_eq!(names(&device), ["a"]);
    device.run(&[&import(&path, "--on-conflict skip")]).ok();
    assert_eq!(device.get("a"), b"mine");
    device.run(&[&import(&path, "--on-conflict rename")]).ok();
    assert_eq!(names(&device), ["a", "a (2)", "b"]);
    device.run(&["rm 'a (2)' --yes"]).ok();
    device.run(&[&import(&path, "--on-conflict replace")]).ok();
    assert_eq!(device.get("a"), b"theirs");
    assert_eq!(device.run(&["get a --version 1"]).ok().stdout, b"mine");
}

#[test]
fn an_import_is_taken_back() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device
        .run_with(&[], &["put a --tag old --note before"], b"mine")
        .ok();
    let path = vault(
        &device,
        "v",
        &[
            secret("a", &["theirs"]),
            secret("b", &["x", "y"]),
            secret("c", &["z"]),
        ],
    );
    device.run(&[&import(&path, "--on-conflict replace")]).ok();
    device
        .run_with(&[], &["put c --force"], b"changed since")
        .ok();
    device.run(&["import undo"]).expect(2);
    let undone = told(&device, "import undo --yes");
    assert_eq!(undone["removed"], json!(1));
    assert_eq!(undone["restored"], json!(1));
    assert_eq!(undone["kept"], json!(["c"]));
    assert_eq!(names(&device), ["a", "c"]);
    assert_eq!(device.get("a"), b"mine");
    let about = told(&device, "info a");
    assert_eq!(
        (&about["tags"], &about["note"]),
        (&json!(["old"]), &json!("before"))
    );
    // All of it is in the log: what was replaced is still to be read.
    assert_eq!(device.run(&["get a --version 2"]).ok().stdout, b"theirs");
    device.run(&["audit"]).ok();
    // And the file can come again.
    assert_eq!(
        told(&device, &import(&path, "--on-conflict skip"))["imported"],
        json!(["b"])
    );
}

#[test]
fn a_broken_off_import_goes_on() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    // Batches of about 2 MiB: five of them.
    let long = "v".repeat(500_000);
    let secrets: Vec<_> = (0..20)
        .map(|number| secret(&format!("s{number:02}"), &[&long]))
        .collect();
    let path = vault(&device, "v", &secrets);
    let mut command = device.command();
    command.args(["-c", &import(&path, "")]);
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    // As soon as something is there, the server goes.
    let other = device.another(PASSWORD);
    while names(&other).is_empty() {}
    server.kill();
    let _ = child.wait().unwrap();
    server.start_again();
    let again = told(&device, &import(&path, ""));
    let imported = again["imported"].as_array().unwrap().len() as u64;
    assert_eq!(
        imported + again["unchanged"].as_u64().unwrap(),
        20,
        "{again}"
    );
    assert_eq!(names(&device).len(), 20);
    assert_eq!(device.get("s19").len(), long.len());
    device.run(&["audit"]).ok();
}

#[test]
fn files_of_bad_faith_change_nothing() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let head = told(&device, "status")["vault_log"].clone();
    let nested = format!(
        r#"{{"format":"keyshell-vault","version":1,"exported_ms":0,"secrets":[{}"#,
        "[".repeat(1_000_000)
    );
    let files: [(&str, Vec<u8>); 6] = [
        ("nested", nested.into_bytes()),
        ("traversal", vault_of(&secret("../../etc/passwd", &["x"]))),
        ("control", vault_of(&secret("a\u{1b}[2J", &["x"]))),
        ("twice", {
            let one = secret("a", &["x"]).to_string();
            format!(r#"{{"format":"keyshell-vault","version":1,"exported_ms":0,"secrets":[{one},{one}]}}"#)
                .into_bytes()
        }),
        ("cut", vault_of(&secret("a", &["x"]))[..80].to_vec()),
        ("latin1", {
            let mut bytes = vault_of(&secret("a", &["x"]));
            let place = bytes
                .windows(3)
                .position(|three| three == br#""a""#)
                .unwrap();
            bytes[place + 1] = 0xe9;
            bytes
        }),
    ];
    for (name, content) in files {
        let path = device.path(name);
        std::fs::write(&path, content).unwrap();
        // What is cut off is no vault any more; it must not become a secret by accident either.
        let run = device.run(&[&import(&path, "--format keyshell")]).expect(1);
        assert_eq!(
            run.stderr.trim_end().lines().count(),
            1,
            "{name}: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains("nothing was imported"),
            "{name}: {}",
            run.stderr
        );
    }
    assert_eq!(told(&device, "status")["vault_log"], head);
}

fn vault_of(secret: &Value) -> Vec<u8> {
    json!({"format": "keyshell-vault", "version": 1, "exported_ms": 0, "secrets": [secret]})
        .to_string()
        .into_bytes()
}

#[test]
fn what_has_no_room_is_listed_and_strict_ends_it() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let long = "n".repeat(300);
    let path = vault(&device, "v", &[secret(&long, &["x"]), secret("b", &["y"])]);
    let strict = device.run(&[&import(&path, "--strict")]).expect(1);
    assert!(strict.stderr.contains("shortened"), "{}", strict.stderr);
    assert!(names(&device).is_empty());
    let lossy = device
        .run_with(&["--json"], &[&import(&path, "")], b"")
        .expect(9);
    let objects = lossy.json();
    assert_eq!(objects[0]["lost"].as_array().unwrap().len(), 1);
    assert_eq!(objects[1]["error"]["status"], json!(9));
    assert_eq!(names(&device).len(), 2);
}

#[test]
fn a_pipe_is_a_file_too() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let unnamed = device.run_with(&[], &["import -"], b"value").expect(2);
    assert!(unnamed.stderr.contains("--name"), "{}", unnamed.stderr);
    device
        .run_with(&[], &["import - --name one"], b"value\n")
        .ok();
    assert_eq!(device.get("one"), b"value\n");
    let vault = vault_of(&secret("two", &["x"]));
    device
        .run_with(&[], &["import - --under from/pipe"], &vault)
        .ok();
    assert_eq!(names(&device), ["from/pipe/two", "one"]);
}

#[test]
fn a_pipe_takes_what_goes_out() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("one", b"value");
    let file = "my file's.json";
    let out = format!(
        "export --all --plaintext --yes --out \"{}/{file}\"",
        device.path("").display()
    );
    let written = device.run(&[&out]).ok();
    // What it says can be pasted into a shell.
    let quoted = written.stderr.split('`').nth(1).unwrap();
    let words = shlex::split(quoted).unwrap();
    assert_eq!(words[..3], ["shred", "-u", "--"]);
    assert!(words[3].ends_with(file), "{quoted}");
    let piped = device.run(&["export --all --plaintext --yes --out -"]).ok();
    let document: Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!(document["secrets"][0]["name"], "one");
    assert!(!piped.stderr.contains("shred"), "{}", piped.stderr);
    assert_eq!(device.run(&["get one --out -"]).ok().stdout, b"value");
    assert_eq!(
        device.run(&["export one --format hex --out -"]).ok().text(),
        "76616c7565"
    );
    let folder = device.run(&["export --all --format pass-age --recipient age1x --out -"]);
    assert_ne!(folder.status, 0);
    assert!(!Path::new("-").exists());
}

/// A vault that was cut off must not become one secret.
#[test]
fn damaged_json_is_no_secret_unless_that_is_said() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let path = device.path("file");
    let deep = format!(r#"{{"encrypted":false,"items":{}"#, "[".repeat(1_000_000));
    for content in [
        r#"{"encrypted":false,"items":[{"name":"x""#,
        "[{\"a\":1},",
        &deep,
    ] {
        std::fs::write(&path, content).unwrap();
        let refused = device.run(&[&import(&path, "")]).expect(1);
        assert!(
            refused.stderr.contains("--format raw"),
            "{}",
            refused.stderr
        );
        assert!(names(&device).is_empty());
    }
    std::fs::write(&path, "[section]\n{x}").unwrap();
    device.run(&[&import(&path, "--name ini")]).ok();
    std::fs::write(&path, "{\"a\":").unwrap();
    device
        .run(&[&import(&path, "--format raw --name json")])
        .ok();
    assert_eq!(names(&device), ["ini", "json"]);
}

#[test]
fn fields_of_items_are_read_set_and_used() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let item = json!({"item": 1, "kind": "login", "fields": [
        {"name": "username", "value": "anna"},
        {"name": "password", "value": "hunter2", "hidden": true},
        {"name": "totp", "value": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "hidden": true},
    ]});
    let mut document = secret("site/github", &[&item.to_string()]);
    document["content_type"] = json!("application/vnd.keyshell.item+json");
    let path = vault(&device, "v", &[document]);
    device.run(&[&import(&path, "")]).ok();
    assert_eq!(device.get("site/github#username"), b"anna");
    let missing = device.run(&["get site/github#pin"]).expect(3);
    assert!(
        missing.stderr.contains("username, password, totp"),
        "{}",
        missing.stderr
    );
    device
        .run_with(&[], &["put site/github#password"], b"new")
        .expect(6);
    device
        .run_with(&[], &["put site/github#password --force"], b"new")
        .ok();
    device.run_with(&[], &["put site/github#pin"], b"1234").ok();
    device.run(&["gen site/github#backup --password 20"]).ok();
    assert_eq!(device.get("site/github#password"), b"new");
    assert_eq!(device.get("site/github#pin"), b"1234");
    assert_eq!(device.get("site/github#backup").len(), 20);
    assert_eq!(device.get("site/github#username"), b"anna");
    let old = device.run(&["get site/github#password --version 1"]).ok();
    assert_eq!(old.stdout, b"hunter2");
    let used = device.run_words(
        &[
            "run",
            "--no-mask",
            "--env",
            "P=site/github#password",
            "--",
            "printenv",
            "P",
        ],
        b"",
    );
    assert_eq!(used.ok().text(), "new\n");
    let code = device.run(&["totp site/github"]).ok().text();
    assert_eq!(code.trim().len(), 6, "{code}");
    let long = device.run(&["ls --long"]).ok().text();
    assert!(long.contains("#username #password"), "{long}");
    device.run(&["get site/github --save"]).ok();
    let local = device.run(&["get site/github#pin --local"]).ok();
    assert_eq!(local.stdout, b"1234");
}

#[test]
fn an_export_opens_without_server_and_account() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("prod/db", b"one");
    device.run_with(&[], &["put prod/db --force"], b"two").ok();
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    device.put("binary \u{1f511}", &bytes);
    let passphrase = device.path("passphrase");
    std::fs::write(&passphrase, "leaving at any time\n").unwrap();
    let sealed = device.path("vault.age");
    let with = format!("--passphrase-file {}", passphrase.display());
    let export = device
        .run(&[&format!("export --all --out {} {with}", sealed.display())])
        .ok();
    assert!(!export.stderr.contains("shred"), "{}", export.stderr);
    assert_eq!(
        std::fs::metadata(&sealed).unwrap().permissions().mode() & 0o777,
        0o600
    );
    server.stop();

    let stranger = Device::at("https://127.0.0.1:1", "sha256:AAAA", "nobody", "nothing");
    let open = |rest: &str| stranger.run(&[&format!("open {} {with} {rest}", sealed.display())]);
    let listed = open("").ok().text();
    assert!(
        listed.contains("prod/db") && listed.contains("binary \u{1f511}"),
        "{listed}"
    );
    assert_eq!(open("prod/db").ok().stdout, b"two");
    assert_eq!(open("prod/db --version 1").ok().stdout, b"one");
    assert_eq!(open("'binary \u{1f511}'").ok().stdout, bytes);
    open("prod/d").expect(3);
    open("prod/db --version 3").expect(3);

    let Some(python) = python() else { return };
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/open_export.py");
    let length = std::fs::read_to_string(&reader).unwrap().lines().count();
    assert!(length <= 100, "the reference reader has {length} lines");
    let read = |rest: &[&str]| {
        let paths = [&reader, &sealed, &passphrase].map(|path| path.to_str().unwrap());
        run(script(&python, &[paths.as_slice(), rest].concat()), b"")
            .ok()
            .stdout
    };
    assert_eq!(read(&["prod/db"]), b"two");
    assert_eq!(read(&["prod/db", "1"]), b"one");
    assert_eq!(read(&["binary \u{1f511}"]), bytes);
    assert_eq!(read(&[]), "binary \u{1f511}\t1\nprod/db\t2\n".as_bytes());
}

#[test]
fn conflicts_are_asked_about_one_by_one() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    for name in ["a", "b", "c"] {
        device.put(name, b"mine");
    }
    let all = ["a", "b", "c"].map(|name| secret(name, &["theirs"]));
    let path = vault(&device, "v", &all);
    let ask = import(&path, "--on-conflict ask");
    // Nobody is there.
    device.run(&[&ask]).expect(2);
    let mut command = device.command();
    command.args(["-c", &ask]);
    let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    for (name, answer) in [("a", "s"), ("b", "N")] {
        terminal.exp_string(&format!("`{name}` exists")).unwrap();
        terminal.exp_string("for all] ").unwrap();
        terminal.send_line(answer).unwrap();
    }
    // A capital letter is for all that follow.
    terminal
        .exp_string("2 secrets in 2 versions imported")
        .unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(names(&device), ["a", "b", "b (2)", "c", "c (2)"]);
    assert_eq!(device.get("c"), b"mine");
}
