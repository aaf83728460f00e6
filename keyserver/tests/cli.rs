//! The daemon's command line.
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

fn keyserver(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_keyserver"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn init_makes_what_is_missing_and_pin_repeats_the_pin() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let first = keyserver(&["init", "--data-dir", data]);
    assert!(first.status.success(), "{first:?}");
    let text = String::from_utf8(first.stdout).unwrap();
    assert!(text.starts_with("pin sha256:"), "{text}");
    let again = keyserver(&["pin", "--data-dir", data]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
}

#[test]
fn unknown_options_are_wrong_usage() {
    let output = keyserver(&["run", "--nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
