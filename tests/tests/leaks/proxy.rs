//! A proxy in between that terminates TLS, and that the client was made to trust.

use shared::wire::path;
use tests::device::Device;
use tests::mitm::{Message, Mitm, Way};
use tests::server::Server;

use crate::ACCOUNT;
use crate::NAME;
use crate::NOTE;
use crate::PASSWORD;
use crate::PLANTED;
use crate::TAG;
use crate::contains;
use crate::value;

fn through(server: &Server) -> (Mitm, Device) {
    let proxy = Mitm::before(server);
    let device = Device::at(&proxy.url, &proxy.pin, ACCOUNT, PASSWORD);
    (proxy, device)
}

#[test]
fn a_proxy_reads_nothing_but_the_accounts_name() {
    let server = Server::start();
    let (proxy, device) = through(&server);
    let code = device.run(&["register"]).ok().text();
    let code = code.trim().strip_prefix("recovery code: ").unwrap();
    let line = format!("put {NAME} --tag {TAG} --note {NOTE}");
    device.run_with(&[], &[&line], value().as_bytes()).ok();
    let lines = [&format!("get {NAME}"), "ls --long", "audit", "history x"];
    device.run_with(&["--keep-going"], &lines, b"").expect(3);
    let captured: Vec<u8> = proxy
        .take()
        .into_iter()
        .flat_map(|message| [message.head, message.body].concat())
        .collect();
    // It sees plain HTTP, and at login whom it is about.
    assert!(contains(&captured, b"POST /v2/call HTTP/1.1"));
    assert!(contains(&captured, ACCOUNT.as_bytes()));
    let (account, rest) = (ACCOUNT.as_bytes(), PLANTED.len());
    let without: Vec<u8> = replaced(&captured, account);
    assert!(!contains(&without, PLANTED), "{rest}");
    for secret in [code.to_owned(), code.replace('-', "")] {
        assert!(!contains(&captured, secret.as_bytes()));
    }
}

/// Cuts an account's name out.
fn replaced(bytes: &[u8], name: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(name) {
            rest = after;
        } else {
            left.push(*byte);
            rest = after;
        }
    }
    left
}

#[test]
fn a_byte_that_a_proxy_changes_is_noticed() {
    let server = Server::patient();
    let (proxy, device) = through(&server);
    device.run(&["register"]).ok();
    device.put(NAME, value().as_bytes());
    let line = format!("get {NAME}");
    assert_eq!(device.run(&[&line]).ok().stdout, value().as_bytes());
    let places = [
        (Way::ToClient, path::HELLO, &[7][..]),
        // A changed KE2 looks like a wrong password, or like another server.
        (Way::ToClient, path::LOGIN_START, &[4, 7]),
        (Way::ToServer, path::LOGIN_START, &[1, 4, 5, 7]),
        (Way::ToClient, path::LOGIN_FINISH, &[7]),
        (Way::ToServer, path::LOGIN_FINISH, &[1, 4, 5, 7]),
        (Way::ToClient, path::CALL, &[7]),
        (Way::ToServer, path::CALL, &[1, 4, 5, 7]),
    ];
    for (way, path, statuses) in places {
        proxy.alter(way, path);
        let run = device.run(&[&line]);
        device.forgive();
        assert!(!proxy.waits(), "{path} was not changed");
        assert!(statuses.contains(&run.status), "{way:?} {path}: {run:?}");
        assert!(run.stdout.is_empty(), "{way:?} {path}: {run:?}");
    }
    assert_eq!(device.run(&[&line]).ok().stdout, value().as_bytes());
}

/// Lengths of the sealed messages that go this way.
fn lengths(messages: &[Message], way: Way) -> Vec<usize> {
    let calls = messages
        .iter()
        .filter(|m| m.way == way && m.path == path::CALL);
    calls.map(|message| message.body.len()).collect()
}

#[test]
fn values_of_one_padded_size_look_the_same_on_the_wire() {
    let server = Server::start();
    let (proxy, device) = through(&server);
    device.run(&["register"]).ok();
    let mut number = 0;
    let mut sizes = |len: usize| {
        number += 1;
        let name = format!("k{number}");
        proxy.take();
        device.put(&name, &vec![7; len]);
        let put = lengths(&proxy.take(), Way::ToServer);
        device.get(&name);
        let answers = lengths(&proxy.take(), Way::ToClient);
        // The last is the answer to the logout.
        let [.., fetched, _] = answers[..] else {
            panic!("{answers:?}");
        };
        (put, fetched)
    };
    let buckets = [[0, 1, 60], [990, 1005, 1020], [100_000, 100_100, 100_300]];
    let seen = buckets.map(|bucket| bucket.map(&mut sizes));
    for (lens, [one, two, three]) in buckets.iter().zip(&seen) {
        assert_eq!(one, two, "{lens:?}");
        assert_eq!(two, three, "{lens:?}");
    }
    assert!(seen[0][0].1 < seen[1][0].1 && seen[1][0].1 < seen[2][0].1);
}
