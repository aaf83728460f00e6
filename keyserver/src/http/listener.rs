//! Sockets that listen, bound before anything else of the server is started.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

/// Most connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on all addresses.
///
/// # Errors
/// The first address that cannot be listened on, with what went wrong.
pub fn listen_on(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let listening = addresses.iter().map(|address| {
        let listener = listen_on_one(*address, addresses);
        listener.map_err(|error| (*address, error))
    });
    listening.collect()
}

fn listen_on_one(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    // `[::]` alone takes IPv4 connections too, and could not be bound beside `0.0.0.0`.
    let is_beside_ipv4 = |other: &SocketAddr| {
        matches!(other.ip(), IpAddr::V4(ip) if ip.is_unspecified())
            && other.port() == address.port()
    };
    if address.is_ipv6() && address.ip().is_unspecified() && all.iter().any(is_beside_ipv4) {
        set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}
