//! `gen --type`, `get --public`, and keys in each of their forms, read and made by programs of others.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tests::device::{Device, run};
use tests::foreign::{has, python, script};
use tests::server::Server;

const PASSWORD: &str = "keys of copper wire";
const PASSPHRASE: &str = "correct horse battery";
const TYPES: [&str; 5] = ["ed25519", "x25519", "p256", "secp256k1", "ssh-ed25519"];

fn device() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    std::fs::write(device.path("pass"), format!("{PASSPHRASE}\n")).unwrap();
    (server, device)
}

fn shown(device: &Device, file: &str) -> String {
    device.path(file).display().to_string()
}

/// Runs a line; `PASS` stands for the option that names the file of the passphrase.
#[track_caller]
fn line(device: &Device, line: &str) -> String {
    let passphrase = format!("--passphrase-file {}", shown(device, "pass"));
    device
        .run(&[&line.replace("PASS", &passphrase)])
        .ok()
        .text()
}

#[track_caller]
fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    run(command, b"").ok().text()
}

/// What `info` and `ls` have of it.
fn content_type(device: &Device, name: &str) -> String {
    let info = device.run_with(&["--json"], &[&format!("info {name}")], b"");
    info.ok().json()[0]["content_type"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn every_type_is_made_and_has_a_public_key() {
    let (_server, device) = device();
    for kind in TYPES {
        let made = device.run_with(&["--json"], &[&format!("gen {kind} --type {kind}")], b"");
        let bits = if kind == "x25519" { 251.0 } else { 256.0 };
        assert_eq!(made.ok().json()[0]["entropy_bits"], bits, "{kind}");
        let value = line(&device, &format!("get {kind}"));
        let public = line(&device, &format!("get {kind} --public"));
        let is_ssh = kind.starts_with("ssh");
        assert_eq!(value.starts_with("-----BEGIN PRIVATE KEY-----\n"), !is_ssh);
        assert_eq!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"), !is_ssh);
        let expected = if is_ssh {
            "application/x-openssh-private-key"
        } else {
            "application/x-pem-file"
        };
        assert_eq!(content_type(&device, kind), expected);
        let jwk = line(&device, &format!("get {kind} --public --format jwk"));
        let jwk: serde_json::Value = serde_json::from_str(&jwk).unwrap();
        assert_eq!((jwk["kid"].as_str(), jwk.get("d")), (Some(kind), None));
        let out = shown(&device, &format!("{kind}.pub"));
        line(&device, &format!("get {kind} --public --out {out}"));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), public);
    }
    let ssh = line(&device, "get ssh-ed25519 --public");
    assert!(
        ssh.starts_with("ssh-ed25519 ") && ssh.ends_with(" ssh-ed25519\n"),
        "{ssh}"
    );
    device.put("password", b"correct horse");
    let refused = device.run(&["get password --public"]).expect(1);
    assert!(refused.stderr.contains("not a private key"), "{refused:?}");
    device.run(&["get p256 --public --format hex"]).expect(2);
    device.run(&["gen x --type rsa"]).expect(2);
    device.run(&["gen x --type p256 --bits 128"]).expect(2);
}

#[test]
fn key_files_come_in_as_they_are() {
    if !has(&["openssl", "ssh-keygen"]) {
        return;
    }
    let (_server, device) = device();
    let file = |name: &str| shown(&device, name);
    output("openssl", &["genrsa", "-out", &file("rsa")]);
    output(
        "openssl",
        &[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-out",
            &file("sec1"),
        ],
    );
    output(
        "ssh-keygen",
        &["-q", "-t", "rsa", "-N", "", "-f", &file("ssh-rsa")],
    );
    output(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ecdsa",
            "-N",
            PASSPHRASE,
            "-a",
            "4",
            "-C",
            "me@here",
            "-f",
            &file("ecdsa"),
        ],
    );
    for name in ["rsa", "sec1", "ssh-rsa", "ecdsa"] {
        line(&device, &format!("import {}", file(name)));
        assert_eq!(device.get(name), std::fs::read(file(name)).unwrap());
    }
    assert_eq!(content_type(&device, "rsa"), "application/x-pem-file");
    assert_eq!(
        content_type(&device, "ecdsa"),
        "application/x-openssh-private-key"
    );
    // Named twice by OpenSSL: its parameters come first.
    let public = output("openssl", &["pkey", "-in", &file("sec1"), "-pubout"]);
    assert_eq!(line(&device, "get sec1 --public"), public);
    // OpenSSH's public keys need no passphrase, and not a kind that is known otherwise.
    for name in ["ssh-rsa", "ecdsa"] {
        let expected = std::fs::read_to_string(file(&format!("{name}.pub"))).unwrap();
        let expected: Vec<&str> = expected.split(' ').take(2).collect();
        let public = line(&device, &format!("get {name} --public"));
        assert!(public.starts_with(&expected.join(" ")), "{public}");
    }
    for (name, format) in [("rsa", "jwk"), ("rsa", "pem"), ("ssh-rsa", "openssh")] {
        let refused = device
            .run(&[&format!("export {name} --format {format}")])
            .expect(1);
        assert!(refused.stderr.contains("is not converted"), "{refused:?}");
    }
    let wrong = device.path("wrong");
    std::fs::write(&wrong, "wrong\n").unwrap();
    let sealed = format!(
        "import {} --format openssh --name x --passphrase-file {}",
        file("ecdsa"),
        wrong.display()
    );
    let refused = device.run(&[&sealed]).expect(1);
    assert!(refused.stderr.contains("wrong passphrase"), "{refused:?}");
    device.run(&["get x"]).expect(3);
}

#[test]
fn openssh_keys_go_through_ssh_keygen() {
    if !has(&["openssl", "ssh-keygen"]) {
        return;
    }
    let (_server, device) = device();
    let file = |name: &str| shown(&device, name);
    let first_two = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().take(2).collect();
        words.join(" ")
    };
    for (name, kind) in [("ed", "ed25519"), ("ec", "p256")] {
        line(&device, &format!("gen {name} --type {kind}"));
        let public = line(&device, &format!("get {name} --public --format openssh"));
        for (sealed, option, passphrase) in
            [("plain", "", ""), ("sealed", "--encrypt PASS", PASSPHRASE)]
        {
            let out = file(&format!("{name}-{sealed}"));
            line(
                &device,
                &format!("export {name} --format openssh {option} --out {out}"),
            );
            let mode = std::fs::metadata(&out).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let read = output("ssh-keygen", &["-y", "-P", passphrase, "-f", &out]);
            assert_eq!(first_two(&read), first_two(&public), "{name} {sealed}");
        }
    }
    // An encrypted one is stored in plain where its format is named, with its comment.
    let theirs = file("theirs");
    output(
        "ssh-keygen",
        &[
            "-q", "-t", "ecdsa", "-N", PASSPHRASE, "-C", "me@here", "-f", &theirs,
        ],
    );
    line(&device, &format!("import {theirs} --format openssh PASS"));
    let expected = std::fs::read_to_string(format!("{theirs}.pub")).unwrap();
    assert_eq!(line(&device, "get theirs --public"), expected);
    let lossy = device.run(&[&format!(
        "export theirs --format pem --out {}",
        file("t.pem")
    )]);
    assert!(lossy.expect(9).stderr.contains("the comment of the key"));
    let pem = output("openssl", &["pkey", "-in", &file("t.pem"), "-pubout"]);
    assert_eq!(line(&device, "get theirs --public --format pem"), pem);
}

#[test]
fn pkcs8_goes_through_openssl() {
    if !has(&["openssl"]) {
        return;
    }
    let (_server, device) = device();
    let pass = format!("pass:{PASSPHRASE}");
    for kind in ["ed25519", "x25519", "p256", "secp256k1"] {
        line(&device, &format!("gen {kind} --type {kind}"));
        let private = shown(&device, kind);
        line(&device, &format!("get {kind} --out {private}"));
        let public = line(&device, &format!("get {kind} --public"));
        let sealed = shown(&device, &format!("{kind}-ours"));
        line(
            &device,
            &format!("export {kind} --format pem --encrypt PASS --out {sealed}"),
        );
        let opened = ["pkey", "-in", &sealed, "-passin", &pass, "-pubout"];
        assert_eq!(output("openssl", &opened), public);
        for (cipher, options) in [
            ("scrypt", &["-scrypt"][..]),
            ("pbkdf2", &["-v2", "aes-128-cbc", "-iter", "5000"]),
            ("des3", &["-v2", "des3"]),
            ("sha1", &["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA1"]),
            (
                "sha512",
                &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"],
            ),
        ] {
            let name = format!("{kind}-{cipher}");
            let out = shown(&device, &name);
            let from = [
                "pkcs8", "-topk8", "-in", &private, "-passout", &pass, "-out", &out,
            ];
            output("openssl", &[&from, options].concat());
            line(&device, &format!("import {out} --format pem PASS"));
            assert_eq!(device.get(&name), std::fs::read(&private).unwrap());
            assert_eq!(line(&device, &format!("get {name} --public")), public);
        }
        let old = shown(&device, "old");
        let from = [
            "pkcs8", "-topk8", "-in", &private, "-passout", &pass, "-out", &old,
        ];
        output("openssl", &[&from[..], &["-v1", "PBE-SHA1-3DES"]].concat());
        let import = format!(
            "import {old} --format pem --passphrase-file {}",
            shown(&device, "pass")
        );
        let refused = device.run(&[&import]).expect(1);
        assert!(refused.stderr.contains("-topk8 -scrypt"), "{refused:?}");
    }
}

#[test]
fn a_bag_of_openssl_comes_in_and_what_is_beside_the_key_is_listed() {
    if !has(&["openssl"]) {
        return;
    }
    let (_server, device) = device();
    let [key, certificate, bag, text] =
        ["key.pem", "cert.pem", "bag.p12", "bag.pem"].map(|name| shown(&device, name));
    let request = [
        "req",
        "-x509",
        "-newkey",
        "ed25519",
        "-noenc",
        "-subj",
        "/CN=x",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    output("openssl", &request);
    let pack = [
        "pkcs12",
        "-export",
        "-inkey",
        &key,
        "-in",
        &certificate,
        "-name",
        "my key",
        "-passout",
        "pass:x",
        "-out",
        &bag,
    ];
    output("openssl", &pack);
    let unpack = [
        "pkcs12", "-in", &bag, "-passin", "pass:x", "-noenc", "-out", &text,
    ];
    output("openssl", &unpack);
    line(&device, &format!("import {text} --name bag"));
    assert_eq!(device.get("bag"), std::fs::read(&text).unwrap());
    assert_eq!(content_type(&device, "bag"), "application/x-pem-file");
    let public = output("openssl", &["pkey", "-in", &key, "-pubout"]);
    assert_eq!(line(&device, "get bag --public"), public);
    let out = shown(&device, "out.pem");
    let exported = device
        .run(&[&format!("export bag --format pem --plaintext --out {out}")])
        .expect(9);
    for lost in ["a certificate", "the text beside the key"] {
        assert!(exported.stderr.contains(lost), "{}", exported.stderr);
    }
    assert_eq!(output("openssl", &["pkey", "-in", &out, "-pubout"]), public);
}

#[test]
fn jwks_and_jwes_go_through_jwcrypto() {
    let Some(python) = python() else { return };
    let (_server, device) = device();
    let says = |code: &str, arguments: &[&str]| {
        let command = script(&python, &[&["-c", code], arguments].concat());
        run(command, b"").ok().text()
    };
    let read = "import sys; from jwcrypto import jwk; \
        k = jwk.JWK.from_json(open(sys.argv[1]).read()); \
        print(k.key_id, k.export_to_pem().decode(), end='')";
    for (kind, kty, crv) in [
        ("ed25519", "OKP", "Ed25519"),
        ("x25519", "OKP", "X25519"),
        ("p256", "EC", "P-256"),
        ("secp256k1", "EC", "secp256k1"),
    ] {
        line(&device, &format!("gen {kind} --type {kind}"));
        let out = shown(&device, &format!("{kind}.jwk"));
        line(&device, &format!("export {kind} --format jwk --out {out}"));
        let public = line(&device, &format!("get {kind} --public"));
        assert_eq!(says(read, &[&out]), format!("{kind} {public}"));
        // Known by its content; what has no place here is told.
        let make = "import sys; from jwcrypto import jwk; \
            k = jwk.JWK.generate(kty=sys.argv[1], crv=sys.argv[2], kid='their/' + sys.argv[2], use='sig'); \
            open(sys.argv[3], 'w').write(k.export()); print(k.export_to_pem().decode(), end='')";
        let theirs = shown(&device, "theirs");
        let expected = says(make, &[kty, crv, &theirs]);
        let imported = device.run(&[&format!("import {theirs}")]).expect(9);
        assert!(imported.stderr.contains("member `use`"), "{imported:?}");
        assert_eq!(
            line(&device, &format!("get their/{crv} --public")),
            expected
        );
    }
    let make = "import sys; from jwcrypto import jwk; s = jwk.JWKSet(); \
        [s.add(jwk.JWK.generate(kid=kid, **more)) for kid, more in [('set/ec', {'kty': 'EC', 'crv': 'P-256'}), \
        ('set/rsa', {'kty': 'RSA', 'size': 2048}), ('set/oct', {'kty': 'oct', 'size': 256})]]; \
        open(sys.argv[1], 'w').write(s.export()); print(s.get_key('set/ec').export_to_pem().decode(), end='')";
    let set = shown(&device, "set.jwks");
    let expected = says(make, &[&set]);
    line(&device, &format!("import {set}"));
    assert_eq!(line(&device, "get set/ec --public"), expected);
    assert_eq!(device.get("set/oct").len(), 32);
    assert_eq!(content_type(&device, "set/rsa"), "application/jwk+json");
    device.put("bytes", b"\x00\xff any");
    // Sealed by us and opened by them; sealed by them and opened by us.
    let sealed = shown(&device, "jwe");
    line(
        &device,
        &format!("export bytes --format jwe --out {sealed} PASS"),
    );
    let open = "import sys; from jwcrypto import jwa, jwe, jwk; jwa.default_max_pbkdf2_iterations = 10**7; \
        j = jwe.JWE(); j.deserialize(open(sys.argv[1]).read().strip()); \
        j.decrypt(jwk.JWK.from_password(sys.argv[2])); print(j.payload.hex(), end='')";
    assert_eq!(says(open, &[&sealed, PASSPHRASE]), "00ff20616e79");
    let seal = "import sys, json; from jwcrypto import jwe, jwk; \
        j = jwe.JWE(b'of jwcrypto', json.dumps({'alg': 'PBES2-HS512+A256KW', 'enc': 'A256GCM'})); \
        j.add_recipient(jwk.JWK.from_password(sys.argv[1])); print(j.serialize(compact=True))";
    std::fs::write(device.path("foreign"), says(seal, &[PASSPHRASE])).unwrap();
    let foreign = shown(&device, "foreign");
    line(&device, &format!("import {foreign} --format jwe PASS"));
    assert_eq!(device.get("foreign"), b"of jwcrypto");
    let out = shown(&device, "oct");
    line(&device, &format!("export bytes --format jwk --out {out}"));
    let read = "import sys; from jwcrypto import jwk; \
        print(jwk.JWK.from_json(open(sys.argv[1]).read()).get_op_key('encrypt'))";
    assert_eq!(says(read, &[&out]).trim(), "AP8gYW55");
}
