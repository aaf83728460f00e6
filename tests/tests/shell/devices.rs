//! Several devices of one owner.
#![allow(missing_docs, clippy::unwrap_used)]

use tests::device::Device;
use tests::server::Server;

const PASSWORD: &str = "devices of copper wire";

#[test]
fn no_update_is_lost_when_devices_write_at_once() {
    const ROUNDS: usize = 6;
    let server = Server::start();
    let first = Device::registered(&server, "alice", PASSWORD);
    let second = first.another(PASSWORD);
    std::thread::scope(|scope| {
        for (prefix, device) in [("a", &first), ("b", &second)] {
            scope.spawn(move || {
                let lines: Vec<String> = (0..ROUNDS).map(|n| format!("gen {prefix}{n}")).collect();
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                device.run(&lines).ok();
            });
        }
    });
    for device in [&first, &second] {
        let names = device.run(&["ls"]).ok().text();
        assert_eq!(names.lines().count(), 2 * ROUNDS, "{names}");
        device.run(&["audit"]).ok();
    }
}

#[test]
fn what_one_device_does_the_other_sees() {
    let server = Server::start();
    let first = Device::registered(&server, "alice", PASSWORD);
    let second = first.another(PASSWORD);
    first.put("k", b"1");
    assert_eq!(second.get("k"), b"1");
    second.run_with(&[], &["put k --force"], b"2").ok();
    assert_eq!(first.get("k"), b"2");
    second.run(&["rm k --yes"]).ok();
    first.run(&["get k"]).expect(3);
    let run = first.run_with(&["--json"], &["audit k"], b"").ok();
    let devices: std::collections::BTreeSet<String> = run.json().first().unwrap()["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["device"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(devices.len(), 2);
    let fingerprint = |device: &Device| {
        let run = device.run_with(&["--json"], &["ls", "status"], b"").ok();
        run.json().last().unwrap()["vault_log"].clone()
    };
    assert_eq!(fingerprint(&first), fingerprint(&second));
}

#[test]
fn accounts_do_not_see_each_other() {
    let server = Server::start();
    let alice = Device::registered(&server, "alice", PASSWORD);
    let bob = Device::registered(&server, "bob", PASSWORD);
    alice.put("k", b"hers");
    bob.put("k", b"his");
    assert_eq!(alice.get("k"), b"hers");
    assert_eq!(bob.get("k"), b"his");
}
