//! Vaults on their way in and out: nothing is lost, nothing comes twice, everything can be taken back.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::device::{Device, run};
use tests::foreign::{python, script};
use tests::server::Server;

const PASSWORD: &str = "caravans of copper wire";

fn secret(name: &str, values: &[&str]) -> Value {
    let versions = (1..).zip(values).map(|(number, value)| {
        let value = data_encoding::BASE64.encode(value.as_bytes());
        json!({"version": number, "created_ms": 1_700_000_000_000_u64 + number, "value": value})
    });
    json!({"name": name, "versions": versions.collect::<Vec<_>>()})
}

/// A device whose vault has `a`, and a vault file with these secrets.
fn device_and_file(secrets: &[Value]) -> (Server, Device, PathBuf) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("a", b"mine");
    let path = vault(&device, "v", secrets);
    (server, device, path)
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

/// The same of a line that is not done in full.
fn partly(device: &Device, line: &str) -> Value {
    let run = device.run_with(&["--json"], &[line], b"").expect(9);
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
fn earlier_versions_count_as_content() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    for value in ["a", "b", "c"] {
        device
            .run_with(&[], &["put x --force"], value.as_bytes())
            .ok();
    }
    for (file, here) in [
        (vec!["a", "b", "c"], true),
        (vec!["a", "c"], true),
        (vec!["c"], true),
        (vec!["PRECIOUS", "c"], false),
        (vec!["b", "a", "c"], false),
        (vec!["a", "a", "c"], false),
        (vec!["a", "b"], false),
    ] {
        let path = vault(&device, "v", &[secret("x", &file)]);
        let line = import(&path, "--dry-run");
        if here {
            assert_eq!(told(&device, &line)["unchanged"], json!(1), "{file:?}");
        } else {
            device.run(&[&line]).expect(6);
        }
    }
    let path = vault(&device, "v", &[secret("x", &["PRECIOUS", "c"])]);
    device.run(&[&import(&path, "--on-conflict rename")]).ok();
    let precious = device.run(&["get 'x (2)' --version 1"]).ok();
    assert_eq!(precious.stdout, b"PRECIOUS");
}

#[test]
fn conflicts_are_decided_as_chosen() {
    let (_server, device, path) = device_and_file(&[secret("a", &["theirs"]), secret("b", &["x"])]);
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

/// An item, and a file that hangs on it.
fn with_file(value: &str, file: &str) -> [Value; 2] {
    // MessagePack: "U1", and {"of": "U1", "name": "k"}
    let mut item = secret("site", &[value]);
    item["fields"] = json!({"uid": "olUx"});
    let mut attached = secret("site/k", &[file]);
    attached["fields"] = json!({"attachment": "gqJvZqJVMaRuYW1loWs="});
    [item, attached]
}

#[test]
fn attachments_stay_with_their_items() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let first = vault(&device, "t1", &with_file("one", "file of one"));
    let second = vault(&device, "t2", &with_file("two", "file of two"));
    device.run(&[&import(&first, "")]).ok();
    device.run(&[&import(&second, "--on-conflict rename")]).ok();
    device.run(&[&import(&second, "--under again")]).ok();
    let phrase = device.path("phrase");
    std::fs::write(&phrase, "leaving with all files\n").unwrap();
    let with = format!("--passphrase-file {}", phrase.display());
    let out = device.path("v.kdbx");
    let out = out.display();
    device
        .run(&[&format!("export --all --format kdbx --out {out} {with}")])
        .ok();
    let open = |rest: &str| device.run(&[&format!("open {out} {with} {rest}")]).ok();
    assert_eq!(open("site/k").stdout, b"file of one");
    assert_eq!(open("'site (2)/k'").stdout, b"file of two");
    assert_eq!(open("again/site/k").stdout, b"file of two");
    // A file with a past is more than a file: nothing of it is left out.
    device.run_with(&[], &["put site/k --force"], b"newer").ok();
    let later = device.path("later.kdbx");
    let later = later.display();
    device
        .run(&[&format!("export --all --format kdbx --out {later} {with}")])
        .ok();
    let line = format!("open {later} {with} site/k --version 1 --format raw");
    let former = device.run(&[&line]).ok().text();
    assert!(former.contains("file of one"), "{former}");
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
    let undone = partly(&device, "import undo --yes");
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
fn imports_are_taken_back_one_after_the_other() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.run_with(&[], &["put z --note mine"], b"zero").ok();
    let first = vault(
        &device,
        "i1",
        &["x", "y1", "z"].map(|name| secret(name, &["one"])),
    );
    let second = vault(
        &device,
        "i2",
        &["x", "y2", "z"].map(|name| secret(name, &["two"])),
    );
    device.run(&[&import(&first, "--on-conflict replace")]).ok();
    device
        .run(&[&import(&second, "--on-conflict replace")])
        .ok();
    let undone = told(&device, "import undo --yes");
    assert_eq!(
        (&undone["removed"], &undone["restored"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(names(&device), ["x", "y1", "z"]);
    assert_eq!(device.get("x"), b"one");
    // What was here before both of them is not removed, and has its note again.
    let undone = told(&device, "import undo --yes");
    assert_eq!(
        (&undone["removed"], &undone["restored"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(names(&device), ["z"]);
    assert_eq!(device.get("z"), b"zero");
    assert_eq!(told(&device, "info z")["note"], json!("mine"));
    device.run(&["import undo --yes"]).expect(1);
}

#[test]
fn what_another_device_changes_is_not_taken_back() {
    let (_server, device, path) =
        device_and_file(&["a", "b", "c"].map(|name| secret(name, &["x"])));
    device.run(&[&import(&path, "--on-conflict replace")]).ok();
    let other = device.another(PASSWORD);
    let mut command = device.command();
    command.args(["-c", "import undo"]);
    let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    terminal
        .exp_string("remove 2 secrets, restore 1 secret")
        .unwrap();
    for name in ["a", "b"] {
        other
            .run_with(&[], &[&format!("put {name} --force")], b"newer")
            .ok();
    }
    terminal.send_line("y").unwrap();
    terminal
        .exp_string("a: kept, because it was changed")
        .unwrap();
    terminal
        .exp_string("b: kept, because it was changed")
        .unwrap();
    terminal.exp_string("1 secret removed, 0 restored").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(names(&device), ["a", "b"]);
    assert_eq!(device.get("a"), b"newer");
}

#[test]
fn former_notes_without_room_are_listed() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let noted = |value: &str| {
        let mut noted = secret("a", &[value]);
        noted["note"] = json!(value.repeat(30 * 1024));
        noted
    };
    device
        .run(&[&import(&vault(&device, "v", &[noted("o")]), "")])
        .ok();
    let path = vault(&device, "w", &[noted("n")]);
    let line = import(&path, "--on-conflict replace");
    device.run(&[&format!("{line} --strict")]).expect(1);
    assert_eq!(device.get("a"), b"o");
    let lost = &partly(&device, &line)["lost"];
    assert!(
        lost[0]["what"]
            .as_str()
            .unwrap()
            .contains("former tags and note")
    );
    let lost = &partly(&device, "import undo --yes")["lost"];
    assert_eq!(lost[0]["item"], json!("a"));
    assert_eq!(device.get("a"), b"o");
}

#[test]
fn metadata_without_room_for_the_mark_come_in() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    // As full as metadata can be: 56 KiB.
    let mut full = secret("full", &["one", "two"]);
    full["note"] = json!("n".repeat(32 * 1024));
    let tags = (0..64).map(|number| format!("{number:0>255}"));
    full["tags"] = json!(tags.collect::<Vec<_>>());
    let field = |len: u16| {
        let head = [&[0xc5], &len.to_be_bytes()[..]].concat();
        data_encoding::BASE64.encode(&[head, vec![1; usize::from(len)]].concat())
    };
    let mut secrets = vec![secret("before", &["x"]), full, secret("later", &["x"])];
    // The longest that fits, found from above.
    let imported = (8_000..8_128).rev().find(|len| {
        secrets[1]["fields"] = json!({"blob": field(*len)});
        let path = vault(&device, "v", &secrets);
        device.run(&[&format!("open {}", path.display())]).status == 0
    });
    assert!(imported.is_some());
    let path = device.path("v");
    let lost = &partly(&device, &import(&path, ""))["lost"];
    assert_eq!(lost[0]["item"], json!("full"));
    assert_eq!(names(&device), ["before", "full", "later"]);
    assert_eq!(device.run(&["get full --version 1"]).ok().stdout, b"one");
    assert_eq!(told(&device, &import(&path, ""))["unchanged"], json!(3));
    // Nothing of a file is written where something will not fit.
    device.run_with(&[], &["put full --force"], b"mine").ok();
    device.run(&["rm before --yes"]).ok();
    let renamed = import(&path, "--on-conflict rename");
    device.run(&[&renamed]).expect(8);
    device.run(&[&import(&path, "--under longer")]).expect(1);
    assert_eq!(names(&device), ["full", "later"]);
    device.run(&["import undo --yes"]).ok();
    assert_eq!(names(&device), ["full"]);
}

#[test]
fn an_import_in_pieces_is_one_import() {
    let mut server = Server::with(&[("QUOTA_BYTES", "5000000")]);
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("mine", b"x");
    // Batches of about 2 MiB, of which the third is over the quota.
    let long = "v".repeat(500_000);
    let mut secrets: Vec<_> = (0..16)
        .map(|number| secret(&format!("s{number:02}"), &[&long]))
        .collect();
    secrets.push(secret("mine", &["theirs"]));
    let path = vault(&device, "v", &secrets);
    let line = import(&path, "--on-conflict replace");
    device.run(&[&line]).expect(8);
    let stored = names(&device).len();
    assert!((2..17).contains(&stored), "{stored}");
    server.stop();
    server.set("QUOTA_BYTES", "50000000");
    server.start_again();
    let again = told(&device, &line);
    assert_eq!(again["unchanged"], json!(stored - 1), "{again}");
    let undone = told(&device, "import undo --yes");
    assert_eq!(
        (&undone["removed"], &undone["restored"], &undone["import"]),
        (&json!(16), &json!(1), &again["import"])
    );
    assert_eq!(names(&device), ["mine"]);
    assert_eq!(device.get("mine"), b"x");
    // The same file is another import once it was finished.
    let next = told(&device, &line);
    assert_ne!(next["import"], again["import"]);
    device.run(&["rm s00 --yes"]).ok();
    let last = told(&device, &line);
    assert_eq!(last["imported"], json!(["s00"]));
    assert_ne!(last["import"], next["import"]);
    assert_eq!(told(&device, "import undo --yes")["removed"], json!(1));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("a", b"mine");
    let path = vault(&device, "v", &[secret("a", &["theirs"])]);
    let mut command = device.command();
    command.args(["-c", &import(&path, "--on-conflict ask")]);
    let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    terminal.exp_string("for all] ").unwrap();
    // The same name, and as many versions.
    vault(&device, "v", &[secret("a", &["others"])]);
    terminal.send_line("r").unwrap();
    terminal
        .exp_string("the file changed during the import")
        .unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(device.get("a"), b"mine");
}

#[test]
fn files_are_opened_with_all_that_is_in_them() {
    let device = Device::at("https://127.0.0.1:1", "sha256:AAAA", "nobody", "nothing");
    let login = |name: &str, password: &str| json!({"id": password, "type": 1, "name": name, "login": {"password": password}});
    let mut items = [
        login("a", "one"),
        login("b", "x"),
        login("a", "two"),
        login(" c ", "y"),
    ];
    items[1]["attachments"] = json!([{"fileName": "film"}]);
    let path = device.path("bitwarden.json");
    let document = json!({"encrypted": false, "folders": [], "items": items});
    std::fs::write(&path, document.to_string()).unwrap();
    let open = |rest: &str| device.run(&[&format!("open {} {rest}", path.display())]);
    let listed = open("").expect(9);
    assert!(listed.text().contains("a (2)"), "{listed:?}");
    assert!(listed.stderr.contains("cannot be read: b: "), "{listed:?}");
    assert_eq!(open("a#password").ok().stdout, b"one");
    assert_eq!(open("'a (2)#password'").ok().stdout, b"two");
    // Losses of one that is shown are said, and of others not.
    let lossy = open("c#password").expect(9);
    assert_eq!(lossy.stdout, b"y");
    assert!(lossy.stderr.contains("renamed") && !lossy.stderr.contains("film"));
    assert!(open("b/film").expect(3).stderr.contains("film"));
    let line = format!("open {}", path.display());
    assert_eq!(partly(&device, &line)["lost"].as_array().unwrap().len(), 2);
}

#[test]
fn doubles_that_get_another_name_are_told() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("a", b"mine");
    let path = vault(&device, "v", &[secret("a", &["theirs"])]);
    let line = import(&path, "--on-conflict rename");
    let told = |line: &str| told(&device, line)["renamed"].clone();
    let renamed = json!([{"from": "a", "to": "a (2)"}]);
    assert_eq!(told(&format!("{line} --dry-run")), renamed);
    assert_eq!(told(&line), renamed);
    let table = device.path("chrome.csv");
    let rows = "name,url,username,password,note\nb,,u,1,\nb,,u,2,\n";
    std::fs::write(&table, rows).unwrap();
    let run = device.run(&[&import(&table, "--dry-run")]).ok();
    assert!(run.stderr.contains("b: imported as `b (2)`"), "{run:?}");
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
    let bitwarden = |folder: &str, name: &str| {
        let login = json!({"username": "anna", "password": "x"});
        let item = json!({"id": "1", "folderId": "f", "type": 1, "name": name, "login": login});
        json!({"encrypted": false, "folders": [{"id": "f", "name": folder}], "items": [item]})
            .to_string()
            .into_bytes()
    };
    let table = b"folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n\
        ../../etc,,login,passwd,,,0,,anna,x,\n";
    let foreign: [(&str, &str, Vec<u8>); 3] = [
        ("folder", "bitwarden", bitwarden("../../etc", "passwd")),
        ("dots", "bitwarden", bitwarden("a", "..")),
        ("table", "bitwarden-csv", table.to_vec()),
    ];
    let ours: [(&str, Vec<u8>); 5] = [
        ("nested", nested.into_bytes()),
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
    let ours = ours.map(|(name, content)| (name, "keyshell", content));
    for (name, format, content) in foreign.into_iter().chain(ours) {
        let path = device.path(name);
        std::fs::write(&path, content).unwrap();
        // What is cut off is no vault any more; it must not become a secret by accident either.
        let run = device
            .run(&[&import(&path, &format!("--format {format}"))])
            .expect(1);
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

#[test]
fn names_of_ours_are_no_paths() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let odd = ["../shared/db", "./x", "/etc/x", "a//b", "a/b", "x/"];
    for name in odd {
        device.put(name, name.as_bytes());
    }
    let out = device.path("v.json");
    let out = out.display();
    device
        .run(&[&format!("export --all --plaintext --yes --out {out}")])
        .ok();
    let listed = device.run(&[&format!("open {out}")]).ok().text();
    let other = Device::registered(&server, "bob", PASSWORD);
    other.run(&[&format!("import {out} --strict")]).ok();
    assert_eq!(names(&other), names(&device));
    for name in odd {
        assert_eq!(other.get(name), name.as_bytes());
        assert!(listed.contains(&format!("{name} ")), "{name}: {listed}");
        let line = format!("open {out} {name}");
        assert_eq!(device.run(&[&line]).ok().stdout, name.as_bytes());
    }
    other.run(&[&format!("import {out} --under /copy/")]).ok();
    assert_eq!(other.get("copy/../shared/db"), b"../shared/db");
}

#[test]
fn names_that_are_changed_are_listed() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let path = device.path("chrome.csv");
    let table = "name,url,username,password,note\n\" mail \",https://a.example,anna,x,\n";
    std::fs::write(&path, table).unwrap();
    let strict = device.run(&[&import(&path, "--strict")]).expect(1);
    assert!(
        strict
            .stderr
            .contains("renamed: the name in the file is ` mail `")
    );
    device.run(&[&import(&path, "")]).expect(9);
    assert_eq!(device.get("mail#password"), b"x");
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
fn what_a_file_is_read_as_is_said() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let table = device.path("table.csv");
    std::fs::write(
        &table,
        "name,url,username,password\nsite,https://a.example,anna,pw\n",
    )
    .unwrap();
    let said = device.run(&[&import(&table, "")]).ok().stderr;
    assert!(said.contains("table.csv: read as chrome-csv"), "{said}");
    assert_eq!(
        device
            .run(&["export site#password --format raw"])
            .ok()
            .text(),
        "pw"
    );
    let twice = format!("import {0} {0}", table.display());
    assert!(
        device
            .run(&[&twice])
            .expect(2)
            .stderr
            .contains("is given twice")
    );
    let unnamed = device.run(&[&import(&table, "--under ''")]).expect(2);
    assert!(unnamed.stderr.contains("--under"), "{}", unnamed.stderr);
    let variables = device.path(".env");
    std::fs::write(&variables, "A=1\nexport-me\nDB_PASSWORD=x\n").unwrap();
    let refused = device.run(&[&import(&variables, "")]).expect(1);
    assert!(refused.stderr.contains("line 2"), "{}", refused.stderr);
    let whole = device.run(&["export site --format kdbx"]).expect(2);
    assert!(whole.stderr.contains("whole vaults"), "{}", whole.stderr);
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

/// A table whose quotes are broken, from which a reader that guesses drops logins.
#[test]
fn a_table_with_broken_quotes_is_refused() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let table = device.path("table.csv");
    let lastpass = "url,username,password,extra,name,grouping,fav\n";
    let bitwarden = "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n";
    for (text, says) in [
        (
            "name,url,username,password,note\nA,,u,p,\"note without its end\nB,,u2,p2,n2\nC,,u3,p3,n3\n".to_owned(),
            "line 2: the quote that begins here is not closed",
        ),
        ("name,url,username,password,note\nA,,u,p,\"cut off he".to_owned(), "line 2: the quote"),
        (
            format!("{lastpass}a,u,p,,A,G,0\nb,u,\"p with \"\"q\"\" and more,,B,G,0\nc,u,p3,,C,G,0\nd,u,\"p4\",,D,G,0\n"),
            "line 5: text is behind the closing quote",
        ),
        (format!("{lastpass}one,root,\"\"abc#)!def\",,One,,0\n"), "line 2: text is behind"),
        (format!("{lastpass}three,root,\"ab\"cd\",,Three,,0\n"), "line 2: text is behind"),
        (
            format!("{bitwarden},,login,A,,,0,,u,p,\"JBSWY3DP\n,,login,B,,,0,,u,p2,\n"),
            "line 2: the quote",
        ),
        ("name,url,username,password\nA,,u,p\nB,,u\n".to_owned(), "line 3 has 3 cells"),
    ] {
        std::fs::write(&table, text).unwrap();
        let refused = device.run(&[&import(&table, "")]).expect(1);
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
        assert!(refused.stderr.contains("nothing was imported"), "{}", refused.stderr);
    }
    assert!(names(&device).is_empty());
}

#[test]
fn any_table_comes_in_by_a_map_and_entities_are_decoded_on_request() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let table = device.path("table.csv");
    std::fs::write(&table, "Titel;User;Password;Mehr\nsite;anna;pw;x\n").unwrap();
    let refused = device.run(&[&import(&table, "")]).expect(1);
    assert!(refused.stderr.contains("--map name="), "{}", refused.stderr);
    device.run(&[&import(&table, "--format csv")]).expect(2);
    device
        .run(&[&import(&table, "--map name=Nowhere")])
        .expect(2);
    device.run(&[&import(&table, "--map Titel")]).expect(2);
    device
        .run(&[&import(
            &table,
            "--map name=Titel,username=User,password=Password",
        )])
        .ok();
    assert_eq!(device.get("site#password"), b"pw");
    assert_eq!(device.get("site#Mehr"), b"x");
    let lastpass = "url,username,password,extra,name,grouping,fav\nhttps://a.example/?a=1&amp;b=2,u,x&amp;y&lt;z,,Shop,,0\n";
    std::fs::write(&table, lastpass).unwrap();
    let kept = partly(&device, &import(&table, "--under kept"));
    assert!(
        kept["lost"][0]["what"]
            .as_str()
            .unwrap()
            .contains("--decode-entities"),
        "{kept}"
    );
    assert_eq!(device.get("kept/Shop#password"), b"x&amp;y&lt;z");
    told(
        &device,
        &import(&table, "--decode-entities --under decoded"),
    );
    assert_eq!(device.get("decoded/Shop#password"), b"x&y<z");
    assert_eq!(
        device.get("decoded/Shop#url"),
        b"https://a.example/?a=1&b=2"
    );
}

/// Editors of Windows and `PowerShell` begin a text with a mark.
#[test]
fn a_byte_order_mark_is_passed_over_in_each_text() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.set_password(&format!("\u{feff}{PASSWORD}"));
    device.put("a", b"mine");
    let write = |file: &str, text: &str| {
        let path = device.path(file);
        std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
        path
    };
    let json = write(
        "b.json",
        r#"{"encrypted":false,"items":[{"type":2,"name":"note","notes":"text"}]}"#,
    );
    device.run(&[&import(&json, "")]).ok();
    assert_eq!(device.get("note"), b"text");
    let vault = write(
        "v.json",
        &std::fs::read_to_string(vault(&device, "v", &[secret("c", &["x"])])).unwrap(),
    );
    device.run(&[&import(&vault, "")]).ok();
    assert_eq!(device.get("c"), b"x");
    let phrase = write("phrase", "correct horse\n");
    let out = device.path("out.age");
    device
        .run(&[&format!(
            "export --all --out {} --passphrase-file {}",
            out.display(),
            phrase.display()
        )])
        .ok();
    let bare = device.path("bare");
    std::fs::write(&bare, "correct horse\n").unwrap();
    let opened = device.run(&[&format!(
        "open {} a --passphrase-file {}",
        out.display(),
        bare.display()
    )]);
    assert_eq!(opened.ok().stdout, b"mine");
    let references = write("refs.env", "A=a\n");
    let ran = device.run(&[&format!(
        "run --no-mask --env-file {} -- sh -c 'echo [$A]'",
        references.display()
    )]);
    assert_eq!(ran.ok().text(), "[mine]\n");
    let script = write("script", "get a\n");
    let mut command = device.command();
    command.arg(script);
    assert_eq!(run(command, b"").ok().stdout, b"mine");
}

#[test]
fn empty_files_and_exports_that_are_not_read_are_stored_only_when_asked_for() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    for (name, content, says) in [
        ("one", b"".as_slice(), "the file is empty"),
        ("two", b"PWS3xxxx", "Password Safe"),
        ("three", b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5x", "KeePass 1"),
        ("four", br#"{"nextId":1,"logins":[]}"#, "Firefox"),
    ] {
        let file = device.path(name);
        std::fs::write(&file, content).unwrap();
        let refused = device.run(&[&import(&file, "")]).expect(1);
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
        device.run(&[&import(&file, "--format raw")]).ok();
        assert_eq!(device.get(name), content);
    }
}

/// One name that has to be changed does not keep the others out.
#[test]
fn odd_names_are_changed_and_the_rest_comes_in() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let note = |name: &str| json!({"type": 2, "name": name, "notes": name});
    let items = ["fine", "tab\there", "ends\n", ".", "..", "a\u{1b}[2Jb"].map(note);
    let file = device.path("one.json");
    std::fs::write(
        &file,
        json!({"encrypted": false, "items": items}).to_string(),
    )
    .unwrap();
    let told = partly(&device, &import(&file, ""));
    assert_eq!(told["lost"].as_array().unwrap().len(), 5, "{told}");
    assert_eq!(
        names(&device),
        ["_", "__", "a [2Jb", "ends", "fine", "tab here"]
    );
    let again = partly(&device, &import(&file, ""));
    assert_eq!(again["unchanged"], 6, "{again}");
}
