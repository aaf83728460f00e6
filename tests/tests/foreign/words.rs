//! Words, shares, keystores and age files: what others write comes in, and they read ours.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rexpect::session::spawn_command;
use tests::device::{Device, run};
use tests::foreign::{has, python, script};
use tests::server::Server;

const PASSWORD: &str = "words of copper wire";
const PASSPHRASE: &str = "a passphrase of the file";
const HEX: &str = "9f2c00e1a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b";
/// For one step: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;

fn device() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let hex = device.path("k.hex");
    std::fs::write(&hex, HEX).unwrap();
    let import = format!("import {} --format hex --name k", hex.display());
    device.run(&[&import]).ok();
    std::fs::write(device.path("passphrase"), PASSPHRASE).unwrap();
    (server, device)
}

/// What a secret is, in hexadecimal.
#[track_caller]
fn hex(device: &Device, name: &str) -> String {
    let line = format!("get {name} --format hex");
    device.run(&[&line]).ok().text()
}

/// What `tests/python/words.py` prints.
#[track_caller]
fn theirs(python: &PathBuf, arguments: &[&str]) -> String {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/python/words.py");
    let ran = run(script(python, &[&[program], arguments].concat()), b"");
    ran.ok().text().trim_end().to_owned()
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn words_are_those_of_others() {
    let (_server, device) = device();
    let refused = device.run(&["export k --format bip39 --recipient age1x"]);
    assert!(refused.expect(2).stderr.contains("--format age"));
    let Some(python) = python() else { return };
    let ours = device.path("ours");
    let line = format!("export k --format bip39 --out {}", shown(&ours));
    device.run(&[&line]).ok();
    assert_eq!(theirs(&python, &["entropy", shown(&ours)]), HEX);
    for len in [16, 20, 24, 28, 32] {
        let entropy = &HEX[..2 * len];
        let words = theirs(&python, &["mnemonic", entropy]).to_uppercase();
        let file = device.path(&format!("theirs-{len}"));
        std::fs::write(&file, words).unwrap();
        let line = format!("import {} --format bip39", shown(&file));
        device.run(&[&line]).ok();
        assert_eq!(hex(&device, &format!("theirs-{len}")), entropy);
    }
}

#[test]
fn words_of_other_languages_come_in() {
    let Some(python) = python() else { return };
    let (_server, device) = device();
    for language in [
        "french",
        "italian",
        "japanese",
        "korean",
        "spanish",
        "czech",
        "portuguese",
    ] {
        let words = theirs(&python, &["language", language, HEX]);
        let file = device.path(language);
        std::fs::write(&file, words).unwrap();
        let line = format!("import {} --format bip39", shown(&file));
        let imported = device.run(&[&line]).expect(9);
        assert!(
            imported.stderr.contains("English words"),
            "{}",
            imported.stderr
        );
        assert_eq!(hex(&device, language), HEX);
    }
}

#[test]
fn keystores_open_here_and_there() {
    let (_server, device) = device();
    let file = device.path("keystore");
    let passphrase = format!("--passphrase-file {}", shown(&device.path("passphrase")));
    let line = format!(
        "export k --format eth-keystore {passphrase} --out {}",
        shown(&file)
    );
    let exported = device.run(&[&line]).ok();
    assert!(!exported.stderr.contains("shred"), "{}", exported.stderr);
    device.put("other", b"not 32 bytes");
    let refused = device.run(&[&format!("export other --format eth-keystore {passphrase}")]);
    assert!(refused.expect(1).stderr.contains("32 bytes"));
    let Some(python) = python() else { return };
    assert_eq!(theirs(&python, &["open", shown(&file), PASSPHRASE]), HEX);
    let key = HEX.chars().rev().collect::<String>();
    let import = |kdf: &str| format!("import {} {passphrase}", shown(&device.path(kdf)));
    for kdf in ["scrypt", "pbkdf2"] {
        let sealed = theirs(&python, &["seal", &key, PASSPHRASE, kdf]);
        std::fs::write(device.path(kdf), sealed).unwrap();
        // What it is, is known by its content.
        device.run(&[&import(kdf)]).ok();
        assert_eq!(hex(&device, kdf), key);
    }
    std::fs::write(device.path("passphrase"), "another").unwrap();
    let again = format!("{} --name again", import("scrypt"));
    let refused = device.run(&[&again]).expect(1);
    assert!(
        refused.stderr.contains("wrong passphrase"),
        "{}",
        refused.stderr
    );
}

/// Shares of `k`: a file each.
fn shared_out(device: &Device, more: &str) -> Vec<PathBuf> {
    let out = device.path("parts");
    let line = format!(
        "export k --format shares --threshold 2 --shares 3 {more} --out {}",
        shown(&out)
    );
    let exported = device.run(&[&line]).ok();
    assert!(
        exported.stderr.contains("any 2 of them"),
        "{}",
        exported.stderr
    );
    let files = [1, 2, 3].map(|number| device.path(&format!("parts.{number}")));
    for file in &files {
        assert_eq!(std::fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    }
    assert!(!out.exists());
    files.to_vec()
}

#[test]
fn any_two_of_three_shares_bring_the_secret_back() {
    let (_server, device) = device();
    let files = shared_out(&device, "");
    let line = format!(
        "import {} {} --name parts",
        shown(&files[2]),
        shown(&files[0])
    );
    device.run(&[&line]).ok();
    assert_eq!(hex(&device, "parts"), HEX);
    let one = format!("import {} --format shares --name one", shown(&files[1]));
    let refused = device.run(&[&one]).expect(2);
    assert!(
        refused.stderr.contains("1 more of 2 shares"),
        "{}",
        refused.stderr
    );
    // Shares are known by their content, and not put into the vault side by side.
    device.put("text", b"no share");
    device
        .run(&[&format!("get text --out {}", shown(&device.path("text")))])
        .ok();
    let mixed = format!(
        "import {} {}",
        shown(&files[1]),
        shown(&device.path("text"))
    );
    let refused = device.run(&[&mixed]).expect(2);
    assert!(
        refused.stderr.contains("import the shares separately"),
        "{}",
        refused.stderr
    );
    let again = "export k --format shares --threshold 2 --shares 3";
    std::fs::remove_file(&files[0]).unwrap();
    let line = format!("{again} --out {}", shown(&device.path("parts")));
    device.run(&[&line]).expect(6);
    assert!(!files[0].exists());
    let lines = device.run(&[again]).ok().text();
    assert_eq!(lines.split("\n\n").count(), 3);
    let refused = device.run(&["export k --format shares"]).expect(2);
    assert!(refused.stderr.contains("--threshold"), "{}", refused.stderr);
    device
        .run(&["export k --format hex --threshold 2 --shares 3"])
        .expect(2);
    // What would do nothing is refused.
    let with = format!("--passphrase-file {}", shown(&device.path("passphrase")));
    let refused = device.run(&[&format!("export k {with}")]).expect(2);
    assert!(
        refused.stderr.contains("is not encrypted"),
        "{}",
        refused.stderr
    );
}

#[test]
fn shares_are_those_of_others() {
    let Some(python) = python() else { return };
    let (_server, device) = device();
    let files = shared_out(&device, "");
    let joined = |passphrase: &str, files: &[PathBuf]| {
        let files: Vec<&str> = files[1..].iter().map(|file| shown(file)).collect();
        theirs(
            &python,
            &[&["combine", passphrase], files.as_slice()].concat(),
        )
    };
    assert_eq!(joined("", &files), HEX);
    for file in &files {
        std::fs::remove_file(file).unwrap();
    }
    let passphrase = format!("--passphrase-file {}", shown(&device.path("passphrase")));
    let files = shared_out(&device, &format!("--encrypt {passphrase}"));
    assert_eq!(joined(PASSPHRASE, &files), HEX);
    let theirs = theirs(&python, &["share", "3", "5", &HEX[..32], PASSPHRASE]);
    let file = device.path("foreign");
    std::fs::write(&file, theirs.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
    let line = format!(
        "import {} --format shares --name foreign {passphrase}",
        shown(&file)
    );
    device.run(&[&line]).ok();
    assert_eq!(hex(&device, "foreign"), &HEX[..32]);
}

#[test]
fn missing_shares_are_asked_for_at_a_terminal() {
    let (_server, device) = device();
    let files = shared_out(&device, "");
    let share = |at: usize| std::fs::read_to_string(&files[at]).unwrap();
    let mut command = device.command();
    let arguments = [
        "import",
        shown(&files[0]),
        "--format",
        "shares",
        "--name",
        "typed",
    ];
    command.args(arguments);
    let mut shell = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    shell.exp_string("1 more of 2 shares").unwrap();
    shell.send_line("no share at all").unwrap();
    shell.exp_string("word 1").unwrap();
    shell.exp_string("1 more of 2 shares").unwrap();
    shell.send_line(share(2).trim()).unwrap();
    shell.exp_string("Passphrase").unwrap();
    shell.send_line("").unwrap();
    let rest = shell.exp_eof().unwrap();
    assert!(rest.contains("imported"), "{rest}");
    assert_eq!(hex(&device, "typed"), HEX);
}

#[test]
fn age_opens_what_is_sealed_to_its_keys_and_the_other_way_round() {
    if !has(&["age", "age-keygen"]) {
        return;
    }
    let (_server, device) = device();
    let key = device.path("key.txt");
    let age = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments);
        run(command, b"").ok().text()
    };
    age("age-keygen", &["-o", shown(&key)]);
    let public = age("age-keygen", &["-y", shown(&key)]).trim().to_owned();
    let sealed = device.path("sealed");
    let line = format!(
        "export k --format age --recipient {public} --out {}",
        shown(&sealed)
    );
    device.run(&[&line]).ok();
    let mut command = Command::new("age");
    command.args(["-d", "-i", shown(&key), shown(&sealed)]);
    let opened = run(command, b"").ok().stdout;
    assert_eq!(data_encoding::HEXLOWER.encode(&opened), HEX);
    let again = format!(
        "import {} --identity {} --format age",
        shown(&sealed),
        shown(&key)
    );
    device.run(&[&again]).ok();
    assert_eq!(hex(&device, "sealed"), HEX);
    let (plain, foreign) = (device.path("plain"), device.path("foreign"));
    std::fs::write(&plain, "of others").unwrap();
    age(
        "age",
        &["-r", &public, "-o", shown(&foreign), shown(&plain)],
    );
    let line = format!("import {}", shown(&foreign));
    let refused = device.run(&[&line]).expect(2);
    assert!(refused.stderr.contains("--identity"), "{}", refused.stderr);
    device
        .run(&[&format!("{line} --identity {}", shown(&key))])
        .ok();
    assert_eq!(device.get("foreign"), b"of others");
    // In letters too.
    let armoured = device.path("armoured");
    let arguments = ["-a", "-r", &public, "-o", shown(&armoured), shown(&plain)];
    age("age", &arguments);
    let line = format!("import {} --identity {}", shown(&armoured), shown(&key));
    device.run(&[&line]).ok();
    assert_eq!(device.get("armoured"), b"of others");
}

#[test]
fn a_whole_vault_is_sealed_to_a_public_key() {
    if !has(&["age", "age-keygen"]) {
        return;
    }
    let (server, device) = device();
    let key = device.path("key.txt");
    let mut command = Command::new("age-keygen");
    command.args(["-o", shown(&key)]);
    run(command, b"").ok();
    let text = std::fs::read_to_string(&key).unwrap();
    let public = text
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    let public = public.unwrap();
    let vault = device.path("vault.age");
    let line = format!("export --all --recipient {public} --out {}", shown(&vault));
    device.run(&[&line]).ok();
    let mut command = Command::new("age");
    command.args(["-d", "-i", shown(&key), shown(&vault)]);
    assert!(run(command, b"").ok().text().contains("keyshell"));
    let other = Device::registered(&server, "bob", PASSWORD);
    let line = format!("import {} --identity {}", shown(&vault), shown(&key));
    other.run(&[&line]).ok();
    assert_eq!(hex(&other, "k"), HEX);
    let mixed = format!("export --all --format chrome-csv --recipient {public} --out x");
    let refused = device.run(&[&mixed]).expect(2);
    assert!(
        refused.stderr.contains("encrypted to public keys"),
        "{}",
        refused.stderr
    );
}
