//! Several addresses to listen on.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::process::{Child, Stdio};

use tests::foreign::skip;
use tests::server::Server;

/// A port that is free for both families; another program may take it until it is used.
fn free_port() -> Option<u16> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

fn start(data: &Server, addresses: &[String]) -> Child {
    let mut command = data.command(&["run"]);
    for address in addresses {
        command.args(["--listen", address]);
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    child.spawn().unwrap()
}

#[test]
fn both_families_are_served_on_one_port() {
    let Some(port) = free_port() else {
        skip("IPv6");
        return;
    };
    let mut server = Server::start();
    server.stop();
    let addresses = [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
    let mut child = start(&server, &addresses);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Vec<_> = lines.map(Result::unwrap).take(3).collect();
    let listening = addresses.map(|address| format!("listening https://{address}"));
    let (pin, addresses) = said.split_last().unwrap();
    assert_eq!(addresses, listening);
    assert!(pin.starts_with("pin sha256:"), "{said:?}");
    for host in ["127.0.0.1", "::1"] {
        TcpStream::connect((host, port)).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let mut server = Server::start();
    server.stop();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let twice = [taken.clone(), taken.clone()];
    let other = ["127.0.0.1:0".to_owned(), taken.clone()];
    for addresses in [&twice, &other] {
        let output = start(&server, addresses).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        let expected = format!("keyserver: cannot listen on {taken}: ");
        assert!(
            text.starts_with(&expected) && text.lines().count() == 1,
            "{text}"
        );
    }
}
