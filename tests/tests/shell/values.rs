//! Values of any size and content, names of any script.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use tests::device::{Device, run};
use tests::server::Server;

const PASSWORD: &str = "values of copper wire";

#[test]
fn values_come_back_byte_for_byte() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let everything: Vec<u8> = (0..=255).cycle().take(1024 * 1024).collect();
    let values: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("newline", b"\n"),
        ("text", b"no newline at the end"),
        ("zeros", &[0; 1000]),
        ("largest", &everything),
    ];
    for (name, value) in values {
        device.put(name, value);
        assert_eq!(device.get(name), value, "{name}");
    }
    let mut too_long = everything;
    too_long.push(0);
    let run = device.run_with(&[], &["put longer"], &too_long).expect(8);
    assert!(run.stderr.contains("1 MiB"), "{}", run.stderr);
    device.run(&["get longer"]).expect(3);
}

#[test]
fn files_go_in_and_come_out_with_mode_0600() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let (source, target) = (device.path("in"), device.path("out"));
    std::fs::write(&source, [7; 5000]).unwrap();
    device
        .run(&[
            &format!("put k --file {}", source.display()),
            &format!("get k --out {}", target.display()),
        ])
        .ok();
    assert_eq!(std::fs::read(&target).unwrap(), [7; 5000]);
    let mode = std::fs::metadata(&target).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let line = format!("get k --out {}", target.display());
    device.run(&[&line]).expect(6);
}

#[test]
fn names_may_hold_anything_but_control_characters() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let names = [
        "with spaces",
        "a/b/c",
        "-dash",
        "\u{1f511} emoji \u{1f469}\u{200d}\u{1f4bb}",
        "\u{43a}\u{43b}\u{44e}\u{447}",
        "quote\"s and $dollars",
        "\u{e9}",
        "#hash",
    ];
    for name in names {
        let line = format!("put -- '{name}'");
        device.run_with(&[], &[&line], name.as_bytes()).ok();
    }
    for name in names {
        let run = device.run(&[&format!("get -- '{name}'")]).ok();
        assert_eq!(run.stdout, name.as_bytes(), "{name}");
    }
    // The same letter, composed and with a combining accent.
    let run = device.run(&["get 'e\u{301}'"]).ok();
    assert_eq!(run.stdout, "\u{e9}".as_bytes());
    assert_eq!(device.run(&["ls"]).ok().text().lines().count(), names.len());
    for bad in ["''", "' x'", "'x '", "'a\u{7}b'", "'a\nb'"] {
        device.run(&[&format!("get {bad}")]).expect(2);
    }
    let longest = "x".repeat(255);
    device.put(&longest, b"1");
    device.run(&[&format!("gen {longest}x")]).expect(2);
}

#[test]
fn versions_tags_and_notes_are_kept() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device
        .run_with(&[], &["put k --tag a --tag b --note first"], b"1")
        .ok();
    device.run_with(&[], &["put k --force"], b"2").ok();
    device
        .run(&["edit k --untag a --note second", "mv k l"])
        .ok();
    let run = device.run_with(&["--json"], &["ls", "history l"], b"").ok();
    let json = run.json();
    let secret = json.first().unwrap().pointer("/secrets/0").unwrap();
    assert_eq!(secret["tags"], serde_json::json!(["b"]));
    assert_eq!(secret["note"], "second");
    assert_eq!(secret["version"], 2);
    assert_eq!(device.run(&["get l --version 1"]).ok().stdout, b"1");
    assert_eq!(device.get("l"), b"2");
    device.run(&["get l --version 3"]).expect(3);
    device.run(&["get k"]).expect(3);
}

#[test]
fn a_note_is_written_with_the_owners_editor() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"1");
    let scratch = device.path("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let edit = |editor: &str, status| {
        let mut command = device.command();
        command.env_remove("VISUAL").env("EDITOR", editor);
        command.env("XDG_RUNTIME_DIR", &scratch);
        command.args(["edit", "k", "--editor"]);
        let run = run(command, b"").expect(status);
        // Nothing stays behind, however it ended.
        assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
        run
    };
    let note = || device.run_with(&["--json"], &["info k"], b"").ok().json()[0]["note"].clone();
    edit(r"printf 'two\nlines\n' >", 0);
    assert_eq!(note(), "two\nlines");
    edit("sed -i s/two/three/", 0);
    assert_eq!(note(), "three\nlines");
    let failed = edit("sed -i s/three/four/ && false", 1);
    assert!(failed.stderr.contains("nothing was changed"), "{failed:?}");
    assert_eq!(note(), "three\nlines");
    let mode = "stat -c '%a %n' \"$1\" $(dirname \"$1\") > ../mode && :";
    edit(
        &mode.replace("../mode", device.path("mode").to_str().unwrap()),
        0,
    );
    let modes = std::fs::read_to_string(device.path("mode")).unwrap();
    assert!(
        modes.starts_with("600 ") && modes.contains("\n700 "),
        "{modes}"
    );
}
