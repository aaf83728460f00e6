//! Single secrets, read and written by programs of others.
//!
//! Without a program its comparison is skipped, and says so; where `CI` is set, its absence is a failure.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::path::Path;
use std::process::Command;

use tests::device::{Device, run};
use tests::python::{python, script};
use tests::server::Server;

const PASSWORD: &str = "strangers of copper wire";
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

    fn path(&self, name: &str) -> String {
        self.device.path(name).display().to_string()
    }

    /// Runs a line; `PASS` stands for the option that names the file of the passphrase.
    #[track_caller]
    fn line(&self, line: &str) -> Vec<u8> {
        let passphrase = format!("--passphrase-file {}", self.path("pass"));
        self.device
            .run(&[&line.replace("PASS", &passphrase)])
            .ok()
            .stdout
    }

    #[track_caller]
    fn text(&self, line: &str) -> String {
        String::from_utf8(self.line(line)).unwrap()
    }
}

/// Whether a program is there.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--help").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "CI must have {program}"
    );
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

#[track_caller]
fn output(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments);
    run(command, input).ok().stdout
}

/// What Python prints, without the last line's end.
#[track_caller]
fn python_says(program: &Path, code: &str, arguments: &[&str]) -> String {
    let all = [&["-c", code], arguments].concat();
    let run = run(script(&program.to_owned(), &all), b"").ok();
    run.text().trim_end().to_owned()
}

#[test]
fn keys_are_those_of_openssl_and_ssh_keygen() {
    if !has("openssl") || !has("ssh-keygen") {
        return;
    }
    let subject = Subject::new();
    for (kind, algorithm) in [
        ("ed25519", "ED25519"),
        ("x25519", "X25519"),
        ("p256", "prime256v1"),
        ("secp256k1", "secp256k1"),
    ] {
        // Ours to them: openssl derives the same public key.
        subject.line(&format!("gen {kind} --type {kind}"));
        let private = subject.line(&format!("get {kind}"));
        let public = output("openssl", &["pkey", "-pubout"], &private);
        assert_eq!(
            subject.line(&format!("get {kind} --public")),
            public,
            "{kind}"
        );
        let sealed = subject.line(&format!("export {kind} --format pem --encrypt PASS"));
        let opened = output(
            "openssl",
            &["pkey", "-passin", &format!("pass:{PASSPHRASE}"), "-pubout"],
            &sealed,
        );
        assert_eq!(opened, public, "{kind}");
        // Theirs to us.
        let theirs = subject.path(&format!("{kind}.pem"));
        let made: &[&str] = if kind.ends_with("25519") {
            &["genpkey", "-algorithm", algorithm]
        } else {
            &["genpkey", "-algorithm", "EC", "-pkeyopt"]
        };
        let curve = format!("ec_paramgen_curve:{algorithm}");
        let curve: &[&str] = if kind.ends_with("25519") {
            &[]
        } else {
            &[&curve]
        };
        let cipher = [
            "-aes256",
            "-pass",
            &format!("pass:{PASSPHRASE}"),
            "-out",
            &theirs,
        ];
        output("openssl", &[made, curve, &cipher].concat(), b"");
        subject.line(&format!(
            "import {theirs} --format pem --name their-{kind} PASS"
        ));
        let pass = format!("pass:{PASSPHRASE}");
        let expected = output(
            "openssl",
            &["pkey", "-in", &theirs, "-passin", &pass, "-pubout"],
            b"",
        );
        assert_eq!(
            subject.line(&format!("get their-{kind} --public")),
            expected,
            "{kind}"
        );
    }
    // OpenSSH's own form.
    subject.line("gen login --type ssh-ed25519");
    let ours = subject.path("login");
    subject.line(&format!("get login --out {ours}"));
    let public = String::from_utf8(output("ssh-keygen", &["-y", "-f", &ours], b"")).unwrap();
    let public: Vec<&str> = public.split_whitespace().take(2).collect();
    assert!(
        subject
            .text("get login --public")
            .starts_with(&public.join(" "))
    );
    let theirs = subject.path("theirs");
    output(
        "ssh-keygen",
        &[
            "-q", "-t", "ed25519", "-N", PASSPHRASE, "-C", "me@host", "-f", &theirs,
        ],
        b"",
    );
    subject.line(&format!(
        "import {theirs} --format openssh --name theirs PASS"
    ));
    let expected = std::fs::read_to_string(format!("{theirs}.pub")).unwrap();
    let expected: Vec<&str> = expected.split_whitespace().take(2).collect();
    assert!(
        subject
            .text("get theirs --public")
            .starts_with(&expected.join(" "))
    );
}

#[test]
fn jose_is_that_of_jwcrypto() {
    let Some(python) = python() else { return };
    let subject = Subject::new();
    subject.line("gen key --type p256");
    subject.device.put("value", b"any bytes \xff");
    let code = "import sys; from jwcrypto import jwk; \
        print(jwk.JWK.from_json(open(sys.argv[1]).read()).export_to_pem().decode(), end='')";
    let path = subject.path("jwk");
    subject.line(&format!("export key --format jwk --out {path}"));
    let public = subject.text("get key --public");
    assert_eq!(python_says(&python, code, &[&path]), public.trim_end());
    // Sealed by us, opened by them; sealed by them, opened by us.
    let sealed = subject.path("jwe");
    subject.line(&format!("export value --format jwe --out {sealed} PASS"));
    let code = "import sys; from jwcrypto import jwa, jwe, jwk; jwa.default_max_pbkdf2_iterations = 10**7; \
        j = jwe.JWE(); j.deserialize(open(sys.argv[1]).read().strip()); \
        j.decrypt(jwk.JWK.from_password(sys.argv[2])); print(j.payload.hex())";
    let opened = python_says(&python, code, &[&sealed, PASSPHRASE]);
    assert_eq!(opened, data_encoding::HEXLOWER.encode(b"any bytes \xff"));
    let code = "import sys, json; from jwcrypto import jwe, jwk; \
        j = jwe.JWE(b'from jwcrypto', json.dumps({'alg': 'PBES2-HS512+A256KW', 'enc': 'A256GCM'})); \
        j.add_recipient(jwk.JWK.from_password(sys.argv[1])); print(j.serialize(compact=True))";
    let theirs = python_says(&python, code, &[PASSPHRASE]);
    std::fs::write(subject.path("theirs"), theirs).unwrap();
    let theirs = subject.path("theirs");
    subject.line(&format!("import {theirs} --format jwe --name theirs PASS"));
    assert_eq!(subject.device.get("theirs"), b"from jwcrypto");
}

#[test]
fn words_are_those_of_mnemonic() {
    let Some(python) = python() else { return };
    let subject = Subject::new();
    for len in [16, 20, 24, 28, 32] {
        let value: Vec<u8> = (0..len).map(|byte| byte * 7).collect();
        let name = format!("k{len}");
        subject.device.put(&name, &value);
        let words = subject.text(&format!("export {name} --format bip39"));
        let code = "import sys; from mnemonic import Mnemonic; \
            m = Mnemonic('english'); assert m.check(sys.argv[1]); print(m.to_entropy(sys.argv[1]).hex())";
        let entropy = python_says(&python, code, &[words.trim()]);
        assert_eq!(entropy, data_encoding::HEXLOWER.encode(&value));
        let code = "import sys; from mnemonic import Mnemonic; \
            print(Mnemonic('english').to_mnemonic(bytes.fromhex(sys.argv[1])))";
        let theirs = python_says(&python, code, &[&entropy]);
        let line = format!("import - --format bip39 --name again{len}");
        subject
            .device
            .run_with(&[], &[&line], theirs.as_bytes())
            .ok();
        assert_eq!(subject.device.get(&format!("again{len}")), value);
    }
}

#[test]
fn shares_are_those_of_shamir_mnemonic() {
    let Some(python) = python() else { return };
    let subject = Subject::new();
    let value: Vec<u8> = (0..32).collect();
    subject.device.put("k", &value);
    let out = subject.path("share");
    subject.line(&format!(
        "export k --format shares --threshold 2 --shares 3 --out {out}"
    ));
    let shares: Vec<String> = (1..=3)
        .map(|number| std::fs::read_to_string(format!("{out}.{number}")).unwrap())
        .collect();
    let code = "import sys; from shamir_mnemonic import combine_mnemonics; \
        print(combine_mnemonics(sys.argv[1:], b'').hex())";
    let joined = python_says(&python, code, &[shares[0].trim(), shares[2].trim()]);
    assert_eq!(joined, data_encoding::HEXLOWER.encode(&value));
    // Ours again, from files and in any order; one is not enough.
    let line = format!("import {out}.3 {out}.1 --format shares --name again");
    subject.line(&line);
    assert_eq!(subject.device.get("again"), value);
    let few = format!("import {out}.2 --format shares --name few");
    let few = subject.device.run(&[&few]).expect(2);
    assert!(few.stderr.contains("1 more of 2 shares"), "{}", few.stderr);
    let code = "import sys; from shamir_mnemonic import generate_mnemonics; \
        print('\\n'.join(generate_mnemonics(1, [(3, 5)], bytes(range(20)), b'')[0][1:4]))";
    let theirs = python_says(&python, code, &[]);
    let line = "import - --format shares --name theirs";
    subject
        .device
        .run_with(&[], &[line], theirs.as_bytes())
        .ok();
    assert_eq!(subject.device.get("theirs"), (0..20).collect::<Vec<u8>>());
}

#[test]
fn keystores_are_those_of_eth_account() {
    let Some(python) = python() else { return };
    let subject = Subject::new();
    subject.device.put("k", &[7; 32]);
    let ours = subject.path("ours");
    subject.line(&format!("export k --format eth-keystore --out {ours} PASS"));
    let code = "import sys; from eth_account import Account; \
        print(Account.decrypt(open(sys.argv[1]).read(), sys.argv[2]).hex().removeprefix('0x'))";
    assert_eq!(
        python_says(&python, code, &[&ours, PASSPHRASE]),
        "07".repeat(32)
    );
    for kdf in ["scrypt", "pbkdf2"] {
        let code = "import sys, json; from eth_account import Account; \
            print(json.dumps(Account.encrypt('0x' + '2a' * 32, sys.argv[1], kdf=sys.argv[2])))";
        let theirs = subject.path(kdf);
        std::fs::write(&theirs, python_says(&python, code, &[PASSPHRASE, kdf])).unwrap();
        // Known by its content.
        subject.line(&format!("import {theirs} --name {kdf} PASS"));
        assert_eq!(subject.device.get(kdf), [0x2a; 32]);
    }
}

#[test]
fn files_of_age_are_sealed_to_public_keys() {
    if !has("age") || !has("age-keygen") {
        return;
    }
    let subject = Subject::new();
    let identity = subject.path("identity");
    output("age-keygen", &["-o", &identity], b"");
    let recipient = output("age-keygen", &["-y", &identity], b"");
    let recipient = String::from_utf8(recipient).unwrap();
    let recipient = recipient.trim();
    subject.device.put("k", b"any bytes \xff");
    let one = subject.path("one.age");
    subject.line(&format!(
        "export k --format age --recipient {recipient} --out {one}"
    ));
    let opened = output("age", &["-d", "-i", &identity, &one], b"");
    assert_eq!(opened, b"any bytes \xff");
    let all = subject.path("all.age");
    subject.line(&format!("export --all --recipient {recipient} --out {all}"));
    let opened = output("age", &["-d", "-i", &identity, &all], b"");
    assert!(opened.starts_with(b"{\n\"format\": \"keyshell-vault\""));
    let value = subject.line(&format!("open {all} k --identity {identity}"));
    assert_eq!(value, b"any bytes \xff");
    let theirs = subject.path("theirs.age");
    output("age", &["-r", recipient, "-o", &theirs], b"from age");
    subject.line(&format!(
        "import {theirs} --identity {identity} --name theirs"
    ));
    assert_eq!(subject.device.get("theirs"), b"from age");
    let without = subject
        .device
        .run(&[&format!("import {theirs} --name x")])
        .expect(2);
    assert!(without.stderr.contains("--identity"), "{}", without.stderr);
}
