//! `totp`: the codes are those of a foreign program, oathtool.
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use rexpect::session::spawn_command;
use tests::device::Device;
use tests::foreign::has;
use tests::server::Server;

const PASSWORD: &str = "codes of copper wire";
const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// For one step: two Argon2id runs on a busy machine.
const PATIENCE_MS: u64 = 60_000;

fn device() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let uri = format!("otpauth://totp/ACME:alice?secret={SEED}&issuer=ACME");
    device.put("plain", SEED.to_lowercase().as_bytes());
    device.put("uri", uri.as_bytes());
    device.put(
        "long",
        format!("{uri}&algorithm=SHA512&digits=8&period=60").as_bytes(),
    );
    device.put("password", b"correct horse");
    (server, device)
}

fn oathtool(arguments: &[&str]) -> String {
    let output = Command::new("oathtool")
        .args(arguments)
        .arg(SEED)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn codes_are_those_of_another_program() {
    if !has(&["oathtool"]) {
        return;
    }
    let (_server, device) = device();
    for (name, arguments) in [
        ("plain", &["--totp", "-b"][..]),
        ("uri", &["--totp", "-b"]),
        ("long", &["--totp=sha512", "-b", "-d8", "-s60s"]),
    ] {
        // The period may end in between.
        let before = oathtool(arguments);
        let code = device.run(&[&format!("totp {name}")]).ok().text();
        let after = oathtool(arguments);
        assert!(
            [before, after].contains(&code.trim().to_owned()),
            "{name}: {code}"
        );
    }
}

#[test]
fn each_code_by_counter_is_used_once_and_is_that_of_another_program() {
    if !has(&["oathtool"]) {
        return;
    }
    let (_server, device) = device();
    let uri = format!("otpauth://hotp/x?secret={SEED}&digits=8&counter=7&issuer=x");
    device.put("counted", uri.as_bytes());
    // A field of an item, as an import brings it.
    let list = device.path("list.txt");
    std::fs::write(
        &list,
        format!("{uri}\n{}\n", uri.replace("issuer=x", "issuer=item")),
    )
    .unwrap();
    device
        .run(&[&format!("import {} --under codes", list.display())])
        .ok();
    for counter in 7..10 {
        let code = oathtool(&["--hotp", "-b", "-d8", &format!("-c{counter}")]);
        for name in ["counted", "codes/item:x"] {
            let shown = device.run_with(&["--json"], &[&format!("totp '{name}'")], b"");
            let shown = shown.ok().json();
            let shown = shown.first().unwrap();
            assert_eq!(shown["code"], code, "{name}");
            assert_eq!(shown["counter"], counter);
            assert!(shown.get("seconds").is_none());
        }
    }
    assert_eq!(
        device.get("counted"),
        uri.replace("counter=7", "counter=10").as_bytes()
    );
    let history = device.run(&["history counted"]).ok().text();
    assert!(history.lines().count() >= 4, "{history}");
}

#[test]
fn programs_get_the_time_that_is_left_and_people_too() {
    let (_server, device) = device();
    let shown = device
        .run_with(&["--json"], &["totp long"], b"")
        .ok()
        .json();
    let shown = shown.first().unwrap();
    assert_eq!(shown["code"].as_str().unwrap().len(), 8);
    assert_eq!(shown["period"], 60);
    assert!((1..=60).contains(&shown["seconds"].as_u64().unwrap()));
    let run = device.run(&["totp uri"]).ok();
    assert!(run.stderr.is_empty() && run.stdout.len() == 7, "{run:?}");

    let mut command = device.command();
    command.args(["totp", "uri"]);
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_regex("valid for [0-9]+ s").unwrap();
    session.exp_regex("[0-9]{6}").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn what_is_no_seed_is_refused_and_not_shown() {
    let (_server, device) = device();
    let refused = device.run(&["totp password"]).expect(2);
    assert!(refused.stderr.contains("base32"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("horse"), "{}", refused.stderr);
    device.run(&["totp nothing"]).expect(3);
}
