//! HTTPS: decodes requests, calls the operation, encodes the answer.

mod body;
mod connections;
mod listener;
mod response;
mod routes;
mod state;

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_http::HttpService;
use actix_http::TlsAcceptorConfig;
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory as _, Service as _, ServiceFactoryExt as _};
use actix_service::{apply_fn_factory, map_config};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};

use connections::{Connections, Limits};
pub use listener::listen_on;
use state::Shared;

use crate::config::Config;
use crate::open_files;
use crate::operations::service::Service;

/// How long a client may take to close a connection.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Most connections that were told to close and have not closed yet.
const LEAVING: usize = 256;
/// Serves on these sockets. The server runs while the returned future is awaited.
pub fn serve(
    service: Service,
    tls: &rustls::ServerConfig,
    config: &Config,
    listeners: Vec<TcpListener>,
) -> io::Result<Server> {
    let shared = web::Data::new(Shared {
        service,
        request_timeout: config.request_timeout,
        body_limit: config.body_limit,
        open_body_limit: config.open_body_limit,
    });
    let limits = limits(config);
    let connections = Connections::new(limits);
    // A worker stops accepting at a limit that knows no senders: it must never be reached before ours.
    let most_of_worker = (limits.all + 3 * limits.leaving).div_ceil(config.workers);
    actix_tls::accept::max_concurrent_tls_connect(most_of_worker);
    let mut server = Server::build()
        .workers(config.workers)
        .max_concurrent_connections(most_of_worker)
        .shutdown_timeout(config.shutdown_timeout.as_secs())
        .disable_signals();
    for listener in listeners {
        let app = shared.clone();
        server = listen(
            server,
            listener,
            app,
            tls.clone(),
            connections.clone(),
            config,
        )?;
    }
    Ok(server.run())
}

/// The configured number of connections, lowered to the number of file descriptors.
fn limits(config: &Config) -> Limits {
    let asked = config.workers.saturating_mul(config.connections);
    let files = open_files::left();
    let leaving = LEAVING.min(files / 10).max(1);
    // Closing connections, new ones meanwhile, and some that are accepted and not counted yet.
    let fit = files.saturating_sub(3 * leaving).max(1);
    if fit < asked {
        tracing::warn!(
            asked,
            fit,
            "the limit of open files lowers the number of connections: raise it (ulimit -n, LimitNOFILE)"
        );
    }
    Limits {
        all: asked.min(fit),
        leaving,
        per_address: config.connections_per_address,
    }
}

/// Adds a listener as actix-web's own server does, with the limit of connections before TLS.
fn listen(
    server: ServerBuilder,
    listener: TcpListener,
    shared: web::Data<Shared>,
    tls: rustls::ServerConfig,
    connections: Connections,
    config: &Config,
) -> io::Result<ServerBuilder> {
    let (keep_alive, timeout) = (config.keep_alive, config.request_timeout);
    let stopping = server.graceful_shutdown_signal();
    server.listen("https", listener, move || {
        let (shared, stopping, connections) =
            (shared.clone(), stopping.clone(), connections.clone());
        let app = App::new().app_data(shared).configure(routes::configure);
        let app = app.into_factory().map_err(|error| error.error_response());
        let acceptor = TlsAcceptorConfig::default().handshake_timeout(timeout);
        let https = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(keep_alive)
            .client_request_timeout(timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .finish(map_config(app, |()| AppConfig::default()))
            .rustls_0_23_with_config(tls.clone(), acceptor);
        apply_fn_factory(https, move |stream: TcpStream, https| {
            let remote = stream.peer_addr();
            let place = remote
                .ok()
                .and_then(|remote| connections.enter(remote.ip()));
            // Dropping the stream closes it.
            let work = place.map(|place| (place, https.call(stream)));
            async move {
                match work {
                    Some((place, work)) => place.hold(work).await.unwrap_or(Ok(())),
                    None => Ok(()),
                }
            }
        })
    })
}
