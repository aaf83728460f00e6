//! Local secure storage, beside a server that comes and goes.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use tests::device::Device;
use tests::server::Server;

const PASSWORD: &str = "shelf of copper wire";

fn account() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("a", b"one");
    (server, device)
}

fn json_of(device: &Device, line: &str) -> Value {
    let run = device.run_with(&["--json"], &[line], b"").ok();
    run.json().remove(0)
}

fn put(device: &Device, line: &str, value: &[u8]) {
    device.run_with(&[], &[line], value).ok();
}

#[test]
fn a_server_out_of_reach_is_stood_in_for_and_it_is_said() {
    let (mut server, device) = account();
    device.put("b", b"not kept");
    device.run(&["pull a"]).ok();
    put(&device, "put own --local", b"mine");
    assert_eq!(json_of(&device, "get a")["offline"], Value::Null);
    server.stop();
    let run = device.run(&["get a"]).ok();
    assert_eq!(run.stdout, b"one");
    for said in [
        "cannot be reached",
        "version 1",
        "as of now",
        "newer version",
    ] {
        assert!(run.stderr.contains(said), "{run:?}");
    }
    let run = device.run(&["get own"]).ok();
    assert_eq!(run.stdout, b"mine");
    assert!(run.stderr.contains("cannot be reached"), "{run:?}");
    let seen = json_of(&device, "get a");
    assert_eq!(seen["offline"], json!(true), "{seen}");
    assert_eq!(seen["saved"], json!(true), "{seen}");
    assert!(seen["saved_ms"].as_u64().unwrap() > 0, "{seen}");
    assert_eq!(seen["text"], json!("one"), "{seen}");
    // A copy in a file says so as well.
    let path = device.path("out");
    let seen = json_of(&device, &format!("get a --out {}", path.display()));
    assert_eq!(seen["offline"], json!(true), "{seen}");
    assert_eq!(std::fs::read(path).unwrap(), b"one");
    // What is not here is not made up, and nothing can be saved that was not verified now.
    let run = device.run(&["get b"]).expect(5);
    assert!(run.stderr.contains("no copy of `b`"), "{run:?}");
    let run = device.run(&["get a --version 7"]).expect(5);
    assert!(run.stderr.contains("in version 7"), "{run:?}");
    device.run(&["get a --save"]).expect(5);
    device.set_password("wrong of copper wire");
    let run = device.run(&["get a"]).expect(4);
    assert_eq!(run.stdout, b"");
}

#[test]
fn a_device_that_keeps_nothing_says_that_the_server_is_not_reached() {
    let (mut server, device) = account();
    let other = device.another(PASSWORD);
    server.stop();
    let run = other.run(&["get a"]).expect(5);
    assert!(!run.stderr.contains("password"), "{run:?}");
}

#[test]
fn nothing_stands_in_for_a_server_that_lied() {
    let (mut server, device) = account();
    device.run(&["get a --save"]).ok();
    let before = device.path("before");
    server.stop();
    tests::server::copy_folder(&server.data(), &before);
    server.start_again();
    device.put("later", b"x");
    server.stop();
    std::fs::remove_dir_all(server.data()).unwrap();
    tests::server::copy_folder(&before, &server.data());
    server.start_again();
    let run = device.run(&["get a"]).expect(7);
    assert_eq!(run.stdout, b"");
    // Nor when it hides behind silence afterwards; who asks for the copy gets the copy.
    server.stop();
    let run = device.run(&["get a"]).expect(7);
    assert_eq!(run.stdout, b"");
    assert_eq!(device.run(&["get a --local"]).ok().stdout, b"one");
}

#[test]
fn copies_are_shown_with_their_age_and_a_sync_refreshes_them() {
    let (_server, device) = account();
    let other = device.another(PASSWORD);
    put(&device, "put b --tag travel", b"two");
    put(&device, "put c", b"three");
    let list = device.run(&["ls --long"]).ok().text();
    assert!(!list.contains("HERE"), "{list}");
    let seen = json_of(&device, "sync --save travel");
    assert_eq!(seen["saved"], json!(["b"]), "{seen}");
    device.run(&["pull a"]).ok();
    put(&other, "put b --force", b"two again");
    other.run(&["mv a z", "rm c --yes"]).ok();
    let list = json_of(&device, "ls --long");
    let row = |name: &str| {
        let rows = list["secrets"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap().clone()
    };
    assert_eq!(row("b")["saved_state"], json!("stale"));
    assert_eq!(row("b")["saved_version"], json!(1));
    assert_eq!(row("z")["saved_state"], json!("current"));
    let list = device.run(&["ls --long"]).ok().text();
    assert!(list.contains("stale copy (1)"), "{list}");
    let seen = json_of(&device, "sync");
    assert_eq!(seen["refreshed"], json!(["b", "z"]), "{seen}");
    assert_eq!(seen["saved"], json!([]), "{seen}");
    assert_eq!(device.run(&["ls --local"]).ok().text(), "b\nz\n");
    let run = device.run(&["get b --local", "get z --local"]).ok();
    assert_eq!(run.stdout, b"two againone");
    let run = device.run(&["ls --long"]).ok().text();
    assert!(!run.contains("stale"), "{run}");
    // Everything; a removed one stays until its copy is removed.
    put(&device, "put d", b"four");
    let seen = json_of(&device, "sync --save --all");
    assert_eq!(seen["saved"], json!(["d"]), "{seen}");
    other.run(&["rm d --yes"]).ok();
    assert_eq!(json_of(&device, "sync")["removed"], json!(["d"]));
    device.run(&["rm d --local --yes"]).ok();
    assert_eq!(json_of(&device, "sync")["removed"], json!([]));
    let slip = device.run(&["sync --save travle"]).ok();
    assert!(
        slip.stderr.contains("no secret has the tag `travle`"),
        "{slip:?}"
    );
    device.run(&["sync --save"]).expect(2);
    device.run(&["sync --all"]).expect(2);
}

#[test]
fn a_sync_never_replaces_what_this_device_alone_has() {
    let (_server, device) = account();
    put(&device, "put a --local", b"mine");
    device.put("b", b"two");
    let run = device.run(&["sync --save --all"]).expect(9);
    assert!(run.stderr.contains("not copied: a"), "{run:?}");
    assert_eq!(device.run(&["get a --local"]).ok().stdout, b"mine");
    assert_eq!(device.run(&["get b --local"]).ok().stdout, b"two");
    device.run(&["pull a"]).expect(6);
    device.run(&["mv a mine --local", "sync --save --all"]).ok();
    let run = device.run(&["get a --local", "get mine --local"]).ok();
    assert_eq!(run.stdout, b"onemine");
    put(&device, "put b --local --force", b"mine too");
    device.run(&["pull b --force"]).ok();
    assert_eq!(device.run(&["get b --local"]).ok().stdout, b"two");
}

#[test]
fn secrets_move_between_this_device_and_the_server() {
    let (_server, device) = account();
    put(
        &device,
        "put own --local --tag t --note words",
        b"local value",
    );
    device.run(&["push own"]).ok();
    let other = device.another(PASSWORD);
    assert_eq!(other.get("own"), b"local value");
    let info = json_of(&other, "info own");
    assert_eq!(info["tags"], json!(["t"]), "{info}");
    assert_eq!(info["note"], json!("words"), "{info}");
    let row = json_of(&device, "ls own --long");
    assert_eq!(row["secrets"][0]["saved_state"], json!("current"), "{row}");
    // Once more changes nothing.
    assert_eq!(json_of(&device, "push own")["pushed"], json!(false));
    assert_eq!(json_of(&device, "info own")["versions"], json!(1));
    put(&device, "put a --local", b"other");
    device.run(&["push a"]).expect(6);
    assert_eq!(device.get("a"), b"one");
    assert_eq!(json_of(&device, "push a --force")["version"], json!(2));
    assert_eq!(other.get("a"), b"other");
    // A copy that the server has passed by is no newest version.
    put(&other, "put a --force", b"newest");
    device.run(&["push a"]).expect(6);
    device.run(&["push nothing"]).expect(3);
    device.run(&["pull nothing"]).expect(3);
    device.run(&["pull a"]).ok();
    assert_eq!(device.run(&["get a --local"]).ok().stdout, b"newest");
}

#[test]
fn names_and_versions_of_local_secrets_need_no_server() {
    let (mut server, device) = account();
    device.run(&["pull a"]).ok();
    put(&device, "put own --local --tag t --note words", b"first");
    server.stop();
    put(&device, "put own --local --force", b"second");
    device.run(&["gen key --local"]).ok();
    device.run(&["mv own key --local"]).expect(6);
    device.run(&["mv a b --local"]).expect(2);
    device.run(&["mv nothing b --local"]).expect(3);
    device.run(&["mv own dir/own --local"]).ok();
    assert_eq!(device.run(&["ls --local"]).ok().text(), "a\ndir/own\nkey\n");
    let seen = json_of(&device, "history dir/own --local");
    assert_eq!(seen["versions"][0]["version"], json!(2), "{seen}");
    assert_eq!(seen["versions"][0]["saved"], json!(false), "{seen}");
    let text = device.run(&["history a --local"]).ok().text();
    assert!(text.contains("copy"), "{text}");
    let rows = json_of(&device, "ls dir/ --local");
    assert_eq!(rows["secrets"][0]["tags"], json!(["t"]), "{rows}");
    assert_eq!(rows["secrets"][0]["note"], json!("words"), "{rows}");
    assert_eq!(rows["secrets"][0]["saved"], json!(false), "{rows}");
    let text = device.run(&["ls --local --long"]).ok().text();
    assert!(text.contains("only here"), "{text}");
    assert!(
        text.contains("WRITTEN") && !text.contains("CHANGED"),
        "{text}"
    );
}

/// A command in a message works as it stands, whatever the name of the secret.
#[test]
fn commands_in_messages_quote_names() {
    let (_server, device) = account();
    for name in ["my db", "it's", "-dash"] {
        let quoted = shlex::try_quote(name).unwrap();
        put(&device, &format!("put -- {quoted}"), b"on the server");
        put(&device, &format!("put --local -- {quoted}"), b"here");
        let run = device.run(&[&format!("pull -- {quoted}")]).expect(6);
        let (_, command) = run.stderr.split_once("`mv ").unwrap();
        let (command, _) = command.split_once('`').unwrap();
        device.run(&[&format!("mv {command}")]).ok();
        device
            .run(&["mv --local NEW kept", "rm --local --yes kept"])
            .ok();
        device.run(&[&format!("pull -- {quoted}")]).ok();
        device.run(&[&format!("rm --yes -- {quoted}")]).ok();
        let run = device.run(&["sync"]).ok();
        let (_, command) = run.stderr.split_once("`rm ").unwrap();
        let (command, _) = command.split_once('`').unwrap();
        device.run(&[&format!("rm --yes {command}")]).ok();
    }
    let listed = json_of(&device, "ls --local");
    assert!(!listed.to_string().contains("db"), "{listed}");
}
