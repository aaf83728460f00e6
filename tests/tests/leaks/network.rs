//! Whom the programs talk to.

use std::net::TcpStream;
use std::process::Command;

use tests::device::Device;
use tests::foreign::{has, is_root};
use tests::server::Server;

/// Set in the copy of this test that runs where there is no network but loopback.
const INSIDE: &str = "KEYSHELL_TEST_INSIDE";

#[test]
fn nothing_is_contacted_but_the_server() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if !is_root("a network of its own") || !has(&["ip"]) {
        return;
    }
    let script = "ip link set lo up && exec \"$0\" \"$@\"";
    let status = Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "network::nothing_is_contacted_but_the_server"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

/// Whatever goes anywhere else has no route, and the kernel counts it.
fn inside() {
    assert_eq!(without_route(), 0);
    let server = Server::start();
    let device = Device::registered(&server, "alice", "network of copper wire");
    device.put("k", b"value");
    device.run(&["get k --save", "audit", "ls --long"]).ok();
    Device::embedded("network of copper wire")
        .run(&["register", "gen k"])
        .ok();
    assert_eq!(without_route(), 0, "something else was contacted");
    TcpStream::connect("192.0.2.1:9").unwrap_err();
    TcpStream::connect("[2001:db8::1]:9").unwrap_err();
    assert_eq!(without_route(), 2, "this would not have been noticed");
}

fn without_route() -> u64 {
    let snmp = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut lines = snmp.lines().filter(|line| line.starts_with("Ip: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut fields = names.split(' ').zip(values.split(' '));
    let (_, v4) = fields.find(|(name, _)| *name == "OutNoRoutes").unwrap();
    let snmp6 = std::fs::read_to_string("/proc/net/snmp6").unwrap();
    let v6 = snmp6
        .lines()
        .find(|line| line.starts_with("Ip6OutNoRoutes"));
    let v6 = v6.unwrap().split_whitespace().nth(1).unwrap();
    [v4, v6]
        .map(|count| count.parse::<u64>().unwrap())
        .iter()
        .sum()
}
