//! HTTPS: bytes to messages and back.

mod body;
mod response;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};

use crate::config::Config;
use crate::service::Service;

/// How long a client may take to close its end.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What every handler needs.
#[derive(Clone)]
struct Shared {
    service: Service,
    request_timeout: Duration,
    body_limit: usize,
    open_body_limit: usize,
}

/// Binds all addresses; the server runs when the future is awaited.
pub fn serve(
    service: Service,
    tls: rustls::ServerConfig,
    config: &Config,
) -> io::Result<(Server, Vec<SocketAddr>)> {
    let shared = web::Data::new(Shared {
        service,
        request_timeout: config.request_timeout,
        body_limit: config.body_limit,
        open_body_limit: config.open_body_limit,
    });
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .configure(routes::configure)
    })
    .workers(config.workers)
    .max_connections(config.connections)
    .keep_alive(config.keep_alive)
    .client_request_timeout(config.request_timeout)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .tls_handshake_timeout(config.request_timeout)
    .shutdown_timeout(config.shutdown_timeout.as_secs())
    .disable_signals();
    for address in &config.listen {
        server = server.bind_rustls_0_23(address, tls.clone())?;
    }
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}
