//! Removed secrets: restored, destroyed, listed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use tests::device::Device;
use tests::server::Server;

const PASSWORD: &str = "correct horse battery staple";

fn account() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    (server, device)
}

fn json(device: &Device, line: &str) -> serde_json::Value {
    let run = device.run_with(&["--json"], &[line], b"").ok();
    run.json().remove(0)
}

#[test]
fn a_removed_secret_comes_back_with_all_its_versions() {
    let (_server, device) = account();
    let name = "folder/a name \u{1f511}";
    device.put(name, b"first");
    let put = format!("put '{name}' --force --tag work");
    device.run_with(&[], &[&put], b"second").ok();
    device.run(&["restore"]).ok();
    device.run(&[&format!("rm '{name}' --yes")]).ok();
    device.run(&[&format!("get '{name}'")]).expect(3);
    assert!(device.run(&["ls"]).ok().stdout.is_empty());
    let listed = json(&device, "restore");
    assert_eq!(listed["removed"][0]["name"], name);
    let (removed, kept) = (
        &listed["removed"][0]["removed_ms"],
        &listed["removed"][0]["kept_until_ms"],
    );
    let days = (kept.as_u64().unwrap() - removed.as_u64().unwrap()) / (24 * 60 * 60 * 1000);
    assert_eq!(days, 30);
    let other = device.another(PASSWORD);
    other.run(&[&format!("restore '{name}'")]).ok();
    assert_eq!(device.get(name), b"second");
    let first = device.run(&[&format!("get '{name}' --version 1")]).ok();
    assert_eq!(first.stdout, b"first");
    let info = json(&device, &format!("info '{name}'"));
    assert_eq!(info["tags"][0], "work", "{info}");
    let listed = json(&device, "restore");
    assert_eq!(listed["removed"].as_array().unwrap().len(), 0);
    device.run(&["audit"]).ok();
}

#[test]
fn a_name_that_was_given_away_is_no_obstacle_for_long() {
    let (_server, device) = account();
    device.put("k", b"old");
    device.run(&["rm k --yes"]).ok();
    let run = device.run(&["restore unknown"]).expect(3);
    assert!(run.stderr.contains("no removed secret"), "{run:?}");
    device.put("k", b"new");
    let run = device.run(&["restore k"]).expect(6);
    assert!(run.stderr.contains("rename it"), "{run:?}");
    device.run(&["mv k l", "restore k"]).ok();
    assert_eq!(device.get("k"), b"old");
    assert_eq!(device.get("l"), b"new");
    // Of several of one name, the one that was removed last.
    device
        .run(&["rm k --yes", "mv l k", "rm k --yes", "restore k"])
        .ok();
    assert_eq!(device.get("k"), b"new");
}

#[test]
fn an_older_version_becomes_the_newest() {
    let (_server, device) = account();
    device.put("k", b"first");
    device.run_with(&[], &["put k --force"], b"second").ok();
    device.run(&["restore k --version 1"]).ok();
    assert_eq!(device.get("k"), b"first");
    let info = json(&device, "info k");
    assert_eq!(info["version"], 3, "{info}");
    device.run(&["restore k --version 9"]).expect(3);
    device.run(&["restore --version 1"]).expect(2);
}

#[test]
fn destroyed_is_gone_for_good() {
    let (mut server, device) = account();
    for name in ["a", "b", "c"] {
        device.put(name, b"first");
    }
    device.run_with(&[], &["put c --force"], b"second").ok();
    device.run(&["rm a --yes", "rm b --yes"]).ok();
    device.run(&["purge a"]).expect(2);
    device.run(&["purge a --yes"]).ok();
    device.run(&["restore a"]).expect(3);
    device.run(&["restore b", "rm b --yes"]).ok();
    // Of a secret that is there, the older versions.
    device.run(&["purge c --yes"]).ok();
    assert_eq!(device.get("c"), b"second");
    device.run(&["get c --version 1"]).expect(3);
    device.run(&["purge --trash --yes"]).ok();
    device.run(&["restore b"]).expect(3);
    device.run(&["purge --trash --yes", "purge c --yes"]).ok();
    device.run(&["purge unknown --yes"]).expect(3);
    let other = device.another(PASSWORD);
    assert_eq!(other.get("c"), b"second");
    other.run(&["audit"]).ok();
    server.stop();
    let check = server.command(&["check"]);
    tests::device::run(check, b"").ok();
}

#[test]
fn removed_secrets_of_one_name_are_told_apart() {
    let (_server, device) = account();
    for value in [&b"first"[..], b"second", b"third"] {
        device.put("k", value);
        device.run(&["rm k --yes"]).ok();
    }
    let listed = json(&device, "restore");
    let mut removed = listed["removed"].as_array().unwrap().clone();
    removed.sort_by_key(|secret| secret["removed_ms"].as_u64());
    let ids: Vec<&str> = removed
        .iter()
        .map(|secret| secret["secret"].as_str().unwrap())
        .collect();
    let table = device.run(&["restore"]).ok().text();
    assert!(ids.iter().all(|id| table.contains(&id[..8])), "{table}");
    device.run(&[&format!("purge {} --yes", ids[1])]).ok();
    let run = device.run(&[&format!("restore {}", &ids[0][..8])]).ok();
    assert!(run.stderr.contains("k: restored"), "{run:?}");
    assert_eq!(device.get("k"), b"first");
    let left = json(&device, "restore");
    assert_eq!(left["removed"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left["removed"][0]["secret"], ids[2]);
    device.run(&[&format!("restore {}", ids[1])]).expect(3);
    let run = device.run(&["restore k/1"]).expect(3);
    assert!(
        run.stderr.contains("`restore` lists the removed"),
        "{run:?}"
    );
    let run = device.run(&["purge"]).expect(2);
    assert!(
        run.stderr.contains("name a secret, or give --trash"),
        "{run:?}"
    );
    let run = device.run(&["get"]).expect(2);
    assert!(run.stderr.contains("`get` needs <NAME>"), "{run:?}");
}

/// Whoever has a device's session can hide a secret, and destroy none.
#[test]
fn a_device_alone_destroys_nothing() {
    let (_server, device) = account();
    device.put("k", b"value");
    device.run(&["unlock", "rm k --yes"]).ok();
    let mut command = device.command_without_password();
    command.args(["--non-interactive", "-c", "purge k --yes"]);
    let run = tests::device::run(command, b"").expect(2);
    assert!(run.stderr.contains("password"), "{run:?}");
    device.run(&["lock", "restore k"]).ok();
    assert_eq!(device.get("k"), b"value");
}
