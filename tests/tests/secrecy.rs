//! What is on the server's disk and in its logs.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use tests::device::Device;
use tests::server::Server;

const PASSWORD: &str = "planted-password-7f3a";

#[test]
fn nothing_planted_is_found_in_the_data_folder() {
    let mut server = Server::with(&[("LOG", "trace")]);
    let device = Device::registered(&server, "planted-account-91bc", PASSWORD);
    let value = "planted-value-5d2e".repeat(4);
    let line = "put planted-name-c04d --tag planted-tag-e81f --note planted-note-26aa";
    device.run_with(&[], &[line], value.as_bytes()).ok();
    device.run(&["get planted-name-c04d --save", "audit"]).ok();
    device.set_password("planted-wrong-password");
    device.run(&["ls"]).expect(4);
    server.stop();
    assert!(!holds(&server.data(), b"planted"));
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert!(log.contains("listening"));
    assert!(!log.contains("planted"), "{log}");
    // The same search finds what is there.
    std::fs::write(server.data().join("proof"), "a planted thing").unwrap();
    assert!(holds(&server.data(), b"planted"));
    for folder in ["cache", "data"] {
        assert!(!holds(&device.home().join(folder), b"planted"), "{folder}");
    }
}

#[test]
fn paddings_hide_lengths() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let local = device.home().join("data/default");
    let sizes = || {
        let mut sizes: Vec<u64> = std::fs::read_dir(&local)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect();
        sizes.sort_unstable();
        sizes
    };
    let empty = sizes();
    device.run_with(&[], &["put pin --local"], b"1234").ok();
    device.run_with(&[], &["put key --local"], &[1; 2000]).ok();
    assert_eq!(sizes(), empty);
}

fn holds(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        let content = std::fs::read(&path).unwrap();
        content.windows(needle.len()).any(|window| window == needle)
    })
}
