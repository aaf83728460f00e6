//! State codes: what a device that knows nothing can hold a server to.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use tests::device::Device;
use tests::operator::{Operator, PASSWORD};

fn code(device: &Device) -> String {
    let run = device.run_with(&["--json"], &["devices add"], b"").ok();
    let shown = run.json().remove(0);
    let code = shown["state_code"].as_str().unwrap();
    assert!(shown["command"].as_str().unwrap().contains(code), "{shown}");
    code.to_owned()
}

fn on_sheet(sheet: &str) -> &str {
    let line = sheet.lines().find(|line| line.starts_with("state code"));
    line.unwrap().split_whitespace().last().unwrap()
}

fn expecting(code: &str) -> String {
    format!("login --expect {code}")
}

#[test]
fn a_fresh_device_holds_the_server_to_a_code() {
    let mut operator = Operator::start();
    let device = operator.device("alice");
    let path = device.path("sheet");
    device
        .run(&[&format!("register --recovery-file {}", path.display())])
        .ok();
    let sheet = std::fs::read_to_string(&path).unwrap();
    device.put("k", b"value");
    let old = operator.copy();
    device.put("later", b"value");
    device.run(&["rotate-key --yes"]).ok();
    let newest = code(&device);
    // Any grouping, any case; a state that follows it is fine too.
    let sloppy = newest.to_lowercase().replace('-', "");
    device.put("even later", b"value");
    for code in [on_sheet(&sheet), &newest, &sloppy] {
        let fresh = device.another(PASSWORD);
        fresh.run(&[&expecting(code), "get later"]).ok();
    }
    let run = device
        .another(PASSWORD)
        .run(&[&expecting("ABCD-EFGH")])
        .expect(2);
    assert!(run.stderr.contains("no state code"), "{run:?}");
    // An old copy of the server, which a device that knows nothing takes.
    operator.roll_back(old);
    device.another(PASSWORD).run(&["login"]).ok();
    let fresh = device.another(PASSWORD);
    let run = fresh.run(&[&expecting(&newest)]).expect(7);
    assert!(run.stderr.contains("older state"), "{run:?}");
    // Nothing of it was taken for the state of the account.
    assert!(
        std::fs::read_dir(fresh.home().join("state/default"))
            .unwrap()
            .all(|file| {
                !file
                    .unwrap()
                    .path()
                    .to_string_lossy()
                    .ends_with(".pins.json")
            })
    );
    device
        .another(PASSWORD)
        .run(&[&expecting(on_sheet(&sheet))])
        .ok();
}

/// With the recovery code too, whatever is on the sheet that it is read from.
#[test]
fn a_recovery_holds_the_server_to_a_code() {
    let mut operator = Operator::start();
    let device = operator.device("alice");
    let sheet = device.path("sheet");
    let register = format!("register --recovery-file {}", sheet.display());
    device.run(&[&register]).ok();
    let old = operator.copy();
    device.put("later", b"value");
    let newest = code(&device);
    operator.roll_back(old);
    let fresh = device.another("unknown");
    std::fs::write(fresh.path("next"), "seven velvet otters hum\n").unwrap();
    let recover = format!(
        "recover --code-file {} --new-password-file {}",
        sheet.display(),
        fresh.path("next").display()
    );
    let run = fresh
        .run(&[&format!("{recover} --expect {newest}")])
        .expect(7);
    assert!(run.stderr.contains("older state"), "{run:?}");
    let code = std::fs::read_to_string(&sheet).unwrap();
    let expected = on_sheet(&code).to_owned();
    fresh.run(&[&format!("{recover} --expect {expected}")]).ok();
}

/// A login without a code would trust the server by checking less.
#[test]
fn a_code_that_was_not_verified_is_asked_for_again() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    let copy = operator.copy();
    device.put("later", b"value");
    let newest = code(&device);
    operator.roll_back(copy);
    let fresh = device.another(PASSWORD);
    fresh.run(&[&expecting(&newest)]).expect(7);
    for line in ["login", "ls", "login"] {
        let run = fresh.run(&[line]).expect(7);
        assert!(run.stderr.contains("older state"), "{run:?}");
        assert!(run.stderr.contains("`login --expect CODE`"), "{run:?}");
    }
    let run = fresh.run(&["status"]).ok();
    assert!(run.text().contains("`login --without-code`"), "{run:?}");
    fresh.run(&[&expecting(&newest)]).expect(7);
    fresh.run(&["login"]).expect(7);
    // Another code that fits, or the way out that the message names.
    let other = device.another(PASSWORD);
    other.run(&["login"]).ok();
    let shown = code(&other);
    fresh.run(&[&expecting(&shown), "ls"]).ok();
    let third = device.another(PASSWORD);
    third.run(&[&expecting(&newest)]).expect(7);
    third.run(&["login --without-code", "ls"]).ok();
    third.run(&["login"]).ok();
}

/// The same number of entries and records, and a log of its own.
#[test]
fn a_fork_is_no_state_that_follows() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    let fork = operator.fork();
    device.put("k", b"value");
    let code = code(&device);
    let other = fork.device("alice");
    other.put("instead", b"value");
    for number in 0..4 {
        other.put(&format!("more {number}"), b"value");
    }
    let run = fork.device("alice").run(&[&expecting(&code)]).expect(7);
    assert!(run.stderr.contains("another state"), "{run:?}");
}
