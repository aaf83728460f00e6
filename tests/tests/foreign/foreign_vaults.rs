//! Whole vaults, read and written by programs of others: KeePassXC, pykeepass, pass with gpg, age, python-dotenv.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::device::{Device, run};
use tests::foreign::{has, python, script};
use tests::server::Server;

const PASSWORD: &str = "caravans of copper wire";
const PASSPHRASE: &str = "correct horse battery";

struct Subject {
    _server: Server,
    device: Device,
}

impl Subject {
    fn new() -> Self {
        let server = Server::start();
        let device = Device::registered(&server, "alice", PASSWORD);
        std::fs::write(device.path("pass"), format!("{PASSPHRASE}\n")).unwrap();
        Self {
            _server: server,
            device,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.device.path(name)
    }

    /// Exports the whole vault: sealed with the passphrase, unless options say something else.
    #[track_caller]
    fn export(&self, format: &str, to: &str, options: &str) -> PathBuf {
        let (out, pass) = (self.path(to), self.path("pass"));
        let sealed = format!("--passphrase-file {}", pass.display());
        let options = if options.is_empty() { &sealed } else { options };
        let line = format!(
            "export --all --format {format} --out {} {options}",
            out.display()
        );
        self.device.run(&[&line]).ok();
        out
    }

    #[track_caller]
    fn import(&self, file: &Path, options: &str) {
        let line = self.import_line(file, options);
        self.device.run(&[&line]).ok();
    }

    /// Imports a database whose only loss is the custom datum of another program, which no field shows.
    #[track_caller]
    fn import_with_custom_data(&self, file: &Path) {
        let run = self.device.run(&[&self.import_line(file, "")]).expect(9);
        let losses = run.stderr.matches("not carried over").count();
        assert!(
            losses == 1 && run.stderr.contains("CustomData"),
            "{}",
            run.stderr
        );
    }

    fn import_line(&self, file: &Path, options: &str) -> String {
        let pass = self.path("pass");
        format!(
            "import {} --passphrase-file {} {options}",
            file.display(),
            pass.display()
        )
    }

    fn get(&self, name: &str) -> String {
        String::from_utf8(self.device.get(name)).unwrap()
    }

    fn field(&self, address: &str) -> String {
        let line = format!("get '{address}'");
        self.device.run(&[&line]).ok().text()
    }

    fn names(&self) -> Vec<String> {
        let listed = self.device.run(&["ls"]).ok().text();
        listed.lines().map(str::to_owned).collect()
    }
}

/// Runs KeePassXC's program with a database's passphrase, as often as it asks.
#[track_caller]
fn keepassxc(arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("keepassxc-cli");
    command.args(arguments).env("QT_QPA_PLATFORM", "offscreen");
    run(command, format!("{PASSPHRASE}\n{PASSPHRASE}\n").as_bytes())
        .ok()
        .stdout
}

#[track_caller]
fn keepassxc_text(arguments: &[&str]) -> String {
    String::from_utf8(keepassxc(arguments))
        .unwrap()
        .trim_end()
        .to_owned()
}

/// An export of KeePass, with all that an entry can have.
fn exported(subject: &Subject) -> PathBuf {
    let path = subject.path("keepass.xml");
    let text = r#"<?xml version="1.0" encoding="utf-8" standalone="yes"?>
<KeePassFile><Meta><Generator>KeePass</Generator>
<Binaries><Binary ID="0">AAH/</Binary></Binaries></Meta>
<Root><Group><UUID>AAAAAAAAAAAAAAAAAAAAAQ==</UUID><Name>Database</Name>
<Group><UUID>AAAAAAAAAAAAAAAAAAAAAg==</UUID><Name>Work</Name>
<Entry><UUID>AAAAAAAAAAAAAAAAAAAAAw==</UUID><IconID>12</IconID><Tags>one;two</Tags>
<Times><CreationTime>2020-01-02T03:04:05Z</CreationTime><LastModificationTime>2021-01-02T03:04:05Z</LastModificationTime>
<ExpiryTime>2037-01-02T03:04:05Z</ExpiryTime><Expires>True</Expires></Times>
<String><Key>Notes</Key><Value>a &amp; b
second</Value></String>
<String><Key>Password</Key><Value ProtectInMemory="True">s3cr&lt;t</Value></String>
<String><Key>Title</Key><Value>Site</Value></String>
<String><Key>URL</Key><Value>https://a.example</Value></String>
<String><Key>UserName</Key><Value>anna</Value></String>
<String><Key>PIN</Key><Value ProtectInMemory="True">1234</Value></String>
<String><Key>otp</Key><Value ProtectInMemory="True">otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&amp;period=30&amp;digits=6</Value></String>
<Binary><Key>three.bin</Key><Value Ref="0"/></Binary>
<CustomData><Item><Key>plugin</Key><Value>settings</Value></Item></CustomData>
<History><Entry><UUID>AAAAAAAAAAAAAAAAAAAAAw==</UUID>
<Times><LastModificationTime>2020-06-01T00:00:00Z</LastModificationTime></Times>
<String><Key>Password</Key><Value ProtectInMemory="True">old</Value></String>
<String><Key>Title</Key><Value>Site</Value></String></Entry></History>
</Entry></Group></Group></Root></KeePassFile>
"#;
    std::fs::write(&path, text).unwrap();
    path
}

/// What [`exported`] holds.
#[track_caller]
fn assert_all_there(subject: &Subject) {
    let fields = [
        ("username", "anna"),
        ("password", "s3cr<t"),
        ("url", "https://a.example"),
        ("PIN", "1234"),
        ("expires", "2037-01-02T03:04:05Z"),
        ("note", "a & b\nsecond"),
    ];
    for (field, value) in fields {
        assert_eq!(
            subject.field(&format!("Work/Site#{field}")),
            value,
            "{field}"
        );
    }
    let otp = subject.field("Work/Site#totp");
    assert!(otp.contains("secret=JBSWY3DPEHPK3PXP"), "{otp}");
    assert_eq!(subject.device.get("Work/Site/three.bin"), [0, 1, 255]);
    let run = subject
        .device
        .run_with(&["--json"], &["info Work/Site", "history Work/Site"], b"");
    let [info, history] = &run.ok().json()[..] else {
        panic!("two answers");
    };
    assert_eq!(info["tags"], serde_json::json!(["one", "two"]));
    let versions = history["versions"].as_array().map_or(0, Vec::len);
    assert_eq!(versions, 2, "{history}");
    let old = subject
        .device
        .run(&["get Work/Site --version 1"])
        .ok()
        .text();
    let old: Value = serde_json::from_str(&old).unwrap();
    let is_old = |field: &Value| field["name"] == "password" && field["value"] == "old";
    assert!(
        old["fields"].as_array().unwrap().iter().any(is_old),
        "{old}"
    );
}

#[test]
fn keepassxc_reads_our_databases_and_writes_one_for_us() {
    if !has(&["keepassxc-cli"]) {
        return;
    }
    let subject = Subject::new();
    subject.import_with_custom_data(&exported(&subject));
    assert_all_there(&subject);
    subject.device.put("token", b"just a value");
    let ours = subject.export("kdbx", "ours.kdbx", "");
    let ours = ours.to_str().unwrap();
    let listed = keepassxc_text(&["ls", "-q", "-R", "-f", ours]);
    let listed: Vec<_> = listed.lines().collect();
    assert!(
        listed.contains(&"Work/Site") && listed.contains(&"token"),
        "{listed:?}"
    );
    let show =
        |entry: &str, field: &str| keepassxc_text(&["show", "-q", "-s", "-a", field, ours, entry]);
    assert_eq!(show("Work/Site", "Password"), "s3cr<t");
    assert_eq!(show("Work/Site", "UserName"), "anna");
    assert_eq!(show("Work/Site", "PIN"), "1234");
    assert_eq!(show("Work/Site", "Notes"), "a & b\nsecond");
    assert_eq!(show("Work/Site", "Tags"), "one,two");
    assert_eq!(show("token", "Password"), "just a value");
    let code = keepassxc_text(&["show", "-q", "-t", ours, "Work/Site"]);
    assert_eq!(code.len(), 6, "{code}");
    let file = subject.path("three.bin");
    let entry = ["Work/Site", "three.bin", file.to_str().unwrap()];
    keepassxc(&[&["attachment-export", "-q", ours][..], &entry].concat());
    assert_eq!(std::fs::read(file).unwrap(), [0, 1, 255]);

    // Its own database of the same, and one that it changed. It writes KDBX 4 where there are custom data.
    let theirs = subject.path("theirs.kdbx");
    keepassxc(&[
        "import",
        "-q",
        "-p",
        subject.path("keepass.xml").to_str().unwrap(),
        theirs.to_str().unwrap(),
    ]);
    let other = Subject::new();
    other.import_with_custom_data(&theirs);
    assert_all_there(&other);
    keepassxc(&[
        "add",
        "-q",
        "-u",
        "ben",
        "--url",
        "https://new.example",
        ours,
        "Work/New",
    ]);
    keepassxc(&["edit", "-q", "-u", "carla", ours, "Work/Site"]);
    let third = Subject::new();
    third.import_with_custom_data(Path::new(ours));
    assert_eq!(third.field("Work/New#username"), "ben");
    assert_eq!(third.field("Work/Site#username"), "carla");
    assert_eq!(third.field("Work/Site#password"), "s3cr<t");
    assert_eq!(third.get("token"), "just a value");
    let again = third
        .device
        .run(&[&third.import_line(Path::new(ours), "")])
        .expect(9);
    assert!(again.stderr.contains("0 secrets"), "{}", again.stderr);
}

const PYTHON_WRITES: &str = r"
import sys, datetime
from pykeepass import create_database
kp = create_database(sys.argv[1], password=sys.argv[2])
group = kp.add_group(kp.root_group, 'Work')
entry = kp.add_entry(group, 'Site', 'anna', 'old', url='https://a.example', notes='two\nlines', tags=['one', 'two'])
entry.save_history()
entry.password = 'snëw'
entry.set_custom_property('PIN', '1234', protect=True)
entry.set_custom_property('Colour', 'blue')
entry.otp = 'otpauth://totp/x?secret=JBSWY3DPEHPK3PXP'
entry.expires = True
entry.expiry_time = datetime.datetime(2037, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
entry.add_attachment(kp.add_binary(bytes([0, 1, 255])), 'three.bin')
bin = kp.add_entry(group, 'gone', 'x', 'y')
kp.trash_entry(bin)
kp.save()
";

const PYTHON_READS: &str = r"
import sys, json
from pykeepass import PyKeePass
kp = PyKeePass(sys.argv[1], password=sys.argv[2])
entry = kp.find_entries(title='Site', first=True)
print(json.dumps({
    'path': entry.path, 'username': entry.username, 'password': entry.password, 'url': entry.url, 'otp': entry.otp,
    'notes': entry.notes, 'tags': entry.tags, 'custom': entry.custom_properties, 'expires': entry.expires,
    'expiry': entry.expiry_time.isoformat(), 'history': [former.password for former in entry.history],
    'files': {file.filename: list(file.data) for file in entry.attachments},
    'protected': entry.is_custom_property_protected('PIN'), 'kdf': kp.kdf_algorithm, 'cipher': kp.encryption_algorithm,
}))
";

#[test]
fn pykeepass_reads_our_databases_and_writes_one_for_us() {
    let Some(python) = python() else {
        return;
    };
    let subject = Subject::new();
    let theirs = subject.path("theirs.kdbx");
    let says = |code: &str, file: &Path| {
        let arguments = ["-c", code, file.to_str().unwrap(), PASSPHRASE];
        run(script(&python, &arguments), b"").ok().text()
    };
    says(PYTHON_WRITES, &theirs);
    let imported = subject
        .device
        .run(&[&subject.import_line(&theirs, "")])
        .expect(9);
    assert!(
        imported.stderr.contains("gone: it is in the recycle bin"),
        "{}",
        imported.stderr
    );
    assert_eq!(subject.names(), ["Work/Site", "Work/Site/three.bin"]);
    assert_eq!(subject.field("Work/Site#password"), "snëw");
    let ours = subject.export("kdbx", "ours.kdbx", "");
    let read: Value = serde_json::from_str(&says(PYTHON_READS, &ours)).unwrap();
    let expected = serde_json::json!({
        "path": ["Work", "Site"], "username": "anna", "password": "snëw", "url": "https://a.example",
        "otp": "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP", "notes": "two\nlines", "tags": ["one", "two"],
        "custom": {"PIN": "1234", "Colour": "blue"}, "expires": true, "expiry": "2037-01-02T03:04:05+00:00",
        "history": ["old"], "files": {"three.bin": [0, 1, 255]}, "protected": true, "kdf": "argon2id", "cipher": "aes256",
    });
    assert_eq!(read, expected);
}

/// A folder of gpg's own, whose agent ends with it.
struct Gpg(PathBuf);

impl Gpg {
    fn new(folder: PathBuf) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let gpg = Self(folder);
        let words = [
            "--batch",
            "--passphrase",
            "",
            "--quick-generate-key",
            "anna@x.example",
            "default",
            "default",
            "never",
        ];
        gpg.run("gpg", &words, b"");
        gpg
    }

    #[track_caller]
    fn run(&self, program: &str, words: &[&str], input: &[u8]) {
        let mut command = Command::new(program);
        command.args(words).env("GNUPGHOME", &self.0);
        command.env("PASSWORD_STORE_DIR", self.0.join("store"));
        run(command, input).ok();
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        command.args(["--kill", "all"]).env("GNUPGHOME", &self.0);
        let _ = command.status();
    }
}

const PYTHON_REFERS: &str = r#"
import sys
from pykeepass import create_database
path, password, key = sys.argv[1:]
kp = create_database(path, password=password, keyfile=key)
group = kp.add_group(kp.root_group, "G")
main = kp.add_entry(group, "Main", "ana", "real-password", url="https://a.example")
alias = kp.add_entry(group, "Alias", main.ref("username"), main.ref("password"), url=main.ref("url"), notes=main.ref("title"))
alias.set_custom_property("PIN", main.ref("password"))
seed = kp.add_entry(group, "Seed", "", "")
seed.set_custom_property("TOTP Seed", "GEZDGNBVGY3TQOJQ")
seed.set_custom_property("TOTP Settings", "30;8")
old = kp.add_entry(group, "Old otp", "", "", otp="key=GEZDGNBVGY3TQOJQ&step=60&size=8")
kp.kdbx.header.value.dynamic_header.cipher_id.data = "twofish"
kp.save()
"#;

const PYTHON_DEREFERS: &str = r#"
import json, sys
from pykeepass import PyKeePass
kp = PyKeePass(sys.argv[1], password=sys.argv[2])
alias = kp.find_entries(title="Alias", first=True)
print(json.dumps([alias.password, alias.deref("password"), alias.deref("username"), alias.deref("url")]))
"#;

#[test]
fn references_key_files_and_older_codes_of_keepass_come_in() {
    let Some(python) = python() else {
        return;
    };
    let subject = Subject::new();
    let [theirs, key] = ["theirs.kdbx", "photo.jpg"].map(|name| subject.path(name));
    std::fs::write(&key, b"any file at all").unwrap();
    let arguments = [
        "-c",
        PYTHON_REFERS,
        theirs.to_str().unwrap(),
        PASSPHRASE,
        key.to_str().unwrap(),
    ];
    run(script(&python, &arguments), b"").ok();
    let refused = subject
        .device
        .run(&[&subject.import_line(&theirs, "")])
        .expect(1);
    assert!(refused.stderr.contains("--key-file"), "{}", refused.stderr);
    subject.import(&theirs, &format!("--key-file {}", key.display()));
    for (address, value) in [
        ("G/Alias#username", "ana"),
        ("G/Alias#password", "real-password"),
        ("G/Alias#url", "https://a.example"),
        ("G/Alias#note", "Main"),
        ("G/Alias#PIN", "real-password"),
        (
            "G/Seed#totp",
            "otpauth://totp/Seed?secret=GEZDGNBVGY3TQOJQ&period=30&digits=8",
        ),
        (
            "G/Old otp#totp",
            "otpauth://totp/Old%20otp?secret=GEZDGNBVGY3TQOJQ&period=60&digits=8",
        ),
    ] {
        assert_eq!(subject.field(address), value, "{address}");
    }
    let code = subject.device.run(&["totp G/Seed"]).ok().text();
    assert_eq!(code.trim().len(), 8);
    let ours = subject.export("kdbx", "ours.kdbx", "");
    let arguments = ["-c", PYTHON_DEREFERS, ours.to_str().unwrap(), PASSPHRASE];
    let read = run(script(&python, &arguments), b"").ok().text();
    let read: Vec<String> = serde_json::from_str(&read).unwrap();
    assert!(read[0].starts_with("{REF:P@I:"), "{read:?}");
    assert_eq!(read[1..], ["real-password", "ana", "https://a.example"]);
    if has(&["keepassxc-cli"]) {
        let arguments = [
            "show",
            "-q",
            "-s",
            ours.to_str().unwrap(),
            "G/Alias",
            "-a",
            "Password",
        ];
        assert_eq!(keepassxc_text(&arguments), "real-password");
        let arguments = ["show", "-q", "-t", ours.to_str().unwrap(), "G/Seed"];
        assert_eq!(keepassxc_text(&arguments).len(), 8);
    }
}

/// The vectors of KDBX 3 and of key files, which Python wrote after the documentation.
#[test]
fn keepassxc_opens_the_databases_of_kdbx_3_that_we_read() {
    if !has(&["keepassxc-cli"]) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shell/formats/tests/vectors/kdbx");
    let read = |name: &str, key: Option<&str>| {
        let (file, key) = (folder.join(name), key.map(|key| folder.join(key)));
        let mut command = Command::new("keepassxc-cli");
        command.args(["show", "-q", "-s", "-a", "Password"]);
        command.env("QT_QPA_PLATFORM", "offscreen");
        if let Some(key) = &key {
            command.arg("-k").arg(key);
        }
        command.arg(file).arg("Old");
        run(command, b"demopass\n").ok().text()
    };
    for name in [
        "pw.kdbx",
        "plain.kdbx",
        "protected.kdbx",
        "twofish.kdbx",
        "two4.kdbx",
    ] {
        assert_eq!(read(name, None).trim(), "pässword", "{name}");
    }
    for key in ["v1.key", "v2.keyx", "raw.key", "hex.key"] {
        assert_eq!(read("both.kdbx", Some(key)).trim(), "pässword", "{key}");
    }
    assert_eq!(read("any.kdbx", Some("any.jpg")).trim(), "pässword");
}

#[test]
fn a_store_of_pass_comes_in() {
    if !has(&["gpg", "pass", "gpgconf"]) {
        return;
    }
    let subject = Subject::new();
    // Paths of sockets are short.
    let folder = tempfile::Builder::new()
        .prefix("gpg")
        .tempdir_in("/tmp")
        .unwrap();
    let gpg = Gpg::new(folder.path().join("g"));
    gpg.run("pass", &["init", "anna@x.example"], b"");
    gpg.run(
        "pass",
        &["insert", "-m", "Work/mail"],
        b"hunter2\nuser: anna\nurl: https://a.example\n\nnote\n",
    );
    gpg.run("pass", &["insert", "-m", "wifi"], b"just a password\n");
    let store = gpg.0.join("store");
    std::os::unix::fs::symlink("/etc/hostname", store.join("out.gpg")).unwrap();
    std::fs::write(store.join("bad.gpg"), "not sealed").unwrap();
    let import = |home: &Path| {
        let mut command = subject.device.command();
        command.env("GNUPGHOME", home).arg("-c");
        command.arg(format!("import {}", store.display()));
        run(command, b"")
    };
    let imported = import(&gpg.0).expect(9);
    assert!(
        imported
            .stderr
            .contains("out.gpg: it is a link out of the folder"),
        "{}",
        imported.stderr
    );
    assert!(
        imported.stderr.contains("bad.gpg: gpg does not open it"),
        "{}",
        imported.stderr
    );
    assert_eq!(subject.names(), ["Work/mail", "wifi"]);
    assert_eq!(subject.field("Work/mail#password"), "hunter2");
    assert_eq!(subject.field("Work/mail#username"), "anna");
    assert_eq!(subject.get("wifi"), "just a password");
    // Without the key.
    let other = folder.path().join("o");
    std::fs::create_dir(&other).unwrap();
    let refused = import(&other).expect(1);
    assert!(
        refused.stderr.contains("no file of the folder opens"),
        "{}",
        refused.stderr
    );
    let _other = Gpg(other);
}

#[test]
fn age_opens_our_trees_and_seals_texts_for_us() {
    if !has(&["age", "age-keygen"]) {
        return;
    }
    let subject = Subject::new();
    let key = subject.path("key.txt");
    let mut keygen = Command::new("age-keygen");
    keygen.arg("-o").arg(&key);
    run(keygen, b"").ok();
    let mut public = Command::new("age-keygen");
    public.arg("-y").arg(&key);
    let public = run(public, b"").ok().text().trim().to_owned();
    subject.device.put("wifi", b"just a password");
    subject.device.put("Work/.x", &[0, 255, 10]);
    let tree = subject.export("pass-age", "tree", &format!("--recipient {public}"));
    assert_eq!(
        std::fs::read_to_string(tree.join(".age-recipients"))
            .unwrap()
            .trim(),
        public
    );
    let opened = |file: &str| {
        let mut command = Command::new("age");
        command
            .arg("--decrypt")
            .arg("-i")
            .arg(&key)
            .arg(tree.join(file));
        run(command, b"").ok().stdout
    };
    assert_eq!(opened("wifi.age"), b"just a password\n");
    assert_eq!(opened("Work/%2Ex.age"), [0, 255, 10]);
    let mut command = Command::new("age");
    command
        .args(["-R"])
        .arg(tree.join(".age-recipients"))
        .arg("-o")
        .arg(tree.join("Work/theirs.age"));
    run(command, b"hunter2\nlogin: anna\n\nnote\n").ok();
    let other = Subject::new();
    other.import(&tree, &format!("--identity {}", key.display()));
    assert_eq!(other.names(), ["Work/.x", "Work/theirs", "wifi"]);
    assert_eq!(other.field("Work/theirs#username"), "anna");
    assert_eq!(other.device.get("Work/.x"), [0, 255, 10]);

    // Under a passphrase.
    let sealed = subject.export("pass-age", "sealed", "");
    let third = Subject::new();
    third.import(&sealed, "");
    assert_eq!(third.names(), ["Work/.x", "wifi"]);
    assert_eq!(third.get("wifi"), "just a password");
}

/// A vault of ours in which a file that hangs on an item has the name of another secret.
const WITH_A_FILE: &str = r#"{"format": "keyshell-vault", "version": 1, "exported_ms": 1, "secrets": [
    {"name": "site", "fields": {"uid": "olUx"}, "versions": [{"version": 1, "created_ms": 1600000000123, "value": "eA=="}]},
    {"name": "site/key.bin", "versions": [{"version": 1, "created_ms": 1600000000123, "value": "YW5vdGhlciBzZWNyZXQ="}]},
    {"name": "site/key.bin (2)", "fields": {"attachment": "gqJvZqJVMaRuYW1lp2tleS5iaW4="},
     "versions": [{"version": 1, "created_ms": 1600000000123, "value": "YXR0YWNoZWQ="}]}]}"#;

#[test]
fn a_tree_is_written_whole_and_brings_files_back_to_their_items() {
    let subject = Subject::new();
    let vault = subject.path("vault.json");
    std::fs::write(&vault, WITH_A_FILE).unwrap();
    subject.import(&vault, "");
    let (tree, pass) = (subject.path("tree"), subject.path("pass"));
    let line = format!(
        "export --all --format pass-age --out {} --passphrase-file {}",
        tree.display(),
        pass.display()
    );
    let exported = subject.device.run(&[&line]).expect(9);
    let renamed = "site: the file `key.bin` is called `key.bin (2)` there";
    assert!(exported.stderr.contains(renamed), "{}", exported.stderr);
    let again = subject.device.run(&[&line]).expect(6);
    assert!(
        again.stderr.contains("nothing was written"),
        "{}",
        again.stderr
    );

    let other = Subject::new();
    other.import(&tree, "");
    assert_eq!(other.names(), subject.names());
    assert_eq!(other.get("site"), "x");
    let mut files = ["site/key.bin", "site/key.bin (2)"].map(|name| other.get(name));
    files.sort();
    assert_eq!(files, ["another secret", "attached"]);
    let run = other.device.run_with(&["--json"], &["history site"], b"");
    let created = run.ok().json()[0]["versions"][0]["created_ms"].clone();
    assert_eq!(created, 1_600_000_000_123_u64);
}

#[test]
fn the_exchange_format_comes_back_whole() {
    let subject = Subject::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shell/formats/src/vaults/cxf/appendix-a.json");
    let imported = subject
        .device
        .run(&[&subject.import_line(&file, "")])
        .expect(9);
    assert!(
        imported.stderr.contains("example-document.pdf"),
        "{}",
        imported.stderr
    );
    assert_eq!(
        subject.field("Work Accounts/GitHub Login#password"),
        "securepassword123"
    );
    let out = subject.export("cxf", "out.json", "--plaintext --yes");
    let items = |path: &Path| {
        let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let items = document["accounts"][0]["items"].as_array().unwrap().clone();
        let by_id = items.into_iter().map(|item| (item["id"].to_string(), item));
        by_id.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (ours, theirs) = (items(&out), items(&file));
    assert_eq!(ours.len(), theirs.len());
    for (id, item) in &theirs {
        let mut expected = item.clone();
        // Tags are sorted here; two items of one name are told apart.
        if let Some(Value::Array(tags)) = expected.get_mut("tags") {
            tags.sort_by_key(Value::to_string);
        }
        let mut found = ours[id].clone();
        if expected["title"] == "ID card" {
            found["title"] = "ID card".into();
        }
        assert_eq!(found, expected);
    }
}

/// What 1Password writes, by another program's zip.
const PYTHON_ZIPS: &str = r"
import json, sys, zipfile
path, title = sys.argv[1:]
traits = {'keyboard': 'default', 'correction': 'default', 'capitalization': 'default'}
def field(title, id, value):
    return {'title': title, 'id': id, 'value': value, 'guarded': False, 'multiline': False, 'dontGenerate': False,
            'inputTraits': traits}
login = {
    'uuid': 'fkruyzrldvizuqlnavfj3gltfe', 'favIndex': 1, 'createdAt': 1614298956, 'updatedAt': 1635346445,
    'state': 'active', 'categoryUuid': '001',
    'details': {
        'loginFields': [
            {'value': 'anna', 'id': '', 'name': 'username', 'fieldType': 'T', 'designation': 'username'},
            {'value': 'snëw', 'id': '', 'name': 'password', 'fieldType': 'P', 'designation': 'password'}],
        'notesPlain': 'two\nlines',
        'sections': [{'title': 'Security', 'name': 'Section_x', 'fields': [
            field('PIN', 'CCEF', {'concealed': '1234'}),
            field('one-time password', 'TOTP_1', {'totp': 'JBSWY3DPEHPK3PXP'}),
            field('scan', 'f', {'file': {'fileName': 'three.bin', 'documentId': 'ffff', 'decryptedSize': 3}})]}],
        'passwordHistory': [{'value': 'old', 'time': 1458322355}]},
    'overview': {'subtitle': 'anna', 'title': title, 'url': 'https://a.example', 'tags': ['one'],
                 'urls': [{'label': 'website', 'url': 'https://a.example'}], 'ps': 100, 'pbe': 86.13621, 'pgrng': True}}
key = {'uuid': 'k', 'favIndex': 0, 'updatedAt': 1724868152, 'state': 'archived', 'categoryUuid': '114',
    'details': {'sections': [{'fields': [field('private key', 'private_key', {'sshKey': {'privateKey': 'x', 'metadata': {
        'privateKey': 'PEM', 'publicKey': 'ssh-ed25519 AAAA', 'fingerprint': 'SHA256:x', 'keyType': 'ed25519'}}})]}]},
    'overview': {'title': 'Key'}}
gone = {'state': 'trashed', 'overview': {'title': 'Gone'}}
vault = lambda name, *items: {'attrs': {'uuid': name, 'desc': '', 'avatar': '', 'name': name, 'type': 'P'}, 'items': items}
data = {'accounts': [{'attrs': {'accountName': 'Anna', 'name': 'Anna', 'email': 'anna@x.example'},
                      'vaults': [vault('Private', login, gone), vault('Shared', key)]}]}
with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as out:
    out.writestr('export.attributes', json.dumps({'version': 3, 'description': '1Password Unencrypted Export'}))
    out.writestr('export.data', json.dumps(data, ensure_ascii=False))
    out.writestr('files/ffff__three.bin', bytes([0, 1, 255]))
";

#[test]
fn an_export_of_1password_comes_in() {
    let Some(python) = python() else {
        return;
    };
    let subject = Subject::new();
    let write = |file: &str, title: &str| {
        let path = subject.path(file);
        let arguments = ["-c", PYTHON_ZIPS, path.to_str().unwrap(), title];
        run(script(&python, &arguments), b"").ok();
        path
    };
    // Odd names are changed and listed, and never reach the terminal.
    for (title, name) in [("a\u{1b}[2Jb", "a [2Jb"), ("..", "__")] {
        let odd = write("odd.1pux", title);
        let line = subject.import_line(&odd, " --dry-run");
        let said = subject.device.run(&[&line]).expect(9);
        assert!(said.text().contains(name), "{said:?}");
        assert!(
            said.stderr.contains("renamed: the name in the file is"),
            "{}",
            said.stderr
        );
        assert!(!said.stderr.contains('\u{1b}'));
        assert!(subject.names().is_empty());
    }
    let export = write("anna.1pux", "Shop");
    let import = || {
        let line = subject.import_line(&export, "");
        subject.device.run(&[&line]).expect(9).stderr
    };
    let said = import();
    assert!(said.contains("Private/Gone: it is in the trash"), "{said}");
    let names = ["Private/Shop", "Private/Shop/three.bin", "Shared/Key"];
    assert_eq!(subject.names(), names);
    for (field, value) in [
        ("username", "anna"),
        ("password", "snëw"),
        ("url", "https://a.example"),
        ("PIN", "1234"),
        ("totp", "JBSWY3DPEHPK3PXP"),
        ("note", "two\nlines"),
    ] {
        assert_eq!(subject.field(&format!("Private/Shop#{field}")), value);
    }
    assert_eq!(subject.field("Shared/Key#private-key"), "PEM");
    assert_eq!(subject.device.get("Private/Shop/three.bin"), [0, 1, 255]);
    let former = subject.device.run(&["get Private/Shop --version 1"]).ok();
    assert!(former.text().contains(r#""old""#));
    let tagged = |tag: &str| {
        subject
            .device
            .run(&[&format!("ls --tag {tag}")])
            .ok()
            .text()
    };
    assert_eq!(tagged("favourite").trim(), "Private/Shop");
    assert_eq!(tagged("archived").trim(), "Shared/Key");
    // The same again changes nothing.
    let said = import();
    assert!(said.contains("0 secrets"), "{said}");
}

/// Writes a file of variables as python-dotenv does, adds lines of others, and says what it reads of it.
const PYTHON_SETS: &str = r#"
import json, sys
from dotenv import dotenv_values, set_key
path = sys.argv[1]
open(path, 'w').close()
for key, value in json.loads(sys.argv[2]).items():
    set_key(path, key, value, quote_mode='auto')
with open(path, 'a') as out:
    out.write('\n# by hand\nBARE=a b \\n #c\nDOUBLE="x\\ny \\"q\\" \\\\"\nexport LINES="one\ntwo"\nEMPTY=\n')
print(json.dumps(dotenv_values(path, interpolate=False)))
"#;

#[test]
fn variables_are_read_as_python_dotenv_reads_them() {
    let Some(python) = python() else {
        return;
    };
    let subject = Subject::new();
    let file = subject.path("variables");
    let values = serde_json::json!({
        "DB_PASSWORD": "pa$$w0rd#x", "QUOTED": "it's \"so\"", "NAME": "${HOME}", "PLAIN": "abc123", "B64": "aGk=",
        "UNICODE": "snëw ✓", "PATH_": "C:\\dir\\new", "SPACES": "  around  ",
    });
    let arguments = [
        "-c",
        PYTHON_SETS,
        file.to_str().unwrap(),
        &values.to_string(),
    ];
    let read = run(script(&python, &arguments), b"").ok().text();
    let read: Value = serde_json::from_str(&read).unwrap();
    let read = read.as_object().unwrap();
    assert_eq!(read.len(), 12);
    let line = subject.import_line(&file, "");
    let imported = subject.device.run(&[&line]).expect(9);
    let differs = "PATH_: two backslashes in single quotes";
    assert!(imported.stderr.contains(differs), "{}", imported.stderr);
    // As a shell reads what it wrote.
    assert_eq!(subject.get("PATH_"), r"C:\\dir\\new");
    let mut names: Vec<_> = read.keys().cloned().collect();
    names.sort();
    assert_eq!(subject.names(), names);
    for (key, value) in read.iter().filter(|(key, _)| *key != "PATH_") {
        let value = value.as_str().unwrap();
        assert_eq!(subject.get(key), value, "{key}");
        assert!(values.get(key).is_none_or(|given| given == value), "{key}");
    }
    // What does not look like one for sure is the value of a secret.
    std::fs::write(subject.path("key"), "QUJD=\n").unwrap();
    subject.import(&subject.path("key"), "");
    assert_eq!(subject.get("key"), "QUJD=\n");
}

#[test]
fn answers_of_vault_come_in() {
    let subject = Subject::new();
    let answer = |version: u32, data: &str, deletion: &str| {
        format!(
            r#"{{
  "request_id": "9b1e7a9f-4b52-9d8c-6a1f-3d0c2e5d7c11",
  "lease_id": "",
  "lease_duration": 0,
  "renewable": false,
  "data": {{
    "data": {data},
    "metadata": {{
      "created_time": "2022-06-15T20:14:17.107852Z",
      "custom_metadata": {{"owner": "ops"}},
      "deletion_time": "{deletion}",
      "destroyed": false,
      "version": {version}
    }}
  }},
  "warnings": null,
  "mount_type": "kv"
}}
"#
        )
    };
    let first = answer(3, r#"{"user": "anna", "port": 5432, "pässword": "p"}"#, "");
    std::fs::write(subject.path("db.json"), &first).unwrap();
    let line = subject.import_line(&subject.path("db.json"), "");
    let imported = subject.device.run(&[&line]).expect(9);
    assert!(
        imported.stderr.contains("custom_metadata"),
        "{}",
        imported.stderr
    );
    assert_eq!(subject.names(), ["db"]);
    assert_eq!(subject.field("db#pässword"), "p");
    assert_eq!(subject.field("db#port"), "5432");
    // The same in another answer.
    std::fs::write(
        subject.path("db.json"),
        first.replace("9b1e7a9f", "00000000"),
    )
    .unwrap();
    let line = subject.import_line(&subject.path("db.json"), "");
    let again = subject.device.run(&[&line]).expect(9);
    assert!(again.stderr.contains("0 secrets"), "{}", again.stderr);

    let deleted = answer(4, "null", "2022-06-16T00:00:00Z");
    let other = answer(1, r#"{"k": "v"}"#, "");
    std::fs::write(subject.path("all.json"), format!("{first}{deleted}{other}")).unwrap();
    let line = subject.import_line(&subject.path("all.json"), "");
    let imported = subject.device.run(&[&line]).expect(9);
    assert!(
        imported
            .stderr
            .contains("all: its version 4 was deleted at 2022-06-16"),
        "{}",
        imported.stderr
    );
    assert_eq!(subject.names(), ["all", "all (2)", "db"]);
    assert_eq!(subject.field("all (2)#k"), "v");
}
